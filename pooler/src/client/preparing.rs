//! Makes a server connection the client's before its request goes there: without what another left,
//! with the client's settings. All that the pooler asks a server meanwhile has a limit, and where it
//! does not go through nothing of the request runs.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use poolwright_session::CANCELED;

use super::{Client, Over, farewell};
use crate::clock::timeout;
use crate::conn::RunError;
use crate::roster::{Ending, Slot, Standing};
use crate::worker::Lease;

/// How long a server may take for what the pooler asks it for a client.
const LIMIT: Duration = Duration::from_secs(10);

/// Why the pooler's own work on a connection did not come to its end.
pub(super) enum Unfinished {
    Failed(RunError),
    TookLong,
    /// The client must end.
    Ended(Ending),
}

impl Client {
    /// The connection was another client's, and nothing of that may be left, seen or unseen. `None`
    /// if the request was cancelled meanwhile (I6).
    pub(super) async fn reset_for_next(&mut self, mut lease: Lease) -> Result<Option<Lease>, Over> {
        self.tenant.counts.resets.add(1);
        self.slot.stand(Standing::Waiting);
        let reset = async { lease.reset().await.map_err(RunError::Lost) };
        let reset = bounded(&self.slot, reset).await;
        self.slot.stand(Standing::Idle);
        match reset {
            Ok(()) => Ok(self.unless_cancelled(lease)),
            Err(why) => Err(self.unprepared(lease, why)),
        }
    }

    /// The connection, unless the request was cancelled while it was made ready.
    pub(super) fn unless_cancelled(&mut self, lease: Lease) -> Option<Lease> {
        if !self.slot.take_cancelled() {
            return Some(lease);
        }
        self.worker.release(&self.tenant, lease);
        self.cancel_request();
        None
    }

    /// Makes the settings the client's, in a round trip of their own, which a cancel may hit.
    pub(super) async fn apply(&self, lease: &mut Lease) -> Result<(), Unfinished> {
        self.slot.stand(Standing::Active(Rc::clone(&lease.backend)));
        let applied = bounded(&self.slot, lease.apply(&self.conn.session.wanted)).await;
        self.slot.stand(Standing::Idle);
        applied
    }

    /// As [`Client::unprepared`], but what was canceled is the request, of which nothing was sent.
    pub(super) fn unprepared_for_request(
        &mut self,
        lease: Lease,
        why: Unfinished,
    ) -> Result<(), Over> {
        match why {
            Unfinished::Failed(RunError::Refused(failure)) if failure.sqlstate == CANCELED => {
                self.worker.release(&self.tenant, lease);
                self.refuse_canceled(&failure.message);
                Ok(())
            }
            why => Err(self.unprepared(lease, why)),
        }
    }

    /// Nothing of the client's request may run (I3b).
    pub(super) fn unprepared(&self, lease: Lease, why: Unfinished) -> Over {
        match why {
            Unfinished::Failed(RunError::Refused(failure)) => {
                self.worker.release(&self.tenant, lease);
                farewell(failure.sqlstate, failure.message)
            }
            Unfinished::Failed(RunError::Lost(lost)) => {
                lease.discard(lost.label());
                farewell("08006", format!("server connection lost: {lost}"))
            }
            Unfinished::TookLong => {
                self.worker.give_up(&self.tenant, lease);
                farewell("08006", "server connection lost: it did not answer in time")
            }
            Unfinished::Ended(ending) => {
                self.worker.give_up(&self.tenant, lease);
                ending.into()
            }
        }
    }
}

/// What comes of `work`, within the limit.
pub(super) async fn bounded<T>(
    slot: &Slot,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, Unfinished> {
    match unless_ended(slot, timeout(LIMIT, work)).await {
        Ok(Ok(done)) => done.map_err(Unfinished::Failed),
        Ok(Err(_)) => Err(Unfinished::TookLong),
        Err(ending) => Err(Unfinished::Ended(ending)),
    }
}

/// What comes of `work`, unless the client must end before.
pub(super) async fn unless_ended<T>(
    slot: &Slot,
    work: impl Future<Output = T>,
) -> Result<T, Ending> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        slot.expect(cx);
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => slot.ending().map_or(Poll::Pending, |it| Poll::Ready(Err(it))),
        }
    })
    .await
}
