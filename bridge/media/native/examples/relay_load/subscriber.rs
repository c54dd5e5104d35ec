//! A subscriber: counts what arrives, checks every packet's content if told to, and reports back as a browser does:
//! transport-wide feedback several times a second, receiver reports every second.

use bridge_relay_core::wire::demux::{DatagramKind, classify};
use bridge_relay_core::wire::rtcp::{self, FeedbackFields, ReportBlock};
use bridge_relay_core::wire::rtp::RtpHeader;

use crate::client::Client;
use crate::publisher::{PAYLOAD_HEAD_BYTES, TRANSPORT_CC_ID, filler};
use crate::schedule::{AUDIO_PAYLOAD_BYTES, VIDEO_PAYLOAD_BYTES};

const FEEDBACK_INTERVAL_US: u64 = 100_000;
const REPORT_INTERVAL_US: u64 = 1_000_000;
/// More packets than come between two feedbacks, many times over.
const MAX_FEEDBACK_PACKETS: usize = 512;

pub struct Subscriber {
    pub client: Client,
    pub video: Received,
    pub audio: Received,
    /// Packets that did not decrypt or were not what the publisher sent.
    pub wrong: u64,
    checked: bool,
    next_feedback_us: u64,
    next_report_us: u64,
    feedback_count: u8,
    base_sequence: u16,
    arrivals_us: Vec<Option<u64>>,
}

#[derive(Default)]
pub struct Received {
    pub packets: u64,
    pub bytes: u64,
    highest: Option<u16>,
    cycles: u32,
}

impl Received {
    fn note(&mut self, sequence: u16, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
        let highest = *self.highest.get_or_insert(sequence);
        if sequence.wrapping_sub(highest) < 0x8000 {
            self.cycles += u32::from(sequence < highest);
            self.highest = Some(sequence);
        }
    }

    fn report(&self, ssrc: u32) -> ReportBlock {
        let highest_sequence = self.cycles << 16 | u32::from(self.highest.unwrap_or(0));
        ReportBlock { ssrc, highest_sequence, ..ReportBlock::default() }
    }
}

impl Subscriber {
    pub fn new(client: Client, checked: bool, spread_us: u64) -> Self {
        Self {
            client,
            video: Received::default(),
            audio: Received::default(),
            wrong: 0,
            checked,
            // Spread, as those of independent receivers are.
            next_feedback_us: spread_us % FEEDBACK_INTERVAL_US,
            next_report_us: spread_us % REPORT_INTERVAL_US,
            feedback_count: 0,
            base_sequence: 0,
            arrivals_us: Vec::with_capacity(MAX_FEEDBACK_PACKETS),
        }
    }

    /// Moves the times of feedback and reports to begin at `now_us`.
    pub fn start(&mut self, now_us: u64) {
        self.next_feedback_us += now_us;
        self.next_report_us += now_us;
    }

    pub fn receive(&mut self, now_us: u64, datagram: &mut [u8]) {
        match classify(datagram) {
            DatagramKind::Stun => self.client.receive_stun(datagram),
            DatagramKind::Rtp => self.receive_rtp(now_us, datagram),
            _ => {}
        }
    }

    fn receive_rtp(&mut self, now_us: u64, datagram: &mut [u8]) {
        let Ok(header) = RtpHeader::parse(datagram) else {
            self.wrong += 1;
            return;
        };
        let sequence =
            header.extensions(datagram).find(|(id, _)| *id == TRANSPORT_CC_ID).map(|(_, value)| value);
        if let Some(&[high, low]) = sequence {
            self.note_transport(now_us, u16::from_be_bytes([high, low]));
        }
        let len = datagram.len();
        let payload_bytes = if header.ssrc == self.client.account.video_ssrc {
            self.video.note(header.sequence, len);
            VIDEO_PAYLOAD_BYTES
        } else if header.ssrc == self.client.account.audio_ssrc {
            self.audio.note(header.sequence, len);
            AUDIO_PAYLOAD_BYTES
        } else {
            return; // a probe
        };
        if self.checked && !self.is_as_sent(&header, datagram, payload_bytes) {
            self.wrong += 1;
        }
    }

    fn is_as_sent(&mut self, header: &RtpHeader, datagram: &mut [u8], payload_bytes: usize) -> bool {
        let Ok(plain) = self.client.receiver.unprotect_rtp(header, datagram) else { return false };
        let payload = &datagram[header.len..plain.len];
        payload.len() == payload_bytes
            && payload[PAYLOAD_HEAD_BYTES..] == filler(payload_bytes)[PAYLOAD_HEAD_BYTES..]
    }

    fn note_transport(&mut self, now_us: u64, sequence: u16) {
        if self.arrivals_us.is_empty() {
            self.base_sequence = sequence;
        }
        let place = usize::from(sequence.wrapping_sub(self.base_sequence));
        if place < MAX_FEEDBACK_PACKETS {
            if place >= self.arrivals_us.len() {
                self.arrivals_us.resize(place + 1, None);
            }
            self.arrivals_us[place] = Some(now_us);
        }
    }

    pub fn report_if_due(&mut self, now_us: u64) {
        if now_us >= self.next_feedback_us {
            self.next_feedback_us = now_us + FEEDBACK_INTERVAL_US;
            self.send_feedback();
        }
        if now_us >= self.next_report_us {
            self.next_report_us = now_us + REPORT_INTERVAL_US;
            let (video, audio) = (self.client.account.video_ssrc, self.client.account.audio_ssrc);
            let mut compound = Vec::new();
            rtcp::write_receiver_report(
                &mut compound,
                1,
                &[self.video.report(video), self.audio.report(audio)],
            );
            rtcp::write_sdes_cname(&mut compound, 1, "load");
            self.client.send_rtcp(&compound);
        }
    }

    fn send_feedback(&mut self) {
        if self.arrivals_us.is_empty() {
            return;
        }
        let fields = FeedbackFields {
            sender: 1,
            media: self.client.account.video_ssrc,
            feedback_count: self.feedback_count,
            base_sequence: self.base_sequence,
        };
        self.feedback_count = self.feedback_count.wrapping_add(1);
        let mut packet = Vec::new();
        rtcp::write_transport_feedback(&mut packet, &fields, &self.arrivals_us);
        self.arrivals_us.clear();
        self.client.send_rtcp(&packet);
    }
}
