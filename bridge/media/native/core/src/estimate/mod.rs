//! What the link towards one subscriber bears. With transport-wide feedback: the delay trend steers additive and
//! multiplicative changes, loss bounds them and probes lift them (draft-ietf-rmcat-gcc-02). Without: REMB and the loss
//! of receiver reports. Pure; the relay feeds it and tells rooms.

mod probe;
mod queue;
mod sent;
mod trend;

pub use probe::Prober;
use queue::StandingQueue;
use sent::{Sent, SentRing};
use trend::{DelayTrend, Usage};

use crate::feedback::extend;
use crate::rate::RateMeter;

/// A ward's uplink carries this; less is found within a second.
pub const START_BPS: u64 = 2_000_000;
const MIN_BPS: u64 = 50_000;
/// UDP over IPv4: a line counts it too, and small packets of padding are a tenth of it.
const LINE_OVERHEAD_BYTES: usize = 28;
const MAX_BPS: u64 = 200_000_000;
const DECREASE: f64 = 0.85;
const INCREASE_A_SECOND: f64 = 1.08;
const ACKED_WINDOW_US: u64 = 500_000;
/// While its queue stands a line hands over all that it can: a short look shows its capacity, a longer one what came before.
const CAPACITY_WINDOW_US: u64 = 200_000;
/// The receiver's clock was set.
const CLOCK_JUMP_US: u64 = 5_000_000;
/// Loss below is noise of a radio link, above it is a queue that runs over.
const LOSS_LOW: f64 = 0.02;
const LOSS_HIGH: f64 = 0.10;
const LOSS_WINDOW_US: u64 = 500_000;
/// With fewer, single losses of a lossy but free line look like a queue that runs over.
const LOSS_MIN_PACKETS: u32 = 50;
/// A growing delay counts only once every packet waits so long: short of that it is a busy machine or a radio link.
const STANDING_US: u64 = 25_000;
/// An estimate that neither a probe nor trouble has tested is no news for so long.
const SETTLE_US: u64 = 2_000_000;
const REMB_VALID_US: u64 = 5_000_000;

#[derive(Debug, Default)]
struct LossWindow {
    since_us: u64,
    lost: u32,
    received: u32,
    share: f32,
}

/// One packet of a feedback message: transport-wide number, arrival on the receiver's clock.
pub type Arrival = (u16, Option<i64>);

pub struct SendEstimate {
    sent: SentRing,
    next: u64,
    trend: DelayTrend,
    queue: StandingQueue,
    acked: RateMeter,
    acked_lately: RateMeter,
    /// Arrival of the newest packet on our clock.
    arrived_us: u64,
    /// Maps the receiver's clock onto ours, for the rate of arrival.
    arrival_base: Option<(i64, u64)>,
    loss: LossWindow,
    estimate_bps: f64,
    /// It says something of this line, and is not only the value to begin with.
    known: bool,
    first_feedback_us: Option<u64>,
    /// Near this the rate grows by steps, not by shares.
    capacity_bps: Option<f64>,
    updated_us: u64,
    decreased_us: u64,
    remb: Option<(u64, u64)>,
    pub prober: Prober,
}

impl Default for SendEstimate {
    fn default() -> Self {
        Self {
            sent: SentRing::default(),
            next: 0,
            trend: DelayTrend::default(),
            queue: StandingQueue::default(),
            acked: RateMeter::over(ACKED_WINDOW_US),
            acked_lately: RateMeter::over(CAPACITY_WINDOW_US),
            arrived_us: 0,
            arrival_base: None,
            loss: LossWindow::default(),
            estimate_bps: START_BPS as f64,
            known: false,
            first_feedback_us: None,
            capacity_bps: None,
            updated_us: 0,
            decreased_us: 0,
            remb: None,
            prober: Prober::default(),
        }
    }
}

impl SendEstimate {
    /// Gives the next packet its transport-wide number and remembers it.
    pub fn sending(&mut self, size_bytes: usize, now_us: u64) -> u16 {
        let size_bytes = size_bytes + LINE_OVERHEAD_BYTES;
        let sequence = self.next;
        self.next += 1;
        let cluster = self.prober.sending(size_bytes, now_us);
        let size_bytes = size_bytes as u32;
        self.sent.note(Sent { sequence_plus_one: sequence + 1, sent_us: now_us, size_bytes, cluster });
        sequence as u16
    }

