//! Slots lent between workers. Each worker has [`crate::Pools`] of its own, but the caps of a
//! server and of a database hold for the whole process: the [`Bank`] lends a cap's slots, one by
//! one, to the worker that lacks one most. Here is what the two say to each other; nothing here
//! decides.
//!
//! A worker speaks when it opens or closes a connection, when somebody waits in it and it has no
//! slot, and while that lasts, once in `Tuning::cost`. It never speaks for a transaction that
//! finds a connection. The bank answers at once with a [`Statement`], so worker and bank never
//! disagree; for the other workers it leaves [`News`], which may take its time and says no more
//! than that there is a new statement to be read.

mod bank;

use std::time::Duration;

use crate::ids::{DatabaseId, ServerId, UserId};

pub use bank::{Bank, News};

/// A cap under which several pools meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cap {
    Server(ServerId),
    Database(DatabaseId),
    /// Across servers and databases.
    User(UserId),
}

/// How much a worker's hungriest pool under a cap lacks a connection. The clocks of all workers
/// are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Connections that the pool has or was promised.
    pub has: u32,
    /// Since when its longest waiter waits.
    pub since: Duration,
    /// When the worker said so.
    pub told: Duration,
}

impl Want {
    /// The order in which wants are served: fewest connections first, then the longest wait.
    pub(crate) fn rank(&self) -> (u32, Duration) {
        (self.has, self.since)
    }

    /// Its longest waiter had waited for so long when the worker said so.
    pub(crate) fn waited(&self, long: Duration) -> bool {
        self.told >= self.since + long
    }
}

/// What a worker says about one cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It only wants the statement.
    Read,
    /// It has so many connections under a cap that is new to it, whatever the cap says.
    Hold(u32),
    /// It would use one more slot, if one is free.
    Borrow,
    /// It lacks a slot. Stands until one is lent or it is `Content`; said again, it replaces.
    Lack(Want),
    /// It lacks nothing any more.
    Content,
    /// It is about to close a connection for the neighbour whose want it has read. Granted, which
    /// [`Statement::yielding`] shows, if that want stands as it was read and nobody else has done so.
    Yield(Want),
    /// It has so many slots fewer; so many of them because of a `Yield`.
    Return { count: u32, yielded: u32 },
}

/// A worker's account for one cap.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Slots that are the worker's until it returns them.
    pub lent: u32,
    /// So many of them it must return, since the cap was lowered.
    pub owed: u32,
    /// So many it has promised to return for a neighbour.
    pub yielding: u32,
    /// Its `Lack` stands.
    pub lacking: bool,
    /// The hungriest of the other workers' wants that nobody has promised a slot.
    pub neighbour: Option<Want>,
}

/// A worker's way to the bank.
pub trait Lender {
    fn tell(&mut self, cap: Cap, word: Word) -> Statement;
}

/// For the only worker: it holds every cap itself and asks nobody.
#[derive(Debug)]
pub(crate) struct Nobody;

impl Lender for Nobody {
    fn tell(&mut self, _: Cap, _: Word) -> Statement {
        Statement::default()
    }
}
