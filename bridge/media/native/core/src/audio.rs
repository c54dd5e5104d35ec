//! Audio levels by the client-to-mixer extension (RFC 6464), smoothed so that a meter looks steady.

const SILENCE: f32 = 127.0;
/// Share of a new, louder packet: speech shows within two packets; quiet falls slower.
const ATTACK: f32 = 0.5;
const DECAY: f32 = 0.1;
/// What a packet usually holds. With DTX one comes after 400 ms of silence (RFC 7587 section 3.1.3), and
/// stands for all of it.
const PACKET_US: u64 = 20_000;
const MOST_PACKETS: u64 = 50;
/// Smaller changes are not news.
const NEWS_DB: u8 = 2;
/// A microphone that sends nothing (muted, DTX) falls silent after this.
const QUIET_AFTER_US: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub struct LevelMeter {
    level: f32,
    told: u8,
    heard_us: u64,
}

impl Default for LevelMeter {
    fn default() -> Self {
        Self { level: SILENCE, told: SILENCE as u8, heard_us: 0 }
    }
}

impl LevelMeter {
    /// `value`: the extension's first byte, voice activity and level.
    pub fn packet(&mut self, value: u8, now_us: u64) {
        let level = f32::from(value & 0x7f);
        let share = if level < self.level {
            ATTACK
        } else {
            let packets = (now_us.saturating_sub(self.heard_us) / PACKET_US).clamp(1, MOST_PACKETS);
            1.0 - (1.0 - DECAY).powi(packets as i32)
        };
        self.level += (level - self.level) * share;
        self.heard_us = now_us;
    }

    /// The level in -dBov if it changed enough since it was told last.
    pub fn news(&mut self, now_us: u64) -> Option<u8> {
        if now_us.saturating_sub(self.heard_us) > QUIET_AFTER_US {
            self.level = SILENCE;
        }
        let level = (self.level + 0.5) as u8;
        if level.abs_diff(self.told) < NEWS_DB {
            return None;
        }
        self.told = level;
        Some(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_shows_at_once_and_silence_follows_when_nothing_comes() {
        let mut meter = LevelMeter::default();
        assert_eq!(meter.news(0), None);
        for packet in 0..5 {
            meter.packet(0x80 | 30, packet * 20_000);
        }
        let loud = meter.news(100_000).expect("it changed");
        assert!((30..40).contains(&loud), "{loud}");
        meter.packet(0x80 | 30, 120_000);
        assert_eq!(meter.news(120_000), Some(32).filter(|_| loud >= 34));
        assert_eq!(meter.news(5_000_000), Some(127));
        assert_eq!(meter.news(5_200_000), None);
    }

    #[test]
    fn one_packet_after_a_pause_says_that_all_of_it_was_quiet() {
        let (mut every, mut sparse) = (LevelMeter::default(), LevelMeter::default());
        for packet in 0..10 {
            every.packet(0x80 | 30, packet * 20_000);
            sparse.packet(0x80 | 30, packet * 20_000);
        }
        for packet in 10..30 {
            every.packet(60, packet * 20_000);
        }
        sparse.packet(60, 29 * 20_000);
        let (every, sparse) = (every.news(580_000), sparse.news(580_000));
        assert_eq!(every, sparse);
        assert!(every > Some(50), "{every:?}");
    }
}
