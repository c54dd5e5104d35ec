//! One call: connects everybody, publishes for the time given (each publisher a little after the other), and tells what
//! arrived.

use std::net::SocketAddr;

use _native::clock;
use _native::poll::Poll;
use _native::socket::Batch;

use crate::Outcome;
use crate::client::Client;
use crate::config::{Account, next, read_lines};
use crate::publisher::Publisher;
use crate::subscriber::Subscriber;

const CONNECT_TIMEOUT_US: u64 = 15_000_000;
/// After the last packet was published, for those under way.
const DRAIN_US: u64 = 500_000;
/// One subscriber in so many decrypts and compares everything; for the others headers tell enough.
const CHECK_ONE_IN: usize = 16;
/// How often subscribers are looked at for something to report.
const STEP_US: u64 = 10_000;

/// Tokens from here on are publishers'.
const PUBLISHERS: u64 = 1 << 32;
/// Publishers are not in step with each other.
const APART_US: u64 = 1_373;

struct Call {
    poll: Poll,
    batch: Batch,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
}

pub fn run() -> Outcome<()> {
    let (mut relay, mut seconds) = (None, 0_u64);
    let (mut publishers, mut subscribers) = (Vec::new(), Vec::new());
    read_lines(|word, words| {
        match word {
            "relay" => relay = Some(next::<SocketAddr>(words)?),
            "seconds" => seconds = next(words)?,
            "publisher" => publishers.push(Account::read(words)?),
            "subscriber" => subscribers.push(Account::read(words)?),
            _ => return Err(format!("not understood: {word}").into()),
        }
        Ok(())
    })?;
    let relay = relay.ok_or("no relay given")?;
    if publishers.is_empty() {
        return Err("no publisher given".into());
    }
    let mut call =
        Call { poll: Poll::new()?, batch: Batch::new(), publishers: Vec::new(), subscribers: Vec::new() };
    for account in publishers {
        call.publishers.push(Publisher::new(Client::new(account, relay)?)?);
    }
    for (number, account) in subscribers.into_iter().enumerate() {
        let spread_us = number as u64 * 7_919;
        let subscriber = Subscriber::new(Client::new(account, relay)?, number % CHECK_ONE_IN == 0, spread_us);
        call.subscribers.push(subscriber);
    }
    call.connect()?;
    println!("{{\"connected\": true}}");
    call.publish(seconds * 1_000_000)?;
    call.print_result();
    Ok(())
}

impl Call {
    fn connect(&mut self) -> Outcome<()> {
        for (token, publisher) in (PUBLISHERS..).zip(&self.publishers) {
            self.poll.add(&publisher.client.port, token)?;
        }
        for (token, subscriber) in (0..).zip(&self.subscribers) {
            self.poll.add(&subscriber.client.port, token)?;
        }
        let deadline_us = clock::now_us() + CONNECT_TIMEOUT_US;
        while self.publishers.iter().any(|one| !one.client.connected)
            || self.subscribers.iter().any(|one| !one.client.connected)
        {
            if clock::now_us() > deadline_us {
                return Err("the relay did not answer everybody's checks".into());
            }
            self.check_consent()?;
            self.receive(1_000);
        }
        Ok(())
    }

    fn publish(&mut self, duration_us: u64) -> Outcome<()> {
        let start_us = clock::now_us();
        for (number, publisher) in (0..).zip(&mut self.publishers) {
            publisher.start(start_us + number * APART_US);
        }
        for subscriber in &mut self.subscribers {
            subscriber.start(start_us);
        }
        let (end_us, mut next_step_us) = (start_us + duration_us, start_us);
        loop {
            let now_us = clock::now_us();
            if now_us >= end_us + DRAIN_US {
                return Ok(());
            }
            if now_us < end_us {
                self.publishers.iter_mut().try_for_each(|publisher| publisher.send_due(now_us))?;
            }
            if now_us >= next_step_us {
                next_step_us = now_us + STEP_US;
                self.check_consent()?;
                for subscriber in &mut self.subscribers {
                    subscriber.report_if_due(now_us);
                }
            }
            let due_us = self.publishers.iter().map(Publisher::next_us).min().unwrap_or(next_step_us);
            let next_us = if now_us < end_us { due_us.min(next_step_us) } else { next_step_us };
            self.receive(next_us.saturating_sub(clock::now_us()));
        }
    }

    fn check_consent(&mut self) -> Outcome<()> {
        let now_us = clock::now_us();
        self.publishers.iter_mut().try_for_each(|publisher| publisher.client.check_if_due(now_us))?;
        self.subscribers.iter_mut().try_for_each(|subscriber| subscriber.client.check_if_due(now_us))
    }

    fn receive(&mut self, timeout_us: u64) {
        for ready in self.poll.wait(timeout_us) {
            let publisher = ready.token.checked_sub(PUBLISHERS);
            let client = match publisher {
                Some(number) => &self.publishers[number as usize].client,
                None => &self.subscribers[ready.token as usize].client,
            };
            let count = client.port.receive(&mut self.batch);
            let now_us = clock::now_us();
            for index in 0..count {
                let Some((_, datagram)) = self.batch.datagram(index) else { continue };
                match publisher {
                    Some(number) => self.publishers[number as usize].receive(datagram),
                    None => self.subscribers[ready.token as usize].receive(now_us, datagram),
                }
            }
        }
    }

    fn print_result(&self) {
        let sum = |of: fn(&Subscriber) -> u64| self.subscribers.iter().map(of).sum::<u64>();
        let mean = |bytes: u64, packets: u64| bytes.checked_div(packets).unwrap_or(0);
        let video_packets = sum(|one| one.video.packets);
        let audio_packets = sum(|one| one.audio.packets);
        println!(
            "{{\"published\": {}, \"received\": {}, \"received_audio\": {audio_packets}, \"wrong\": {}, \
             \"video_bytes\": {}, \"audio_bytes\": {}}}",
            self.publishers.iter().map(|one| one.packets).sum::<u64>(),
            video_packets + audio_packets,
            sum(|one| one.wrong),
            mean(sum(|one| one.video.bytes), video_packets),
            mean(sum(|one| one.audio.bytes), audio_packets),
        );
    }
}
