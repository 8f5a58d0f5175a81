//! A client between requests: no server connection, no buffer, no timer of its own.

use std::future::poll_fn;
use std::task::{Context, Poll};

use poolwright_session::{Output, Pause};

use super::{Client, Over, Watched, shutdown};
use crate::patience::Phase;
use crate::relay::poll_client;

impl Client {
    /// Until the client has sent something that needs a server.
    pub(super) fn idle(&mut self) -> impl Future<Output = Result<(), Over>> {
        let limited = self.tenant.patience.get().client_idle.is_some();
        let watched = limited.then(|| self.watched(Phase::Idle));
        poll_fn(move |cx| self.poll_idle(watched.as_ref(), cx))
    }

    fn poll_idle(
        &mut self,
        watched: Option<&Watched>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Over>> {
        self.slot.expect(cx);
        loop {
            self.poll_output(cx)?;
            let heard = self.conn.output.is_empty();
            if let Some(ending) = self.slot.ending() {
                return Poll::Ready(Err(ending.into()));
            }
            if self.slot.is_stopping() && heard {
                return Poll::Ready(Err(shutdown()));
            }
            if !heard {
                return Poll::Pending;
            }
            if self.look()? {
                return Poll::Ready(Ok(()));
            }
            if !self.conn.output.is_empty() {
                continue;
            }
            self.free_buffers();
            match poll_client(&mut self.conn, &self.worker.spares, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.hung_up())),
                Poll::Ready(Ok(_)) => {
                    if let Some(watched) = watched {
                        self.worker.watch.enter(&watched.post, Phase::Idle);
                    }
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Over::Lost(error.to_string())));
                }
            }
        }
    }

    fn free_buffers(&mut self) {
        self.conn.output = Vec::new();
        self.conn.free_input(&self.worker.spares);
    }

    /// Deals with what was sent; true once a server is needed.
    fn look(&mut self) -> Result<bool, Over> {
        if self.conn.input.is_empty() {
            return Ok(false);
        }
        let mut out = Output::default();
        let taken = self.conn.session.send(None, &self.conn.input, &mut out);
        self.conn.input.drain(..taken.consumed);
        self.queue(out);
        match taken.pause {
            Pause::NeedServer => Ok(true),
            Pause::More(_) | Pause::Hold | Pause::Crowd => Ok(false),
            Pause::Terminate => Err(Over::Left),
            Pause::Fatal(fatal) => Err(fatal.into()),
        }
    }

    fn hung_up(&self) -> Over {
        match self.conn.input.is_empty() && self.conn.session.at_boundary() {
            true => Over::Left,
            false => Over::Lost("the connection ended inside a message".to_owned()),
        }
    }
}
