//! The process's way from serving to its end, as the signals ask for it.
//! Never closes a client: who serves clients watches this and acts.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::config::Config;

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

/// Turns SIGTERM and SIGINT into a drain, and a second one, or the deadline, into the stop.
///
/// # Errors
/// The signals cannot be listened to.
pub async fn follow_signals(
    lifecycle: watch::Sender<Lifecycle>,
    config: watch::Receiver<Arc<Config>>,
) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let timeout = config.borrow().drain_timeout;
    let deadline = Instant::now() + timeout;
    info!(?timeout, "draining: clients are closed at the end of their transactions");
    lifecycle.send_replace(Lifecycle::Draining { deadline });
    tokio::select! {
        _ = terminate.recv() => info!("stopping at the second signal"),
        _ = interrupt.recv() => info!("stopping at the second signal"),
        () = sleep_until(deadline) => warn!(?timeout, "stopping: the drain took too long"),
    }
    lifecycle.send_replace(Lifecycle::Stopped);
    Ok(())
}
