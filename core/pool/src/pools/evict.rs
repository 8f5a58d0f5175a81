//! Whose connection is closed so that a pool with less can open one, here or in another worker.
//! Closing is the last resort: never one in use, never one younger than what it cost.

use std::time::Duration;

use super::{Pools, Turn};
use crate::conn::{Heir, State};
use crate::event::{CloseReason, Effect};
use crate::ids::{ConnId, PoolId};
use crate::lending::{Cap, Want};
use crate::pool::Barren;
use crate::ranking::Hunger;

/// What the search found.
enum Victim {
    Now(ConnId),
    None { until: Duration },
}

/// For whom a connection would be closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimant {
    /// Connections that it has.
    has: u32,
    /// Since when its longest waiter waits.
    since: Duration,
    /// Unless it is next door.
    pool: Option<PoolId>,
    /// It is a pool of this worker, and there is not even one connection for each pool that holds
    /// any beside it.
    crowded: bool,
}

impl Pools {
    /// Closes one idle connection for the hungriest under this cap. If one will
    /// be ripe later, the timer is set for it.
    pub(super) fn make_room(&mut self, turn: &mut Turn, cap: Cap) -> bool {
        if !self.borrows {
            return self.is_full(cap) && self.make_room_here(turn, cap);
        }
        let neighbour_first = self.outranked(cap);
        if neighbour_first && self.make_room_next_door(turn, cap) {
            return true;
        }
        if self.is_full(cap) && self.make_room_here(turn, cap) {
            return true;
        }
        !neighbour_first && self.make_room_next_door(turn, cap)
    }

    /// For the hungriest pool of this worker.
    fn make_room_here(&mut self, turn: &mut Turn, cap: Cap) -> bool {
        let Some(hunger) = self.hungriest(cap) else { return false };
        let (has, _, heir) = hunger;
        let barren = *self.barren(cap).until(has);
        let victim = match turn.now < barren {
            true => Victim::None { until: barren },
            false => self.victim(turn.now, cap, self.claimant(cap, hunger)),
        };
        match victim {
            Victim::Now(conn) => {
                self.close_for(turn, conn, CloseReason::Evicted, Some(Heir::Pool(heir)));
                true
            }
            Victim::None { until } => {
                *self.barren(cap).until(has) = until;
                if until < Duration::MAX {
                    self.arm_cap(cap, until);
                }
                false
            }
        }
    }

    /// For a pool of another worker.
    fn make_room_next_door(&mut self, turn: &mut Turn, cap: Cap) -> bool {
        let loan = self.loan(cap);
        let Some(want) = loan.statement.neighbour else { return false };
        let victim = match turn.now < loan.barren {
            true => Victim::None { until: loan.barren },
            false => self.victim(turn.now, cap, Claimant::next_door(want)),
        };
        match victim {
            Victim::Now(conn) => {
                let promised = self.promise(turn, cap, want);
                if promised {
                    let heir = Some(Heir::Neighbour(cap));
                    self.close_for(turn, conn, CloseReason::Evicted, heir);
                }
                promised
            }
            Victim::None { until } => {
                self.loan_mut(cap).barren = until;
                if until < Duration::MAX {
                    self.arm_cap(cap, until);
                }
                false
            }
        }
    }

    fn barren(&mut self, cap: Cap) -> &mut Barren {
        match cap {
            Cap::Server(server) => &mut self.server_mut(server).barren,
            Cap::Database(database) => &mut self.database_mut(database).barren,
            Cap::User(user) => &mut self.user_mut(user).barren,
        }
    }

    pub(super) fn hungriest(&self, cap: Cap) -> Option<Hunger> {
        match cap {
            Cap::Server(server) => self.server(server).hungry.first(),
            Cap::Database(database) => self.database(database).hungry.first(),
            Cap::User(user) => self.user(user).hungry.first(),
        }
    }

    pub(super) fn claimant(&self, cap: Cap, (has, since, pool): Hunger) -> Claimant {
        Claimant { has, since, pool: Some(pool), crowded: self.crowded(cap) }
    }

