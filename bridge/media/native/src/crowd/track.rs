//! One incoming track as a receiver sees it: what came, what is missing and to be asked for, and what its reports say
//! (RFC 3550 section 6.4). No socket, no clock.

use bridge_relay_core::api::{Codec, MediaKind};
use bridge_relay_core::nack::NackList;
use bridge_relay_core::wire::rtcp::{ReportBlock, SenderInfo};

use super::first::FirstFrame;

/// How far back a duplicate is known as one.
const WINDOW: u64 = 2_048;
/// Extended numbers begin here, so that packets before the first one have a number, too.
const ZERO: u64 = 1 << 16;
/// A receiver shows nothing for so long until it asks for a keyframe, and asks again.
const DARK_US: u64 = 300_000;
const ASK_AGAIN_US: u64 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSpec {
    pub kind: MediaKind,
    pub codec: Codec,
    pub clock_rate_hz: u32,
    pub ssrc: u32,
    /// 0 where nothing comes again.
    pub rtx_ssrc: u32,
}

pub struct Track {
    pub spec: TrackSpec,
    /// Until the first frame was whole, or the first sound came.
    pub first_frame: Option<FirstFrame>,
    /// When the newest packet came; 0: none did.
    pub newest_us: u64,
    span: Option<(u64, u64)>,
    seen: Box<[u64]>,
    /// Came the first time, not by retransmission.
    direct: u64,
    missing: NackList,
    given_up_told: u64,
    next_ask_us: u64,
    wants_keyframe: bool,
    jitter: u32,
    transit: Option<u32>,
    sender_report: Option<(u32, u64)>,
    reported: (u64, u64),
}

impl Track {
    #[must_use]
    pub fn new(spec: TrackSpec) -> Self {
        Self {
            spec,
            first_frame: Some(FirstFrame::default()),
            newest_us: 0,
            span: None,
            seen: vec![0; WINDOW as usize / 64].into_boxed_slice(),
            direct: 0,
            missing: NackList::default(),
            given_up_told: 0,
            next_ask_us: 0,
            wants_keyframe: false,
            jitter: 0,
            transit: None,
            sender_report: None,
            reported: (0, 0),
        }
    }

    /// The extended number of a packet, the nearest to the newest one.
    #[must_use]
    pub fn extend(&self, sequence: u16) -> u64 {
        let Some((_, newest)) = self.span else { return ZERO + u64::from(sequence) };
        let ahead = i64::from(sequence.wrapping_sub(newest as u16).cast_signed());
        newest.saturating_add_signed(ahead)
    }

    /// Notes an arrival; false where the same packet had come before.
    pub fn arrived(&mut self, sequence: u64, now_us: u64, again: bool) -> bool {
        let (oldest, newest) = self.span.unwrap_or((sequence, sequence));
        if sequence + WINDOW <= newest {
            return false;
        }
        if self.newest_us == 0 {
            self.next_ask_us = now_us + DARK_US;
        }
        self.newest_us = now_us;
        for passed in newest + 1..=sequence.min(newest + WINDOW) {
            self.seen[place(passed).0] &= !place(passed).1;
        }
        let (word, bit) = place(sequence);
        if self.span.is_some() && self.seen[word] & bit != 0 {
            return false;
        }
        self.seen[word] |= bit;
        self.span = Some((oldest.min(sequence), newest.max(sequence)));
        self.direct += u64::from(!again);
        self.wants_keyframe |= self.missing.received(sequence, now_us);
        true
    }

