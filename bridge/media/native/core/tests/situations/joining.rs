//! Joining: replay of the last keyframe, and keyframe requests merged however many join.

use bridge_relay_core::api::{Command, Event, MediaKind};

use crate::forwarding::{TRACK, slot_of, stage, watch};
use crate::net::holes;
use crate::publisher::Publisher;

#[test]
fn a_joiner_gets_the_last_keyframe_and_what_followed_without_asking() {
    let mut world = stage(31, |now_us| Publisher::video(&[""], now_us));
    let first = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(900_000);
    let keyframes = world.publisher(0).streams[0].keyframes;
    let joined_us = world.now_us;
    let late = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(400_000);
    let view = &world.subscriber(late).views[0];
    view.assert_continuous();
    assert_eq!(holes(&view.packets), 0);
    let first_us = view.packets.values().next().expect("it sees something").at_us;
    assert!(first_us - joined_us < 150_000, "{}", first_us - joined_us);
    assert_eq!(world.publisher(0).streams[0].keyframes, keyframes, "nobody asked for a keyframe");
    let newest = world.subscriber(first).sources_last();
    assert_eq!(world.subscriber(late).sources_last(), newest, "it has caught up");
}

#[test]
fn a_join_storm_asks_for_one_keyframe_a_second() {
    let mut world = stage(32, |now_us| Publisher::video(&[""], now_us));
    watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(10_000_000);
    world.publisher(0).streams[0].keyframe_requests.clear();
    let storm_us = world.now_us;
    let mut viewers = Vec::new();
    for _ in 0..40 {
        viewers.push(watch(&mut world, TRACK, MediaKind::Video));
        world.run_for(50_000);
    }
    world.run_for(2_500_000);
    for viewer in viewers {
        let view = &world.subscriber(viewer).views[0];
        view.assert_continuous();
        assert!(view.packets.len() > 30);
    }
    let requests = world.publisher(0).streams[0].keyframe_requests.clone();
    let seconds = (world.now_us - storm_us) / 1_000_000;
    assert!(requests.len() as u64 <= seconds + 1, "{requests:?}");
    assert!(requests.windows(2).all(|pair| pair[1] - pair[0] >= 950_000), "{requests:?}");
}

#[test]
fn picture_loss_from_many_is_one_request_and_the_first_goes_at_once() {
    let mut world = stage(33, |now_us| Publisher::video(&[""], now_us));
    let viewers: Vec<usize> = (0..20).map(|_| watch(&mut world, TRACK, MediaKind::Video)).collect();
    world.run_for(5_000_000);
    world.publisher(0).streams[0].keyframe_requests.clear();
    let asked_us = world.now_us;
    for viewer in viewers {
        let ssrc = world.subscriber(viewer).views[0].ssrc;
        bridge_relay_core::wire::rtcp::write_pli(&mut world.subscriber(viewer).pending, 1, ssrc);
    }
    world.run_for(800_000);
    let requests = world.publisher(0).streams[0].keyframe_requests.clone();
    assert_eq!(requests.len(), 1, "{requests:?}");
    // Their own timers hold the requests up to 20 ms, then there are two links.
    assert!(requests[0] - asked_us <= 65_000, "{}", requests[0] - asked_us);
    world.run_for(400_000);
    assert_eq!(world.stats().relay.keyframe_requests_received, 20);
}

#[test]
fn a_large_replay_is_paced_and_complete() {
    let mut world = stage(34, |now_us| {
        let mut publisher = Publisher::video(&[""], now_us);
        publisher.streams[0].packets_per_frame = 20;
        publisher
    });
    watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(1_100_000);
    let late = watch(&mut world, TRACK, MediaKind::Video);
    let mut largest = 0;
    let mut before = 0;
    for _ in 0..200 {
        world.run_for(5_000);
        let count = world.subscriber(late).views[0].packets.len();
        largest = largest.max(count - before);
        before = count;
    }
    let view = &world.subscriber(late).views[0];
    assert_eq!(holes(&view.packets), 0);
    view.assert_continuous();
    assert!(before > 900, "{before}");
    assert!(largest <= 70, "{largest} packets within 5 ms");
}

#[test]
fn a_replay_broken_off_by_another_layer_leaves_no_hole() {
    let mut world = stage(37, |now_us| {
        let mut publisher = Publisher::video(&["l", "h"], now_us);
        publisher.streams[1].packets_per_frame = 20;
        publisher
    });
    watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(1_100_000);
    let late = watch(&mut world, TRACK, MediaKind::Video);
    let subscription = slot_of(&mut world, late);
    while world.subscriber(late).views[0].packets.len() < 40 {
        world.run_for(5_000);
        assert!(world.now_us < 5_000_000, "it sees nothing");
    }
    world.command(Command::SetLayer { subscription, layer: Some(0) });
    world.run_for(2_000_000);
    let last = world.stats().subscriptions.last().map(|subscription| subscription.layer);
    assert_eq!(last, Some(Some(0)));
    assert_eq!(holes(&world.subscriber(late).views[0].packets), 0);
}

#[test]
fn a_slot_that_cannot_carry_the_codec_gets_nothing() {
    let mut world = stage(35, |now_us| Publisher::video(&[""], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    let subscription = slot_of(&mut world, viewer);
    world.command(Command::RemoveSubscription { subscription });
    let peer = world.transport(viewer).peer;
    let mut spec = world.subscriber(viewer).slot(subscription, MediaKind::Video);
    spec.payloads[0].codec = bridge_relay_core::api::Codec::H264;
    world.command(Command::AddSubscription { subscription, peer, spec });
    world.command(Command::SwitchSubscription { subscription, track: Some(TRACK) });
    world.run_for(2_000_000);
    assert!(world.subscriber(viewer).views.iter().all(|view| view.packets.is_empty()));
    assert_eq!(world.count_events(|event| matches!(event, Event::LayerChanged { .. })), 0);
}

#[test]
fn an_ssrc_taken_again_goes_on_counting() {
    let mut world = stage(36, |now_us| Publisher::video(&[""], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(2_000_000);
    let subscription = slot_of(&mut world, viewer);
    let peer = world.transport(viewer).peer;
    world.command(Command::RemoveSubscription { subscription });
    let spec = world.subscriber(viewer).slot(subscription, MediaKind::Video);
    world.subscriber(viewer).views.pop();
    world.command(Command::AddSubscription { subscription, peer, spec });
    world.command(Command::SwitchSubscription { subscription, track: Some(TRACK) });
    let before = world.subscriber(viewer).views[0].packets.len();
    world.run_for(2_000_000);
    let view = &world.subscriber(viewer).views[0];
    assert!(view.packets.len() > before + 50);
    assert_eq!(holes(&view.packets), 0);
    assert_eq!(world.subscriber(viewer).refused, 0);
}
