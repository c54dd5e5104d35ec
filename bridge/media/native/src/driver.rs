//! A running relay as its owner sees it: a port, a queue of commands down and a queue of events up.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use bridge_relay_core::api::Command;

use crate::queue::{CommandQueue, EventQueue};
pub use crate::queue::{CommandsFull, DriverStats, News};
use crate::send::Backend;
use crate::socket::UdpPort;
use crate::thread::{Shared, Worker};

#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    port: u16,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Driver {
    /// Binds the port and starts the thread. `host` None: all addresses, IPv4 and IPv6.
    pub fn start(
        host: Option<IpAddr>,
        port: u16,
        backend: Backend,
        event_capacity: usize,
    ) -> io::Result<Self> {
        let socket = UdpPort::open(host, port)?;
        let port = socket.port();
        let shared = Arc::new(Shared {
            commands: CommandQueue::new()?,
            events: EventQueue::new(event_capacity)?,
            stop: AtomicBool::new(false),
        });
        let worker = Worker::new(Arc::clone(&shared), socket, backend)?;
        let thread = spawn_without_signals("bridge-relay", move || worker.run())?;
        Ok(Self { shared, port, thread: Mutex::new(Some(thread)) })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// After `close` commands go nowhere: the same as naming a peer that is gone.
    pub fn command(&self, command: Command) -> Result<(), CommandsFull> {
        if self.shared.stop.load(Ordering::Acquire) {
            return Ok(());
        }
        self.shared.commands.push(command)
    }

    /// Readable while events wait, and valid as long as the driver is.
    #[must_use]
    pub fn event_fd(&self) -> RawFd {
        self.shared.events.as_raw_fd()
    }

    pub fn drain(&self) -> VecDeque<News> {
        self.shared.events.drain()
    }

    /// Stops the thread and closes the port; both are done when it returns. May be repeated.
    pub fn close(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.commands.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // An error would be a panic of the thread: it is over either way.
            let _ = thread.join();
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.close();
    }
}

/// Signals belong to the owner's threads: the new one is made while all are blocked, and inherits that.
pub(crate) fn spawn_without_signals(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    // SAFETY: both sets are plain data, filled before they are read.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let thread = Builder::new().name(name.into()).spawn(run);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        thread
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bridge_relay_core::api::PeerId;

    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn closing_ends_the_thread_and_frees_the_port() {
        let driver = Driver::start(Some(LOCALHOST), 0, Backend::AUTO, 16).unwrap();
        driver.close();
        driver.close();
        UdpPort::open(Some(LOCALHOST), driver.port()).unwrap();
    }

    #[test]
    fn after_closing_commands_are_not_kept() {
        let driver = Driver::start(Some(LOCALHOST), 0, Backend::AUTO, 16).unwrap();
        driver.close();
        driver.command(Command::RemovePeer { peer: PeerId(1) }).unwrap();
        let mut batch = Vec::new();
        driver.shared.commands.take(&mut batch);
        assert!(batch.is_empty());
    }
}
