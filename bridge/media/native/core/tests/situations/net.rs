//! The world of a situation: one relay, its clients, the links between them, and virtual time.

use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

use bridge_relay_core::api::{
    Codec, Command, Event, ExtensionIds, IceCredentials, Outbox, Payload, PayloadType, PeerId, SrtpProfile,
    TapBatch, TapPacket, TrackId,
};
use bridge_relay_core::relay::Relay;
use bridge_relay_core::srtp::{SrtpReceiver, SrtpSender};
use bridge_relay_core::wire::demux::{DatagramKind, classify};
use bridge_relay_core::wire::stun::{self, IceRole, IntegrityKey, RequestFields};

use crate::publisher::Publisher;
use crate::subscriber::Subscriber;

pub const EXTENSIONS: ExtensionIds = ExtensionIds {
    mid: 1,
    rid: 2,
    repaired_rid: 3,
    abs_send_time: 4,
    transport_wide_cc: 5,
    audio_level: 6,
    video_orientation: 7,
    playout_delay: 0,
    dependency_descriptor: 0,
};
pub const VIDEO: PayloadType =
    PayloadType { payload_type: 96, codec: Codec::Vp8, clock_rate_hz: 90_000, rtx_payload_type: 97 };
pub const AUDIO: PayloadType =
    PayloadType { payload_type: 111, codec: Codec::Opus, clock_rate_hz: 48_000, rtx_payload_type: 0 };

const CHECK_EVERY_US: u64 = 2_500_000;

/// A small seeded generator (xorshift), so that a situation is the same every time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.roll() % bound }
    }
}

/// One direction of a link.
#[derive(Clone, Copy, Default)]
pub struct Link {
    pub delay_us: u64,
    /// Added at random: reorders.
    pub jitter_us: u64,
    pub loss_percent: u64,
    /// 0: without limit.
    pub capacity_bps: u64,
    /// When the last datagram has left a link of limited capacity.
    pub free_us: u64,
}

impl Link {
    pub fn new(delay_us: u64, loss_percent: u64) -> Self {
        Self { delay_us, loss_percent, ..Self::default() }
    }

    /// When a datagram arrives, if it does. A full link keeps 300 ms of them.
    fn carry(&mut self, dice: &mut Dice, len: usize, now_us: u64) -> Option<u64> {
        if dice.below(100) < self.loss_percent {
            return None;
        }
        let mut leaves_us = now_us;
        if let Some(leaving_us) = (len as u64 * 8_000_000).checked_div(self.capacity_bps) {
            leaves_us = self.free_us.max(now_us);
            if leaves_us - now_us > 300_000 {
                return None;
            }
            leaves_us += leaving_us;
            self.free_us = leaves_us;
        }
        Some(leaves_us + self.delay_us + dice.below(self.jitter_us))
    }
}

/// Keys, address and check timer: what every client has.
pub struct Transport {
    pub peer: PeerId,
    pub address: SocketAddr,
    pub ufrag: String,
    pub pwd: String,
    pub sender: SrtpSender,
    pub receiver: SrtpReceiver,
    pub up: Link,
    pub down: Link,
    pub nominates: bool,
    pub silent: bool,
    next_check_us: u64,
    checks: u64,
    pub successes: usize,
    pub outgoing: Vec<Vec<u8>>,
}

impl Transport {
    fn new(peer: PeerId) -> Self {
        let number = peer.0 as u8;
        Self {
            peer,
            address: SocketAddr::from(([10, 0, 0, number], 4_000)),
            ufrag: format!("u{number}"),
            pwd: format!("password-of-peer-{number:06}"),
            sender: SrtpSender::new(SrtpProfile::AeadAes128Gcm, &remote_key(peer)).expect("a key"),
            receiver: SrtpReceiver::new(SrtpProfile::AeadAes128Gcm, &local_key(peer)).expect("a key"),
            up: Link::new(20_000, 0),
            down: Link::new(20_000, 0),
            nominates: true,
            silent: false,
            next_check_us: 0,
            checks: 0,
            successes: 0,
            outgoing: Vec::new(),
        }
    }

    /// A binding request as the controlling side sends it.
    pub fn check(&mut self) -> Vec<u8> {
        self.checks += 1;
        let mut transaction_id = [0; 12];
        transaction_id[..8].copy_from_slice(&self.checks.to_be_bytes());
        let username = format!("{}:client", self.ufrag);
        let fields = RequestFields {
            transaction_id,
            username: &username,
            priority: 1,
            role: IceRole::Controlling(7),
            use_candidate: self.nominates,
        };
        let mut datagram = vec![0; stun::MAX_WRITTEN_LEN];
        let len =
            stun::write_request(&mut datagram, &fields, &IntegrityKey::new(&self.pwd)).expect("it fits");
        datagram.truncate(len);
        datagram
    }

    pub fn credentials(&self) -> IceCredentials {
        IceCredentials { ufrag: self.ufrag.clone(), pwd: self.pwd.clone() }
    }

