//! The publisher: VP8-shaped frames and Opus-shaped sound with the header extensions that browsers send, sender
//! reports, and a keyframe whenever one is asked for.

use bridge_relay_core::srtp::StreamSlot;
use bridge_relay_core::wire::demux::{DatagramKind, classify};
use bridge_relay_core::wire::rtcp::{self, RtcpPacket, SenderInfo};
use bridge_relay_core::wire::rtp::{self, HeaderFields, HeaderTemplate};

use crate::Outcome;
use crate::client::Client;
use crate::schedule::{
    AUDIO_CLOCK_HZ, AUDIO_PAYLOAD_BYTES, AUDIO_PER_SECOND, FRAMES_PER_SECOND, PACKETS_PER_FRAME, Ticker,
    VIDEO_CLOCK_HZ, VIDEO_PAYLOAD_BYTES,
};

// As benchmarks/relay.py negotiates them.
pub const VIDEO_PAYLOAD_TYPE: u8 = 96;
const AUDIO_PAYLOAD_TYPE: u8 = 111;
const AUDIO_LEVEL_ID: u8 = 1;
const ABS_SEND_TIME_ID: u8 = 2;
pub const TRANSPORT_CC_ID: u8 = 3;
const MID_ID: u8 = 4;

/// Bytes at the start of a payload that are not filler: VP8 descriptor and frame header.
pub const PAYLOAD_HEAD_BYTES: usize = 14;

pub struct Publisher {
    pub client: Client,
    pub packets: u64,
    video: Stream,
    audio: Stream,
    frames: Ticker,
    sounds: Ticker,
    reports: Ticker,
    transport_sequence: u16,
    keyframe_wanted: bool,
}

struct Stream {
    ssrc: u32,
    slot: StreamSlot,
    header: HeaderTemplate,
    index: u64,
    octets: u32,
    clock_hz: u64,
}

impl Stream {
    fn new(client: &mut Client, ssrc: u32, payload_type: u8, mid: &str, clock_hz: u64) -> Outcome<Self> {
        let describe = |error| format!("{error:?}");
        let mut header = HeaderTemplate::new(ssrc, payload_type);
        header.push_extension(MID_ID, mid.as_bytes()).map_err(describe)?;
        header.push_abs_send_time(ABS_SEND_TIME_ID).map_err(describe)?;
        header.push_transport_sequence(TRANSPORT_CC_ID).map_err(describe)?;
        let slot = client.sender.stream(ssrc).map_err(|error| format!("{error:?}"))?;
        Ok(Self { ssrc, slot, header, index: 0, octets: 0, clock_hz })
    }

    fn report(&self, start_us: u64, now_us: u64) -> SenderInfo {
        SenderInfo {
            ntp: ((now_us / 1_000_000) << 32) | (((now_us % 1_000_000) << 32) / 1_000_000),
            rtp_timestamp: ((now_us - start_us) * self.clock_hz / 1_000_000) as u32,
            packets: self.index as u32,
            octets: self.octets,
        }
    }
}

impl Publisher {
    pub fn new(mut client: Client) -> Outcome<Self> {
        let (video_ssrc, audio_ssrc) = (client.account.video_ssrc, client.account.audio_ssrc);
        Ok(Self {
            video: Stream::new(&mut client, video_ssrc, VIDEO_PAYLOAD_TYPE, "v", VIDEO_CLOCK_HZ)?,
            audio: Stream::new(&mut client, audio_ssrc, AUDIO_PAYLOAD_TYPE, "a", AUDIO_CLOCK_HZ)?,
            client,
            packets: 0,
            frames: Ticker::new(0, FRAMES_PER_SECOND),
            sounds: Ticker::new(0, AUDIO_PER_SECOND),
            reports: Ticker::new(0, 1),
            transport_sequence: 0,
            keyframe_wanted: true,
        })
    }

    pub fn start(&mut self, now_us: u64) {
        self.frames = Ticker::new(now_us, FRAMES_PER_SECOND);
        // Not in step with the frames, as in life.
        self.sounds = Ticker::new(now_us + 7_000, AUDIO_PER_SECOND);
        self.reports = Ticker::new(now_us, 1);
    }

    pub fn next_us(&self) -> u64 {
        self.frames.next_us().min(self.sounds.next_us())
    }

