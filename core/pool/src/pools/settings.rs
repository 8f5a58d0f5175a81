//! Servers, databases and pools come, change and go. What a lowered cap means
//! for connections is decided when the next event comes, which is due at once.

use std::collections::HashMap;
use std::time::Duration;

use super::{Pools, Turn};
use crate::ids::{DatabaseId, PoolId, ServerId};
use crate::limits::{DatabaseLimits, PoolLimits, ServerLimits};
use crate::pool::{Database, Pool, Server};

impl Pools {
    /// The longest pause after failed logins from now on.
    pub fn set_backoff(&mut self, longest: Duration) {
        self.tuning.backoff_max = longest;
    }

    /// Adds a server or changes its caps; where slots are lent, only `logins` counts here. After a change `Event::Timer` is due at once.
    pub fn set_server(&mut self, id: ServerId, limits: ServerLimits) {
        while self.servers.len() <= id.0 as usize {
            self.servers.push(Server::new());
        }
        let lent = limits.max;
        let server = &mut self.servers[id.0 as usize];
        server.limits = limits;
        server.changed = true;
        server.loan.dry_until = Duration::ZERO;
        if !self.borrows {
            server.loan.statement.lent = lent;
        }
        self.arm_server(id, Duration::ZERO);
    }

    /// Adds a database or changes its cap, if that is not lent. Its server must be set before; a
    /// database that has connections or waiters stays on the server it is on.
    pub fn set_database(&mut self, id: DatabaseId, limits: DatabaseLimits) {
        debug_assert!(
            (limits.server.0 as usize) < self.servers.len(),
            "unknown {:?}",
            limits.server
        );
        while self.databases.len() <= id.0 as usize {
            self.databases.push(Database::new());
            self.names.push(HashMap::new());
        }
        let database = self.database_mut(id);
        let in_use = database.tally.open() > 0 || !database.hungry.is_empty();
        debug_assert!(!in_use || database.limits.server == limits.server, "{id:?} changes server");
        let server = if in_use { database.limits.server } else { limits.server };
        database.limits = DatabaseLimits { server, max: limits.max };
        database.loan.dry_until = Duration::ZERO;
        if !self.borrows {
            self.database_mut(id).loan.statement.lent = limits.max;
        }
        self.relist(id);
        self.arm_database(id, Duration::ZERO);
    }

    /// The pool of this database and user, with these limits from now on. The
    /// same two always name the same pool.
    pub fn pool(&mut self, database: DatabaseId, user: &str, limits: PoolLimits) -> PoolId {
        if let Some(id) = self.names[database.0 as usize].get(user).copied() {
            self.set_pool(id, limits);
            return id;
        }
        let id = PoolId(self.pools.len() as u32);
        self.pools.push(Pool::new(database, user, limits));
        self.names[database.0 as usize].insert(user.into(), id);
        id
    }

    fn set_pool(&mut self, id: PoolId, limits: PoolLimits) {
        let pool = self.at_mut(id);
        if pool.limits == limits && !pool.forgotten {
            return;
        }
        pool.limits = limits;
        pool.forgotten = false;
        self.shorten_barren(id, Duration::ZERO, Duration::ZERO);
        self.touch(id);
        self.arm_pool(id, Duration::ZERO);
    }

    /// A server's caps have changed: each of its databases may have hungry pools.
    pub(super) fn feed_server(&mut self, turn: &mut Turn, server: ServerId) {
        self.shed(turn, server);
        for id in (0..self.databases.len() as u32).map(DatabaseId) {
            if self.server_of(id) == server {
                self.feed(turn, id);
            }
        }
    }
}
