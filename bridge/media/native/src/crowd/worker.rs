//! The crowd's one thread: waits for datagrams, commands and the next thing due of any member.
//!
//! It wakes at most once in a while ([`PAUSE_US`]) however much comes, and reads then what has gathered: measured times
//! are the kernel's stamps, and on a small machine every wake-up would be taken from the server that is measured.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bridge_relay_core::api::{ExtensionIds, MediaKind, SrtpProfile};
use bridge_relay_core::wire::demux::{DatagramKind, classify};

use super::client::{Client, Keys};
use super::counts::Counts;
use super::publisher::{Publisher, Turn};
use super::subscriber::{Check, Subscriber};
use super::track::TrackSpec;
use crate::clock;
use crate::poll::Poll;
use crate::queue::Handover;
use crate::send::{Backend, SendQueue};
use crate::socket::Batch;

const PAUSE_US: u64 = 1_000;
/// Room for the largest frame of a reel.
const ARENA_BYTES: usize = 512 << 10;
/// A picture of which nothing came for so long does not flow.
const SILENT_US: u64 = 2_000_000;
const COMMANDS: u64 = u64::MAX;

pub enum Command {
    Add { peer: u32, client: Box<Client> },
    Remove { peer: u32 },
    SendDtls { peer: u32, datagram: Vec<u8> },
    SetKeys { peer: u32, profile: SrtpProfile, local: Vec<u8>, remote: Vec<u8> },
    Publish { peer: u32, publisher: Box<Publisher> },
    SetLayers { peer: u32, rids: Vec<String> },
    SetSpeaking { peer: u32, speaking: bool },
    Receive { peer: u32, extensions: ExtensionIds, tracks: Vec<TrackSpec>, check: Option<Check> },
    Count,
}

#[derive(Debug)]
pub enum News {
    Connected { peer: u32 },
    DtlsReceived { peer: u32, datagram: Vec<u8> },
    FirstFrame { peer: u32, ssrc: u32, at_us: u64 },
    Counted(Box<Counts>),
}

pub struct Shared {
    pub commands: Handover<Command>,
    pub news: Handover<News>,
    pub stop: AtomicBool,
}

struct Member {
    client: Client,
    role: Role,
    /// The only entry of this member in the agenda that counts.
    due_us: u64,
}

enum Role {
    Waiting,
    Publisher(Box<Publisher>),
    Subscriber(Box<Subscriber>),
}

pub struct Worker {
    shared: Arc<Shared>,
    poll: Poll,
    batch: Batch,
    queue: SendQueue,
    members: Vec<Option<Box<Member>>>,
    agenda: BinaryHeap<Reverse<(u64, u32)>>,
    counts: Counts,
    news: Vec<News>,
    ready: Vec<u64>,
}

