//! How many clients the process has, of each database and user too, and whether it takes more. All
//! threads share it; only logins and goodbyes touch it, never a request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The way in.
#[derive(Debug, Default)]
pub struct Door {
    clients: Count,
    databases: Counts,
    users: Counts,
    stopping: AtomicBool,
}

/// Clients that are in.
pub type Count = Arc<AtomicU32>;

/// Clients that are in, by name.
#[derive(Debug, Default)]
pub struct Counts(Mutex<HashMap<Box<str>, Count>>);

/// How many may be in at once.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub clients: u32,
    /// Of the database; `None`: as many as there may be.
    pub database: Option<u32>,
    /// Of the user.
    pub user: Option<u32>,
}

/// Which limit keeps a client out, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Clients,
    Database(u32),
    User(u32),
}

/// A client's place among those that count; dropping it gives the place back.
#[derive(Debug)]
pub struct Place(Vec<Count>);

impl Door {
    /// From now on nobody is let in.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn is_full(&self, max: u32) -> bool {
        self.clients.load(Ordering::Relaxed) >= max
    }

    /// A place for a client of this database and user.
    ///
    /// # Errors
    /// One of the limits is reached.
    pub fn enter(&self, room: Room, database: &str, user: &str) -> Result<Place, Full> {
        // A client that is refused by a later count gives back what it took of the earlier ones.
        let mut place = Place(Vec::with_capacity(3));
        let all = Arc::clone(&self.clients);
        place.take(all, Some(room.clients)).map_err(|_| Full::Clients)?;
        place.take(self.databases.of(database), room.database).map_err(Full::Database)?;
        place.take(self.users.of(user), room.user).map_err(Full::User)?;
        Ok(place)
    }
}

impl Counts {
    /// The count of this name. Names that nobody has any more go when the table would grow.
    pub fn of(&self, name: &str) -> Count {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get(name) {
            return Arc::clone(count);
        }
        if counts.len() == counts.capacity() {
            counts.retain(|_, count| Arc::strong_count(count) > 1);
        }
        Arc::clone(counts.entry(name.into()).or_default())
    }
}

impl Place {
    /// Counts the client there too, whatever others do.
    pub fn join(&mut self, count: Count) {
        count.fetch_add(1, Ordering::Relaxed);
        self.0.push(count);
    }

    /// Counts the client, unless so many are in already; that number is the error.
    fn take(&mut self, count: Count, max: Option<u32>) -> Result<(), u32> {
        let max = max.unwrap_or(u32::MAX);
        let one_more = |clients: u32| (clients < max).then(|| clients + 1);
        count.try_update(Ordering::Relaxed, Ordering::Relaxed, one_more).map_err(|_| max)?;
        self.0.push(count);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for count in &self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(clients: u32, database: Option<u32>, user: Option<u32>) -> Room {
        Room { clients, database, user }
    }

    #[test]
    fn a_place_is_free_again_when_its_client_leaves() {
        let door = Door::default();
        let room = room(2, None, None);
        let first = door.enter(room, "d", "a").unwrap();
        let _second = door.enter(room, "d", "b").unwrap();
        assert!(door.is_full(2));
        assert_eq!(door.enter(room, "d", "a").err(), Some(Full::Clients));
        drop(first);
        assert!(!door.is_full(2) && door.enter(room, "d", "a").is_ok());
    }

    #[test]
    fn databases_and_users_have_limits_of_their_own() {
        let door = Door::default();
        let room = room(9, Some(2), Some(1));
        let first = door.enter(room, "d", "a").unwrap();
        assert_eq!(door.enter(room, "e", "a").err(), Some(Full::User(1)), "in all databases");
        let second = door.enter(room, "d", "b").unwrap();
        assert_eq!(door.enter(room, "d", "c").err(), Some(Full::Database(2)));
        let _third = door.enter(room, "e", "c").unwrap();
        drop((first, second));
        for user in ["a", "b"] {
            assert!(door.enter(room, "d", user).is_ok(), "nothing is left of who was refused");
        }
    }

    #[test]
    fn names_that_nobody_has_take_no_room_for_ever() {
        let door = Door::default();
        for number in 0..10_000 {
            drop(door.enter(room(1, None, None), &number.to_string(), "a").unwrap());
        }
        assert!(door.databases.0.lock().unwrap().len() < 100);
    }
}
