//! The numbers that bound servers, databases and pools. Plain values, checked by whoever read them.

use std::time::Duration;

use crate::ids::ServerId;

/// What this process may hold to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most connections, counted from the start of a login to the server's EOF. Where slots are
    /// lent, the bank's cap holds instead.
    pub max: u32,
    /// Most login attempts at once; at least 1 is needed to open anything.
    pub logins: u32,
}

/// What this process may hold to one logical database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseLimits {
    pub server: ServerId,
    /// Most connections of all the database's pools together. Where slots are lent, the bank's cap
    /// holds instead.
    pub max: u32,
}

/// What one (database, user) may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLimits {
    /// Most connections in normal times.
    pub size: u32,
    /// Connections that stay open once the pool has been used.
    pub min: u32,
    /// Connections beyond `size` for waits longer than `reserve_timeout`.
    pub reserve: u32,
    pub reserve_timeout: Duration,
    /// A client that waits longer is refused; `None` waits for ever.
    pub wait_timeout: Option<Duration>,
    /// A connection idle for longer is closed, down to `min`.
    pub idle_timeout: Duration,
    /// A connection's life is uniformly random between the two.
    pub lifetime: (Duration, Duration),
}

/// The constants of fairness and patience. The defaults suit a Postgres whose
/// login costs some tens of milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// A connection must have lived this long before it is closed for another
    /// pool: what it cost must have been worth it.
    pub cost: Duration,
    /// A pool that has connections may take another's spare one only when that
    /// has been idle for this long.
    pub settled: Duration,
    /// First pause after a failed login; doubles up to `backoff_max`, each
    /// shortened by a random part of up to a half.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// How long refused credentials answer new requests without a new login.
    pub refused: Duration,
    /// Connections of one server that may be closing because of their age at once.
    pub retiring: u32,
    /// How long an expired connection waits for its replacement, or for its turn to close.
    pub grace: Duration,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            cost: Duration::from_millis(500),
            settled: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            refused: Duration::from_secs(1),
            retiring: 4,
            grace: Duration::from_secs(2),
        }
    }
}