impl Worker {
    pub fn new(shared: Arc<Shared>) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        poll.add(&shared.commands, COMMANDS)?;
        Ok(Self {
            shared,
            poll,
            batch: Batch::for_runs(),
            queue: new_queue(),
            members: Vec::new(),
            agenda: BinaryHeap::new(),
            counts: Counts::default(),
            news: Vec::new(),
            ready: Vec::new(),
        })
    }

    pub fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            self.turn();
        }
    }

    fn turn(&mut self) {
        let due_us = self.agenda.peek().map_or(u64::MAX, |Reverse((due_us, _))| *due_us);
        self.ready.clear();
        let timeout_us = due_us.saturating_sub(clock::now_us());
        self.ready.extend(self.poll.wait(timeout_us).map(|ready| ready.token));
        let wall_us = clock::wall_us();
        let now_us = clock::now_us();
        for at in 0..self.ready.len() {
            match self.ready[at] {
                COMMANDS => self.run_commands(),
                peer => self.receive(peer as u32, now_us, wall_us),
            }
        }
        self.run_due();
        for news in self.news.drain(..) {
            // Full only when nobody drains any more: then nobody misses it.
            let _ = self.shared.news.push(news);
        }
        let now_us = clock::now_us();
        let due_us = self.agenda.peek().map_or(u64::MAX, |Reverse((due_us, _))| *due_us);
        // Where more waits than one call tells of, it is read first.
        if self.ready.len() < Poll::BATCH && due_us > now_us + PAUSE_US {
            std::thread::sleep(Duration::from_micros(PAUSE_US));
        }
    }

    fn run_commands(&mut self) {
        let mut commands = Vec::new();
        self.shared.commands.take(&mut commands);
        for command in commands {
            self.run_command(command);
        }
    }

    fn run_command(&mut self, command: Command) {
        let now_us = clock::now_us();
        let peer = match command {
            Command::Add { peer, client } => return self.add(peer, *client),
            Command::Remove { peer } => {
                if let Some(place) = self.members.get_mut(peer as usize) {
                    *place = None; // its socket leaves the poll set with it
                }
                return;
            }
            Command::Count => return self.count(now_us),
            Command::SendDtls { peer, datagram } => {
                if let Some(member) = member(&mut self.members, peer) {
                    member.client.send(&mut self.queue, &datagram);
                    flush(&mut self.queue, member, &mut self.counts);
                }
                return;
            }
            Command::SetKeys { peer, profile, local, remote } => {
                if let Some(member) = member(&mut self.members, peer) {
                    member.client.keys = Keys::new(profile, &local, &remote).ok();
                    member.role.start(now_us);
                }
                peer
            }
            Command::Publish { peer, publisher } => {
                if let Some(member) = member(&mut self.members, peer) {
                    member.role = Role::Publisher(publisher);
                    if member.client.keys.is_some() {
                        member.role.start(now_us);
                    }
                }
                peer
            }
            Command::SetLayers { peer, rids } => {
                if let Some(Role::Publisher(publisher)) = role(&mut self.members, peer) {
                    publisher.set_layers(&rids, now_us);
                }
                peer
            }
            Command::SetSpeaking { peer, speaking } => {
                if let Some(Role::Publisher(publisher)) = role(&mut self.members, peer) {
                    publisher.set_speaking(speaking);
                }
                return;
            }
            Command::Receive { peer, extensions, tracks, check } => {
                if let Some(role) = role(&mut self.members, peer) {
                    if !matches!(role, Role::Subscriber(_)) {
                        *role = Role::Subscriber(Box::new(Subscriber::new(now_us, u64::from(peer))));
                    }
                    if let Role::Subscriber(subscriber) = role {
                        subscriber.set_tracks(extensions, tracks, check);
                    }
                }
                peer
            }
        };
        self.schedule(peer);
    }

    fn add(&mut self, peer: u32, client: Client) {
        let place = peer as usize;
        if place >= self.members.len() {
            self.members.resize_with(place + 1, || None);
        }
        if self.poll.add(&client.port, u64::from(peer)).is_err() {
            return; // it never connects, which is told as what it is
        }
        self.members[place] = Some(Box::new(Member { client, role: Role::Waiting, due_us: u64::MAX }));
        self.schedule(peer);
    }

    /// Puts a member's next moment into the agenda, if it comes before the one that stands there.
    fn schedule(&mut self, peer: u32) {
        if let Some(member) = member(&mut self.members, peer) {
            let next_us = member.next_us();
            if next_us < member.due_us {
                member.due_us = next_us;
                self.agenda.push(Reverse((next_us, peer)));
            }
        }
    }

    fn run_due(&mut self) {
        let now_us = clock::now_us();
        while let Some(Reverse((due_us, peer))) = self.agenda.peek().copied() {
            if due_us > now_us {
                break;
            }
            self.agenda.pop();
            let Some(member) = member(&mut self.members, peer).filter(|member| member.due_us == due_us)
            else {
                continue; // gone, or moved to an earlier time since
            };
            let now_us = clock::now_us();
            let mut turn = Turn { now_us, queue: &mut self.queue, counts: &mut self.counts };
            member.client.check_if_due(now_us, turn.queue);
            if member.client.keys.is_some() {
                match &mut member.role {
                    Role::Publisher(publisher) => publisher.send_due(&mut member.client, &mut turn),
                    Role::Subscriber(subscriber) => subscriber.report_due(&mut member.client, &mut turn),
                    Role::Waiting => {}
                }
            }
            flush(&mut self.queue, member, &mut self.counts);
            member.due_us = u64::MAX;
            self.schedule(peer);
        }
    }

    /// Reads what waits at a member's socket, each datagram at the time when the kernel got it.
    fn receive(&mut self, peer: u32, now_us: u64, wall_us: u64) {
        let Some(member) = member(&mut self.members, peer) else { return };
        let count = member.client.port.receive(&mut self.batch);
        for index in 0..count {
            let arrived_us = now_us.saturating_sub(self.batch.waited_us(index, wall_us));
            let segment = self.batch.segment(index);
            let Some((from, run)) = self.batch.datagram(index) else { continue };
            let mut turn = Turn { now_us: arrived_us, queue: &mut self.queue, counts: &mut self.counts };
            let segment = segment.unwrap_or(run.len()).max(1);
            for datagram in run.chunks_mut(segment) {
                take(peer, member, from, datagram, &mut turn, &mut self.news);
            }
        }
        flush(&mut self.queue, member, &mut self.counts);
        self.schedule(peer);
    }

    fn count(&mut self, now_us: u64) {
        let mut counts = self.counts.clone();
        counts.thread_cpu_us = clock::thread_cpu_us();
        for member in self.members.iter().flatten() {
            counts.members += 1;
            counts.connected += u64::from(member.client.connected);
            if let Role::Subscriber(subscriber) = &member.role {
                for track in subscriber.tracks().iter().filter(|track| track.spec.kind == MediaKind::Video) {
                    counts.pictures += 1;
                    counts.flowing += u64::from(now_us < track.newest_us + SILENT_US);
                }
            }
        }
        self.news.push(News::Counted(Box::new(counts)));
    }
}

