//! What waits to be sent: datagrams written one after another into an arena, grouped into runs to one address, and
//! handed to the kernel by one of three back-ends. Bounded: while the kernel takes nothing the arena fills, then it
//! refuses.

use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::str::FromStr;

use crate::address::{Family, RawAddress};
use crate::socket::UdpPort;

/// Stays in a core's second-level cache together with what is encrypted into it.
const ARENA_BYTES: usize = 256 << 10;

/// Some ten subscribers' shares of a frame: beyond that, larger calls save nothing more and only add delay.
const WORTH_SENDING_BYTES: usize = 64 << 10;

/// While the kernel takes nothing, the last quarter is kept for small datagrams: audio, reports, STUN answers.
const SMALL_BYTES: usize = 400;

/// Limits of UDP_SEGMENT: UDP_MAX_SEGMENTS of kernels before 6.9, and an IP packet's size with room for headers.
const MAX_SEGMENTS: usize = 64;
const MAX_RUN_BYTES: usize = 65_000;

/// Messages given to one sendmmsg.
const MESSAGES: usize = 64;

/// How datagrams go to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One call each.
    SendTo,
    /// Many datagrams a call.
    SendMmsg,
    /// Many runs a call, each run of equal-size datagrams segmented by the kernel (UDP_SEGMENT).
    Gso,
}

impl Backend {
    pub const ALL: [Self; 3] = [Self::SendTo, Self::SendMmsg, Self::Gso];
    /// The cheapest in `benchmarks/relay.py`; where the kernel or a device cannot, it falls back by itself.
    pub const AUTO: Self = Self::Gso;
}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        match name {
            "auto" => Ok(Self::AUTO),
            "sendto" => Ok(Self::SendTo),
            "sendmmsg" => Ok(Self::SendMmsg),
            "gso" => Ok(Self::Gso),
            _ => Err(UnknownBackend),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SendTo => "sendto",
            Self::SendMmsg => "sendmmsg",
            Self::Gso => "gso",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBackend;

impl fmt::Display for UnknownBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("send must be auto, sendto, sendmmsg or gso")
    }
}

impl std::error::Error for UnknownBackend {}

/// Datagrams to one address, one behind the other in the arena: all `segment` bytes long but for the last, which may
/// be shorter.
#[derive(Clone, Copy)]
struct Run {
    to: SocketAddr,
    start: usize,
    len: usize,
    segment: usize,
    count: usize,
}

impl Run {
    fn takes(&self, to: SocketAddr, len: usize) -> bool {
        self.to == to
            && len <= self.segment
            && self.len == self.segment * self.count // no shorter one has ended it
            && self.count < MAX_SEGMENTS
            && self.len + len <= MAX_RUN_BYTES
            && len > 0
    }

    fn bytes(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

pub struct SendQueue {
    arena: Box<[u8]>,
    used: usize,
    runs: Vec<Run>,
    /// Runs before this one have been handed over.
    next_run: usize,
    newest_len: usize,
    backend: Backend,
    gso_worked: bool,
    blocked: bool,
    refused: Vec<SocketAddr>,
    messages: Messages,
}

impl SendQueue {
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self::with_arena(backend, ARENA_BYTES)
    }

    /// With room for `arena_bytes`; a longer datagram than that is refused.
    #[must_use]
    pub fn with_arena(backend: Backend, arena_bytes: usize) -> Self {
        Self {
            arena: vec![0; arena_bytes].into_boxed_slice(),
            used: 0,
            runs: Vec::with_capacity(64),
            next_run: 0,
            newest_len: 0,
            backend,
            gso_worked: false,
            blocked: false,
            refused: Vec::new(),
            messages: Messages::new(),
        }
    }

    /// Room for a datagram to `to`. When the arena is full, what is in it goes out first; None while the kernel does
    /// not take it.
    #[inline]
    pub fn slot(&mut self, port: &UdpPort, to: SocketAddr, len: usize) -> Option<&mut [u8]> {
        let capacity = self.arena.len();
        if self.used + len > capacity {
            self.transmit(port);
        }
        let limit = if self.blocked && len > SMALL_BYTES { capacity / 4 * 3 } else { capacity };
        let start = self.used;
        let end = start.checked_add(len).filter(|end| *end <= limit)?;
        match self.runs[self.next_run..].last_mut() {
            Some(run) if self.backend == Backend::Gso && run.takes(to, len) => {
                run.len += len;
                run.count += 1;
            }
            _ => self.runs.push(Run { to, start, len, segment: len, count: 1 }),
        }
        self.used = end;
        self.newest_len = len;
        self.arena.get_mut(start..end)
    }

    /// Gives the newest slot back, if it has not gone out. Only once for a slot.
    pub fn cancel(&mut self) {
        let len = mem::take(&mut self.newest_len);
        let Some(run) = self.runs[self.next_run..].last_mut() else {
            return;
        };
        if len == 0 {
            return;
        }
        if run.count == 1 {
            self.runs.pop();
        } else {
            run.count -= 1;
            run.len -= len;
        }
        self.used -= len;
    }

    /// Hands everything to the kernel, as far as it takes it now.
    pub fn transmit(&mut self, port: &UdpPort) {
        self.blocked = false;
        self.newest_len = 0;
        while self.next_run < self.runs.len() {
            let handed = match self.backend {
                Backend::SendTo => self.send_one(port),
                Backend::SendMmsg | Backend::Gso => self.send_many(port),
            };
            match handed {
                Ok(count) => self.next_run += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return;
                }
                Err(error) => self.give_up_run(port, &error),
            }
        }
        self.runs.clear();
        self.next_run = 0;
        self.used = 0;
    }

