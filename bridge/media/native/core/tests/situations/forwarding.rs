//! Plain forwarding: bit for bit, to all, with continuous numbers, clocks passed on.

use std::collections::BTreeMap;

use bridge_relay_core::api::{Command, Event, MediaKind, SubscriptionId, TrackId};

use crate::net::{Link, Role, World, holes};
use crate::publisher::{Publisher, publisher_ntp};
use crate::subscriber::{Subscriber, View};

pub const TRACK: TrackId = TrackId(1);

/// A world in which one publisher (client 0) has one track.
pub fn stage(seed: u64, publisher: impl Fn(u64) -> Publisher) -> World {
    let mut world = World::new(seed);
    let publisher = publisher(world.now_us);
    let spec = publisher.spec();
    let client = world.join(Role::Publisher(publisher));
    let peer = world.transport(client).peer;
    world.command(Command::AddTrack { track: TRACK, peer, spec });
    world
}

/// Adds a client that watches a track on its first slot.
pub fn watch(world: &mut World, track: TrackId, kind: MediaKind) -> usize {
    let now_us = world.now_us;
    let client = world.join(Role::Subscriber(Subscriber::new(now_us)));
    add_slot(world, client, kind, Some(track));
    client
}

pub fn add_slot(world: &mut World, client: usize, kind: MediaKind, track: Option<TrackId>) -> SubscriptionId {
    let peer = world.transport(client).peer;
    let subscription = SubscriptionId(peer.0 * 10 + world.subscriber(client).views.len() as u32);
    let spec = world.subscriber(client).slot(subscription, kind);
    world.command(Command::AddSubscription { subscription, peer, spec });
    world.command(Command::SwitchSubscription { subscription, track });
    subscription
}

pub fn slot_of(world: &mut World, client: usize) -> SubscriptionId {
    SubscriptionId(world.transport(client).peer.0 * 10)
}

fn originals(world: &mut World) -> BTreeMap<(u32, u64, u64), Vec<u8>> {
    let mut made = BTreeMap::new();
    for stream in &world.publisher(0).streams {
        let mut counts = BTreeMap::new();
        for packet in &stream.made {
            let number = counts.entry(packet.timestamp).or_insert(0_u64);
            let tagged = crate::subscriber::Received {
                timestamp: packet.timestamp,
                marker: packet.marker,
                payload: packet.payload.clone(),
                at_us: 0,
                by_rtx: false,
                has_mid: false,
            };
            made.insert(View::tag(&tagged, stream.kind), packet.payload.clone());
            *number += 1;
        }
    }
    made
}

#[test]
fn every_subscriber_gets_every_packet_bit_for_bit() {
    let mut world = stage(1, |now_us| Publisher::video(&[""], now_us));
    let viewers: Vec<usize> = (0..3).map(|_| watch(&mut world, TRACK, MediaKind::Video)).collect();
    world.run_for(5_000_000);
    let made = originals(&mut world);
    for viewer in viewers {
        let view = &world.subscriber(viewer).views[0];
        assert!(view.packets.len() > 130, "{}", view.packets.len());
        assert_eq!((holes(&view.packets), view.duplicates), (0, 0));
        view.assert_continuous();
        for received in view.packets.values() {
            assert_eq!(Some(&received.payload), made.get(&View::tag(received, MediaKind::Video)));
        }
        assert_eq!(world.subscriber(viewer).refused, 0);
    }
}

#[test]
fn audio_flows_at_once_and_its_level_is_told() {
    let mut world = stage(2, Publisher::audio);
    let listener = watch(&mut world, TRACK, MediaKind::Audio);
    world.run_for(3_000_000);
    let view = &world.subscriber(listener).views[0];
    assert!(view.packets.len() > 130);
    assert_eq!(holes(&view.packets), 0);
    let levels = world.events.iter().filter_map(|event| match event {
        Event::AudioLevels { levels } => Some(levels.clone()),
        _ => None,
    });
    assert!(levels.flatten().any(|(track, level)| track == TRACK && (28..=32).contains(&level)));
}

