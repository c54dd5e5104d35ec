//! Simulcast: switching at keyframes, falling back, coming again.

use bridge_relay_core::api::{Command, Event, MediaKind};

use crate::forwarding::{TRACK, slot_of, stage, watch};
use crate::net::{World, holes};
use crate::publisher::Publisher;

fn three_layers(seed: u64) -> (World, usize) {
    let mut world = stage(seed, |now_us| Publisher::video(&["q", "h", "f"], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    (world, viewer)
}

fn set_layer(world: &mut World, viewer: usize, layer: Option<u8>) {
    let subscription = slot_of(world, viewer);
    world.command(Command::SetLayer { subscription, layer });
}

#[test]
fn switches_only_at_keyframes_with_all_numbers_continuous() {
    let (mut world, viewer) = three_layers(21);
    world.run_for(3_000_000);
    for layer in [0, 2, 1, 2, 0] {
        set_layer(&mut world, viewer, Some(layer));
        world.run_for(2_000_000);
    }
    let view = &world.subscriber(viewer).views[0];
    assert_eq!(holes(&view.packets), 0);
    view.assert_continuous();
    let mut sources = view.sources();
    sources.dedup();
    assert!(sources.ends_with(&[1_002, 1_000, 1_002, 1_001, 1_002, 1_000]), "{sources:?}");
    let told: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::LayerChanged { layer, .. } => *layer,
            _ => None,
        })
        .collect();
    assert!(told.ends_with(&[2, 0, 2, 1, 2, 0]), "{told:?}");
}

#[test]
fn what_is_missing_of_a_layer_is_sent_again_unless_the_viewer_fell_below_it() {
    for (first, then, answered) in [(0, 2, true), (2, 0, false)] {
        let (mut world, viewer) = three_layers(27);
        set_layer(&mut world, viewer, Some(first));
        world.run_for(3_000_000);
        let view = &world.subscriber(viewer).views[0];
        let (ssrc, newest) = (view.ssrc, *view.packets.keys().last().expect("something came"));
        set_layer(&mut world, viewer, Some(then));
        world.run_for(1_000_000);
        let asked: Vec<u16> = (newest - 3..newest).map(|sequence| sequence as u16).collect();
        let mut compound = Vec::new();
        bridge_relay_core::wire::rtcp::write_nack(&mut compound, 1, ssrc, &asked);
        world.subscriber(viewer).pending = compound;
        world.run_for(1_000_000);
        let stats = world.stats();
        assert_eq!(stats.subscriptions[0].nacked, 3);
        assert_eq!(stats.subscriptions[0].retransmitted, if answered { 3 } else { 0 });
    }
}

#[test]
fn time_stamps_of_layers_are_aligned_by_their_sender_reports() {
    let (mut world, viewer) = three_layers(22);
    world.run_for(3_000_000);
    set_layer(&mut world, viewer, Some(0));
    world.run_for(3_000_000);
    let view = &world.subscriber(viewer).views[0];
    let mut frames: Vec<u32> = view.packets.values().map(|received| received.timestamp).collect();
    frames.dedup();
    // Both layers are frames of one camera: over the switch, too, a frame is a thirtieth of a second or two.
    let steps = frames.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).skip(30);
    for step in steps {
        assert!((2_990..=3_010).contains(&step) || (5_990..=6_010).contains(&step), "{step}");
    }
}

#[test]
fn without_sender_reports_a_switch_still_goes_forward_in_time() {
    let (mut world, viewer) = three_layers(23);
    world.publisher(0).streams.iter_mut().for_each(|stream| stream.reports = false);
    world.run_for(3_000_000);
    set_layer(&mut world, viewer, Some(0));
    world.run_for(3_000_000);
    let view = &world.subscriber(viewer).views[0];
    view.assert_continuous();
    assert!(view.reports.is_empty(), "no report before the publisher's clock is known");
}

#[test]
fn falls_to_the_next_lower_layer_when_the_wanted_one_dries_up_and_returns() {
    let (mut world, viewer) = three_layers(24);
    world.run_for(3_000_000);
    world.publisher(0).streams[2].sending = false;
    world.run_for(4_000_000);
    let mut sources = world.subscriber(viewer).views[0].sources();
    assert_eq!(sources.pop(), Some(1_001));
    assert_eq!(world.count_events(|event| matches!(event, Event::TrackStalled { layer: 2, .. })), 1);
    let packets = &world.subscriber(viewer).views[0].packets;
    let times: Vec<u64> = packets.values().map(|received| received.at_us).collect();
    let longest_us = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    assert!(longest_us < 900_000, "a freeze of {longest_us}");
    world.publisher(0).streams[2].sending = true;
    world.run_for(4_000_000);
    assert_eq!(world.subscriber(viewer).views[0].sources().pop(), Some(1_002));
    world.subscriber(viewer).views[0].assert_continuous();
    assert_eq!(world.count_events(|event| matches!(event, Event::TrackStarted { layer: 2, .. })), 2);
}

#[test]
fn a_paused_subscription_gets_nothing_and_resumes() {
    let (mut world, viewer) = three_layers(25);
    world.run_for(2_000_000);
    set_layer(&mut world, viewer, None);
    world.run_for(100_000);
    let before = world.subscriber(viewer).views[0].packets.len();
    world.run_for(3_000_000);
    assert_eq!(world.subscriber(viewer).views[0].packets.len(), before);
    set_layer(&mut world, viewer, Some(2));
    world.run_for(2_000_000);
    let view = &world.subscriber(viewer).views[0];
    assert!(view.packets.len() > before + 100);
    assert_eq!(holes(&view.packets), 0);
    view.assert_continuous();
}

#[test]
fn a_publisher_that_takes_other_ssrcs_goes_on_being_seen() {
    let (mut world, viewer) = three_layers(26);
    world.run_for(2_000_000);
    let now_us = world.now_us;
    let mut again = Publisher::video(&["q", "h", "f"], now_us);
    for stream in &mut again.streams {
        stream.ssrc += 100;
    }
    *world.publisher(0) = again;
    world.run_for(3_000_000);
    let view = &world.subscriber(viewer).views[0];
    assert_eq!(view.sources().pop(), Some(1_102));
    view.assert_continuous();
    assert_eq!(holes(&view.packets), 0);
}