    /// The newest packet did not leave: its number is given again.
    pub fn not_sent(&mut self) {
        if let Some(last) = self.next.checked_sub(1) {
            self.next = last;
            self.sent.forget(last);
        }
    }

    /// Bits a second, `None` until what the peer told says something of the line.
    #[must_use]
    pub fn estimate_bps(&self, now_us: u64) -> Option<u64> {
        let remb_bps = self.valid_remb(now_us);
        let own_bps = self.known.then_some(self.estimate_bps as u64);
        match (own_bps, remb_bps) {
            (Some(own_bps), Some(remb_bps)) => Some(own_bps.min(remb_bps)),
            (own_bps, remb_bps) => own_bps.or(remb_bps),
        }
    }

    fn valid_remb(&self, now_us: u64) -> Option<u64> {
        self.remb.filter(|(_, told_us)| now_us.saturating_sub(*told_us) < REMB_VALID_US).map(|(bps, _)| bps)
    }

    /// How long every packet waits on the way to the peer, beyond the shortest way known.
    #[must_use]
    pub fn standing_us(&self) -> u64 {
        self.queue.standing_us()
    }

    /// Share lost on the way to the peer in the last interval, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f32 {
        self.loss.share
    }

    /// `draft-alvestrand-rmcat-remb-03`: the receiver's own estimate.
    pub fn remb(&mut self, bitrate_bps: u64, now_us: u64) {
        self.remb = Some((bitrate_bps.clamp(MIN_BPS, MAX_BPS), now_us));
    }

    /// Loss as a receiver report says, for peers without transport-wide feedback.
    pub fn reported_loss(&mut self, share: f32, now_us: u64) {
        if self.next > 0 && self.known {
            return;
        }
        self.loss.share = share;
        let Some(remb_bps) = self.valid_remb(now_us) else { return };
        if !self.known {
            self.known = true;
            self.estimate_bps = remb_bps as f64;
        }
        self.bound_by_loss(f64::from(share));
        if f64::from(share) < LOSS_LOW {
            self.estimate_bps *= INCREASE_A_SECOND;
        }
        self.estimate_bps = self.estimate_bps.min(remb_bps as f64 * 1.5);
        self.clamp();
    }

    /// A transport-wide feedback message.
    pub fn feedback(&mut self, arrivals: impl Iterator<Item = Arrival>, rtt_us: u64, now_us: u64) {
        let mut newest_arrival = None;
        for (short, arrived) in arrivals {
            // Numbers of packets that were never sent find an empty or another entry.
            let sequence = extend(self.next.saturating_sub(1), short);
            let Some(entry) = self.sent.get(sequence) else { continue };
            match arrived {
                Some(arrived_us) => {
                    self.sent.forget(sequence);
                    self.arrived(&entry, arrived_us, now_us);
                    newest_arrival = newest_arrival.max(Some(arrived_us));
                }
                None => self.loss.lost += 1,
            }
        }
        if newest_arrival.is_none() && self.loss.lost == 0 {
            return;
        }
        let first_us = *self.first_feedback_us.get_or_insert(now_us);
        self.known |= now_us.saturating_sub(first_us) >= SETTLE_US;
        self.update(rtt_us, now_us);
    }

    fn arrived(&mut self, entry: &Sent, arrived_us: i64, now_us: u64) {
        self.loss.received += 1;
        self.trend.packet(entry.sent_us, arrived_us);
        self.queue.packet(entry.sent_us, arrived_us);
        let local_us = self.on_our_clock(arrived_us, now_us);
        self.acked.add(entry.size_bytes as usize, local_us);
        self.acked_lately.add(entry.size_bytes as usize, local_us);
        let size_bytes = u64::from(entry.size_bytes);
        let result = self.prober.acked(entry.cluster, size_bytes, arrived_us, self.estimate_bps as u64);
        if let Some(shown_bps) = result
            && shown_bps as f64 > self.estimate_bps
            && self.trend.usage() != Usage::Over
            && f64::from(self.loss.share) < LOSS_HIGH
        {
            self.estimate_bps = shown_bps as f64;
            self.known = true;
            self.capacity_bps = None;
            self.clamp();
        }
    }

    /// Roughly: what matters is the time between arrivals.
    fn on_our_clock(&mut self, arrived_us: i64, now_us: u64) -> u64 {
        let (base_remote, base_local) = *self.arrival_base.get_or_insert((arrived_us, now_us));
        let local_us = base_local.saturating_add_signed(arrived_us.saturating_sub(base_remote));
        if local_us.abs_diff(now_us) > CLOCK_JUMP_US {
            self.arrival_base = Some((arrived_us, now_us));
            self.arrived_us = now_us;
            return now_us;
        }
        self.arrived_us = self.arrived_us.max(local_us);
        local_us
    }

    fn update(&mut self, rtt_us: u64, now_us: u64) {
        let elapsed_us = now_us.saturating_sub(self.updated_us).min(1_000_000);
        self.updated_us = now_us;
        let acked_bps = self.acked.bitrate_bps(self.arrived_us) as f64;
        match self.trend.usage() {
            Usage::Over if self.queue.standing_us() >= STANDING_US => {
                let capacity_bps = self.acked_lately.bitrate_bps(self.arrived_us) as f64;
                self.decrease(capacity_bps, rtt_us, now_us);
            }
            Usage::Over | Usage::Under => {}
            Usage::Normal => self.increase(acked_bps, rtt_us, elapsed_us),
        }
        self.judge_loss(now_us);
        self.clamp();
    }

    fn decrease(&mut self, capacity_bps: f64, rtt_us: u64, now_us: u64) {
        // One queue is answered once: its effect shows after a round trip.
        let wait_us = rtt_us.clamp(100_000, 1_000_000);
        if now_us.saturating_sub(self.decreased_us) < wait_us && capacity_bps > self.estimate_bps / 2.0 {
            return;
        }
        self.decreased_us = now_us;
        self.known = true;
        // Answered twice, one queue must not count twice: what the line carries is known, and is not taken down again.
        let reference = if capacity_bps > 0.0 { capacity_bps } else { self.estimate_bps };
        self.capacity_bps = Some(reference);
        self.estimate_bps = self.estimate_bps.min(reference * DECREASE);
        self.prober.reset_spacing(now_us);
    }

    fn increase(&mut self, acked_bps: f64, rtt_us: u64, elapsed_us: u64) {
        let seconds = elapsed_us as f64 / 1e6;
        let near_capacity = self
            .capacity_bps
            .is_some_and(|capacity| self.estimate_bps > 0.8 * capacity && self.estimate_bps < 1.3 * capacity);
        let grown = if near_capacity {
            // About one packet a response time.
            let response_s = (rtt_us + 100_000) as f64 / 1e6;
            self.estimate_bps + (9_600.0 / response_s).max(4_000.0) * seconds
        } else {
            self.estimate_bps * INCREASE_A_SECOND.powf(seconds)
        };
        // What was not used is not known to be there; what arrived without queueing is.
        let cap = acked_bps * 1.5 + 10_000.0;
        if grown <= cap {
            self.estimate_bps = grown;
        }
        // Single losses of a radio link do not unsay what arrived.
        let clear = f64::from(self.loss.share) < LOSS_HIGH && self.queue.standing_us() < STANDING_US;
        if clear && acked_bps > self.estimate_bps {
            self.estimate_bps = acked_bps;
        }
    }

    fn judge_loss(&mut self, now_us: u64) {
        let packets = self.loss.lost + self.loss.received;
        if now_us.saturating_sub(self.loss.since_us) < LOSS_WINDOW_US || packets < LOSS_MIN_PACKETS {
            return;
        }
        let share = f64::from(self.loss.lost) / f64::from(packets);
        self.loss = LossWindow { since_us: now_us, share: share as f32, ..LossWindow::default() };
        self.bound_by_loss(share);
    }

    fn bound_by_loss(&mut self, share: f64) {
        if share > LOSS_HIGH {
            self.known = true;
            self.estimate_bps *= 1.0 - 0.5 * share;
        }
    }

    fn clamp(&mut self) {
        self.estimate_bps = self.estimate_bps.clamp(MIN_BPS as f64, MAX_BPS as f64);
    }
}

#[cfg(test)]
mod tests;
