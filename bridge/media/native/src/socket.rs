//! The relay's UDP port: opens it for IPv4 and IPv6 together and reads datagrams in batches (recvmmsg).
//! Sending is `send.rs`; what the datagrams mean is the core's business.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::address::{Family, RAW_ADDRESS_LEN, RawAddress};

/// A second of 30 Mbit/s: rides out a late wake-up without loss.
const RECEIVE_BUFFER_BYTES: libc::c_int = 4 << 20;

/// A frame for some 500 subscribers at once. More would only be delay where the machine's own link is the bottleneck:
/// this is a fifth of a second at 100 Mbit/s.
const SEND_BUFFER_BYTES: libc::c_int = 2 << 20;

/// Datagrams read by one call. More gains nothing measurable and makes the first one wait longer.
const BATCH: usize = 64;

/// A stamp further back says that the clock was set, not that a datagram waited so long.
const MAX_WAITED_US: u64 = 1_000_000;

/// Longer than any datagram over Ethernet; longer ones are cut by the kernel, seen by that, and refused.
const DATAGRAM_BYTES: usize = 2_048;

/// Runs of datagrams read by one call, each as long as an IP packet may be. A little more, so that not all of them
/// begin at the same place of a cache.
const RUNS: usize = 16;
const RUN_BYTES: usize = (64 << 10) + 4_160;

#[derive(Debug)]
pub struct UdpPort {
    fd: OwnedFd,
    family: Family,
    port: u16,
}

impl UdpPort {
    /// `host` None: every address of the machine, IPv6 too where the machine has it. Port 0 takes a free one.
    pub fn open(host: Option<IpAddr>, port: u16) -> io::Result<Self> {
        let Some(host) = host else {
            let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            return Self::bind(everywhere, port).or_else(|error| match error.raw_os_error() {
                Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => {
                    Self::bind(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
                }
                _ => Err(error),
            });
        };
        Self::bind(host, port)
    }

    fn bind(host: IpAddr, port: u16) -> io::Result<Self> {
        let (family, domain) = match host {
            IpAddr::V4(_) => (Family::V4, libc::AF_INET),
            IpAddr::V6(_) => (Family::V6, libc::AF_INET6),
        };
        let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::socket(domain, kind, 0) })?;
        // SAFETY: freshly made by the kernel, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if family == Family::V6 {
            set_option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
        }
        // Without it datagrams count as arrived when they are read.
        let _ = set_option(&fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
        enlarge(&fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER_BYTES);
        enlarge(&fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER_BYTES);
        let address = SocketAddr::new(host, port);
        let (raw, len) = RawAddress::encode(address, family).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: `raw` is a socket address of `len` bytes.
        check(unsafe { libc::bind(fd.as_raw_fd(), raw.as_ptr(), len) })?;
        let port = bound_port(&fd)?;
        Ok(Self { fd, family, port })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// Datagrams that came as a run from one sender are read as one from now on (udp(7), UDP_GRO), into a batch for
    /// runs. Where the kernel cannot, each comes by itself as before.
    pub fn take_runs(&self) {
        let _ = set_option(&self.fd, libc::SOL_UDP, libc::UDP_GRO, 1);
    }

    /// Reads what waits, up to the batch's room, without blocking. How many datagrams came; 0 when none waits.
    pub fn receive(&self, batch: &mut Batch) -> usize {
        batch.prepare();
        // SAFETY: every header points into buffers that the batch owns and does not move while it lives.
        let count = unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                batch.headers.as_mut_ptr(),
                batch.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        // An error here is an old one of some path (an ICMP answer, say): it must stop nothing.
        batch.count = usize::try_from(count).unwrap_or(0);
        batch.count
    }
}

impl AsRawFd for UdpPort {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Room for the two control messages that are asked for: the time of arrival (socket(7), SO_TIMESTAMPNS), and how long
/// the datagrams of a run are (udp(7), UDP_GRO).
type Controls = [u64; 8];

/// Buffers for one read, used again and again.
pub struct Batch {
    buffers: Box<[u8]>,
    buffer_len: usize,
    addresses: Box<[RawAddress]>,
    // The headers point to both, and the kernel writes there.
    _controls: Box<[Controls]>,
    _vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    count: usize,
}

// SAFETY: the raw pointers lead only into the batch's own boxes, which move with it.
unsafe impl Send for Batch {}

impl Batch {
    pub const CAPACITY: usize = BATCH;

    #[must_use]
    pub fn new() -> Self {
        Self::with_room(BATCH, DATAGRAM_BYTES)
    }

    /// For a port that takes runs.
    #[must_use]
    pub fn for_runs() -> Self {
        Self::with_room(RUNS, RUN_BYTES)
    }

