//! One published track and its layers: recent packets, reception quality, whether it flows, what to ask its publisher.
//! Knows its subscribers only as numbers.

use crate::allowance::Allowance;
use crate::api::{Codec, LayerIndex, MediaKind, TrackId, TrackSpec};
use crate::audio::LevelMeter;
use crate::clock::SenderClock;
use crate::keyframes::KeyframeGate;
use crate::layers::LayerMask;
use crate::munge::{Origin, SourcePacket};
use crate::nack::NackList;
use crate::rate::RateMeter;
use crate::receive::ReceiverStats;
use crate::ring::{PacketHead, Ring};

/// About a second of 8 Mbit/s, and of audio with room to spare.
const VIDEO_RING: (usize, usize) = (64, 1_024);
const AUDIO_RING: (usize, usize) = (64, 128);
/// What one layer may bring: so many packets at once, and one more every so many microseconds. Some 24 Mbit/s of
/// pictures, three times the best ultrasound; more is a flood that would be multiplied to everybody.
const VIDEO_ALLOWANCE: (u64, u64) = (4_096, 500);
const AUDIO_ALLOWANCE: (u64, u64) = (512, 2_500);
/// A layer that falls silent this long while another goes on does not flow.
const LAG_US: u64 = 600_000;
/// As announced by `Event::TrackStalled`.
const STALL_US: u64 = 2_000_000;

pub struct Track {
    pub id: TrackId,
    /// Distinguishes this track from another that takes its index or id later.
    pub generation: u64,
    pub peer: usize,
    pub spec: TrackSpec,
    pub paused: bool,
    pub tapped: bool,
    pub layers: Vec<Layer>,
    pub subscribers: Vec<usize>,
    /// Layer and sequence number of what came in this batch, in order of arrival.
    pub noted: Vec<(LayerIndex, u64)>,
    pub level: LevelMeter,
    pub flowing: LayerMask,
}

pub struct Layer {
    pub ring: Ring,
    pub stats: ReceiverStats,
    pub nacks: NackList,
    pub gate: KeyframeGate,
    pub clock: Option<SenderClock>,
    pub codec: Option<Codec>,
    pub rate: RateMeter,
    pub width: u16,
    pub height: u16,
    pub frames: u64,
    pub frames_told: u64,
    pub keyframes: u64,
    pub recovered: u64,
    /// Nothing up to here is shown: it came while the track was paused.
    pub floor: u64,
    /// As of the last sweep.
    pub bitrate_bps: u64,
    /// Somebody is shown it or waits for it, as of the last sweep: a keyframe is worth asking for.
    pub watched: bool,
    pub allowance: Allowance,
    arrived_us: Option<u64>,
    stalled: bool,
    /// Added to the packet index of the publisher's SRTP, which starts anew with a new SSRC or new keys.
    base: u64,
    rebase: bool,
    last_timestamp: Option<u32>,
    last_keyframe: Option<u32>,
}

impl Layer {
    fn new(kind: MediaKind) -> Self {
        let video = kind == MediaKind::Video;
        let (least, most) = if video { VIDEO_RING } else { AUDIO_RING };
        let (burst, every_us) = if video { VIDEO_ALLOWANCE } else { AUDIO_ALLOWANCE };
        Self {
            ring: Ring::new(least, most),
            stats: ReceiverStats::new(1),
            nacks: NackList::default(),
            gate: KeyframeGate::default(),
            clock: None,
            codec: None,
            rate: RateMeter::default(),
            width: 0,
            height: 0,
            frames: 0,
            frames_told: 0,
            keyframes: 0,
            recovered: 0,
            floor: 0,
            bitrate_bps: 0,
            watched: false,
            allowance: Allowance::new(burst, every_us, 0),
            arrived_us: None,
            stalled: false,
            base: 0,
            rebase: true,
            last_timestamp: None,
            last_keyframe: None,
        }
    }

    /// The stream begins anew: other SSRC or other keys.
    pub fn restart_stream(&mut self) {
        self.rebase = true;
        self.clock = None;
    }