    pub fn send_due(&mut self, now_us: u64) -> Outcome<()> {
        let start_us = self.start_us();
        if self.reports.take(now_us).is_some() {
            for stream in [&self.video, &self.audio] {
                let mut compound = Vec::new();
                rtcp::write_sender_report(&mut compound, stream.ssrc, &stream.report(start_us, now_us), &[]);
                rtcp::write_sdes_cname(&mut compound, stream.ssrc, "load");
                self.client.send_rtcp(&compound);
            }
        }
        if let Some(frame) = self.frames.take(now_us) {
            self.send_frame(frame, now_us)?;
        }
        if let Some(sound) = self.sounds.take(now_us) {
            let timestamp = (sound * AUDIO_CLOCK_HZ / AUDIO_PER_SECOND) as u32;
            let payload = filler(AUDIO_PAYLOAD_BYTES);
            let loudness = 40 + (sound / 10 % 5) as u8;
            self.send_packet(
                false,
                timestamp,
                false,
                &payload,
                &[(AUDIO_LEVEL_ID, &[0x80 | loudness])],
                now_us,
            )?;
        }
        self.client.flush();
        Ok(())
    }

    fn start_us(&self) -> u64 {
        self.frames.next_us() - self.frames.count() * 1_000_000 / FRAMES_PER_SECOND
    }

    fn send_frame(&mut self, frame: u64, now_us: u64) -> Outcome<()> {
        let keyframe = std::mem::take(&mut self.keyframe_wanted);
        let timestamp = (frame * VIDEO_CLOCK_HZ / FRAMES_PER_SECOND) as u32;
        for number in 0..PACKETS_PER_FRAME {
            let mut payload = filler(VIDEO_PAYLOAD_BYTES);
            write_vp8_head(&mut payload, frame, number == 0, keyframe);
            self.send_packet(true, timestamp, number + 1 == PACKETS_PER_FRAME, &payload, &[], now_us)?;
        }
        Ok(())
    }

    fn send_packet(
        &mut self,
        is_video: bool,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        extensions: &[(u8, &[u8])],
        now_us: u64,
    ) -> Outcome<()> {
        let stream = if is_video { &mut self.video } else { &mut self.audio };
        let fields = HeaderFields {
            marker,
            sequence: stream.index as u16,
            timestamp,
            abs_send_time: rtp::abs_send_time(now_us),
            transport_sequence: self.transport_sequence,
        };
        let mut packet = [0; 1_400];
        let header_len = stream
            .header
            .write_with(&mut packet, &fields, extensions)
            .map_err(|error| format!("{error:?}"))?;
        let len = header_len + payload.len() + self.client.sender.rtp_overhead();
        self.client
            .sender
            .seal_rtp(stream.slot, stream.index, &mut packet[..len], header_len, payload)
            .map_err(|error| format!("{error:?}"))?;
        stream.index += 1;
        stream.octets = stream.octets.wrapping_add(payload.len() as u32);
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        self.packets += 1;
        self.client.send(&packet[..len]);
        Ok(())
    }

    pub fn receive(&mut self, datagram: &mut [u8]) {
        match classify(datagram) {
            DatagramKind::Stun => self.client.receive_stun(datagram),
            DatagramKind::Rtcp => {
                let Ok(len) = self.client.receiver.unprotect_rtcp(datagram) else { return };
                for packet in rtcp::parse(&datagram[..len]) {
                    self.keyframe_wanted |= matches!(
                        packet,
                        Ok(RtcpPacket::PictureLoss { .. } | RtcpPacket::FullIntraRequest { .. })
                    );
                }
            }
            _ => {}
        }
    }
}

/// What lies behind a payload's head: the same in every packet, so that a receiver can check it.
pub fn filler(len: usize) -> Vec<u8> {
    (0..len).map(|at| at as u8).collect()
}

/// RFC 7741 sections 4.2 and 4.3, with a 15-bit picture id; on a keyframe the size 1280x720.
fn write_vp8_head(payload: &mut [u8], frame: u64, first: bool, keyframe: bool) {
    let picture_id = (frame % 0x8000) as u16;
    payload[0] = 0x80 | u8::from(first) << 4;
    payload[1] = 0x80;
    payload[2..4].copy_from_slice(&(0x8000 | picture_id).to_be_bytes());
    if !first {
        return;
    }
    payload[4] = 0x10 | u8::from(!keyframe);
    if keyframe {
        payload[7..10].copy_from_slice(&[0x9d, 0x01, 0x2a]);
        payload[10..12].copy_from_slice(&1_280_u16.to_le_bytes());
        payload[12..14].copy_from_slice(&720_u16.to_le_bytes());
    }
}
