//! What hostile bytes may not do: panic, stop others, be believed.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bridge_relay_core::api::{Command, Event, MediaKind, Outbox, Payload, TapPacket, TrackId};
use proptest::prelude::*;

use crate::forwarding::{TRACK, stage, watch};
use crate::net::{Dice, Sink, World, holes};
use crate::publisher::Publisher;

fn running_world(seed: u64) -> (World, usize) {
    let mut world = stage(seed, |now_us| Publisher::video(&["l", "h"], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(1_000_000);
    (world, viewer)
}

/// Real datagrams of both clients, caught on their way to the relay.
fn caught(world: &mut World) -> Vec<(SocketAddr, Vec<u8>)> {
    let now_us = world.now_us;
    let mut caught = Vec::new();
    for client in 0..world.clients.len() {
        let check = world.transport(client).check();
        let crate::net::Client { transport, role } = &mut world.clients[client];
        match role {
            crate::net::Role::Publisher(publisher) => publisher.act(transport, now_us + 2_000_000),
            crate::net::Role::Subscriber(subscriber) => subscriber.act(transport, now_us + 2_000_000),
        }
        let address = transport.address;
        caught.push((address, check));
        caught.extend(transport.outgoing.drain(..).map(|bytes| (address, bytes)));
    }
    caught
}

fn assert_still_running(world: &mut World, viewer: usize) {
    world.run_for(1_500_000);
    assert!(world.recent(viewer, 100_000) > 0);
}

#[test]
fn a_replayed_packet_is_refused_and_counted() {
    let (mut world, viewer) = running_world(81);
    let datagrams = caught(&mut world);
    for _ in 0..2 {
        for (from, bytes) in &datagrams {
            world.inject(*from, bytes);
        }
    }
    world.run_for(3_000_000);
    assert!(world.stats().relay.replayed > 0);
    assert_eq!(world.subscriber(viewer).views[0].duplicates, 0);
    assert_eq!(holes(&world.subscriber(viewer).views[0].packets), 0);
}

#[test]
fn packets_under_anothers_address_or_key_are_refused() {
    let (mut world, viewer) = running_world(82);
    let datagrams = caught(&mut world);
    let (publisher, watcher) = (world.transport(0).address, world.transport(viewer).address);
    let before = world.stats().relay;
    for (from, bytes) in datagrams {
        let other = if from == publisher { watcher } else { publisher };
        if bytes[0] >= 128 {
            world.inject(other, &bytes);
            world.inject(SocketAddr::from(([1, 2, 3, 4], 5)), &bytes);
        }
    }
    world.run_for(2_000_000);
    let after = world.stats().relay;
    assert!(after.unauthenticated > before.unauthenticated);
    assert!(after.unknown_sender > before.unknown_sender);
    assert_still_running(&mut world, viewer);
}

#[test]
fn mutated_datagrams_do_not_panic_nor_disturb() {
    let (mut world, viewer) = running_world(83);
    let datagrams = caught(&mut world);
    let mut dice = Dice::new(99);
    for _ in 0..20_000 {
        let (from, bytes) = &datagrams[dice.below(datagrams.len() as u64) as usize];
        let mut bytes = bytes.clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] = dice.roll() as u8;
        }
        if dice.below(3) == 0 {
            bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize);
        }
        world.inject(*from, &bytes);
    }
    assert_still_running(&mut world, viewer);
}

#[test]
fn one_peer_cannot_flood_whoever_reads_the_news() {
    let (mut world, viewer) = running_world(91);
    let (flooder, quiet) = (world.transport(0).address, world.transport(viewer).address);
    let dtls = [22, 254, 253, 0, 0];
    let elsewhere = SocketAddr::from(([1, 2, 3, 4], 5));
    for _ in 0..10_000 {
        world.inject(flooder, &dtls);
        for from in [elsewhere, flooder] {
            let check = world.transport(0).check();
            world.inject(from, &check);
        }
    }
    world.inject(quiet, &dtls);
    let owner = world.transport(viewer).peer;
    assert_eq!(
        world.count_events(|event| matches!(event, Event::DtlsReceived { peer, .. } if *peer == owner)),
        1
    );
    let told = |event: &Event| matches!(event, Event::DtlsReceived { .. } | Event::PeerMoved { .. });
    assert!(world.count_events(told) < 200);
    assert_still_running(&mut world, viewer);
}

