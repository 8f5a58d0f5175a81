//! One client: its session, what it has still to send, and what it may see.

use poolwright_pool::{ConnId, PoolId};
use poolwright_session::Session;

/// Where its request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Idle,
    Waiting,
    Served(ConnId),
}

pub struct Client {
    pub session: Session,
    pub pool: PoolId,
    pub standing: Standing,
    /// To be sent.
    pub script: Vec<u8>,
    /// Sent, not yet dealt with.
    pub input: Vec<u8>,
    /// Its rows say `mark N.`
    pub mark: usize,
    /// The end of what it has received.
    tail: Vec<u8>,
    /// How long it wants to be served.
    pub units: usize,
}

/// No mark is longer.
const MARK: usize = 16;

impl Client {
    pub fn new(session: Session, pool: PoolId, mark: usize, units: usize) -> Client {
        Client {
            session,
            pool,
            standing: Standing::Idle,
            script: Vec::new(),
            input: Vec::new(),
            mark,
            tail: Vec::new(),
            units,
        }
    }

    /// Takes in what it is sent; a row of somebody else is the end (I8, I9).
    pub fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.tail.extend_from_slice(bytes);
        let own = format!("mark {}.", self.mark).into_bytes();
        for at in 0..self.tail.len() {
            let rest = &self.tail[at..];
            if rest.len() >= MARK && rest.starts_with(b"mark ") {
                let seen = rest[..own.len()].escape_ascii();
                assert!(rest.starts_with(&own), "client {} sees {seen}", self.mark);
            }
        }
        let kept = self.tail.len().saturating_sub(MARK);
        self.tail.drain(..kept);
    }

    pub fn is_done(&self) -> bool {
        self.units == 0 && self.script.is_empty() && self.input.is_empty()
    }
}
