//! Requests, returns and the queue between them. A connection in use is never
//! taken away here; a returned one goes to the longest waiter of its own pool,
//! unless a pool with less has waited for its slot.

use std::time::Duration;

use super::{Pools, Turn};
use crate::conn::{Conn, Heir, State};
use crate::event::{Effect, Refusal};
use crate::ids::{ClientId, ConnId, PoolId};
use crate::lending::{Cap, Word};

impl Pools {
    pub(super) fn request(&mut self, turn: &mut Turn, client: ClientId, pool: PoolId) {
        debug_assert!(self.places.pool_of(client).is_none(), "{client:?} waits already");
        // Before a pause that is over ends: it may have kept others waiting.
        let before = self.at(pool).hunger;
        if let Some(why) = self.refusal_on_sight(turn, pool) {
            turn.effects.push(Effect::Refuse { client, why });
            return;
        }
        if let Some(conn) = self.rouse(pool) {
            turn.effects.push(Effect::Assign { client, conn });
            return;
        }
        self.enqueue(turn.now, client, pool);
        // Behind others that wait in vain there is nothing new to be found.
        if self.at(pool).hunger != before {
            self.feed_pool(turn, pool);
        }
        self.top_up(turn, pool);
    }

    /// An idle connection of the pool, which from now on is a client's until `Returned`: the answer
    /// to most requests, without a clock or a client's number. `None` where [`crate::Event::Request`]
    /// has to decide.
    pub fn take_idle(&mut self, pool: PoolId) -> Option<ConnId> {
        let state = self.at(pool);
        if self.shutting_down || state.forgotten || state.failing.is_some() {
            return None;
        }
        let taken = self.rouse(pool);
        if cfg!(debug_assertions) {
            self.check();
        }
        taken
    }

    fn rouse(&mut self, pool: PoolId) -> Option<ConnId> {
        self.at_mut(pool).used = true;
        let conn = self.at(pool).idle.back().copied()?;
        self.shift(conn, State::Busy);
        Some(conn)
    }

    /// What a request is told without waiting.
    fn refusal_on_sight(&mut self, turn: &Turn, id: PoolId) -> Option<Refusal> {
        if self.shutting_down {
            return Some(Refusal::ShuttingDown);
        }
        let pool = self.at(id);
        if pool.forgotten {
            return Some(Refusal::Forgotten);
        }
        let failing = pool.failing.as_ref()?;
        if failing.until <= turn.now {
            self.resume(id);
            return None;
        }
        let alone = pool.tally.idle + pool.tally.busy == 0;
        (failing.refused && alone).then(|| Refusal::LoginRefused { reason: failing.reason.clone() })
    }

    fn enqueue(&mut self, now: Duration, client: ClientId, id: PoolId) {
        let waiters = &mut self.pools[id.0 as usize].waiters;
        self.places.push(waiters, id, client, now);
        let first = waiters.len() == 1;
        self.touch(id);
        // Behind others that wait, the pool is armed already.
        if first && let Some(at) = self.waiting_deadline(id) {
            self.arm_pool(id, at);
        }
    }

    /// The longest waiter leaves the queue.
    pub(super) fn dequeue(&mut self, id: PoolId) -> Option<ClientId> {
        let client = self.places.pop(&mut self.pools[id.0 as usize].waiters)?;
        self.relax(id);
        Some(client)
    }

    pub(super) fn abandon(&mut self, turn: &mut Turn, client: ClientId) {
        let Some(pool) = self.places.pool_of(client) else { return };
        self.places.remove(&mut self.pools[pool.0 as usize].waiters, client);
        self.relax(pool);
        turn.moved = true;
        self.feed_pool(turn, pool);
    }

    /// One waiter fewer: the reserve closes with the last one.
    fn relax(&mut self, id: PoolId) {
        let pool = self.at_mut(id);
        if pool.waiters.is_empty() {
            pool.pressed = false;
        }
        self.touch(id);
    }

