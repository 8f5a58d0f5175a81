//! A worker among others: when it borrows a slot, says that it lacks one, and gives one back. Only
//! where slots are lent; what it closes for a neighbour is chosen in `evict.rs`.

use super::{Pools, Turn};
use crate::deadlines::Subject;
use crate::ids::PoolId;
use crate::lending::{Cap, Want, Word};
use crate::pool::Loan;
use crate::ranking::Hunger;

use std::time::Duration;

impl Pools {
    pub(super) fn loan(&self, cap: Cap) -> &Loan {
        match cap {
            Cap::Server(server) => &self.server(server).loan,
            Cap::Database(database) => &self.database(database).loan,
            Cap::User(user) => &self.user(user).loan,
        }
    }

    pub(super) fn loan_mut(&mut self, cap: Cap) -> &mut Loan {
        match cap {
            Cap::Server(server) => &mut self.server_mut(server).loan,
            Cap::Database(database) => &mut self.database_mut(database).loan,
            Cap::User(user) => &mut self.user_mut(user).loan,
        }
    }

    /// Slots that the worker has and does not use.
    pub(super) fn free(&self, cap: Cap) -> u32 {
        let open = match cap {
            Cap::Server(server) => self.server(server).tally.open(),
            Cap::Database(database) => self.database(database).tally.open(),
            Cap::User(user) => self.user(user).tally.open(),
        };
        self.loan(cap).statement.lent.saturating_sub(open)
    }

    pub(super) fn arm_cap(&mut self, cap: Cap, at: Duration) {
        match cap {
            Cap::Server(server) => self.arm_server(server, at),
            Cap::Database(database) => self.arm_database(database, at),
            Cap::User(user) => self.arm_user(user, at),
        }
    }

    fn arm_loan(&mut self, cap: Cap, at: Duration) {
        let loan = match cap {
            Cap::Server(server) => &mut self.servers[server.0 as usize].loan,
            Cap::Database(database) => &mut self.databases[database.0 as usize].loan,
            Cap::User(user) => &mut self.users[user.0 as usize].loan,
        };
        self.deadlines.arm(&mut loan.armed, at, Subject::Loan(cap));
    }

    /// Speaks to the bank. What its answer brings beyond the question is looked at next.
    pub(super) fn tell(&mut self, turn: &mut Turn, cap: Cap, word: Word) {
        let new = turn.lender.tell(cap, word);
        let loan = self.loan_mut(cap);
        let old = std::mem::replace(&mut loan.statement, new);
        loan.lack = match word {
            Word::Lack(want) => Some(want),
            _ => loan.lack,
        };
        loan.lack = loan.lack.filter(|_| new.lacking);
        let returned = match word {
            Word::Return { count, .. } => count,
            _ => 0,
        };
        if returned > 0 {
            loan.dry_until = Duration::ZERO;
        }
        if new.neighbour != old.neighbour {
            loan.barren = Duration::ZERO;
        }
        let asked = matches!(word, Word::Read | Word::Borrow | Word::Lack(_));
        let gone = returned.saturating_sub(old.owed);
        let more = !asked && new.lent - new.owed + gone > old.lent - old.owed;
        let claimed = new.neighbour.is_some() && new.neighbour != old.neighbour;
        if more || word != Word::Read && (claimed || new.owed > old.owed) {
            self.arm_cap(cap, Duration::ZERO);
        }
        match cap {
            Cap::Server(_) => {}
            Cap::Database(database) => self.relist(database),
            Cap::User(user) => self.relist_user(user),
        }
    }

    /// Has the bank's answer to [`crate::News`].
    pub(super) fn news(&mut self, turn: &mut Turn, cap: Cap) {
        self.tell(turn, cap, Word::Read);
        self.tend(turn, cap);
    }

    /// Does what a cap's slots and its time ask for.
    pub(super) fn tend(&mut self, turn: &mut Turn, cap: Cap) {
        self.shed_over(turn, cap);
        let hungriest = self.hungriest(cap).map(|(_, _, pool)| self.at(pool).database);
        match (cap, hungriest) {
            (Cap::User(user), _) => self.feed_user(turn, user),
            (Cap::Database(database), _) | (Cap::Server(_), Some(database)) => {
                self.feed(turn, database);
            }
            (Cap::Server(_), None) => while self.make_room(turn, cap) {},
        }
        self.settle_cap(turn, cap);
    }

    /// Before hungry pools are served: a slot that a hungrier neighbour should have is returned, and
    /// if there is none, one is asked for. True if it was.
    pub(super) fn seek(&mut self, turn: &mut Turn, cap: Cap) -> bool {
        if !self.borrows || self.hungriest(cap).is_none() {
            return false;
        }
        while self.free(cap) > 0 && self.outranked(cap) {
            self.tell(turn, cap, Word::Return { count: 1, yielded: 0 });
        }
        let asks = self.is_full(cap) && self.loan(cap).lack.is_none();
        if asks {
            self.tell(turn, cap, Word::Borrow);
            // What is not used goes back then.
            self.arm_loan(cap, turn.now + self.tuning.cost);
        }
        asks
    }

