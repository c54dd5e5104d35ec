//! Estimates of what a subscriber's link bears, over the real feedback path.

use bridge_relay_core::api::{Command, Event, ExtensionIds, MediaKind, PeerId};

use crate::forwarding::{TRACK, stage, watch};
use crate::net::{EXTENSIONS, Link, VIDEO, World};
use crate::publisher::Publisher;

/// About 1.1 Mbit/s.
fn world_with_viewer(seed: u64, capacity_bps: u64) -> (World, usize) {
    let mut world = stage(seed, |now_us| {
        let mut publisher = Publisher::video(&[""], now_us);
        publisher.streams[0].packets_per_frame = 5;
        publisher
    });
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.transport(viewer).down = Link { capacity_bps, ..Link::new(20_000, 0) };
    (world, viewer)
}

fn newest_estimate(world: &World, peer: PeerId) -> u64 {
    let told = world.events.iter().rev().find_map(|event| match event {
        Event::Estimates { estimates } => {
            estimates.iter().find(|(told, _)| *told == peer).map(|(_, bps)| *bps)
        }
        _ => None,
    });
    told.expect("an estimate was told")
}

#[test]
fn a_link_narrower_than_the_stream_is_noticed() {
    let (mut world, viewer) = world_with_viewer(71, 600_000);
    let peer = world.transport(viewer).peer;
    world.run_for(10_000_000);
    let estimate_bps = newest_estimate(&world, peer);
    assert!(estimate_bps < 800_000, "{estimate_bps}");
}

#[test]
fn probes_find_room_that_the_stream_does_not_use_up_to_the_limit() {
    let (mut world, viewer) = world_with_viewer(72, 30_000_000);
    let peer = world.transport(viewer).peer;
    world.command(Command::SetProbeLimit { peer, bitrate_bps: 6_000_000 });
    world.run_for(8_000_000);
    let estimate_bps = newest_estimate(&world, peer);
    assert!((4_500_000..9_000_000).contains(&estimate_bps), "{estimate_bps}");
    assert!(world.subscriber(viewer).views[0].padding > 20);
    let padding = world.subscriber(viewer).views[0].padding;
    world.run_for(5_000_000);
    assert!(world.subscriber(viewer).views[0].padding < padding + 200, "probing ends when all is found");
}

#[test]
fn without_a_limit_nothing_is_probed() {
    let (mut world, viewer) = world_with_viewer(73, 30_000_000);
    world.run_for(5_000_000);
    assert_eq!(world.subscriber(viewer).views[0].padding, 0);
}

#[test]
fn light_loss_does_not_take_the_picture_away() {
    let (mut world, viewer) = world_with_viewer(74, 0);
    let peer = world.transport(viewer).peer;
    world.transport(viewer).down = Link::new(40_000, 5);
    world.run_for(15_000_000);
    let estimate_bps = newest_estimate(&world, peer);
    assert!(estimate_bps > 1_100_000, "{estimate_bps}");
    let stats = world.stats();
    let loss = stats.peers.iter().find(|stats| stats.peer == peer).expect("the viewer").loss_out;
    assert!((0.01..0.12).contains(&loss), "{loss}");
}

#[test]
fn a_publisher_without_transport_wide_feedback_is_told_by_remb_if_it_asked() {
    let (mut world, _) = world_with_viewer(75, 0);
    let peer = world.transport(0).peer;
    world.run_for(3_000_000);
    assert!(world.publisher(0).rembs.is_empty());
    let extensions = ExtensionIds { transport_wide_cc: 0, ..EXTENSIONS };
    world.command(Command::SetReceiving { peer, extensions, payloads: vec![VIDEO] });
    world.command(Command::SetSending { peer, extensions, transport_cc: false, remb: true });
    world.run_for(4_000_000);
    let free = world.publisher(0).rembs.last().copied().expect("told");
    assert!(free >= 2_500_000, "{free}");
    world.transport(0).up = Link::new(20_000, 30);
    world.run_for(5_000_000);
    let lossy = world.publisher(0).rembs.last().copied().expect("told");
    assert!(lossy < 1_200_000, "{lossy}");
}
