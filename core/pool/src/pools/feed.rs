//! Where free slots go: to the pools that lack a connection, fewest connections
//! first. It opens; what closes to make room is chosen in `evict.rs`.

use super::{Pools, Turn};
use crate::event::Effect;
use crate::ids::{DatabaseId, PoolId, UserId};
use crate::lending::Cap;
use crate::pool::Pool;

/// Who got connections.
#[derive(Default)]
struct Grown {
    databases: Vec<DatabaseId>,
    users: Vec<UserId>,
}

impl Pools {
    /// Called after every event that freed something or made somebody hungry
    /// in `database`. Does all that can be done, in the order of hunger.
    pub(super) fn feed(&mut self, turn: &mut Turn, database: DatabaseId) {
        if self.at_ease(database) {
            return;
        }
        let mut grown = Grown::default();
        self.feed_one(turn, database, &mut grown);
        while let Some(database) = grown.databases.pop() {
            self.feed_one(turn, database, &mut grown);
        }
        grown.users.into_iter().for_each(|user| self.feed_user(turn, user));
    }

    /// Nobody lacks a connection of the pool's server, database or user.
    pub(super) fn all_at_ease(&self, pool: PoolId) -> bool {
        let Pool { database, cap, .. } = self.at(pool);
        self.at_ease(*database) && cap.is_none_or(|user| self.user_at_ease(user))
    }

    /// Nobody lacks a connection, here or, as far as is known, in another worker.
    fn at_ease(&self, database: DatabaseId) -> bool {
        let database = self.database(database);
        let server = self.server(database.limits.server);
        let hungry = !database.hungry.is_empty() || !server.hungry.is_empty();
        !hungry && database.loan.at_ease() && server.loan.at_ease()
    }

    /// Databases other than this one that got a connection are added to `grown`, and all users:
    /// one that is full by now must look for room in itself.
    fn feed_one(&mut self, turn: &mut Turn, database: DatabaseId, grown: &mut Grown) {
        let caps = self.caps_of(database);
        loop {
            self.steps += 1;
            self.seek(turn, Cap::Database(database));
            self.seek(turn, caps[0]);
            if let Some(pool) = self.next_to_open(caps[0]) {
                self.open(turn, pool);
                if let Some(user) = self.at(pool).cap {
                    self.seek(turn, Cap::User(user));
                    grown.users.push(user);
                }
                let other = self.at(pool).database;
                if other != database {
                    // It may have more pools that come before this database's.
                    self.seek(turn, Cap::Database(other));
                    grown.databases.push(other);
                }
                continue;
            }
            let made = caps.map(|cap| self.make_room(turn, cap));
            if made.contains(&true) {
                continue;
            }
            let lent = caps.map(|cap| self.complain(turn, cap));
            if !lent.contains(&true) {
                return;
            }
        }
    }

    /// The hungriest pool below the server's cap, if that has room.
    fn next_to_open(&self, server: Cap) -> Option<PoolId> {
        let Cap::Server(server) = server else { return None };
        let state = self.server(server);
        let (_, _, pool) = state.hungry.first()?;
        (!state.full() && state.may_log_in()).then_some(pool)
    }

    pub(super) fn open(&mut self, turn: &mut Turn, pool: PoolId) {
        let conn = self.create(pool);
        turn.moved = true;
        turn.effects.push(Effect::Open { conn, pool });
    }

    /// Opens what `min` asks for, from slots that nobody else wants.
    pub(super) fn top_up(&mut self, turn: &mut Turn, id: PoolId) {
        while self.below_min(id) && self.may_open(turn, id) {
            self.open(turn, id);
        }
    }

    /// A pool whose logins fail is not tried until somebody asks for it.
    fn below_min(&self, id: PoolId) -> bool {
        let pool = self.at(id);
        let wanted = pool.used && !self.shutting_down && pool.failing.is_none();
        wanted && pool.tally.live() < pool.limits.min
    }

    /// Every cap has room and no other pool is waiting for it.
    pub(super) fn may_open(&mut self, turn: &mut Turn, id: PoolId) -> bool {
        let pool = self.at(id);
        let database = self.database(pool.database);
        let server = self.server(database.limits.server);
        let user = pool.cap.is_none_or(|user| self.user(user).hungry.is_empty());
        let uncontested = database.hungry.is_empty() && server.hungry.is_empty() && user;
        let able = pool.has_room() && !pool.barred() && server.may_log_in();
        able && uncontested && self.has_room(turn, id)
    }
}
