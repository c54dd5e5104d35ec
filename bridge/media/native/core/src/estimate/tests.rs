use super::*;

/// A link with a capacity, a queue and random loss, on virtual time.
struct Link {
    capacity_bps: u64,
    delay_us: u64,
    loss_every: u64,
    free_us: u64,
    queue_us: u64,
    /// A busy machine at the other end: it hands over ever later for a while, but every fourth packet in time.
    busy: bool,
}

impl Link {
    fn new(capacity_bps: u64) -> Self {
        Self {
            capacity_bps,
            delay_us: 20_000,
            loss_every: u64::MAX,
            free_us: 0,
            queue_us: 300_000,
            busy: false,
        }
    }

    fn carry(&mut self, number: u64, size_bytes: usize, now_us: u64) -> Option<i64> {
        let start_us = self.free_us.max(now_us);
        if start_us - now_us > self.queue_us || number % self.loss_every == self.loss_every - 1 {
            return None;
        }
        self.free_us = start_us + size_bytes as u64 * 8_000_000 / self.capacity_bps;
        let late_us = if self.busy && !number.is_multiple_of(4) { number % 200 * 600 } else { 0 };
        Some((self.free_us + late_us + self.delay_us) as i64)
    }
}

/// Sends for `seconds`, the given share of the estimate or a fixed rate, and feeds back every 50 ms.
fn run(
    estimate: &mut SendEstimate,
    link: &mut Link,
    seconds: u64,
    rate: impl Fn(u64) -> u64,
    limit_bps: u64,
) -> u64 {
    let start_us = estimate.updated_us + 1_000_000;
    let mut told = Vec::new();
    let mut credit = 0_u64;
    let mut number = 0;
    for now_us in (start_us..start_us + seconds * 1_000_000).step_by(5_000) {
        let known_bps = estimate.estimate_bps(now_us).unwrap_or(START_BPS);
        credit += rate(known_bps) / 8 * 5_000 / 1_000_000;
        let mut padding = estimate.prober.due(now_us, known_bps, limit_bps) as usize;
        while credit >= 1_000 || padding > 0 {
            let size_bytes = if credit >= 1_000 { 1_000 } else { 280 };
            credit = credit.saturating_sub(size_bytes as u64);
            padding = padding.saturating_sub(size_bytes);
            let sequence = estimate.sending(size_bytes, now_us);
            told.push((sequence, link.carry(number, size_bytes, now_us)));
            number += 1;
        }
        if now_us % 50_000 == 0 {
            let ready = told
                .partition_point(|(_, arrived)| arrived.is_none_or(|arrived_us| arrived_us <= now_us as i64));
            estimate.feedback(told.drain(..ready), 40_000, now_us);
        }
    }
    estimate.estimate_bps(start_us + seconds * 1_000_000).unwrap_or(0)
}

#[test]
fn unknown_until_the_peer_tells() {
    assert_eq!(SendEstimate::default().estimate_bps(0), None);
}

#[test]
fn a_value_to_begin_with_is_no_news_before_a_probe_trouble_or_two_seconds() {
    let mut idle = SendEstimate::default();
    assert_eq!(run(&mut idle, &mut Link::new(20_000_000), 1, |_| 300_000, 0), 0);
    assert_ne!(run(&mut idle, &mut Link::new(20_000_000), 2, |_| 300_000, 0), 0);
    let probed = run(&mut SendEstimate::default(), &mut Link::new(20_000_000), 1, |_| 300_000, 6_000_000);
    assert!(probed > 2_500_000, "{probed}");
    let full = run(&mut SendEstimate::default(), &mut Link::new(700_000), 1, |_| 1_500_000, 0);
    assert!((400_000..800_000).contains(&full), "{full}");
}

#[test]
fn a_busy_machine_on_a_free_line_does_not_pull_it_down() {
    let mut estimate = SendEstimate::default();
    let mut link = Link { busy: true, ..Link::new(20_000_000) };
    let held = run(&mut estimate, &mut link, 20, |_| 1_200_000, 1_800_000);
    assert!(held >= 1_700_000, "{held}");
}

