//! What a scrape counts anew: the server connections of this worker's databases, by state.

use std::rc::{Rc, Weak};

use super::Worker;
use crate::metrics::Gauges;

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
        for (name, id) in &*self.databases.borrow() {
            let name = config.listed_as(name);
            for (state, count) in self.pools.database_counts(*id) {
                *gauges.server_connections.entry((name.to_owned(), state)).or_default() +=
                    u64::from(count);
            }
        }
    }
}
