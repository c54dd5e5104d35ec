//! The floor under a relay's cost: for each packet that it would forward, one SRTP seal straight into the send
//! queue and its share of the sends, on the publisher's schedule. No receiving, no rewriting, no state.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use _native::clock;
use _native::poll::Poll;
use _native::send::{Backend, SendQueue};
use _native::socket::UdpPort;
use bridge_relay_core::srtp::{SrtpSender, StreamSlot};

use crate::Outcome;
use _native::crowd::ticker::Ticker;

use crate::call::PROFILE;
use crate::config::{next, read_lines};
use crate::work::{AUDIO_PER_SECOND, FRAMES_PER_SECOND, PACKETS_PER_FRAME};

const HEADER_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

struct Destination {
    to: SocketAddr,
    sender: SrtpSender,
    video: Stream,
    audio: Stream,
}

struct Stream {
    ssrc: u32,
    slot: StreamSlot,
    index: u64,
}

impl Stream {
    fn new(sender: &mut SrtpSender, ssrc: u32) -> Outcome<Self> {
        Ok(Self { ssrc, slot: sender.stream(ssrc).map_err(|error| format!("{error:?}"))?, index: 0 })
    }
}

struct Floor {
    port: UdpPort,
    queue: SendQueue,
    destinations: Vec<Destination>,
    packets: u64,
}

pub fn run() -> Outcome<()> {
    let (mut seconds, mut backend) = (0_u64, Backend::AUTO);
    let (mut video_bytes, mut audio_bytes) = (0_usize, 0_usize);
    let mut destinations = Vec::new();
    read_lines(|word, words| {
        match word {
            "seconds" => seconds = next(words)?,
            "send" => backend = next(words)?,
            "video_bytes" => video_bytes = next(words)?,
            "audio_bytes" => audio_bytes = next(words)?,
            "sink" => destinations.push(destination(next(words)?, destinations.len())?),
            _ => return Err(format!("not understood: {word}").into()),
        }
        Ok(())
    })?;
    let mut floor =
        Floor { port: UdpPort::open(None, 0)?, queue: SendQueue::new(backend), destinations, packets: 0 };
    floor.run(seconds * 1_000_000, video_bytes, audio_bytes)
}

fn destination(port: u16, number: usize) -> Outcome<Destination> {
    let mut keys = [0x5a_u8; 28];
    keys[..8].copy_from_slice(&(number as u64).to_be_bytes());
    let mut sender = SrtpSender::new(PROFILE, &keys).map_err(|error| format!("{error:?}"))?;
    let (video, audio) = (Stream::new(&mut sender, 1)?, Stream::new(&mut sender, 2)?);
    Ok(Destination { to: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port), sender, video, audio })
}

impl Floor {
    fn run(&mut self, duration_us: u64, video_bytes: usize, audio_bytes: usize) -> Outcome<()> {
        let payload_bytes =
            |wire: usize| wire.checked_sub(HEADER_BYTES + TAG_BYTES).ok_or("packets are too small");
        let video_payload = vec![1; payload_bytes(video_bytes)?];
        let audio_payload = vec![2; payload_bytes(audio_bytes)?];
        let mut poll = Poll::new()?;
        let start_us = clock::now_us();
        let mut frames = Ticker::new(start_us, FRAMES_PER_SECOND);
        let mut sounds = Ticker::new(start_us + 7_000, AUDIO_PER_SECOND);
        let start_cpu_us = clock::thread_cpu_us();
        loop {
            let now_us = clock::now_us();
            if now_us >= start_us + duration_us {
                break;
            }
            if frames.take(now_us).is_some() {
                self.send_all(true, PACKETS_PER_FRAME, &video_payload)?;
            }
            if sounds.take(now_us).is_some() {
                self.send_all(false, 1, &audio_payload)?;
            }
            let next_us = frames.next_us().min(sounds.next_us());
            poll.wait(next_us.saturating_sub(clock::now_us())).for_each(drop);
        }
        let cpu_us = clock::thread_cpu_us() - start_cpu_us;
        println!("{{\"packets\": {}, \"cpu_us\": {cpu_us}}}", self.packets);
        Ok(())
    }

    fn send_all(&mut self, is_video: bool, count: usize, payload: &[u8]) -> Outcome<()> {
        for destination in &mut self.destinations {
            let stream = if is_video { &mut destination.video } else { &mut destination.audio };
            for _ in 0..count {
                let len = HEADER_BYTES + payload.len() + TAG_BYTES;
                let slot = self.queue.slot(&self.port, destination.to, len).ok_or("the socket is full")?;
                slot[0] = 0x80;
                slot[1] = 96;
                slot[2..4].copy_from_slice(&(stream.index as u16).to_be_bytes());
                slot[8..HEADER_BYTES].copy_from_slice(&stream.ssrc.to_be_bytes());
                destination
                    .sender
                    .seal_rtp(stream.slot, stream.index, slot, HEADER_BYTES, payload)
                    .map_err(|error| format!("{error:?}"))?;
                stream.index += 1;
                self.packets += 1;
            }
        }
        self.queue.transmit(&self.port);
        Ok(())
    }
}
