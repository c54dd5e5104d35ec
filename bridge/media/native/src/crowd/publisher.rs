//! Who sends: the reel's layers as VP8 (RFC 7741) by simulcast, and Opus-shaped sound with its level, as browsers do.
//! Answers NACK by RTX (RFC 4588) and requests for keyframes by jumping to the reel's next one.

use std::sync::Arc;

use bridge_relay_core::api::ExtensionIds;
use bridge_relay_core::wire::rtcp::{self, RtcpPacket};
use bridge_relay_core::wire::rtp::{self, RtpError};

use super::client::Client;
use super::counts::Counts;
use super::reel::Reel;
use super::stream::{Content, Identity, Stream};
use super::ticker::Ticker;
use crate::clock;
use crate::send::SendQueue;

const VIDEO_CLOCK_HZ: u64 = 90_000;
const AUDIO_CLOCK_HZ: u64 = 48_000;
/// Frames of 20 ms.
const SOUNDS_PER_SECOND: u64 = 50;
/// At 32 kbit/s; and of silence, as an encoder without discontinuous transmission makes of it.
const SPEECH_BYTES: usize = 80;
const SILENCE_BYTES: usize = 8;
/// Opus, 20 ms, mono, one frame (RFC 6716 section 3.1).
const OPUS_HEAD: u8 = 0x78;
/// RFC 6464, with the bit that says speech; and silence.
const SPEECH_LEVEL: u8 = 0x80 | 30;
const SILENCE_LEVEL: u8 = 127;
const REPORTS_PER_SECOND: u64 = 1;
/// How many packets of a layer can be sent again: some seconds.
const HISTORY: usize = 512;
/// Seconds from 1900 to 1970 (RFC 5905).
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// What a member publishes.
pub struct PublisherSpec {
    pub extensions: ExtensionIds,
    pub audio: Option<AudioSpec>,
    pub video: Option<VideoSpec>,
}

pub struct AudioSpec {
    pub mid: String,
    pub payload_type: u8,
    pub ssrc: u32,
}

pub struct VideoSpec {
    pub mid: String,
    pub payload_type: u8,
    pub rtx_payload_type: u8,
    pub layers: Vec<VideoLayerSpec>,
}

/// `rid` names a layer of the reel, too.
pub struct VideoLayerSpec {
    pub rid: String,
    pub ssrc: u32,
    pub rtx_ssrc: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// The reel has no layer of that name.
    UnknownLayer,
    Header(RtpError),
}

/// One moment of the crowd's thread: what every action of a member needs.
pub struct Turn<'a> {
    pub now_us: u64,
    pub queue: &'a mut SendQueue,
    pub counts: &'a mut Counts,
}

pub struct Publisher {
    reel: Arc<Reel>,
    extensions: ExtensionIds,
    layers: Vec<Layer>,
    audio: Option<Audio>,
    reports: Ticker,
    transport_sequence: u16,
    start_us: u64,
}

struct Layer {
    rid: String,
    place: usize,
    on: bool,
    stream: Stream,
    rtx: Option<Stream>,
    frames: Ticker,
    /// The newest one sent; none yet, or none since the layer was off.
    frame: Option<usize>,
    keyframe_wanted: bool,
    asked_us: Option<u64>,
    picture_id: u16,
    history: Vec<Option<Sent>>,
    lost_up: i32,
}

struct Audio {
    stream: Stream,
    sounds: Ticker,
    speaking: bool,
    lost_up: i32,
}

/// Where a sent packet is found again.
#[derive(Clone, Copy)]
struct Sent {
    index: u64,
    timestamp: u32,
    picture_id: u16,
    frame: usize,
    part: usize,
}