    /// The layer's own, never wrapping sequence number of a packet index of the publisher's.
    pub fn extend_index(&mut self, index: u64, clock_rate_hz: u32) -> u64 {
        if self.rebase {
            self.rebase = false;
            // Never 0: what a stream lost before its first packet still has a number. The low 16 bits stay.
            let highest = self.ring.highest().map_or(0x1_0000, |highest| highest + 1);
            self.base = highest.next_multiple_of(0x1_0000);
            self.stats = ReceiverStats::new(clock_rate_hz);
            self.nacks = NackList::default();
            self.ring.forget_keyframe();
        }
        self.base + index
    }

    /// The number of a retransmitted packet; only known relative to what came.
    #[must_use]
    pub fn extend_original(&self, original: u16) -> Option<u64> {
        if self.rebase {
            return None;
        }
        Some(crate::feedback::extend(self.ring.highest()?, original))
    }

    /// Notes an arrival; true if it is the first, or the first after a stall.
    pub fn arrived(&mut self, head: &PacketHead) -> bool {
        let started = self.arrived_us.is_none() || self.stalled;
        self.arrived_us = Some(head.arrived_us);
        self.stalled = false;
        if self.last_timestamp != Some(head.timestamp) {
            self.last_timestamp = Some(head.timestamp);
            self.frames += 1;
        }
        started
    }

    /// A keyframe began; parameter sets and picture of one frame count once.
    pub fn note_keyframe(&mut self, head: &PacketHead, dimensions: Option<(u16, u16)>) {
        if self.last_keyframe != Some(head.timestamp) {
            self.last_keyframe = Some(head.timestamp);
            self.keyframes += 1;
        }
        if let Some((width, height)) = dimensions {
            (self.width, self.height) = (width, height);
        }
        self.gate.served();
    }

    /// Shuts away everything so far: it must not be replayed or forwarded late.
    pub fn seal_off(&mut self) {
        self.floor = self.ring.highest().unwrap_or(0);
        self.ring.forget_keyframe();
    }

    /// True once when it has stopped flowing.
    pub fn take_stall(&mut self, now_us: u64) -> bool {
        let Some(arrived_us) = self.arrived_us else { return false };
        if self.stalled || now_us.saturating_sub(arrived_us) < STALL_US {
            return false;
        }
        self.stalled = true;
        true
    }
}

impl Track {
    #[must_use]
    pub fn new(id: TrackId, generation: u64, peer: usize, spec: TrackSpec) -> Self {
        let layers = spec.layers.iter().map(|_| Layer::new(spec.kind)).collect();
        Self {
            id,
            generation,
            peer,
            spec,
            paused: false,
            tapped: false,
            layers,
            subscribers: Vec::new(),
            noted: Vec::new(),
            level: LevelMeter::default(),
            flowing: 0,
        }
    }

    #[must_use]
    pub fn is_video(&self) -> bool {
        self.spec.kind == MediaKind::Video
    }

    #[must_use]
    pub fn origin(&self, index: usize, layer: LayerIndex) -> Origin {
        Origin { track: index, generation: self.generation, layer }
    }

    /// Judges anew which layers flow.
    pub fn update_flowing(&mut self) {
        let newest_us = self.layers.iter().filter_map(|layer| layer.arrived_us).max().unwrap_or(0);
        self.flowing = 0;
        for (number, layer) in self.layers.iter().enumerate() {
            let flows = layer.arrived_us.is_some_and(|arrived_us| arrived_us + LAG_US >= newest_us);
            if flows && !layer.stalled {
                self.flowing |= 1 << number;
            }
        }
    }

    /// Of what came in this batch, some watched layer's newest packet does not end its frame.
    #[must_use]
    pub fn has_unfinished_frame(&self) -> bool {
        let is_unfinished = |number: usize, layer: &Layer| {
            let newest = self.noted.iter().rev().find(|(noted, _)| usize::from(*noted) == number);
            let head = newest.and_then(|(_, sequence)| layer.ring.get(*sequence));
            head.is_some_and(|(head, _)| !head.marker)
        };
        self.is_video()
            && self
                .layers
                .iter()
                .enumerate()
                .any(|(number, layer)| layer.watched && is_unfinished(number, layer))
    }

