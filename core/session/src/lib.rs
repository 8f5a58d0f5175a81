//! One client and one server connection: what may pass between them, and when they may part.
//!
//! The crate moves bytes from one buffer to another and keeps the two models true to each other; it
//! has no sockets, no clock and no pool. In reading order:
//!
//! - [`lexer`]: may this text change session state?
//! - [`statements`]: prepared statements, by text; which of them a server holds;
//! - [`parameters`]: what a client wants set, what a server has set;
//! - [`replies`]: what a server still owes, and to whom;
//! - [`server`]: the model of one server connection, fed with what the server sends;
//! - [`client`]: the rules for each message of a client.

pub mod client;
pub mod lexer;
pub mod parameters;
pub mod replies;
pub mod server;
pub mod statements;

pub use client::{Fatal, Output, Pause, Session, Taken};
pub use server::{Confused, Server};
pub use statements::Statements;

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
    /// Moves as much of `input` as belongs to the message; answers how many bytes that was.
    fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let (left, forward) = match *self {
            Rest::Header => return 0,
            Rest::Forward(left) => (left, true),
            Rest::Skip(left) => (left, false),
        };
        let count = input.len().min(left as usize);
        if forward {
            out.extend_from_slice(&input[..count]);
        }
        let left = left - count as u32;
        *self = match left {
            0 => Rest::Header,
            left if forward => Rest::Forward(left),
            left => Rest::Skip(left),
        };
        count
    }
}

#[cfg(test)]
mod tests;
