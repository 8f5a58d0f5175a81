//! A client's life after login: greeted, idle, waiting for a server connection, served with one.
//! Each state is a function; the rules of the messages are in `poolwright_session`.

mod greeting;
mod idle;
mod pinned;
mod preparing;
mod waiting;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use poolwright_pool::ClientId;
use poolwright_session::server::Failure;
use poolwright_session::{CANCELED, Output, Session};
use poolwright_wire::write::ErrorFields;
use tokio::task::spawn_local;
use tracing::{debug, info};

use crate::conn::ServerConn;
use crate::door::Place;
use crate::farewell::{Farewell, Over, farewell, hang_up, say_farewell, shutdown};
use crate::homes::Part;
use crate::login::LoggedIn;
use crate::patience::{Phase, Post};
use crate::relay::{ClientConn, End, Pair, Stay};
use crate::roster::{Ending, Slot, Standing, secret_length};
use crate::stream::Stream;
use crate::tenant::{Keep, Rules, Tenant};
use crate::worker::{Lease, Worker};

/// One client, from its greeting to its end.
// In this order in memory: what every request touches stands together.
#[repr(C)]
pub struct Client {
    worker: Rc<Worker>,
    tenant: Rc<Tenant>,
    slot: Rc<Slot>,
    conn: ClientConn,
    /// What is to be sent before the greeting.
    prelude: Vec<u8>,
    peer: SocketAddr,
    /// Once the client has been watched.
    post: Option<Rc<Post>>,
    /// It has got its first ReadyForQuery.
    greeted: bool,
    /// Until the end has been told.
    seat: Option<Seat>,
}

/// A client's place among the others, which it leaves even if its task panics.
struct Seat {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    _place: Place,
}

/// A client under watch, until this is dropped.
struct Watched {
    worker: Rc<Worker>,
    post: Rc<Post>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.worker.watch.leave(&self.post);
        self.post.slot.forgive();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.worker.roster.leave(&self.slot);
    }
}

/// Begins to serve a client, in a task of its own, until it leaves or must go.
pub fn begin(worker: &Rc<Worker>, login: LoggedIn<Stream>, part: Part) {
    match Client::enter(worker, login, part) {
        Ok(client) => drop(spawn_local(client.stay())),
        Err((mut stream, over)) => drop(spawn_local(async move {
            say_farewell(&mut stream, Vec::new(), &over).await;
            hang_up(&mut stream, &over).await;
        })),
    }
}

impl Client {
    fn enter(
        worker: &Rc<Worker>,
        login: LoggedIn<Stream>,
        part: Part,
    ) -> Result<Client, (Stream, Over)> {
        let LoggedIn { stream, protocol, user, database, parameters, leftover, .. } = login;
        let LoggedIn { pending_out, peer, place, .. } = login;
        let known = worker.tenant(&database, &user, part).ok_or_else(shutdown);
        let known = known.and_then(|tenant| Ok((tenant, greeting::wanted(&parameters)?)));
        let (tenant, wanted) = match known {
            Ok(known) => known,
            Err(over) => return Err((stream, over)),
        };
        debug!(%peer, user, database, "client in");
        let slot = worker.roster.enter_with(&tenant, secret_length(protocol), worker.own_id());
        let seat = Seat { worker: Rc::clone(worker), slot: Rc::clone(&slot), _place: place };
        let mut session = Session::new(tenant.pool.0, wanted, Rc::clone(&worker.statements));
        session.harmless = Rc::clone(&tenant.harmless);
        let conn = ClientConn { stream, session, input: leftover, output: Vec::new() };
        let worker = Rc::clone(worker);
        let (prelude, seat) = (pending_out, Some(seat));
        Ok(Client { worker, tenant, slot, conn, prelude, peer, post: None, greeted: false, seat })
    }

    /// From the greeting to the end. What is rare has its memory apart, since this task's is there
    /// for every idle client; and each future within another has its state somewhere else in it, which
    /// a request of a client among hundreds finds in no cache.
    #[expect(clippy::manual_async_fn, reason = "that has the client twice")]
    fn stay(mut self) -> impl Future<Output = ()> {
        async move {
            self.register().await;
            let over = match Box::pin(self.greet()).await {
                Ok(()) => self.take_turns().await,
                Err(over) => over,
            };
            self.tenant.count(&mut self.conn.session);
            self.log(&over);
            let output = std::mem::take(&mut self.conn.output);
            Box::pin(say_farewell(&mut self.conn.stream, output, &over)).await;
            self.seat = None;
            Box::pin(hang_up(&mut self.conn.stream, &over)).await;
        }
    }

