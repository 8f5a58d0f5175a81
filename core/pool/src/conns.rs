//! All connections in a table, found by the index in their number. It knows their numbers and
//! nothing of their states.

use crate::conn::{Conn, State};
use crate::ids::{ConnId, PoolId};

/// Places are reused, the one left last first, so that the table is as long as the most
/// connections that there were at once.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    places: Vec<Option<Conn>>,
    vacant: Vec<u32>,
    next_serial: u64,
}

impl Conns {
    /// A new connection in `Opening`.
    pub(crate) fn open(&mut self, pool: PoolId, epoch: u32) -> ConnId {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        let id = ConnId::new(self.next_serial, index as usize);
        self.next_serial += 1;
        self.places[index as usize] = Some(Conn::new(id, pool, epoch));
        id
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.places.get(id.index())?.as_ref().filter(|conn| conn.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.places.get_mut(id.index())?.as_mut().filter(|conn| conn.id == id)
    }

    /// Since when it is idle, if it is.
    pub(crate) fn idle_since(&self, id: ConnId) -> Option<std::time::Duration> {
        match self.get(id)?.state {
            State::Idle { since } => Some(since),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let place = self.places.get_mut(id.index())?;
        let conn = place.take_if(|conn| conn.id == id)?;
        self.vacant.push(id.index() as u32);
        Some(conn)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Conn> {
        self.places.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_used_twice_though_its_place_is() {
        let mut conns = Conns::default();
        let (first, second) = (conns.open(PoolId(0), 0), conns.open(PoolId(1), 0));
        assert!(conns.remove(first).is_some());
        assert!(conns.remove(first).is_none() && conns.get(first).is_none());
        let third = conns.open(PoolId(2), 0);
        assert_eq!(third.index(), first.index());
        assert!(second < third && conns.get(first).is_none() && conns.remove(first).is_none());
        assert_eq!((conns.len(), conns.iter().count(), third.serial()), (2, 2, 2));
    }
}
