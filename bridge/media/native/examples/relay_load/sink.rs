//! Sockets that only count, of the same kind as subscribers have.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use _native::poll::Poll;
use _native::socket::{Batch, UdpPort};

use crate::Outcome;
use crate::config::{next, read_lines};

const INPUT: u64 = u64::MAX;

pub fn run() -> Outcome<()> {
    let mut count = 0_usize;
    read_lines(|word, words| {
        if word == "sinks" {
            count = next(words)?;
        }
        Ok(())
    })?;
    let mut poll = Poll::new()?;
    let mut sinks = Vec::new();
    for token in 0..count {
        let port = UdpPort::open(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0)?;
        poll.add(&port, token as u64)?;
        sinks.push(port);
    }
    let ports: Vec<u16> = sinks.iter().map(UdpPort::port).collect();
    println!("{{\"ports\": {ports:?}}}");
    let mut input = std::io::stdin();
    poll.add(&input.as_raw_fd(), INPUT)?;
    let (mut batch, mut received, mut open) = (Batch::new(), 0_u64, true);
    while open {
        for ready in poll.wait(1_000_000) {
            match ready.token {
                INPUT => open = input.read(&mut [0; 64])? > 0,
                token => received += sinks[token as usize].receive(&mut batch) as u64,
            }
        }
    }
    println!("{{\"received\": {received}}}");
    Ok(())
}
