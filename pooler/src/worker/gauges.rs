//! What a scrape counts anew: clients by state, server connections by state, caps.

use std::rc::{Rc, Weak};

use super::Worker;
use crate::metrics::Gauges;
use crate::roster::Standing;

impl Worker {
    pub(super) fn show_gauges(self: &Rc<Worker>) {
        let worker: Weak<Worker> = Rc::downgrade(self);
        self.metrics.gauges_from(move |gauges| {
            if let Some(worker) = worker.upgrade() {
                worker.fill(gauges);
            }
        });
    }

    fn fill(&self, gauges: &mut Gauges) {
        let config = self.config.borrow();
        for name in config.databases.keys() {
            for state in ["active", "waiting", "idle"] {
                gauges.client_connections.insert((name.clone(), state), 0);
            }
            let tally = self.pools.database_counts(self.database_id(name));
            for (state, count) in tally {
                gauges.server_connections.insert((name.clone(), state), u64::from(count));
            }
        }
        for slot in self.roster.all() {
            let state = match slot.standing() {
                Standing::Idle => "idle",
                Standing::Waiting => "waiting",
                Standing::Active(_) => "active",
            };
            *gauges.client_connections.entry((slot.database.to_string(), state)).or_default() += 1;
        }
        for server in &config.servers {
            let max = u64::from(server.max_connections);
            gauges.server_connections_max.insert(server.name.clone(), max);
        }
    }
}
