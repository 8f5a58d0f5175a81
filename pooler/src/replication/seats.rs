//! How many replication connections there are to each server. Locked when one is opened or closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By the server's name.
#[derive(Default)]
pub struct Seats(Mutex<HashMap<String, u32>>);

/// One connection's; dropping it gives it back.
pub struct Seat {
    seats: Arc<Seats>,
    server: String,
}

impl Seats {
    /// A seat, unless all `max` are taken.
    pub fn take(self: &Arc<Seats>, server: &str, max: u32) -> Option<Seat> {
        let mut taken = self.lock();
        let count = taken.entry(server.to_owned()).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Seat { seats: Arc::clone(self), server: server.to_owned() })
    }

    pub fn count(&self, server: &str) -> u32 {
        self.lock().get(server).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(count) = self.seats.lock().get_mut(&self.server) {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Seats;

    #[test]
    fn each_server_has_its_own_and_gets_them_back() {
        let seats = Arc::new(Seats::default());
        let first = seats.take("main", 1);
        assert!(first.is_some() && seats.take("main", 1).is_none());
        assert!(seats.take("other", 0).is_none());
        let _other = seats.take("other", 1).unwrap();
        assert_eq!((seats.count("main"), seats.count("other"), seats.count("none")), (1, 1, 0));
        drop(first);
        assert!(seats.take("main", 1).is_some());
        assert_eq!(seats.count("main"), 0);
    }
}
