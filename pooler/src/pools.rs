//! The shell around `poolwright_pool`: carries out what the pools decide for one worker. It opens,
//! hands over, watches and closes connections; it never decides who gets one.
//!
//! What a transaction costs here: two calls of the pool's rules and two moves of the connection in
//! a table. No task, no timer, no allocation and no system call of its own: a client that waits
//! sleeps in a table until its connection is put there; a connection that nobody uses is polled
//! once when it comes to rest, which only tells the runtime whom to wake (the read that emptied the
//! socket left it known as empty), and looked at when it is taken only if something woke the alarm.
//! One task watches all resting connections, one keeps the time.

mod acquire;
mod age;
mod alarm;
mod connector;
mod dialing;
mod table;
#[cfg(test)]
mod tests;
mod timer;
mod watch;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use poolwright_pool::{
    Cap, ClientId, ConnId, DatabaseId, DatabaseLimits, Effect, Event, PoolId, PoolLimits, Pools,
    Refusal, ServerId, ServerLimits, Tuning, UserId,
};
use poolwright_settings::{Upkeep, defaults::SERVER_CHECK_DELAY as FRESH};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::Instant;

pub use acquire::Acquire;
pub use connector::{Connector, OpenError};

use crate::clock::timeout;
use crate::treasury::Teller;
use acquire::Ticket;
use alarm::Alarm;
use table::Table;

/// A server closes a connection within so long, or who waits for its slot looks for another.
const PROMPT: Duration = Duration::from_secs(2);

/// The server connections of one worker, and the clients that wait for them.
pub struct PoolShell<K: Connector> {
    connector: Rc<K>,
    rules: RefCell<Pools>,
    started: Instant,
    teller: RefCell<Teller>,
    /// Connections that no client has, by number.
    resting: RefCell<Table<Resting<K::Conn>>>,
    /// Clients that wait.
    tickets: RefCell<Table<Ticket<K::Conn>>>,
    /// Kept for its memory.
    effects: RefCell<Vec<Effect>>,
    /// What the timer sleeps for.
    armed: Cell<Option<Duration>>,
    earlier: Rc<Notify>,
    alarm: Arc<Alarm>,
    alarm_waker: Waker,
    one_closed: Notify,
    /// What a connection may rest before it is stale.
    freshness: Cell<Duration>,
}

impl<K: Connector> PoolShell<K> {
    /// No pools yet; all caps are the treasury's. Starts the timer and the watcher; both end with
    /// the shell. Call it where `spawn_local` works.
    pub fn new(connector: Rc<K>, teller: Teller) -> Rc<PoolShell<K>> {
        PoolShell::with_seed(connector, teller, jitter_seed())
    }

    fn with_seed(connector: Rc<K>, teller: Teller, seed: u64) -> Rc<PoolShell<K>> {
        let alarm = Alarm::new();
        let shell = Rc::new(PoolShell {
            connector,
            rules: RefCell::new(Pools::borrowing(seed, Tuning::default())),
            started: teller.treasury.origin,
            teller: RefCell::new(teller),
            resting: RefCell::default(),
            tickets: RefCell::default(),
            effects: RefCell::default(),
            armed: Cell::new(None),
            earlier: Rc::default(),
            alarm_waker: Waker::from(Arc::clone(&alarm)),
            alarm,
            one_closed: Notify::new(),
            freshness: Cell::new(FRESH),
        });
        spawn_local(timer::keep_time(Rc::downgrade(&shell), Rc::clone(&shell.earlier)));
        spawn_local(watch::watch(Rc::downgrade(&shell)));
        spawn_local(age::keep(Rc::downgrade(&shell)));
        shell
    }

    /// Takes over how connections are kept.
    pub fn set_upkeep(&self, upkeep: &Upkeep) {
        self.rules.borrow_mut().set_backoff(upkeep.login_retry);
        self.freshness.set(upkeep.check_delay);
    }

    /// Adds a server or changes its caps.
    pub fn set_server(&self, id: ServerId, limits: ServerLimits) {
        self.rules.borrow_mut().set_server(id, limits);
        self.hurry();
    }