impl Publisher {
    pub fn new(spec: PublisherSpec, reel: Arc<Reel>) -> Result<Self, SpecError> {
        let extensions = spec.extensions;
        let mut layers = Vec::new();
        if let Some(video) = &spec.video {
            for layer in &video.layers {
                layers.push(Layer::new(&extensions, video, layer, &reel)?);
            }
        }
        let audio = match &spec.audio {
            Some(audio) => Some(Audio::new(&extensions, audio)?),
            None => None,
        };
        let reports = Ticker::new(0, REPORTS_PER_SECOND);
        Ok(Self { reel, extensions, layers, audio, reports, transport_sequence: 0, start_us: 0 })
    }

    /// Begins to send.
    pub fn start(&mut self, now_us: u64) {
        self.start_us = now_us;
        for layer in &mut self.layers {
            layer.frames = Ticker::new(now_us, self.reel.layers[layer.place].frames_per_second);
        }
        if let Some(audio) = &mut self.audio {
            // Not in step with the frames, as in life.
            audio.sounds = Ticker::new(now_us + 7_000, SOUNDS_PER_SECOND);
        }
        self.reports = Ticker::new(now_us + 1_000_000 / REPORTS_PER_SECOND, REPORTS_PER_SECOND);
    }

    /// Only these layers are sent from now on.
    pub fn set_layers(&mut self, rids: &[String], now_us: u64) {
        for layer in &mut self.layers {
            let on = rids.contains(&layer.rid);
            if on && !layer.on {
                layer.frames.skip_to(now_us);
                layer.frame = None;
            }
            layer.on = on;
        }
    }

    pub fn set_speaking(&mut self, speaking: bool) {
        if let Some(audio) = &mut self.audio {
            audio.speaking = speaking;
        }
    }

    #[must_use]
    pub fn next_us(&self) -> u64 {
        let frames = self.layers.iter().filter(|layer| layer.on).map(|layer| layer.frames.next_us());
        let sounds = self.audio.iter().map(|audio| audio.sounds.next_us());
        frames.chain(sounds).fold(self.reports.next_us(), u64::min)
    }

    pub fn send_due(&mut self, client: &mut Client, turn: &mut Turn<'_>) {
        if self.reports.take(turn.now_us).is_some() {
            self.send_reports(client, turn);
        }
        for layer in self.layers.iter_mut().filter(|layer| layer.on) {
            while let Some(due_us) = layer.frames.take(turn.now_us) {
                turn.counts.lateness.note(turn.now_us - due_us);
                let timestamp = layer.stream.timestamp(due_us - self.start_us);
                layer.send_frame(&self.reel, timestamp, client, turn, &mut self.transport_sequence);
            }
        }
        if let Some(audio) = &mut self.audio {
            while let Some(due_us) = audio.sounds.take(turn.now_us) {
                turn.counts.lateness.note(turn.now_us - due_us);
                let timestamp = audio.stream.timestamp(due_us - self.start_us);
                let level = self.extensions.audio_level;
                audio.send(level, timestamp, client, turn, &mut self.transport_sequence);
            }
        }
    }

    fn send_reports(&self, client: &mut Client, turn: &mut Turn<'_>) {
        let wall_us = clock::wall_us();
        let ntp = ((wall_us / 1_000_000 + NTP_OFFSET_S) << 32) | (((wall_us % 1_000_000) << 32) / 1_000_000);
        let since_us = turn.now_us - self.start_us;
        let videos = self.layers.iter().filter(|layer| layer.on).map(|layer| &layer.stream);
        let mut compound = Vec::new();
        for stream in videos.chain(self.audio.iter().map(|audio| &audio.stream)) {
            rtcp::write_sender_report(&mut compound, stream.ssrc, &stream.report(ntp, since_us), &[]);
            rtcp::write_sdes_cname(&mut compound, stream.ssrc, "crowd");
        }
        if !compound.is_empty() {
            client.send_rtcp(turn.queue, &compound);
        }
    }

