//! The one mover: every change of a connection's state, and with it every count
//! and list, happens here. It decides nothing.

use std::time::Duration;

use super::Pools;
use crate::conn::{Conn, State};
use crate::deadlines::Subject;
use crate::ids::{ConnId, DatabaseId, PoolId};

impl Pools {
    /// A new connection in `Opening`.
    pub(super) fn create(&mut self, pool: PoolId) -> ConnId {
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        let epoch = self.server(self.server_of(self.at(pool).database)).epoch;
        let (opened, expires) = (Duration::ZERO, Duration::MAX);
        self.conns.insert(id, Conn { pool, state: State::Opening, opened, expires, epoch });
        self.count(pool, None, Some(State::Opening));
        self.touch(pool);
        id
    }

    /// From the state it is in to another.
    pub(super) fn shift(&mut self, id: ConnId, to: State) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (pool, from) = (conn.pool, conn.state);
        conn.state = to;
        self.leave(pool, id, from);
        self.enter(pool, id, to);
        self.count(pool, Some(from), Some(to));
        self.touch(pool);
    }

    /// The slot is free.
    pub(super) fn remove(&mut self, id: ConnId) {
        let Some(conn) = self.conns.remove(&id) else { return };
        self.leave(conn.pool, id, conn.state);
        self.count(conn.pool, Some(conn.state), None);
        self.touch(conn.pool);
    }

    fn leave(&mut self, pool: PoolId, id: ConnId, from: State) {
        match from {
            State::Idle { .. } => {
                let idle = &mut self.at_mut(pool).idle;
                if idle.back() == Some(&id) {
                    idle.pop_back();
                } else {
                    idle.retain(|other| *other != id);
                }
                match idle.front().copied() {
                    Some(front) => self.ripen(pool, front),
                    None => self.wake_up(pool),
                }
            }
            State::Closing { promised: Some(heir) } => {
                self.at_mut(heir).promised -= 1;
                self.touch(heir);
            }
            State::Opening | State::Busy | State::Closing { promised: None } => {}
        }
    }

    fn enter(&mut self, pool: PoolId, id: ConnId, to: State) {
        match to {
            State::Idle { .. } => {
                self.at_mut(pool).idle.push_back(id);
                self.lie_down(pool);
                self.ripen(pool, id);
            }
            State::Closing { promised: Some(heir) } => {
                self.at_mut(heir).promised += 1;
                self.touch(heir);
            }
            State::Opening | State::Busy | State::Closing { promised: None } => {}
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
    fn wake_up(&mut self, pool: PoolId) {
        let Some(place) = self.at_mut(pool).resting.take() else { return };
        let server = self.server_of(self.at(pool).database);
        let resting = &mut self.server_mut(server).resting;
        resting.swap_remove(place);
        if let Some(moved) = resting.get(place).copied() {
            self.at_mut(moved).resting = Some(place);
        }
    }

    /// The same change in the three tallies.
    fn count(&mut self, pool: PoolId, from: Option<State>, to: Option<State>) {
        let database = self.at(pool).database;
        let server = self.server_of(database);
        let held_before = self.at(pool).tally.open() > 0;
        let tallies = [
            &mut self.pools[pool.0 as usize].tally,
            &mut self.databases[database.0 as usize].tally,
            &mut self.servers[server.0 as usize].tally,
        ];
        for tally in tallies {
            if let Some(from) = &from {
                *tally.slot(from) -= 1;
            }
            if let Some(to) = &to {
                *tally.slot(to) += 1;
            }
        }
        match (held_before, self.at(pool).tally.open() > 0) {
            (false, true) => {
                self.database_mut(database).holders += 1;
                self.server_mut(server).holders += 1;
            }
            (true, false) => {
                self.database_mut(database).holders -= 1;
                self.server_mut(server).holders -= 1;
            }
            _ => {}
        }
        if from.is_none() || to.is_none() {
            self.shorten_barren(database, Duration::ZERO, Duration::ZERO);
            self.relist(database);
        }
    }

    /// Brings the pool's place among the hungry up to date. Called after every
    /// change of what [`crate::pool::Pool::hunger`] looks at.
    pub(super) fn touch(&mut self, id: PoolId) {
        let pool = self.at(id);
        let (old, new, database) = (pool.hunger, pool.hunger(id), pool.database);
        if old == new {
            return;
        }
        self.at_mut(id).hunger = new;
        let hungry = &mut self.database_mut(database).hungry;
        if let Some(old) = old {
            hungry.remove(&old);
        }
        if let Some(new) = new {
            hungry.insert(new);
        }
        if let Some((0, since, _)) = new {
            self.shorten_barren(database, since + self.tuning.cost, Duration::MAX);
        }
        self.relist(database);
    }

    /// An idle connection may be taken once it has paid for itself or settled.
    fn ripen(&mut self, pool: PoolId, id: ConnId) {
        let Some(&Conn { state: State::Idle { since }, opened, .. }) = self.conns.get(&id) else {
            return;
        };
        let spare = self.at(pool).tally.live() > 1;
        let settled = if spare { since + self.tuning.settled } else { Duration::MAX };
        let database = self.at(pool).database;
        self.shorten_barren(database, opened + self.tuning.cost, settled);
    }

    /// A search under the database's cap or its server's may succeed from these times on.
    pub(super) fn shorten_barren(
        &mut self,
        database: DatabaseId,
        for_none: Duration,
        for_some: Duration,
    ) {
        let server = self.server_of(database);
        self.database_mut(database).barren.shorten(for_none, for_some);
        self.server_mut(server).barren.shorten(for_none, for_some);
    }

    /// Brings the database's place in its server's list up to date.
    pub(super) fn relist(&mut self, id: DatabaseId) {
        let database = self.database(id);
        let new = if database.full() { None } else { database.hungry.first().copied() };
        let (old, server) = (database.listed, database.limits.server);
        if old == new {
            return;
        }
        self.database_mut(id).listed = new;
        let hungry = &mut self.server_mut(server).hungry;
        if let Some(old) = old {
            hungry.remove(&old);
        }
        if let Some(new) = new {
            hungry.insert(new);
        }
    }

    pub(super) fn arm_pool(&mut self, id: PoolId, at: Duration) {
        let armed = &mut self.pools[id.0 as usize].armed;
        self.deadlines.arm(armed, at, Subject::Pool(id));
    }

    pub(super) fn arm_database(&mut self, id: DatabaseId, at: Duration) {
        let armed = &mut self.databases[id.0 as usize].armed;
        self.deadlines.arm(armed, at, Subject::Database(id));
    }
}
