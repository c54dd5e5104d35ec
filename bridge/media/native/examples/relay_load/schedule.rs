//! When the publisher sends what: 720p-like video in bursts, and Opus.

pub const FRAMES_PER_SECOND: u64 = 30;
pub const PACKETS_PER_FRAME: usize = 6;
/// 180 packets of these a second are 1.5 Mbit/s.
pub const VIDEO_PAYLOAD_BYTES: usize = 1_042;
pub const AUDIO_PER_SECOND: u64 = 50;
/// 20 ms of Opus at 32 kbit/s.
pub const AUDIO_PAYLOAD_BYTES: usize = 80;

pub const VIDEO_CLOCK_HZ: u64 = 90_000;
pub const AUDIO_CLOCK_HZ: u64 = 48_000;

/// Something that happens so many times a second, without drift.
pub struct Ticker {
    start_us: u64,
    per_second: u64,
    count: u64,
}

impl Ticker {
    pub fn new(start_us: u64, per_second: u64) -> Self {
        Self { start_us, per_second, count: 0 }
    }

    pub fn next_us(&self) -> u64 {
        self.start_us + self.count * 1_000_000 / self.per_second
    }

    /// The number of the tick that is due, once.
    pub fn take(&mut self, now_us: u64) -> Option<u64> {
        if now_us < self.next_us() {
            return None;
        }
        self.count += 1;
        Some(self.count - 1)
    }

    pub fn count(&self) -> u64 {
        self.count
    }
}
