//! One server connection's state, and how many are in each. The one mover is `pools/moves.rs`.

use std::time::Duration;

use crate::ids::{ConnId, PoolId};
use crate::lending::Cap;

/// Where a connection is. It is in exactly one of these from `Open` to `Closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The login is under way.
    Opening,
    /// Open, with no client.
    Idle { since: Duration },
    /// A client has it.
    Busy,
    /// On its way out; the slot is not free yet, but promised to somebody who waits.
    Closing { promised: Option<Heir> },
}

impl State {
    /// Between its login and its goodbye.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, State::Idle { .. } | State::Busy)
    }
}

/// Who gets the slot of a connection on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heir {
    /// A pool that lacks a connection.
    Pool(PoolId),
    /// Another worker, which lacks a slot under this cap.
    Neighbour(Cap),
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) pool: PoolId,
    pub(crate) state: State,
    /// When the login succeeded.
    pub(crate) opened: Duration,
    /// When its lifetime ends.
    pub(crate) expires: Duration,
    /// The server's epoch at the start of the login; an older one is retired.
    pub(crate) epoch: u32,
}

impl Conn {
    pub(crate) fn new(id: ConnId, pool: PoolId, epoch: u32) -> Conn {
        let (opened, expires) = (Duration::ZERO, Duration::MAX);
        Conn { id, pool, state: State::Opening, opened, expires, epoch }
    }
}

/// Connections by state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub opening: u32,
    pub idle: u32,
    pub busy: u32,
    pub closing: u32,
}

impl Tally {
    /// All that count against a cap.
    pub fn open(&self) -> u32 {
        self.opening + self.idle + self.busy + self.closing
    }

    /// All that are not on their way out.
    pub fn live(&self) -> u32 {
        self.opening + self.idle + self.busy
    }

    pub(crate) fn slot(&mut self, state: &State) -> &mut u32 {
        match state {
            State::Opening => &mut self.opening,
            State::Idle { .. } => &mut self.idle,
            State::Busy => &mut self.busy,
            State::Closing { .. } => &mut self.closing,
        }
    }
}
