//! Commands: what exists and how it hangs together. A command that names an unknown id changes nothing.

use super::Relay;
use super::forward::{find_start, tell_layer};
use crate::api::{
    Command, IceCredentials, LayerIndex, Outbox, PeerId, SubscriptionId, SubscriptionSpec, TrackId, TrackSpec,
};
use crate::peer::{Peer, Receiving, Sending};
use crate::routes::Route;
use crate::subscription::{Source, Subscription};
use crate::track::Track;

const MAX_LAYERS: usize = 8;

impl Relay {
    pub(super) fn run<O: Outbox>(&mut self, now_us: u64, command: Command, out: &mut O) {
        match command {
            Command::AddPeer { peer, ice } => self.add_peer(now_us, peer, &ice),
            Command::RestartIce { peer, ice } => self.restart_ice(peer, &ice),
            Command::RemovePeer { peer } => self.remove_peer(peer, out),
            Command::SetKeys { peer, profile, local, remote } => {
                if let Some(found) = self.peers.by_key_mut(peer)
                    && found.set_keys(profile, &local, &remote).is_ok()
                {
                    self.keys_changed(peer);
                }
            }
            Command::SendDtls { peer, datagram } => self.send_dtls(peer, &datagram, out),
            Command::SetReceiving { peer, extensions, payloads } => {
                if let Some(peer) = self.peers.by_key_mut(peer) {
                    peer.receiving = Receiving { extensions, payloads };
                }
            }
            Command::SetSending { peer, extensions, transport_cc, remb } => {
                if let Some(found) = self.peers.by_key_mut(peer) {
                    found.sending = Sending { extensions, transport_cc, remb };
                    for slot in found.subscriptions.clone() {
                        if let Some(slot) = self.slots.get_mut(slot) {
                            slot.outgoing = None;
                        }
                    }
                }
            }
            Command::AddTrack { track, peer, spec } => self.add_track(track, peer, spec),
            Command::PauseTrack { track, paused } => self.pause_track(track, paused, out),
            Command::RemoveTrack { track } => self.remove_track(track, out),
            Command::AddSubscription { subscription, peer, spec } => {
                self.add_subscription(subscription, peer, spec);
            }
            Command::SwitchSubscription { subscription, track } => {
                self.switch_subscription(now_us, subscription, track, out);
            }
            Command::SetLayer { subscription, layer } => self.set_layer(now_us, subscription, layer, out),
            Command::RemoveSubscription { subscription } => self.remove_subscription(subscription),
            Command::RequestKeyframe { track } => {
                if let Some(track) = self.tracks.by_key_mut(track) {
                    track.layers.iter_mut().for_each(|layer| layer.gate.want());
                    self.keyframes_wanted = true;
                }
            }
            Command::SetTap { track, on } => {
                if let Some(track) = self.tracks.by_key_mut(track) {
                    track.tapped = on;
                }
            }
            Command::SetProbeLimit { peer, bitrate_bps } => {
                if let Some(peer) = self.peers.by_key_mut(peer) {
                    peer.probe_limit_bps = bitrate_bps;
                }
            }
        }
    }

    fn add_peer(&mut self, now_us: u64, peer: PeerId, ice: &IceCredentials) {
        if self.ufrags.contains_key(&ice.ufrag) {
            return;
        }
        if let Some(index) = self.peers.insert(peer, Peer::new(peer, ice, now_us)) {
            self.ufrags.insert(ice.ufrag.clone(), index);
        }
    }

    fn restart_ice(&mut self, peer: PeerId, ice: &IceCredentials) {
        if self.ufrags.contains_key(&ice.ufrag) {
            return;
        }
        let Some(index) = self.peers.find(peer) else { return };
        let Some(peer) = self.peers.get_mut(index) else { return };
        if let Some(unused) = peer.ice.restart(ice) {
            self.ufrags.remove(&unused);
        }
        self.ufrags.insert(ice.ufrag.clone(), index);
    }

    pub(super) fn remove_peer<O: Outbox>(&mut self, peer: PeerId, out: &mut O) {
        let Some(index) = self.peers.find(peer) else { return };
        let owned_tracks: Vec<TrackId> =
            self.tracks.iter().filter(|(_, track)| track.peer == index).map(|(id, _)| id).collect();
        for track in owned_tracks {
            self.remove_track(track, out);
        }
        let owned_slots: Vec<SubscriptionId> =
            self.slots.iter().filter(|(_, slot)| slot.peer == index).map(|(id, _)| id).collect();
        for slot in owned_slots {
            self.remove_subscription(slot);
        }
        self.peers.remove(peer);
        self.addresses.retain(|_, owner| *owner != index);
        self.ufrags.retain(|_, owner| *owner != index);
    }

    fn keys_changed(&mut self, peer: PeerId) {
        let Some(peer) = self.peers.by_key_mut(peer) else { return };
        for slot in &peer.subscriptions {
            if let Some(slot) = self.slots.get_mut(*slot) {
                slot.keys_changed();
            }
        }
        for track in &peer.tracks {
            if let Some(track) = self.tracks.get_mut(*track) {
                track.layers.iter_mut().for_each(|layer| layer.restart_stream());
            }
        }
    }

    fn send_dtls<O: Outbox>(&mut self, peer: PeerId, datagram: &[u8], out: &mut O) {
        let Some(peer) = self.peers.by_key_mut(peer) else { return };
        // Without a path it is lost; DTLS sends again.
        let Some(to) = peer.ice.selected() else { return };
        if let Some(packet) = out.slot(to, datagram.len()) {
            packet.copy_from_slice(datagram);
            peer.traffic.bytes_out += datagram.len() as u64;
        }
    }

