//! The slots of every cap, and which worker has them. One for the process. It lends what is free
//! to who lacks it most and remembers who lacks; it never knows pools or connections, and closes
//! none: the workers do, by their own rules.

use std::time::Duration;

use super::{Cap, Statement, Want, Word};

/// The accounts of all workers.
#[derive(Debug)]
pub struct Bank {
    workers: usize,
    /// By number.
    servers: Vec<Ledger>,
    databases: Vec<Ledger>,
    users: Vec<Ledger>,
}

/// This worker's statement has changed: it must be given `Event::News`. Until it has read the
/// statement, no second one is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    pub worker: usize,
    pub cap: Cap,
}

/// One cap.
#[derive(Debug, Default)]
struct Ledger {
    max: u32,
    /// By worker; empty while nobody has or wants anything.
    accounts: Vec<Account>,
}

#[derive(Debug, Default, Clone)]
struct Account {
    lent: u32,
    owed: u32,
    yielding: u32,
    want: Option<Want>,
    /// What the worker has read last.
    known: Statement,
    /// News of it is on the way.
    stirred: bool,
}

impl Bank {
    /// For so many workers, numbered from 0. A cap that was never set is 0.
    pub fn new(workers: usize) -> Bank {
        Bank { workers, servers: Vec::new(), databases: Vec::new(), users: Vec::new() }
    }

    /// Changes a cap. When it is lowered, free slots go first; what is lent beyond it is owed by
    /// those who have most and comes back as they close connections.
    pub fn set_max(&mut self, cap: Cap, max: u32, news: &mut Vec<News>) {
        let ledger = self.ledger(cap);
        ledger.max = max;
        ledger.settle(None, cap, news);
    }

    /// Takes a worker's word and answers with its statement. `news` is for the other workers.
    pub fn tell(&mut self, worker: usize, cap: Cap, word: Word, news: &mut Vec<News>) -> Statement {
        let workers = self.workers;
        debug_assert!(worker < workers, "worker {worker} of {workers}");
        let ledger = self.ledger(cap);
        ledger.accounts.resize(workers, Account::default());
        ledger.hear(worker, word);
        ledger.settle(Some(worker), cap, news)
    }

    /// The cap, and how many of its slots are lent.
    pub fn counts(&self, cap: Cap) -> (u32, u32) {
        let (all, index) = match cap {
            Cap::Server(id) => (&self.servers, id.0),
            Cap::Database(id) => (&self.databases, id.0),
            Cap::User(id) => (&self.users, id.0),
        };
        all.get(index as usize).map_or((0, 0), |ledger| (ledger.max, ledger.lent()))
    }

    fn ledger(&mut self, cap: Cap) -> &mut Ledger {
        let (all, index) = match cap {
            Cap::Server(id) => (&mut self.servers, id.0 as usize),
            Cap::Database(id) => (&mut self.databases, id.0 as usize),
            Cap::User(id) => (&mut self.users, id.0 as usize),
        };
        if all.len() <= index {
            all.resize_with(index + 1, Ledger::default);
        }
        &mut all[index]
    }

    /// Panics if the accounts contradict themselves.
    pub fn check(&self) {
        for ledger in self.servers.iter().chain(&self.databases).chain(&self.users) {
            ledger.check();
        }
    }
}

impl Ledger {
    fn hear(&mut self, worker: usize, word: Word) {
        let free = self.max > self.lent();
        let unserved = self.neighbour(worker, &self.wants());
        let account = &mut self.accounts[worker];
        match word {
            Word::Read => {}
            Word::Hold(count) => account.lent = account.lent.max(count),
            Word::Borrow => account.lent += u32::from(free),
            Word::Lack(want) => account.want = Some(want),
            Word::Content => account.want = None,
            Word::Yield(want) => account.yielding += u32::from(unserved == Some(want)),
            Word::Return { count, yielded } => {
                debug_assert!(count <= account.lent && yielded <= account.yielding);
                account.lent = account.lent.saturating_sub(count);
                account.owed = account.owed.saturating_sub(count);
                account.yielding = account.yielding.saturating_sub(yielded);
            }
        }
    }

