//! One replication connection from its login to its end: a seat, a server connection, the greeting,
//! the bytes, and the end of both sides.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use poolwright_session::replication::{Doing, Progress};
use poolwright_settings::Settings;
use poolwright_wire::{CancelKey, TransactionStatus, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_local;
use tokio::time::Instant;
use tracing::info;

use super::link::{End, Link};
use super::place::{Kind, Place, place};
use super::seats::Seat;
use super::{Backend, Hall};
use crate::clock::{sleep, timeout};
use crate::config::Config;
use crate::credential::{Credential, Learned};
use crate::farewell::{Farewell, Over, farewell, hang_up, say_farewell, shutdown};
use crate::lifecycle::{Lifecycle, NEWS_TRAVELS};
use crate::login::LoggedIn;
use crate::server::{ConnectError, Connected, Identity, ServerTarget};
use crate::stream::Stream;

/// How long the end of a connection waits for the server to hang up. Until it does, the seat is taken.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// Who came, and what for.
struct Visit {
    hall: Rc<Hall>,
    kind: Kind,
    user: String,
    /// As the client named it.
    database: String,
    protocol: i32,
    peer: SocketAddr,
}

/// Its server connection.
struct Host {
    connected: Connected,
    backend: Rc<Backend>,
    seat: Seat,
}

/// Serves a client until it leaves or must go.
pub(super) async fn receive(hall: Rc<Hall>, login: LoggedIn<Stream>, kind: Kind) {
    let LoggedIn { mut stream, protocol, user, database, parameters, leftover, .. } = login;
    let LoggedIn { pending_out, peer, place: _place, learned, .. } = login;
    let visit = Visit { hall, kind, user, database, protocol, peer };
    match visit.log_in(&parameters, learned).await {
        Ok(host) => visit.stay(stream, host, leftover, pending_out).await,
        Err(over) => {
            visit.log(&over);
            leave(&mut stream, pending_out, &over).await;
        }
    }
}

impl Visit {
    async fn log_in(
        &self,
        parameters: &[(String, String)],
        learned: Option<Box<Learned>>,
    ) -> Result<Host, Over> {
        if !self.hall.is_serving() {
            return Err(farewell("57P03", "the pooler is shutting down"));
        }
        let config = self.hall.config();
        let Place { index, server, dbname } =
            place(&config, self.kind, &self.database).ok_or_else(shutdown)?;
        let asked = config.database(&self.database);
        let forced = asked.as_ref().and_then(|it| it.forced.as_ref());
        let server_user = forced.map_or(&self.user, |forced| &forced.user);
        let credentials = match forced {
            Some(forced) => Credential::all_of_forced(forced, &config),
            None => self.credentials(&config, learned),
        };
        let max = server.max_replication_connections;
        let seat =
            self.hall.seats.take(&server.name, max).ok_or_else(|| full(&server.name, max))?;
        let target = ServerTarget::of(server, &config.server_tls[index], &config.limits);
        let asked_for = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let more: Vec<_> = asked_for.chain([("replication", self.kind.value())]).collect();
        let who = Identity { database: dbname, user: server_user, credential: None, more: &more };
        let connected = match self.hall.desk.connect(&target, who, &credentials).await {
            Ok(connected) => connected,
            Err(ConnectError { sqlstate, message, lingering, .. }) => {
                if let Some(lingering) = lingering {
                    spawn_local(keep_until(lingering.gone(), seat));
                }
                return Err(farewell(sqlstate.as_deref().unwrap_or("08006"), message));
            }
        };
        let backend = Backend {
            target,
            addr: connected.addr,
            process_id: connected.process_id,
            secret: connected.secret.clone(),
        };
        Ok(Host { connected, backend: Rc::new(backend), seat })
    }

    /// With what this client's own user logs in.
    fn credentials(&self, config: &Config, learned: Option<Box<Learned>>) -> Vec<Credential> {
        let listed = config.users.get(&self.user).map(Credential::all_of);
        let learned = learned.map(|learned| learned.credential);
        listed.into_iter().flatten().chain(learned).collect()
    }

    /// Passes the bytes on until one side ends, or both must.
    async fn stay(&self, client: Stream, host: Host, to_server: Vec<u8>, mut to_client: Vec<u8>) {
        let Visit { hall, user, database, peer, .. } = self;
        let Host { connected, backend, seat } = host;
        let (process_id, secret) = hall.keys.add(self.protocol, hall.config().own_id, &backend);
        greet(&mut to_client, &connected, &CancelKey { process_id, secret: &secret });
        to_client.extend_from_slice(&connected.leftover);
        let server = connected.stream;
        let progress = RefCell::new(Progress::default());
        let mut link = Link { client, server, to_client, to_server, progress };
        info!(%peer, user, database, "replication connection begins");
        let end = link.run(self.called_off(&backend.target), hall.is_stopped()).await;
        hall.keys.remove(process_id);
        let over = over(end, &link.progress.borrow());
        info!(%peer, user, database, ?over, "replication connection ends");
        let Link { mut client, server, progress, .. } = link;
        let told = leave(&mut client, Vec::new(), &over);
        let progress = progress.into_inner();
        let mut retired = Box::pin(keep_until(retire(server, progress, backend), seat));
        let (in_time, ()) = tokio::join!(timeout(HANG_UP_TIMEOUT, &mut retired), told);
        if in_time.is_err() {
            spawn_local(retired);
        }
    }

    /// Until the connection is to end as soon as nothing is lost by it: the settings know its place
    /// or user no longer, or the process is to end and the news of that has travelled.
    async fn called_off(&self, target: &ServerTarget) {
        let (mut config, mut lifecycle) = (self.hall.config.clone(), self.hall.lifecycle.clone());
        let gone = config.wait_for(|config| !self.is_known(config, target));
        let drained = async {
            let changed = lifecycle.wait_for(|stage| *stage != Lifecycle::Serving).await;
            if let Ok(Lifecycle::Draining { deadline }) = changed.map(|stage| *stage) {
                let span = deadline.saturating_duration_since(Instant::now());
                sleep(NEWS_TRAVELS.min(span / 4)).await;
            }
        };
        tokio::select! {
            _ = gone => {}
            () = drained => {}
        }
    }

    fn is_known(&self, settings: &Settings, target: &ServerTarget) -> bool {
        let is_there = |place: Place<'_>| {
            (&place.server.host, place.server.port) == (&target.host, target.port)
        };
        let known = place(settings, self.kind, &self.database).is_some_and(is_there);
        known && settings.may_know(&self.user)
    }

    fn log(&self, over: &Over) {
        let Visit { peer, user, database, .. } = self;
        match over {
            Over::Told(Farewell { sqlstate, message }) => {
                info!(%peer, user, database, sqlstate, message, "replication connection refused");
            }
            Over::Left | Over::Lost(_) => {}
        }
    }
}

