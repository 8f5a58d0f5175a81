//! A server connection in somebody's hands. Who panics with one in hand loses the connection, and
//! the pools get its slot back. It decides nothing else.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use poolwright_pool::ConnId;

use super::Worker;
use crate::conn::ServerConn;

/// A server connection and its number in the pools.
pub struct Lease {
    worker: Rc<Worker>,
    id: ConnId,
    /// Empty only once it has been handed on.
    conn: Option<Box<ServerConn>>,
}

impl Lease {
    pub fn new(worker: Rc<Worker>, id: ConnId, conn: Box<ServerConn>) -> Lease {
        Lease { worker, id, conn: Some(conn) }
    }

    pub fn give_back(mut self) {
        if let Some(conn) = self.conn.take() {
            self.worker.pools.give_back(self.id, conn);
        }
    }

    /// Closes a connection that nobody may use again. `reason` is a fixed metric label.
    pub fn discard(mut self, reason: &'static str) {
        self.close(reason);
    }

    fn close(&mut self, reason: &'static str) {
        if let Some(conn) = self.conn.take() {
            self.worker.metrics.server_disconnected(reason);
            self.worker.pools.discard(self.id, conn);
        }
    }
}

impl Deref for Lease {
    type Target = ServerConn;

    fn deref(&self) -> &ServerConn {
        self.conn.as_ref().expect("a lease in use has its connection")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut ServerConn {
        self.conn.as_mut().expect("a lease in use has its connection")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.close("defect");
        }
    }
}