    /// Brings debts, loans and everybody's statement up to date; answers with the speaker's.
    fn settle(&mut self, speaker: Option<usize>, cap: Cap, news: &mut Vec<News>) -> Statement {
        self.owe();
        self.lend();
        let wants = self.wants();
        let mut answer = Statement::default();
        for worker in 0..self.accounts.len() {
            let statement = self.statement(worker, &wants);
            let account = &mut self.accounts[worker];
            if Some(worker) == speaker {
                account.known = statement;
                account.stirred = false;
                answer = statement;
            } else if account.known != statement && !account.stirred {
                account.stirred = true;
                news.push(News { worker, cap });
            }
        }
        if self.accounts.iter().all(Account::is_blank) {
            self.accounts = Vec::new();
        }
        answer
    }

    /// What is lent beyond the cap is owed by those who have most.
    fn owe(&mut self) {
        let kept = |account: &Account| account.lent - account.owed;
        let mut sum: u32 = self.accounts.iter().map(kept).sum();
        while sum > self.max {
            let Some(most) = self.accounts.iter_mut().max_by_key(|one| kept(one)) else { return };
            most.owed += 1;
            sum -= 1;
        }
        while sum < self.max {
            let debtors = self.accounts.iter_mut().filter(|account| account.owed > 0);
            let Some(least) = debtors.min_by_key(|one| kept(one)) else { return };
            least.owed -= 1;
            sum += 1;
        }
    }

    /// What is free goes to who lacks it most.
    fn lend(&mut self) {
        let free = self.max.saturating_sub(self.lent());
        for (_, worker) in self.wants().into_iter().take(free as usize) {
            let account = &mut self.accounts[worker];
            account.lent += 1;
            account.want = None;
        }
    }

    fn lent(&self) -> u32 {
        self.accounts.iter().map(|account| account.lent).sum()
    }

    /// Who lacks a slot, the hungriest first.
    fn wants(&self) -> Vec<((u32, Duration), usize)> {
        let accounts = self.accounts.iter().enumerate();
        let wants = accounts.filter_map(|(worker, one)| Some((one.want?.rank(), worker)));
        let mut wants: Vec<_> = wants.collect();
        wants.sort_unstable();
        wants
    }

    /// The hungriest of the others that nobody has promised a slot.
    fn neighbour(&self, worker: usize, wants: &[((u32, Duration), usize)]) -> Option<Want> {
        let promised: u32 = self.accounts.iter().map(|account| account.yielding).sum();
        let mut others = wants.iter().filter(|(_, other)| *other != worker);
        let (_, hungriest) = others.nth(promised as usize)?;
        // Who has nothing can give nothing.
        let want = self.accounts[*hungriest].want;
        want.filter(|_| self.accounts[worker].lent > 0)
    }

    fn statement(&self, worker: usize, wants: &[((u32, Duration), usize)]) -> Statement {
        let neighbour = self.neighbour(worker, wants);
        let Account { lent, owed, yielding, want, .. } = self.accounts[worker];
        Statement { lent, owed, yielding, lacking: want.is_some(), neighbour }
    }

    fn check(&self) {
        let kept: u32 = self.accounts.iter().map(|account| account.lent - account.owed).sum();
        let owed: u32 = self.accounts.iter().map(|account| account.owed).sum();
        assert!(kept <= self.max, "{kept} slots are kept under a cap of {}", self.max);
        assert!(owed == 0 || kept == self.max, "{owed} slots are owed for nothing");
        let lacking = self.accounts.iter().any(|account| account.want.is_some());
        assert!(!lacking || self.lent() >= self.max, "a worker lacks what is free");
        for account in &self.accounts {
            assert!(account.yielding <= account.lent, "more is promised than there is");
        }
    }
}

