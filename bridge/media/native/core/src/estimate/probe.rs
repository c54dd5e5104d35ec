//! Looking for room above what is being sent: short clusters of padding at a higher rate, and what came of them.
//! The relay sends the padding; the estimate is told the result.

/// A cluster must be long enough to see a queue grow, short enough to harm nobody.
const CLUSTER_US: u64 = 40_000;
const MIN_CLUSTER_BYTES: u64 = 5_000;
const FIRST_SPACING_US: u64 = 1_000_000;
/// A line that became better is found out within this; a cluster so rarely is seen by nobody.
const MAX_SPACING_US: u64 = 6_000_000;
/// How long after the cluster its feedback is waited for.
const RESULT_WAIT_US: u64 = 1_000_000;
const STEP_UP: u64 = 2;

#[derive(Clone, Debug)]
struct Cluster {
    id: u8,
    started_us: u64,
    target_bps: u64,
    sent_bytes: u64,
    sent: u32,
    acked: u32,
    acked_bytes: u64,
    first_bytes: u64,
    last_bytes: u64,
    send: Option<(u64, u64)>,
    arrival: Option<(i64, i64)>,
    done: bool,
}

#[derive(Clone, Debug)]
pub struct Prober {
    cluster: Option<Cluster>,
    last_id: u8,
    next_us: u64,
    spacing_us: u64,
}

impl Default for Prober {
    fn default() -> Self {
        Self { cluster: None, last_id: 0, next_us: 0, spacing_us: FIRST_SPACING_US }
    }
}

impl Prober {
    /// Starts a cluster if it is time and there is something to find: bytes of padding to send now, 0 for none.
    pub fn due(&mut self, now_us: u64, estimate_bps: u64, limit_bps: u64) -> u64 {
        if let Some(cluster) = &mut self.cluster {
            if !cluster.done {
                return cluster.pace(now_us);
            }
            if now_us.saturating_sub(cluster.started_us) < CLUSTER_US + RESULT_WAIT_US {
                return 0;
            }
            // Nothing was told of it: a peer that gives no feedback is not probed every second.
            self.cluster = None;
            self.back_off();
            self.next_us = now_us + self.spacing_us;
        }
        if now_us < self.next_us || limit_bps <= estimate_bps + estimate_bps / 20 {
            return 0;
        }
        self.next_us = now_us + self.spacing_us;
        self.last_id = self.last_id % 254 + 1;
        let mut cluster = Cluster::new(self.last_id, now_us, (estimate_bps * STEP_UP).min(limit_bps));
        let bytes = cluster.pace(now_us);
        self.cluster = Some(cluster);
        bytes
    }

    /// While a cluster is being sent `due` wants to be called often.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| !cluster.done)
    }

    /// The number of the running cluster, for the packet that is about to be sent; 0 when there is none.
    pub fn sending(&mut self, size_bytes: usize, now_us: u64) -> u8 {
        let Some(cluster) = self.cluster.as_mut().filter(|cluster| !cluster.done) else { return 0 };
        cluster.sent += 1;
        cluster.sent_bytes += size_bytes as u64;
        cluster.last_bytes = size_bytes as u64;
        let first_us = cluster.send.map_or(now_us, |(first_us, _)| first_us);
        cluster.send = Some((first_us, now_us));
        cluster.id
    }

    /// A packet of a cluster arrived. Returns the rate that the cluster showed once enough of it is known.
    pub fn acked(&mut self, id: u8, size_bytes: u64, arrived_us: i64, estimate_bps: u64) -> Option<u64> {
        let cluster = self.cluster.as_mut().filter(|cluster| cluster.id == id && id != 0)?;
        cluster.acked += 1;
        cluster.acked_bytes += size_bytes;
        cluster.arrival = Some(match cluster.arrival {
            Some((first, last)) => (first.min(arrived_us), last.max(arrived_us)),
            None => {
                cluster.first_bytes = size_bytes;
                (arrived_us, arrived_us)
            }
        });
        if !cluster.done || cluster.acked * 10 < cluster.sent * 9 {
            return None;
        }
        let result_bps = cluster.result_bps();
        self.cluster = None;
        let found = result_bps.is_some_and(|result_bps| result_bps > estimate_bps + estimate_bps / 20);
        if found {
            self.spacing_us = FIRST_SPACING_US;
            self.next_us = 0;
        } else {
            self.back_off();
        }
        result_bps
    }

    /// Finding nothing again and again must not cost the link a regular disturbance.
    fn back_off(&mut self) {
        self.spacing_us = (self.spacing_us * 2).min(MAX_SPACING_US);
    }

    /// The link turned out worse: look again before long.
    pub fn reset_spacing(&mut self, now_us: u64) {
        self.spacing_us = FIRST_SPACING_US;
        self.next_us = self.next_us.min(now_us + 5 * FIRST_SPACING_US).max(now_us + 2 * FIRST_SPACING_US);
    }
}

