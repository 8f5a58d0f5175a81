//! Which backend serves a connection, and the cancels that are under way to it (I5). It sends none.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use poolwright_session::mutation::{self, Mutation};

use super::Lost;
use crate::server::ServerTarget;

/// Who serves the connection, for those who want it cancelled.
// In this order in memory: what every request touches stands together.
#[repr(C)]
pub struct Backend {
    /// Cancels sent that Postgres has not confirmed by closing their connection (invariant I5).
    unconfirmed: Cell<u32>,
    /// A cancel was sent, or may have been, that nobody will confirm.
    lost_cancel: Cell<bool>,
    /// How its server is spoken to: as the settings have it today, while they have it there.
    pub target: Rc<RefCell<ServerTarget>>,
    pub addr: SocketAddr,
    pub process_id: i32,
    pub secret: Vec<u8>,
    waiter: RefCell<Option<Waker>>,
}

impl Backend {
    pub fn new(
        target: Rc<RefCell<ServerTarget>>,
        addr: SocketAddr,
        process_id: i32,
        secret: Vec<u8>,
    ) -> Backend {
        let (unconfirmed, lost_cancel, waiter) = Default::default();
        Backend { target, addr, process_id, secret, unconfirmed, lost_cancel, waiter }
    }

    pub fn cancel_sent(&self) {
        self.unconfirmed.set(self.unconfirmed.get() + 1);
    }

    pub fn cancel_confirmed(&self) {
        self.cancel_ended();
    }

    pub fn cancel_lost(&self) {
        self.lost_cancel.set(true);
        self.cancel_ended();
    }

    fn cancel_ended(&self) {
        self.unconfirmed.set(self.unconfirmed.get() - 1);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// A cancel may still hit: nobody else may have the connection.
    pub fn awaits_cancel(&self) -> bool {
        let awaits = self.unconfirmed.get() > 0 || self.lost_cancel.get();
        awaits && !mutation::is(Mutation::CancelNotAwaited)
    }

    /// Waits until every cancel is confirmed.
    ///
    /// # Errors
    /// [`Lost::Cancel`]: one never will be.
    pub async fn cancels_confirmed(&self) -> Result<(), Lost> {
        poll_fn(|cx| {
            if self.lost_cancel.get() {
                return Poll::Ready(Err(Lost::Cancel));
            }
            if self.unconfirmed.get() == 0 || mutation::is(Mutation::CancelNotAwaited) {
                return Poll::Ready(Ok(()));
            }
            self.waiter.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }
}