    /// Adds a database or changes its cap; its server comes first.
    pub fn set_database(&self, id: DatabaseId, limits: DatabaseLimits) {
        self.rules.borrow_mut().set_database(id, limits);
        self.hurry();
    }

    /// The pool of a database and user, with these limits from now on.
    pub fn pool(&self, database: DatabaseId, user: &str, limits: PoolLimits) -> PoolId {
        let id = self.rules.borrow_mut().pool(database, user, limits);
        self.hurry();
        id
    }

    /// The pool's connections count under this user's cap from now on, for good.
    pub fn bind(&self, pool: PoolId, user: UserId) {
        self.rules.borrow_mut().bind(pool, user);
        self.hurry();
    }

    /// Retires all connections to a server: resting ones now, the others when they come back.
    pub fn reconnect(self: &Rc<Self>, server: ServerId) {
        self.tell(Event::Reconnect { server });
    }

    /// The bank has changed this worker's account.
    pub fn hear_news(self: &Rc<Self>, cap: Cap) {
        self.tell(Event::News { cap });
    }

    /// Refuses the pool's waiters and ends its connections, until [`PoolShell::pool`] names it again.
    pub fn forget(self: &Rc<Self>, pool: PoolId) {
        self.tell(Event::Forget { pool });
    }

    /// Refuses all waiters and ends all connections, those in use when they come back.
    pub fn shutdown(self: &Rc<Self>) {
        self.tell(Event::Shutdown);
    }

    /// Waits until no connection is left, as the servers have confirmed.
    pub async fn closed(&self) {
        loop {
            let one_closed = self.one_closed.notified();
            if self.rules.borrow().connections() == 0 {
                return;
            }
            one_closed.await;
        }
    }

