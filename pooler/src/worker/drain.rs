//! The end of a worker: each client ends at its transaction's end, spread over time, while the last
//! logins still come.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

use super::Worker;
use crate::clock::{sleep, timeout};
use crate::lifecycle::{Lifecycle, NEWS_TRAVELS};
use crate::roster::Ending;

/// Clients are sent away in so many groups, one after the other.
const GROUPS: u32 = 20;
/// Clients that are cut have so long to hear it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the last clients are looked for.
const LOOK: Duration = Duration::from_millis(50);

impl Worker {
    /// Ends when all clients are gone, or the drain's time is over.
    pub(super) async fn drain(self: &Rc<Worker>, mut lifecycle: watch::Receiver<Lifecycle>) {
        let deadline = match *lifecycle.borrow() {
            Lifecycle::Serving => return,
            Lifecycle::Draining { deadline } => deadline,
            // The news before was missed.
            Lifecycle::Stopped => Instant::now(),
        };
        let stopped = async move {
            let _ = lifecycle.wait_for(|stage| *stage == Lifecycle::Stopped).await;
        };
        let orderly = async {
            let span = deadline.saturating_duration_since(Instant::now());
            self.send_away(span).await;
            while self.roster.len() > 0 || !self.no_more_clients.get() {
                if self.no_more_clients.get() {
                    self.stop_all();
                }
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = stopped => {}
            () = orderly => {}
        }
        info!(clients = self.roster.len(), "clients are gone, or their time is over");
        self.pools.shutdown();
        let _ = timeout(LAST_WORDS, self.cut_all()).await;
        if timeout(Duration::from_secs(1), self.pools.closed()).await.is_err() {
            self.treasury.leave_open();
        }
    }

    /// Asks the clients to end, group after group, over a quarter of the time there is.
    async fn send_away(&self, span: Duration) {
        let pause = NEWS_TRAVELS.min(span / 4) / GROUPS;
        for group in 0..GROUPS {
            sleep(pause).await;
            let chosen = |process_id: i32| process_id.unsigned_abs() % GROUPS == group;
            for slot in self.roster.all() {
                if chosen(slot.process_id) {
                    slot.stop();
                }
            }
        }
    }

    async fn cut_all(&self) {
        while self.roster.len() > 0 {
            self.roster.all().iter().for_each(|slot| slot.end(Ending::Cut));
            sleep(LOOK).await;
        }
    }

    fn stop_all(&self) {
        for slot in self.roster.all() {
            slot.stop();
        }
    }
}
