//! What goes into the pools and what comes out. Values only; nothing here decides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{ClientId, ConnId, PoolId, ServerId};
use crate::lending::Cap;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client needs a connection of this pool. Answered by `Assign` or `Refuse`, perhaps later.
    Request { client: ClientId, pool: PoolId },
    /// A waiting client is gone or has cancelled. Ignored if it no longer waits.
    Abandon { client: ClientId },
    /// The login that `Open` asked for succeeded.
    Opened { conn: ConnId },
    /// The login failed and the server has no backend of it any more.
    /// `retry: false` says that the credentials or the database were refused.
    OpenFailed { conn: ConnId, retry: bool, reason: String },
    /// A client is done with the connection. `reuse: false`: the caller is
    /// closing it, and will report `Closed`. Also for an idle connection found sick.
    Returned { conn: ConnId, reuse: bool },
    /// The server's EOF was seen: the slot is free. Comes after `Close`, or
    /// unasked when the server ended an idle or busy connection.
    Closed { conn: ConnId },
    /// A connection on its way out takes long: whoever its slot was promised to need not wait for
    /// this one.
    Lingers { conn: ConnId },
    /// [`crate::Pools::next_deadline`] has come, or limits were changed.
    Timer,
    /// The bank has news for this worker: see [`crate::News`].
    News { cap: Cap },
    /// Retire every connection to the server: idle ones now, busy ones when returned.
    Reconnect { server: ServerId },
    /// The (database, user) is no longer served: its waiters are refused, its
    /// connections closed. [`crate::Pools::pool`] brings it back.
    Forget { pool: PoolId },
    /// The process ends: all waiters are refused, idle connections closed, busy ones when returned.
    Shutdown,
}

/// Something that the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Log in to the server; answer with `Opened` or `OpenFailed`.
    Open { conn: ConnId, pool: PoolId },
    /// The connection is the client's until `Returned`.
    Assign { client: ClientId, conn: ConnId },
    /// Say goodbye to the server, wait for its EOF, answer with `Closed`.
    Close { conn: ConnId, why: CloseReason },
    /// The client gets no connection; it no longer waits.
    Refuse { client: ClientId, why: Refusal },
}

/// Why a connection that worked is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// Idle for longer than the pool's `idle_timeout`.
    IdleTimeout,
    /// Older than its lifetime.
    Lifetime,
    /// Idle, and another pool needed the slot, here or in another worker.
    Evicted,
    /// Returned, and a pool with fewer connections waited longer, here or in another worker.
    Yielded,
    /// A cap was lowered.
    Excess,
    /// `Event::Reconnect`.
    Reconnect,
    /// `Event::Forget`.
    Forgotten,
    /// `Event::Shutdown`.
    Shutdown,
}

impl CloseReason {
    /// A fixed metric label.
    pub fn label(self) -> &'static str {
        match self {
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::Lifetime => "lifetime",
            CloseReason::Evicted => "evicted",
            CloseReason::Yielded => "yielded",
            CloseReason::Excess => "excess",
            CloseReason::Reconnect => "reconnect",
            CloseReason::Forgotten => "forgotten",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

/// What keeps clients waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// All so many connections of the pool are in use.
    Pool(u32),
    /// The user has as many connections, in all databases, as it may have.
    User,
    /// The database has.
    Database,
    /// The server has.
    Server,
    /// Logins are under way.
    Logins,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Pool(size) => write!(
                f,
                "the pool has all its {size} connections in use (pool.size and pool.reserve)"
            ),
            Limit::User => f.write_str(
                "the user has as many connections in all databases as it may (maxUserConnections)",
            ),
            Limit::Database => f.write_str(
                "the database has as many connections as it may (databases[].maxConnections)",
            ),
            Limit::Server => f.write_str(
                "this pooler has as many connections to the server as it may \
                 (servers[].maxConnections, or what the operator granted)",
            ),
            Limit::Logins => f.write_str("logins at the server took too long"),
        }
    }
}

/// Why a client gets no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It waited for the pool's `wait_timeout`, and this limit kept it waiting at the end.
    WaitTimeout(Limit),
    /// It waited for the `wait_timeout` while logins failed, since `since`.
    BackendDown { reason: Arc<str>, since: Duration },
    /// The server refused the pool's login for good.
    LoginRefused { reason: Arc<str> },
    /// The (database, user) is no longer served.
    Forgotten,
    /// The process ends.
    ShuttingDown,
}

impl Refusal {
    /// A fixed metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::WaitTimeout(_) => "wait_timeout",
            Refusal::BackendDown { .. } => "backend_down",
            Refusal::LoginRefused { .. } => "login_refused",
            Refusal::Forgotten => "forgotten",
            Refusal::ShuttingDown => "shutting_down",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::WaitTimeout(limit) => {
                write!(f, "query_wait_timeout: no server connection became free in time: {limit}")
            }
            Refusal::BackendDown { reason, .. } => {
                write!(f, "no server connection could be opened in time: {reason}")
            }
            Refusal::LoginRefused { reason } => {
                write!(f, "the server refused the pooler's login: {reason}")
            }
            Refusal::Forgotten => f.write_str("this database and user are no longer served here"),
            Refusal::ShuttingDown => f.write_str("the pooler is shutting down; connect again"),
        }
    }
}

impl std::error::Error for Refusal {}
