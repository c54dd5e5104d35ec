//! What everyone of the crowd has: a socket, the checks of the controlling side (RFC 8445 section 7.2, consent by
//! RFC 7675), and SRTP both ways once keys came.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bridge_relay_core::api::SrtpProfile;
use bridge_relay_core::srtp::{SrtpError, SrtpReceiver, SrtpSender};
use bridge_relay_core::wire::stun::{self, BindingRequest, IceRole, IntegrityKey, Message, RequestFields};

use crate::send::SendQueue;
use crate::socket::UdpPort;

/// As libwebrtc: often enough for consent (RFC 7675 asks for at most 15 s).
const CHECK_INTERVAL_US: u64 = 2_500_000;
/// Until the first answer.
const FIRST_CHECK_INTERVAL_US: u64 = 200_000;

/// Any priority will do for the only candidate (RFC 8445 section 5.1.2): this is a host's.
const PRIORITY: u32 = 0x7eff_ff00;

/// The relay's half of an ICE session, and who we are in it.
pub struct Account {
    pub relay: SocketAddr,
    pub ufrag: String,
    pub pwd: String,
    pub local_ufrag: String,
    pub tie_breaker: u64,
}

pub struct Keys {
    pub sender: SrtpSender,
    pub receiver: SrtpReceiver,
}

impl Keys {
    /// Each the master key followed by the master salt; `local` is what we encrypt with.
    pub fn new(profile: SrtpProfile, local: &[u8], remote: &[u8]) -> Result<Self, SrtpError> {
        Ok(Self { sender: SrtpSender::new(profile, local)?, receiver: SrtpReceiver::new(profile, remote)? })
    }
}

pub struct Client {
    pub port: UdpPort,
    pub keys: Option<Keys>,
    pub connected: bool,
    relay: SocketAddr,
    key: IntegrityKey,
    /// What checks of the other side are signed with, where it is one that checks, too.
    own_key: Option<IntegrityKey>,
    username: String,
    tie_breaker: u64,
    next_check_us: u64,
    checks: u32,
}

impl Client {
    pub fn open(account: &Account) -> io::Result<Self> {
        let host = match account.relay.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let port = UdpPort::open(Some(host), 0)?;
        port.take_runs();
        Ok(Self {
            port,
            keys: None,
            connected: false,
            relay: account.relay,
            key: IntegrityKey::new(&account.pwd),
            own_key: None,
            username: format!("{}:{}", account.ufrag, account.local_ufrag),
            tie_breaker: account.tie_breaker,
            next_check_us: 0,
            checks: 0,
        })
    }

    /// Answers checks from now on (RFC 8445 section 7.3): a relay that is ICE-lite, as ours, makes none.
    pub fn answer_checks(&mut self, own_pwd: &str) {
        self.own_key = Some(IntegrityKey::new(own_pwd));
    }

    #[must_use]
    pub fn next_check_us(&self) -> u64 {
        self.next_check_us
    }

    pub fn check_if_due(&mut self, now_us: u64, queue: &mut SendQueue) {
        if now_us < self.next_check_us {
            return;
        }
        self.next_check_us =
            now_us + if self.connected { CHECK_INTERVAL_US } else { FIRST_CHECK_INTERVAL_US };
        self.checks = self.checks.wrapping_add(1);
        let mut transaction_id = [0; stun::TRANSACTION_ID_LEN];
        transaction_id[..4].copy_from_slice(&self.checks.to_be_bytes());
        transaction_id[4..].copy_from_slice(&self.tie_breaker.to_be_bytes());
        let fields = RequestFields {
            transaction_id,
            username: &self.username,
            priority: PRIORITY,
            role: IceRole::Controlling(self.tie_breaker),
            use_candidate: true,
        };
        let mut message = [0; stun::MAX_WRITTEN_LEN];
        // Only a user name too long for a message could fail, and then the relay's answer does not come either.
        if let Ok(len) = stun::write_request(&mut message, &fields, &self.key) {
            self.send(queue, &message[..len]);
        }
    }

