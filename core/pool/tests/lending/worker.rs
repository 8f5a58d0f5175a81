//! One worker and its outside: what the effects said, kept apart from what the pools believe.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolwright_pool::{ClientId, CloseReason, ConnId, Effect, Event, PoolId, Pools};

use crate::office::Office;

pub struct Worker {
    pub pools: Pools,
    pub waiting: BTreeMap<ClientId, PoolId>,
    pub opening: BTreeSet<ConnId>,
    pub idle: BTreeSet<ConnId>,
    pub busy: BTreeMap<ConnId, ClientId>,
    pub closing: BTreeSet<ConnId>,
    /// Every connection from `Open` to `Closed`.
    pub home: BTreeMap<ConnId, PoolId>,
    pub closed: Vec<CloseReason>,
    /// Where it has no bank to ask.
    pub alone: bool,
}

impl Worker {
    pub fn new(pools: Pools, alone: bool) -> Worker {
        Worker {
            pools,
            waiting: BTreeMap::new(),
            opening: BTreeSet::new(),
            idle: BTreeSet::new(),
            busy: BTreeMap::new(),
            closing: BTreeSet::new(),
            home: BTreeMap::new(),
            closed: Vec::new(),
            alone,
        }
    }

    /// Gives the event to the pools and does what they say.
    pub fn handle(
        &mut self,
        now: Duration,
        event: Event,
        office: &mut Office,
        index: usize,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.alone {
            self.pools.handle(now, event, &mut effects);
        } else {
            self.pools.handle_with(now, event, &mut office.counter(index), &mut effects);
        }
        effects.iter().for_each(|effect| self.obey(effect));
        effects
    }

    fn obey(&mut self, effect: &Effect) {
        match *effect {
            Effect::Open { conn, pool } => {
                assert!(self.home.insert(conn, pool).is_none(), "{conn:?} opened twice");
                self.opening.insert(conn);
                assert!(self.opening.len() <= 2, "parallel logins");
            }
            Effect::Assign { client, conn } => {
                let pool = self.waiting.remove(&client).expect("assigned to one who waits");
                assert_eq!(self.home[&conn], pool, "a connection of another pool");
                assert!(self.idle.remove(&conn), "{conn:?} was not free");
                self.busy.insert(conn, client);
            }
            Effect::Close { conn, why } => {
                assert!(self.idle.remove(&conn), "{conn:?} closed in use");
                self.closing.insert(conn);
                self.closed.push(why);
            }
            Effect::Refuse { client, .. } => {
                assert!(self.waiting.remove(&client).is_some(), "{client:?} refused unasked");
            }
        }
    }

    /// The least number that neither waits nor is served.
    pub fn free_client(&self) -> ClientId {
        let taken = |client: &ClientId| {
            self.waiting.contains_key(client) || self.busy.values().any(|other| other == client)
        };
        (0..).map(ClientId).find(|client| !taken(client)).expect("a number is free")
    }
}
