//! Ends clients that have taken longer than their settings allow. One sweep for each worker looks
//! ten times a second, and only at clients whose settings name a limit for what they are doing at
//! the moment; a worker without any has no timer. It never stops anything itself: it tells the
//! client's task.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use poolwright_settings::Patience;
use tokio::sync::Notify;

use crate::clock::sleep;
use crate::roster::{Ending, Slot};

/// How often clients are looked at; what is too long is noticed so much later at most.
pub const SWEEP: Duration = Duration::from_millis(100);

/// Which limit ended a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Query,
    IdleTransaction,
    Transaction,
    ClientIdle,
    Pin,
}

impl Expiry {
    /// PostgreSQL's code for what is most alike.
    pub fn sqlstate(self) -> &'static str {
        match self {
            Expiry::Query => "57014",
            Expiry::IdleTransaction => "25P03",
            Expiry::Transaction => "25P04",
            Expiry::ClientIdle | Expiry::Pin => "57P05",
        }
    }

    /// What the client reads: PgBouncer's name of the limit, what happened, and the setting.
    pub fn message(self) -> &'static str {
        match self {
            Expiry::Query => {
                "query_timeout: the request took longer than pool.queryTimeout and was cancelled"
            }
            Expiry::IdleTransaction => {
                "idle_transaction_timeout: nothing was sent inside a transaction for longer than \
                 pool.idleTransactionTimeout; it was rolled back"
            }
            Expiry::Transaction => {
                "transaction_timeout: the transaction took longer than pool.transactionTimeout \
                 and was rolled back"
            }
            Expiry::ClientIdle => {
                "client_idle_timeout: nothing was sent for longer than pool.clientIdleTimeout"
            }
            Expiry::Pin => {
                "pin_timeout: nothing was sent for longer than pool.pinTimeout, and the session \
                 keeps the only server connection of its pool"
            }
        }
    }
}

/// What a client is doing, as far as a limit may hold for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between transactions.
    Idle,
    /// In the queue for a server connection.
    Queued,
    /// A server owes it replies, or it is in the middle of a request.
    Busy,
    /// Inside a transaction, with nothing under way.
    Resting,
}

/// A client under watch.
pub struct Post {
    pub slot: Rc<Slot>,
    /// In the list of those that are looked at.
    place: Cell<Option<usize>>,
    phase: Cell<Phase>,
    /// When this phase began, or in it the request.
    since: Cell<Instant>,
    /// When the transaction began.
    began: Cell<Instant>,
    /// How long it may be idle, since it keeps its server connection.
    pin_limit: Cell<Option<Duration>>,
    /// Requests answered and transactions: another number, another request.
    done: Cell<(u64, u64)>,
}

impl Post {
    pub fn new(slot: Rc<Slot>) -> Rc<Post> {
        let now = Instant::now();
        Rc::new(Post {
            slot,
            place: Cell::new(None),
            phase: Cell::new(Phase::Idle),
            since: Cell::new(now),
            began: Cell::new(now),
            pin_limit: Cell::new(None),
            done: Cell::new((0, 0)),
        })
    }

    /// Notes where the client stands with its server connection.
    pub fn note(&self, phase: Phase, done: (u64, u64)) {
        let (before, done_before) = (self.phase.get(), self.done.get());
        if (before, done_before) == (phase, done) {
            return;
        }
        let now = Instant::now();
        self.phase.set(phase);
        self.done.set(done);
        self.since.set(now);
        if before == Phase::Idle || done.1 != done_before.1 {
            self.began.set(now);
        }
    }

    /// How long the client may be idle in this phase, beside what else holds for it.
    pub fn limit_pin(&self, limit: Option<Duration>) {
        self.pin_limit.set(limit);
    }

    /// What has lasted too long.
    fn expired(&self, now: Instant) -> Option<Expiry> {
        let Patience { query, idle_transaction, transaction, client_idle } =
            self.slot.tenant.patience.get();
        let over = |limit: Option<Duration>, since: &Cell<Instant>| {
            limit.is_some_and(|limit| now.duration_since(since.get()) >= limit)
        };
        let phase = self.phase.get();
        match phase {
            Phase::Queued => None,
            Phase::Idle if over(client_idle, &self.since) => Some(Expiry::ClientIdle),
            Phase::Idle => over(self.pin_limit.get(), &self.since).then_some(Expiry::Pin),
            Phase::Busy if over(query, &self.since) => Some(Expiry::Query),
            Phase::Resting if over(idle_transaction, &self.since) => Some(Expiry::IdleTransaction),
            Phase::Busy | Phase::Resting => {
                over(transaction, &self.began).then_some(Expiry::Transaction)
            }
        }
    }

    /// It has been in the queue for so long that it is to hear of it.
    fn is_to_be_told(&self, now: Instant) -> bool {
        let limit = self.slot.tenant.query_wait_notify.get();
        let waited = now.duration_since(self.since.get());
        self.phase.get() == Phase::Queued && limit.is_some_and(|limit| waited >= limit)
    }
}

/// The clients that one worker looks at.
#[derive(Default)]
pub struct Watch {
    posts: RefCell<Vec<Rc<Post>>>,
    /// The sweep waits for somebody to come.
    parked: Cell<bool>,
    somebody: Notify,
}

impl Watch {
    /// From now on the client is looked at, in this phase.
    pub fn enter(&self, post: &Rc<Post>, phase: Phase) {
        let now = Instant::now();
        post.phase.set(phase);
        post.pin_limit.set(None);
        post.since.set(now);
        post.began.set(now);
        if post.place.get().is_none() {
            let mut posts = self.posts.borrow_mut();
            post.place.set(Some(posts.len()));
            posts.push(Rc::clone(post));
        }
        if self.parked.take() {
            self.somebody.notify_one();
        }
    }

    /// It is not looked at any more.
    pub fn leave(&self, post: &Post) {
        let Some(place) = post.place.take() else { return };
        let mut posts = self.posts.borrow_mut();
        posts.swap_remove(place);
        if let Some(moved) = posts.get(place) {
            moved.place.set(Some(place));
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let mut told = Vec::new();
        for post in &*self.posts.borrow() {
            if let Some(expiry) = post.expired(now) {
                post.slot.end(Ending::Expired(expiry));
            } else if post.is_to_be_told(now) {
                post.slot.notify();
                told.push(Rc::clone(post));
            }
        }
        // Once is enough.
        told.iter().for_each(|post| self.leave(post));
    }
}

/// Looks at clients as long as there are any to be looked at; ends when the worker is gone.
pub async fn keep(watch: Weak<Watch>) {
    while let Some(watch) = watch.upgrade() {
        if watch.posts.borrow().is_empty() {
            watch.parked.set(true);
            watch.somebody.notified().await;
        }
        sleep(SWEEP).await;
        watch.sweep();
    }
}
