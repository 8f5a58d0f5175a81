//! A client's cancel request: it hits that client's running query, or takes its request out of the
//! queue, and nothing else. The requester's connection closes when the cancel has been delivered.

use std::rc::Rc;

use tokio::io::AsyncWriteExt;
use tracing::{debug, warn};

use crate::conn::Backend;
use crate::roster::Standing;
use crate::server::send_cancel;
use crate::stream::Stream;
use crate::worker::Worker;

/// Delivers a cancel request, then closes its connection. An unknown key is ignored, as Postgres
/// does.
pub async fn deliver(worker: Rc<Worker>, process_id: i32, secret: Vec<u8>, mut stream: Stream) {
    match worker.roster.find(process_id, &secret) {
        None => debug!(process_id, "cancel request with an unknown key"),
        Some(slot) => match slot.standing() {
            Standing::Idle => {}
            Standing::Waiting => slot.cancel(),
            Standing::Active(backend) => cancel_backend(&worker, &slot.database, &backend).await,
        },
    }
    let _ = stream.shutdown().await;
}

/// Cancels what the backend runs. Until Postgres confirms, nobody else gets the connection (I5); a
/// cancel that cannot be confirmed leaves it so, and its release closes it.
pub async fn cancel_backend(worker: &Worker, database: &str, backend: &Rc<Backend>) {
    let Some(target) = worker.target(database) else { return };
    backend.cancel_sent();
    match send_cancel(&target, backend.addr, backend.process_id, &backend.secret).await {
        Ok(()) => backend.cancel_confirmed(),
        Err(error) => {
            warn!(database, %error, "cancel request not delivered");
            backend.cancel_lost();
        }
    }
}
