//! Connections that have had their time: lifetimes, reconnects, lowered caps,
//! forgotten pools, shutdown. Idle ones close now, busy ones when returned.

use std::time::Duration;

use super::{Pools, Turn};
use crate::conn::{Conn, State};
use crate::event::{CloseReason, Refusal};
use crate::ids::{ConnId, PoolId, ServerId};

/// An expired connection that was used this recently is worth replacing.
const RECENT: Duration = Duration::from_secs(10);

impl Pools {
    /// Why this open connection must not go to another client, if so.
    pub(super) fn end_of(&self, now: Duration, id: ConnId, pool: PoolId) -> Option<CloseReason> {
        if self.shutting_down {
            return Some(CloseReason::Shutdown);
        }
        let state = self.at(pool);
        if state.forgotten {
            return Some(CloseReason::Forgotten);
        }
        let conn = self.conns.get(id)?;
        let server = self.server(self.server_of(state.database));
        if conn.epoch != server.epoch {
            return Some(CloseReason::Reconnect);
        }
        if self.over_cap(pool) {
            return Some(CloseReason::Excess);
        }
        // While a login of its own pool is under way it serves on, for a while.
        let patience = if state.tally.opening > 0 { self.tuning.grace } else { Duration::ZERO };
        let waited_for = !state.waiters.is_empty();
        let expired = now >= conn.expires.saturating_add(patience);
        (expired && waited_for).then_some(CloseReason::Lifetime)
    }

    pub(super) fn over_cap(&self, id: PoolId) -> bool {
        let pool = self.at(id);
        let database = self.database(pool.database);
        let server = self.server(database.limits.server);
        pool.tally.live() > pool.ceiling()
            || database.tally.live() > database.loan.may_hold()
            || server.tally.live() > server.loan.may_hold()
            || pool.cap.is_some_and(|user| self.user_is_over(user))
    }

    /// Closes expired idle connections, a few at once, those in recent use only
    /// after their replacement has been opened where the caps leave room.
    pub(super) fn renew(&mut self, turn: &mut Turn, id: PoolId) {
        for conn in self.expired(turn.now, id) {
            let server = self.server_of(self.at(id).database);
            if self.server(server).tally.closing >= self.tuning.retiring {
                return self.arm_pool(id, turn.now + self.tuning.grace);
            }
            if self.replace_first(turn, conn, id) {
                return self.arm_pool(id, turn.now + self.tuning.grace);
            }
            self.close(turn, conn, CloseReason::Lifetime);
        }
    }

    fn expired(&self, now: Duration, id: PoolId) -> Vec<ConnId> {
        let due = |conn: &&ConnId| self.conns.get(**conn).is_some_and(|conn| conn.expires <= now);
        self.at(id).idle.iter().filter(due).copied().collect()
    }

    /// True while the replacement of this idle connection is on its way.
    fn replace_first(&mut self, turn: &mut Turn, conn: ConnId, id: PoolId) -> bool {
        let Some(&Conn { state: State::Idle { since }, expires, .. }) = self.conns.get(conn) else {
            return false;
        };
        let late = expires.max(since).saturating_add(self.tuning.grace) <= turn.now;
        if self.at(id).tally.opening > 0 {
            return !late;
        }
        let pool = self.at(id);
        let wanted = pool.tally.live() <= pool.limits.min || turn.now < since + RECENT;
        // With another fresh connection idle, nobody would notice the loss.
        let only = pool.idle.len() == 1;
        if late || !wanted || !only || !self.may_open(turn, id) {
            return false;
        }
        self.open(turn, id);
        true
    }

    pub(super) fn reconnect(&mut self, turn: &mut Turn, server: ServerId) {
        let state = self.server_mut(server);
        state.epoch = state.epoch.wrapping_add(1);
        let resting = state.resting.clone();
        self.empty(turn, &resting, CloseReason::Reconnect);
        for pool in &resting {
            self.feed_pool(turn, *pool);
        }
    }

    /// Closes all idle connections of these pools.
    fn empty(&mut self, turn: &mut Turn, pools: &[PoolId], why: CloseReason) {
        for pool in pools {
            while let Some(conn) = self.at(*pool).idle.front().copied() {
                self.close(turn, conn, why);
            }
        }
    }

    pub(super) fn forget(&mut self, turn: &mut Turn, id: PoolId) {
        self.at_mut(id).forgotten = true;
        self.refuse_all(turn, id, || Refusal::Forgotten);
        self.empty(turn, &[id], CloseReason::Forgotten);
        let pool = self.at_mut(id);
        pool.failing = None;
        pool.idle.shrink_to_fit();
        self.touch(id);
        self.feed_pool(turn, id);
    }

    pub(super) fn shut_down(&mut self, turn: &mut Turn) {
        self.shutting_down = true;
        let all: Vec<PoolId> = (0..self.pools.len() as u32).map(PoolId).collect();
        for id in &all {
            self.refuse_all(turn, *id, || Refusal::ShuttingDown);
        }
        self.empty(turn, &all, CloseReason::Shutdown);
    }

    /// Closes idle connections until the caps hold, from the pool that holds most.
    pub(super) fn shed(&mut self, turn: &mut Turn, server: ServerId) {
        self.shed_all(turn, self.server(server).resting.clone());
    }

    /// The same among these pools.
    pub(super) fn shed_all(&mut self, turn: &mut Turn, mut over: Vec<PoolId>) {
        over.retain(|id| !self.at(*id).idle.is_empty() && self.over_cap(*id));
        while let Some(most) = over.iter().copied().max_by_key(|id| self.at(*id).tally.live()) {
            if let Some(conn) = self.at(most).idle.front().copied() {
                self.close(turn, conn, CloseReason::Excess);
            }
            over.retain(|id| !self.at(*id).idle.is_empty() && self.over_cap(*id));
        }
    }
}
