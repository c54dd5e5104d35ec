//! One call: connects everybody, publishes for the time given (each publisher a little after the other), and tells what
//! arrived.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use _native::clock;
use _native::crowd::client::Client;
use _native::crowd::counts::Counts;
use _native::crowd::driver::{Command, Crowd, News};
use _native::crowd::publisher::{AudioSpec, Publisher, PublisherSpec, VideoLayerSpec, VideoSpec};
use _native::crowd::track::TrackSpec;
use _native::poll::Poll;
use bridge_relay_core::api::{Codec, ExtensionIds, MediaKind, SrtpProfile};

use crate::Outcome;
use crate::config::{Account, next, read_lines};
use crate::work;

pub const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
// As benchmarks/relay.py negotiates them.
const VIDEO_PAYLOAD_TYPE: u8 = 96;
const AUDIO_PAYLOAD_TYPE: u8 = 111;
const EXTENSIONS: ExtensionIds = ExtensionIds {
    mid: 4,
    rid: 0,
    repaired_rid: 0,
    audio_level: 1,
    abs_send_time: 2,
    transport_wide_cc: 3,
    video_orientation: 0,
    playout_delay: 0,
    dependency_descriptor: 0,
};

const CONNECT_TIMEOUT_US: u64 = 15_000_000;
/// After the last packet was published, for those under way.
const DRAIN: Duration = Duration::from_millis(500);
/// Publishers are not in step with each other.
const APART: Duration = Duration::from_micros(1_373);
const LOOK_AGAIN_US: u64 = 100_000;

struct Call {
    crowd: Crowd,
    poll: Poll,
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
    let mut call = Call::new()?;
    let everybody: Vec<(u32, &Account)> = (0..).zip(publishers.iter().chain(&subscribers)).collect();
    let (sending, receiving) = everybody.split_at(publishers.len());
    for (peer, account) in &everybody {
        call.add(*peer, account, relay)?;
    }
    for (peer, account) in receiving {
        call.receive(*peer, account)?;
    }
    call.wait_for_all(everybody.len())?;
    println!("{{\"connected\": true}}");
    for (peer, account) in sending {
        call.publish(*peer, account)?;
        sleep(APART);
    }
    sleep(Duration::from_secs(seconds));
    for (peer, _) in sending {
        call.command(Command::Remove { peer: *peer })?;
    }
    sleep(DRAIN);
    print_result(&call.count()?);
    Ok(())
}

impl Call {
    fn new() -> Outcome<Self> {
        let crowd = Crowd::start(work::reel()?)?;
        let poll = Poll::new()?;
        poll.add(&crowd, 0)?;
        Ok(Self { crowd, poll })
    }

    fn command(&self, command: Command) -> Outcome<()> {
        self.crowd.command(command).map_err(|_| "the crowd takes no more commands".into())
    }

    fn add(&self, peer: u32, account: &Account, relay: SocketAddr) -> Outcome<()> {
        let client = Box::new(Client::open(&account.on(relay, peer))?);
        self.command(Command::Add { peer, client })
    }

    fn set_keys(&self, peer: u32, account: &Account) -> Outcome<()> {
        let (local, remote) = (account.local_keys.clone(), account.remote_keys.clone());
        self.command(Command::SetKeys { peer, profile: PROFILE, local, remote })
    }

    fn receive(&self, peer: u32, account: &Account) -> Outcome<()> {
        let video = TrackSpec {
            kind: MediaKind::Video,
            codec: Codec::Vp8,
            clock_rate_hz: 90_000,
            ssrc: account.video_ssrc,
            rtx_ssrc: 0,
        };
        let audio = TrackSpec {
            kind: MediaKind::Audio,
            codec: Codec::Opus,
            clock_rate_hz: 48_000,
            ssrc: account.audio_ssrc,
            rtx_ssrc: 0,
        };
        let tracks = vec![video, audio];
        self.command(Command::Receive {
            peer,
            extensions: EXTENSIONS,
            tracks,
            check: Some(work::is_as_sent),
        })?;
        self.set_keys(peer, account)
    }

    /// Begins to send.
    fn publish(&self, peer: u32, account: &Account) -> Outcome<()> {
        let layer = VideoLayerSpec { rid: work::RID.into(), ssrc: account.video_ssrc, rtx_ssrc: 0 };
        let spec = PublisherSpec {
            extensions: EXTENSIONS,
            audio: Some(AudioSpec {
                mid: "a".into(),
                payload_type: AUDIO_PAYLOAD_TYPE,
                ssrc: account.audio_ssrc,
            }),
            video: Some(VideoSpec {
                mid: "v".into(),
                payload_type: VIDEO_PAYLOAD_TYPE,
                rtx_payload_type: 0,
                layers: vec![layer],
            }),
        };
        let publisher =
            Publisher::new(spec, self.crowd.reel.clone()).map_err(|error| format!("{error:?}"))?;
        self.command(Command::Publish { peer, publisher: Box::new(publisher) })?;
        self.command(Command::SetSpeaking { peer, speaking: true })?;
        self.set_keys(peer, account)
    }

    /// What the crowd tells, after a while at most.
    fn news(&mut self) -> Vec<News> {
        self.poll.wait(LOOK_AGAIN_US).for_each(drop);
        self.crowd.drain()
    }

    fn wait_for_all(&mut self, count: usize) -> Outcome<()> {
        let deadline_us = clock::now_us() + CONNECT_TIMEOUT_US;
        let mut connected = 0;
        while connected < count {
            if clock::now_us() > deadline_us {
                return Err("the relay did not answer everybody's checks".into());
            }
            connected += self.news().iter().filter(|news| matches!(news, News::Connected { .. })).count();
        }
        Ok(())
    }

    fn count(&mut self) -> Outcome<Counts> {
        self.command(Command::Count)?;
        let deadline_us = clock::now_us() + CONNECT_TIMEOUT_US;
        while clock::now_us() < deadline_us {
            for news in self.news() {
                if let News::Counted(counts) = news {
                    return Ok(*counts);
                }
            }
        }
        Err("the crowd does not answer".into())
    }
}

fn print_result(counts: &Counts) {
    let mean = |bytes: u64, packets: u64| bytes.checked_div(packets).unwrap_or(0);
    println!(
        "{{\"published\": {}, \"received\": {}, \"received_audio\": {}, \"wrong\": {}, \"video_bytes\": {}, \
         \"audio_bytes\": {}}}",
        counts.sent,
        counts.received,
        counts.sounds,
        counts.wrong,
        mean(counts.received_bytes - counts.sound_bytes, counts.received - counts.sounds),
        mean(counts.sound_bytes, counts.sounds),
    );
}