    /// Enough waits to make a call worth its cost. Never while the kernel takes nothing.
    #[must_use]
    #[inline]
    pub fn is_worth_sending(&self) -> bool {
        !self.blocked && self.used >= WORTH_SENDING_BYTES
    }

    /// The kernel's buffer is full: try `transmit` again when the socket is writable.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next_run == self.runs.len()
    }

    /// Addresses that datagrams could not be sent to since the last call.
    pub fn take_refused(&mut self) -> Vec<SocketAddr> {
        mem::take(&mut self.refused)
    }

    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    fn send_one(&self, port: &UdpPort) -> io::Result<usize> {
        let run = &self.runs[self.next_run];
        send_to(port, run.to, &self.arena[run.bytes()])?;
        Ok(1)
    }

    fn send_many(&mut self, port: &UdpPort) -> io::Result<usize> {
        let runs = &self.runs[self.next_run..];
        let runs = &runs[..runs.len().min(MESSAGES)];
        let sent = self.messages.send(port, &self.arena, runs)?;
        self.gso_worked |= runs[..sent].iter().any(|run| run.count > 1);
        Ok(sent)
    }

    /// The first waiting run was refused for a reason of its own. If segmenting may be that reason, its datagrams go
    /// one by one; otherwise they are lost. Either way the others go on.
    fn give_up_run(&mut self, port: &UdpPort, error: &io::Error) {
        let run = self.runs[self.next_run];
        self.next_run += 1;
        // EIO: the device cannot checksum segments. EINVAL, EMSGSIZE: no such option, or segments over this path's MTU.
        let by_segmenting = matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE));
        if run.count == 1 || !by_segmenting {
            self.refused.push(run.to);
            return;
        }
        if error.raw_os_error() == Some(libc::EIO) || !self.gso_worked {
            self.backend = Backend::SendMmsg;
        }
        let refused =
            self.arena[run.bytes()].chunks(run.segment).any(|bytes| send_to(port, run.to, bytes).is_err());
        if refused {
            self.refused.push(run.to);
        }
    }
}

fn send_to(port: &UdpPort, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let (address, address_len) = RawAddress::encode(to, port.family()).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: both pointers are to live buffers of the lengths given.
    let sent = unsafe {
        libc::sendto(
            port.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_DONTWAIT,
            address.as_ptr(),
            address_len,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A control message that holds a run's segment size (udp(7), UDP_SEGMENT), as the kernel lays it out.
#[derive(Clone, Copy)]
#[repr(C)]
struct SegmentControl {
    header: libc::cmsghdr,
    segment: u16,
    padding: [u8; 6],
}

/// The headers of one sendmmsg, used again and again.
struct Messages {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    addresses: Box<[RawAddress]>,
    controls: Box<[SegmentControl]>,
}

// SAFETY: the pointers inside are written anew before each use and never followed otherwise.
unsafe impl Send for Messages {}

impl Messages {
    fn new() -> Self {
        let control = SegmentControl {
            header: libc::cmsghdr {
                // SAFETY: pure arithmetic.
                cmsg_len: unsafe { libc::CMSG_LEN(mem::size_of::<u16>() as u32) } as usize,
                cmsg_level: libc::SOL_UDP,
                cmsg_type: libc::UDP_SEGMENT,
            },
            segment: 0,
            padding: [0; 6],
        };
        Self {
            // SAFETY: all bytes zero is a valid mmsghdr (integers and null pointers).
            headers: vec![unsafe { mem::zeroed::<libc::mmsghdr>() }; MESSAGES].into_boxed_slice(),
            vectors: vec![libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MESSAGES]
                .into_boxed_slice(),
            addresses: vec![RawAddress::empty(); MESSAGES].into_boxed_slice(),
            controls: vec![control; MESSAGES].into_boxed_slice(),
        }
    }

    /// At most `MESSAGES` runs. How many were taken: at least one, or the first one's error.
    fn send(&mut self, port: &UdpPort, arena: &[u8], runs: &[Run]) -> io::Result<usize> {
        let mut filled = 0;
        for run in runs {
            if self.fill(filled, port.family(), arena, run).is_none() {
                break; // an address this socket cannot write; its turn as the first gives the error
            }
            filled += 1;
        }
        if filled == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: `filled` headers have just been written to point to live buffers: the arena, and this object's.
        let sent = unsafe {
            libc::sendmmsg(
                port.as_raw_fd(),
                self.headers.as_mut_ptr(),
                filled as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    fn fill(&mut self, index: usize, family: Family, arena: &[u8], run: &Run) -> Option<()> {
        let bytes = arena.get(run.bytes())?;
        let address = self.addresses.get_mut(index)?;
        let (encoded, address_len) = RawAddress::encode(run.to, family)?;
        *address = encoded;
        let vector = self.vectors.get_mut(index)?;
        // sendmmsg only reads through the pointer.
        *vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let header = &mut self.headers.get_mut(index)?.msg_hdr;
        header.msg_name = address.as_mut_ptr().cast();
        header.msg_namelen = address_len;
        header.msg_iov = &raw mut *vector;
        header.msg_iovlen = 1;
        if run.count > 1 {
            let control = self.controls.get_mut(index)?;
            control.segment = u16::try_from(run.segment).ok()?;
            header.msg_control = (&raw mut *control).cast();
            header.msg_controllen = mem::size_of::<SegmentControl>();
        } else {
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