    pub fn send_rtcp(&mut self, compound: &[u8]) {
        let mut packet = vec![0; compound.len() + self.sender.rtcp_overhead()];
        self.sender.protect_rtcp(compound, &mut packet).expect("a compound");
        self.outgoing.push(packet);
    }
}

/// What the relay encrypts with towards a peer.
pub fn local_key(peer: PeerId) -> Vec<u8> {
    (0..28).map(|at| at ^ peer.0 as u8).collect()
}

pub fn remote_key(peer: PeerId) -> Vec<u8> {
    (100..128).map(|at| at ^ peer.0 as u8).collect()
}

pub enum Role {
    Publisher(Publisher),
    Subscriber(Subscriber),
}

pub struct Client {
    pub transport: Transport,
    pub role: Role,
}

/// The relay's outbox: what it wants sent, within a room that a test may narrow.
pub struct Sink {
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
    pub events: Vec<Event>,
    /// Datagrams that still fit, to the address if one is given.
    pub room: Option<(Option<SocketAddr>, usize)>,
}

impl Outbox for Sink {
    fn slot(&mut self, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        if let Some((only, room)) = &mut self.room
            && only.is_none_or(|only| only == to)
        {
            *room = room.checked_sub(1)?;
        }
        self.sent.push((to, vec![0; len]));
        self.sent.last_mut().map(|(_, bytes)| bytes.as_mut_slice())
    }

    fn cancel(&mut self) {
        self.sent.pop();
    }

    fn tap(&mut self, track: TrackId, packet: TapPacket, payload: &Payload) {
        let mut packets = TapBatch::default();
        packets.push(packet, payload.clone());
        self.events.push(Event::TapPackets { track, packets });
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    /// Negative time: the heap's greatest is the next.
    order: std::cmp::Reverse<(u64, u64)>,
    to_relay: bool,
    /// The client's end.
    address: SocketAddr,
    bytes: Vec<u8>,
}

pub struct World {
    pub relay: Relay,
    pub now_us: u64,
    pub clients: Vec<Client>,
    pub sink: Sink,
    pub events: Vec<Event>,
    pub dice: Dice,
    flights: BinaryHeap<Flight>,
    launched: u64,
    /// Datagrams to addresses that nobody has any more.
    pub stray: usize,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let now_us = 1_000_000;
        Self {
            relay: Relay::new(now_us),
            now_us,
            clients: Vec::new(),
            sink: Sink { sent: Vec::new(), events: Vec::new(), room: None },
            events: Vec::new(),
            dice: Dice::new(seed),
            flights: BinaryHeap::new(),
            launched: 0,
            stray: 0,
        }
    }

    pub fn command(&mut self, command: Command) {
        self.relay.command(self.now_us, command, &mut self.sink);
        self.settle();
    }

    /// Adds a client with its peer made known to the relay; returns its number.
    pub fn join(&mut self, role: Role) -> usize {
        let peer = PeerId(self.clients.len() as u32 + 1);
        let mut transport = Transport::new(peer);
        transport.next_check_us = self.now_us;
        self.command(Command::AddPeer { peer, ice: transport.credentials() });
        self.command(Command::SetKeys {
            peer,
            profile: SrtpProfile::AeadAes128Gcm,
            local: local_key(peer),
            remote: remote_key(peer),
        });
        let payloads = vec![VIDEO, AUDIO];
        self.command(Command::SetReceiving { peer, extensions: EXTENSIONS, payloads });
        self.command(Command::SetSending { peer, extensions: EXTENSIONS, transport_cc: true, remb: false });
        self.clients.push(Client { transport, role });
        self.clients.len() - 1
    }

    pub fn publisher(&mut self, client: usize) -> &mut Publisher {
        match &mut self.clients[client].role {
            Role::Publisher(publisher) => publisher,
            Role::Subscriber(_) => panic!("client {client} subscribes"),
        }
    }

    pub fn subscriber(&mut self, client: usize) -> &mut Subscriber {
        match &mut self.clients[client].role {
            Role::Subscriber(subscriber) => subscriber,
            Role::Publisher(_) => panic!("client {client} publishes"),
        }
    }

    pub fn transport(&mut self, client: usize) -> &mut Transport {
        &mut self.clients[client].transport
    }

    /// Gives a datagram to the relay at once, as from an address.
    pub fn inject(&mut self, from: SocketAddr, datagram: &[u8]) {
        let mut bytes = datagram.to_vec();
        self.relay.receive(self.now_us, from, &mut bytes, &mut self.sink);
        self.relay.flush(self.now_us, &mut self.sink);
        self.settle();
    }

    pub fn run_for(&mut self, duration_us: u64) {
        let end_us = self.now_us + duration_us;
        while self.now_us < end_us {
            let step_us = self.next_us().clamp(self.now_us, end_us);
            self.now_us = step_us;
            self.deliver();
            self.act();
            if self.relay.next_timeout_us() <= self.now_us {
                self.relay.tick(self.now_us, &mut self.sink);
                self.settle();
            }
        }
    }