    /// The longest idle connection of the pool that holds most.
    fn victim(&mut self, now: Duration, cap: Cap, claimant: Claimant) -> Victim {
        let mut best = None;
        let mut until = Duration::MAX;
        let mut place = 0;
        while let Some(id) = self.resting_under(cap).get(place).copied() {
            self.steps += 1;
            if self.at(id).idle.is_empty() && !matches!(cap, Cap::User(_)) {
                self.get_up(id);
                continue;
            }
            place += 1;
            let Some((ripe, idle_since, conn)) = self.ripeness(id, cap, claimant) else {
                continue;
            };
            // Another cap may keep the heir waiting as well, and have room in a while.
            let ripe =
                if self.is_in_vain(id, cap, claimant) { now + self.tuning.cost } else { ripe };
            if ripe <= now {
                let rank = (self.at(id).tally.live(), std::cmp::Reverse(idle_since), conn);
                best = best.max(Some(rank));
            } else {
                until = until.min(ripe);
            }
        }
        match best {
            Some((_, _, conn)) => Victim::Now(conn),
            None => Victim::None { until },
        }
    }

    /// Closing a connection of this pool would not let the claimant open one, nor would it bring it
    /// closer to that: another cap keeps it waiting too, under which nothing rests.
    fn is_in_vain(&self, id: PoolId, cap: Cap, claimant: Claimant) -> bool {
        let (Cap::User(_), Some(heir)) = (cap, claimant.pool) else { return false };
        let mut others = self.caps_over(heir).filter(|cap| self.binds(*cap));
        others.any(|other| {
            let freed = self.caps_over(id).any(|cap| cap == other);
            !freed && !self.has_idle(other)
        })
    }

    fn has_idle(&self, cap: Cap) -> bool {
        match cap {
            Cap::Server(server) => self.server(server).tally.idle > 0,
            Cap::Database(database) => self.database(database).tally.idle > 0,
            Cap::User(user) => self.user(user).tally.idle > 0,
        }
    }

    /// All pools with idle connections under this cap are among these.
    pub(super) fn resting_under(&self, cap: Cap) -> &[PoolId] {
        match cap {
            Cap::Server(server) => &self.server(server).resting,
            Cap::Database(database) => &self.server(self.server_of(database)).resting,
            Cap::User(user) => &self.user(user).pools,
        }
    }

    /// From when on the claimant may have this pool's longest idle connection.
    pub(super) fn ripeness(
        &self,
        id: PoolId,
        cap: Cap,
        claimant: Claimant,
    ) -> Option<(Duration, Duration, ConnId)> {
        let pool = self.at(id);
        if matches!(cap, Cap::Database(database) if pool.database != database) {
            return None;
        }
        let front = *pool.idle.front()?;
        let conn = self.conns.get(front)?;
        let State::Idle { since } = conn.state else { return None };
        let paid = conn.opened + self.tuning.cost;
        let holds = pool.tally.live();
        let ripe = match claimant.has {
            0 if holds > 1 || claimant.crowded => paid,
            // Somebody holds more than one and will return one: wait a moment.
            0 => paid.max(claimant.since + self.tuning.cost),
            _ if holds > pool.limits.min.max(1) => paid.max(since + self.tuning.settled),
            _ => return None,
        };
        Some((ripe, since, front))
    }

    /// Not even one connection for each pool that holds any beside the hungry one.
    fn crowded(&self, cap: Cap) -> bool {
        let (tally, holders) = match cap {
            Cap::Server(server) => (self.server(server).tally, self.server(server).holders),
            Cap::Database(database) => {
                (self.database(database).tally, self.database(database).holders)
            }
            Cap::User(user) => (self.user(user).tally, self.user(user).holders),
        };
        tally.open() <= holders
    }

    /// Who should have the slot of this returned connection more than its own
    /// pool should: the exchange must bring the two closer, or give a turn to
    /// one that has none.
    pub(super) fn rival(&mut self, turn: &mut Turn, conn: ConnId, own: PoolId) -> Option<Heir> {
        let opened = self.conns.get(conn)?.opened;
        if turn.now < opened + self.tuning.cost {
            return None;
        }
        let here = self.rival_here(turn.now, own);
        let best = here.map(|(has, since, _)| (has, since));
        if let Some((cap, want)) = self.rival_next_door(turn.now, own, best)
            && self.promise(turn, cap, want)
        {
            return Some(Heir::Neighbour(cap));
        }
        here.map(|(_, _, heir)| Heir::Pool(heir))
    }

