//! The end of letting clients in: still open while logins come, since the news of a pod's end
//! travels slowly; then the door closes and the workers hear that nobody else comes. It never closes
//! the listener: cancel requests come as long as there are clients.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::Front;
use super::listener::Listener;
use crate::clock::sleep_until;
use crate::lifecycle::{Lifecycle, NEWS_TRAVELS};
use crate::worker::Message;

/// Logins are taken until none has come for so long,
const QUIET: Duration = Duration::from_secs(2);
/// and at most so long, where the drain has that much time.
const LOGINS_END: Duration = Duration::from_secs(20);

impl Front {
    pub(super) async fn close(
        self: &Rc<Front>,
        listener: &Listener,
        mut lifecycle: watch::Receiver<Lifecycle>,
    ) {
        let stage = *lifecycle.borrow();
        if let Lifecycle::Draining { deadline } = stage {
            let span = deadline.saturating_duration_since(Instant::now());
            let stopped = lifecycle.wait_for(|stage| *stage == Lifecycle::Stopped);
            tokio::select! {
                () = self.take_late_logins(listener, span) => {}
                _ = stopped => {}
            }
        }
        self.metrics.accepting.set(false);
        self.login.borrow().door.stop();
        info!("no more clients are let in");
        for worker in 0..self.crew.len() {
            self.crew.tell(worker, Message::NoMoreClients);
        }
        self.room.no_more_clients();
    }

    async fn take_late_logins(self: &Rc<Front>, listener: &Listener, span: Duration) {
        let begin = Instant::now();
        let latest = begin + LOGINS_END.min(span / 2);
        let earliest = begin + NEWS_TRAVELS.min(span / 4);
        let mut quiet_from = earliest;
        loop {
            let end = quiet_from.min(latest);
            tokio::select! {
                accepted = listener.accept() => {
                    self.take_in(accepted).await;
                    quiet_from = earliest.max(Instant::now() + QUIET);
                }
                () = sleep_until(end) => break,
            }
        }
    }
}
