//! The figures for metrics and SHOW POOLS. Reads, never changes.

use std::time::Duration;

use super::Pools;
use crate::conn::Tally;
use crate::ids::{DatabaseId, PoolId, ServerId};
use crate::lending::Cap;

/// One pool's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolCounts {
    pub connections: Tally,
    pub waiting: u32,
    /// How long its longest waiter has waited.
    pub oldest_wait: Duration,
}

impl Pools {
    pub fn pool_counts(&self, id: PoolId, now: Duration) -> PoolCounts {
        let pool = self.at(id);
        PoolCounts {
            connections: pool.tally,
            waiting: pool.waiters.len(),
            oldest_wait: pool
                .waiters
                .head_since()
                .map_or(Duration::ZERO, |since| now.saturating_sub(since)),
        }
    }

    pub fn database_counts(&self, id: DatabaseId) -> Tally {
        self.database(id).tally
    }

    pub fn server_counts(&self, id: ServerId) -> Tally {
        self.server(id).tally
    }

    /// The cap that the server's connections are held against.
    pub fn server_max(&self, id: ServerId) -> u32 {
        self.server(id).limits.max
    }

    /// The slots under a cap that are this worker's: all of the cap's, or what the bank has lent.
    pub fn slots(&self, cap: Cap) -> u32 {
        self.loan(cap).statement.lent
    }

    /// All connections, from `Open` to `Closed`.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// Clients that wait, in all pools.
    pub fn waiting(&self) -> usize {
        self.places.taken()
    }

    /// Somebody waits for a connection: in this worker, or, as far as the bank has told, in another
    /// one under the pool's caps.
    pub fn is_crowded(&self, pool: PoolId) -> bool {
        let next_door = |cap| self.loan(cap).statement.neighbour.is_some();
        self.waiting() > 0 || self.caps_over(pool).any(next_door)
    }

    /// Every pool with its database and user, in the order in which they were made.
    pub fn pools(&self) -> impl Iterator<Item = (PoolId, DatabaseId, &str)> {
        let named = |(id, pool): (usize, &'_ crate::pool::Pool)| (PoolId(id as u32), pool.database);
        self.pools.iter().enumerate().map(move |(id, pool)| {
            let (id, database) = named((id, pool));
            (id, database, &*pool.user)
        })
    }
}
