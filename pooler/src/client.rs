//! A client's life after login: greeted, idle, waiting for a server connection, served with one.
//! Each state is a function; the rules of the messages are in `poolwright_session`.

mod greeting;
mod idle;
mod waiting;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use poolwright_pool::{ClientId, ConnId, Refusal};
use poolwright_session::{Fatal, Output, Session};
use poolwright_wire::write::{self, ErrorFields};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::conn::{RunError, ServerConn};
use crate::login::LoggedIn;
use crate::relay::{ClientConn, End, Pair};
use crate::roster::Slot;
use crate::stream::Stream;
use crate::tenant::Tenant;
use crate::worker::Worker;

/// How long a client may take to hear the end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// One client, from its greeting to its end.
pub struct Client {
    worker: Rc<Worker>,
    tenant: Rc<Tenant>,
    slot: Rc<Slot>,
    conn: ClientConn,
    /// What is to be sent before the greeting.
    prelude: Vec<u8>,
}

/// Why a client's session is over.
#[derive(Debug)]
enum Over {
    /// It said goodbye, or hung up between requests.
    Left,
    /// It is to be told, and closed.
    Told(Farewell),
    /// It cannot be told any more.
    Lost(String),
}

/// The last error that a client reads.
#[derive(Debug)]
struct Farewell {
    sqlstate: String,
    message: String,
}

fn farewell(sqlstate: impl Into<String>, message: impl Into<String>) -> Over {
    Over::Told(Farewell { sqlstate: sqlstate.into(), message: message.into() })
}

fn shutdown() -> Over {
    farewell("57P01", "terminating connection due to administrator command")
}

impl From<Fatal> for Over {
    fn from(fatal: Fatal) -> Over {
        farewell(fatal.sqlstate, fatal.message)
    }
}

impl From<Refusal> for Over {
    /// PgBouncer's code and, where there is one, its text.
    fn from(refusal: Refusal) -> Over {
        match refusal {
            Refusal::ShuttingDown => shutdown(),
            refusal => farewell("08P01", refusal.to_string()),
        }
    }
}

/// A server connection and its number in the pools.
struct Lease {
    id: ConnId,
    conn: ServerConn,
}

/// Serves a client until it leaves or must go.
pub async fn serve(worker: Rc<Worker>, login: LoggedIn) {
    let LoggedIn { mut stream, user, database, parameters, leftover, pending_out, peer } = login;
    let Some(tenant) = worker.tenant(&database, &user) else { return };
    let wanted = match greeting::wanted(&parameters) {
        Ok(wanted) => wanted,
        Err(over) => {
            say_farewell(&mut stream, &over).await;
            return;
        }
    };
    let slot = worker.roster.enter(&tenant.database, tenant.pool);
    let session = Session::new(tenant.pool.0, wanted, Rc::clone(&worker.statements));
    let conn = ClientConn { stream, session, input: leftover, output: Vec::new() };
    let mut client = Client { worker, tenant, slot, conn, prelude: pending_out };
    debug!(%peer, user, database, "client in");
    let over = client.run().await;
    client.count();
    match &over {
        Over::Left => debug!(%peer, user, database, "client left"),
        Over::Told(farewell) if farewell.sqlstate == "57P01" => {
            debug!(%peer, user, database, "client sent away");
        }
        Over::Told(Farewell { sqlstate, message }) => {
            info!(%peer, user, database, sqlstate, message, "client closed");
        }
        Over::Lost(why) => info!(%peer, user, database, why, "client lost"),
    }
    let Client { worker, slot, mut conn, .. } = client;
    worker.roster.leave(&slot);
    say_farewell(&mut conn.stream, &over).await;
}

/// The end of a connection, with the reason where there is one to tell.
async fn say_farewell(stream: &mut Stream, over: &Over) {
    let mut out = Vec::new();
    if let Over::Told(Farewell { sqlstate, message }) = over {
        let fields = ErrorFields { severity: "FATAL", sqlstate, message, ..ErrorFields::default() };
        write::error_response(&mut out, &fields);
    }
    // A peer that is gone hears nothing.
    let _ = timeout(FAREWELL_TIMEOUT, async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    })
    .await;
}

