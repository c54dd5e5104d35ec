//! Lossy links: NACK and RTX on both sides heal them.

use bridge_relay_core::api::MediaKind;

use crate::forwarding::{TRACK, add_slot, stage, watch};
use crate::net::{Link, World, holes};
use crate::publisher::Publisher;

fn stage_one_layer(seed: u64) -> (World, usize) {
    let mut world = stage(seed, |now_us| {
        let mut publisher = Publisher::video(&["", "", ""], now_us);
        publisher.streams.drain(..2);
        publisher
    });
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    (world, viewer)
}

/// Lets what was lost last be asked for again and healed, without new losses.
fn calm(world: &mut World) {
    for client in 0..world.clients.len() {
        world.transport(client).up.loss_percent = 0;
        world.transport(client).down.loss_percent = 0;
    }
    world.run_for(1_000_000);
}

#[test]
fn loss_on_the_way_to_a_subscriber_is_healed_from_the_ring() {
    let (mut world, viewer) = stage_one_layer(11);
    world.transport(viewer).down = Link::new(40_000, 5);
    world.transport(viewer).up = Link::new(40_000, 5);
    world.run_for(10_000_000);
    calm(&mut world);
    let view = &world.subscriber(viewer).views[0];
    let by_rtx = view.packets.values().filter(|received| received.by_rtx).count();
    assert!(by_rtx > 30, "{by_rtx}");
    assert_eq!(holes(&view.packets), 0);
    view.assert_continuous();
    assert_eq!(world.publisher(0).streams[0].nacked, 0, "the publisher is not bothered");
}

#[test]
fn loss_on_the_way_from_the_publisher_is_healed_by_its_rtx() {
    let (mut world, viewer) = stage_one_layer(12);
    world.transport(0).up = Link::new(40_000, 5);
    world.transport(0).down = Link::new(40_000, 5);
    world.run_for(10_000_000);
    calm(&mut world);
    let stats = world.stats();
    assert!(stats.layers[0].recovered > 30, "{}", stats.layers[0].recovered);
    let publisher = world.transport(0).peer;
    let rtt_us = stats.peers.iter().find(|stats| stats.peer == publisher).map(|stats| stats.rtt_us);
    assert!(rtt_us.is_some_and(|rtt_us| (75_000..110_000).contains(&rtt_us)), "{rtt_us:?}");
    let view = &world.subscriber(viewer).views[0];
    assert_eq!(holes(&view.packets), 0);
    view.assert_continuous();
    let keyframes = world.publisher(0).streams[0].keyframe_requests.len();
    assert!(keyframes <= 2, "{keyframes} keyframe requests although all was healed");
}

#[test]
fn loss_and_reordering_on_both_sides_are_healed_together() {
    let (mut world, viewer) = stage_one_layer(13);
    for client in [0, viewer] {
        world.transport(client).up = Link { jitter_us: 12_000, ..Link::new(40_000, 5) };
        world.transport(client).down = Link { jitter_us: 12_000, ..Link::new(40_000, 5) };
    }
    world.run_for(20_000_000);
    calm(&mut world);
    let view = &world.subscriber(viewer).views[0];
    assert!(view.packets.len() > 2_800, "{}", view.packets.len());
    assert_eq!(holes(&view.packets), 0);
    view.assert_continuous();
    // Nobody waits long for a healed packet: twice there and back, and the pauses between.
    let latest = view.packets.values().map(|received| received.at_us).max();
    assert!(latest.is_some_and(|latest| latest <= world.now_us));
}

#[test]
fn steady_networks_cause_no_retransmissions() {
    let (mut world, viewer) = stage_one_layer(14);
    for client in [0, viewer] {
        world.transport(client).up = Link { jitter_us: 3_000, ..Link::new(20_000, 0) };
    }
    world.run_for(5_000_000);
    assert_eq!(world.publisher(0).streams[0].nacked, 0);
    assert_eq!(world.stats().relay.nacks_sent, 0);
    assert_eq!(holes(&world.subscriber(viewer).views[0].packets), 0);
}

#[test]
fn a_viewer_that_asks_for_everything_again_is_answered_within_a_budget() {
    let (mut world, viewer) = stage_one_layer(15);
    world.run_for(3_000_000);
    let ssrc = world.subscriber(viewer).views[0].ssrc;
    let all: Vec<u16> = (0..400).collect();
    for _ in 0..100 {
        let mut compound = Vec::new();
        bridge_relay_core::wire::rtcp::write_nack(&mut compound, 1, ssrc, &all);
        world.subscriber(viewer).pending = compound;
        world.run_for(10_000);
    }
    world.run_for(1_000_000);
    let stats = world.stats();
    assert!(stats.subscriptions[0].nacked > 20_000);
    assert!(stats.subscriptions[0].retransmitted < 700, "{}", stats.subscriptions[0].retransmitted);
}

#[test]
fn who_watches_much_has_one_budget_for_all_of_it() {
    let (mut world, viewer) = stage_one_layer(16);
    for _ in 0..5 {
        add_slot(&mut world, viewer, MediaKind::Video, Some(TRACK));
    }
    world.run_for(3_000_000);
    let ssrcs: Vec<u32> = world.subscriber(viewer).views.iter().map(|view| view.ssrc).collect();
    let all: Vec<u16> = (0..400).collect();
    for _ in 0..100 {
        let mut compound = Vec::new();
        for ssrc in &ssrcs {
            bridge_relay_core::wire::rtcp::write_nack(&mut compound, 1, *ssrc, &all);
        }
        world.subscriber(viewer).pending = compound;
        world.run_for(10_000);
    }
    world.run_for(1_000_000);
    let retransmitted: u64 = world.stats().subscriptions.iter().map(|stats| stats.retransmitted).sum();
    // Half of what its line was found to bear, as for one stream; each for itself would get twenty times as much.
    assert!(retransmitted < 2_500, "{retransmitted}");
}

/// The longest time without a new decodable picture: each needs all its packets and all before them.
fn longest_freeze_us(world: &mut World, viewer: usize) -> u64 {
    let view = &world.subscriber(viewer).views[0];
    let mut complete_us = 0;
    let mut pictures = Vec::new();
    for received in view.packets.values() {
        complete_us = received.at_us.max(complete_us);
        if received.marker {
            pictures.push(complete_us);
        }
    }
    pictures.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(u64::MAX)
}

#[test]
fn a_link_with_loss_and_delay_never_freezes_for_half_a_second() {
    for seed in 100..106 {
        let (mut world, viewer) = stage_one_layer(seed);
        for client in [0, viewer] {
            world.transport(client).up = Link::new(40_000, 5);
            world.transport(client).down = Link::new(40_000, 5);
        }
        world.run_for(30_000_000);
        let freeze_us = longest_freeze_us(&mut world, viewer);
        assert!(freeze_us < 500_000, "seed {seed}: a freeze of {freeze_us}");
        let count = world.subscriber(viewer).views[0].packets.len();
        assert!(count > 30 * 150 * 95 / 100, "{count}");
    }
}
