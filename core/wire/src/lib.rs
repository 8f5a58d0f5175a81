//! PostgreSQL's protocol 3, as bytes and as borrowed messages: this crate turns one into the other
//! and knows what a login needs (startup packets, SCRAM, cancel keys).
//!
//! It never touches a socket, a clock or a source of randomness, never copies a body, and no bytes
//! make it panic. In reading order:
//!
//! - [`client`] and [`server`]: the tag of each message, by who sends it;
//! - [`header`](mod@header): where a message ends, from its first five bytes;
//! - [`read`](mod@read): bodies → fields that borrow from them;
//! - [`write`](mod@write): fields → bytes, appended to a buffer;
//! - [`startup`]: the packets that have no tag: startup, TLS request, cancel request;
//! - [`scram`]: SCRAM-SHA-256, both sides;
//! - [`proxy`]: what a load balancer says ahead of them;
//! - [`md5`]: the secrets and answers of Postgres's older method.

pub mod client;
pub mod error;
pub mod header;
pub mod md5;
pub mod proxy;
pub mod read;
pub mod scram;
pub mod server;
pub mod startup;
pub mod write;

pub use error::WireError;
pub use header::{Header, MAX_LENGTH, header};

/// What a cancel request names: the server process, and the secret that proves the right to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelKey<'a> {
    /// The process that serves the session.
    pub process_id: i32,
    /// Four bytes in protocol 3.0, up to 256 in 3.2.
    pub secret: &'a [u8],
}

/// The state that ReadyForQuery reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// `I`: no transaction.
    Idle,
    /// `T`: in a transaction block.
    Open,
    /// `E`: in a transaction block that failed; only its end is accepted.
    Failed,
}

/// What Describe and Close speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// `S`: a prepared statement.
    Statement,
    /// `P`: a portal.
    Portal,
}
