//! ICE connectivity checks: finding the peer by its fragment, answering, refusing, and the table of addresses.

use std::net::SocketAddr;

use super::Relay;
use crate::api::{Event, Outbox};
use crate::ice::Selection;
use crate::wire::stun::{self, BindingRequest, ErrorCode, IceRole, IntegrityKey};

impl Relay {
    pub(super) fn take_stun<O: Outbox>(
        &mut self,
        now_us: u64,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut O,
    ) {
        let request = match stun::parse(datagram) {
            Ok(stun::Message::Request(request)) => request,
            // We ask nothing, so that there is nothing to be answered; indications are keep-alives.
            Ok(_) => return,
            Err(_) => {
                self.totals.malformed += 1;
                return;
            }
        };
        let Some(ufrag) = request.local_ufrag() else {
            self.totals.malformed += 1;
            refuse(&request, ErrorCode::BadRequest, None, from, out);
            return;
        };
        let owner = std::str::from_utf8(ufrag).ok().and_then(|ufrag| self.ufrags.get(ufrag)).copied();
        let Some((index, peer)) = owner.and_then(|index| Some((index, self.peers.get_mut(index)?))) else {
            self.totals.unknown_sender += 1;
            refuse(&request, ErrorCode::Unauthenticated, None, from, out);
            return;
        };
        let Some(credentials) = peer.ice.credentials(ufrag) else { return };
        if request.verify(&credentials.key).is_err() {
            self.totals.unauthenticated += 1;
            refuse(&request, ErrorCode::Unauthenticated, None, from, out);
            return;
        }
        self.in_hand = Some(peer.id);
        if !request.unknown.as_slice().is_empty() {
            refuse(&request, ErrorCode::UnknownAttribute, Some(&credentials.key), from, out);
            return;
        }
        // A lite agent is controlled, always (RFC 8445 section 6.1.1).
        if matches!(request.role, Some(IceRole::Controlled(_))) {
            refuse(&request, ErrorCode::RoleConflict, Some(&credentials.key), from, out);
            return;
        }
        let mut response = [0; stun::MAX_WRITTEN_LEN];
        if let Ok(len) = stun::write_success(&mut response, &request, from, &credentials.key)
            && let Some(packet) = out.slot(from, len)
        {
            packet.copy_from_slice(&response[..len]);
            peer.traffic.bytes_out += len as u64;
        }
        self.note_check(now_us, index, ufrag, from, request.use_candidate, out);
    }

    fn note_check<O: Outbox>(
        &mut self,
        now_us: u64,
        index: usize,
        ufrag: &[u8],
        from: SocketAddr,
        nominated: bool,
        out: &mut O,
    ) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let checked = peer.ice.checked(ufrag, from, nominated, now_us);
        let id = peer.id;
        let event = match checked.selection {
            Selection::Unchanged => None,
            Selection::Connected => Some(Event::PeerConnected { peer: id }),
            // Between two addresses it could move with every check.
            Selection::Moved => peer.news.take(now_us).then_some(Event::PeerMoved { peer: id }),
        };
        // The address may have belonged to another peer: the newest authenticated check counts.
        self.addresses.insert(from, index);
        if let Some(evicted) = checked.evicted {
            self.forget_address(evicted, index);
        }
        if let Some(ufrag) = checked.retired_ufrag {
            self.ufrags.remove(&ufrag);
        }
        if let Some(event) = event {
            out.event(event);
        }
    }

    pub(super) fn forget_address(&mut self, address: SocketAddr, owner: usize) {
        if self.addresses.get(&address) == Some(&owner) {
            self.addresses.remove(&address);
        }
    }
}

fn refuse<O: Outbox>(
    request: &BindingRequest<'_>,
    code: ErrorCode,
    key: Option<&IntegrityKey>,
    to: SocketAddr,
    out: &mut O,
) {
    let mut response = [0; stun::MAX_WRITTEN_LEN];
    if let Ok(Some(len)) = stun::write_error(&mut response, request, code, key)
        && let Some(packet) = out.slot(to, len)
    {
        packet.copy_from_slice(&response[..len]);
    }
}
