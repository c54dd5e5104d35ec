//! Waiting: an epoll set, and event file descriptors that wake it (or an asyncio loop).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A counter that another thread raises and a poller sees as readable.
#[derive(Debug)]
pub struct WakeUp(OwnedFd);

impl WakeUp {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is checked and owned from here on.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        Ok(Self(own(fd)?))
    }

    pub fn raise(&self) {
        let one = 1_u64;
        // SAFETY: eight readable bytes, as an eventfd wants. It fails only when the counter is full: raised already.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    pub fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: eight writable bytes. It fails only when nothing was raised.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsRawFd for WakeUp {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What an epoll set told: the token given with a descriptor, and what it is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
}

/// A set of descriptors waited for together. TCP connections for ICE can join it under tokens of their own.
#[derive(Debug)]
pub struct Poll {
    fd: OwnedFd,
    buffer: [libc::epoll_event; Self::BATCH],
}

impl Poll {
    /// A relay waits for two descriptors, a crowd of clients for a thousand.
    pub const BATCH: usize = 64;
    /// Never sleep longer: it bounds what a clock mistake in the core can cost.
    const MAX_WAIT_US: u64 = 1_000_000;

    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is checked and owned from here on.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        Ok(Self { fd: own(fd)?, buffer: [libc::epoll_event { events: 0, u64: 0 }; Self::BATCH] })
    }

    pub fn add(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, libc::EPOLLIN)
    }

    /// Whether `fd`, added before, shall also wake the poller when it can be written to.
    pub fn want_writable(&self, fd: &impl AsRawFd, token: u64, wanted: bool) -> io::Result<()> {
        let events = if wanted { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        self.control(libc::EPOLL_CTL_MOD, fd, token, events)
    }

    fn control(&self, operation: i32, fd: &impl AsRawFd, token: u64, events: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token };
        // SAFETY: `event` outlives the call, which copies it.
        let result =
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until something is ready or the time is over. An interrupted wait counts as over.
    pub fn wait(&mut self, timeout_us: u64) -> impl Iterator<Item = Ready> + '_ {
        // Rounded up: waking before the time would spin.
        let timeout_ms = timeout_us.min(Self::MAX_WAIT_US).div_ceil(1_000) as i32;
        // SAFETY: the buffer holds BATCH events and lives through the call.
        let count = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.buffer.as_mut_ptr(), Self::BATCH as i32, timeout_ms)
        };
        let count = usize::try_from(count).unwrap_or(0);
        self.buffer[..count].iter().map(|event| {
            let events = event.events.cast_signed();
            Ready {
                token: event.u64,
                // An error or hang-up is read out like data.
                readable: events & (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLHUP) != 0,
                writable: events & libc::EPOLLOUT != 0,
            }
        })
    }
}

fn own(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: freshly made by the kernel, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_raises_are_one_wake_up() {
        let mut poll = Poll::new().unwrap();
        let wake_up = WakeUp::new().unwrap();
        poll.add(&wake_up, 7).unwrap();
        assert_eq!(poll.wait(0).count(), 0);
        wake_up.raise();
        wake_up.raise();
        let ready: Vec<Ready> = poll.wait(0).collect();
        assert_eq!(ready, [Ready { token: 7, readable: true, writable: false }]);
        wake_up.clear();
        assert_eq!(poll.wait(0).count(), 0);
    }
}
