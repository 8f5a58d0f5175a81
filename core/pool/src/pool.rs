//! What is remembered of one pool, one database and one server. They answer
//! questions about themselves and never change anything else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::conn::Tally;
use crate::ids::{ConnId, DatabaseId, PoolId, ServerId, UserId};
use crate::lending::{Statement, Want};
use crate::limits::{DatabaseLimits, PoolLimits, ServerLimits};
use crate::queue::Queue;
use crate::ranking::{Hunger, Ranking};

/// What is known of a pool whose last login failed.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) attempts: u32,
    /// No login before.
    pub(crate) until: Duration,
    /// `until` has not come yet, as far as the timer has told.
    pub(crate) paused: bool,
    /// The server refused the login for good.
    pub(crate) refused: bool,
    pub(crate) reason: Arc<str>,
    /// The first failure.
    pub(crate) since: Duration,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) database: DatabaseId,
    pub(crate) user: Box<str>,
    pub(crate) limits: PoolLimits,
    pub(crate) tally: Tally,
    /// Longest idle in front; reuse takes from the back.
    pub(crate) idle: VecDeque<ConnId>,
    pub(crate) waiters: Queue,
    /// Closing connections of other pools whose slots were promised to this one.
    pub(crate) promised: u32,
    /// Its longest waiter has waited for `reserve_timeout`: the reserve is open.
    pub(crate) pressed: bool,
    /// It has had a request, so `min` holds.
    pub(crate) used: bool,
    pub(crate) forgotten: bool,
    pub(crate) failing: Option<Box<Failing>>,
    /// Whose connections are counted together; none: nobody's.
    pub(crate) cap: Option<UserId>,
    /// Its entry in the user's `hungry`.
    pub(crate) hunger: Option<Hunger>,
    /// Where that entry is.
    pub(crate) user_rank: u32,
    /// Its entry in the database's `hungry`: the same, while its user is below the cap.
    pub(crate) listed: Option<Hunger>,
    /// Where that entry is.
    pub(crate) rank: u32,
    /// Its place in the server's `resting`.
    pub(crate) resting: Option<usize>,
    pub(crate) armed: Option<Duration>,
}

impl Pool {
    pub(crate) fn new(database: DatabaseId, user: &str, limits: PoolLimits) -> Pool {
        Pool {
            database,
            user: user.into(),
            limits,
            tally: Tally::default(),
            idle: VecDeque::new(),
            waiters: Queue::new(),
            promised: 0,
            pressed: false,
            used: false,
            forgotten: false,
            failing: None,
            cap: None,
            hunger: None,
            user_rank: 0,
            listed: None,
            rank: 0,
            resting: None,
            armed: None,
        }
    }

    /// Most connections right now.
    pub(crate) fn capacity(&self) -> u32 {
        let reserve = if self.pressed { self.limits.reserve } else { 0 };
        self.limits.size.saturating_add(reserve)
    }

    /// Most connections ever: what has used the reserve may stay until it is idle.
    pub(crate) fn ceiling(&self) -> u32 {
        self.limits.size.saturating_add(self.limits.reserve)
    }

    /// Connections that it has or was promised.
    pub(crate) fn share(&self) -> u32 {
        self.tally.live() + self.promised
    }

    /// No login may start now.
    pub(crate) fn barred(&self) -> bool {
        self.forgotten || self.failing.as_ref().is_some_and(|failing| failing.paused)
    }

    /// Room under its own size for one more login.
    pub(crate) fn has_room(&self) -> bool {
        self.tally.open() + self.promised < self.capacity()
    }

    /// Its place in the order of those that lack a connection, if it lacks one.
    pub(crate) fn hunger(&self, id: PoolId) -> Option<Hunger> {
        let since = self.waiters.head_since()?;
        // A pool whose logins fail tries one at a time.
        let wanted = if self.failing.is_some() { 1 } else { self.waiters.len() };
        let coming = self.tally.opening + self.promised;
        let hungry = wanted > coming && self.has_room() && !self.barred();
        hungry.then_some((self.share(), since, id))
    }
}

/// Until when a search for a connection to take is known to find nothing, so
/// that a full cap does not cost each request a look at all that rest.
#[derive(Debug, Default)]
pub(crate) struct Barren {
    /// For a pool that has no connection.
    pub(crate) for_none: Duration,
    /// For a pool that has some.
    pub(crate) for_some: Duration,
}

impl Barren {
    pub(crate) fn until(&mut self, has: u32) -> &mut Duration {
        if has == 0 { &mut self.for_none } else { &mut self.for_some }
    }

    /// Something may be found from these times on.
    fn shorten(&mut self, for_none: Duration, for_some: Duration) {
        self.for_none = self.for_none.min(for_none);
        self.for_some = self.for_some.min(for_some);
    }
}

