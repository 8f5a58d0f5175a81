//! The invariants, stated once and checked after every event in debug builds.
//! They read everything and change nothing.

use std::collections::HashMap;
use std::time::Duration;

use super::Pools;
use super::evict::Claimant;
use crate::conn::{Heir, State, Tally};
use crate::deadlines::Subject;
use crate::ids::{DatabaseId, PoolId, ServerId, UserId};
use crate::lending::Cap;
use crate::pool::Pool;

/// Limits were changed and the timer that acts on it is due.
const CHANGED: Option<Duration> = Some(Duration::ZERO);

impl Pools {
    /// Panics if the state contradicts itself.
    pub fn check(&self) {
        self.check_tallies();
        self.check_lists();
        self.check_waiters();
        self.check_hunger();
        self.check_evictions();
        self.check_deadlines();
        self.check_loans();
    }

    /// Counts equal what the connections say, and promises are kept in both books.
    fn check_tallies(&self) {
        let mut pools: HashMap<PoolId, Tally> = HashMap::new();
        let mut promised: HashMap<PoolId, u32> = HashMap::new();
        for conn in self.conns.iter() {
            *pools.entry(conn.pool).or_default().slot(&conn.state) += 1;
            if let State::Closing { promised: Some(Heir::Pool(heir)) } = conn.state {
                *promised.entry(heir).or_default() += 1;
            }
        }
        let mut databases = vec![(Tally::default(), 0); self.databases.len()];
        let mut servers = vec![(Tally::default(), 0); self.servers.len()];
        let mut users = vec![(Tally::default(), 0); self.users.len()];
        for (index, pool) in self.pools.iter().enumerate() {
            let id = PoolId(index as u32);
            let counted = pools.get(&id).copied().unwrap_or_default();
            assert_eq!(pool.tally, counted, "{id:?} counts its connections wrong");
            assert_eq!(pool.promised, promised.get(&id).copied().unwrap_or(0), "{id:?} promises");
            let server = self.server_of(pool.database).0 as usize;
            add(&mut databases[pool.database.0 as usize], counted);
            add(&mut servers[server], counted);
            if let Some(user) = pool.cap {
                add(&mut users[user.0 as usize], counted);
                assert!(self.user(user).pools.contains(&id), "{id:?} is not its user's");
            }
        }
        for (database, counted) in self.databases.iter().zip(databases) {
            assert_eq!((database.tally, database.holders), counted, "a database counts wrong");
        }
        for (user, counted) in self.users.iter().zip(users) {
            assert_eq!((user.tally, user.holders), counted, "a user counts wrong");
            assert_eq!(user.listed_full, user.full(), "a user's pools are listed wrong");
        }
        for (server, counted) in self.servers.iter().zip(servers) {
            assert_eq!((server.tally, server.holders), counted, "a server counts wrong");
        }
    }

    /// An idle connection is in its pool's list, and such pools in the server's.
    fn check_lists(&self) {
        for (index, pool) in self.pools.iter().enumerate() {
            let id = PoolId(index as u32);
            assert_eq!(pool.idle.len(), pool.tally.idle as usize, "{id:?} lists its idle wrong");
            for conn in &pool.idle {
                let conn = &self.conns.get(*conn).expect("an idle connection exists");
                assert!(conn.pool == id && matches!(conn.state, State::Idle { .. }));
            }
            let resting = &self.server(self.server_of(pool.database)).resting;
            let place = pool.resting.and_then(|place| resting.get(place));
            assert_eq!(place.is_some(), pool.resting.is_some(), "{id:?} rests nowhere");
            assert!(place.is_none_or(|place| *place == id), "{id:?} rests in another's place");
            assert!(place.is_some() || pool.idle.is_empty(), "{id:?} rests unseen");
            assert!(place.is_none() || pool.tally.open() > 0, "{id:?} has nothing that could rest");
        }
        let listed = self.pools.iter().filter(|pool| pool.resting.is_some()).count();
        assert_eq!(self.servers.iter().map(|server| server.resting.len()).sum::<usize>(), listed);
    }

