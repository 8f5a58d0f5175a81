//! The bank with its post: news lies here until it is delivered. It counts what is said.

use poolwright_pool::{Bank, Cap, Lender, News, Statement, Word};

pub struct Office {
    pub bank: Bank,
    /// Not delivered yet.
    pub news: Vec<News>,
    pub words: u64,
}

impl Office {
    pub fn new(workers: usize) -> Office {
        Office { bank: Bank::new(workers), news: Vec::new(), words: 0 }
    }

    pub fn set_max(&mut self, cap: Cap, max: u32) {
        self.bank.set_max(cap, max, &mut self.news);
        self.bank.check();
    }

    pub fn counter(&mut self, worker: usize) -> Counter<'_> {
        Counter { office: self, worker }
    }
}

/// Where one worker speaks.
pub struct Counter<'a> {
    office: &'a mut Office,
    worker: usize,
}

impl Lender for Counter<'_> {
    fn tell(&mut self, cap: Cap, word: Word) -> Statement {
        let Office { bank, news, words } = self.office;
        *words += 1;
        let statement = bank.tell(self.worker, cap, word, news);
        bank.check();
        statement
    }
}
