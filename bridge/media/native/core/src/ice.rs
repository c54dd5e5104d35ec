//! One peer's ICE state, lite (RFC 8445 section 2.5): which address it is reached at, by whose authority, and until when
//! (consent, RFC 7675). Bytes are `wire::stun`; finding the peer by fragment or address is the relay's.

use std::net::SocketAddr;

use crate::api::{CONSENT_EXPIRY_US, IceCredentials};
use crate::wire::stun::IntegrityKey;

/// Addresses of one peer that passed a check: every network card of a tablet, twice (IPv4, IPv6).
const MAX_ADDRESSES: usize = 8;
/// A path without a check for this long gives way to any other that has one, nominated or not.
const PATH_SILENT_US: u64 = 4_000_000;

/// Credentials with the password made ready.
pub struct Credentials {
    pub ufrag: String,
    pub key: IntegrityKey,
}

impl Credentials {
    fn new(ice: &IceCredentials) -> Self {
        Self { ufrag: ice.ufrag.clone(), key: IntegrityKey::new(&ice.pwd) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Path {
    address: SocketAddr,
    checked_us: u64,
}

pub struct IceAgent {
    credentials: Credentials,
    /// After a restart, until a check uses them.
    next: Option<Credentials>,
    paths: Vec<Path>,
    selected: Option<SocketAddr>,
    heard_us: u64,
}

/// What a check changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    Unchanged,
    Connected,
    Moved,
}

/// What the relay has to change in its tables after a check.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    pub selection: Selection,
    /// This address was forgotten for a newer one.
    pub evicted: Option<SocketAddr>,
    /// This fragment is used no more.
    pub retired_ufrag: Option<String>,
}

impl IceAgent {
    #[must_use]
    pub fn new(ice: &IceCredentials, now_us: u64) -> Self {
        Self {
            credentials: Credentials::new(ice),
            next: None,
            paths: Vec::new(),
            selected: None,
            heard_us: now_us,
        }
    }

    /// New credentials; returns the fragment of an earlier restart that was never used.
    pub fn restart(&mut self, ice: &IceCredentials) -> Option<String> {
        self.next.replace(Credentials::new(ice)).map(|unused| unused.ufrag)
    }

    /// The credentials a check names.
    #[must_use]
    pub fn credentials(&self, ufrag: &[u8]) -> Option<&Credentials> {
        std::iter::once(&self.credentials).chain(&self.next).find(|known| known.ufrag.as_bytes() == ufrag)
    }

    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.paths.iter().map(|path| path.address)
    }

    #[must_use]
    pub fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    /// An authenticated check with the credentials of `ufrag` came from `address`.
    pub fn checked(&mut self, ufrag: &[u8], address: SocketAddr, nominated: bool, now_us: u64) -> Checked {
        let restarted = self.next.as_ref().is_some_and(|next| next.ufrag.as_bytes() == ufrag);
        let mut retired_ufrag = None;
        if restarted && let Some(next) = self.next.take() {
            retired_ufrag = Some(std::mem::replace(&mut self.credentials, next).ufrag);
        }
        self.heard_us = now_us;
        let evicted = self.note_path(address, now_us);
        let gives_way = self.selected.is_none_or(|selected| {
            self.paths.iter().all(|path| {
                path.address != selected || now_us.saturating_sub(path.checked_us) > PATH_SILENT_US
            })
        });
        let selection = match self.selected {
            Some(selected) if selected == address => Selection::Unchanged,
            Some(_) if nominated || restarted || gives_way => Selection::Moved,
            Some(_) => Selection::Unchanged,
            None => Selection::Connected,
        };
        if selection != Selection::Unchanged {
            self.selected = Some(address);
        }
        Checked { selection, evicted, retired_ufrag }
    }

    fn note_path(&mut self, address: SocketAddr, now_us: u64) -> Option<SocketAddr> {
        if let Some(path) = self.paths.iter_mut().find(|path| path.address == address) {
            path.checked_us = now_us;
            return None;
        }
        let mut evicted = None;
        if self.paths.len() == MAX_ADDRESSES {
            let oldest = (0..self.paths.len())
                .filter(|at| Some(self.paths[*at].address) != self.selected)
                .min_by_key(|at| self.paths[*at].checked_us);
            if let Some(at) = oldest {
                evicted = Some(self.paths.swap_remove(at).address);
            }
        }
        self.paths.push(Path { address, checked_us: now_us });
        evicted
    }