impl Member {
    fn next_us(&self) -> u64 {
        let role_us = match &self.role {
            _ if self.client.keys.is_none() => u64::MAX,
            Role::Publisher(publisher) => publisher.next_us(),
            Role::Subscriber(subscriber) => subscriber.next_us(),
            Role::Waiting => u64::MAX,
        };
        self.client.next_check_us().min(role_us)
    }
}

impl Role {
    fn start(&mut self, now_us: u64) {
        if let Self::Publisher(publisher) = self {
            publisher.start(now_us);
        }
    }
}

fn take(
    peer: u32,
    member: &mut Member,
    from: SocketAddr,
    datagram: &mut [u8],
    turn: &mut Turn<'_>,
    news: &mut Vec<News>,
) {
    match classify(datagram) {
        DatagramKind::Stun => {
            if member.client.receive_stun(from, datagram, turn.queue) {
                news.push(News::Connected { peer });
            }
        }
        DatagramKind::Dtls => news.push(News::DtlsReceived { peer, datagram: datagram.to_vec() }),
        DatagramKind::Rtp | DatagramKind::Rtcp if member.client.keys.is_none() => turn.counts.early += 1,
        DatagramKind::Rtp => {
            if let Role::Subscriber(subscriber) = &mut member.role {
                let first = subscriber.receive_rtp(datagram, &mut member.client, turn);
                news.extend(first.map(|first| News::FirstFrame {
                    peer,
                    ssrc: first.ssrc,
                    at_us: first.at_us,
                }));
            }
        }
        DatagramKind::Rtcp => receive_rtcp(member, datagram, turn),
        DatagramKind::Unknown => turn.counts.strange += 1,
    }
}

fn receive_rtcp(member: &mut Member, datagram: &mut [u8], turn: &mut Turn<'_>) {
    let Some(keys) = &mut member.client.keys else { return };
    let Ok(len) = keys.receiver.unprotect_rtcp(datagram) else {
        turn.counts.wrong += 1;
        return;
    };
    match &mut member.role {
        Role::Publisher(publisher) => publisher.receive_rtcp(&datagram[..len], &mut member.client, turn),
        Role::Subscriber(subscriber) => subscriber.receive_rtcp(&datagram[..len], turn.now_us),
        Role::Waiting => {}
    }
}

fn member(members: &mut [Option<Box<Member>>], peer: u32) -> Option<&mut Member> {
    members.get_mut(peer as usize)?.as_deref_mut()
}

fn role(members: &mut [Option<Box<Member>>], peer: u32) -> Option<&mut Role> {
    member(members, peer).map(|member| &mut member.role)
}

/// Separate datagrams, the way they come over a network.
fn new_queue() -> SendQueue {
    SendQueue::with_arena(Backend::SendMmsg, ARENA_BYTES)
}

/// Sends what a member wrote through its own socket, before another's turn. What the kernel does not take is lost.
fn flush(queue: &mut SendQueue, member: &Member, counts: &mut Counts) {
    if queue.is_empty() {
        return;
    }
    queue.transmit(&member.client.port);
    counts.unsent += queue.take_refused().len() as u64;
    if queue.is_blocked() {
        counts.unsent += 1;
        *queue = new_queue();
    }
}