    /// Takes a decrypted compound.
    pub fn receive_rtcp(&mut self, compound: &[u8], client: &mut Client, turn: &mut Turn<'_>) {
        for packet in rtcp::parse(compound).flatten() {
            match packet {
                RtcpPacket::PictureLoss { media, .. } => self.want_keyframe(media, turn),
                RtcpPacket::FullIntraRequest { entries, .. } => {
                    entries.for_each(|(media, _)| self.want_keyframe(media, turn));
                }
                RtcpPacket::Nack { media, sequences, .. } => {
                    let layer = self.layers.iter_mut().find(|layer| layer.stream.ssrc == media);
                    if let Some(layer) = layer {
                        for sequence in sequences {
                            layer.resend(&self.reel, sequence, client, turn, &mut self.transport_sequence);
                        }
                    }
                }
                RtcpPacket::ReceiverReport { reports, .. } | RtcpPacket::SenderReport { reports, .. } => {
                    reports.for_each(|report| self.note_report(report, turn.counts));
                }
                _ => {}
            }
        }
    }

    fn want_keyframe(&mut self, media: u32, turn: &mut Turn<'_>) {
        if let Some(layer) = self.layers.iter_mut().find(|layer| layer.stream.ssrc == media) {
            layer.keyframe_wanted = true;
            turn.counts.keyframe_requests += 1;
            if let Some(before_us) = layer.asked_us.replace(turn.now_us) {
                let apart_us = turn.now_us.saturating_sub(before_us).max(1);
                let least_us = &mut turn.counts.keyframe_apart_us;
                *least_us = if *least_us == 0 { apart_us } else { apart_us.min(*least_us) };
            }
        }
    }

    fn note_report(&mut self, report: rtcp::ReportBlock, counts: &mut Counts) {
        let layers = self.layers.iter_mut().map(|layer| (&mut layer.stream, &mut layer.lost_up));
        let audio = self.audio.iter_mut().map(|audio| (&mut audio.stream, &mut audio.lost_up));
        if let Some((stream, lost_up)) = layers.chain(audio).find(|(stream, _)| stream.ssrc == report.ssrc) {
            stream.known = true;
            counts.lost_up += i64::from(report.cumulative_lost - *lost_up);
            *lost_up = report.cumulative_lost;
        }
    }
}

impl Layer {
    fn new(
        extensions: &ExtensionIds,
        video: &VideoSpec,
        spec: &VideoLayerSpec,
        reel: &Reel,
    ) -> Result<Self, SpecError> {
        let place = reel.layer(&spec.rid).ok_or(SpecError::UnknownLayer)?;
        let identity = |id| Identity { mid: &video.mid, rid: Some((id, spec.rid.as_str())) };
        let stream =
            Stream::new(spec.ssrc, video.payload_type, VIDEO_CLOCK_HZ, extensions, &identity(extensions.rid))
                .map_err(SpecError::Header)?;
        let rtx = match video.rtx_payload_type {
            0 => None,
            payload_type => {
                let identity = identity(extensions.repaired_rid);
                let stream = Stream::new(spec.rtx_ssrc, payload_type, VIDEO_CLOCK_HZ, extensions, &identity);
                Some(stream.map_err(SpecError::Header)?)
            }
        };
        Ok(Self {
            rid: spec.rid.clone(),
            place,
            on: true,
            stream,
            rtx,
            frames: Ticker::new(0, reel.layers[place].frames_per_second),
            frame: None,
            keyframe_wanted: false,
            asked_us: None,
            picture_id: 0,
            history: vec![None; HISTORY],
            lost_up: 0,
        })
    }

