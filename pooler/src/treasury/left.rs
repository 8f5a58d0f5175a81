//! The slots that earlier processes of the pod still take, and connections that TCP has given up, until
//! somebody has seen that they are free.
//! It is told what is gone; it looks for nothing.

use std::collections::BTreeSet;

use poolwright_pool::{Cap, News, ServerId};
use poolwright_settings::control;

use super::{State, Treasury};

/// What was left at one server.
#[derive(Default)]
pub(super) struct Left {
    backends: BTreeSet<i32>,
    attempts: u32,
    look: Look,
}

/// The slot with which the server is looked at: kept free, so that no client has it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    #[default]
    None,
    Planned,
    UnderWay,
}

impl Left {
    fn open(&self) -> u32 {
        self.backends.len() as u32 + self.attempts + u32::from(self.look == Look::UnderWay)
    }

    /// Slots that are not the clients' to use.
    fn slots(&self) -> u32 {
        self.open() + u32::from(self.look == Look::Planned)
    }
}

impl Treasury {
    /// Counts what was left, by process id where that is known.
    pub fn inherit(&self, server: ServerId, process_id: Option<i32>) {
        self.change(server, |left| match process_id {
            Some(process_id) => drop(left.backends.insert(process_id)),
            None => left.attempts += 1,
        });
    }

    /// It was seen to be gone.
    pub fn forget(&self, server: ServerId, process_id: Option<i32>) {
        self.change(server, |left| match process_id {
            Some(process_id) => drop(left.backends.remove(&process_id)),
            None => left.attempts = left.attempts.saturating_sub(1),
        });
    }

    pub fn set_look(&self, server: ServerId, look: Look) {
        self.change(server, |left| left.look = look);
    }

    /// Whether the connection that looks, planned or there, fits beside all others.
    pub fn has_room_to_look(&self, server: ServerId) -> bool {
        let state = self.lock();
        let (max, lent) = (state.max(server), state.lent(server));
        let left = state.taken(server);
        u64::from(lent) + u64::from(left) <= u64::from(max)
    }

    /// What was left and nobody has seen gone; `None`: no journal tells of earlier processes.
    pub fn left(&self, server: &str) -> Option<control::Left> {
        if !self.journal.is_whole() {
            return None;
        }
        let mut state = self.lock();
        let id = state.server(server);
        let left = |left: &Left| control::Left {
            backends: left.backends.iter().copied().collect(),
            attempts: left.attempts,
        };
        Some(state.left.get(&id).map(left).unwrap_or_default())
    }

    fn change(&self, server: ServerId, change: impl FnOnce(&mut Left)) {
        let mut news = Vec::new();
        let mut state = self.lock();
        change(state.left.entry(server).or_default());
        state.tune(server, &mut news);
        drop(state);
        self.spread(news);
    }
}

impl State {
    /// What a server's cap is, and how much of it is taken by whomever.
    pub(super) fn counts(&self, server: ServerId) -> (u32, u32) {
        let left = self.left.get(&server).map_or(0, Left::open);
        (self.max(server), self.lent(server) + left + self.open_by_other_names(server))
    }

    fn open_by_other_names(&self, server: ServerId) -> u32 {
        let others = self.renamed.iter().filter(|(_, now)| **now == server);
        others.map(|(old, _)| self.counts(*old).1).sum()
    }

    /// Slots that are no worker's to have.
    fn taken(&self, server: ServerId) -> u32 {
        self.left.get(&server).map_or(0, Left::slots) + self.open_by_other_names(server)
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.values().any(|it| it.open() > 0)
    }

    /// Lends no slot that somebody else takes.
    pub(super) fn tune(&mut self, server: ServerId, news: &mut Vec<News>) {
        let max = self.max(server).saturating_sub(self.taken(server));
        self.bank.set_max(Cap::Server(server), max, news);
        if let Some(now) = self.renamed.get(&server).copied() {
            self.tune(now, news);
        }
    }