    fn rival_here(&self, now: Duration, own: PoolId) -> Option<Hunger> {
        let pool = self.at(own);
        let binding = self.caps_over(own).filter(|cap| self.binds(*cap));
        let hungry = binding.filter_map(|cap| Some((cap, self.hungriest(cap)?)));
        let hungry = hungry.filter(|(_, hunger)| self.frees(own, hunger.2));
        // The database's own first, if it is the same pool.
        let (cap, hunger) =
            hungry.min_by_key(|(cap, hunger)| (*hunger, std::cmp::Reverse(*cap)))?;
        let (has, since, heir) = hunger;
        let holds = pool.tally.live();
        let waited = now >= since + self.tuning.cost;
        let gains = match has {
            0 => holds > 1 || self.crowded(cap) || waited,
            _ => holds >= has + 2 && waited && !pool.waiters.is_empty(),
        };
        (gains && heir != own).then_some(hunger)
    }

    /// A neighbour's want is as old as the word of it: who has something may have been served since,
    /// so what counts is how long it had waited then.
    fn rival_next_door(
        &self,
        now: Duration,
        own: PoolId,
        best: Option<(u32, Duration)>,
    ) -> Option<(Cap, Want)> {
        let pool = self.at(own);
        let holds = pool.tally.live();
        let cost = self.tuning.cost;
        let gains = |want: &Want| match want.has {
            0 => holds > 1 || now >= want.since + cost,
            has => holds >= has + 2 && want.waited(cost) && !pool.waiters.is_empty(),
        };
        self.next_door(own, best).filter(|(_, want)| gains(want))
    }

    /// The hungriest neighbour under the pool's caps, if it is hungrier than this.
    fn next_door(&self, pool: PoolId, best: Option<(u32, Duration)>) -> Option<(Cap, Want)> {
        if !self.borrows {
            return None;
        }
        let wants =
            self.caps_over(pool).filter_map(|cap| Some((cap, self.loan(cap).statement.neighbour?)));
        let hungriest = wants.min_by_key(|(_, want)| want.rank())?;
        best.is_none_or(|best| hungriest.1.rank() < best).then_some(hungriest)
    }

    /// Closes an open connection; its slot goes to whoever the binding cap keeps waiting.
    pub(super) fn close(&mut self, turn: &mut Turn, conn: ConnId, why: CloseReason) {
        let heir = self.heir(turn, conn);
        self.close_for(turn, conn, why, heir);
    }

    fn close_for(&mut self, turn: &mut Turn, conn: ConnId, why: CloseReason, heir: Option<Heir>) {
        self.shift(conn, State::Closing { promised: heir });
        turn.moved = true;
        turn.effects.push(Effect::Close { conn, why });
    }

    /// The slot of a returned connection is another's.
    pub(super) fn yield_to(&mut self, turn: &mut Turn, conn: ConnId, heir: Heir) {
        self.close_for(turn, conn, CloseReason::Yielded, Some(heir));
    }

    /// The caller is closing it: the slot stays taken until `Closed`.
    pub(super) fn leave_slot(&mut self, turn: &mut Turn, conn: ConnId) {
        let promised = self.heir(turn, conn);
        turn.moved = true;
        self.shift(conn, State::Closing { promised });
    }

    /// Who is hungry for the slot that this connection will free.
    fn heir(&mut self, turn: &mut Turn, conn: ConnId) -> Option<Heir> {
        let pool = self.conns.get(conn)?.pool;
        for cap in self.caps_over(pool).rev() {
            if self.seek(turn, cap) {
                self.arm_cap(cap, Duration::ZERO);
            }
        }
        let binding = self.caps_over(pool).filter(|cap| self.is_full(*cap));
        let hungry = binding.filter_map(|cap| self.hungriest(cap));
        let here = hungry.filter(|(_, _, heir)| self.frees(pool, *heir)).min();
        let best = here.map(|(has, since, _)| (has, since));
        if let Some((cap, want)) = self.next_door(pool, best)
            && self.promise(turn, cap, want)
        {
            return Some(Heir::Neighbour(cap));
        }
        here.map(|(_, _, heir)| Heir::Pool(heir))
    }
}

impl Claimant {
    pub(super) fn next_door(want: Want) -> Claimant {
        Claimant { has: want.has, since: want.since, pool: None, crowded: false }
    }
}
