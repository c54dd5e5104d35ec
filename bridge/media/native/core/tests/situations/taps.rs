//! Taps: the decrypted packets of a track, healed and without duplicates.

use std::collections::BTreeMap;

use bridge_relay_core::api::{Codec, Command, Event, TapPacket};

use crate::forwarding::{TRACK, stage};
use crate::net::{Link, World, holes};
use crate::publisher::Publisher;

fn tapped(world: &World) -> Vec<(TapPacket, Vec<u8>)> {
    let mut packets = Vec::new();
    for event in &world.events {
        if let Event::TapPackets { track, packets: batch } = event {
            assert_eq!(*track, TRACK);
            packets.extend(batch.iter().map(|(packet, payload)| (packet.clone(), payload.to_vec())));
        }
    }
    packets
}

#[test]
fn a_tap_gets_each_packet_once_as_it_was_made_although_nobody_watches() {
    let mut world = stage(61, |now_us| {
        let mut publisher = Publisher::video(&[""], now_us);
        publisher.streams[0].packets_per_frame = 5;
        publisher
    });
    world.command(Command::SetTap { track: TRACK, on: true });
    world.transport(0).up = Link { jitter_us: 5_000, ..Link::new(30_000, 5) };
    world.run_for(5_000_000);
    world.transport(0).up = Link::new(30_000, 0);
    world.run_for(1_000_000);
    let packets = tapped(&world);
    assert!(packets.iter().any(|(packet, _)| packet.keyframe_start));
    let by_number: BTreeMap<u64, &TapPacket> =
        packets.iter().map(|(packet, _)| (packet.sequence, packet)).collect();
    assert_eq!(by_number.len(), packets.len(), "no duplicates");
    assert_eq!(holes(&by_number), 0);
    let made = &world.publisher(0).streams[0].made;
    let by_short: BTreeMap<u16, Vec<u8>> =
        made.iter().map(|packet| (packet.sequence as u16, packet.payload.clone())).collect();
    for (packet, payload) in &packets {
        assert_eq!(Some(payload), by_short.get(&(packet.sequence as u16)));
        assert_eq!(packet.codec, Codec::Vp8);
    }
    assert!(packets.windows(2).all(|pair| pair[0].0.arrived_us <= pair[1].0.arrived_us));
    world.command(Command::SetTap { track: TRACK, on: false });
    let before = packets.len();
    world.run_for(1_000_000);
    assert_eq!(tapped(&world).len(), before);
}
