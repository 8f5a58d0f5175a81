//! A client's cancel request: it hits that client's running query, or takes its request out of the
//! queue, and nothing else. Who asked hears when the cancel has been delivered.

use std::rc::Rc;

use poolwright_session::mutation::{self, Mutation};
use tokio::sync::oneshot;
use tracing::warn;

use crate::conn::Backend;
use crate::roster::Standing;
use crate::server::send_cancel;
use crate::worker::{CancelKey, Worker};

/// Delivers a cancel request to this worker's client with that key, then says that it is done. An
/// unknown key is ignored, as Postgres does.
pub async fn deliver(worker: Rc<Worker>, key: CancelKey, done: oneshot::Sender<()>) {
    let Some(slot) = worker.roster.find(key.process_id, &key.secret) else { return };
    match slot.standing() {
        Standing::Idle => {}
        Standing::Waiting if mutation::is(Mutation::CancelIgnoresQueue) => {}
        Standing::Waiting => slot.cancel(),
        Standing::Active(backend) => cancel_backend(&slot.tenant.database, &backend).await,
    }
    // Who sent the request may have hung up.
    let _ = done.send(());
}

/// Cancels what the backend runs. Until Postgres confirms, nobody else gets the connection (I5); a
/// cancel that cannot be confirmed leaves it so, and its release closes it.
pub async fn cancel_backend(database: &str, backend: &Backend) {
    let target = backend.target.borrow().clone();
    backend.cancel_sent();
    match send_cancel(&target, backend.addr, backend.process_id, &backend.secret).await {
        Ok(()) => backend.cancel_confirmed(),
        Err(error) => {
            warn!(database, %error, "cancel request not delivered");
            backend.cancel_lost();
        }
    }
}