    async fn register(&self) {
        poll_fn(|cx| {
            self.slot.register(cx);
            Poll::Ready(())
        })
        .await;
    }

    fn log(&self, over: &Over) {
        let (peer, database, user) = (self.peer, &*self.tenant.database, &*self.tenant.user);
        match over {
            Over::Left => debug!(%peer, user, database, "client left"),
            Over::Told(farewell) if farewell.sqlstate == "57P01" => {
                debug!(%peer, user, database, "client sent away");
            }
            Over::Told(Farewell { sqlstate, message }) => {
                info!(%peer, user, database, sqlstate, message, "client closed");
            }
            Over::Lost(why) => info!(%peer, user, database, why, "client lost"),
        }
    }

    /// Requests, one after the other.
    async fn take_turns(&mut self) -> Over {
        self.greeted = true;
        loop {
            if let Err(over) = self.idle().await {
                return over;
            }
            let lease = match self.lease_at_once() {
                Some(lease) if !lease.is_stale => lease,
                at_once => match self.wait(at_once).await {
                    Ok(Some(lease)) => lease,
                    Ok(None) => continue,
                    Err(over) => return over,
                },
            };
            if let Err(over) = self.serve_with(lease).await {
                return over;
            }
        }
    }

    fn id(&self) -> ClientId {
        self.slot.id
    }

    /// One stay with a server connection: a transaction, or the whole session.
    async fn serve_with(&mut self, mut lease: Lease) -> Result<(), Over> {
        let rules = self.tenant.rules();
        if rules.strict && lease.was_anothers(self.slot.serial) {
            let Some(fit) = Box::pin(self.reset_for_next(lease)).await? else { return Ok(()) };
            lease = fit;
        }
        lease.last_client = self.slot.serial;
        if !lease.model.meet(&mut self.conn.session) {
            self.tenant.learn_base(&lease);
        }
        let wanted = &self.conn.session.wanted;
        let ServerConn { model, output, .. } = &mut *lease;
        model.begin_stay(rules.by_statement);
        if !model.parameters().are(wanted)
            && !model.send_settings(wanted, output)
            && let Err(error) = Box::pin(self.apply(&mut lease)).await
        {
            return self.unprepared_for_request(lease, error);
        }
        self.conn.session.refuses_pins = rules.keep == Keep::Refused;
        let stay = if rules.keep == Keep::Session { Stay::Always } else { Stay::No };
        let mut end = self.attend(&mut lease, stay).await;
        while matches!(end, End::Free) && lease.model.is_undone() && self.keeps_session(rules) {
            lease = Box::pin(self.restore(lease)).await?;
            end = self.attend(&mut lease, stay).await;
        }
        let asks = rules.tracks() && lease.model.in_doubt();
        let counts = rules.pins_sequences && lease.model.has_advanced();
        let set = !lease.model.is_unset();
        if (asks || counts) && set && matches!(end, End::Free) && !self.slot.is_stopping() {
            return Box::pin(self.settle(lease, rules)).await;
        }
        self.leave(lease, end)
    }

    fn keeps_session(&self, rules: Rules) -> bool {
        rules.keep == Keep::Session && !self.slot.is_stopping()
    }

    fn leave(&mut self, lease: Lease, end: End) -> Result<(), Over> {
        let torn = lease.model.is_half_forwarded();
        match self.part(lease, end) {
            Err(Over::Told(Farewell { message, .. })) if torn => Err(Over::Lost(message)),
            parted => parted,
        }
    }