    fn send_frame(
        &mut self,
        reel: &Reel,
        timestamp: u32,
        client: &mut Client,
        turn: &mut Turn<'_>,
        transport_sequence: &mut u16,
    ) {
        let shown = &reel.layers[self.place];
        let keyframe = std::mem::take(&mut self.keyframe_wanted);
        let frame = self.frame.map_or(0, |newest| shown.next(newest, keyframe));
        self.frame = Some(frame);
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        turn.counts.keyframes_sent += u64::from(shown.is_keyframe(frame));
        for part in 0..shown.parts(frame) {
            let sent = Sent { index: self.stream.index, timestamp, picture_id: self.picture_id, frame, part };
            let payload = shown.part(frame, part);
            let content = Content {
                marker: part + 1 == shown.parts(frame),
                timestamp,
                head: &descriptor(part == 0, self.picture_id),
                payload,
                extensions: &[],
            };
            let abs_send_time = rtp::abs_send_time(turn.now_us);
            if self.stream.send(client, turn.queue, &content, abs_send_time, transport_sequence) {
                self.history[sent.index as usize % HISTORY] = Some(sent);
                turn.counts.sent += 1;
                turn.counts.sent_bytes += payload.len() as u64;
            } else {
                turn.counts.unsent += 1;
            }
        }
    }

    fn resend(
        &mut self,
        reel: &Reel,
        sequence: u16,
        client: &mut Client,
        turn: &mut Turn<'_>,
        transport_sequence: &mut u16,
    ) {
        let Some(rtx) = &mut self.rtx else { return };
        // The number's newest meaning, at most a whole turn of sixteen bits back.
        let back = (self.stream.index as u16).wrapping_sub(sequence);
        let Some(index) = self.stream.index.checked_sub(u64::from(back)) else { return };
        let Some(sent) = self.history[index as usize % HISTORY].filter(|sent| sent.index == index) else {
            return;
        };
        let shown = &reel.layers[self.place];
        let mut head = [0; 6];
        head[..2].copy_from_slice(&sequence.to_be_bytes());
        head[2..].copy_from_slice(&descriptor(sent.part == 0, sent.picture_id));
        let content = Content {
            marker: sent.part + 1 == shown.parts(sent.frame),
            timestamp: sent.timestamp,
            head: &head,
            payload: shown.part(sent.frame, sent.part),
            extensions: &[],
        };
        let abs_send_time = rtp::abs_send_time(turn.now_us);
        turn.counts.resent +=
            u64::from(rtx.send(client, turn.queue, &content, abs_send_time, transport_sequence));
    }
}

impl Audio {
    fn new(extensions: &ExtensionIds, spec: &AudioSpec) -> Result<Self, SpecError> {
        let identity = Identity { mid: &spec.mid, rid: None };
        let stream = Stream::new(spec.ssrc, spec.payload_type, AUDIO_CLOCK_HZ, extensions, &identity)
            .map_err(SpecError::Header)?;
        Ok(Self { stream, sounds: Ticker::new(0, SOUNDS_PER_SECOND), speaking: false, lost_up: 0 })
    }

    fn send(
        &mut self,
        level_id: u8,
        timestamp: u32,
        client: &mut Client,
        turn: &mut Turn<'_>,
        transport_sequence: &mut u16,
    ) {
        let mut payload = [0x5a; SPEECH_BYTES];
        payload[0] = OPUS_HEAD;
        let (len, level) =
            if self.speaking { (SPEECH_BYTES, SPEECH_LEVEL) } else { (SILENCE_BYTES, SILENCE_LEVEL) };
        let level = [level];
        let extension = [(level_id, level.as_slice())];
        let content = Content {
            timestamp,
            payload: &payload[..len],
            extensions: if level_id == 0 { &[] } else { &extension },
            ..Content::default()
        };
        let abs_send_time = rtp::abs_send_time(turn.now_us);
        if self.stream.send(client, turn.queue, &content, abs_send_time, transport_sequence) {
            turn.counts.sent += 1;
            turn.counts.sent_bytes += len as u64;
        } else {
            turn.counts.unsent += 1;
        }
    }
}

/// RFC 7741 section 4.2, with a 15-bit picture id.
fn descriptor(first: bool, picture_id: u16) -> [u8; 4] {
    let [high, low] = (0x8000 | picture_id).to_be_bytes();
    [0x80 | u8::from(first) << 4, 0x80, high, low]
}

#[cfg(test)]
#[path = "publisher_tests.rs"]
mod tests;
