//! What publisher and subscribers have in common: a socket, the checks of ICE, and SRTP both ways.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use _native::send::{Backend, SendQueue};
use _native::socket::UdpPort;
use bridge_relay_core::api::SrtpProfile;
use bridge_relay_core::srtp::{SrtpReceiver, SrtpSender};
use bridge_relay_core::wire::stun::{self, IceRole, IntegrityKey, Message, RequestFields};

use crate::Outcome;
use crate::config::Account;

pub const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;

/// As libwebrtc: often enough for consent (RFC 7675 asks for at most 15 s).
const CHECK_INTERVAL_US: u64 = 2_500_000;
/// Until the first answer.
const FIRST_CHECK_INTERVAL_US: u64 = 200_000;

pub struct Client {
    pub port: UdpPort,
    pub sender: SrtpSender,
    pub receiver: SrtpReceiver,
    pub account: Account,
    pub connected: bool,
    relay: SocketAddr,
    key: IntegrityKey,
    username: String,
    next_check_us: u64,
    checks: u32,
    queue: SendQueue,
}

impl Client {
    pub fn new(account: Account, relay: SocketAddr) -> Outcome<Self> {
        let srtp = |error| format!("SRTP keys: {error:?}");
        Ok(Self {
            port: UdpPort::open(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0)?,
            sender: SrtpSender::new(PROFILE, &account.local_keys).map_err(srtp)?,
            receiver: SrtpReceiver::new(PROFILE, &account.remote_keys).map_err(srtp)?,
            connected: false,
            relay,
            key: IntegrityKey::new(&account.pwd),
            username: format!("{}:load", account.ufrag),
            next_check_us: 0,
            checks: 0,
            // As separate datagrams, the way they come over a network.
            queue: SendQueue::with_arena(Backend::SendMmsg, 16 << 10),
            account,
        })
    }

    pub fn check_if_due(&mut self, now_us: u64) -> Outcome<()> {
        if now_us < self.next_check_us {
            return Ok(());
        }
        self.next_check_us =
            now_us + if self.connected { CHECK_INTERVAL_US } else { FIRST_CHECK_INTERVAL_US };
        self.checks += 1;
        let mut transaction_id = [0; 12];
        transaction_id[..4].copy_from_slice(&self.checks.to_be_bytes());
        transaction_id[4..8].copy_from_slice(&self.account.video_ssrc.to_be_bytes());
        let fields = RequestFields {
            transaction_id,
            username: &self.username,
            priority: 0x7eff_ff00,
            role: IceRole::Controlling(u64::from(self.account.video_ssrc)),
            use_candidate: true,
        };
        let mut message = [0; 256];
        let len =
            stun::write_request(&mut message, &fields, &self.key).map_err(|error| format!("{error:?}"))?;
        self.send(&message[..len]);
        self.flush();
        Ok(())
    }

    /// Takes an answer to a check.
    pub fn receive_stun(&mut self, datagram: &[u8]) {
        if let Ok(Message::Response(response)) = stun::parse(datagram) {
            self.connected |= response.error_code.is_none() && response.verify(&self.key).is_ok();
        }
    }

    pub fn send_rtcp(&mut self, compound: &[u8]) {
        let len = compound.len() + self.sender.rtcp_overhead();
        let Some(slot) = self.queue.slot(&self.port, self.relay, len) else { return };
        if self.sender.protect_rtcp(compound, slot).is_err() {
            self.queue.cancel();
        }
        self.flush();
    }

    pub fn send(&mut self, datagram: &[u8]) {
        if let Some(slot) = self.queue.slot(&self.port, self.relay, datagram.len()) {
            slot.copy_from_slice(datagram);
        }
    }

    pub fn flush(&mut self) {
        self.queue.transmit(&self.port);
    }
}
