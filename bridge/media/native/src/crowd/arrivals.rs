//! Which transport-wide numbers came when, until the next feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use bridge_relay_core::wire::rtcp::{self, FeedbackFields};

/// More packets than come between two feedbacks, many times over.
const MAX_PACKETS: usize = 1_024;

#[derive(Default)]
pub struct Arrivals {
    /// The number after the newest one that was told of.
    next: Option<u16>,
    base: u16,
    arrived_us: Vec<Option<u64>>,
    feedback_count: u8,
}

impl Arrivals {
    pub fn note(&mut self, now_us: u64, sequence: u16) {
        if self.arrived_us.is_empty() {
            // What was lost between two feedbacks belongs to the later one.
            self.base = self
                .next
                .filter(|next| usize::from(sequence.wrapping_sub(*next)) < MAX_PACKETS)
                .unwrap_or(sequence);
        }
        let place = usize::from(sequence.wrapping_sub(self.base));
        if place < MAX_PACKETS {
            if place >= self.arrived_us.len() {
                self.arrived_us.resize(place + 1, None);
            }
            self.arrived_us[place] = Some(now_us);
        }
    }

    /// Appends feedback on all that came since the last call; nothing where nothing came.
    pub fn write(&mut self, out: &mut Vec<u8>, media: u32) {
        let mut rest = self.arrived_us.as_slice();
        while !rest.is_empty() {
            let fields = FeedbackFields {
                sender: 1,
                media,
                feedback_count: self.feedback_count,
                base_sequence: self.base,
            };
            let covered = rtcp::write_transport_feedback(out, &fields, rest);
            if covered == 0 {
                break;
            }
            self.feedback_count = self.feedback_count.wrapping_add(1);
            self.base = self.base.wrapping_add(covered as u16);
            self.next = Some(self.base);
            rest = &rest[covered..];
        }
        self.arrived_us.clear();
    }
}

#[cfg(test)]
mod tests {
    use bridge_relay_core::wire::rtcp::RtcpPacket;

    use super::*;

    fn told(arrivals: &mut Arrivals) -> Vec<(u16, bool)> {
        let mut out = Vec::new();
        arrivals.write(&mut out, 7);
        let mut told = Vec::new();
        for packet in rtcp::parse(&out) {
            let Ok(RtcpPacket::TransportFeedback(feedback)) = packet else { panic!("no feedback") };
            told.extend(feedback.arrivals().map(|(sequence, at)| (sequence, at.is_some())));
        }
        told
    }

    #[test]
    fn tells_of_each_number_once_and_of_those_that_did_not_come() {
        let mut arrivals = Arrivals::default();
        for sequence in [65_534, 65_535, 1] {
            arrivals.note(1_000, sequence);
        }
        assert_eq!(told(&mut arrivals), [(65_534, true), (65_535, true), (0, false), (1, true)]);
        assert_eq!(told(&mut arrivals), []);
        arrivals.note(2_000, 3);
        assert_eq!(told(&mut arrivals), [(2, false), (3, true)]);
    }
}
