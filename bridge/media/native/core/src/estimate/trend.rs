//! Does the delay towards a receiver grow? The trend of one-way delay differences between groups of packets, against a
//! threshold that adapts (draft-ietf-rmcat-gcc-02 section 5, with the line fit that browsers use). Pure arithmetic.

use std::collections::VecDeque;

/// Packets sent within this form one group; media leaves in bursts.
const GROUP_US: u64 = 5_000;
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
const MAX_DELTAS: u32 = 60;
const THRESHOLD_START_MS: f64 = 12.5;
const THRESHOLD_MS: (f64, f64) = (6.0, 600.0);
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
const OVERUSE_MS: f64 = 10.0;
/// A jump of the receiver's clock, not a delay.
const CLOCK_JUMP_US: i64 = 3_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Normal,
    Over,
    Under,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent_us: u64,
    last_sent_us: u64,
    first_arrived_us: i64,
    last_arrived_us: i64,
}

#[derive(Clone, Debug)]
pub struct DelayTrend {
    group: Option<Group>,
    previous: Option<Group>,
    /// Arrival in ms, smoothed accumulated delay in ms.
    points: VecDeque<(f64, f64)>,
    accumulated_ms: f64,
    smoothed_ms: f64,
    deltas: u32,
    trend: f64,
    threshold_ms: f64,
    over_ms: f64,
    over_count: u32,
    updated_ms: Option<f64>,
    usage: Usage,
}

impl Default for DelayTrend {
    fn default() -> Self {
        Self {
            group: None,
            previous: None,
            points: VecDeque::with_capacity(WINDOW),
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            deltas: 0,
            trend: 0.0,
            threshold_ms: THRESHOLD_START_MS,
            over_ms: 0.0,
            over_count: 0,
            updated_ms: None,
            usage: Usage::Normal,
        }
    }
}

impl DelayTrend {
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// One packet, in the order of sending. The two clocks need not agree.
    pub fn packet(&mut self, sent_us: u64, arrived_us: i64) {
        let Some(group) = &mut self.group else {
            self.group = Some(Group::new(sent_us, arrived_us));
            return;
        };
        if sent_us < group.first_sent_us {
            return;
        }
        if group.takes(sent_us, arrived_us) {
            group.last_sent_us = group.last_sent_us.max(sent_us);
            group.last_arrived_us = group.last_arrived_us.max(arrived_us);
            return;
        }
        let complete = *group;
        if let Some(previous) = self.previous {
            self.compare(&previous, &complete);
        }
        self.previous = Some(complete);
        self.group = Some(Group::new(sent_us, arrived_us));
    }

    fn compare(&mut self, previous: &Group, group: &Group) {
        let sent_us = group.last_sent_us.saturating_sub(previous.last_sent_us).cast_signed();
        let arrived_us = group.last_arrived_us - previous.last_arrived_us;
        if (arrived_us - sent_us).abs() > CLOCK_JUMP_US || arrived_us < 0 {
            self.points.clear();
            self.deltas = 0;
            self.accumulated_ms = 0.0;
            self.smoothed_ms = 0.0;
            self.usage = Usage::Normal;
            return;
        }
        self.deltas = (self.deltas + 1).min(MAX_DELTAS);
        self.accumulated_ms += (arrived_us - sent_us) as f64 / 1000.0;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        if self.points.len() == WINDOW {
            self.points.pop_front();
        }
        let arrived_ms = group.last_arrived_us as f64 / 1000.0;
        self.points.push_back((arrived_ms, self.smoothed_ms));
        if self.points.len() == WINDOW {
            let trend = slope(&self.points).unwrap_or(self.trend);
            self.detect(trend, sent_us as f64 / 1000.0, arrived_ms);
        }
    }

    fn detect(&mut self, trend: f64, step_ms: f64, arrived_ms: f64) {
        let modified = f64::from(self.deltas) * trend * GAIN;
        if modified > self.threshold_ms {
            self.over_ms += if self.over_count == 0 { step_ms / 2.0 } else { step_ms };
            self.over_count += 1;
            if self.over_ms > OVERUSE_MS && self.over_count > 1 && trend >= self.trend {
                self.over_ms = 0.0;
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = 0.0;
            self.over_count = 0;
            self.usage = if modified < -self.threshold_ms { Usage::Under } else { Usage::Normal };
        }
        self.trend = trend;
        self.adapt(modified, arrived_ms);
    }

    fn adapt(&mut self, modified: f64, arrived_ms: f64) {
        let elapsed_ms = (arrived_ms - self.updated_ms.unwrap_or(arrived_ms)).clamp(0.0, 100.0);
        self.updated_ms = Some(arrived_ms);
        // A sudden spike (a route change) must not raise the threshold.
        if modified.abs() > self.threshold_ms + 15.0 {
            return;
        }
        let speed = if modified.abs() < self.threshold_ms { THRESHOLD_DOWN } else { THRESHOLD_UP };
        self.threshold_ms += speed * (modified.abs() - self.threshold_ms) * elapsed_ms;
        self.threshold_ms = self.threshold_ms.clamp(THRESHOLD_MS.0, THRESHOLD_MS.1);
    }
}

impl Group {
    fn new(sent_us: u64, arrived_us: i64) -> Self {
        Self {
            first_sent_us: sent_us,
            last_sent_us: sent_us,
            first_arrived_us: arrived_us,
            last_arrived_us: arrived_us,
        }
    }

    fn takes(&self, sent_us: u64, arrived_us: i64) -> bool {
        if sent_us.saturating_sub(self.first_sent_us) <= GROUP_US {
            return true;
        }
        // Held up and released together: a burst, which tells nothing of the rate.
        let sent_step = sent_us.saturating_sub(self.last_sent_us).cast_signed();
        let arrived_step = arrived_us - self.last_arrived_us;
        arrived_step < sent_step
            && arrived_step <= GROUP_US.cast_signed()
            && arrived_us - self.first_arrived_us < 100_000
    }
}

/// Least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for (x, y) in points {
        numerator += (x - mean_x) * (y - mean_y);
        denominator += (x - mean_x) * (x - mean_x);
    }
    (denominator > 0.0).then(|| numerator / denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Usages seen while packets leave every 10 ms and each takes `step_us` longer than the one before.
    fn usages(step_us: i64, count: i64) -> Vec<Usage> {
        let mut trend = DelayTrend::default();
        (0..count)
            .map(|number| {
                let sent_us = number * 10_000;
                trend.packet(sent_us.unsigned_abs(), 77_000_000 + sent_us + number * step_us);
                trend.usage()
            })
            .collect()
    }

    #[test]
    fn a_growing_queue_is_overuse_a_draining_one_underuse_a_steady_one_neither() {
        assert!(usages(1_000, 100).contains(&Usage::Over));
        assert!(usages(-1_000, 100).contains(&Usage::Under));
        assert!(usages(0, 300).iter().all(|usage| *usage == Usage::Normal));
    }

    #[test]
    fn a_jump_of_the_receivers_clock_is_no_overuse() {
        let mut trend = DelayTrend::default();
        for number in 0..200_i64 {
            let jump = if number >= 100 { 10_000_000 } else { 0 };
            trend.packet((number * 10_000).unsigned_abs(), number * 10_000 + jump);
            assert_eq!(trend.usage(), Usage::Normal);
        }
    }
}
