//! ICE: changes of address, restarts, consent, refusals.

use std::net::SocketAddr;

use bridge_relay_core::api::{Command, Event, IceCredentials, MediaKind, SrtpProfile};
use bridge_relay_core::srtp::{SrtpReceiver, SrtpSender};
use bridge_relay_core::wire::stun::{self, IceRole, IntegrityKey, RequestFields};

use crate::forwarding::{TRACK, stage, watch};
use crate::net::World;
use crate::publisher::Publisher;

fn world_with_viewer(seed: u64) -> (World, usize) {
    let mut world = stage(seed, |now_us| Publisher::video(&[""], now_us));
    let viewer = watch(&mut world, TRACK, MediaKind::Video);
    world.run_for(2_000_000);
    (world, viewer)
}

fn elsewhere(port: u16) -> SocketAddr {
    SocketAddr::from(([172, 16, 0, 9], port))
}

#[test]
fn a_subscriber_that_changes_its_address_goes_on_after_a_check() {
    let (mut world, viewer) = world_with_viewer(41);
    world.transport(viewer).address = elsewhere(1);
    world.run_for(4_000_000);
    let moved = world.transport(viewer).peer;
    assert_eq!(world.count_events(|event| *event == Event::PeerMoved { peer: moved }), 1);
    assert!(world.recent(viewer, 100_000) > 0);
    assert_eq!(world.subscriber(viewer).refused, 0);
}

#[test]
fn a_publisher_that_changes_its_address_goes_on_after_a_check() {
    let (mut world, viewer) = world_with_viewer(42);
    world.transport(0).address = elsewhere(2);
    let unknown = world.stats().relay.unknown_sender;
    world.run_for(5_000_000);
    assert!(world.stats().relay.unknown_sender > unknown, "packets before the check are not taken");
    assert!(world.recent(viewer, 100_000) > 0);
}

#[test]
fn the_old_path_goes_on_until_a_check_uses_the_restarts_credentials() {
    let (mut world, viewer) = world_with_viewer(43);
    let peer = world.transport(viewer).peer;
    let ice = IceCredentials { ufrag: "fresh".into(), pwd: "another-password-0123456".into() };
    world.command(Command::RestartIce { peer, ice: ice.clone() });
    world.run_for(3_000_000);
    assert_eq!(world.count_events(|event| matches!(event, Event::PeerMoved { .. })), 0);
    world.transport(viewer).ufrag = ice.ufrag;
    world.transport(viewer).pwd = ice.pwd;
    world.transport(viewer).nominates = false;
    world.transport(viewer).address = elsewhere(3);
    let old = world.transport(viewer).successes;
    world.run_for(4_000_000);
    assert!(world.transport(viewer).successes > old);
    assert_eq!(world.count_events(|event| *event == Event::PeerMoved { peer }), 1);
    assert!(world.recent(viewer, 100_000) > 0);
    // The old credentials are worth nothing now.
    let refused = world.stats().relay.unknown_sender;
    world.transport(viewer).ufrag = format!("u{}", peer.0);
    world.run_for(3_000_000);
    assert!(world.stats().relay.unknown_sender > refused);
}

#[test]
fn consent_expires_sending_stops_and_a_check_brings_it_back() {
    let (mut world, viewer) = world_with_viewer(44);
    let peer = world.transport(viewer).peer;
    world.transport(viewer).silent = true;
    world.run_for(29_000_000);
    assert_eq!(world.count_events(|event| *event == Event::PeerSilent { peer }), 0);
    world.run_for(2_500_000);
    assert_eq!(world.count_events(|event| *event == Event::PeerSilent { peer }), 1);
    let stray = world.stray;
    world.run_for(2_000_000);
    assert_eq!(world.stray, stray, "nothing is sent without consent");
    world.transport(viewer).silent = false;
    world.run_for(5_000_000);
    assert_eq!(world.count_events(|event| *event == Event::PeerConnected { peer }), 2);
    assert!(world.recent(viewer, 100_000) > 0);
}