    fn with_room(messages: usize, buffer_len: usize) -> Self {
        let mut buffers = vec![0; messages * buffer_len].into_boxed_slice();
        let mut addresses = vec![RawAddress::empty(); messages].into_boxed_slice();
        let mut controls = vec![Controls::default(); messages].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = buffers
            .chunks_exact_mut(buffer_len)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer_len })
            .collect();
        let headers = vectors
            .iter_mut()
            .zip(&mut addresses)
            .zip(&mut controls)
            .map(|((vector, address), controls)| {
                // SAFETY: all bytes zero is a valid mmsghdr (integers and null pointers).
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_name = address.as_mut_ptr().cast();
                header.msg_hdr.msg_iov = &raw mut *vector;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = controls.as_mut_ptr().cast();
                header
            })
            .collect();
        let mut batch = Self {
            buffers,
            buffer_len,
            addresses,
            _controls: controls,
            _vectors: vectors,
            headers,
            count: messages,
        };
        batch.prepare();
        batch
    }

    fn prepare(&mut self) {
        // Only what the last read used has been overwritten by the kernel.
        for header in &mut self.headers[..self.count] {
            header.msg_hdr.msg_namelen = RAW_ADDRESS_LEN;
            header.msg_hdr.msg_controllen = mem::size_of::<Controls>();
        }
        self.count = 0;
    }

    /// The datagram at `index` of the last read and its sender; None if it was too long to be whole.
    pub fn datagram(&mut self, index: usize) -> Option<(SocketAddr, &mut [u8])> {
        let header = self.headers[..self.count].get(index)?;
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let from = self.addresses.get(index)?.decode()?;
        let bytes = self.buffers.get_mut(index * self.buffer_len..)?.get_mut(..header.msg_len as usize)?;
        Some((from, bytes))
    }

    /// How long each datagram of the run at `index` is, but for the last, which may be shorter; None if it is no run.
    #[must_use]
    pub fn segment(&self, index: usize) -> Option<usize> {
        let segment: libc::c_int = self.control(index, libc::SOL_UDP, libc::UDP_GRO)?;
        usize::try_from(segment).ok().filter(|segment| *segment > 0)
    }

    /// How long before `wall_us` the kernel got the datagram at `index`. 0 if it did not say, or if the wall clock has
    /// been set since.
    #[must_use]
    pub fn waited_us(&self, index: usize, wall_us: u64) -> u64 {
        let stamp: Option<libc::timespec> = self.control(index, libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS);
        let Some(stamp) = stamp else { return 0 };
        let seconds = u64::try_from(stamp.tv_sec).unwrap_or(0);
        let stamp_us = seconds * 1_000_000 + u64::try_from(stamp.tv_nsec).unwrap_or(0) / 1_000;
        wall_us.checked_sub(stamp_us).filter(|waited_us| *waited_us <= MAX_WAITED_US).unwrap_or(0)
    }

    /// What the control message of that kind says; `T` is the kernel's type of it.
    fn control<T: Copy>(&self, index: usize, level: libc::c_int, kind: libc::c_int) -> Option<T> {
        let header = &self.headers[..self.count].get(index)?.msg_hdr;
        // SAFETY: the kernel has written `msg_controllen` bytes of control messages to where the header points, which
        // these macros stay within (cmsg(3)); the length of a message is looked at before it is read.
        unsafe {
            let mut message = libc::CMSG_FIRSTHDR(header);
            while let Some(found) = message.as_ref() {
                if found.cmsg_level == level
                    && found.cmsg_type == kind
                    && found.cmsg_len >= libc::CMSG_LEN(mem::size_of::<T>() as u32) as usize
                {
                    return Some(libc::CMSG_DATA(message).cast::<T>().read_unaligned());
                }
                message = libc::CMSG_NXTHDR(header, message);
            }
        }
        None
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// Asks for a big buffer: past the system's limit where we may, else up to it.
fn enlarge(fd: &OwnedFd, force: libc::c_int, polite: libc::c_int, size_bytes: libc::c_int) {
    if set_option(fd, libc::SOL_SOCKET, force, size_bytes).is_err() {
        // Smaller buffers still work; they only lose packets earlier.
        let _ = set_option(fd, libc::SOL_SOCKET, polite, size_bytes);
    }
}

fn set_option(fd: &OwnedFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    let len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is a C int, as all options used here want.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), len) })?;
    Ok(())
}

