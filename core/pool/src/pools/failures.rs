//! Logins that succeed or fail. A failure delays its own pool only.

use std::sync::Arc;

use super::{Pools, Turn};
use crate::conn::State;
use crate::event::{Effect, Refusal};
use crate::ids::{ConnId, PoolId};
use crate::pool::Failing;

impl Pools {
    pub(super) fn opened(&mut self, turn: &mut Turn, id: ConnId) {
        let Some(pool) = self.opening_pool(id) else { return };
        let (low, high) = self.at(pool).limits.lifetime;
        let life = self.random.between(low, high);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.opened = turn.now;
            conn.expires = turn.now + life;
        }
        self.at_mut(pool).failing = None;
        self.touch(pool);
        match self.end_of(turn.now, id, pool) {
            Some(why) => self.close(turn, id, why),
            None => {
                self.hand_on(turn, id, pool);
            }
        }
        self.renew(turn, pool);
        self.feed_pool(turn, pool);
        self.top_up(turn, pool);
    }

    pub(super) fn open_failed(&mut self, turn: &mut Turn, id: ConnId, retry: bool, reason: &str) {
        let Some(pool) = self.opening_pool(id) else { return };
        self.remove(id);
        turn.moved = true;
        self.back_off(turn, pool, !retry, reason);
        let tally = self.at(pool).tally;
        if !retry && tally.idle + tally.busy == 0 {
            let reason: Arc<str> = reason.into();
            self.refuse_all(turn, pool, || Refusal::LoginRefused { reason: reason.clone() });
        }
        self.feed_pool(turn, pool);
        self.settle(turn, pool);
    }

    fn opening_pool(&self, id: ConnId) -> Option<PoolId> {
        let conn = self.conns.get(id).filter(|conn| conn.state == State::Opening);
        debug_assert!(conn.is_some(), "{id:?} is not opening");
        conn.map(|conn| conn.pool)
    }

    /// No login for a while. Failures of logins that ran side by side count once.
    fn back_off(&mut self, turn: &Turn, id: PoolId, refused: bool, reason: &str) {
        let before = self.at_mut(id).failing.take();
        let side_by_side = before.as_ref().is_some_and(|failing| failing.paused);
        let (attempts, since) = match &before {
            Some(failing) => (failing.attempts + u32::from(!side_by_side), failing.since),
            None => (1, turn.now),
        };
        let until = match &before {
            Some(failing) if side_by_side => failing.until,
            _ => turn.now + self.pause(attempts, refused),
        };
        let reason = reason.into();
        let failing = Failing { attempts, until, paused: true, refused, reason, since };
        self.at_mut(id).failing = Some(Box::new(failing));
        self.touch(id);
        self.arm_pool(id, until);
    }

    fn pause(&mut self, attempts: u32, refused: bool) -> std::time::Duration {
        if refused {
            return self.tuning.refused;
        }
        let doublings = attempts.saturating_sub(1).min(16);
        let full = (self.tuning.backoff_min * (1 << doublings)).min(self.tuning.backoff_max);
        self.random.between(full / 2, full)
    }

    /// The pause is over: one login may be tried.
    pub(super) fn resume(&mut self, id: PoolId) {
        if let Some(failing) = &mut self.at_mut(id).failing {
            failing.paused = false;
        }
        self.touch(id);
    }

    pub(super) fn refuse_all(&mut self, turn: &mut Turn, id: PoolId, why: impl Fn() -> Refusal) {
        while let Some(client) = self.dequeue(id) {
            turn.effects.push(Effect::Refuse { client, why: why() });
        }
    }
}
