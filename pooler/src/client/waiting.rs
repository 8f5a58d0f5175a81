//! A client whose request waits for a server connection: it may leave, be cancelled or be refused,
//! and nothing of the request has been sent anywhere.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use poolwright_pool::{ConnId, Refusal};
use poolwright_session::Output;
use poolwright_wire::write::{self, ErrorFields};
use tokio::io::ReadBuf;
use tracing::info;

use super::{Client, Over, canceled, farewell};
use crate::clock::timeout;
use crate::conn::ServerConn;
use crate::dialer::Dialer;
use crate::patience::Phase;
use crate::pools::Acquire;
use crate::roster::Standing;
use crate::worker::Lease;

/// How long a connection that has rested may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

type Acquired = Result<(ConnId, Box<ServerConn>), Refusal>;

impl Client {
    /// A server connection that rests.
    pub(super) fn lease_at_once(&self) -> Option<Lease> {
        let (id, conn) = self.worker.pools.take_resting(self.tenant.pool)?;
        Some(Lease::new(Rc::clone(&self.worker), id, conn))
    }

    /// Waits for a server connection that works, if `at_once` is none; `None` if the request was
    /// cancelled meanwhile (I6).
    pub(super) async fn wait(&mut self, at_once: Option<Lease>) -> Result<Option<Lease>, Over> {
        let waited = match at_once {
            None => self.wait_for_any().await?,
            at_once => at_once,
        };
        match waited {
            Some(lease) if lease.is_stale => Box::pin(self.find_working(lease)).await,
            waited => Ok(waited),
        }
    }

    /// Asks connections that have rested for long, until one answers or the client has waited for long
    /// enough.
    async fn find_working(&mut self, mut lease: Lease) -> Result<Option<Lease>, Over> {
        let since = Instant::now();
        let limit = self.tenant.wait_timeout.get().unwrap_or(Duration::MAX);
        let left = || limit.saturating_sub(since.elapsed());
        loop {
            self.slot.stand(Standing::Waiting);
            let checked = self.check(lease, left().min(CHECK_TIMEOUT)).await;
            self.slot.stand(Standing::Idle);
            if let Some(working) = checked {
                return Ok(self.unless_cancelled(working));
            }
            if self.slot.take_cancelled() {
                self.cancel_request();
                return Ok(None);
            }
            if left().is_zero() {
                return Err(late());
            }
            match timeout(left(), self.wait_for_any()).await {
                Ok(Ok(Some(other))) if other.is_stale => lease = other,
                Ok(waited) => return waited,
                Err(_) => return Err(self.worker.pools.why_late(self.tenant.pool).into()),
            }
        }
    }

    /// Asks a connection that has rested for long; `None`: it did not answer, and is closed.
    async fn check(&self, mut lease: Lease, limit: Duration) -> Option<Lease> {
        match timeout(limit, lease.check()).await {
            Ok(Ok(())) => Some(lease),
            failed => {
                let why = failed.map_or_else(|_| "no answer".to_owned(), |it| format!("{it:?}"));
                info!(database = %self.tenant.database, why, "idle connection does not work");
                lease.discard("check_failed");
                None
            }
        }
    }

    async fn wait_for_any(&mut self) -> Result<Option<Lease>, Over> {
        let pools = Rc::clone(&self.worker.pools);
        let mut acquire = pools.acquire(self.tenant.pool, self.id());
        if let Some(done) = acquire.at_once() {
            return self.leased(done).map(Some);
        }
        let since = Instant::now();
        self.slot.stand(Standing::Waiting);
        let waited = self.wait_in_queue(acquire).await;
        self.slot.stand(Standing::Idle);
        self.tenant.counts.client_wait.add(since.elapsed());
        if let Ok(None) = waited {
            self.cancel_request();
        }
        waited
    }

    fn leased(&self, done: Acquired) -> Result<Lease, Over> {
        let (id, conn) = done?;
        Ok(Lease::new(Rc::clone(&self.worker), id, conn))
    }

    async fn wait_in_queue(&mut self, acquire: Acquire<'_, Dialer>) -> Result<Option<Lease>, Over> {
        let mut acquire = pin!(acquire);
        let told = self.tenant.query_wait_notify.get().is_some() && self.greeted;
        let _watched = told.then(|| self.watched(Phase::Queued));
        let mut watching = true;
        poll_fn(|cx| {
            self.slot.expect(cx);
            // First: a connection that has come in the same turn goes back.
            if self.slot.take_cancelled() {
                return Poll::Ready(Ok(None));
            }
            if let Poll::Ready(done) = acquire.as_mut().poll(cx) {
                return Poll::Ready(self.leased(done).map(Some));
            }
            if self.slot.take_notified() {
                self.tell_queued();
            }
            self.poll_output(cx)?;
            if watching {
                match self.poll_gone(cx) {
                    Poll::Ready(true) => {
                        let why = "the client left while its request waited".to_owned();
                        return Poll::Ready(Err(Over::Lost(why)));
                    }
                    Poll::Ready(false) => watching = false,
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whether the client hung up; ready with false if it has sent more, behind which nothing shows.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut byte = [0; 1];
        let mut buf = ReadBuf::new(&mut byte);
        let Ok(tcp) = self.conn.stream.tcp() else { return Poll::Ready(true) };
        tcp.poll_peek(cx, &mut buf).map(|peeked| !matches!(peeked, Ok(1..)))
    }

    fn tell_queued(&mut self) {
        let notice = ErrorFields {
            severity: "NOTICE",
            sqlstate: "00000",
            message: "no server connection is free: the request is queued",
            ..ErrorFields::default()
        };
        write::notice_response(&mut self.conn.output, &notice);
    }

    pub(super) fn cancel_request(&mut self) {
        self.refuse_canceled("canceling statement due to user request");
    }

    /// The request, of which nothing was sent, ends with 57014.
    pub(super) fn refuse_canceled(&mut self, message: &str) {
        let mut out = Output::default();
        self.conn.session.refuse_request(&self.conn.input, &canceled(message), &mut out);
        self.queue(out);
    }
}

fn late() -> Over {
    farewell("08P01", "query_wait_timeout: the server connections at rest did not answer in time")
}
