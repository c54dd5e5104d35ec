//! A receiving client: unprotects, unwraps RTX, asks for what is missing, reports, feeds back.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bridge_relay_core::api::{MediaKind, SubscriptionId, SubscriptionSpec};
use bridge_relay_core::codec;
use bridge_relay_core::feedback::{ArrivalLog, extend};
use bridge_relay_core::receive::ReceiverStats;
use bridge_relay_core::wire::demux::{DatagramKind, classify};
use bridge_relay_core::wire::rtcp::{self, RtcpPacket, SenderInfo};
use bridge_relay_core::wire::rtp::RtpHeader;

use crate::net::{AUDIO, EXTENSIONS, Transport, VIDEO};

const NACK_EVERY_US: u64 = 20_000;
const NACK_AGAIN_US: u64 = 60_000;
const REPORT_EVERY_US: u64 = 500_000;
const FEEDBACK_EVERY_US: u64 = 50_000;
/// As browsers do, so that the first numbers of a stream do not wrap backwards.
const FIRST_CYCLE: u64 = 0x1_0000;

pub struct Received {
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    pub at_us: u64,
    pub by_rtx: bool,
    pub has_mid: bool,
}

/// What arrived on one subscription.
pub struct View {
    pub ssrc: u32,
    pub kind: MediaKind,
    pub packets: BTreeMap<u64, Received>,
    pub reports: Vec<(u64, SenderInfo)>,
    pub padding: u64,
    pub duplicates: u64,
    highest: Option<u64>,
    asked: BTreeMap<u64, u64>,
    stats: ReceiverStats,
}

pub struct Subscriber {
    pub views: Vec<View>,
    pub nacks: bool,
    pub reports: bool,
    pub feeds_back: bool,
    pub refused: u64,
    next_nack_us: u64,
    next_report_us: u64,
    next_feedback_us: u64,
    arrivals: ArrivalLog,
    /// Sent with the next batch of RTCP.
    pub pending: Vec<u8>,
}

impl Subscriber {
    pub fn new(now_us: u64) -> Self {
        Self {
            views: Vec::new(),
            nacks: true,
            reports: true,
            feeds_back: true,
            refused: 0,
            next_nack_us: now_us,
            next_report_us: now_us + 300_000,
            next_feedback_us: now_us + FEEDBACK_EVERY_US,
            arrivals: ArrivalLog::default(),
            pending: Vec::new(),
        }
    }

    /// A slot of this client, as the relay is told of it.
    pub fn slot(&mut self, subscription: SubscriptionId, kind: MediaKind) -> SubscriptionSpec {
        let ssrc = 50_000 + subscription.0;
        let clock_rate_hz = if kind == MediaKind::Video { 90_000 } else { 48_000 };
        self.views.push(View {
            ssrc,
            kind,
            packets: BTreeMap::new(),
            reports: Vec::new(),
            padding: 0,
            duplicates: 0,
            highest: None,
            asked: BTreeMap::new(),
            stats: ReceiverStats::new(clock_rate_hz),
        });
        SubscriptionSpec {
            kind,
            mid: format!("s{}", subscription.0),
            ssrc,
            rtx_ssrc: if kind == MediaKind::Video { ssrc + 5_000 } else { 0 },
            payloads: vec![if kind == MediaKind::Video { VIDEO } else { AUDIO }],
            cname: "publisher".into(),
        }
    }

    pub fn next_us(&self) -> u64 {
        self.next_nack_us.min(self.next_report_us).min(self.next_feedback_us)
    }

    pub fn receive(&mut self, transport: &mut Transport, mut bytes: Vec<u8>, now_us: u64) {
        match classify(&bytes) {
            DatagramKind::Rtp => self.receive_rtp(transport, bytes, now_us),
            DatagramKind::Rtcp => {
                let Ok(len) = transport.receiver.unprotect_rtcp(&mut bytes) else {
                    self.refused += 1;
                    return;
                };
                for packet in rtcp::parse(&bytes[..len]) {
                    if let RtcpPacket::SenderReport { ssrc, info, .. } = packet.expect("well formed") {
                        let view = self.views.iter_mut().find(|view| view.ssrc == ssrc);
                        let view = view.expect("a report on a slot");
                        view.stats.sender_report(info.ntp, now_us);
                        view.reports.push((now_us, info));
                    }
                }
            }
            other => assert_eq!(other, DatagramKind::Dtls),
        }
    }

    fn receive_rtp(&mut self, transport: &mut Transport, mut bytes: Vec<u8>, now_us: u64) {
        let header = RtpHeader::parse(&bytes).expect("the relay writes good headers");
        let Ok(plain) = transport.receiver.unprotect_rtp(&header, &mut bytes) else {
            self.refused += 1;
            return;
        };
        let packet = &bytes[..plain.len];
        let mut has_mid = false;
        for (id, value) in header.extensions(packet) {
            if id == EXTENSIONS.transport_wide_cc {
                self.arrivals.received(u16::from_be_bytes([value[0], value[1]]), now_us);
            }
            has_mid |= id == EXTENSIONS.mid;
        }
        let payload = packet[header.payload(packet).expect("good padding")].to_vec();
        let by_rtx = header.payload_type == VIDEO.rtx_payload_type;
        let ssrc = if by_rtx { header.ssrc - 5_000 } else { header.ssrc };
        let view = self.views.iter_mut().find(|view| view.ssrc == ssrc).expect("a slot's SSRC");
        let marker = header.marker;
        let (sequence, payload) = if by_rtx {
            if payload.is_empty() {
                assert!(header.has_padding);
                view.padding += 1;
                return;
            }
            let original = u16::from_be_bytes([payload[0], payload[1]]);
            (view.extend(original), payload[2..].to_vec())
        } else {
            (view.extend(header.sequence), payload)
        };
        view.highest = view.highest.max(Some(sequence));
        if !by_rtx {
            view.stats.received(sequence, header.timestamp, now_us);
        }
        view.asked.remove(&sequence);
        let received =
            Received { timestamp: header.timestamp, marker, payload, at_us: now_us, by_rtx, has_mid };
        match view.packets.entry(sequence) {
            Entry::Vacant(entry) => {
                entry.insert(received);
            }
            Entry::Occupied(_) => view.duplicates += 1,
        }
    }