    /// Gives an open connection to the pool's longest waiter, or lets it rest. True if it was given.
    pub(super) fn hand_on(&mut self, turn: &mut Turn, conn: ConnId, pool: PoolId) -> bool {
        let Some(client) = self.dequeue(pool) else {
            self.rest(turn.now, conn, pool);
            return false;
        };
        self.shift(conn, State::Busy);
        turn.effects.push(Effect::Assign { client, conn });
        true
    }

    fn rest(&mut self, now: Duration, conn: ConnId, pool: PoolId) {
        self.shift(conn, State::Idle { since: now });
        let at = self.resting_deadline(now, conn, pool);
        self.arm_pool(pool, at);
    }

    /// A client's connection comes to rest: the answer to most returns, without effects. False, with
    /// nothing changed, where [`crate::Event::Returned`] has to decide.
    pub fn put_back(&mut self, now: Duration, id: ConnId) -> bool {
        let Some(&Conn { pool, state: State::Busy, expires, .. }) = self.conns.get(id) else {
            return false;
        };
        let wanted = !self.at(pool).waiters.is_empty() || !self.all_at_ease(pool);
        if wanted || expires <= now || self.end_of(now, id, pool).is_some() {
            return false;
        }
        self.rest(now, id, pool);
        if cfg!(debug_assertions) {
            self.check();
        }
        true
    }

    pub(super) fn returned(&mut self, turn: &mut Turn, id: ConnId, reuse: bool) {
        let Some(Conn { pool, state, .. }) = self.conns.get(id) else {
            debug_assert!(false, "returned {id:?} is unknown");
            return;
        };
        let (pool, state) = (*pool, *state);
        let fit = matches!(state, State::Busy) || matches!(state, State::Idle { .. }) && !reuse;
        debug_assert!(fit, "returned {id:?} is {state:?}");
        if !fit {
            return;
        }
        if !reuse {
            self.leave_slot(turn, id);
        } else if let Some(why) = self.end_of(turn.now, id, pool) {
            self.close(turn, id, why);
        } else if let Some(heir) = self.rival(turn, id, pool) {
            self.yield_to(turn, id, heir);
        } else if self.hand_on(turn, id, pool) {
            // A queue is shorter: there is nothing that anybody else could have.
            return;
        } else if self.conns.get(id).is_some_and(|conn| conn.expires <= turn.now) {
            self.renew(turn, pool);
        }
        self.feed_pool(turn, pool);
    }

    /// Nobody knows when the slot is free: who was promised it is as hungry as before.
    pub(super) fn lingers(&mut self, turn: &mut Turn, id: ConnId) {
        let Some(&Conn { state: State::Closing { promised: Some(heir) }, .. }) = self.conns.get(id)
        else {
            return;
        };
        self.shift(id, State::Closing { promised: None });
        match heir {
            Heir::Pool(heir) => self.feed_pool(turn, heir),
            Heir::Neighbour(cap) => self.tell(turn, cap, Word::Return { count: 0, yielded: 1 }),
        }
    }

    pub(super) fn closed(&mut self, turn: &mut Turn, id: ConnId) {
        let Some(conn) = self.conns.get(id) else {
            debug_assert!(false, "closed {id:?} is unknown");
            return;
        };
        debug_assert!(conn.state != State::Opening, "closed {id:?} is opening");
        if conn.state == State::Opening {
            return;
        }
        let (pool, state) = (conn.pool, conn.state);
        self.remove(id);
        turn.moved = true;
        let heir = match state {
            State::Closing { promised: Some(Heir::Pool(heir)) } => heir,
            State::Closing { promised: Some(Heir::Neighbour(cap)) } => {
                self.tell(turn, cap, Word::Return { count: 1, yielded: 1 });
                pool
            }
            _ => pool,
        };
        if let Some(user) = self.at(heir).cap {
            self.seek(turn, Cap::User(user));
        }
        self.seek(turn, Cap::Database(self.at(heir).database));
        self.feed_pool(turn, pool);
        if heir != pool {
            self.feed_pool(turn, heir);
        }
        self.top_up(turn, pool);
        self.settle(turn, pool);
    }
}
