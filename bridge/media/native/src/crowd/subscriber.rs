//! Who receives: counts what comes, asks again for what is missing, and reports as browsers do: transport-wide feedback
//! several times a second, receiver reports every second.

use bridge_relay_core::api::{ExtensionIds, MediaKind};
use bridge_relay_core::wire::rtcp::{self, RtcpPacket};
use bridge_relay_core::wire::rtp::RtpHeader;

use super::arrivals::Arrivals;
use super::client::Client;
use super::publisher::Turn;
use super::track::{Track, TrackSpec};

const FEEDBACK_INTERVAL_US: u64 = 100_000;
const REPORT_INTERVAL_US: u64 = 1_000_000;
/// How soon after a gap it is looked at again what to ask for.
const ASK_INTERVAL_US: u64 = 5_000;
/// One media packet in so many is decrypted and authenticated; all of a track are until its first frame was whole.
const CHECK_ONE_IN: u64 = 16;
/// Our own SSRC in what we send.
const OWN_SSRC: u32 = 1;
/// What RTX puts before the payload (RFC 4588 section 4).
const ORIGINAL_SEQUENCE_BYTES: usize = 2;

/// Whether a decrypted payload is what was sent, where that is known.
pub type Check = fn(MediaKind, &[u8]) -> bool;

/// The first whole frame of a track.
pub struct FirstSeen {
    pub ssrc: u32,
    pub at_us: u64,
}

pub struct Subscriber {
    extensions: ExtensionIds,
    tracks: Vec<Track>,
    arrivals: Arrivals,
    next_feedback_us: u64,
    next_report_us: u64,
    next_ask_us: u64,
    seen: u64,
    check: Option<Check>,
}

impl Subscriber {
    /// `spread`: any number, so that the reports of many do not come at once.
    #[must_use]
    pub fn new(now_us: u64, spread: u64) -> Self {
        let spread_us = spread * 7_919;
        Self {
            extensions: ExtensionIds::default(),
            tracks: Vec::new(),
            arrivals: Arrivals::default(),
            next_feedback_us: now_us + spread_us % FEEDBACK_INTERVAL_US,
            next_report_us: now_us + spread_us % REPORT_INTERVAL_US,
            next_ask_us: u64::MAX,
            seen: 0,
            check: None,
        }
    }

    /// What comes from now on; a track that stays is counted on.
    pub fn set_tracks(&mut self, extensions: ExtensionIds, specs: Vec<TrackSpec>, check: Option<Check>) {
        self.extensions = extensions;
        self.check = check;
        let mut before = std::mem::take(&mut self.tracks);
        for spec in specs {
            let known = before.iter().position(|track| track.spec == spec);
            self.tracks.push(known.map_or_else(|| Track::new(spec), |at| before.swap_remove(at)));
        }
    }

    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    #[must_use]
    pub fn next_us(&self) -> u64 {
        self.next_feedback_us.min(self.next_report_us).min(self.next_ask_us)
    }

    /// `now_us`: when the datagram came.
    pub fn receive_rtp(
        &mut self,
        datagram: &mut [u8],
        client: &mut Client,
        turn: &mut Turn<'_>,
    ) -> Option<FirstSeen> {
        let Ok(header) = RtpHeader::parse(datagram) else {
            turn.counts.wrong += 1;
            return None;
        };
        let size_bytes = datagram.len() as u64;
        let id = self.extensions.transport_wide_cc;
        let number = header.extensions(datagram).find(|(known, _)| *known == id && id != 0);
        if let Some((_, &[high, low])) = number {
            self.arrivals.note(turn.now_us, u16::from_be_bytes([high, low]));
        }
        let mut tracks = self.tracks.iter_mut();
        let Some(track) =
            tracks.find(|track| track.spec.ssrc == header.ssrc || track.spec.rtx_ssrc == header.ssrc)
        else {
            turn.counts.strange += 1;
            return None;
        };
        self.seen += 1;
        let again = header.ssrc != track.spec.ssrc;
        let checked = again || track.first_frame.is_some() || self.seen.is_multiple_of(CHECK_ONE_IN);
        let plain = if checked { decrypt(&header, datagram, client, turn)? } else { &[] };
        let (sequence, payload) = if again {
            let Some((original, payload)) = plain.split_first_chunk::<ORIGINAL_SEQUENCE_BYTES>() else {
                return None; // a probe of nothing but padding
            };
            (u16::from_be_bytes(*original), payload)
        } else {
            (header.sequence, plain)
        };
        if checked && self.check.is_some_and(|is_right| !is_right(track.spec.kind, payload)) {
            turn.counts.wrong += 1;
        }
        let extended = track.extend(sequence);
        if !track.arrived(extended, turn.now_us, again) {
            turn.counts.duplicates += 1;
            return None;
        }
        turn.counts.received += 1;
        turn.counts.received_bytes += size_bytes;
        if track.spec.kind == MediaKind::Audio {
            turn.counts.sounds += 1;
            turn.counts.sound_bytes += size_bytes;
        }
        turn.counts.recovered += u64::from(again);
        turn.counts.lost += track.take_lost();
        if !again {
            track.note_jitter(header.timestamp, turn.now_us);
        }
        if track.misses() {
            self.next_ask_us = self.next_ask_us.min(turn.now_us + ASK_INTERVAL_US);
        }
        let first = track.first_frame.as_mut()?;
        if !first.take(track.spec.codec, extended, header.timestamp, header.marker, payload) {
            return None;
        }
        track.first_frame = None;
        Some(FirstSeen { ssrc: track.spec.ssrc, at_us: turn.now_us })
    }

