//! What a crowd counts, all members together.

use bridge_relay_core::api::TRANSIT_BOUNDS_US;

/// Totals since the crowd began; who left still counts, except in the lines that say "now".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Now: members, those of them whose checks are answered, and the pictures that come to them.
    pub members: u64,
    pub connected: u64,
    pub pictures: u64,
    /// Now: pictures of which a packet came within the last two seconds.
    pub flowing: u64,
    /// Media packets that came, each counted once, and the bytes of their datagrams; of these, sound.
    pub received: u64,
    pub received_bytes: u64,
    pub sounds: u64,
    pub sound_bytes: u64,
    /// Came by retransmission, though lost at first.
    pub recovered: u64,
    pub duplicates: u64,
    /// Given up after asking again and again.
    pub lost: u64,
    /// Came before our half of the DTLS handshake was through, as happens to browsers.
    pub early: u64,
    /// Probes and what else belongs to no track.
    pub strange: u64,
    /// Decrypted in full and authenticated; and those that failed to.
    pub checked: u64,
    pub wrong: u64,
    pub sent: u64,
    pub sent_bytes: u64,
    pub resent: u64,
    /// Could not be handed to the kernel.
    pub unsent: u64,
    /// Lost on the way up, as the relay reports it.
    pub lost_up: i64,
    pub nacks_sent: u64,
    pub keyframes_asked: u64,
    /// Requests that came, and keyframes that went out (by request, or because the loop came round).
    pub keyframe_requests: u64,
    /// The shortest time between two requests for one layer; 0 while there were no two.
    pub keyframe_apart_us: u64,
    pub keyframes_sent: u64,
    pub thread_cpu_us: u64,
    /// How late sends were, by [`TRANSIT_BOUNDS_US`].
    pub lateness: Lateness,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lateness([u64; TRANSIT_BOUNDS_US.len() + 1]);

impl Default for Lateness {
    fn default() -> Self {
        Self([0; TRANSIT_BOUNDS_US.len() + 1])
    }
}

impl Lateness {
    pub fn note(&mut self, late_us: u64) {
        self.0[TRANSIT_BOUNDS_US.partition_point(|bound| u64::from(*bound) < late_us)] += 1;
    }

    #[must_use]
    pub fn buckets(&self) -> &[u64] {
        &self.0
    }
}