    /// A neighbour lacks a slot more than any pool here.
    pub(super) fn outranked(&self, cap: Cap) -> bool {
        let Some(neighbour) = self.loan(cap).statement.neighbour else { return false };
        let here = self.hungriest(cap);
        here.is_none_or(|(has, since, _)| neighbour.rank() < (has, since))
    }

    /// After hungry pools were served: tells the bank what is lacking still, or no longer. Not more
    /// often than once in `cost`, unless something was opened or closed. True if that brought a slot.
    pub(super) fn complain(&mut self, turn: &mut Turn, cap: Cap) -> bool {
        if !self.borrows {
            return false;
        }
        let full = self.is_full(cap);
        if let Some(word) = self.complaint(turn, cap) {
            self.tell(turn, cap, word);
        }
        let cost = self.tuning.cost;
        if let Some(lack) = self.loan(cap).lack {
            self.arm_loan(cap, lack.told + cost);
        }
        if self.free(cap) > 0 {
            self.arm_loan(cap, turn.now + cost);
        }
        full && !self.is_full(cap) && self.hungriest(cap).is_some()
    }

    fn complaint(&self, turn: &Turn, cap: Cap) -> Option<Word> {
        let lack = self.loan(cap).lack;
        let hunger = self.hungriest(cap).filter(|_| self.is_full(cap));
        let old = lack.is_none_or(|lack| turn.moved || turn.now >= lack.told + self.tuning.cost);
        match hunger {
            Some(hunger) if old => Some(Word::Lack(want(hunger, turn.now))),
            None if old && lack.is_some() => Some(Word::Content),
            _ => None,
        }
    }

    /// After slots became free: what nobody here lacks goes back.
    pub(super) fn settle(&mut self, turn: &mut Turn, pool: PoolId) {
        for cap in self.caps_over(pool).rev() {
            self.settle_cap(turn, cap);
        }
    }

    pub(super) fn settle_cap(&mut self, turn: &mut Turn, cap: Cap) {
        if !self.borrows {
            return;
        }
        if self.complain(turn, cap) {
            self.arm_cap(cap, Duration::ZERO);
        }
        let free = self.free(cap);
        let wanted = self.hungriest(cap).is_some();
        let count = if wanted { free.min(self.loan(cap).statement.owed) } else { free };
        if count > 0 {
            self.tell(turn, cap, Word::Return { count, yielded: 0 });
        }
    }

    /// Slots under all caps for a connection that nobody waits for.
    pub(super) fn has_room(&mut self, turn: &mut Turn, pool: PoolId) -> bool {
        let room = self.caps_over(pool).all(|cap| self.finds_room(turn, cap));
        if !room {
            // What was borrowed under the others goes back.
            self.settle(turn, pool);
        }
        room
    }

    fn finds_room(&mut self, turn: &mut Turn, cap: Cap) -> bool {
        let loan = self.loan(cap);
        let may_ask = self.borrows && loan.lack.is_none() && loan.dry_until <= turn.now;
        if may_ask && self.is_full(cap) {
            self.tell(turn, cap, Word::Borrow);
            if self.is_full(cap) {
                self.loan_mut(cap).dry_until = turn.now + self.tuning.cost;
            }
        }
        !self.is_full(cap)
    }

    /// Promises the bank the slot of a connection that is about to be closed; false if the neighbour
    /// that wanted it is served.
    pub(super) fn promise(&mut self, turn: &mut Turn, cap: Cap, want: Want) -> bool {
        let before = self.loan(cap).statement.yielding;
        self.tell(turn, cap, Word::Yield(want));
        self.loan(cap).statement.yielding > before
    }

    /// The cap is full, and the bank has said that it has no more.
    pub(super) fn binds(&self, cap: Cap) -> bool {
        self.is_full(cap) && (!self.borrows || self.loan(cap).lack.is_some())
    }

    /// Closes idle connections if there are more than the cap allows.
    fn shed_over(&mut self, turn: &mut Turn, cap: Cap) {
        let live = match cap {
            Cap::Server(server) => self.server(server).tally.live(),
            Cap::Database(database) => self.database(database).tally.live(),
            Cap::User(user) => self.user(user).tally.live(),
        };
        if live > self.loan(cap).may_hold() {
            match cap {
                Cap::Server(server) => self.shed(turn, server),
                Cap::Database(database) => self.shed(turn, self.server_of(database)),
                Cap::User(user) => self.shed_all(turn, self.user(user).pools.clone()),
            }
        }
    }
}

fn want((has, since, _): Hunger, told: Duration) -> Want {
    Want { has, since, told }
}