#[test]
fn sound_goes_out_before_pictures_that_came_with_it() {
    const SOUND: TrackId = TrackId(2);
    let mut world = stage(5, |now_us| Publisher::video(&[""], now_us));
    let speaker = Publisher::audio(world.now_us);
    let spec = speaker.spec();
    let client = world.join(Role::Publisher(speaker));
    let peer = world.transport(client).peer;
    world.command(Command::AddTrack { track: SOUND, peer, spec });
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    let listener = watch(&mut world, SOUND, MediaKind::Audio);
    world.run_for(2_000_000);
    let (viewer, listener) = (world.transport(viewer).address, world.transport(listener).address);
    // In one batch, the picture first.
    let next_us = world.now_us + 100_000;
    for client in [0, client] {
        let crate::net::Client { transport, role } = &mut world.clients[client];
        let Role::Publisher(publisher) = role else { panic!("both publish") };
        publisher.act(transport, next_us);
        for mut packet in transport.outgoing.drain(..) {
            world.relay.receive(world.now_us, transport.address, &mut packet, &mut world.sink);
        }
    }
    world.relay.flush(world.now_us, &mut world.sink);
    let order: Vec<_> = world.sink.sent.iter().map(|(to, _)| *to).collect();
    let first_picture = order.iter().position(|to| *to == viewer).expect("a picture");
    let last_sound = order.iter().rposition(|to| *to == listener).expect("a sound");
    assert!(last_sound < first_picture, "{order:?}");
}

