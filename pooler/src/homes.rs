//! Which worker serves a database: one is its home, unless the settings let more share it. A home,
//! once given, stays for the life of the process, so that limits are never in two hands.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use poolwright_settings::{Database, Settings};

use crate::door::{Count, Counts, Place};

/// The homes of all databases that a client has asked for. Touched once for each login.
pub struct Homes(Mutex<State>);

struct State {
    homes: HashMap<Box<str>, Home>,
    /// Databases at home with each worker.
    load: Vec<u32>,
}

struct Home {
    workers: Box<[usize]>,
    clients: Box<[Clients]>,
}

/// The clients of a database that one of its workers has.
#[derive(Default)]
struct Clients {
    all: Count,
    of_user: Counts,
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
        self.alone(&format!("\0{server}")).0
    }

    /// The worker of a database that the settings do not have.
    pub fn alone(&self, database: &str) -> (usize, Part) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.home(database, 1).part(0)
    }

    /// The worker for a client of this database and user. It counts as one of that worker's as long as
    /// it has its place, if it has one.
    pub fn of_client(
        &self,
        database: &Database,
        user: &str,
        settings: &Settings,
        place: Option<&mut Place>,
    ) -> (usize, Part) {
        let user = database.server_user(user);
        let size = settings.pool(database, user).size;
        self.deal(&database.name, database.workers, user, size, place)
    }

    /// One of the `share` workers of this database.
    fn deal(
        &self,
        database: &str,
        share: u32,
        user: &str,
        size: u32,
        client: Option<&mut Place>,
    ) -> (usize, Part) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let home = state.home(database, share);
        home.part(home.place_for(user, size, client))
    }
}

impl State {
    /// The database's home, on `share` workers if it has none yet.
    fn home(&mut self, database: &str, share: u32) -> &Home {
        if !self.homes.contains_key(database) {
            let home = self.settle(share);
            self.homes.insert(database.into(), home);
        }
        &self.homes[database]
    }

    /// The workers with the fewest databases.
    fn settle(&mut self, share: u32) -> Home {
        let mut workers: Vec<usize> = (0..self.load.len()).collect();
        workers.sort_by_key(|worker| (self.load[*worker], *worker));
        workers.truncate(share.max(1) as usize);
        workers.iter().for_each(|worker| self.load[*worker] += 1);
        let clients = workers.iter().map(|_| Clients::default()).collect();
        Home { workers: workers.into(), clients }
    }
}

impl Home {
    fn part(&self, place: usize) -> (usize, Part) {
        let count = self.workers.len() as u32;
        (self.workers[place], Part { place: place as u32, count })
    }

    /// The place of the worker with the fewest clients of the server's user, since a pool's size is
    /// divided among them, and of all users if that is a draw. `size`: of the client's pool; a worker
    /// whose part of it is nothing gets none of its clients.
    fn place_for(&self, user: &str, size: u32, client: Option<&mut Place>) -> usize {
        let count = self.workers.len();
        if count == 1 {
            return 0;
        }
        let able = &self.clients[..count.min(size.max(1) as usize)];
        let counts =
            able.iter().map(|clients| [clients.of_user.of(user), Count::clone(&clients.all)]);
        let clients = |counts: &[Count; 2]| counts.each_ref().map(|it| it.load(Ordering::Relaxed));
        let fewest = counts.enumerate().min_by_key(|(_, counts)| clients(counts));
        let (place, counts) = fewest.expect("a database has a worker");
        if let Some(client) = client {
            counts.into_iter().for_each(|count| client.join(count));
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::{Door, Room};

    /// A client of one of these, with the worker that it is dealt to.
    fn client(homes: &Homes, share: u32, user: &str, size: u32) -> (usize, Part, Place) {
        let room = Room { clients: u32::MAX, database: None, user: None };
        let mut place = Door::default().enter(room, "big", user).unwrap();
        let (worker, part) = homes.deal("big", share, user, size, Some(&mut place));
        (worker, part, place)
    }

    #[test]
    fn databases_are_spread_and_stay_where_they_are() {
        let homes = Homes::new(3);
        let alone = Part { place: 0, count: 1 };
        for (database, worker) in [("a", 0), ("b", 1), ("a", 0), ("c", 2), ("d", 0), ("b", 1)] {
            assert_eq!(homes.alone(database), (worker, alone), "{database}");
        }
    }

    #[test]
    fn a_shared_database_takes_its_workers_in_turn_and_their_parts_make_up_the_whole() {
        let homes = Homes::new(3);
        homes.alone("a");
        let clients = [(); 3].map(|()| client(&homes, 2, "alice", 5));
        assert_eq!(clients.each_ref().map(|(worker, ..)| *worker), [1, 2, 1]);
        for whole in [1, 4, 5] {
            assert_eq!(clients[0].1.of(whole) + clients[1].1.of(whole), whole);
        }
    }

    #[test]
    fn every_users_clients_are_divided_evenly_in_whatever_order_they_come_and_go() {
        let homes = Homes::new(2);
        let enter = |user| client(&homes, 2, user, 5);
        let mut clients = ["alice", "bob", "alice", "bob"].map(enter);
        assert_eq!(clients.each_ref().map(|(worker, ..)| *worker), [0, 1, 1, 0]);
        let (left, ..) = clients[0];
        clients[0] = enter("carol");
        clients[1] = enter("carol");
        assert_eq!(enter("alice").0, left, "where alice has none any more");
    }

    #[test]
    fn no_worker_gets_clients_of_a_pool_of_which_it_has_nothing() {
        let homes = Homes::new(3);
        let mut clients = Vec::new();
        for size in [1, 2, 1, 5, 2, 2, 1, 3] {
            clients.push(client(&homes, 3, "alice", size));
            let (_, part, _) = clients.last().unwrap();
            assert!(part.of(size) > 0, "{part:?} of {size}");
        }
    }

    #[test]
    fn no_more_workers_share_a_database_than_there_are() {
        let homes = Homes::new(2);
        let (_, part, _) = client(&homes, 256, "alice", 256);
        assert_eq!(part.count, 2);
    }
}