    fn add_track(&mut self, id: TrackId, peer: PeerId, spec: TrackSpec) {
        let Some(owner) = self.peers.find(peer) else { return };
        if spec.layers.is_empty() || spec.layers.len() > MAX_LAYERS {
            return;
        }
        self.generations += 1;
        let declared = spec.layers.clone();
        let Some(track) = self.tracks.insert(id, Track::new(id, self.generations, owner, spec)) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(owner) else { return };
        peer.tracks.push(track);
        for (layer, spec) in declared.iter().enumerate() {
            for (ssrc, repair) in [(spec.ssrc, false), (spec.rtx_ssrc, true)] {
                if let Some(ssrc) = ssrc {
                    peer.routes.learn(ssrc, Route { track, layer: layer as u8, repair });
                }
            }
        }
    }

    fn pause_track<O: Outbox>(&mut self, id: TrackId, paused: bool, out: &mut O) {
        let Some(track) = self.tracks.by_key_mut(id).filter(|track| track.paused != paused) else { return };
        track.paused = paused;
        track.noted.clear();
        track.layers.iter_mut().for_each(|layer| layer.seal_off());
        for slot in &track.subscribers {
            let Some(slot) = self.slots.get_mut(*slot) else { continue };
            slot.stop();
            slot.fresh = true;
            tell_layer(slot, out);
            if !paused {
                for layer in &mut track.layers {
                    layer.gate.want();
                }
            }
        }
        self.keyframes_wanted |= !paused;
    }

    fn remove_track<O: Outbox>(&mut self, id: TrackId, out: &mut O) {
        let Some((index, track)) = self.tracks.remove(id) else { return };
        for slot in &track.subscribers {
            if let Some(slot) = self.slots.get_mut(*slot) {
                slot.source = None;
                slot.stop();
                tell_layer(slot, out);
            }
        }
        self.touched.retain(|touched| *touched != index);
        if let Some(peer) = self.peers.get_mut(track.peer) {
            peer.tracks.retain(|track| *track != index);
            peer.routes.forget_track(index);
        }
    }

    fn add_subscription(&mut self, id: SubscriptionId, peer: PeerId, spec: SubscriptionSpec) {
        let Some(owner) = self.peers.find(peer) else { return };
        let Some(peer) = self.peers.get_mut(owner) else { return };
        let mut used = peer.used(spec.ssrc);
        used.rtx = peer.used(spec.rtx_ssrc).rtx;
        if let Some(index) = self.slots.insert(id, Subscription::new(id, owner, spec, used)) {
            peer.subscriptions.push(index);
        }
    }

    fn switch_subscription<O: Outbox>(
        &mut self,
        now_us: u64,
        id: SubscriptionId,
        track: Option<TrackId>,
        out: &mut O,
    ) {
        let Some(index) = self.slots.find(id) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        let wanted = track.and_then(|track| self.tracks.find(track));
        if track.is_some() && slot.source.map(|source| source.track) == wanted && wanted.is_some() {
            return;
        }
        if let Some(track) = slot.source.take().and_then(|source| self.tracks.get_mut(source.track)) {
            track.subscribers.retain(|subscriber| *subscriber != index);
        }
        slot.stop();
        slot.fresh = true;
        tell_layer(slot, out);
        let Some(wanted) = wanted else { return };
        let Some(track) = self.tracks.get_mut(wanted).filter(|track| track.spec.kind == slot.spec.kind)
        else {
            return;
        };
        slot.source = Some(Source { track: wanted, generation: track.generation });
        track.subscribers.push(index);
        self.start(now_us, index, out);
    }

    fn set_layer<O: Outbox>(
        &mut self,
        now_us: u64,
        id: SubscriptionId,
        layer: Option<LayerIndex>,
        out: &mut O,
    ) {
        let Some(index) = self.slots.find(id) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.choice.set_limit(layer);
        if layer.is_none() {
            slot.stop();
            slot.fresh = true;
            tell_layer(slot, out);
        } else {
            self.start(now_us, index, out);
        }
    }

    /// Gets a slot going as soon as can be: by replay of what is there, else by a keyframe.
    pub(super) fn start<O: Outbox>(&mut self, now_us: u64, index: usize, out: &mut O) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Some(source) = slot.source else { return };
        let Some(track) = self.tracks.get_mut(source.track).filter(|track| track.is_video() && !track.paused)
        else {
            return;
        };
        // Who is not connected yet is looked after when it is.
        if self.peers.get(slot.peer).is_none_or(|peer| peer.destination().is_none()) {
            return;
        }
        if slot.choice.current().is_none()
            && find_start(track, source.track, slot, now_us, out)
            && !self.replaying.contains(&index)
        {
            self.replaying.push(index);
            self.schedule.hurry(now_us);
        }
        if let Some(awaited) = slot.choice.awaited(track.flowing)
            && let Some(layer) = track.layers.get_mut(usize::from(awaited))
        {
            layer.gate.want();
            self.keyframes_wanted = true;
        }
    }

    fn remove_subscription(&mut self, id: SubscriptionId) {
        let Some((index, slot)) = self.slots.remove(id) else { return };
        if let Some(track) = slot.source.and_then(|source| self.tracks.get_mut(source.track)) {
            track.subscribers.retain(|subscriber| *subscriber != index);
        }
        self.replaying.retain(|replaying| *replaying != index);
        if let Some(peer) = self.peers.get_mut(slot.peer) {
            peer.subscriptions.retain(|subscription| *subscription != index);
            peer.retire(slot.spec.ssrc, slot.used());
            if slot.spec.rtx_ssrc != 0 {
                peer.retire(slot.spec.rtx_ssrc, slot.used());
            }
        }
    }
}