#[test]
fn the_mid_is_sent_until_the_receiver_reports() {
    let mut world = stage(3, |now_us| Publisher::video(&[""], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(3_000_000);
    let view = &world.subscriber(viewer).views[0];
    assert!(view.packets.values().next().is_some_and(|received| received.has_mid));
    assert!(view.packets.values().next_back().is_some_and(|received| !received.has_mid));
}

#[test]
fn sender_reports_keep_the_publishers_clock() {
    let mut world = stage(4, |now_us| Publisher::video(&["l", "h"], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(4_000_000);
    let subscription = slot_of(&mut world, viewer);
    world.command(Command::SetLayer { subscription, layer: Some(0) });
    world.run_for(4_000_000);
    // Delay and jitter of the publisher's link make the carried-on clock late by as much.
    let up_us = world.transport(0).up.delay_us;
    let view = &world.subscriber(viewer).views[0];
    assert!(view.reports.len() >= 6, "{}", view.reports.len());
    for (at_us, info) in &view.reports {
        let sent_us = at_us - 20_000;
        let late = publisher_ntp(sent_us - up_us).abs_diff(info.ntp);
        assert!(late < (1 << 32) / 100, "off by {late}");
    }
    // All reports, of either layer, put the same moment at the same time stamp.
    let (_, first) = view.reports[0];
    for (_, info) in &view.reports {
        let elapsed = (u128::from(info.ntp - first.ntp) * 90_000) >> 32;
        let stepped = info.rtp_timestamp.wrapping_sub(first.rtp_timestamp);
        assert!(u32::try_from(elapsed).expect("seconds").abs_diff(stepped) < 200, "{elapsed} {stepped}");
    }
}

#[test]
fn round_trip_loss_and_rates_are_told_once_a_second() {
    let mut world = stage(5, |now_us| Publisher::video(&[""], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.transport(viewer).down = Link::new(60_000, 0);
    world.run_for(6_000_000);
    let stats = world.stats();
    let peer = world.transport(viewer).peer;
    let of_viewer = stats.peers.iter().find(|stats| stats.peer == peer).expect("the viewer");
    assert!((70_000..95_000).contains(&of_viewer.rtt_us), "{}", of_viewer.rtt_us);
    assert!(of_viewer.estimate_bps > 0);
    assert!((200_000..300_000).contains(&of_viewer.bitrate_out_bps), "{}", of_viewer.bitrate_out_bps);
    let layer = &stats.layers[0];
    assert_eq!((layer.width, layer.height, layer.lost), (640, 480, 0));
    assert!((29.0..31.5).contains(&layer.frames_per_second), "{}", layer.frames_per_second);
    // The packets of a beginning come from the ring and are not measured.
    let measured = stats.relay.transit.iter().sum::<u64>();
    assert!((1..=3).contains(&(stats.subscriptions[0].packets - measured)), "{measured}");
    assert_eq!((stats.relay.malformed, stats.relay.unauthenticated, stats.relay.replayed), (0, 0, 0));
    assert!(world.publisher(0).feedback > 60);
    assert!(world.publisher(0).receiver_reports >= 4);
    assert_eq!(world.publisher(0).refused, 0);
}

#[test]
fn a_switch_to_another_track_shows_it_from_a_keyframe_on() {
    let mut world = stage(6, |now_us| Publisher::video(&[""], now_us));
    let mut other = Publisher::video(&["", ""], world.now_us);
    other.streams.remove(0);
    other.streams[0].mid = "w";
    let spec = other.spec();
    let client = world.join(Role::Publisher(other));
    let peer = world.transport(client).peer;
    world.command(Command::AddTrack { track: TrackId(2), peer, spec });
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(2_000_000);
    let subscription = slot_of(&mut world, viewer);
    for track in [TrackId(2), TRACK, TrackId(2)] {
        world.command(Command::SwitchSubscription { subscription, track: Some(track) });
        world.run_for(2_000_000);
    }
    let view = &world.subscriber(viewer).views[0];
    view.assert_continuous();
    assert_eq!(holes(&view.packets), 0);
    let mut sources = view.sources();
    sources.dedup();
    assert_eq!(sources, vec![1_000, 1_001, 1_000, 1_001]);
    world.command(Command::SwitchSubscription { subscription, track: None });
    let before = world.subscriber(viewer).views[0].packets.len();
    world.run_for(100_000);
    let shortly = world.subscriber(viewer).views[0].packets.len();
    world.run_for(1_000_000);
    assert_eq!(world.subscriber(viewer).views[0].packets.len(), shortly);
    assert!(shortly - before < 8);
}

#[test]
fn a_paused_track_reaches_nobody_and_nothing_of_the_pause_is_shown_later() {
    let mut world = stage(7, |now_us| Publisher::video(&[""], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.command(Command::SetTap { track: TRACK, on: true });
    world.run_for(2_000_000);
    world.command(Command::PauseTrack { track: TRACK, paused: true });
    let paused_from = world.publisher(0).streams[0].frame;
    world.run_for(2_000_000);
    world.publisher(0).streams[0].keyframe_wanted = true;
    world.run_for(300_000);
    let paused_to = world.publisher(0).streams[0].frame - 2;
    world.command(Command::PauseTrack { track: TRACK, paused: false });
    world.run_for(2_000_000);
    let view = &world.subscriber(viewer).views[0];
    view.assert_continuous();
    assert_eq!(holes(&view.packets), 0);
    let frames: Vec<u64> =
        view.packets.values().map(|received| View::tag(received, MediaKind::Video).1).collect();
    assert!(
        frames.iter().all(|frame| *frame < paused_from || *frame > paused_to - 1),
        "{paused_from}..{paused_to}"
    );
    assert!(frames.last().is_some_and(|last| *last > paused_to + 30));
    let tapped_in_pause = world.events.iter().any(|event| match event {
        Event::TapPackets { packets, .. } => {
            packets.iter().any(|(packet, _)| (3_200_000..5_200_000).contains(&packet.arrived_us))
        }
        _ => false,
    });
    assert!(!tapped_in_pause);
}
