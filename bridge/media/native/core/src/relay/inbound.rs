//! What becomes of one datagram: DTLS passed up, RTP authenticated and kept in its layer's ring. STUN goes on to
//! `checks`, RTCP to `reports`.

use std::net::SocketAddr;

use super::Relay;
use crate::api::{Event, ExtensionIds, LayerIndex, Outbox, PayloadType, TapPacket};
use crate::codec::{PayloadInfo, inspect};
use crate::ring::{Inserted, PacketHead, Passed, PassedExtensions};
use crate::routes::{Hints, Route};
use crate::srtp::SrtpError;
use crate::track::Layer;
use crate::wire::demux::{DatagramKind, classify};
use crate::wire::rtp::RtpHeader;

const ORIGINAL_SEQUENCE_LEN: usize = 2;
/// DTLS records are sent within the path MTU; nobody needs larger ones to shake hands.
const MAX_DTLS_LEN: usize = 4_096;

/// What of a packet's extensions is used.
#[derive(Default)]
struct Seen<'a> {
    hints: Hints<'a>,
    transport_sequence: Option<u16>,
    audio_level: Option<u8>,
    passed: PassedExtensions,
}

/// Where a packet belongs and what it carries, once it is authenticated.
struct Arrival<'a> {
    route: Route,
    row: PayloadType,
    index: u64,
    header: RtpHeader,
    payload: &'a [u8],
    passed: PassedExtensions,
    wire_len: usize,
}

impl Relay {
    pub(super) fn take_datagram<O: Outbox>(
        &mut self,
        now_us: u64,
        from: SocketAddr,
        datagram: &mut [u8],
        out: &mut O,
    ) {
        match classify(datagram) {
            DatagramKind::Stun => self.take_stun(now_us, from, datagram, out),
            DatagramKind::Dtls => self.take_dtls(now_us, from, datagram, out),
            DatagramKind::Rtp => self.take_rtp(now_us, from, datagram, out),
            DatagramKind::Rtcp => self.take_rtcp(now_us, from, datagram, out),
            DatagramKind::Unknown => self.totals.malformed += 1,
        }
    }

    /// The peer whose address passed a check; it is in hand from now on.
    pub(super) fn sender_of(&mut self, from: SocketAddr) -> Option<usize> {
        let known = self.addresses.get(&from).copied().filter(|index| self.peers.get(*index).is_some());
        match known.and_then(|index| self.peers.get(index)) {
            Some(peer) => self.in_hand = Some(peer.id),
            None => self.totals.unknown_sender += 1,
        }
        known
    }

    fn take_dtls<O: Outbox>(&mut self, now_us: u64, from: SocketAddr, datagram: &[u8], out: &mut O) {
        let Some(peer) = self.sender_of(from).and_then(|index| self.peers.get_mut(index)) else { return };
        if datagram.len() > MAX_DTLS_LEN || !peer.news.take(now_us) {
            self.totals.malformed += 1;
            return;
        }
        peer.traffic.bytes_in += datagram.len() as u64;
        out.event(Event::DtlsReceived { peer: peer.id, datagram: datagram.to_vec() });
    }

    pub(super) fn count_refused(&mut self, error: SrtpError) {
        match error {
            SrtpError::Unauthenticated => self.totals.unauthenticated += 1,
            SrtpError::Replayed | SrtpError::TooOld => self.totals.replayed += 1,
            _ => self.totals.malformed += 1,
        }
    }

    fn take_rtp<O: Outbox>(&mut self, now_us: u64, from: SocketAddr, datagram: &mut [u8], out: &mut O) {
        let wire_len = datagram.len();
        let Some(owner) = self.sender_of(from) else { return };
        let Some(peer) = self.peers.get_mut(owner) else { return };
        let Ok(header) = RtpHeader::parse(datagram) else {
            self.totals.malformed += 1;
            return;
        };
        let Some(receiver) = &mut peer.receiver else {
            // Media before the keys cannot be told from noise.
            self.totals.unauthenticated += 1;
            return;
        };
        let plain = match receiver.unprotect_rtp(&header, datagram) {
            Ok(plain) => plain,
            Err(error) => {
                self.count_refused(error);
                return;
            }
        };
        peer.ice.heard(now_us);
        peer.traffic.bytes_in += wire_len as u64;
        let packet = datagram.get(..plain.len).unwrap_or_default();
        let Ok(payload) = header.payload(packet) else {
            self.totals.malformed += 1;
            return;
        };
        let seen = look(&header, packet, &peer.receiving.extensions);
        if let Some(sequence) = seen.transport_sequence {
            peer.arrivals.received(sequence, now_us);
            peer.feedback_media = header.ssrc;
        }
        let Some(route) = self.route(owner, &header, &seen.hints) else {
            self.totals.unknown_sender += 1;
            return;
        };
        let Some(row) =
            self.peers.get(owner).and_then(|peer| row_of(&peer.receiving.payloads, &header, route))
        else {
            self.totals.malformed += 1;
            return;
        };
        if let (Some(level), Some(track)) = (seen.audio_level, self.tracks.get_mut(route.track)) {
            track.level.packet(level, now_us);
        }
        let payload = packet.get(payload).unwrap_or_default();
        let arrival =
            Arrival { route, row, index: plain.index, header, payload, passed: seen.passed, wire_len };
        self.keep(now_us, arrival, out);
    }

