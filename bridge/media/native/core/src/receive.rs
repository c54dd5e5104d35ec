//! What a receiver knows of one incoming stream (RFC 3550 section 6.4.1, appendix A.3 and A.8). Sequence numbers come
//! in extended. Retransmissions are not told of here: what they healed was lost on the way.

use crate::wire::rtcp::ReportBlock;

#[derive(Clone, Debug)]
pub struct ReceiverStats {
    first: Option<u64>,
    highest: u64,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// Expected and lost in the interval of the last report.
    interval: (u64, u64),
    last_transit: Option<(u64, u32)>,
    /// Scaled by 16, in time stamp units.
    jitter_x16: u64,
    clock_rate_hz: u32,
    last_report: Option<(u32, u64)>,
}

impl ReceiverStats {
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            first: None,
            highest: 0,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            interval: (0, 0),
            last_transit: None,
            jitter_x16: 0,
            clock_rate_hz: clock_rate_hz.max(1),
            last_report: None,
        }
    }

    pub fn received(&mut self, sequence: u64, timestamp: u32, arrived_us: u64) {
        self.received += 1;
        let first = *self.first.get_or_insert(sequence);
        if sequence < first {
            self.first = Some(sequence);
        }
        if self.received == 1 || sequence > self.highest {
            self.highest = sequence;
            self.update_jitter(timestamp, arrived_us);
        }
    }

    /// RFC 3550 A.8, on the packets that came in order. Only the first packet of a frame says something.
    fn update_jitter(&mut self, timestamp: u32, arrived_us: u64) {
        if let Some((last_us, last_timestamp)) = self.last_transit {
            let step = timestamp.wrapping_sub(last_timestamp).cast_signed();
            if step == 0 {
                return;
            }
            let elapsed_us = arrived_us.saturating_sub(last_us);
            let elapsed = elapsed_us.saturating_mul(u64::from(self.clock_rate_hz)) / 1_000_000;
            let difference = elapsed.cast_signed().saturating_sub(i64::from(step)).unsigned_abs();
            // A publisher that jumps in time does not tell of the network.
            if difference < u64::from(self.clock_rate_hz) * 10 {
                self.jitter_x16 = self.jitter_x16 + difference - ((self.jitter_x16 + 8) >> 4);
            }
        }
        self.last_transit = Some((arrived_us, timestamp));
    }

    pub fn sender_report(&mut self, ntp: u64, arrived_us: u64) {
        self.last_report = Some(((ntp >> 16) as u32, arrived_us));
    }

    #[must_use]
    pub fn expected(&self) -> u64 {
        self.first.map_or(0, |first| self.highest - first + 1)
    }

    #[must_use]
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    #[must_use]
    pub fn packets(&self) -> u64 {
        self.received
    }

    /// Expected and lost between the last two reports.
    #[must_use]
    pub fn interval(&self) -> (u64, u64) {
        self.interval
    }

    #[must_use]
    pub fn jitter_us(&self) -> u32 {
        let us = (self.jitter_x16 >> 4) * 1_000_000 / u64::from(self.clock_rate_hz);
        u32::try_from(us).unwrap_or(u32::MAX)
    }

    /// The report block of this interval; `None` before the first packet.
    pub fn report(&mut self, ssrc: u32, now_us: u64) -> Option<ReportBlock> {
        // Cycles count from the first packet on, wherever the numbers were extended from (RFC 3550 A.1).
        let cycles_from = self.first? & !0xffff;
        let expected = self.expected();
        let interval = expected.saturating_sub(self.expected_prior);
        let received = self.received.saturating_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost = interval.saturating_sub(received);
        let fraction_lost = (lost << 8).checked_div(interval).unwrap_or(0).min(255) as u8;
        self.interval = (interval, lost);
        let (last_sender_report, delay_since_last) = match self.last_report {
            Some((compact, arrived_us)) => (compact, compact_duration(now_us.saturating_sub(arrived_us))),
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: i32::try_from(self.lost()).unwrap_or(i32::MAX).min(0x7f_ffff),
            highest_sequence: self.highest.saturating_sub(cycles_from) as u32,
            jitter: u32::try_from(self.jitter_x16 >> 4).unwrap_or(u32::MAX),
            last_sender_report,
            delay_since_last,
        })
    }
}

/// In 1/65536 s, as RTCP counts delays.
fn compact_duration(duration_us: u64) -> u32 {
    u32::try_from(duration_us.saturating_mul(65_536) / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_loss_of_the_interval_and_in_all() {
        let mut stats = ReceiverStats::new(90_000);
        assert_eq!(stats.report(1, 0), None);
        for sequence in (65_500..65_600).filter(|sequence| sequence % 4 != 0) {
            stats.received(sequence, sequence as u32 * 3000, sequence * 33_333);
        }
        let block = stats.report(1, 0).expect("packets came");
        assert_eq!(block.highest_sequence, 65_599);
        assert_eq!((block.fraction_lost, block.cumulative_lost), (62, 24));
        for sequence in 65_600..65_700 {
            stats.received(sequence, sequence as u32 * 3000, sequence * 33_333);
        }
        let block = stats.report(1, 0).expect("packets came");
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 24));
        stats.received(65_504, 0, 0);
        assert_eq!(stats.lost(), 23);
    }

    #[test]
    fn cycles_count_from_the_first_packet() {
        let mut stats = ReceiverStats::new(90_000);
        stats.received(3 * 65_536 + 65_535, 0, 0);
        assert_eq!(stats.report(1, 0).expect("a packet came").highest_sequence, 65_535);
        stats.received(4 * 65_536, 0, 0);
        assert_eq!(stats.report(1, 0).expect("packets came").highest_sequence, 65_536);
    }

    #[test]
    fn jitter_is_small_for_steady_and_grows_for_uneven_arrival() {
        let mut steady = ReceiverStats::new(90_000);
        let mut uneven = ReceiverStats::new(90_000);
        for frame in 0..200_u64 {
            let timestamp = (frame as u32).wrapping_mul(3000).wrapping_add(u32::MAX - 90_000);
            steady.received(frame, timestamp, frame * 100_000 / 3);
            uneven.received(frame, timestamp, frame * 100_000 / 3 + (frame % 2) * 10_000);
        }
        assert!(steady.jitter_us() < 100, "{}", steady.jitter_us());
        assert!((9_000..11_000).contains(&uneven.jitter_us()), "{}", uneven.jitter_us());
    }

    #[test]
    fn tells_how_long_ago_the_sender_report_came() {
        let mut stats = ReceiverStats::new(48_000);
        stats.received(5, 0, 0);
        stats.sender_report(0x1234_5678_9abc_def0, 1_000_000);
        let block = stats.report(9, 1_500_000).expect("a packet came");
        assert_eq!((block.last_sender_report, block.delay_since_last), (0x5678_9abc, 32_768));
    }
}