    fn max(&self, server: ServerId) -> u32 {
        self.maxima.get(&server).copied().unwrap_or(0)
    }

    fn lent(&self, server: ServerId) -> u32 {
        self.bank.counts(Cap::Server(server)).1
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use poolwright_pool::{Lender, Word};
    use tokio::sync::mpsc;

    use super::*;
    use crate::journal::Journal;
    use crate::treasury::Teller;

    const SERVER: ServerId = ServerId(0);

    fn teller(max: u32) -> Teller {
        let treasury = Treasury::new(vec![mpsc::unbounded_channel().0], Journal::none());
        assert_eq!(treasury.server_id("main"), SERVER);
        treasury.lock().maxima.insert(SERVER, max);
        Teller { treasury, worker: 0 }
    }

    /// How many slots a worker has when it has asked for so many more.
    fn borrow(teller: &mut Teller, count: usize) -> u32 {
        let lent = (0..count).map(|_| teller.tell(Cap::Server(SERVER), Word::Borrow).lent);
        lent.last().unwrap_or_default()
    }

    #[test]
    fn what_was_left_is_lent_to_nobody_until_it_is_gone() {
        let mut teller = teller(5);
        let treasury = Arc::clone(&teller.treasury);
        treasury.inherit(SERVER, Some(7));
        treasury.inherit(SERVER, None);
        treasury.set_look(SERVER, Look::Planned);
        assert_eq!(borrow(&mut teller, 9), 2);
        assert!(treasury.has_room_to_look(SERVER) && treasury.has_left_open());
        assert_eq!(treasury.counts("main"), (5, 4));
        treasury.set_look(SERVER, Look::UnderWay);
        assert_eq!(treasury.counts("main"), (5, 5));
        treasury.forget(SERVER, Some(7));
        treasury.forget(SERVER, None);
        assert_eq!(borrow(&mut teller, 9), 4);
        treasury.set_look(SERVER, Look::None);
        assert_eq!((borrow(&mut teller, 9), treasury.counts("main")), (5, (5, 5)));
        assert!(!treasury.has_left_open());
    }

    #[test]
    fn what_is_lost_counts_before_its_slot_is_free_and_is_looked_for() {
        let mut teller = teller(3);
        let treasury = Arc::clone(&teller.treasury);
        let (searcher, mut lost) = mpsc::unbounded_channel();
        treasury.search_by(searcher);
        treasury.set_cap(Cap::Server(SERVER), 3);
        assert_eq!(borrow(&mut teller, 2), 2);
        let listed =
            [7, 8].map(|id| treasury.list(SERVER, id, treasury.begin(SERVER, "shop", "ann")));
        let [ended, gone] = listed;
        ended.end();
        assert!(lost.try_recv().is_err() && treasury.counts("main") == (3, 2));
        gone.lose();
        assert_eq!(treasury.counts("main"), (3, 3), "its slot, too");
        assert!(treasury.backends("main").is_empty());
        assert_eq!(lost.try_recv().unwrap().note.database, "shop");
        treasury.forget(SERVER, Some(8));
        assert_eq!(treasury.counts("main"), (3, 2));
    }

    #[test]
    fn where_more_was_left_than_there_may_be_there_is_no_room_to_look() {
        let mut teller = teller(2);
        let treasury = Arc::clone(&teller.treasury);
        (7..=9).for_each(|process_id| treasury.inherit(SERVER, Some(process_id)));
        treasury.set_look(SERVER, Look::Planned);
        assert_eq!(borrow(&mut teller, 9), 0);
        assert!(!treasury.has_room_to_look(SERVER));
        assert_eq!(treasury.counts("main"), (2, 3));
        treasury.forget(SERVER, Some(7));
        assert!(!treasury.has_room_to_look(SERVER));
        treasury.forget(SERVER, Some(8));
        assert!(treasury.has_room_to_look(SERVER));
        assert_eq!(borrow(&mut teller, 9), 0, "the slot is for the look");
    }
}
