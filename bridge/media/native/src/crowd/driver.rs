//! A running crowd as its owner sees it: commands down, news up, each announced once for many.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::reel::Reel;
pub use super::worker::{Command, News};
use super::worker::{Shared, Worker};
use crate::driver::spawn_without_signals;
use crate::queue::{CommandsFull, Handover};

pub struct Crowd {
    pub reel: Arc<Reel>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Crowd {
    pub fn start(reel: Reel) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            commands: Handover::new()?,
            news: Handover::new()?,
            stop: AtomicBool::new(false),
        });
        let worker = Worker::new(Arc::clone(&shared))?;
        let thread = spawn_without_signals("bridge-crowd", move || worker.run())?;
        Ok(Self { reel: Arc::new(reel), shared, thread: Mutex::new(Some(thread)) })
    }

    /// After `close` commands go nowhere: the same as naming a member that is gone.
    pub fn command(&self, command: Command) -> Result<(), CommandsFull> {
        if self.shared.stop.load(Ordering::Acquire) {
            return Ok(());
        }
        self.shared.commands.push(command)
    }

    /// Readable while news waits, and valid as long as the crowd is.
    #[must_use]
    pub fn event_fd(&self) -> RawFd {
        self.shared.news.as_raw_fd()
    }

    #[must_use]
    pub fn drain(&self) -> Vec<News> {
        let mut news = Vec::new();
        self.shared.news.take(&mut news);
        news
    }

    /// Stops the thread and closes all sockets; both are done when it returns. May be repeated.
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

impl AsRawFd for Crowd {
    fn as_raw_fd(&self) -> RawFd {
        self.event_fd()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.close();
    }
}