    /// Takes a decrypted compound.
    pub fn receive_rtcp(&mut self, compound: &[u8], now_us: u64) {
        for packet in rtcp::parse(compound).flatten() {
            if let RtcpPacket::SenderReport { ssrc, info, .. } = packet
                && let Some(track) = self.tracks.iter_mut().find(|track| track.spec.ssrc == ssrc)
            {
                track.note_sender_report(&info, now_us);
            }
        }
    }

    pub fn report_due(&mut self, client: &mut Client, turn: &mut Turn<'_>) {
        let now_us = turn.now_us;
        if now_us >= self.next_ask_us {
            self.ask(client, turn);
        }
        if now_us >= self.next_feedback_us {
            self.next_feedback_us = now_us + FEEDBACK_INTERVAL_US;
            let mut compound = Vec::new();
            let media = self.tracks.first().map_or(0, |track| track.spec.ssrc);
            self.arrivals.write(&mut compound, media);
            for track in &mut self.tracks {
                if track.takes_keyframe_request(now_us) {
                    rtcp::write_pli(&mut compound, OWN_SSRC, track.spec.ssrc);
                    turn.counts.keyframes_asked += 1;
                }
            }
            send(&compound, client, turn);
        }
        if now_us >= self.next_report_us {
            self.next_report_us = now_us + REPORT_INTERVAL_US;
            let blocks: Vec<_> = self.tracks.iter_mut().filter_map(|track| track.report(now_us)).collect();
            let mut compound = Vec::new();
            rtcp::write_receiver_report(&mut compound, OWN_SSRC, &blocks);
            rtcp::write_sdes_cname(&mut compound, OWN_SSRC, "crowd");
            send(&compound, client, turn);
        }
    }

    fn ask(&mut self, client: &mut Client, turn: &mut Turn<'_>) {
        let mut compound = Vec::new();
        let mut ask = Vec::new();
        for track in self.tracks.iter_mut().filter(|track| track.misses()) {
            ask.clear();
            track.due(turn.now_us, &mut ask);
            turn.counts.lost += track.take_lost();
            // Sound does not come again: it would be too late (and browsers negotiate no NACK for it).
            if !ask.is_empty() && track.spec.kind == MediaKind::Video && track.spec.rtx_ssrc != 0 {
                turn.counts.nacks_sent += ask.len() as u64;
                rtcp::write_nack(&mut compound, OWN_SSRC, track.spec.ssrc, &ask);
            }
        }
        let misses = self.tracks.iter().any(Track::misses);
        self.next_ask_us = if misses { turn.now_us + ASK_INTERVAL_US } else { u64::MAX };
        send(&compound, client, turn);
    }
}

fn send(compound: &[u8], client: &mut Client, turn: &mut Turn<'_>) {
    if !compound.is_empty() {
        client.send_rtcp(turn.queue, compound);
    }
}

/// The payload, padding left out; None where it is not what the relay sealed.
fn decrypt<'a>(
    header: &RtpHeader,
    datagram: &'a mut [u8],
    client: &mut Client,
    turn: &mut Turn<'_>,
) -> Option<&'a [u8]> {
    let plain = client.keys.as_mut().and_then(|keys| keys.receiver.unprotect_rtp(header, datagram).ok());
    let payload = plain.and_then(|plain| {
        let packet = &datagram[..plain.len];
        header.payload(packet).ok().and_then(|range| packet.get(range))
    });
    match payload {
        Some(_) => turn.counts.checked += 1,
        None => turn.counts.wrong += 1,
    }
    payload
}

#[cfg(test)]
#[path = "subscriber_tests.rs"]
mod tests;
