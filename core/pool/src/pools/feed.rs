//! Where free slots go: to the pools that lack a connection, fewest connections
//! first. It opens; what closes to make room is chosen in `evict.rs`.

use super::evict::Scope;
use super::{Pools, Turn};
use crate::event::Effect;
use crate::ids::{DatabaseId, PoolId};

impl Pools {
    /// Called after every event that freed something or made somebody hungry
    /// in `database`. Does all that can be done, in the order of hunger.
    pub(super) fn feed(&mut self, turn: &mut Turn, database: DatabaseId) {
        let mut grown = Vec::new();
        self.feed_one(turn, database, &mut grown);
        while let Some(database) = grown.pop() {
            self.feed_one(turn, database, &mut grown);
        }
    }

    /// Databases other than this one that got a connection are added to `grown`:
    /// one that is full by now must look for room in itself.
    fn feed_one(&mut self, turn: &mut Turn, database: DatabaseId, grown: &mut Vec<DatabaseId>) {
        let server = self.server_of(database);
        loop {
            self.steps += 1;
            let state = self.server(server);
            match state.hungry.first() {
                Some((_, _, pool)) if !state.full() && state.may_log_in() => {
                    self.open(turn, pool);
                    let other = self.at(pool).database;
                    if other != database {
                        grown.push(other);
                    }
                }
                _ if !self.make_some_room(turn, database) => return,
                _ => {}
            }
        }
    }

    /// Room under each cap that binds.
    fn make_some_room(&mut self, turn: &mut Turn, database: DatabaseId) -> bool {
        let server = self.server_of(database);
        let in_server = self.server(server).full() && self.make_room(turn, Scope::Server(server));
        let full = self.database(database).full();
        let in_database = full && self.make_room(turn, Scope::Database(database));
        in_server || in_database
    }

    pub(super) fn open(&mut self, turn: &mut Turn, pool: PoolId) {
        let conn = self.create(pool);
        turn.effects.push(Effect::Open { conn, pool });
    }

    /// Opens what `min` asks for, from slots that nobody else wants.
    pub(super) fn top_up(&mut self, turn: &mut Turn, id: PoolId) {
        while self.below_min(id) && self.may_open(id) {
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
    pub(super) fn may_open(&self, id: PoolId) -> bool {
        let pool = self.at(id);
        let database = self.database(pool.database);
        let server = self.server(database.limits.server);
        let uncontested = database.hungry.is_empty() && server.hungry.is_empty();
        let room = pool.has_room() && !database.full() && !server.full() && server.may_log_in();
        room && uncontested && !pool.barred()
    }
}
