//! Which layer an incoming SSRC belongs to: declared, or learnt from the packet itself by its mid and rid (RFC 8852,
//! RFC 9143) or by its payload type. Bounded: a publisher cannot make it remember more.

use crate::api::{ExtensionIds, PayloadType, TrackSpec};

/// Eight layers with RTX for a handful of tracks, and room for SSRCs that change.
const MAX_ROUTES: usize = 96;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Index of the track in the relay.
    pub track: usize,
    pub layer: u8,
    /// The stream carries retransmissions (RFC 4588).
    pub repair: bool,
}

#[derive(Debug, Default)]
pub struct Routes {
    /// Few enough that a scan beats hashing.
    known: Vec<(u32, Route)>,
}

impl Routes {
    #[must_use]
    pub fn find(&self, ssrc: u32) -> Option<Route> {
        self.known.iter().find(|(known, _)| *known == ssrc).map(|(_, route)| *route)
    }

    /// The SSRC that a route has now.
    #[must_use]
    pub fn ssrc(&self, route: Route) -> Option<u32> {
        self.known.iter().find(|(_, known)| *known == route).map(|(ssrc, _)| *ssrc)
    }

    /// Gives a route an SSRC, taking it from the one that had it. Returns false where there is no room.
    pub fn learn(&mut self, ssrc: u32, route: Route) -> bool {
        self.known.retain(|(known, old)| *known != ssrc && *old != route);
        if self.known.len() >= MAX_ROUTES {
            return false;
        }
        self.known.push((ssrc, route));
        true
    }

    pub fn forget_track(&mut self, track: usize) {
        self.known.retain(|(_, route)| route.track != track);
    }
}

/// What a packet says of where it belongs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    pub mid: Option<&'a [u8]>,
    pub rid: Option<&'a [u8]>,
    pub repaired_rid: Option<&'a [u8]>,
    pub payload_type: u8,
}

impl<'a> Hints<'a> {
    /// Notes an extension if it is one of those that tell.
    pub fn note(&mut self, ids: &ExtensionIds, id: u8, value: &'a [u8]) {
        match id {
            0 => {}
            _ if id == ids.mid => self.mid = Some(value),
            _ if id == ids.rid => self.rid = Some(value),
            _ if id == ids.repaired_rid => self.repaired_rid = Some(value),
            _ => {}
        }
    }

    /// The layer among a peer's tracks that these hints name without doubt.
    pub fn resolve<'t>(
        &self,
        tracks: impl Iterator<Item = (usize, &'t TrackSpec)> + Clone,
        payloads: &[PayloadType],
    ) -> Option<Route> {
        let row = payloads
            .iter()
            .find(|row| row.payload_type == self.payload_type || row.is_rtx(self.payload_type))?;
        let repair = row.is_rtx(self.payload_type);
        let kind = row.codec.kind();
        let mut candidates = tracks
            .filter(|(_, spec)| spec.kind == kind && self.mid.is_none_or(|mid| spec.mid.as_bytes() == mid));
        if let Some(rid) = if repair { self.repaired_rid.or(self.rid) } else { self.rid } {
            return candidates.find_map(|(track, spec)| {
                let layer = spec
                    .layers
                    .iter()
                    .position(|layer| layer.rid.as_ref().is_some_and(|known| known.as_bytes() == rid))?;
                Some(Route { track, layer: layer as u8, repair })
            });
        }
        // Without a rid only a track of one layer, and only one such track, can be meant.
        let mut single =
            candidates.filter(|(_, spec)| spec.layers.len() == 1 && spec.layers[0].rid.is_none());
        let (track, _) = single.next()?;
        single.next().is_none().then_some(Route { track, layer: 0, repair })
    }
}

impl PayloadType {
    fn is_rtx(&self, payload_type: u8) -> bool {
        self.rtx_payload_type != 0 && self.rtx_payload_type == payload_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Codec, LayerSpec, MediaKind};

    fn track(kind: MediaKind, mid: &str, rids: &[&str]) -> TrackSpec {
        let mut layers: Vec<LayerSpec> =
            rids.iter().map(|rid| LayerSpec { rid: Some((*rid).into()), ..LayerSpec::default() }).collect();
        if layers.is_empty() {
            layers.push(LayerSpec::default());
        }
        TrackSpec { kind, mid: mid.into(), layers, nack: true }
    }

    fn payloads() -> Vec<PayloadType> {
        [(96, Codec::Vp8, 97), (111, Codec::Opus, 0)]
            .map(|(payload_type, codec, rtx_payload_type)| PayloadType {
                payload_type,
                codec,
                clock_rate_hz: 90_000,
                rtx_payload_type,
            })
            .to_vec()
    }

    #[test]
    fn a_layer_is_named_by_rid_or_by_being_the_only_one() {
        let tracks = [
            track(MediaKind::Video, "0", &["l", "h"]),
            track(MediaKind::Video, "1", &[]),
            track(MediaKind::Audio, "2", &[]),
        ];
        let video = Hints { payload_type: 96, ..Hints::default() };
        for (hints, expected) in [
            (Hints { rid: Some(b"h"), mid: Some(b"0"), ..video }, Some((0, 1, false))),
            (Hints { rid: Some(b"l"), ..video }, Some((0, 0, false))),
            (Hints { repaired_rid: Some(b"h"), payload_type: 97, ..video }, Some((0, 1, true))),
            (Hints { mid: Some(b"1"), ..video }, Some((1, 0, false))),
            (Hints { mid: Some(b"1"), payload_type: 97, ..video }, Some((1, 0, true))),
            (video, Some((1, 0, false))),
            (Hints { payload_type: 111, ..video }, Some((2, 0, false))),
            (Hints { rid: Some(b"x"), ..video }, None),
            (Hints { mid: Some(b"0"), ..video }, None),
            (Hints { mid: Some(b"2"), ..video }, None),
            (Hints { payload_type: 50, ..video }, None),
        ] {
            let route = hints.resolve(tracks.iter().enumerate(), &payloads());
            assert_eq!(route.map(|route| (route.track, route.layer, route.repair)), expected, "{hints:?}");
        }
    }

    #[test]
    fn two_tracks_of_one_layer_are_not_guessed_between() {
        let tracks = [track(MediaKind::Audio, "0", &[]), track(MediaKind::Audio, "1", &[])];
        let hints = Hints { payload_type: 111, ..Hints::default() };
        assert_eq!(hints.resolve(tracks.iter().enumerate(), &payloads()), None);
    }

    #[test]
    fn routes_are_bounded_and_follow_a_new_ssrc() {
        let mut routes = Routes::default();
        let route = Route { track: 3, layer: 0, repair: false };
        assert!(routes.learn(1, route));
        assert!(routes.learn(2, route));
        assert_eq!((routes.find(1), routes.find(2), routes.ssrc(route)), (None, Some(route), Some(2)));
        let learnt = (10..1_000)
            .filter(|ssrc| routes.learn(*ssrc, Route { track: *ssrc as usize, layer: 0, repair: false }))
            .count();
        assert_eq!(learnt, MAX_ROUTES - 1);
        routes.forget_track(3);
        assert_eq!(routes.find(2), None);
    }
}