fn bound_port(fd: &OwnedFd) -> io::Result<u16> {
    let mut raw = RawAddress::empty();
    let mut len = RAW_ADDRESS_LEN;
    // SAFETY: `raw` has room for `len` bytes.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), raw.as_mut_ptr(), &raw mut len) })?;
    raw.decode().map(|address| address.port()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::clock;
    use crate::send::{Backend, SendQueue};

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Loopback delivers before `send_to` returns, so no wait is needed.
    fn send(port: &UdpPort, to: IpAddr, bytes: &[u8]) -> SocketAddr {
        let bind_to = if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(bind_to).unwrap();
        socket.send_to(bytes, (to, port.port())).unwrap();
        socket.local_addr().unwrap()
    }

    #[test]
    fn reads_several_datagrams_with_their_senders() {
        let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
        let mut batch = Batch::new();
        assert_eq!(port.receive(&mut batch), 0);
        let senders =
            [send(&port, LOCALHOST, b"one"), send(&port, LOCALHOST, b""), send(&port, LOCALHOST, b"three")];
        assert_eq!(port.receive(&mut batch), 3);
        for (index, bytes) in [&b"one"[..], b"", b"three"].iter().enumerate() {
            let (from, datagram) = batch.datagram(index).unwrap();
            assert_eq!((from, &*datagram), (senders[index], *bytes));
        }
        assert!(batch.datagram(3).is_none());
    }

    #[test]
    fn one_port_serves_ipv4_and_ipv6() {
        let port = UdpPort::open(None, 0).unwrap();
        if port.family() == Family::V4 {
            return; // a machine without IPv6
        }
        let mut batch = Batch::new();
        for to in [LOCALHOST, IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let sender = send(&port, to, b"x");
            assert_eq!(port.receive(&mut batch), 1);
            assert_eq!(batch.datagram(0).unwrap().0, sender);
        }
    }

    #[test]
    fn a_cut_datagram_is_refused_and_the_next_is_not() {
        let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
        let mut batch = Batch::new();
        send(&port, LOCALHOST, &[1; DATAGRAM_BYTES + 1]);
        send(&port, LOCALHOST, &[1; DATAGRAM_BYTES]);
        assert_eq!(port.receive(&mut batch), 2);
        assert!(batch.datagram(0).is_none());
        assert_eq!(batch.datagram(1).unwrap().1.len(), DATAGRAM_BYTES);
    }

    #[test]
    fn tells_how_long_a_datagram_waited_to_be_read() {
        let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
        let mut batch = Batch::new();
        // The kernel begins to stamp some time after it is told to; before that a datagram counts as just come.
        for _ in 0..100_000 {
            let before_us = clock::wall_us();
            send(&port, LOCALHOST, b"x");
            let sent_us = clock::wall_us();
            while clock::wall_us() < sent_us + 300 {
                std::hint::spin_loop();
            }
            assert_eq!(port.receive(&mut batch), 1);
            let read_us = clock::wall_us();
            let waited_us = batch.waited_us(0, read_us);
            assert!(waited_us <= read_us - before_us + 1);
            if waited_us >= 300 {
                assert_eq!(batch.waited_us(0, read_us + 10_000_000), 0, "the clock was set");
                assert_eq!(batch.waited_us(0, 0), 0, "the clock was set back");
                assert_eq!(batch.waited_us(1, read_us), 0, "no such datagram");
                return;
            }
        }
        panic!("the kernel never stamped a datagram");
    }

    #[test]
    fn a_run_is_read_as_one_and_tells_where_its_datagrams_end() {
        let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
        port.take_runs();
        let sender = UdpPort::open(Some(LOCALHOST), 0).unwrap();
        let to = SocketAddr::new(LOCALHOST, port.port());
        let mut queue = SendQueue::new(Backend::Gso);
        for (value, len) in [(1, 700), (2, 700), (3, 90)] {
            queue.slot(&sender, to, len).unwrap().fill(value);
        }
        queue.transmit(&sender);
        queue.slot(&sender, to, 50).unwrap().fill(4);
        queue.transmit(&sender);
        let mut batch = Batch::for_runs();
        let count = port.receive(&mut batch);
        let mut datagrams = Vec::new();
        for index in 0..count {
            let segment = batch.segment(index);
            let (from, bytes) = batch.datagram(index).unwrap();
            assert_eq!(from.port(), sender.port());
            let segment = segment.unwrap_or(bytes.len());
            datagrams.extend(bytes.chunks(segment).map(<[u8]>::to_vec));
        }
        assert_eq!(datagrams, [vec![1; 700], vec![2; 700], vec![3; 90], vec![4; 50]]);
        assert_eq!(count, 2, "this kernel does not keep runs together");
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
        let error = UdpPort::open(Some(LOCALHOST), port.port()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