    /// What becomes of both when the client can have the connection no longer.
    fn part(&mut self, mut lease: Lease, end: End) -> Result<(), Over> {
        let clean = lease.is_free();
        match end {
            End::Free => {
                self.worker.release(&self.tenant, lease);
                Ok(())
            }
            End::ServerLost(lost) => {
                if let Err(failure) = lease.model.injected() {
                    return self.unset(lease, failure);
                }
                self.count_cut(&lease);
                info!(database = %self.tenant.database, error = %lost, "server connection lost");
                let message = format!("server connection lost: {lost}");
                lease.discard(lost.label());
                Err(farewell("08006", message))
            }
            End::Terminated => {
                self.worker.release(&self.tenant, lease);
                Err(Over::Left)
            }
            End::ClientLost(error) => {
                self.worker.finish(&self.tenant, lease);
                Err(if clean { Over::Left } else { Over::Lost(error.to_string()) })
            }
            End::Fatal(fatal) => {
                self.worker.finish(&self.tenant, lease);
                Err(fatal.into())
            }
            End::Ended(ending) => {
                self.count_cut(&lease);
                match ending {
                    Ending::Cut => self.worker.finish(&self.tenant, lease),
                    Ending::Expired(_) => self.worker.break_off(&self.tenant, lease),
                }
                Err(ending.into())
            }
        }
    }

    fn count_cut(&self, server: &ServerConn) {
        if !server.model.is_quiet() {
            self.tenant.counts.requests_cut.add(1);
        }
    }

    /// The server has ended its session over the client's settings, and read nothing behind them.
    fn unset(&mut self, mut lease: Lease, failure: Failure) -> Result<(), Over> {
        let told = if failure.sqlstate == CANCELED {
            let mut out = Output::default();
            self.conn.session.refuse_sent(&mut lease.model, &canceled(&failure.message), &mut out);
            self.queue(out);
            Ok(())
        } else {
            Err(farewell(failure.sqlstate, failure.message))
        };
        lease.discard("settings_refused");
        told
    }

    /// A time with the connection, until the relay ends.
    fn attend<'a>(
        &'a mut self,
        server: &'a mut ServerConn,
        stay: Stay,
    ) -> impl Future<Output = End> + 'a {
        self.slot.stand(Standing::Active(Rc::clone(&server.backend)));
        let watched = self.is_watched(stay).then(|| self.watched(Phase::Busy));
        let pin_timeout = self.tenant.rules().pin_timeout.filter(|_| stay != Stay::No);
        if let Some(watched) = &watched {
            watched.post.limit_pin(pin_timeout);
        }
        let (worker, tenant, slot) = (&*self.worker, &*self.tenant, &*self.slot);
        let mut pair =
            Pair::new(&mut self.conn, server, stay, || worker.pools.is_crowded(tenant.pool));
        let mut begin = true;
        poll_fn(move |cx| {
            slot.expect(cx);
            let begins = std::mem::take(&mut begin);
            let polled = pair.poll(begins, cx);
            if begins {
                pair.client().free_input(&worker.spares);
            }
            let end = match (polled, slot.ending()) {
                (Poll::Ready(end), _) => end,
                (Poll::Pending, Some(ending)) => End::Ended(ending),
                (Poll::Pending, None) => {
                    if let Some(watched) = &watched {
                        watched.post.note(pair.phase(), pair.done());
                    }
                    if !(slot.is_stopping() && pair.is_idle()) {
                        return Poll::Pending;
                    }
                    End::Free
                }
            };
            slot.stand(Standing::Idle);
            tenant.count(&mut pair.client().session);
            Poll::Ready(end)
        })
    }

    /// Whether a limit may hold for the client while it has a server connection.
    fn is_watched(&self, stay: Stay) -> bool {
        let keeps = stay != Stay::No;
        let idle = || self.tenant.patience.get().client_idle.is_some();
        self.tenant.is_hurried() || keeps && (idle() || self.tenant.rules().pin_timeout.is_some())
    }

    /// Has the client watched in this phase.
    fn watched(&mut self, phase: Phase) -> Watched {
        let new = || Post::new(Rc::clone(&self.slot));
        let post = Rc::clone(self.post.get_or_insert_with(new));
        self.worker.watch.enter(&post, phase);
        Watched { worker: Rc::clone(&self.worker), post }
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

/// What PostgreSQL says of a request that it was told to cancel, or that took too long.
fn canceled(message: &str) -> ErrorFields<'_> {
    ErrorFields { severity: "ERROR", sqlstate: CANCELED, message, ..ErrorFields::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F>(_: impl FnOnce(Client) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_an_idle_client_fits_into_a_kibibyte() {
        let tokio_adds = 88;
        let size = size(Client::stay) + tokio_adds;
        assert!(size <= 1024, "{size} bytes, and tasks come in steps of 128");
    }
}
