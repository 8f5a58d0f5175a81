//! Which worker serves a database: one is its home, unless the settings let more share it. A home,
//! once given, stays for the life of the process, so that limits are never in two hands.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use poolwright_settings::{Database, Settings};

/// The homes of all databases that a client has asked for. Touched once for each login.
pub struct Homes(Mutex<State>);

struct State {
    homes: HashMap<Box<str>, Home>,
    /// Databases at home with each worker.
    load: Vec<u32>,
}

struct Home {
    workers: Box<[usize]>,
    next: usize,
}

/// One worker's part in a database: the `place`th of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub place: u32,
    /// 1 or more.
    pub count: u32,
}

impl Part {
    /// This worker's part of a number that all parts make up.
    pub fn of(self, whole: u32) -> u32 {
        whole / self.count + u32::from(self.place < whole % self.count)
    }
}

impl Homes {
    pub fn new(workers: usize) -> Homes {
        Homes(Mutex::new(State { homes: HashMap::new(), load: vec![0; workers] }))
    }

    /// Whether a client has asked for this database, or it is one of the first `most` that any has
    /// asked for.
    pub fn has_room_for(&self, database: &str, most: usize) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.homes.contains_key(database) || state.homes.len() < most
    }

    /// The worker whose connection asks this server for users.
    pub fn asker(&self, server: &str) -> usize {
        // No database has such a name.
        self.next(&format!("\0{server}"), 1, 1).0
    }

    /// The worker for the next client of this database and user.
    pub fn of_client(&self, database: &Database, user: &str, settings: &Settings) -> (usize, Part) {
        let size = settings.pool(database, database.server_user(user)).size;
        self.next(&database.name, database.workers, size)
    }

    /// The worker for the next client of this database, which `share` workers may serve. `size`: of the
    /// client's pool; a worker whose part of it is nothing gets none of its clients.
    pub fn next(&self, database: &str, share: u32, size: u32) -> (usize, Part) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.homes.contains_key(database) {
            let home = state.settle(share);
            state.homes.insert(database.into(), home);
        }
        let home = state.homes.get_mut(database).expect("it has just been given one");
        let count = home.workers.len();
        let place = home.next % count.min(size.max(1) as usize);
        home.next = (place + 1) % count;
        (home.workers[place], Part { place: place as u32, count: count as u32 })
    }
}

impl State {
    /// The workers with the fewest databases.
    fn settle(&mut self, share: u32) -> Home {
        let mut workers: Vec<usize> = (0..self.load.len()).collect();
        workers.sort_by_key(|worker| (self.load[*worker], *worker));
        workers.truncate(share.max(1) as usize);
        workers.iter().for_each(|worker| self.load[*worker] += 1);
        Home { workers: workers.into(), next: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_spread_and_stay_where_they_are() {
        let homes = Homes::new(3);
        let alone = Part { place: 0, count: 1 };
        for (database, worker) in [("a", 0), ("b", 1), ("a", 0), ("c", 2), ("d", 0), ("b", 1)] {
            assert_eq!(homes.next(database, 1, 5), (worker, alone), "{database}");
        }
    }

    #[test]
    fn a_shared_database_takes_its_workers_in_turn_and_their_parts_make_up_the_whole() {
        let homes = Homes::new(3);
        homes.next("a", 1, 5);
        let parts: Vec<(usize, Part)> = (0..3).map(|_| homes.next("big", 2, 5)).collect();
        assert_eq!(parts.iter().map(|(worker, _)| *worker).collect::<Vec<_>>(), [1, 2, 1]);
        for whole in [1, 4, 5] {
            assert_eq!(parts[0].1.of(whole) + parts[1].1.of(whole), whole);
        }
    }

    #[test]
    fn no_worker_gets_clients_of_a_pool_of_which_it_has_nothing() {
        let homes = Homes::new(3);
        for size in [1, 2, 1, 5, 2, 2, 1, 3] {
            let (_, part) = homes.next("big", 3, size);
            assert!(part.of(size) > 0, "{part:?} of {size}");
        }
    }

    #[test]
    fn no_more_workers_share_a_database_than_there_are() {
        let homes = Homes::new(2);
        let (_, part) = homes.next("big", 256, 256);
        assert_eq!(part.count, 2);
    }
}
