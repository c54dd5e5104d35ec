//! A publisher's own clock, from its sender reports (RFC 3550 section 6.4.1): which wall time a time stamp means, and
//! how the time stamps of two of its streams relate. Everything stays in the publisher's clock: its tracks keep in step
//! (lip sync), and a viewer can tell the delay from capture.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderClock {
    /// 32.32 fixed point seconds.
    pub ntp: u64,
    pub rtp_timestamp: u32,
    pub arrived_us: u64,
    pub clock_rate_hz: u32,
}

/// Two streams of one publisher further apart than this do not share a clock.
const MAX_APART_S: i64 = 20;

impl SenderClock {
    /// The publisher's time and the stream's time stamp at `now_us`, carried on from the report.
    #[must_use]
    pub fn at(&self, now_us: u64) -> (u64, u32) {
        let elapsed_us = u128::from(now_us.saturating_sub(self.arrived_us));
        let ntp_step = (elapsed_us << 32) / 1_000_000;
        let rtp_step = elapsed_us * u128::from(self.clock_rate_hz) / 1_000_000;
        (self.ntp.wrapping_add(ntp_step as u64), self.rtp_timestamp.wrapping_add(rtp_step as u32))
    }

    /// The time stamp that `other` had at the moment when this stream had `timestamp`.
    #[must_use]
    pub fn translate(&self, timestamp: u32, other: &SenderClock) -> Option<u32> {
        if self.clock_rate_hz != other.clock_rate_hz {
            return None;
        }
        let apart = self.ntp.wrapping_sub(other.ntp).cast_signed();
        if (apart >> 32).abs() > MAX_APART_S {
            return None;
        }
        // (fixed point seconds) times (ticks a second), rounded to ticks.
        let ticks = (i128::from(apart) * i128::from(self.clock_rate_hz) + (1 << 31)) >> 32;
        let since_report = timestamp.wrapping_sub(self.rtp_timestamp);
        Some(other.rtp_timestamp.wrapping_add(since_report).wrapping_add(ticks as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1 << 32;

    fn clock(ntp: u64, rtp_timestamp: u32) -> SenderClock {
        SenderClock { ntp, rtp_timestamp, arrived_us: 5_000_000, clock_rate_hz: 90_000 }
    }

    #[test]
    fn goes_on_from_the_report() {
        let (ntp, rtp) = clock(10 * SECOND, u32::MAX - 10).at(5_500_000);
        assert_eq!((ntp, rtp), (10 * SECOND + SECOND / 2, 45_000_u32.wrapping_sub(11)));
    }

    #[test]
    fn translates_time_stamps_between_streams_of_one_clock() {
        let low = clock(100 * SECOND, 1_000);
        let high = clock(101 * SECOND + SECOND / 2, u32::MAX - 500);
        let same_moment = high.translate((u32::MAX - 500).wrapping_add(9_000), &low);
        assert_eq!(same_moment, Some(1_000 + 135_000 + 9_000));
        assert_eq!(low.translate(1_000 + 135_000, &high), Some(u32::MAX - 500));
    }

    #[test]
    fn clocks_far_apart_are_not_compared() {
        assert_eq!(clock(100 * SECOND, 0).translate(0, &clock(200 * SECOND, 0)), None);
    }
}