    /// RFC 3550 appendix A.8.
    pub fn note_jitter(&mut self, timestamp: u32, now_us: u64) {
        let clock = (u128::from(now_us) * u128::from(self.spec.clock_rate_hz) / 1_000_000) as u32;
        let transit = clock.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let apart = transit.wrapping_sub(before).cast_signed().unsigned_abs();
            self.jitter = (self.jitter * 15 + apart.min(1 << 24)) / 16;
        }
    }

    pub fn note_sender_report(&mut self, info: &SenderInfo, now_us: u64) {
        self.sender_report = Some(((info.ntp >> 16) as u32, now_us));
    }

    #[must_use]
    pub fn misses(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Appends the numbers to ask for now.
    pub fn due(&mut self, now_us: u64, ask: &mut Vec<u16>) {
        self.wants_keyframe |= self.missing.due(now_us, ask);
    }

    /// Packets given up since the last call.
    pub fn take_lost(&mut self) -> u64 {
        let lost = self.missing.given_up() - self.given_up_told;
        self.given_up_told = self.missing.given_up();
        lost
    }

    /// Whether to ask for a keyframe now: after a hole, or when pictures come of which none can be shown.
    pub fn takes_keyframe_request(&mut self, now_us: u64) -> bool {
        let dark = self.first_frame.is_some() && self.newest_us != 0;
        let asks =
            self.spec.kind == MediaKind::Video && now_us >= self.next_ask_us && (dark || self.wants_keyframe);
        if asks {
            self.next_ask_us = now_us + ASK_AGAIN_US;
            self.wants_keyframe = false;
        }
        asks
    }

    /// What to report; None until something came.
    pub fn report(&mut self, now_us: u64) -> Option<ReportBlock> {
        let (oldest, newest) = self.span?;
        let expected = newest - oldest + 1;
        let (expected_before, direct_before) = std::mem::replace(&mut self.reported, (expected, self.direct));
        let expected_since = expected - expected_before;
        let lost_since = expected_since.saturating_sub(self.direct - direct_before);
        let (last_sender_report, delay_since_last) = self.sender_report.map_or((0, 0), |(ntp, at_us)| {
            (ntp, (u128::from(now_us.saturating_sub(at_us)) * 65_536 / 1_000_000) as u32)
        });
        Some(ReportBlock {
            ssrc: self.spec.ssrc,
            fraction_lost: (lost_since * 256).checked_div(expected_since).unwrap_or(0).min(255) as u8,
            cumulative_lost: (expected.cast_signed() - self.direct.cast_signed()) as i32,
            highest_sequence: newest.wrapping_sub(ZERO) as u32,
            jitter: self.jitter,
            last_sender_report,
            delay_since_last,
        })
    }
}

fn place(sequence: u64) -> (usize, u64) {
    ((sequence % WINDOW / 64) as usize, 1 << (sequence % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track() -> Track {
        Track::new(TrackSpec {
            kind: MediaKind::Video,
            codec: Codec::Vp8,
            clock_rate_hz: 90_000,
            ssrc: 7,
            rtx_ssrc: 8,
        })
    }

    fn take(track: &mut Track, sequence: u16, now_us: u64, again: bool) -> bool {
        let extended = track.extend(sequence);
        track.arrived(extended, now_us, again)
    }

    #[test]
    fn counts_each_packet_once_over_the_wrap() {
        let mut track = track();
        let sequences = [65_534, 65_535, 0, 0, 65_535, 2, 1];
        let taken: Vec<bool> =
            sequences.iter().map(|sequence| take(&mut track, *sequence, 1, false)).collect();
        assert_eq!(taken, [true, true, true, false, false, true, true]);
        assert!(!track.misses());
        let report = track.report(1).unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 0));
        assert_eq!(report.highest_sequence, 65_536 + 2);
    }

    #[test]
    fn asks_for_what_is_missing_until_it_comes_again() {
        let mut track = track();
        take(&mut track, 1, 0, false);
        take(&mut track, 3, 0, false);
        let mut ask = Vec::new();
        track.due(10_000, &mut ask);
        assert_eq!(ask, [2]);
        assert!(take(&mut track, 2, 20_000, true));
        assert!(!track.misses());
        assert_eq!(track.take_lost(), 0);
        // It was lost all the same the first time.
        assert_eq!(track.report(30_000).unwrap().cumulative_lost, 1);
    }

    #[test]
    fn what_never_comes_is_lost_and_a_keyframe_wanted() {
        let mut track = track();
        take(&mut track, 1, 0, false);
        take(&mut track, 3, 0, false);
        track.first_frame = None;
        assert!(!track.takes_keyframe_request(500_000));
        for now_us in (0..1_100_000).step_by(5_000) {
            track.due(now_us, &mut Vec::new());
        }
        assert_eq!(track.take_lost(), 1);
        assert_eq!(track.take_lost(), 0);
        assert!(track.takes_keyframe_request(1_100_000));
        assert!(!track.takes_keyframe_request(1_200_000));
    }

    #[test]
    fn a_dark_picture_is_asked_for_after_a_while_and_again() {
        let mut track = track();
        assert!(!track.takes_keyframe_request(10_000_000), "nothing came yet");
        take(&mut track, 1, 10_000_000, false);
        let asked: Vec<u64> = (10_000_000..12_000_000)
            .step_by(100_000)
            .filter(|now_us| track.takes_keyframe_request(*now_us))
            .collect();
        assert_eq!(asked, [10_300_000, 11_300_000]);
    }
}
