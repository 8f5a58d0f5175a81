//! One client and one server connection: what may pass between them, and when they may part.
//!
//! The crate moves bytes from one buffer to another and keeps the two models true to each other; it
//! has no sockets, no clock and no pool. In reading order:
//!
//! - [`doubts`]: what of a session's state may have changed;
//! - [`lexer`]: may this text change session state?
//! - [`statements`]: prepared statements, by text; which of them a server holds;
//! - [`parameters`]: what a client wants set, what a server has set;
//! - [`survey`]: what a server is asked about its session, and what its answer means;
//! - [`replies`]: what a server still owes, and to whom;
//! - `sink`: bytes on their way to the client;
//! - [`server`]: the model of one server connection, fed with what the server sends;
//! - [`client`]: the rules for each message of a client;
//! - [`replication`]: what a connection is doing that is not pooled;
//! - [`mutation`]: faults that tests ask for.

pub mod client;
pub mod doubts;
pub mod lexer;
pub mod mutation;
pub mod parameters;
pub mod replication;
pub mod replies;
pub mod server;
mod sink;
pub mod statements;
pub mod survey;

pub use client::{Fatal, Kind, Output, Pause, Session, State, Taken};
pub use server::{CANCELED, Confused, Pace, Received, Server};
pub use statements::Statements;
pub use survey::Pins;

/// What is left of a message whose start has been dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// Nothing: a header comes next.
    #[default]
    Header,
    /// This many bytes go to the other side.
    Forward(u32),
    /// This many bytes go nowhere.
    Skip(u32),
}

impl Rest {
    /// Takes as much of `available` bytes as belongs to the message; answers how many those are,
    /// and whether they go to the other side.
    fn take(&mut self, available: usize) -> (usize, bool) {
        let (left, forward) = match *self {
            Rest::Header => return (0, false),
            Rest::Forward(left) => (left, true),
            Rest::Skip(left) => (left, false),
        };
        let count = available.min(left as usize);
        let left = left - count as u32;
        *self = match left {
            0 => Rest::Header,
            left if forward => Rest::Forward(left),
            left => Rest::Skip(left),
        };
        (count, forward)
    }
}

#[cfg(test)]
mod tests;
