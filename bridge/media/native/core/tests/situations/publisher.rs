//! A publishing client: VP8 layers by rid with keyframes on request, Opus, answers to NACKs by RTX, sender reports.

use std::collections::VecDeque;

use bridge_relay_core::api::{LayerSpec, MediaKind, TrackSpec};
use bridge_relay_core::wire::demux::{DatagramKind, classify};
use bridge_relay_core::wire::rtcp::{self, RtcpPacket, SenderInfo};
use bridge_relay_core::wire::rtp::{HeaderFields, write_header};

use crate::net::{AUDIO, EXTENSIONS, Transport, VIDEO};

const HISTORY: usize = 2_000;
const REPORT_EVERY_US: u64 = 1_000_000;
/// The publisher's wall clock is not ours.
const NTP_OFFSET: u64 = 0xe000_0000 << 32;

pub struct Packet {
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
}

/// One layer, or the audio.
pub struct Stream {
    pub ssrc: u32,
    pub rid: Option<&'static str>,
    pub mid: &'static str,
    pub kind: MediaKind,
    pub interval_us: u64,
    pub packets_per_frame: u64,
    pub packet_len: usize,
    pub sending: bool,
    pub keyframe_wanted: bool,
    pub keyframes: u64,
    pub keyframe_requests: Vec<u64>,
    pub nacked: u64,
    pub level: u8,
    /// All packets ever made, by extended sequence number.
    pub made: VecDeque<Packet>,
    pub sequence: u64,
    pub timestamp_base: u32,
    pub frame: u64,
    pub picture_id: u16,
    pub reports: bool,
    rtx_sequence: u64,
    next_frame_us: u64,
    next_report_us: u64,
    announced: u32,
}

pub struct Publisher {
    pub streams: Vec<Stream>,
    pub feedback: u64,
    pub receiver_reports: u64,
    pub rembs: Vec<u64>,
    pub refused: u64,
    transport_sequence: u16,
}

