//! The end of a worker: still serving while logins come, since the news of a pod's end travels
//! slowly; then each client ends at its transaction's end, spread over time; then the door closes.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use super::Worker;
use crate::lifecycle::Lifecycle;
use crate::login::Admission;

/// Logins are taken at least so long after the end was asked for,
const NEWS_TRAVELS: Duration = Duration::from_secs(5);
/// until none has come for so long,
const QUIET: Duration = Duration::from_secs(2);
/// and at most so long, where the drain has that much time.
const LOGINS_END: Duration = Duration::from_secs(20);
/// Clients are sent away in so many groups, one after the other.
const GROUPS: u32 = 20;
/// Clients that are cut have so long to hear it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the last clients are looked for.
const LOOK: Duration = Duration::from_millis(50);

impl Worker {
    /// Ends when all clients are gone, or the drain's time is over.
    pub(super) async fn drain(
        self: &Rc<Worker>,
        listener: TcpListener,
        mut lifecycle: watch::Receiver<Lifecycle>,
    ) {
        let Lifecycle::Draining { deadline } = *lifecycle.borrow() else { return };
        let stopped = async move {
            let _ = lifecycle.wait_for(|stage| *stage == Lifecycle::Stopped).await;
        };
        let orderly = async {
            let span = deadline.saturating_duration_since(Instant::now());
            tokio::join!(self.take_late_logins(listener, span), self.send_away(span));
            while self.roster.len() > 0 {
                self.stop_all();
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
        let _ = timeout(Duration::from_secs(1), self.pools.closed()).await;
    }

    async fn take_late_logins(self: &Rc<Worker>, listener: TcpListener, span: Duration) {
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
                () = tokio::time::sleep_until(end) => break,
            }
        }
        self.metrics.accepting.set(false);
        self.login.borrow().admission.set(Admission::Stopping);
        info!("no more clients are let in");
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
            self.roster.all().iter().for_each(|slot| slot.cut());
            sleep(LOOK).await;
        }
    }

    fn stop_all(&self) {
        for slot in self.roster.all() {
            slot.stop();
        }
    }
}