    /// The outgoing time stamp that continues what a stream at `last` of another layer said, by sender reports.
    #[must_use]
    pub fn align(&self, from: LayerIndex, offset: u32, to: LayerIndex, timestamp: u32) -> Option<u32> {
        let from = self.layers.get(usize::from(from))?.clock?;
        let to = self.layers.get(usize::from(to))?.clock?;
        Some(to.translate(timestamp, &from)?.wrapping_add(offset))
    }
}

impl PacketHead {
    #[must_use]
    pub fn source(&self) -> SourcePacket {
        SourcePacket {
            sequence: self.sequence,
            timestamp: self.timestamp,
            arrived_us: self.arrived_us,
            clock_rate_hz: self.clock_rate_hz,
            picture: self.picture,
        }
    }
}

impl Codec {
    #[must_use]
    pub fn kind(self) -> MediaKind {
        if self == Codec::Opus { MediaKind::Audio } else { MediaKind::Video }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LayerSpec;
    use crate::ring::PassedExtensions;

    fn track(layers: usize) -> Track {
        let spec = TrackSpec {
            kind: MediaKind::Video,
            mid: "0".into(),
            layers: vec![LayerSpec::default(); layers],
            nack: true,
        };
        Track::new(TrackId(1), 1, 0, spec)
    }

    fn head(arrived_us: u64) -> PacketHead {
        PacketHead {
            sequence: 1,
            timestamp: 0,
            arrived_us,
            marker: false,
            keyframe_start: false,
            codec: Codec::Vp8,
            clock_rate_hz: 90_000,
            picture: None,
            extensions: PassedExtensions::default(),
        }
    }

    #[test]
    fn a_layer_that_lags_behind_another_does_not_flow() {
        let mut track = track(2);
        assert!(track.layers[0].arrived(&head(1_000_000)));
        assert!(track.layers[1].arrived(&head(1_000_000)));
        assert!(!track.layers[1].arrived(&head(1_010_000)));
        track.update_flowing();
        assert_eq!(track.flowing, 0b11);
        track.layers[0].arrived(&head(1_700_000));
        track.update_flowing();
        assert_eq!(track.flowing, 0b01);
        track.layers[1].arrived(&head(1_710_000));
        track.update_flowing();
        assert_eq!(track.flowing, 0b11);
    }

    #[test]
    fn a_frame_is_unfinished_until_its_marker_on_layers_that_are_watched() {
        let mut track = track(2);
        let mut note = |layer: usize, sequence: u64, marker: bool| {
            track.layers[layer].ring.insert(PacketHead { sequence, marker, ..head(1) }, &[]);
            track.noted.push((layer as u8, sequence));
            let mut unfinished = [false; 2];
            for (watched, unfinished) in unfinished.iter_mut().enumerate() {
                track.layers[watched].watched = true;
                *unfinished = track.has_unfinished_frame();
                track.layers[watched].watched = false;
            }
            unfinished
        };
        assert_eq!(note(0, 1, false), [true, false]);
        assert_eq!(note(1, 1, true), [true, false]);
        assert_eq!(note(0, 2, true), [false, false]);
        assert_eq!(note(1, 2, false), [false, true]);
        track.noted.clear();
        track.layers[1].watched = true;
        assert!(!track.has_unfinished_frame());
    }

    #[test]
    fn a_stall_is_told_once_and_ended_by_a_packet() {
        let mut track = track(1);
        let layer = &mut track.layers[0];
        assert!(!layer.take_stall(9_000_000));
        layer.arrived(&head(1_000_000));
        assert!(!layer.take_stall(2_900_000));
        assert!(layer.take_stall(3_000_000));
        assert!(!layer.take_stall(3_100_000));
        assert!(layer.arrived(&head(4_000_000)));
    }

    #[test]
    fn numbers_go_up_over_a_new_stream_and_keep_their_low_bits() {
        let mut layer = Layer::new(MediaKind::Video);
        let first = layer.extend_index(65_000, 90_000);
        assert_eq!(first as u16, 65_000);
        layer.ring.insert(PacketHead { sequence: first, ..head(0) }, &[]);
        assert_eq!(layer.extend_original(64_999), Some(first - 1));
        layer.restart_stream();
        assert_eq!(layer.extend_original(64_999), None);
        let second = layer.extend_index(7, 90_000);
        assert!(second > first);
        assert_eq!(second as u16, 7);
    }
}