impl Publisher {
    /// A camera with so many layers, each larger than the one before.
    pub fn video(rids: &[&'static str], now_us: u64) -> Self {
        let streams = rids.iter().enumerate().map(|(number, rid)| {
            let number = number as u64;
            Stream {
                ssrc: 1_000 + number as u32,
                rid: (!rid.is_empty()).then_some(*rid),
                mid: "v",
                kind: MediaKind::Video,
                interval_us: 33_333,
                packets_per_frame: 1 + 2 * number,
                packet_len: 900,
                sending: true,
                keyframe_wanted: true,
                keyframes: 0,
                keyframe_requests: Vec::new(),
                nacked: 0,
                level: 0,
                made: VecDeque::new(),
                sequence: 65_500 - 300 * number,
                timestamp_base: (number as u32 * 777_777).wrapping_sub(40_000),
                frame: 0,
                picture_id: 32_700 + number as u16 * 20,
                reports: true,
                rtx_sequence: 100,
                next_frame_us: now_us + 100_000,
                next_report_us: now_us + 150_000,
                announced: 0,
            }
        });
        Self {
            streams: streams.collect(),
            feedback: 0,
            receiver_reports: 0,
            rembs: Vec::new(),
            refused: 0,
            transport_sequence: 65_000,
        }
    }

    pub fn audio(now_us: u64) -> Self {
        let mut publisher = Self::video(&[""], now_us);
        let stream = &mut publisher.streams[0];
        stream.ssrc = 2_000;
        stream.mid = "a";
        stream.kind = MediaKind::Audio;
        stream.interval_us = 20_000;
        stream.packet_len = 120;
        stream.level = 30;
        publisher
    }

    pub fn spec(&self) -> TrackSpec {
        let layers = self.streams.iter().map(|stream| LayerSpec {
            rid: stream.rid.map(Into::into),
            ssrc: None,
            rtx_ssrc: None,
        });
        TrackSpec {
            kind: self.streams[0].kind,
            mid: self.streams[0].mid.into(),
            layers: layers.collect(),
            nack: self.streams[0].kind == MediaKind::Video,
        }
    }

    pub fn next_us(&self) -> u64 {
        self.streams
            .iter()
            .map(|stream| stream.next_frame_us.min(stream.next_report_us))
            .min()
            .unwrap_or(u64::MAX)
    }

    pub fn act(&mut self, transport: &mut Transport, now_us: u64) {
        for stream in &mut self.streams {
            if stream.next_frame_us <= now_us {
                stream.next_frame_us += stream.interval_us;
                if stream.sending {
                    stream.make_frame(now_us);
                    for at in stream.made.len() - stream.packets_per_frame as usize..stream.made.len() {
                        self.transport_sequence = self.transport_sequence.wrapping_add(1);
                        stream.send(transport, at, self.transport_sequence);
                    }
                }
            }
            if stream.next_report_us <= now_us {
                stream.next_report_us += REPORT_EVERY_US;
                if stream.sending && stream.reports {
                    stream.send_report(transport, now_us);
                }
            }
        }
    }

    pub fn receive(&mut self, transport: &mut Transport, mut bytes: Vec<u8>, now_us: u64) {
        assert_eq!(classify(&bytes), DatagramKind::Rtcp, "publishers get no media");
        let Ok(len) = transport.receiver.unprotect_rtcp(&mut bytes) else {
            self.refused += 1;
            return;
        };
        for packet in rtcp::parse(&bytes[..len]) {
            match packet.expect("the relay's RTCP is well formed") {
                RtcpPacket::PictureLoss { media, .. } => {
                    let stream = self.streams.iter_mut().find(|stream| stream.ssrc == media);
                    let stream = stream.expect("asked of a stream that is there");
                    stream.keyframe_requests.push(now_us);
                    stream.keyframe_wanted = true;
                }
                RtcpPacket::Nack { media, sequences, .. } => {
                    let stream = self.streams.iter_mut().find(|stream| stream.ssrc == media);
                    let stream = stream.expect("asked of a stream that is there");
                    for sequence in sequences {
                        self.transport_sequence = self.transport_sequence.wrapping_add(1);
                        stream.send_again(transport, sequence, self.transport_sequence);
                    }
                }
                RtcpPacket::TransportFeedback(_) => self.feedback += 1,
                RtcpPacket::ReceiverReport { .. } => self.receiver_reports += 1,
                RtcpPacket::Remb { bitrate_bps, .. } => self.rembs.push(bitrate_bps),
                _ => {}
            }
        }
    }
}

impl Stream {
    fn make_frame(&mut self, now_us: u64) {
        let keyframe = std::mem::take(&mut self.keyframe_wanted);
        self.keyframes += u64::from(keyframe);
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        for number in 0..self.packets_per_frame {
            let payload = match self.kind {
                MediaKind::Video => self.picture_payload(keyframe, number),
                MediaKind::Audio => self.content(number),
            };
            let marker = self.kind == MediaKind::Video && number + 1 == self.packets_per_frame;
            let timestamp = self.timestamp(now_us);
            self.made.push_back(Packet { sequence: self.sequence, timestamp, marker, payload });
            self.sequence += 1;
        }
        self.frame += 1;
        while self.made.len() > HISTORY {
            self.made.pop_front();
        }
    }

    fn rate(&self) -> u64 {
        if self.kind == MediaKind::Video { 90_000 } else { 48_000 }
    }

    pub fn timestamp(&self, now_us: u64) -> u32 {
        self.timestamp_base.wrapping_add((now_us * self.rate() / 1_000_000) as u32)
    }

    /// Filler that tells stream, frame and packet, so that a mix-up would show.
    fn content(&self, number: u64) -> Vec<u8> {
        let mut content = format!("{}/{}/{}/", self.ssrc, self.frame, number).into_bytes();
        content.resize(self.packet_len, (self.frame as u8).wrapping_mul(31) ^ number as u8);
        content
    }

    fn picture_payload(&self, keyframe: bool, number: u64) -> Vec<u8> {
        let start = if number == 0 { 0x10 } else { 0 };
        let [high, low] = self.picture_id.to_be_bytes();
        let mut payload = vec![0x80 | start, 0xc0, 0x80 | high, low, self.frame as u8];
        if number == 0 {
            // RFC 6386 section 9.1: frame tag, and on keyframes start code, width, height.
            payload.extend_from_slice(&[u8::from(!keyframe), 0, 0]);
            if keyframe {
                payload.extend_from_slice(&[0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]);
            }
        }
        payload.extend_from_slice(&self.content(number));
        payload
    }

