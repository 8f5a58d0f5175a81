//! The one mover: every change of a connection's state, and with it every count
//! and list, happens here. It decides nothing.

use std::time::Duration;

use super::Pools;
use crate::conn::{Conn, Heir, State, Tally};
use crate::deadlines::Subject;
use crate::ids::{ConnId, DatabaseId, PoolId, ServerId, UserId};
use crate::pool::Pool;

impl Pools {
    /// A new connection in `Opening`.
    pub(super) fn create(&mut self, pool: PoolId) -> ConnId {
        let epoch = self.server(self.server_of(self.at(pool).database)).epoch;
        let id = self.conns.open(pool, epoch);
        self.count(pool, |tally| tally.opening += 1);
        self.touch(pool);
        id
    }

    /// From the state it is in to another.
    pub(super) fn shift(&mut self, id: ConnId, to: State) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let (pool, from) = (conn.pool, conn.state);
        if from == to {
            return;
        }
        conn.state = to;
        self.leave(pool, id, from);
        self.enter(pool, id, to);
        self.tally(pool, |tally| {
            *tally.slot(&from) -= 1;
            *tally.slot(&to) += 1;
        });
        // Hunger does not tell an idle connection from a busy one.
        if !(from.is_open() && to.is_open()) {
            self.touch(pool);
        }
    }

    /// The slot is free.
    pub(super) fn remove(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(id) else { return };
        self.leave(conn.pool, id, conn.state);
        self.count(conn.pool, |tally| *tally.slot(&conn.state) -= 1);
        self.touch(conn.pool);
    }

    fn leave(&mut self, pool: PoolId, id: ConnId, from: State) {
        match from {
            State::Idle { .. } => self.rise(pool, id),
            State::Closing { promised: Some(Heir::Pool(heir)) } => {
                self.at_mut(heir).promised -= 1;
                self.touch(heir);
            }
            State::Opening | State::Busy | State::Closing { .. } => {}
        }
    }

    fn enter(&mut self, pool: PoolId, id: ConnId, to: State) {
        match to {
            State::Idle { .. } => {
                self.at_mut(pool).idle.push_back(id);
                self.lie_down(pool);
                if self.at(pool).idle.len() == 1 {
                    self.ripen(pool, id);
                }
            }
            State::Closing { promised: Some(Heir::Pool(heir)) } => {
                self.at_mut(heir).promised += 1;
                self.touch(heir);
            }
            State::Opening | State::Busy | State::Closing { .. } => {}
        }
    }

    /// Out of the pool's idle ones. The longest idle is what others may take: a new one has its
    /// own time for that.
    fn rise(&mut self, pool: PoolId, id: ConnId) {
        let idle = &mut self.at_mut(pool).idle;
        if idle.back() == Some(&id) {
            idle.pop_back();
            return;
        }
        idle.retain(|other| *other != id);
        if let Some(front) = idle.front().copied() {
            self.ripen(pool, front);
        }
    }

    /// Into the server's list of pools with idle connections.
    fn lie_down(&mut self, pool: PoolId) {
        if self.at(pool).resting.is_none() {
            let server = self.server_of(self.at(pool).database);
            let resting = &mut self.server_mut(server).resting;
            resting.push(pool);
            self.at_mut(pool).resting = Some(self.server(server).resting.len() - 1);
        }
    }

    /// Out of that list; the last one takes its place.
    pub(super) fn get_up(&mut self, pool: PoolId) {
        let Some(place) = self.at_mut(pool).resting.take() else { return };
        let server = self.server_of(self.at(pool).database);
        let resting = &mut self.server_mut(server).resting;
        resting.swap_remove(place);
        if let Some(moved) = resting.get(place).copied() {
            self.at_mut(moved).resting = Some(place);
        }
    }

    /// Changes all that the pool's connections count in.
    fn tally(&mut self, pool: PoolId, change: impl Fn(&mut Tally)) {
        let Pool { database, tally, cap, .. } = &mut self.pools[pool.0 as usize];
        let database = &mut self.databases[database.0 as usize];
        let server = &mut self.servers[database.limits.server.0 as usize];
        [tally, &mut database.tally, &mut server.tally].into_iter().for_each(&change);
        if let Some(user) = cap {
            change(&mut self.users[user.0 as usize].tally);
        }
    }

    /// One connection more or one fewer.
    fn count(&mut self, pool: PoolId, change: impl Fn(&mut Tally)) {
        let held_before = self.at(pool).tally.open() > 0;
        self.tally(pool, change);
        let user = self.at(pool).cap;
        let database = self.at(pool).database;
        let server = self.server_of(database);
        match (held_before, self.at(pool).tally.open() > 0) {
            (false, true) => {
                self.database_mut(database).holders += 1;
                self.server_mut(server).holders += 1;
                if let Some(user) = user {
                    self.user_mut(user).holders += 1;
                }
            }
            (true, false) => {
                self.database_mut(database).holders -= 1;
                self.server_mut(server).holders -= 1;
                if let Some(user) = user {
                    self.user_mut(user).holders -= 1;
                }
                self.get_up(pool);
            }
            _ => {}
        }
        self.shorten_barren(pool, Duration::ZERO, Duration::ZERO);
        self.relist(database);
        if let Some(user) = user {
            self.relist_user(user);
        }
    }

    /// Brings the pool's place among the hungry up to date. Called after every
    /// change of what [`crate::pool::Pool::hunger`] looks at.
    pub(super) fn touch(&mut self, id: PoolId) {
        let pool = self.at(id);
        let (old, new) = (pool.hunger, pool.hunger(id));
        if old == new {
            return;
        }
        let (rank, user) = (old.map(|_| pool.user_rank), pool.cap);
        self.at_mut(id).hunger = new;
        if let Some(user) = user {
            let Pools { pools, users, .. } = self;
            users[user.0 as usize].hungry.change(rank, new, |pool, rank| {
                pools[pool.0 as usize].user_rank = rank;
            });
        }
        if let Some((0, since, _)) = new {
            self.shorten_barren(id, since + self.tuning.cost, Duration::MAX);
        }
        self.list(id);
    }

    /// Brings the pool's place in its database's list up to date.
    pub(super) fn list(&mut self, id: PoolId) {
        let pool = self.at(id);
        let new = if self.user_is_full(id) { None } else { pool.hunger };
        let (old, database) = (pool.listed, pool.database);
        if old == new {
            return;
        }
        let rank = old.map(|_| pool.rank);
        self.at_mut(id).listed = new;
        let Pools { pools, databases, .. } = self;
        databases[database.0 as usize].hungry.change(rank, new, |pool, rank| {
            pools[pool.0 as usize].rank = rank;
        });
        if let Some((0, since, _)) = new {
            self.shorten_barren(id, since + self.tuning.cost, Duration::MAX);
        }
        self.relist(database);
    }

    /// An idle connection may be taken once it has paid for itself or settled.
    fn ripen(&mut self, pool: PoolId, id: ConnId) {
        let Some(&Conn { state: State::Idle { since }, opened, .. }) = self.conns.get(id) else {
            return;
        };
        let spare = self.at(pool).tally.live() > 1;
        let settled = if spare { since + self.tuning.settled } else { Duration::MAX };
        self.shorten_barren(pool, opened + self.tuning.cost, settled);
    }

    /// A search under a cap of the pool may succeed from these times on.
    pub(super) fn shorten_barren(&mut self, pool: PoolId, for_none: Duration, for_some: Duration) {
        if let Some(user) = self.at(pool).cap {
            self.user_mut(user).shorten_barren(for_none, for_some);
        }
        let database = self.at(pool).database;
        let server = self.server_of(database);
        self.database_mut(database).shorten_barren(for_none, for_some);
        self.server_mut(server).shorten_barren(for_none, for_some);
    }

    /// Brings the database's place in its server's list up to date.
    pub(super) fn relist(&mut self, id: DatabaseId) {
        let database = self.database(id);
        let new = if database.full() { None } else { database.hungry.first() };
        let (old, server) = (database.listed, database.limits.server);
        if old == new {
            return;
        }
        if let Some((0, since, _)) = new {
            let from = since + self.tuning.cost;
            self.server_mut(server).shorten_barren(from, Duration::MAX);
        }
        let rank = old.map(|_| self.database(id).rank);
        self.database_mut(id).listed = new;
        let Pools { pools, databases, servers, .. } = self;
        servers[server.0 as usize].hungry.change(rank, new, |pool, rank| {
            databases[pools[pool.0 as usize].database.0 as usize].rank = rank;
        });
    }

    pub(super) fn arm_pool(&mut self, id: PoolId, at: Duration) {
        let armed = &mut self.pools[id.0 as usize].armed;
        self.deadlines.arm(armed, at, Subject::Pool(id));
    }

    pub(super) fn arm_database(&mut self, id: DatabaseId, at: Duration) {
        let armed = &mut self.databases[id.0 as usize].armed;
        self.deadlines.arm(armed, at, Subject::Database(id));
    }

    pub(super) fn arm_user(&mut self, id: UserId, at: Duration) {
        let armed = &mut self.users[id.0 as usize].armed;
        self.deadlines.arm(armed, at, Subject::User(id));
    }

    pub(super) fn arm_server(&mut self, id: ServerId, at: Duration) {
        let armed = &mut self.servers[id.0 as usize].armed;
        self.deadlines.arm(armed, at, Subject::Server(id));
    }
}
