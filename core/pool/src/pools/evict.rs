//! Whose connection is closed so that a pool with less can open one. Closing is
//! the last resort: never one in use, never one younger than what it cost.

use std::time::Duration;

use super::{Pools, Turn};
use crate::conn::State;
use crate::event::{CloseReason, Effect};
use crate::ids::{ConnId, DatabaseId, PoolId, ServerId};
use crate::pool::Barren;
use crate::ranking::Hunger;

/// Which cap binds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    Server(ServerId),
    Database(DatabaseId),
}

/// What the search found.
enum Victim {
    Now(ConnId),
    None { until: Duration },
}

impl Pools {
    /// Closes one idle connection for the hungriest pool under this cap.
    /// If one will be ripe later, the timer is set for it.
    pub(super) fn make_room(&mut self, turn: &mut Turn, scope: Scope) -> bool {
        let Some(hunger) = self.hungriest(scope) else { return false };
        let (has, _, heir) = hunger;
        let barren = *self.barren(scope).until(has);
        let victim = match turn.now < barren {
            true => Victim::None { until: barren },
            false => self.victim(turn.now, scope, hunger),
        };
        match victim {
            Victim::Now(conn) => {
                self.close_for(turn, conn, CloseReason::Evicted, Some(heir));
                true
            }
            Victim::None { until } => {
                *self.barren(scope).until(has) = until;
                if until < Duration::MAX {
                    self.arm_database(self.at(heir).database, until);
                }
                false
            }
        }
    }

    fn barren(&mut self, scope: Scope) -> &mut Barren {
        match scope {
            Scope::Server(server) => &mut self.server_mut(server).barren,
            Scope::Database(database) => &mut self.database_mut(database).barren,
        }
    }

    pub(super) fn hungriest(&self, scope: Scope) -> Option<Hunger> {
        match scope {
            Scope::Server(server) => self.server(server).hungry.first(),
            Scope::Database(database) => self.database(database).hungry.first(),
        }
    }

    /// The longest idle connection of the pool that holds most.
    fn victim(&mut self, now: Duration, scope: Scope, hunger: Hunger) -> Victim {
        let server = match scope {
            Scope::Server(server) => server,
            Scope::Database(database) => self.server_of(database),
        };
        self.steps += self.server(server).resting.len() as u64;
        let mut best = None;
        let mut until = Duration::MAX;
        let mut place = 0;
        while let Some(id) = self.server(server).resting.get(place).copied() {
            if self.at(id).idle.is_empty() {
                self.get_up(id);
                continue;
            }
            place += 1;
            let Some((ripe, idle_since, conn)) = self.ripeness(id, scope, hunger) else {
                continue;
            };
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

    /// From when on the hungry pool may have this one's longest idle connection.
    pub(super) fn ripeness(
        &self,
        id: PoolId,
        scope: Scope,
        (has, waits_since, _): Hunger,
    ) -> Option<(Duration, Duration, ConnId)> {
        let pool = self.at(id);
        if matches!(scope, Scope::Database(database) if pool.database != database) {
            return None;
        }
        let front = *pool.idle.front()?;
        let conn = self.conns.get(front)?;
        let State::Idle { since } = conn.state else { return None };
        let paid = conn.opened + self.tuning.cost;
        let holds = pool.tally.live();
        let ripe = match has {
            0 if holds > 1 || self.crowded(scope) => paid,
            // Somebody holds more than one and will return one: wait a moment.
            0 => paid.max(waits_since + self.tuning.cost),
            _ if holds > pool.limits.min.max(1) => paid.max(since + self.tuning.settled),
            _ => return None,
        };
        Some((ripe, since, front))
    }

    /// Not even one connection for each pool that holds any beside the hungry one.
    fn crowded(&self, scope: Scope) -> bool {
        let (tally, holders) = match scope {
            Scope::Server(server) => (self.server(server).tally, self.server(server).holders),
            Scope::Database(database) => {
                (self.database(database).tally, self.database(database).holders)
            }
        };
        tally.open() <= holders
    }

    /// The pool that should have the slot of this returned connection more than
    /// its own pool should: the exchange must bring the two closer, or give a
    /// turn to one that has none.
    pub(super) fn rival(&self, now: Duration, conn: ConnId, own: PoolId) -> Option<PoolId> {
        let opened = self.conns.get(conn)?.opened;
        if now < opened + self.tuning.cost {
            return None;
        }
        let pool = self.at(own);
        let database = pool.database;
        let server = self.server_of(database);
        let capped = [
            (self.database(database).full(), Scope::Database(database)),
            (self.server(server).full(), Scope::Server(server)),
        ];
        let binding = capped.into_iter().filter(|(full, _)| *full);
        let (scope, hunger) = binding
            .filter_map(|(_, scope)| Some((scope, self.hungriest(scope)?)))
            .min_by_key(|(_, hunger)| *hunger)?;
        let (has, waits_since, heir) = hunger;
        let holds = pool.tally.live();
        let waited = now >= waits_since + self.tuning.cost;
        let gains = match has {
            0 => holds > 1 || self.crowded(scope) || waited,
            _ => holds >= has + 2 && waited && !pool.waiters.is_empty(),
        };
        (gains && heir != own).then_some(heir)
    }

    /// Closes an open connection; its slot goes to whoever the binding cap keeps waiting.
    pub(super) fn close(&mut self, turn: &mut Turn, conn: ConnId, why: CloseReason) {
        self.close_for(turn, conn, why, self.heir(conn));
    }

    pub(super) fn close_for(
        &mut self,
        turn: &mut Turn,
        conn: ConnId,
        why: CloseReason,
        heir: Option<PoolId>,
    ) {
        self.shift(conn, State::Closing { promised: heir });
        turn.effects.push(Effect::Close { conn, why });
    }

    /// The caller is closing it: the slot stays taken until `Closed`.
    pub(super) fn leave_slot(&mut self, conn: ConnId) {
        let promised = self.heir(conn);
        self.shift(conn, State::Closing { promised });
    }

    /// Who is hungry for the slot that this connection will free.
    fn heir(&self, conn: ConnId) -> Option<PoolId> {
        let database = self.at(self.conns.get(conn)?.pool).database;
        let server = self.server_of(database);
        let of_database = self.database(database).full().then_some(Scope::Database(database));
        let of_server = self.server(server).full().then_some(Scope::Server(server));
        let scopes = [of_database, of_server];
        let hungers = scopes.into_iter().flatten().filter_map(|scope| self.hungriest(scope));
        hungers.min().map(|(_, _, pool)| pool)
    }
}