impl Cluster {
    fn new(id: u8, started_us: u64, target_bps: u64) -> Self {
        Self {
            id,
            started_us,
            target_bps,
            sent_bytes: 0,
            sent: 0,
            acked: 0,
            acked_bytes: 0,
            first_bytes: 0,
            last_bytes: 0,
            send: None,
            arrival: None,
            done: false,
        }
    }

    /// What is still to be sent to keep the target rate up to now.
    fn pace(&mut self, now_us: u64) -> u64 {
        let elapsed_us = now_us.saturating_sub(self.started_us);
        let goal = (self.target_bps / 8 * CLUSTER_US / 1_000_000).max(MIN_CLUSTER_BYTES);
        if elapsed_us >= CLUSTER_US && self.sent_bytes >= goal.min(MIN_CLUSTER_BYTES)
            || elapsed_us >= 4 * CLUSTER_US
        {
            self.done = true;
            return 0;
        }
        // A little ahead, so that the first turn sends something.
        let wanted = self.target_bps / 8 * (elapsed_us + 5_000) / 1_000_000;
        wanted.min(goal).saturating_sub(self.sent_bytes)
    }

    fn result_bps(&self) -> Option<u64> {
        let ((first_sent, last_sent), (first_arrived, last_arrived)) = (self.send?, self.arrival?);
        let send_us = last_sent.saturating_sub(first_sent);
        let arrive_us = u64::try_from(last_arrived.checked_sub(first_arrived)?).ok()?;
        if send_us == 0 || arrive_us == 0 || self.acked < 5 {
            return None;
        }
        let send_bps = self.sent_bytes.saturating_sub(self.last_bytes) * 8_000_000 / send_us;
        let arrive_bps = self.acked_bytes.saturating_sub(self.first_bytes) * 8_000_000 / arrive_us;
        // Arriving slower than sent, the link is full: stay a little below it.
        let full = arrive_bps * 10 < send_bps * 9;
        let shown_bps = if full { arrive_bps * 95 / 100 } else { send_bps.min(arrive_bps) };
        // Packets that a busy machine let go together seem faster than they were meant to be.
        Some(shown_bps.min(self.target_bps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs one cluster over a link of `capacity_bps` and returns what it showed.
    fn probe(prober: &mut Prober, start_us: u64, capacity_bps: u64, estimate_bps: u64) -> Option<u64> {
        let mut free_us = 0.0_f64;
        let mut result = None;
        let mut flights = Vec::new();
        for now_us in (start_us..start_us + 200_000).step_by(5_000) {
            let mut bytes = prober.due(now_us, estimate_bps, 50_000_000);
            while bytes > 0 {
                let id = prober.sending(280, now_us);
                free_us = free_us.max(now_us as f64) + 280.0 * 8e6 / capacity_bps as f64;
                flights.push((id, free_us as i64));
                bytes = bytes.saturating_sub(280);
            }
        }
        for (id, arrived_us) in flights {
            result = prober.acked(id, 280, arrived_us, estimate_bps).or(result);
        }
        result
    }

    #[test]
    fn shows_the_probed_rate_on_a_free_link_and_the_capacity_of_a_full_one() {
        let free = probe(&mut Prober::default(), 0, 100_000_000, 2_000_000).expect("a result");
        assert!((3_300_000..5_000_000).contains(&free), "{free}");
        let full = probe(&mut Prober::default(), 0, 2_500_000, 2_000_000).expect("a result");
        assert!((2_000_000..2_700_000).contains(&full), "{full}");
    }

    #[test]
    fn probes_ever_more_rarely_while_nothing_is_found() {
        let mut prober = Prober::default();
        let mut started = Vec::new();
        let mut now_us = 0;
        while now_us < 60_000_000 {
            if prober.due(now_us, 2_000_000, 50_000_000) > 0 {
                started.push(now_us);
                let later = now_us + 200_000;
                probe(&mut prober, now_us, 2_000_000, 2_000_000);
                now_us = later;
            }
            now_us += 100_000;
        }
        assert!((8..=12).contains(&started.len()), "{started:?}");
    }

    #[test]
    fn a_peer_that_tells_nothing_is_probed_ever_more_rarely() {
        let mut prober = Prober::default();
        let mut clusters = 0;
        let mut last_id = 0;
        for now_us in (0..60_000_000).step_by(5_000) {
            if prober.due(now_us, 2_000_000, 50_000_000) > 0 {
                let id = prober.sending(6_000, now_us);
                clusters += u32::from(id != last_id);
                last_id = id;
            }
        }
        assert!((6..=12).contains(&clusters), "{clusters}");
    }

    #[test]
    fn does_not_probe_above_the_limit() {
        assert_eq!(Prober::default().due(0, 2_000_000, 2_050_000), 0);
        assert_eq!(Prober::default().due(0, 2_000_000, 0), 0);
    }
}