    /// Takes an answer to a check, or a check. Whether it was the first good answer.
    pub fn receive_stun(&mut self, from: SocketAddr, datagram: &[u8], queue: &mut SendQueue) -> bool {
        let before = self.connected;
        match stun::parse(datagram) {
            Ok(Message::Response(response)) => {
                self.connected |= response.error_code.is_none() && response.verify(&self.key).is_ok();
            }
            Ok(Message::Request(request)) => self.answer_check(from, &request, queue),
            _ => {}
        }
        self.connected && !before
    }

    fn answer_check(&self, from: SocketAddr, request: &BindingRequest<'_>, queue: &mut SendQueue) {
        let Some(key) = self.own_key.as_ref().filter(|key| request.verify(key).is_ok()) else { return };
        let mut message = [0; stun::MAX_WRITTEN_LEN];
        if let Ok(len) = stun::write_success(&mut message, request, from, key)
            && let Some(slot) = queue.slot(&self.port, from, len)
        {
            slot.copy_from_slice(&message[..len]);
        }
    }

    pub fn send_rtcp(&mut self, queue: &mut SendQueue, compound: &[u8]) {
        let Some(keys) = &mut self.keys else { return };
        let len = compound.len() + keys.sender.rtcp_overhead();
        let Some(slot) = queue.slot(&self.port, self.relay, len) else { return };
        if keys.sender.protect_rtcp(compound, slot).is_err() {
            queue.cancel();
        }
    }

    /// Room for a datagram of `len` bytes, and what it is sealed with.
    pub fn slot<'q>(
        &mut self,
        queue: &'q mut SendQueue,
        len: usize,
    ) -> Option<(&'q mut [u8], &mut SrtpSender)> {
        let slot = queue.slot(&self.port, self.relay, len)?;
        self.keys.as_mut().map(|keys| (slot, &mut keys.sender))
    }

    pub fn send(&self, queue: &mut SendQueue, datagram: &[u8]) {
        if let Some(slot) = queue.slot(&self.port, self.relay, datagram.len()) {
            slot.copy_from_slice(datagram);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::send::Backend;

    const OWN_PWD: &str = "own-password-of-the-client";

    fn check(pwd: &str) -> Vec<u8> {
        let fields = RequestFields {
            transaction_id: [7; stun::TRANSACTION_ID_LEN],
            username: "crowd:relay",
            priority: PRIORITY,
            role: IceRole::Controlled(1),
            use_candidate: false,
        };
        let mut message = [0; stun::MAX_WRITTEN_LEN];
        let len = stun::write_request(&mut message, &fields, &IntegrityKey::new(pwd)).unwrap();
        message[..len].to_vec()
    }

    /// What a relay that checks gets back.
    fn answer(client: &mut Client, relay: &UdpSocket, message: &[u8]) -> Option<Vec<u8>> {
        let mut queue = SendQueue::with_arena(Backend::SendMmsg, 64 << 10);
        assert!(!client.receive_stun(relay.local_addr().unwrap(), message, &mut queue));
        queue.transmit(&client.port);
        let mut buffer = [0; 256];
        relay.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())
    }

    #[test]
    fn answers_checks_that_are_signed_with_its_password_and_no_others() {
        let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        relay.set_nonblocking(true).unwrap();
        let account = Account {
            relay: relay.local_addr().unwrap(),
            ufrag: "relay".into(),
            pwd: "password-of-the-relay".into(),
            local_ufrag: "crowd".into(),
            tie_breaker: 1,
        };
        let mut client = Client::open(&account).unwrap();
        assert_eq!(answer(&mut client, &relay, &check(OWN_PWD)), None, "it was not told its password");
        client.answer_checks(OWN_PWD);
        assert_eq!(answer(&mut client, &relay, &check("another-password-altogether")), None);
        let answer = answer(&mut client, &relay, &check(OWN_PWD)).unwrap();
        let Ok(Message::Response(response)) = stun::parse(&answer) else { panic!("no response") };
        assert!(response.verify(&IntegrityKey::new(OWN_PWD)).is_ok());
        assert_eq!(response.transaction_id, [7; stun::TRANSACTION_ID_LEN]);
        assert_eq!(response.mapped_address, Some(account.relay));
        assert_eq!(response.error_code, None);
    }
}