impl Client {
    async fn run(&mut self) -> Over {
        match self.live().await {
            Err(over) => over,
            Ok(never) => match never {},
        }
    }

    async fn live(&mut self) -> Result<std::convert::Infallible, Over> {
        self.greet().await?;
        loop {
            self.idle().await?;
            if let Some(lease) = self.wait().await? {
                self.serve_with(lease).await?;
            }
        }
    }

    fn id(&self) -> ClientId {
        self.slot.id
    }

    /// One stay with a server connection: a transaction, or the whole session.
    async fn serve_with(&mut self, mut lease: Lease) -> Result<(), Over> {
        if let Err(error) = lease.conn.apply(&self.conn.session.wanted).await {
            return Err(self.unprepared(lease, error));
        }
        lease.conn.model.begin_stay();
        self.slot.attach(&lease.conn.backend);
        let end = self.relay(&mut lease.conn).await;
        self.slot.detach();
        self.count();
        let clean = lease.conn.is_free();
        match end {
            End::Free => {
                self.worker.release(&self.tenant, lease.id, lease.conn);
                Ok(())
            }
            End::ServerLost(lost) => {
                let quiet = lease.conn.model.is_quiet();
                if !quiet {
                    self.tenant.counts.requests_cut.add(1);
                }
                warn!(database = %self.tenant.database, error = %lost, "server connection lost");
                let message = format!("server connection lost: {lost}");
                self.worker.discard(lease.id, lease.conn, lost.label());
                Err(farewell("08006", message))
            }
            End::Terminated if clean => {
                self.worker.release(&self.tenant, lease.id, lease.conn);
                Err(Over::Left)
            }
            End::Terminated => {
                self.worker.finish(&self.tenant, lease.id, lease.conn);
                Err(Over::Left)
            }
            End::ClientLost(error) => {
                self.worker.finish(&self.tenant, lease.id, lease.conn);
                Err(if clean { Over::Left } else { Over::Lost(error.to_string()) })
            }
            End::Fatal(fatal) => {
                self.worker.finish(&self.tenant, lease.id, lease.conn);
                Err(fatal.into())
            }
        }
    }

    /// The client's settings did not go through, so nothing of its request may run (I3b).
    fn unprepared(&self, lease: Lease, error: RunError) -> Over {
        match error {
            RunError::Refused(failure) => {
                self.worker.release(&self.tenant, lease.id, lease.conn);
                farewell(failure.sqlstate, failure.message)
            }
            RunError::Lost(lost) => {
                self.worker.discard(lease.id, lease.conn, lost.label());
                farewell("08006", format!("server connection lost: {lost}"))
            }
        }
    }

    async fn relay(&mut self, server: &mut ServerConn) -> End {
        let slot = Rc::clone(&self.slot);
        let keep = self.tenant.keeps_connection();
        let mut pair = Pair::new(&mut self.conn, server, keep);
        let mut begin = true;
        poll_fn(|cx| {
            slot.register(cx);
            let end = pair.poll(&mut begin, cx);
            if end.is_pending() && slot.is_stopping() && pair.is_idle() {
                return Poll::Ready(End::Free);
            }
            end
        })
        .await
    }

    /// Adds what the session has done since the last time.
    fn count(&mut self) {
        let done = std::mem::take(&mut self.conn.session.counts);
        self.tenant.counts.queries.add(done.queries);
        self.tenant.counts.transactions.add(done.transactions);
    }

    /// Writes what is to be written to the client, as far as it takes it.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Result<(), Over> {
        let ClientConn { stream, output, .. } = &mut self.conn;
        match crate::conn::poll_drain(stream, output, cx) {
            Poll::Ready(Err(error)) => Err(Over::Lost(error.to_string())),
            _ => Ok(()),
        }
    }

    fn queue(&mut self, out: Output) {
        self.conn.output.extend_from_slice(&out.to_client);
    }
}