    fn send(&mut self, transport: &mut Transport, at: usize, transport_sequence: u16) {
        let packet = &self.made[at];
        let payload_type =
            if self.kind == MediaKind::Video { VIDEO.payload_type } else { AUDIO.payload_type };
        let number = transport_sequence.to_be_bytes();
        let level = [0x80 | self.level];
        let mut extensions: Vec<(u8, &[u8])> = vec![(EXTENSIONS.transport_wide_cc, &number)];
        // As browsers do: until the other side has shown that it knows the SSRC.
        if self.announced < 30 {
            self.announced += 1;
            extensions.push((EXTENSIONS.mid, self.mid.as_bytes()));
            if let Some(rid) = self.rid {
                extensions.push((EXTENSIONS.rid, rid.as_bytes()));
            }
        }
        if self.kind == MediaKind::Audio {
            extensions.push((EXTENSIONS.audio_level, &level));
        }
        let fields = HeaderFields {
            marker: packet.marker,
            sequence: packet.sequence as u16,
            timestamp: packet.timestamp,
            ..HeaderFields::default()
        };
        let bytes = protect(
            transport,
            self.ssrc,
            payload_type,
            &fields,
            &extensions,
            packet.sequence,
            &packet.payload,
        );
        transport.outgoing.push(bytes);
    }

    fn send_again(&mut self, transport: &mut Transport, short: u16, transport_sequence: u16) {
        self.nacked += 1;
        let Some(packet) = self.made.iter().rev().find(|packet| packet.sequence as u16 == short) else {
            return;
        };
        self.rtx_sequence += 1;
        let number = transport_sequence.to_be_bytes();
        let mut extensions: Vec<(u8, &[u8])> =
            vec![(EXTENSIONS.transport_wide_cc, &number), (EXTENSIONS.mid, self.mid.as_bytes())];
        if let Some(rid) = self.rid {
            extensions.push((EXTENSIONS.repaired_rid, rid.as_bytes()));
        }
        let fields = HeaderFields {
            marker: packet.marker,
            sequence: self.rtx_sequence as u16,
            timestamp: packet.timestamp,
            ..HeaderFields::default()
        };
        let mut payload = short.to_be_bytes().to_vec();
        payload.extend_from_slice(&packet.payload);
        let ssrc = self.ssrc + 500;
        let (payload_type, index) = (VIDEO.rtx_payload_type, self.rtx_sequence);
        let bytes = protect(transport, ssrc, payload_type, &fields, &extensions, index, &payload);
        transport.outgoing.push(bytes);
    }

    fn send_report(&self, transport: &mut Transport, now_us: u64) {
        let info = SenderInfo {
            ntp: NTP_OFFSET + ((u128::from(now_us) << 32) / 1_000_000) as u64,
            rtp_timestamp: self.timestamp(now_us),
            packets: self.sequence as u32,
            octets: 0,
        };
        let mut compound = Vec::new();
        rtcp::write_sender_report(&mut compound, self.ssrc, &info, &[]);
        transport.send_rtcp(&compound);
    }
}

/// The time on the publisher's own clock, in 32.32 fixed point seconds.
pub fn publisher_ntp(now_us: u64) -> u64 {
    NTP_OFFSET + ((u128::from(now_us) << 32) / 1_000_000) as u64
}

pub fn protect(
    transport: &mut Transport,
    ssrc: u32,
    payload_type: u8,
    fields: &HeaderFields,
    extensions: &[(u8, &[u8])],
    index: u64,
    payload: &[u8],
) -> Vec<u8> {
    let overhead = transport.sender.rtp_overhead();
    let mut bytes = vec![0; 96 + payload.len() + overhead];
    let len = write_header(&mut bytes, ssrc, payload_type, fields, extensions).expect("a header");
    bytes[len..len + payload.len()].copy_from_slice(payload);
    bytes.truncate(len + payload.len() + overhead);
    let stream = transport.sender.stream(ssrc).expect("room for an SSRC");
    transport.sender.protect_rtp(stream, index, &mut bytes, len).expect("a new index");
    bytes
}
