//! What the shell needs to know about server connections, and nothing more.

use std::task::{Context, Poll};

use poolwright_pool::PoolId;

/// A login that failed. The server has no backend of it any more.
#[derive(Debug)]
pub struct OpenError {
    /// False: trying again changes nothing until somebody acts (credentials, database).
    pub retry: bool,
    /// What the clients that wait may read.
    pub reason: String,
}

/// Makes server connections and ends them.
pub trait Connector: 'static {
    type Conn: 'static;

    /// Logs in for a pool. Bounded in time.
    ///
    /// # Errors
    /// [`OpenError`], after the server has hung up on the attempt.
    fn open(&self, pool: PoolId) -> impl Future<Output = Result<Self::Conn, OpenError>>;

    /// Says goodbye and waits for the server's end of the connection: until then the slot is taken.
    fn close(&self, conn: Self::Conn) -> impl Future<Output = ()>;

    /// Watches a resting connection: ready, with a fixed metric label, when it must be closed.
    fn poll_idle(&self, conn: &mut Self::Conn, cx: &mut Context<'_>) -> Poll<&'static str>;

    /// A resting connection has rested for long.
    fn grows_stale(&self, conn: &mut Self::Conn);

    /// A connection that worked is about to be closed, for this reason: a fixed metric label.
    fn disconnected(&self, reason: &'static str);
}