    /// The layer of a packet, by its SSRC or, the first time, by what it says of itself.
    fn route(&mut self, owner: usize, header: &RtpHeader, hints: &Hints<'_>) -> Option<Route> {
        let peer = self.peers.get_mut(owner)?;
        if let Some(route) = peer.routes.find(header.ssrc) {
            return Some(route);
        }
        let tracks = &self.tracks;
        let candidates =
            peer.tracks.iter().filter_map(|index| tracks.get(*index).map(|track| (*index, &track.spec)));
        let hints = Hints { payload_type: header.payload_type, ..*hints };
        let route = hints.resolve(candidates, &peer.receiving.payloads)?;
        let changed = peer.routes.ssrc(route).is_some();
        if !peer.routes.learn(header.ssrc, route) {
            return None;
        }
        if changed && !route.repair {
            self.tracks.get_mut(route.track)?.layers.get_mut(usize::from(route.layer))?.restart_stream();
        }
        Some(route)
    }

    /// Puts a packet into its ring, accounts for it and notes it for forwarding.
    fn keep<O: Outbox>(&mut self, now_us: u64, arrival: Arrival<'_>, out: &mut O) {
        let Arrival { route, row, header, wire_len, .. } = arrival;
        let Some(track) = self.tracks.get_mut(route.track) else { return };
        let (paused, tapped, asks, is_video) =
            (track.paused, track.tapped, track.spec.nack, track.is_video());
        let Some(layer) = track.layers.get_mut(usize::from(route.layer)) else { return };
        layer.rate.add(wire_len, now_us);
        if !layer.allowance.take(now_us) {
            return;
        }
        let Some((sequence, payload)) = place(layer, &arrival) else { return };
        if layer.ring.judge(sequence) != Inserted::New {
            return;
        }
        let info = if track.spec.kind == row.codec.kind() {
            inspect(row.codec, payload)
        } else {
            PayloadInfo::default()
        };
        let head = PacketHead {
            sequence,
            timestamp: header.timestamp,
            arrived_us: now_us,
            marker: header.marker,
            keyframe_start: info.keyframe_start && sequence > layer.floor,
            codec: row.codec,
            clock_rate_hz: row.clock_rate_hz,
            picture: info.picture,
            extensions: arrival.passed,
        };
        layer.ring.insert(head, payload);
        layer.codec = Some(row.codec);
        if route.repair {
            layer.recovered += 1;
        } else {
            layer.stats.received(sequence, head.timestamp, now_us);
        }
        if asks {
            let hopeless = layer.nacks.received(sequence, now_us);
            if !layer.nacks.is_empty() {
                self.schedule.hurry(now_us);
            }
            if hopeless && is_video && (layer.watched || tapped) {
                layer.gate.want();
                self.keyframes_wanted = true;
            }
        }
        if head.keyframe_start {
            layer.note_keyframe(&head, info.dimensions);
        }
        if layer.arrived(&head) {
            out.event(Event::TrackStarted { track: track.id, layer: route.layer });
            track.update_flowing();
        }
        let Some(layer) = track.layers.get(usize::from(route.layer)) else { return };
        if paused || sequence <= layer.floor {
            return;
        }
        if track.noted.is_empty() {
            self.touched.push(route.track);
        }
        track.noted.push((route.layer, sequence));
        // One without payload too: its sequence number is no loss.
        if tapped && let Some(payload) = layer.ring.payload(sequence) {
            out.tap(track.id, tap_packet(&head, route.layer), payload);
        }
    }
}

/// Sequence number and payload in the layer's own terms, retransmissions unwrapped (RFC 4588 section 4). `None`: it
/// carries nothing (padding on the RTX stream) or cannot be placed.
fn place<'a>(layer: &mut Layer, arrival: &Arrival<'a>) -> Option<(u64, &'a [u8])> {
    if !arrival.route.repair {
        return Some((layer.extend_index(arrival.index, arrival.row.clock_rate_hz), arrival.payload));
    }
    let (original, payload) = arrival.payload.split_at_checked(ORIGINAL_SEQUENCE_LEN)?;
    let original = u16::from_be_bytes([original[0], original[1]]);
    Some((layer.extend_original(original)?, payload))
}

fn row_of(payloads: &[PayloadType], header: &RtpHeader, route: Route) -> Option<PayloadType> {
    let wanted = header.payload_type;
    let fits = |row: &&PayloadType| {
        if route.repair { row.rtx_payload_type == wanted && wanted != 0 } else { row.payload_type == wanted }
    };
    payloads.iter().find(fits).copied()
}

fn look<'a>(header: &RtpHeader, packet: &'a [u8], ids: &ExtensionIds) -> Seen<'a> {
    let mut seen = Seen::default();
    for (id, value) in header.extensions(packet) {
        if id == ids.transport_wide_cc {
            seen.transport_sequence = value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        } else if id == ids.audio_level {
            seen.audio_level = value.first().copied();
            seen.passed.push(Passed::AudioLevel, value);
        } else if id == ids.video_orientation {
            seen.passed.push(Passed::VideoOrientation, value);
        } else if id == ids.playout_delay {
            seen.passed.push(Passed::PlayoutDelay, value);
        } else if id == ids.dependency_descriptor {
            seen.passed.push(Passed::DependencyDescriptor, value);
        } else {
            seen.hints.note(ids, id, value);
        }
    }
    seen
}

fn tap_packet(head: &PacketHead, layer: LayerIndex) -> TapPacket {
    TapPacket {
        layer,
        codec: head.codec,
        arrived_us: head.arrived_us,
        sequence: head.sequence,
        timestamp: head.timestamp,
        marker: head.marker,
        keyframe_start: head.keyframe_start,
    }
}
