//! Clients that wait, by order of arrival: a list through one table, which has a place for each
//! client. It knows who waits where, never what for.

use std::time::Duration;

use crate::ids::{ClientId, PoolId};

/// No client, no pool.
const NONE: u32 = u32::MAX;

/// The clients that wait in one pool.
#[derive(Debug)]
pub(crate) struct Queue {
    first: u32,
    last: u32,
    len: u32,
    /// Since when the first one waits.
    since: Duration,
}

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue { first: NONE, last: NONE, len: 0, since: Duration::ZERO }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Since when the longest waiter waits.
    pub(crate) fn head_since(&self) -> Option<Duration> {
        (self.len > 0).then_some(self.since)
    }
}

/// A client's place; `pool` is [`NONE`] while it does not wait.
#[derive(Debug, Clone, Copy)]
struct Place {
    pool: u32,
    before: u32,
    after: u32,
    since: Duration,
}

const VACANT: Place = Place { pool: NONE, before: NONE, after: NONE, since: Duration::ZERO };

/// The places of all clients, by number.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: Vec<Place>,
    taken: usize,
}

impl Places {
    /// Clients that wait, in all queues.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Where the client waits.
    pub(crate) fn pool_of(&self, client: ClientId) -> Option<PoolId> {
        let place = self.places.get(client.0 as usize)?;
        (place.pool != NONE).then_some(PoolId(place.pool))
    }

    /// To the end of this pool's queue.
    pub(crate) fn push(
        &mut self,
        queue: &mut Queue,
        pool: PoolId,
        client: ClientId,
        since: Duration,
    ) {
        let index = client.0 as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, VACANT);
        }
        self.places[index] = Place { pool: pool.0, before: queue.last, after: NONE, since };
        if queue.len == 0 {
            queue.first = client.0;
            queue.since = since;
        } else {
            self.places[queue.last as usize].after = client.0;
        }
        queue.last = client.0;
        queue.len += 1;
        self.taken += 1;
    }

    /// The longest waiter leaves.
    pub(crate) fn pop(&mut self, queue: &mut Queue) -> Option<ClientId> {
        let client = ClientId(queue.first);
        (queue.len > 0).then(|| {
            self.remove(queue, client);
            client
        })
    }

    /// The client leaves the queue in which it waits.
    pub(crate) fn remove(&mut self, queue: &mut Queue, client: ClientId) {
        let place = std::mem::replace(&mut self.places[client.0 as usize], VACANT);
        match self.places.get_mut(place.before as usize) {
            Some(before) => before.after = place.after,
            None => queue.first = place.after,
        }
        match self.places.get_mut(place.after as usize) {
            Some(after) => {
                after.before = place.before;
                if place.before == NONE {
                    queue.since = after.since;
                }
            }
            None => queue.last = place.before,
        }
        queue.len -= 1;
        self.taken -= 1;
    }

    /// The queue from its first to its last.
    pub(crate) fn iter(&self, queue: &Queue) -> impl Iterator<Item = (ClientId, Duration)> {
        let mut next = queue.first;
        std::iter::from_fn(move || {
            let place = self.places.get(next as usize)?;
            let client = ClientId(std::mem::replace(&mut next, place.after));
            Some((client, place.since))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId(3);

    fn queued(clients: &[u32]) -> (Places, Queue) {
        let (mut places, mut queue) = (Places::default(), Queue::new());
        for client in clients {
            let since = Duration::from_secs(u64::from(*client));
            places.push(&mut queue, POOL, ClientId(*client), since);
        }
        (places, queue)
    }

    fn check(places: &Places, queue: &Queue, expect: &[u32]) {
        let found: Vec<u32> = places.iter(queue).map(|(client, _)| client.0).collect();
        assert_eq!(found, expect);
        assert_eq!((queue.len() as usize, places.taken()), (expect.len(), expect.len()));
        let first = expect.first().map(|client| Duration::from_secs(u64::from(*client)));
        assert_eq!(queue.head_since(), first);
    }

    #[test]
    fn clients_leave_in_the_order_in_which_they_came() {
        let (mut places, mut queue) = queued(&[4, 0, 2]);
        for (client, left) in [(4, &[0, 2][..]), (0, &[2]), (2, &[])] {
            assert_eq!(places.pop(&mut queue), Some(ClientId(client)));
            check(&places, &queue, left);
        }
        assert_eq!(places.pop(&mut queue), None);
    }

    #[test]
    fn who_gives_up_leaves_no_gap() {
        for (gone, left) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
            let (mut places, mut queue) = queued(&[1, 2, 3]);
            assert_eq!(places.pool_of(ClientId(gone)), Some(POOL));
            places.remove(&mut queue, ClientId(gone));
            assert_eq!(places.pool_of(ClientId(gone)), None);
            check(&places, &queue, &left);
        }
    }

    #[test]
    fn a_number_may_come_back() {
        let (mut places, mut queue) = queued(&[1]);
        places.pop(&mut queue);
        places.push(&mut queue, POOL, ClientId(1), Duration::from_secs(1));
        check(&places, &queue, &[1]);
        assert_eq!(places.pool_of(ClientId(7)), None);
    }
}
