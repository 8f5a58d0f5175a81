//! What goes wrong in a world. Each choice is one fault; none of them is a mistake of the pooler.

use std::time::Duration;

use poolwright_pool::{ConnId, DatabaseId, DatabaseLimits, Event, ServerLimits};

use crate::client::Standing;
use crate::link::Phase;
use crate::world::{DATABASES, SERVER, World, database_of, limits};

impl World {
    pub fn fault(&mut self) {
        self.counts.faults += 1;
        match self.random.below(10) {
            0..=2 => self.vanish(),
            3..=5 => self.cancel(),
            6 => self.lose_server(),
            7 => self.change_cap(),
            8 => self.change_limits(),
            _ if self.random.one_in(20) => self.tell(Event::Reconnect { server: SERVER }),
            _ => {}
        }
    }

    /// A client is never seen again, after any byte.
    fn vanish(&mut self) {
        let index = self.random.below(self.clients.len());
        match self.clients[index].standing {
            Standing::Idle => {}
            Standing::Waiting => {
                let client = poolwright_pool::ClientId(index as u32);
                self.tell(Event::Abandon { client });
            }
            Standing::Served(id) => self.abandon(id),
        }
        self.clients[index] = self.newcomer();
    }

    /// The client that had it is gone: finished in order, or closed.
    fn abandon(&mut self, id: ConnId) {
        let link = &mut self.links.get_mut(&id).expect("a served client's connection").1;
        link.phase = Phase::Cleaning;
        link.orphan = true;
        if std::mem::take(&mut link.applying) || !link.model.finish_flight(&mut link.to_fake) {
            self.discard(id);
        }
    }

    /// A client asks for a cancel of what it runs, or waits for.
    fn cancel(&mut self) {
        let index = self.random.below(self.clients.len());
        match self.clients[index].standing {
            Standing::Idle => {}
            Standing::Waiting => self.refuse(index),
            Standing::Served(id) => {
                self.links.get_mut(&id).expect("a served client's connection").1.cancels += 1;
            }
        }
    }

    /// A server ends a connection; whoever has it must go.
    fn lose_server(&mut self) {
        let ids: Vec<ConnId> = self.links.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = self.random.pick(&ids);
        match self.links[&id].1.phase {
            Phase::Opening | Phase::Closing => {}
            Phase::Held(index) => {
                self.clients[index] = self.newcomer();
                self.discard(id);
            }
            Phase::Cleaning | Phase::Idle => self.discard(id),
        }
    }

    /// The grant shrinks or grows.
    fn change_cap(&mut self) {
        self.cap = self.random.below(8) as u32;
        self.set_cap();
    }

    fn set_cap(&mut self) {
        self.pools.set_server(SERVER, ServerLimits { max: self.cap, logins: 2 });
        self.tell(Event::Timer);
    }

    /// New settings for a database, or a pool.
    fn change_limits(&mut self) {
        if self.random.one_in(2) {
            let database = DatabaseId(self.random.below(DATABASES as usize) as u32);
            let max = 1 + self.random.below(5) as u32;
            self.pools.set_database(database, DatabaseLimits { server: SERVER, max });
        } else {
            let pool = self.random.below(6) as u32;
            let size = limits(1 + self.random.below(3) as u32, Some(Duration::from_secs(10)));
            self.pools.pool(database_of(pool), &format!("user{pool}"), size);
        }
        self.tell(Event::Timer);
    }

    /// Nothing goes wrong from here on.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.cap = 5;
        self.set_cap();
        for client in &mut self.clients {
            client.units = client.units.min(1);
        }
    }
}