    /// Nobody waits while there is something to have, nor without a cause.
    fn check_waiters(&self) {
        let queued: u32 = self.pools.iter().map(|pool| pool.waiters.len()).sum();
        assert_eq!(queued as usize, self.places.taken(), "queues and the clients' places differ");
        for (index, pool) in self.pools.iter().enumerate() {
            let id = PoolId(index as u32);
            self.check_queue(id);
            if pool.waiters.is_empty() {
                continue;
            }
            assert!(pool.idle.is_empty(), "{id:?} has waiters and an idle connection");
            assert!(!pool.forgotten && !self.shutting_down, "{id:?} has waiters after its end");
            let coming = pool.tally.opening + pool.promised > 0;
            let paused = pool.barred() && pool.armed.is_some();
            let own = coming || paused || !pool.has_room() || pool.armed == CHANGED;
            let user = pool.cap.map(|user| self.user(user));
            let by_user = user.is_some_and(|user| user.full() || user.armed == CHANGED);
            assert!(own || by_user || self.capped(pool.database), "{id:?} lost a wake-up");
        }
    }

    /// In order of arrival, each known to wait here, and the timer set for the first.
    fn check_queue(&self, id: PoolId) {
        let pool = self.at(id);
        let queue: Vec<_> = self.places.iter(&pool.waiters).collect();
        assert_eq!(queue.len(), pool.waiters.len() as usize, "{id:?} has a torn queue");
        assert!(queue.is_sorted_by_key(|(_, since)| *since), "{id:?} has lost the order");
        assert_eq!(pool.waiters.head_since(), queue.first().map(|(_, since)| *since));
        for (client, _) in queue {
            assert_eq!(self.places.pool_of(client), Some(id), "{client:?} waits elsewhere");
        }
        if let Some(due) = self.waiting_deadline(id) {
            assert!(pool.armed.is_some_and(|armed| armed <= due), "{id:?} is looked at too late");
        }
    }

    /// A cap above the pool keeps it waiting.
    fn capped(&self, id: DatabaseId) -> bool {
        let database = self.database(id);
        let server = self.server(database.limits.server);
        let changed = database.armed == CHANGED || server.armed == CHANGED;
        changed || database.full() || server.full() || !server.may_log_in()
    }

    /// Where a full cap keeps a pool hungry and something idle may be taken
    /// for it, now or later, the timer is set.
    fn check_evictions(&self) {
        if self.next_deadline() == CHANGED {
            return;
        }
        for cap in self.caps().filter(|cap| self.is_full(*cap)) {
            let Some(hunger) = self.hungriest(cap) else { continue };
            let resting = self.resting_under(cap).iter();
            let ripe = resting.filter_map(|id| self.ripeness(*id, cap, self.claimant(cap, hunger)));
            let Some((ripe, ..)) = ripe.min() else { continue };
            let heir = hunger.2;
            if matches!(cap, Cap::User(_)) {
                // Until then another cap may make it vain.
                assert!(self.armed(cap).is_some(), "{heir:?} is forgotten: {cap:?}");
                continue;
            }
            let timely = self.armed(cap).is_some_and(|armed| armed <= ripe);
            assert!(timely, "{heir:?} could take an idle connection: {cap:?}");
            let barren = match cap {
                Cap::Server(id) => &self.server(id).barren,
                Cap::Database(id) => &self.database(id).barren,
                Cap::User(id) => &self.user(id).barren,
            };
            let until = if hunger.0 == 0 { barren.for_none } else { barren.for_some };
            assert!(until <= ripe, "{heir:?} would look too late: {cap:?}");
        }
    }

    /// No connection without a slot, no slot kept in vain, nobody who lacks one without the bank's
    /// knowledge, and no neighbour forgotten.
    fn check_loans(&self) {
        if !self.borrows || self.next_deadline() == CHANGED {
            return;
        }
        for cap in self.caps() {
            let loan = self.loan(cap);
            let armed = self.armed(cap);
            let open = match cap {
                Cap::Server(id) => self.server(id).tally.open(),
                Cap::Database(id) => self.database(id).tally.open(),
                Cap::User(id) => self.user(id).tally.open(),
            };
            assert!(open <= loan.statement.lent, "{cap:?} has a connection without a slot");
            assert_eq!(self.yielding(cap), loan.statement.yielding, "{cap:?} yields wrong");
            assert_eq!(loan.lack.is_some(), loan.statement.lacking, "{cap:?} lacks wrong");
            assert!(self.free(cap) == 0 || loan.armed.is_some(), "{cap:?} keeps a slot");
            let lacking = self.is_full(cap) && self.hungriest(cap).is_some();
            assert!(!lacking || loan.lack.is_some(), "{cap:?} lacks a slot in silence");
            assert!(loan.lack.is_none() || loan.armed.is_some(), "{cap:?} complains for ever");
            let Some(want) = loan.statement.neighbour else { continue };
            let resting = self.resting_under(cap).iter();
            let ripe = resting
                .filter_map(|id| Some(self.ripeness(*id, cap, Claimant::next_door(want))?.0));
            let Some(ripe) = ripe.min() else { continue };
            assert!(loan.barren <= ripe, "{cap:?} would look too late for a neighbour");
            assert!(armed.is_some_and(|armed| armed <= ripe), "{cap:?} forgets a neighbour");
        }
    }

