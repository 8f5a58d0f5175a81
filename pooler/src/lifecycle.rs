//! The process's way from serving to its end, as the signals ask for it.
//! Never closes a client: who serves clients watches this and acts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::clock::sleep_until;
use crate::config::Config;

/// How long the news of a pod's end takes to reach whoever sends it clients.
pub const NEWS_TRAVELS: Duration = Duration::from_secs(5);

/// Where the process stands. It only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    Serving,
    /// Clients finish, each at its transaction's end; what is left at the deadline is closed.
    Draining {
        deadline: Instant,
    },
    /// Everything is closed at once.
    Stopped,
}

/// SIGTERM and SIGINT, from the moment on at which this exists.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// # Errors
    /// The signals cannot be listened to.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Turns a signal into a drain, and a second one, or the deadline, into the stop.
    pub async fn drive(
        mut self,
        lifecycle: watch::Sender<Lifecycle>,
        config: watch::Receiver<Arc<Config>>,
    ) {
        self.next().await;
        let timeout = config.borrow().drain_timeout;
        let deadline = Instant::now() + timeout;
        info!(?timeout, "draining: clients are closed at the end of their transactions");
        lifecycle.send_replace(Lifecycle::Draining { deadline });
        tokio::select! {
            () = self.next() => info!("stopping at the second signal"),
            () = sleep_until(deadline) => warn!(?timeout, "stopping: the drain took too long"),
        }
        lifecycle.send_replace(Lifecycle::Stopped);
    }
}