    /// Something authenticated came.
    pub fn heard(&mut self, now_us: u64) {
        self.heard_us = now_us;
    }

    /// Ends sending when consent has run out; returns the addresses to forget.
    pub fn expire(&mut self, now_us: u64) -> Option<Vec<SocketAddr>> {
        if self.selected.is_none() || now_us.saturating_sub(self.heard_us) < CONSENT_EXPIRY_US {
            return None;
        }
        self.selected = None;
        Some(self.paths.drain(..).map(|path| path.address).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(ufrag: &str) -> IceCredentials {
        IceCredentials { ufrag: ufrag.into(), pwd: "p".repeat(22) }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn agent() -> IceAgent {
        IceAgent::new(&credentials("old"), 0)
    }

    #[test]
    fn any_first_check_connects_and_only_nomination_moves() {
        let mut ice = agent();
        assert_eq!(ice.checked(b"old", address(1), false, 0).selection, Selection::Connected);
        assert_eq!(ice.checked(b"old", address(2), false, 10).selection, Selection::Unchanged);
        assert_eq!(ice.selected(), Some(address(1)));
        assert_eq!(ice.checked(b"old", address(2), true, 20).selection, Selection::Moved);
        assert_eq!(ice.selected(), Some(address(2)));
        assert_eq!(ice.checked(b"old", address(2), true, 30).selection, Selection::Unchanged);
    }

    #[test]
    fn a_path_gone_silent_gives_way_without_nomination() {
        let mut ice = agent();
        ice.checked(b"old", address(1), true, 0);
        ice.checked(b"old", address(2), false, PATH_SILENT_US);
        assert_eq!(ice.selected(), Some(address(1)));
        assert_eq!(ice.checked(b"old", address(2), false, PATH_SILENT_US + 1).selection, Selection::Moved);
    }

    #[test]
    fn a_restart_keeps_the_old_path_until_the_new_credentials_are_used() {
        let mut ice = agent();
        ice.checked(b"old", address(1), true, 0);
        assert_eq!(ice.restart(&credentials("unused")), None);
        assert_eq!(ice.restart(&credentials("new")), Some("unused".into()));
        assert!(ice.credentials(b"unused").is_none());
        assert_eq!(ice.checked(b"old", address(1), true, 10).retired_ufrag, None);
        let checked = ice.checked(b"new", address(3), false, 20);
        assert_eq!(checked.selection, Selection::Moved);
        assert_eq!(checked.retired_ufrag, Some("old".into()));
        assert!(ice.credentials(b"old").is_none());
        assert!(ice.credentials(b"new").is_some());
    }

    #[test]
    fn consent_runs_out_and_comes_back() {
        let mut ice = agent();
        ice.checked(b"old", address(1), true, 0);
        ice.heard(5_000_000);
        assert_eq!(ice.expire(CONSENT_EXPIRY_US + 4_999_999), None);
        assert_eq!(ice.expire(CONSENT_EXPIRY_US + 5_000_000), Some(vec![address(1)]));
        assert_eq!((ice.selected(), ice.expire(u64::MAX)), (None, None));
        let back = ice.checked(b"old", address(1), false, 60_000_000);
        assert_eq!(back.selection, Selection::Connected);
    }

    #[test]
    fn addresses_are_bounded_and_the_selected_one_stays() {
        let mut ice = agent();
        ice.checked(b"old", address(1), true, 0);
        let mut evicted = Vec::new();
        for port in 2..=20 {
            evicted.extend(ice.checked(b"old", address(port), false, u64::from(port)).evicted);
        }
        assert_eq!(ice.addresses().count(), MAX_ADDRESSES);
        assert!(ice.addresses().any(|known| known == address(1)));
        assert_eq!(evicted.len(), 20 - MAX_ADDRESSES);
    }
}