impl Account {
    /// As if there were none.
    fn is_blank(&self) -> bool {
        self.lent == 0 && self.want.is_none() && self.known == Statement::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ServerId;

    const CAP: Cap = Cap::Server(ServerId(0));

    fn want(has: u32, since: u64) -> Want {
        let since = Duration::from_secs(since);
        Want { has, since, told: since }
    }

    fn bank(max: u32) -> Bank {
        let mut bank = Bank::new(3);
        bank.set_max(CAP, max, &mut Vec::new());
        bank
    }

    /// Says something and reads all news at once: the answer, and who had news.
    fn say(bank: &mut Bank, worker: usize, word: Word) -> (Statement, Vec<usize>) {
        let mut news = Vec::new();
        let answer = bank.tell(worker, CAP, word, &mut news);
        bank.check();
        (answer, news.into_iter().map(|news| news.worker).collect())
    }

    fn borrow(bank: &mut Bank, worker: usize, count: u32) -> u32 {
        (0..count).map(|_| say(bank, worker, Word::Borrow).0.lent).last().unwrap_or_default()
    }

    #[test]
    fn no_more_is_lent_than_there_is() {
        let mut bank = bank(3);
        assert_eq!((borrow(&mut bank, 0, 2), borrow(&mut bank, 1, 2)), (2, 1));
        assert_eq!(bank.counts(CAP), (3, 3));
    }

    #[test]
    fn what_is_returned_goes_to_who_has_least_then_to_who_waits_longest() {
        let mut bank = bank(3);
        borrow(&mut bank, 0, 3);
        for (worker, want) in [(1, want(2, 1)), (2, want(0, 9))] {
            assert!(say(&mut bank, worker, Word::Lack(want)).0.lacking);
        }
        for winner in [2, 1] {
            say(&mut bank, 0, Word::Return { count: 1, yielded: 0 });
            let (statement, _) = say(&mut bank, winner, Word::Read);
            assert_eq!((statement.lent, statement.lacking), (1, false));
        }
    }

    #[test]
    fn a_want_is_shown_to_who_has_slots_and_promised_one_only_once() {
        let mut bank = bank(2);
        borrow(&mut bank, 0, 1);
        borrow(&mut bank, 1, 1);
        let lacks = want(0, 1);
        assert_eq!(say(&mut bank, 2, Word::Lack(lacks)).1, [0, 1]);
        assert_eq!(say(&mut bank, 0, Word::Read).0.neighbour, Some(lacks));
        let other = Word::Yield(want(0, 7));
        assert_eq!(say(&mut bank, 0, other).0.yielding, 0, "that is not what it has read");
        let (promised, _) = say(&mut bank, 0, Word::Yield(lacks));
        assert_eq!((promised.yielding, promised.neighbour), (1, None));
        let (late, _) = say(&mut bank, 1, Word::Yield(lacks));
        assert_eq!((late.yielding, late.neighbour), (0, None));
        say(&mut bank, 0, Word::Return { count: 1, yielded: 1 });
        assert_eq!(say(&mut bank, 2, Word::Read).0, Statement { lent: 1, ..Statement::default() });
    }

    #[test]
    fn a_lowered_cap_is_owed_by_who_has_most_and_a_raised_one_forgives() {
        let mut bank = bank(6);
        borrow(&mut bank, 0, 4);
        borrow(&mut bank, 1, 2);
        let owed = |bank: &mut Bank| [0, 1].map(|worker| say(bank, worker, Word::Read).0.owed);
        bank.set_max(CAP, 3, &mut Vec::new());
        assert_eq!(owed(&mut bank), [2, 1]);
        assert_eq!(borrow(&mut bank, 2, 1), 0);
        say(&mut bank, 0, Word::Return { count: 1, yielded: 0 });
        assert_eq!(owed(&mut bank), [1, 1]);
        bank.set_max(CAP, 5, &mut Vec::new());
        assert_eq!((owed(&mut bank), borrow(&mut bank, 2, 1)), ([0, 0], 0));
    }

    #[test]
    fn what_a_worker_has_under_a_new_cap_is_lent_and_what_is_too_much_is_owed() {
        let mut bank = bank(3);
        borrow(&mut bank, 0, 1);
        let (held, _) = say(&mut bank, 1, Word::Hold(4));
        assert_eq!((held.lent, held.owed), (4, 2));
        assert_eq!(say(&mut bank, 1, Word::Hold(2)).0.lent, 4, "it has no fewer");
        assert_eq!(borrow(&mut bank, 2, 1), 0);
    }

    #[test]
    fn a_worker_has_one_notice_at_a_time_until_it_has_read_its_statement() {
        let mut bank = bank(1);
        borrow(&mut bank, 0, 1);
        assert_eq!(say(&mut bank, 1, Word::Lack(want(0, 1))).1, [0]);
        assert_eq!(say(&mut bank, 1, Word::Lack(want(0, 2))).1, []);
        say(&mut bank, 0, Word::Read);
        assert_eq!(say(&mut bank, 1, Word::Content).1, [0]);
    }

    #[test]
    fn a_cap_at_rest_keeps_no_accounts() {
        let mut bank = bank(1);
        borrow(&mut bank, 0, 1);
        say(&mut bank, 0, Word::Return { count: 1, yielded: 0 });
        assert!(bank.servers[0].accounts.is_empty());
    }
}