/// A cap's slots. A lone worker has them all; one among others has what the bank has lent.
#[derive(Debug, Default)]
pub(crate) struct Loan {
    pub(crate) statement: Statement,
    /// What the bank was told, while it stands.
    pub(crate) lack: Option<Want>,
    /// The bank had no slot to spare for what nobody waits for; it is not asked again until then.
    pub(crate) dry_until: Duration,
    /// Until when a search for a connection to close for the neighbour finds nothing.
    pub(crate) barren: Duration,
    pub(crate) armed: Option<Duration>,
}

impl Loan {
    /// Connections that may be open.
    pub(crate) fn may_hold(&self) -> u32 {
        self.statement.lent.saturating_sub(self.statement.owed)
    }

    /// Nobody lacks a slot as far as the bank has told, and the bank believes that of us.
    pub(crate) fn at_ease(&self) -> bool {
        self.lack.is_none() && self.statement.neighbour.is_none()
    }

    /// Something may be found from these times on.
    fn shorten(&mut self, for_none: Duration, for_some: Duration) {
        if let Some(neighbour) = self.statement.neighbour {
            let from = if neighbour.has == 0 { for_none } else { for_some };
            self.barren = self.barren.min(from);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) limits: DatabaseLimits,
    pub(crate) loan: Loan,
    pub(crate) tally: Tally,
    /// Pools with at least one connection.
    pub(crate) holders: u32,
    pub(crate) hungry: Ranking,
    /// Its entry in the server's `hungry`: its first, while it is below its own cap.
    pub(crate) listed: Option<Hunger>,
    /// Where that entry is.
    pub(crate) rank: u32,
    pub(crate) barren: Barren,
    pub(crate) armed: Option<Duration>,
}

impl Database {
    pub(crate) fn new() -> Database {
        Database {
            limits: DatabaseLimits { server: ServerId(0), max: 0 },
            loan: Loan::default(),
            tally: Tally::default(),
            holders: 0,
            hungry: Ranking::default(),
            listed: None,
            rank: 0,
            barren: Barren::default(),
            armed: None,
        }
    }

    pub(crate) fn full(&self) -> bool {
        self.tally.open() >= self.loan.may_hold()
    }

    /// A search may succeed from these times on.
    pub(crate) fn shorten_barren(&mut self, for_none: Duration, for_some: Duration) {
        self.barren.shorten(for_none, for_some);
        self.loan.shorten(for_none, for_some);
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) limits: ServerLimits,
    /// The limits were set, and nothing has been made of it yet.
    pub(crate) changed: bool,
    pub(crate) loan: Loan,
    pub(crate) tally: Tally,
    pub(crate) holders: u32,
    /// The first of each database that is below its own cap.
    pub(crate) hungry: Ranking,
    /// Pools with idle connections, in no order, and some that had one and have a busy one yet:
    /// a search takes those out.
    pub(crate) resting: Vec<PoolId>,
    pub(crate) epoch: u32,
    pub(crate) barren: Barren,
    pub(crate) armed: Option<Duration>,
}

impl Server {
    pub(crate) fn new() -> Server {
        Server {
            limits: ServerLimits { max: 0, logins: 0 },
            changed: false,
            loan: Loan::default(),
            tally: Tally::default(),
            holders: 0,
            hungry: Ranking::default(),
            resting: Vec::new(),
            epoch: 0,
            barren: Barren::default(),
            armed: None,
        }
    }

    pub(crate) fn full(&self) -> bool {
        self.tally.open() >= self.loan.may_hold()
    }

    /// A search may succeed from these times on.
    pub(crate) fn shorten_barren(&mut self, for_none: Duration, for_some: Duration) {
        self.barren.shorten(for_none, for_some);
        self.loan.shorten(for_none, for_some);
    }

    pub(crate) fn may_log_in(&self) -> bool {
        self.tally.opening < self.limits.logins
    }
}

/// A user whose connections are counted together.
#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) loan: Loan,
    pub(crate) tally: Tally,
    /// Pools with at least one connection.
    pub(crate) holders: u32,
    /// All pools that count.
    pub(crate) pools: Vec<PoolId>,
    /// Those that lack a connection.
    pub(crate) hungry: Ranking,
    /// The pools were listed as those of a user that is full.
    pub(crate) listed_full: bool,
    pub(crate) barren: Barren,
    pub(crate) armed: Option<Duration>,
}

impl User {
    pub(crate) fn full(&self) -> bool {
        self.tally.open() >= self.loan.may_hold()
    }

    /// A search may succeed from these times on.
    pub(crate) fn shorten_barren(&mut self, for_none: Duration, for_some: Duration) {
        self.barren.shorten(for_none, for_some);
        self.loan.shorten(for_none, for_some);
    }
}