#[test]
fn authenticated_nonsense_does_not_panic_nor_reach_viewers() {
    let (mut world, viewer) = running_world(84);
    let mut dice = Dice::new(7);
    for _ in 0..5_000 {
        for client in [0, viewer] {
            let len = 8 + dice.below(120) as usize * 4;
            let mut compound: Vec<u8> = (0..len).map(|_| dice.roll() as u8).collect();
            compound[0] = 0x80 | (compound[0] & 0x1f);
            compound[1] = 200 + (compound[1] % 8);
            let words = (len / 4 - 1) as u16;
            compound[2..4].copy_from_slice(&words.to_be_bytes());
            if dice.below(2) == 0 && len > 12 {
                let ssrc = [1_000_u32, 1_001, 50_020][dice.below(3) as usize];
                compound[8..12].copy_from_slice(&ssrc.to_be_bytes());
            }
            let transport = world.transport(client);
            transport.send_rtcp(&compound);
            let (address, bytes) = (transport.address, transport.outgoing.pop().expect("just made"));
            world.inject(address, &bytes);
        }
    }
    assert_still_running(&mut world, viewer);
}

/// Panics when something is to be sent to one address.
struct Trap<'a> {
    address: SocketAddr,
    sink: &'a mut Sink,
}

impl Outbox for Trap<'_> {
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        assert_ne!(to, self.address, "the trap");
        self.sink.slot(to, len)
    }

    fn cancel(&mut self) {
        self.sink.cancel();
    }

    fn tap(&mut self, track: TrackId, packet: TapPacket, payload: &Payload) {
        self.sink.tap(track, packet, payload);
    }

    fn event(&mut self, event: Event) {
        self.sink.event(event);
    }
}

#[test]
fn a_panic_over_one_viewer_costs_that_viewer_only() {
    let (mut world, viewer) = running_world(88);
    let other = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(1_000_000);
    let (lost, address) = (world.transport(viewer).peer, world.transport(viewer).address);
    for (from, mut bytes) in caught(&mut world) {
        let mut trap = Trap { address, sink: &mut world.sink };
        let (relay, now_us) = (&mut world.relay, world.now_us);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            relay.receive(now_us, from, &mut bytes, &mut trap);
            relay.flush(now_us, &mut trap);
        }));
        if caught.is_err() {
            assert!(relay.abandon(now_us, &mut world.sink));
            break;
        }
    }
    world.run_for(1_000_000);
    assert_eq!(world.count_events(|event| *event == Event::PeerSilent { peer: lost }), 1);
    assert_eq!(world.recent(viewer, 500_000), 0);
    assert_still_running(&mut world, other);
}

#[test]
fn a_panic_over_one_peer_in_upkeep_costs_that_peer_only() {
    let (mut world, viewer) = running_world(89);
    let other = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(1_000_000);
    let (lost, address) = (world.transport(viewer).peer, world.transport(viewer).address);
    // A sender report falls due within a second.
    for _ in 0..30 {
        world.now_us += 50_000;
        let mut trap = Trap { address, sink: &mut world.sink };
        let (relay, now_us) = (&mut world.relay, world.now_us);
        if catch_unwind(AssertUnwindSafe(|| relay.tick(now_us, &mut trap))).is_err() {
            assert!(relay.abandon(now_us, &mut world.sink));
            break;
        }
    }
    world.run_for(2_000_000);
    assert_eq!(world.count_events(|event| *event == Event::PeerSilent { peer: lost }), 1);
    assert_still_running(&mut world, other);
}

#[test]
fn a_removed_publisher_leaves_its_viewers_connected() {
    let (mut world, viewer) = running_world(85);
    assert!(!world.relay.abandon(world.now_us, &mut world.sink), "nobody was in hand");
    let peer = world.transport(0).peer;
    world.command(Command::RemovePeer { peer });
    world.command(Command::RemovePeer { peer });
    assert_eq!(world.count_events(|event| matches!(event, Event::LayerChanged { layer: None, .. })), 1);
    let before = world.transport(viewer).successes;
    world.run_for(6_000_000);
    assert!(world.transport(viewer).successes > before);
}

#[test]
fn commands_about_unknown_things_change_nothing() {
    let (mut world, viewer) = running_world(86);
    let (peer, track) = (bridge_relay_core::api::PeerId(99), bridge_relay_core::api::TrackId(99));
    let subscription = bridge_relay_core::api::SubscriptionId(99);
    for command in [
        Command::RemovePeer { peer },
        Command::RemoveTrack { track },
        Command::RemoveSubscription { subscription },
        Command::SwitchSubscription { subscription, track: Some(TRACK) },
        Command::SetLayer { subscription, layer: Some(1) },
        Command::PauseTrack { track, paused: true },
        Command::RequestKeyframe { track },
        Command::SetTap { track, on: true },
        Command::SendDtls { peer, datagram: vec![22; 50] },
    ] {
        world.command(command);
    }
    assert_still_running(&mut world, viewer);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(datagrams in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 1..60)) {
        let (mut world, _) = running_world(87);
        let known = world.transport(0).address;
        for (from_known, bytes) in datagrams {
            let from = if from_known { known } else { SocketAddr::from(([9, 9, 9, 9], 9)) };
            world.inject(from, &bytes);
        }
        world.run_for(100_000);
    }
}