fn full(server: &str, max: u32) -> Over {
    let message = format!(
        "too many replication connections to server \"{server}\": all {max} of the pooler's \
         servers[].maxReplicationConnections are taken"
    );
    farewell("53300", message)
}

/// What the server said at its login, but for the key, which is the pooler's.
fn greet(out: &mut Vec<u8>, connected: &Connected, key: &CancelKey<'_>) {
    write::authentication_ok(out);
    for (name, value) in &connected.parameters {
        write::parameter_status(out, name.as_bytes(), value.as_bytes());
    }
    write::backend_key_data(out, key);
    write::ready_for_query(out, TransactionStatus::Idle);
}

/// What the client hears; amid a message nothing can be said.
fn over(end: End, progress: &Progress) -> Over {
    let told = match end {
        End::ServerClosed | End::ClientLeft => return Over::Left,
        End::ClientLost(why) => return Over::Lost(why),
        End::ServerLost(why) => farewell("08006", format!("server connection lost: {why}")),
        End::CalledOff | End::Cut => shutdown(),
    };
    match told {
        Over::Told(Farewell { message, .. }) if !progress.client_listens() => Over::Lost(message),
        told => told,
    }
}

async fn leave(stream: &mut Stream, out: Vec<u8>, over: &Over) {
    say_farewell(stream, out, over).await;
    hang_up(stream, over).await;
}

/// Ends the server's side and waits until it has hung up. A command under way is cancelled: the
/// server would not look at what it is sent before the command's end.
async fn retire(mut server: Stream, progress: Progress, backend: Rc<Backend>) {
    if progress.doing() == Doing::Command {
        backend.cancel().await;
    }
    let mut goodbye = Vec::new();
    if progress.server_listens() {
        write::terminate(&mut goodbye);
    }
    // One that is gone hears nothing.
    let _ = server.write_all(&goodbye).await;
    let _ = server.shutdown().await;
    let mut scrap = [0; 4096];
    while matches!(server.read(&mut scrap).await, Ok(1..)) {}
}

/// The server has a walsender of ours as long.
async fn keep_until(gone: impl Future<Output = ()>, seat: Seat) {
    gone.await;
    drop(seat);
}
