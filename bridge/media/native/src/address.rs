//! `SocketAddr` to and from what the kernel wants. On a dual-stack socket IPv4 travels as IPv4-mapped IPv6
//! (RFC 4291 section 2.5.5.2); everybody else sees plain IPv4.

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The address family a socket was opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Room for either kind of address, as the kernel reads and writes it.
#[derive(Clone, Copy)]
#[repr(C)]
pub union RawAddress {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

#[allow(clippy::cast_possible_truncation)] // both are under 32 bytes
pub const RAW_ADDRESS_LEN: libc::socklen_t = mem::size_of::<RawAddress>() as libc::socklen_t;

impl RawAddress {
    pub fn empty() -> Self {
        // SAFETY: all bytes zero is a valid value of both variants (plain integers).
        unsafe { mem::zeroed() }
    }

    /// How a socket of this family writes `address`, and its length. An IPv6 address on an IPv4 socket gives None.
    pub fn encode(address: SocketAddr, family: Family) -> Option<(Self, libc::socklen_t)> {
        let v6 = match (address, family) {
            (SocketAddr::V4(v4), Family::V4) => return Some(Self::encode_v4(v4)),
            (SocketAddr::V6(_), Family::V4) => return None,
            (SocketAddr::V4(v4), Family::V6) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
            (SocketAddr::V6(v6), Family::V6) => v6,
        };
        let mut raw = Self::empty();
        raw.v6 = libc::sockaddr_in6 {
            sin6_family: libc::AF_INET6 as libc::sa_family_t,
            sin6_port: v6.port().to_be(),
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
            sin6_scope_id: v6.scope_id(),
        };
        Some((raw, mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t))
    }

    fn encode_v4(v4: SocketAddrV4) -> (Self, libc::socklen_t) {
        let mut raw = Self::empty();
        raw.v4 = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: v4.port().to_be(),
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
            sin_zero: [0; 8],
        };
        (raw, mem::size_of::<libc::sockaddr_in>() as libc::socklen_t)
    }

    /// What the kernel wrote; None for a family that a UDP socket does not have.
    pub fn decode(&self) -> Option<SocketAddr> {
        // SAFETY: both variants begin with the family, and it tells which of them the kernel filled in; the bytes
        // of either are plain integers, valid whatever they are.
        let (family, v4, v6) = unsafe { (self.v4.sin_family, self.v4, self.v6) };
        match i32::from(family) {
            libc::AF_INET => {
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                let port = u16::from_be(v6.sin6_port);
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(match ip.to_canonical() {
                    IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
                    // The flow label is dropped: it may differ between datagrams of one path.
                    IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id)),
                })
            }
            _ => None,
        }
    }

    pub fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const *self).cast()
    }

    pub fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut *self).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernel_form() {
        for (text, family) in [
            ("192.0.2.7:65535", Family::V4),
            ("192.0.2.7:1", Family::V6),
            ("[2001:db8::1]:3478", Family::V6),
            ("[fe80::1%3]:5004", Family::V6),
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let (raw, _) = RawAddress::encode(address, family).unwrap();
            assert_eq!(raw.decode(), Some(address));
        }
    }

    #[test]
    fn an_ipv4_socket_cannot_name_an_ipv6_address() {
        assert!(RawAddress::encode("[::1]:1".parse().unwrap(), Family::V4).is_none());
    }

    #[test]
    fn another_family_is_refused() {
        assert_eq!(RawAddress::empty().decode(), None);
    }
}
