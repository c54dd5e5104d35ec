//! Back-pressure: who cannot take more loses video to the end of the frame, is counted, and recovers.

use bridge_relay_core::api::MediaKind;

use crate::forwarding::{TRACK, add_slot, stage, watch};
use crate::net::{Role, holes};
use crate::publisher::Publisher;
use bridge_relay_core::api::{Command, TrackId};

#[test]
fn a_full_outbox_costs_one_viewer_the_rest_of_the_frame_and_is_healed() {
    let mut world = stage(51, |now_us| {
        let mut publisher = Publisher::video(&[""], now_us);
        publisher.streams[0].packets_per_frame = 6;
        publisher
    });
    let slow = watch(&mut world, TRACK, MediaKind::Video);
    let other = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(2_000_000);
    let to = world.transport(slow).address;
    world.sink.room = Some((Some(to), 2));
    world.run_for(34_000);
    world.sink.room = None;
    world.run_for(2_000_000);
    let stats = world.stats();
    assert!((3..=6).contains(&stats.relay.dropped_out), "{}", stats.relay.dropped_out);
    let dropped: Vec<u64> = stats.subscriptions.iter().map(|slot| slot.dropped).collect();
    assert!(dropped[0] >= 3 && dropped[1] == 0, "{dropped:?}");
    for viewer in [slow, other] {
        let view = &world.subscriber(viewer).views[0];
        assert_eq!(holes(&view.packets), 0);
        view.assert_continuous();
    }
}

#[test]
fn a_refused_datagram_ends_the_frame_for_video_and_never_drops_audio() {
    let mut world = stage(52, |now_us| {
        let mut publisher = Publisher::video(&[""], now_us);
        publisher.streams[0].packets_per_frame = 6;
        publisher
    });
    let audio = Publisher::audio(world.now_us);
    let spec = audio.spec();
    let speaker = world.join(Role::Publisher(audio));
    let peer = world.transport(speaker).peer;
    world.command(Command::AddTrack { track: TrackId(2), peer, spec });
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    add_slot(&mut world, viewer, MediaKind::Audio, Some(TrackId(2)));
    world.run_for(2_000_000);
    let to = world.transport(viewer).address;
    for _ in 0..50 {
        world.run_for(20_000);
        world.relay.send_refused(world.now_us, to);
    }
    world.run_for(2_000_000);
    let views = &world.subscriber(viewer).views;
    assert_eq!(holes(&views[1].packets), 0);
    assert!(views[1].packets.len() > 220, "{}", views[1].packets.len());
    assert_eq!(world.stats().subscriptions.iter().map(|slot| slot.dropped).max(), Some(0));
    assert_eq!(world.stats().relay.dropped_out, 50);
}

#[test]
fn a_viewer_without_any_room_does_not_slow_the_others() {
    let mut world = stage(53, |now_us| Publisher::video(&["l", "h"], now_us));
    let starved = watch(&mut world, TRACK, MediaKind::Video);
    let other = watch(&mut world, TRACK, MediaKind::Video);
    let to = world.transport(starved).address;
    world.sink.room = Some((Some(to), 0));
    world.run_for(5_000_000);
    assert!(world.subscriber(starved).views[0].packets.is_empty());
    let view = &world.subscriber(other).views[0];
    assert_eq!(holes(&view.packets), 0);
    view.assert_continuous();
    world.sink.room = None;
    world.run_for(3_000_000);
    assert!(world.subscriber(starved).views[0].packets.len() > 100);
}

#[test]
fn a_publisher_that_floods_is_not_multiplied_and_others_go_on() {
    let mut world = stage(53, |now_us| {
        let mut publisher = Publisher::video(&[""], now_us);
        publisher.streams[0].packets_per_frame = 400;
        publisher
    });
    let honest = Publisher::video(&[""], world.now_us);
    let spec = honest.spec();
    let other = world.join(Role::Publisher(honest));
    let peer = world.transport(other).peer;
    world.command(Command::AddTrack { track: TrackId(2), peer, spec });
    let flooded = watch(&mut world, TRACK, MediaKind::Video);
    let viewer = watch(&mut world, TrackId(2), MediaKind::Video);
    world.run_for(10_000_000);
    let sent = 10 * 30 * 400;
    let passed = world.subscriber(flooded).views[0].packets.len();
    assert!((10_000..sent / 4).contains(&passed), "{passed} of {sent}");
    let view = &world.subscriber(viewer).views[0];
    assert_eq!(holes(&view.packets), 0);
    assert!(view.packets.len() >= 290, "{}", view.packets.len());
}