    fn caps(&self) -> impl Iterator<Item = Cap> + use<> {
        let databases = (0..self.databases.len() as u32).map(|id| Cap::Database(DatabaseId(id)));
        let servers = (0..self.servers.len() as u32).map(|id| Cap::Server(ServerId(id)));
        let users = (0..self.users.len() as u32).map(|id| Cap::User(UserId(id)));
        databases.chain(servers).chain(users)
    }

    fn armed(&self, cap: Cap) -> Option<Duration> {
        match cap {
            Cap::Server(id) => self.server(id).armed,
            Cap::Database(id) => self.database(id).armed,
            Cap::User(id) => self.user(id).armed,
        }
    }

    /// Closing connections whose slots were promised to neighbours.
    fn yielding(&self, cap: Cap) -> u32 {
        let heir = State::Closing { promised: Some(Heir::Neighbour(cap)) };
        self.conns.iter().filter(|conn| conn.state == heir).count() as u32
    }

    /// The order of the hungry is what the pools say.
    fn check_hunger(&self) {
        for (index, pool) in self.pools.iter().enumerate() {
            let id = PoolId(index as u32);
            assert_eq!(pool.hunger, pool.hunger(id), "{id:?} is hungry unseen");
            assert_eq!(pool.listed, pool.hunger.filter(|_| !self.user_is_full(id)));
            if let Some(listed) = pool.listed {
                let ranking = &self.database(pool.database).hungry;
                assert_eq!(ranking.iter().nth(pool.rank as usize), Some(&listed));
            }
            if let (Some(hunger), Some(user)) = (pool.hunger, pool.cap) {
                let ranking = &self.user(user).hungry;
                assert_eq!(ranking.iter().nth(pool.user_rank as usize), Some(&hunger));
            }
        }
        let capped = |pool: &&Pool| pool.hunger.is_some() && pool.cap.is_some();
        let hungry = self.pools.iter().filter(capped).count();
        assert_eq!(self.users.iter().map(|one| one.hungry.iter().count()).sum::<usize>(), hungry);
        let hungry = self.pools.iter().filter(|pool| pool.listed.is_some()).count();
        assert_eq!(
            self.databases.iter().map(|one| one.hungry.iter().count()).sum::<usize>(),
            hungry
        );
        for database in &self.databases {
            let first = database.hungry.first();
            assert_eq!(database.listed, first.filter(|_| !database.full()));
            if let Some(listed) = database.listed {
                let ranking = &self.server(database.limits.server).hungry;
                assert_eq!(ranking.iter().nth(database.rank as usize), Some(&listed));
            }
        }
        let listed = self.databases.iter().filter(|database| database.listed.is_some()).count();
        assert_eq!(self.servers.iter().map(|one| one.hungry.iter().count()).sum::<usize>(), listed);
    }

    /// As many deadlines as subjects that are armed, each at the time it remembers.
    fn check_deadlines(&self) {
        let pools = self.pools.iter().enumerate();
        let pools = pools.map(|(id, pool)| (pool.armed, Subject::Pool(PoolId(id as u32))));
        let caps = self.caps().map(|cap| {
            let subject = match cap {
                Cap::Server(id) => Subject::Server(id),
                Cap::Database(id) => Subject::Database(id),
                Cap::User(id) => Subject::User(id),
            };
            (self.armed(cap), subject)
        });
        let loans = self.caps().map(|cap| (self.loan(cap).armed, Subject::Loan(cap)));
        let mut armed = 0;
        for (at, subject) in pools.chain(caps).chain(loans) {
            if let Some(at) = at {
                assert!(self.deadlines.contains(at, subject), "{subject:?} is not armed");
                armed += 1;
            }
        }
        assert_eq!(armed, self.deadlines.len(), "a deadline belongs to nobody");
    }
}

fn add(sum: &mut (Tally, u32), pool: Tally) {
    sum.0.opening += pool.opening;
    sum.0.idle += pool.idle;
    sum.0.busy += pool.busy;
    sum.0.closing += pool.closing;
    sum.1 += u32::from(pool.open() > 0);
}