#[test]
fn a_gap_of_ten_seconds_is_survived_without_anyone_asking() {
    let (mut world, viewer) = world_with_viewer(45);
    world.transport(viewer).silent = true;
    world.run_for(10_000_000);
    world.transport(viewer).silent = false;
    world.run_for(1_000_000);
    let recent = world.recent(viewer, 900_000);
    assert!(recent > 20, "{recent}");
    assert_eq!(world.subscriber(viewer).refused, 0);
}

#[test]
fn checks_that_are_not_in_order_are_refused_shortly() {
    let (mut world, viewer) = world_with_viewer(46);
    let peer = world.transport(viewer).peer;
    let from = elsewhere(4);
    let (ufrag, pwd) = (world.transport(viewer).ufrag.clone(), world.transport(viewer).pwd.clone());
    let controlling = IceRole::Controlling(1);
    for (username, password, role, code) in [
        (format!("{ufrag}:x"), "not-the-password".to_owned(), controlling, Some(401)),
        ("nobody:x".into(), pwd.clone(), controlling, Some(401)),
        (format!("{ufrag}:x"), pwd.clone(), IceRole::Controlled(1), Some(487)),
        (format!("{ufrag}:x"), pwd.clone(), controlling, None),
    ] {
        let fields = RequestFields {
            transaction_id: [7; 12],
            username: &username,
            priority: 1,
            role,
            use_candidate: false,
        };
        let mut datagram = vec![0; stun::MAX_WRITTEN_LEN];
        let len =
            stun::write_request(&mut datagram, &fields, &IntegrityKey::new(&password)).expect("it fits");
        let mut request = datagram[..len].to_vec();
        world.relay.receive(world.now_us, from, &mut request, &mut world.sink);
        let (to, response) = world.sink.sent.pop().expect("an answer");
        assert_eq!(to, from);
        assert!(code.is_none() || code == Some(487) || response.len() <= len, "more bytes than it had");
        let Ok(stun::Message::Response(response)) = stun::parse(&response) else { panic!("no response") };
        assert_eq!(response.error_code, code);
    }
    assert_eq!(world.count_events(|event| *event == Event::PeerMoved { peer }), 0);
}

#[test]
fn dtls_is_passed_up_from_checked_addresses_and_down_to_the_selected_one() {
    let (mut world, viewer) = world_with_viewer(47);
    let (peer, address) = (world.transport(viewer).peer, world.transport(viewer).address);
    let hello = [22, 254, 253, 0, 0, 1, 2, 3];
    world.inject(elsewhere(5), &hello);
    world.inject(address, &hello);
    let passed: Vec<&Event> =
        world.events.iter().filter(|event| matches!(event, Event::DtlsReceived { .. })).collect();
    assert_eq!(passed, vec![&Event::DtlsReceived { peer, datagram: hello.to_vec() }]);
    world.relay.command(world.now_us, Command::SendDtls { peer, datagram: hello.to_vec() }, &mut world.sink);
    assert_eq!(world.sink.sent.pop(), Some((address, hello.to_vec())));
}

#[test]
fn new_keys_do_not_interrupt_the_stream() {
    let (mut world, viewer) = world_with_viewer(48);
    // Far enough that the old keys' roll-over counter would not fit the new ones.
    let profile = SrtpProfile::AeadAes256Gcm;
    for client in [viewer, 0] {
        let peer = world.transport(client).peer;
        let (local, remote) = (vec![9; 44], vec![11; 44]);
        let command = Command::SetKeys { peer, profile, local: local.clone(), remote: remote.clone() };
        world.command(command);
        world.transport(client).receiver = SrtpReceiver::new(profile, &local).expect("a key");
        world.transport(client).sender = SrtpSender::new(profile, &remote).expect("a key");
    }
    let stream = &mut world.publisher(0).streams[0];
    stream.sequence &= 0xffff;
    stream.made.clear();
    world.run_for(3_000_000);
    assert!(world.recent(viewer, 1_000_000) > 25);
    let refused = world.subscriber(viewer).refused;
    assert!(refused < 10, "only what was under way: {refused}");
    assert!(world.publisher(0).refused < 10);
}
