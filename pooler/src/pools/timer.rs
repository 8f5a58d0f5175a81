//! One timer for all pools of a worker. It sleeps until the first deadline and is woken early only
//! when an earlier one comes up.

use std::rc::{Rc, Weak};

use poolwright_pool::Event;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Connector, PoolShell};
use crate::clock::sleep_until;

/// Ends when the shell is gone.
pub(super) async fn keep_time<K: Connector>(shell: Weak<PoolShell<K>>, earlier: Rc<Notify>) {
    while let Some(due) = shell.upgrade().map(|shell| shell.next_due()) {
        match due {
            Some(due) => tokio::select! {
                () = sleep_until(due) => if let Some(shell) = shell.upgrade() {
                    shell.tell(Event::Timer);
                },
                () = earlier.notified() => {}
            },
            None => earlier.notified().await,
        }
    }
}

impl<K: Connector> PoolShell<K> {
    fn next_due(&self) -> Option<Instant> {
        let due = self.rules.borrow().next_deadline();
        self.armed.set(due);
        due.map(|due| self.started + due)
    }
}