    fn next_us(&self) -> u64 {
        let flight = self.flights.peek().map_or(u64::MAX, |flight| flight.order.0.0);
        let client = self.clients.iter().map(|client| {
            let own_us = match &client.role {
                Role::Publisher(publisher) => publisher.next_us(),
                Role::Subscriber(subscriber) => subscriber.next_us(),
            };
            own_us.min(client.transport.next_check_us)
        });
        flight.min(client.min().unwrap_or(u64::MAX)).min(self.relay.next_timeout_us())
    }

    /// Everything that arrives now; what arrives at the relay is one batch.
    fn deliver(&mut self) {
        while self.flights.peek().is_some_and(|flight| flight.order.0.0 <= self.now_us) {
            let Some(mut flight) = self.flights.pop() else { return };
            if flight.to_relay {
                self.relay.receive(self.now_us, flight.address, &mut flight.bytes, &mut self.sink);
                continue;
            }
            let now_us = self.now_us;
            let client = self.clients.iter_mut().find(|client| client.transport.address == flight.address);
            let Some(client) = client.filter(|client| !client.transport.silent) else {
                self.stray += 1;
                continue;
            };
            if classify(&flight.bytes) == DatagramKind::Stun {
                let key = IntegrityKey::new(&client.transport.pwd);
                if let Ok(stun::Message::Response(response)) = stun::parse(&flight.bytes)
                    && response.error_code.is_none()
                    && response.verify(&key).is_ok()
                {
                    assert_eq!(response.mapped_address, Some(flight.address));
                    client.transport.successes += 1;
                }
                continue;
            }
            match &mut client.role {
                Role::Publisher(publisher) => publisher.receive(&mut client.transport, flight.bytes, now_us),
                Role::Subscriber(subscriber) => {
                    subscriber.receive(&mut client.transport, flight.bytes, now_us)
                }
            }
        }
        self.relay.flush(self.now_us, &mut self.sink);
        self.settle();
    }

    /// Clients do what their time has come for.
    fn act(&mut self) {
        let now_us = self.now_us;
        for index in 0..self.clients.len() {
            let Client { transport, role } = &mut self.clients[index];
            match role {
                Role::Publisher(publisher) => publisher.act(transport, now_us),
                Role::Subscriber(subscriber) => subscriber.act(transport, now_us),
            }
            if transport.next_check_us <= now_us {
                transport.next_check_us = now_us + CHECK_EVERY_US;
                let check = transport.check();
                transport.outgoing.push(check);
            }
            let outgoing = std::mem::take(&mut transport.outgoing);
            let (address, silent) = (transport.address, transport.silent);
            for bytes in outgoing.into_iter().filter(|_| !silent) {
                let transport = &mut self.clients[index].transport;
                if let Some(at_us) = transport.up.carry(&mut self.dice, bytes.len(), now_us) {
                    self.launch(at_us, true, address, bytes);
                }
            }
        }
    }

    /// What the relay wrote goes on its way; what it told is kept.
    fn settle(&mut self) {
        self.events.append(&mut self.sink.events);
        for (to, bytes) in std::mem::take(&mut self.sink.sent) {
            let client = self.clients.iter_mut().find(|client| client.transport.address == to);
            let Some(client) = client else {
                self.stray += 1;
                continue;
            };
            if let Some(at_us) = client.transport.down.carry(&mut self.dice, bytes.len(), self.now_us) {
                self.launch(at_us, false, to, bytes);
            }
        }
        self.relay.sent(self.now_us);
    }

    fn launch(&mut self, at_us: u64, to_relay: bool, address: SocketAddr, bytes: Vec<u8>) {
        self.launched += 1;
        let order = std::cmp::Reverse((at_us, self.launched));
        self.flights.push(Flight { order, to_relay, address, bytes });
    }

    /// The newest statistics.
    pub fn stats(&self) -> bridge_relay_core::api::Stats {
        let newest = self.events.iter().rev().find_map(|event| match event {
            Event::Stats(stats) => Some((**stats).clone()),
            _ => None,
        });
        newest.expect("a second has passed")
    }

    /// Packets that a viewer's first slot got within the last microseconds.
    pub fn recent(&mut self, client: usize, within_us: u64) -> usize {
        let since_us = self.now_us - within_us;
        let view = &self.subscriber(client).views[0];
        view.packets.values().filter(|received| received.at_us > since_us).count()
    }

    pub fn count_events(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

/// Numbers that rise by one; how many are missing between first and last.
pub fn holes<T>(received: &BTreeMap<u64, T>) -> u64 {
    match (received.first_key_value(), received.last_key_value()) {
        (Some((first, _)), Some((last, _))) => last - first + 1 - received.len() as u64,
        _ => 0,
    }
}
