//! Notices connections that nobody has used for long, whose server may be gone without a word. One
//! look at all of them in a while; nothing is noted when one is used. It closes none.

use std::rc::Weak;
use std::time::Duration;

use super::{Connector, PoolShell};
use crate::clock::sleep;

/// Looks in the time after which a connection is stale.
const LOOKS: u8 = 4;

/// Ends when the shell is gone.
pub(super) async fn keep<K: Connector>(shell: Weak<PoolShell<K>>) {
    while let Some(pause) = shell.upgrade().map(|shell| shell.freshness.get() / u32::from(LOOKS)) {
        sleep(pause.max(Duration::from_millis(1))).await;
        if let Some(shell) = shell.upgrade() {
            shell.look_at_ages();
        }
    }
}

impl<K: Connector> PoolShell<K> {
    fn look_at_ages(&self) {
        for resting in self.resting.borrow_mut().values_mut() {
            // The first look may have come right after it came to rest.
            if resting.rested == LOOKS {
                self.connector.grows_stale(&mut resting.conn);
            }
            resting.rested = resting.rested.saturating_add(1).min(LOOKS + 1);
        }
    }
}
