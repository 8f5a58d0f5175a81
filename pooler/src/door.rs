//! How many clients the process has, and whether it takes more. All threads share it; only logins
//! and goodbyes touch it, never a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The way in.
#[derive(Debug, Default)]
pub struct Door {
    clients: AtomicU32,
    stopping: AtomicBool,
}

/// A client's place among those that count; dropping it gives the place back.
#[derive(Debug)]
pub struct Place(Arc<Door>);

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

    /// A place, unless all `max` are taken.
    pub fn enter(self: &Arc<Door>, max: u32) -> Option<Place> {
        let one_more = |clients: u32| (clients < max).then(|| clients + 1);
        let entered = self.clients.try_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        entered.ok().map(|_| Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_client_leaves() {
        let door = Arc::new(Door::default());
        let first = door.enter(2);
        let second = door.enter(2);
        assert!(first.is_some() && second.is_some() && door.is_full(2));
        assert!(door.enter(2).is_none());
        drop(first);
        assert!(!door.is_full(2) && door.enter(2).is_some());
    }
}
