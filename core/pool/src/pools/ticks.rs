//! What happens when time has passed: waits that end, reserves that open,
//! connections that were idle too long, pauses that are over.

use std::time::Duration;

use super::{Pools, Turn};
use crate::deadlines::Subject;
use crate::event::{CloseReason, Effect, Limit, Refusal};
use crate::ids::{ConnId, DatabaseId, PoolId};
use crate::lending::Cap;
use crate::limits::PoolLimits;

impl Pools {
    pub(super) fn tick(&mut self, turn: &mut Turn) {
        while let Some(subject) = self.deadlines.pop_due(turn.now) {
            self.steps += 1;
            match subject {
                Subject::Pool(id) => self.tick_pool(turn, id),
                Subject::Database(id) => {
                    self.database_mut(id).armed = None;
                    self.tend(turn, Cap::Database(id));
                }
                Subject::Server(id) => {
                    self.server_mut(id).armed = None;
                    if std::mem::take(&mut self.server_mut(id).changed) {
                        self.feed_server(turn, id);
                    }
                    self.tend(turn, Cap::Server(id));
                }
                Subject::User(id) => {
                    self.user_mut(id).armed = None;
                    self.hold(turn, id);
                    self.tend(turn, Cap::User(id));
                }
                Subject::Loan(cap) => {
                    self.loan_mut(cap).armed = None;
                    self.settle_cap(turn, cap);
                }
            }
        }
    }

    fn tick_pool(&mut self, turn: &mut Turn, id: PoolId) {
        self.at_mut(id).armed = None;
        self.end_waits(turn, id);
        self.press(turn.now, id);
        let failing = self.at(id).failing.as_ref();
        if failing.is_some_and(|failing| failing.until <= turn.now) {
            self.resume(id);
        }
        self.end_idleness(turn, id);
        if self.over_cap(id) {
            self.shed(turn, self.server_of(self.at(id).database));
        }
        self.renew(turn, id);
        self.feed_pool(turn, id);
        self.top_up(turn, id);
        if let Some(at) = self.pool_deadline(turn.now, id) {
            self.arm_pool(id, at);
        }
    }

    fn end_waits(&mut self, turn: &mut Turn, id: PoolId) {
        let Some(timeout) = self.at(id).limits.wait_timeout else { return };
        while self.at(id).waiters.head_since().is_some_and(|since| since + timeout <= turn.now) {
            let Some(client) = self.dequeue(id) else { return };
            turn.effects.push(Effect::Refuse { client, why: self.why_late(id) });
        }
    }

    /// Why a client of the pool that has waited for long enough gets no connection.
    pub fn why_late(&self, id: PoolId) -> Refusal {
        match &self.at(id).failing {
            Some(failing) => {
                Refusal::BackendDown { reason: failing.reason.clone(), since: failing.since }
            }
            None => Refusal::WaitTimeout(self.limit(id)),
        }
    }

    /// What keeps the pool's clients waiting, the closest first.
    fn limit(&self, id: PoolId) -> Limit {
        let pool = self.at(id);
        if !pool.has_room() {
            return Limit::Pool(pool.capacity());
        }
        match self.caps_over(id).rev().find(|cap| self.binds(*cap)) {
            Some(Cap::User(_)) => Limit::User,
            Some(Cap::Database(id)) if self.is_as_large_as_its_server(id) => Limit::Server,
            Some(Cap::Database(_)) => Limit::Database,
            Some(Cap::Server(_)) => Limit::Server,
            None => Limit::Logins,
        }
    }

    /// To raise the database's limit alone would not help.
    fn is_as_large_as_its_server(&self, id: DatabaseId) -> bool {
        let limits = &self.database(id).limits;
        limits.max >= self.server(limits.server).limits.max
    }

    /// Opens the reserve for a queue whose head has waited long enough.
    fn press(&mut self, now: Duration, id: PoolId) {
        let pool = self.at_mut(id);
        let timeout = pool.limits.reserve_timeout;
        if !timeout.is_zero()
            && pool.waiters.head_since().is_some_and(|since| since + timeout <= now)
        {
            pool.pressed = true;
            self.touch(id);
        }
    }

    fn end_idleness(&mut self, turn: &mut Turn, id: PoolId) {
        while let Some((conn, since)) = self.longest_idle(id) {
            let pool = self.at(id);
            let over = since + pool.limits.idle_timeout <= turn.now;
            if !over || pool.tally.live() <= pool.limits.min {
                return;
            }
            self.close(turn, conn, CloseReason::IdleTimeout);
        }
    }

    fn longest_idle(&self, id: PoolId) -> Option<(ConnId, Duration)> {
        let front = *self.at(id).idle.front()?;
        Some((front, self.conns.idle_since(front)?))
    }

    /// When the queue must be looked at again.
    pub(super) fn waiting_deadline(&self, id: PoolId) -> Option<Duration> {
        let pool = self.at(id);
        let since = pool.waiters.head_since()?;
        let refuse = pool.limits.wait_timeout.map(|timeout| since + timeout);
        let PoolLimits { reserve, reserve_timeout, .. } = pool.limits;
        let may_press = reserve > 0 && !reserve_timeout.is_zero() && !pool.pressed;
        let press = may_press.then(|| since + reserve_timeout);
        let paused = pool.failing.as_ref().filter(|failing| failing.paused);
        let resume = paused.map(|failing| failing.until);
        [refuse, press, resume].into_iter().flatten().min()
    }

    /// When a connection that rests from now on must be looked at again.
    pub(super) fn resting_deadline(&self, now: Duration, conn: ConnId, id: PoolId) -> Duration {
        let idle = now + self.at(id).limits.idle_timeout;
        self.conns.get(conn).map_or(idle, |conn| idle.min(conn.expires))
    }

    fn pool_deadline(&self, now: Duration, id: PoolId) -> Option<Duration> {
        let pool = self.at(id);
        let spare = pool.tally.live() > pool.limits.min;
        let idle = self.longest_idle(id).filter(|_| spare);
        let idle = idle.map(|(_, since)| since + pool.limits.idle_timeout);
        let life = pool.idle.iter().filter_map(|conn| self.conns.get(*conn));
        // What has expired and still rests is looked at again after the grace.
        let life = life.map(|conn| conn.expires.max(now + self.tuning.grace)).min();
        [self.waiting_deadline(id), idle, life].into_iter().flatten().min()
    }
}