    /// A connection of the pool, at once or when the client's turn comes. Dropping the future gives
    /// up the place in the queue, and gives back a connection that came meanwhile.
    ///
    /// # Errors
    /// [`Refusal`] says why there is none.
    pub fn acquire(self: &Rc<Self>, pool: PoolId, client: ClientId) -> Acquire<'_, K> {
        Acquire::new(self, pool, client)
    }

    /// A connection that rests in the pool, and its number. Those that turn out to be dead are closed.
    pub fn take_resting(self: &Rc<Self>, pool: PoolId) -> Option<(ConnId, K::Conn)> {
        loop {
            let id = self.rules.borrow_mut().take_idle(pool)?;
            if let Some(conn) = self.take_alive(id) {
                return Some((id, conn));
            }
        }
    }

    /// Takes back a connection that is fit for the next client.
    pub fn give_back(self: &Rc<Self>, id: ConnId, conn: K::Conn) {
        self.rest(id, conn);
        let rests = self.rules.borrow_mut().put_back(self.now(), id);
        match rests {
            true => self.hurry(),
            false => self.tell(Event::Returned { conn: id, reuse: true }),
        }
        self.attend(id);
    }

    /// Takes back a connection that nobody may use again, and closes it.
    pub fn discard(self: &Rc<Self>, id: ConnId, conn: K::Conn) {
        self.tell(Event::Returned { conn: id, reuse: false });
        spawn_local(Rc::clone(self).close(id, conn));
    }

    /// Why a client that has waited for long enough gets no connection.
    pub fn why_late(&self, pool: PoolId) -> Refusal {
        self.rules.borrow().why_late(pool)
    }

    /// Whether others wait for such a connection, as far as this worker knows.
    pub fn is_crowded(&self, pool: PoolId) -> bool {
        self.rules.borrow().is_crowded(pool)
    }

    /// A database's connections by state: fixed metric labels and counts.
    pub fn database_counts(&self, id: DatabaseId) -> [(&'static str, u32); 4] {
        let tally = self.rules.borrow().database_counts(id);
        [
            ("opening", tally.opening),
            ("idle", tally.idle),
            ("active", tally.busy),
            ("closing", tally.closing),
        ]
    }

    fn rest(&self, id: ConnId, conn: K::Conn) {
        self.resting.borrow_mut().insert(id.index(), Resting { id, conn, rested: 0 });
    }

    /// The connection, if it rests.
    fn take(&self, id: ConnId) -> Option<K::Conn> {
        let taken = self.resting.borrow_mut().remove(id.index())?;
        debug_assert_eq!(taken.id, id);
        Some(taken.conn)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Gives an event to the rules and carries out what they say.
    fn tell(self: &Rc<Self>, event: Event) {
        let mut effects = self.decide(event);
        effects.drain(..).for_each(|effect| self.carry_out(effect));
        self.effects.replace(effects);
        self.hurry();
    }

    /// Asks for a connection for this client. The answer, if there is one at once, is the number of
    /// a connection that is left where it rests.
    fn request(self: &Rc<Self>, client: ClientId, pool: PoolId) -> Option<Served> {
        let mut effects = self.decide(Event::Request { client, pool });
        let mut served = None;
        for effect in effects.drain(..) {
            match effect {
                Effect::Assign { client: asking, conn } if asking == client => {
                    served = Some(Ok(conn));
                }
                Effect::Refuse { client: asking, why } if asking == client => {
                    served = Some(Err(why));
                }
                effect => self.carry_out(effect),
            }
        }
        self.effects.replace(effects);
        self.hurry();
        served
    }

    fn decide(&self, event: Event) -> Vec<Effect> {
        let mut effects = self.effects.take();
        let teller = &mut *self.teller.borrow_mut();
        self.rules.borrow_mut().handle_with(self.now(), event, teller, &mut effects);
        effects
    }

    fn carry_out(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::Open { conn, pool } => {
                spawn_local(Rc::clone(self).open(conn, pool));
            }
            Effect::Assign { client, conn } => {
                let taken = self.take(conn);
                if let Some(taken) = taken {
                    self.settle(client, Ok((conn, taken)));
                }
            }
            Effect::Refuse { client, why } => self.settle(client, Err(why)),
            Effect::Close { conn, why } => {
                self.connector.disconnected(why.label());
                let taken = self.take(conn);
                if let Some(taken) = taken {
                    spawn_local(Rc::clone(self).close(conn, taken));
                }
            }
        }
    }

    /// Puts the outcome where the waiting client finds it.
    fn settle(&self, client: ClientId, outcome: Result<(ConnId, K::Conn), Refusal>) {
        if let Some(ticket) = self.tickets.borrow_mut().get_mut(client.0 as usize) {
            ticket.settle(outcome);
        }
    }

    async fn open(self: Rc<Self>, id: ConnId, pool: PoolId) {
        match self.connector.open(pool).await {
            Ok(conn) => {
                self.rest(id, conn);
                self.tell(Event::Opened { conn: id });
                self.attend(id);
            }
            Err(OpenError { retry, reason }) => {
                self.tell(Event::OpenFailed { conn: id, retry, reason });
                self.one_closed.notify_waiters();
            }
        }
    }

    async fn close(self: Rc<Self>, id: ConnId, conn: K::Conn) {
        let mut closing = pin!(self.connector.close(conn));
        if timeout(PROMPT, &mut closing).await.is_err() {
            self.tell(Event::Lingers { conn: id });
            closing.await;
        }
        self.tell(Event::Closed { conn: id });
        self.one_closed.notify_waiters();
    }

    /// Wakes the timer if something is due before what it sleeps for.
    fn hurry(&self) {
        let Some(due) = self.rules.borrow().next_deadline() else { return };
        if self.armed.get().is_none_or(|armed| due < armed) {
            self.armed.set(Some(due));
            self.earlier.notify_one();
        }
    }
}

impl<K: Connector> Drop for PoolShell<K> {
    fn drop(&mut self) {
        self.earlier.notify_one();
        self.alarm_waker.wake_by_ref();
    }
}

/// A connection that no client has.
struct Resting<C> {
    id: ConnId,
    conn: C,
    /// Looks at all connections since it came to rest.
    rested: u8,
}

type Served = Result<ConnId, Refusal>;

/// Differs between processes that start together, so that their lifetimes do not end together.
fn jitter_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
