use super::*;

const HERE: Origin = Origin { track: 0, generation: 1, layer: 0 };
const HIGH: Origin = Origin { track: 0, generation: 1, layer: 1 };

fn packet(sequence: u64, timestamp: u32) -> SourcePacket {
    SourcePacket { sequence, timestamp, arrived_us: 0, clock_rate_hz: 90_000, picture: None }
}

fn at(sequence: u64, timestamp: u32, arrived_us: u64) -> SourcePacket {
    SourcePacket { arrived_us, ..packet(sequence, timestamp) }
}

fn forwarded(munger: &mut Munger, origin: Origin, packet: &SourcePacket) -> (u64, u32) {
    let munged = munger.forward(origin, packet).expect("of the running span");
    (munged.sequence, munged.timestamp)
}

#[test]
fn gaps_of_the_source_stay_and_can_be_filled() {
    let mut munger = Munger::new(None);
    munger.begin(HERE, &packet(65_535, 100), None);
    assert_eq!(forwarded(&mut munger, HERE, &packet(65_535, 100)), (1, 100));
    assert_eq!(forwarded(&mut munger, HERE, &packet(65_538, 300)), (4, 300));
    assert_eq!(forwarded(&mut munger, HERE, &packet(65_536, 200)), (2, 200));
    assert_eq!(munger.forward(HERE, &packet(65_534, 0)), None);
    assert_eq!(munger.forward(HIGH, &packet(65_539, 0)), None);
}

#[test]
fn a_switch_leaves_no_gap_and_goes_forward_in_time_by_arrival() {
    let mut munger = Munger::new(None);
    munger.begin(HERE, &at(10, 1_000, 1_000_000), None);
    forwarded(&mut munger, HERE, &at(10, 1_000, 1_000_000));
    forwarded(&mut munger, HERE, &at(12, 4_000, 1_033_000));
    let keyframe = at(9_000, 77, 1_133_000);
    munger.begin(HIGH, &keyframe, None);
    assert_eq!(forwarded(&mut munger, HIGH, &keyframe), (4, 4_000 + 9_000));
    assert_eq!(forwarded(&mut munger, HIGH, &at(9_001, 3_077, 1_166_000)), (5, 16_000));
    assert_eq!(munger.forward(HERE, &at(13, 7_000, 1_166_000)), None);
}

#[test]
fn sender_reports_decide_the_time_stamp_unless_they_lead_astray() {
    for (aligned, expected) in [(12_900, 12_900), (3_900, 13_000), (4_000 + 90_000 * 60, 13_000)] {
        let mut munger = Munger::new(None);
        munger.begin(HERE, &at(10, 4_000, 1_000_000), None);
        forwarded(&mut munger, HERE, &at(10, 4_000, 1_000_000));
        let keyframe = at(500, 77, 1_100_000);
        munger.begin(HIGH, &keyframe, Some(aligned));
        assert_eq!(forwarded(&mut munger, HIGH, &keyframe), (2, expected));
    }
}

#[test]
fn sent_packets_are_found_across_switches_and_wrap_around() {
    let mut munger = Munger::new(Some(65_533));
    munger.begin(HERE, &packet(100, 0), None);
    for sequence in 100..105 {
        forwarded(&mut munger, HERE, &packet(sequence, 0));
    }
    munger.begin(HIGH, &packet(7, 0), None);
    forwarded(&mut munger, HIGH, &packet(7, 0));
    assert_eq!(munger.origin(65_534), Some((HERE, 100)));
    assert_eq!(munger.origin(2), Some((HERE, 104)));
    assert_eq!(munger.origin(3), Some((HIGH, 7)));
    assert_eq!(munger.origin(4), None, "not sent yet");
    assert_eq!(munger.origin(65_000), None, "before the first");
    let again = munger.resend(2, &packet(104, 0)).expect("was sent");
    assert_eq!(again.sequence, 65_538);
}

#[test]
fn a_source_that_runs_away_needs_a_new_beginning() {
    let mut munger = Munger::new(None);
    munger.begin(HERE, &packet(10, 0), None);
    forwarded(&mut munger, HERE, &packet(10, 0));
    let far = packet(10 + MAX_GAP + 1, 0);
    assert_eq!(munger.forward(HERE, &far), None);
    assert!(munger.ran_away(HERE, far.sequence));
    munger.begin(HERE, &far, None);
    assert_eq!(forwarded(&mut munger, HERE, &far).0, 2);
}