    pub fn act(&mut self, transport: &mut Transport, now_us: u64) {
        let mut compound = std::mem::take(&mut self.pending);
        if self.next_nack_us <= now_us {
            self.next_nack_us = now_us + NACK_EVERY_US;
            for view in self.views.iter_mut().filter(|view| self.nacks && view.kind == MediaKind::Video) {
                let ask = view.missing(now_us);
                if !ask.is_empty() {
                    rtcp::write_nack(&mut compound, 1, view.ssrc, &ask);
                }
            }
        }
        if self.next_report_us <= now_us {
            self.next_report_us = now_us + REPORT_EVERY_US;
            if self.reports {
                let blocks: Vec<_> =
                    self.views.iter_mut().filter_map(|view| view.stats.report(view.ssrc, now_us)).collect();
                rtcp::write_receiver_report(&mut compound, 1, &blocks);
            }
        }
        if self.next_feedback_us <= now_us {
            self.next_feedback_us = now_us + FEEDBACK_EVERY_US;
            let media = self.views.first().map_or(0, |view| view.ssrc);
            while self.feeds_back && self.arrivals.write(&mut compound, 1, media) {}
        }
        if !compound.is_empty() {
            transport.send_rtcp(&compound);
        }
    }
}

impl View {
    fn extend(&self, short: u16) -> u64 {
        extend(self.highest.unwrap_or(FIRST_CYCLE + u64::from(short)), short)
    }

    fn missing(&mut self, now_us: u64) -> Vec<u16> {
        let (Some((first, _)), Some(highest)) = (self.packets.first_key_value(), self.highest) else {
            return Vec::new();
        };
        let from = (*first).max(highest.saturating_sub(400));
        let mut ask = Vec::new();
        for sequence in (from..highest).filter(|sequence| !self.packets.contains_key(sequence)) {
            let asked = self.asked.entry(sequence).or_insert(0);
            if now_us >= *asked + NACK_AGAIN_US {
                *asked = now_us;
                ask.push(sequence as u16);
            }
        }
        ask.truncate(100);
        ask
    }

    /// The text before the filler: which stream, frame and packet this is.
    pub fn tag(received: &Received, kind: MediaKind) -> (u32, u64, u64) {
        let mut content = &received.payload[..];
        if kind == MediaKind::Video {
            let start = content[0] & 0x10 != 0;
            let keyframe = start && content[5] & 1 == 0;
            content = &content[5 + usize::from(start) * 3 + usize::from(keyframe) * 7..];
        }
        let text: String = content.iter().take(60).map(|byte| char::from(*byte)).collect();
        let mut parts = text.split('/');
        let ssrc = parts.next().and_then(|part| part.parse().ok()).expect("an SSRC");
        let frame = parts.next().and_then(|part| part.parse().ok()).expect("a frame");
        let number = parts.next().and_then(|part| part.parse().ok()).expect("a packet");
        (ssrc, frame, number)
    }

    /// Source SSRC of each packet, in the order of sequence numbers.
    pub fn sources(&self) -> Vec<u32> {
        self.packets.values().map(|received| Self::tag(received, self.kind).0).collect()
    }

    /// Fails unless a decoder would be content: time and picture ids go forward frame by frame without a gap, all
    /// packets of a frame share them, and the source changes only at a keyframe.
    pub fn assert_continuous(&self) {
        let mut last: Option<(&Received, u32, u16, u8)> = None;
        for received in self.packets.values() {
            let (source, ..) = Self::tag(received, self.kind);
            let info = codec::inspect(bridge_relay_core::api::Codec::Vp8, &received.payload);
            let picture = info.picture.expect("a picture id");
            let tl0 = picture.tl0_picture_index.expect("a TL0 index");
            if let Some((before, last_source, last_id, last_tl0)) = last {
                if info.frame_start {
                    assert!(before.marker, "the frame before has its end");
                    let step = received.timestamp.wrapping_sub(before.timestamp);
                    assert!((1..90_000 * 5).contains(&step), "time stamps step by {step}");
                    assert_eq!(picture.picture_id, (last_id + 1) & 0x7fff);
                    assert_eq!(tl0, last_tl0.wrapping_add(1));
                } else {
                    assert_eq!(received.timestamp, before.timestamp);
                    assert_eq!((picture.picture_id, tl0), (last_id, last_tl0));
                }
                if source != last_source {
                    assert!(info.keyframe_start, "the source changed without a keyframe");
                }
            } else {
                assert!(info.keyframe_start, "it begins with a keyframe");
            }
            last = Some((received, source, picture.picture_id, tl0));
        }
    }
}

impl Subscriber {
    /// The tag of the newest packet on the first slot.
    pub fn sources_last(&self) -> Option<(u32, u64, u64)> {
        let view = self.views.first()?;
        view.packets.values().next_back().map(|received| View::tag(received, view.kind))
    }
}
