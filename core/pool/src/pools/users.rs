//! Caps over the connections of one user in all databases: which pools count, and what is done when
//! such a cap has room or is full. Users without a cap are not known here.

use std::time::Duration;

use super::{Pools, Turn};
use crate::ids::{PoolId, UserId};
use crate::lending::{Cap, Word};
use crate::pool::User;
use crate::ranking::Hunger;

impl Pools {
    /// Changes a user's cap, if that is not lent. A user is known from [`Pools::bind`] or this on;
    /// until a cap is set it is 0.
    pub fn set_user(&mut self, id: UserId, max: u32) {
        self.know_user(id);
        if !self.borrows {
            self.user_mut(id).loan.statement.lent = max;
        }
        self.user_mut(id).loan.dry_until = Duration::ZERO;
        self.relist_user(id);
        self.arm_user(id, Duration::ZERO);
    }

    /// From now on the pool's connections count under this user's cap, for good.
    pub fn bind(&mut self, pool: PoolId, user: UserId) {
        if self.at(pool).cap.is_some() {
            return;
        }
        self.know_user(user);
        // It leaves the lists of the hungry and enters them anew.
        let hunger = self.at_mut(pool).hunger.take();
        self.list(pool);
        let tally = self.at(pool).tally;
        self.at_mut(pool).cap = Some(user);
        let state = self.user_mut(user);
        state.pools.push(pool);
        state.tally.opening += tally.opening;
        state.tally.idle += tally.idle;
        state.tally.busy += tally.busy;
        state.tally.closing += tally.closing;
        state.holders += u32::from(tally.open() > 0);
        state.shorten_barren(Duration::ZERO, Duration::ZERO);
        self.relist_user(user);
        if hunger.is_some() {
            self.touch(pool);
        }
        self.arm_user(user, Duration::ZERO);
    }

    fn know_user(&mut self, id: UserId) {
        while self.users.len() <= id.0 as usize {
            self.users.push(User::default());
        }
    }

    /// There are more connections than the user's cap allows. Before the bank was told what was there
    /// when the cap came, nobody can say.
    pub(super) fn user_is_over(&self, id: UserId) -> bool {
        let user = self.user(id);
        !self.holds_untold(id) && user.tally.live() > user.loan.may_hold()
    }

    fn holds_untold(&self, id: UserId) -> bool {
        let user = self.user(id);
        self.borrows && user.tally.open() > user.loan.statement.lent
    }

    pub(super) fn user_is_full(&self, pool: PoolId) -> bool {
        self.at(pool).cap.is_some_and(|user| self.user(user).full())
    }

    /// Where the user has become full, or has room again, its hungry pools leave their databases'
    /// lists or come back.
    pub(super) fn relist_user(&mut self, id: UserId) {
        let user = self.user(id);
        let full = user.full();
        if full == user.listed_full {
            return;
        }
        let hungry: Vec<PoolId> = user.hungry.iter().map(|(_, _, pool)| *pool).collect();
        self.user_mut(id).listed_full = full;
        hungry.into_iter().for_each(|pool| self.list(pool));
    }

    /// Tells the bank what was there before it knew.
    pub(super) fn hold(&mut self, turn: &mut Turn, id: UserId) {
        if self.holds_untold(id) {
            let open = self.user(id).tally.open();
            self.tell(turn, Cap::User(id), Word::Hold(open));
        }
    }

    /// As [`Pools::feed`], for the pool's user too.
    pub(super) fn feed_pool(&mut self, turn: &mut Turn, pool: PoolId) {
        let (database, user) = (self.at(pool).database, self.at(pool).cap);
        let Some(user) = user else { return self.feed(turn, database) };
        self.seek(turn, Cap::User(user));
        self.feed(turn, database);
        self.feed_user(turn, user);
    }

    /// Does what can be done for the user's hungry pools, and for neighbours that lack a slot of it.
    pub(super) fn feed_user(&mut self, turn: &mut Turn, id: UserId) {
        if self.user_at_ease(id) {
            return;
        }
        let cap = Cap::User(id);
        loop {
            self.steps += 1;
            self.seek(turn, cap);
            self.feed_databases(turn, id);
            if self.make_room(turn, cap) {
                continue;
            }
            if !self.complain(turn, cap) {
                return;
            }
        }
    }

    pub(super) fn user_at_ease(&self, id: UserId) -> bool {
        let user = self.user(id);
        user.hungry.is_empty() && user.loan.at_ease()
    }

    /// Where the user has room, each of its hungry pools stands in its database's list.
    fn feed_databases(&mut self, turn: &mut Turn, id: UserId) {
        let mut hungry: Vec<Hunger> = self.user(id).hungry.iter().copied().collect();
        hungry.sort_unstable();
        for (_, _, pool) in hungry {
            if self.user(id).full() {
                return;
            }
            let database = self.at(pool).database;
            self.feed(turn, database);
        }
    }

    /// Closing a connection of `pool` frees all that keeps `heir` from opening one.
    pub(super) fn frees(&self, pool: PoolId, heir: PoolId) -> bool {
        let is_over = |cap: &Cap| self.caps_over(pool).any(|other| other == *cap);
        self.caps_over(heir).filter(|cap| self.binds(*cap)).all(|cap| is_over(&cap))
    }
}
