//! What holds for one pool, and how the settings of a database and a user make it up.
//! Never knows whose pool it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Span, defaults, raw};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolMode {
    Transaction,
    Session,
    /// As `Transaction`, and no transaction outlives a simple query or a pipeline up to its Sync.
    Statement,
}

/// What becomes of a client in transaction mode whose session has state that cannot follow it to
/// another server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pinning {
    /// It keeps the connection until the server says that the state is gone.
    Pin,
    /// Its statement is refused, or, where only the server could tell, its session ends.
    Error,
    /// The state is lost at the end of the transaction, settings too.
    Off,
}

/// What becomes of currval and lastval in transaction mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sequences {
    /// Refused outside the transaction of a nextval.
    Refuse,
    /// A client that may have called nextval keeps its server connection.
    Pin,
}

/// What is done to a server connection that goes from one client to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// What the first is known to have left is undone.
    Tracked,
    /// The same, and DISCARD ALL.
    Strict,
}

/// One pool: the server connections of one (database, user).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    pub mode: PoolMode,
    /// 1 or more.
    pub size: u32,
    /// Kept open once the pool has been used; at most `size`.
    pub min: u32,
    /// Beyond `size`, for waits longer than `reserve_timeout`.
    pub reserve: u32,
    pub reserve_timeout: Duration,
    /// None: a client waits for ever.
    pub wait_timeout: Option<Duration>,
    /// None: a client that waits is told nothing.
    pub query_wait_notify: Option<Duration>,
    pub patience: Patience,
    pub idle_timeout: Duration,
    /// Each connection draws its lifetime from this range; first ≤ second.
    pub lifetime: (Duration, Duration),
    pub pinning: Pinning,
    /// How long a pinned client may be idle in a pool of one connection. None: for ever.
    pub pin_timeout: Option<Duration>,
    pub sequences: Sequences,
    pub isolation: Isolation,
    /// Functions that leave a session as it is: names, or names behind a schema and a dot.
    pub harmless_functions: Vec<String>,
}

/// How long a client may take; `None`: as long as it likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// For one request, from when a server has it.
    pub query: Option<Duration>,
    /// Between two requests of a transaction.
    pub idle_transaction: Option<Duration>,
    pub transaction: Option<Duration>,
    /// Between two transactions.
    pub client_idle: Option<Duration>,
}

impl Default for PoolSettings {
    fn default() -> PoolSettings {
        PoolSettings {
            mode: defaults::POOL_MODE,
            size: defaults::POOL_SIZE,
            min: defaults::POOL_MIN,
            reserve: defaults::POOL_RESERVE,
            reserve_timeout: defaults::RESERVE_TIMEOUT,
            wait_timeout: Some(defaults::WAIT_TIMEOUT),
            query_wait_notify: Some(defaults::QUERY_WAIT_NOTIFY),
            patience: Patience::default(),
            idle_timeout: defaults::IDLE_TIMEOUT,
            lifetime: defaults::LIFETIME,
            pinning: defaults::PINNING,
            pin_timeout: Some(defaults::PIN_TIMEOUT),
            sequences: defaults::SEQUENCES,
            isolation: defaults::ISOLATION,
            harmless_functions: Vec::new(),
        }
    }
}

impl PoolSettings {
    /// These, with what `own` says in their place; `min` goes no further than `size`.
    pub fn with(&self, own: &raw::Pool) -> PoolSettings {
        let span = |own: Option<Span>, base: Duration| own.map_or(base, |span| span.0);
        let limit = |own: Option<Span>, base: Option<Duration>| match own {
            Some(span) => Some(span.0).filter(|span| !span.is_zero()),
            None => base,
        };
        let size = own.size.unwrap_or(self.size);
        let patience = &self.patience;
        PoolSettings {
            mode: own.mode.unwrap_or(self.mode),
            size,
            min: own.min.unwrap_or(self.min).min(size),
            reserve: own.reserve.unwrap_or(self.reserve),
            reserve_timeout: span(own.reserve_timeout, self.reserve_timeout),
            wait_timeout: limit(own.wait_timeout, self.wait_timeout),
            query_wait_notify: limit(own.query_wait_notify, self.query_wait_notify),
            patience: Patience {
                query: limit(own.query_timeout, patience.query),
                idle_transaction: limit(own.idle_transaction_timeout, patience.idle_transaction),
                transaction: limit(own.transaction_timeout, patience.transaction),
                client_idle: limit(own.client_idle_timeout, patience.client_idle),
            },
            idle_timeout: span(own.idle_timeout, self.idle_timeout),
            lifetime: own.lifetime.map_or(self.lifetime, |range| (range.from.0, range.to.0)),
            pinning: own.pinning.unwrap_or(self.pinning),
            pin_timeout: limit(own.pin_timeout, self.pin_timeout),
            sequences: own.sequences.unwrap_or(self.sequences),
            isolation: own.isolation.unwrap_or(self.isolation),
            harmless_functions: own
                .harmless_functions
                .clone()
                .unwrap_or_else(|| self.harmless_functions.clone()),
        }
    }
}