#[test]
fn a_queue_that_is_answered_again_and_again_shows_the_capacity_and_not_less() {
    let mut estimate = SendEstimate::default();
    for _ in 0..10 {
        let shown = run(&mut estimate, &mut Link::new(1_500_000), 1, |_| 1_700_000, 0);
        assert!((1_100_000..1_550_000).contains(&shown), "{shown}");
    }
}

#[test]
fn settles_below_the_capacity_when_it_sends_what_it_estimates() {
    let mut estimate = SendEstimate::default();
    let settled = run(&mut estimate, &mut Link::new(1_000_000), 30, |bps| bps, 0);
    assert!((600_000..1_100_000).contains(&settled), "{settled}");
}

#[test]
fn falls_within_two_seconds_when_the_capacity_falls() {
    let mut estimate = SendEstimate::default();
    let before = run(&mut estimate, &mut Link::new(8_000_000), 20, |bps| bps.min(6_000_000), 0);
    assert!(before > 3_000_000, "{before}");
    let after = run(&mut estimate, &mut Link::new(1_000_000), 2, |bps| bps, 0);
    assert!(after < 1_300_000, "{after}");
}

#[test]
fn light_random_loss_does_not_pull_it_down() {
    let mut estimate = SendEstimate::default();
    let mut link = Link { loss_every: 20, ..Link::new(20_000_000) };
    let held = run(&mut estimate, &mut link, 20, |_| 2_000_000, 0);
    assert!(held >= 1_800_000, "{held}");
    assert!((0.03..0.07).contains(&estimate.loss()), "{}", estimate.loss());
}

#[test]
fn what_arrives_in_time_is_believed_in_spite_of_light_loss() {
    let mut estimate = SendEstimate::default();
    run(&mut estimate, &mut Link::new(700_000), 2, |_| 1_200_000, 0);
    let mut link = Link { loss_every: 20, ..Link::new(20_000_000) };
    let back = run(&mut estimate, &mut link, 2, |_| 1_200_000, 0);
    assert!(back >= 1_100_000, "{back}");
}

#[test]
fn heavy_loss_pulls_it_down() {
    let mut estimate = SendEstimate::default();
    let mut link = Link { loss_every: 3, ..Link::new(20_000_000) };
    let fallen = run(&mut estimate, &mut link, 10, |bps| bps, 0);
    assert!(fallen < 600_000, "{fallen}");
}

#[test]
fn without_probes_an_idle_link_stays_unknown_and_with_probes_it_is_found() {
    let mut estimate = SendEstimate::default();
    let idle = run(&mut estimate, &mut Link::new(20_000_000), 10, |_| 300_000, 0);
    assert!(idle <= 2_000_000, "{idle}");
    let mut probing = SendEstimate::default();
    let found = run(&mut probing, &mut Link::new(20_000_000), 10, |_| 300_000, 8_000_000);
    assert!(found >= 6_000_000, "{found}");
}

#[test]
fn probes_do_not_find_what_is_not_there() {
    let mut estimate = SendEstimate::default();
    let found = run(&mut estimate, &mut Link::new(3_000_000), 20, |_| 1_000_000, 20_000_000);
    assert!((1_500_000..3_600_000).contains(&found), "{found}");
}

#[test]
fn without_feedback_remb_and_reported_loss_decide() {
    let mut estimate = SendEstimate::default();
    estimate.remb(3_000_000, 0);
    assert_eq!(estimate.estimate_bps(0), Some(3_000_000));
    for second in 1..5 {
        estimate.remb(3_000_000, second * 1_000_000);
        estimate.reported_loss(0.3, second * 1_000_000);
    }
    let lossy = estimate.estimate_bps(5_000_000).expect("known");
    assert!(lossy < 1_800_000, "{lossy}");
}

#[test]
fn feedback_about_packets_never_sent_changes_nothing() {
    let mut estimate = SendEstimate::default();
    estimate.feedback((0..1000).map(|sequence| (sequence, Some(5))), 0, 10);
    assert_eq!(estimate.estimate_bps(10), None);
    estimate.sending(100, 20);
    estimate.feedback([(7, Some(5)), (40_000, Some(9))].into_iter(), 0, 30);
    assert_eq!(estimate.estimate_bps(30), None);
}
