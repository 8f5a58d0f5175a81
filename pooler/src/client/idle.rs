//! A client between requests: no server connection, no buffer, no timer.

use std::future::poll_fn;
use std::task::{Context, Poll};

use poolwright_session::{Output, Pause};

use super::{Client, Over, shutdown};
use crate::relay::poll_client;

impl Client {
    /// Until the client has sent something that needs a server.
    pub(super) async fn idle(&mut self) -> Result<(), Over> {
        poll_fn(|cx| self.poll_idle(cx)).await
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        self.slot.register(cx);
        loop {
            match self.look() {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(over) => return Poll::Ready(Err(over)),
            }
            self.poll_output(cx)?;
            if self.slot.is_stopping() && self.conn.output.is_empty() {
                return Poll::Ready(Err(shutdown()));
            }
            if self.conn.input.is_empty() {
                self.conn.input = Vec::new();
            }
            match poll_client(&mut self.conn, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.hung_up())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Over::Lost(error.to_string())));
                }
            }
        }
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
            Pause::More(_) | Pause::Hold => Ok(false),
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
