//! The shell with fake connections in paused time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use poolwright_pool::{
    Cap, ClientId, ConnId, DatabaseId, DatabaseLimits, PoolId, PoolLimits, Refusal, ServerId,
    ServerLimits,
};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::Instant;

use super::{Connector, OpenError, PoolShell};
use crate::clock::sleep;
use crate::journal::Journal;
use crate::treasury::{Teller, Treasury};
use crate::worker::Message;

const LOGIN: Duration = Duration::from_millis(20);
const GOODBYE: Duration = Duration::from_millis(5);

#[derive(Debug)]
struct FakeConn {
    number: u32,
    line: Rc<Line>,
}

/// The server's end of a fake connection.
#[derive(Debug, Default)]
struct Line {
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Line {
    fn hang_up(&self) {
        self.ended.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A server that counts its backends.
#[derive(Default)]
struct FakeServer {
    backends: Cell<u32>,
    most: Cell<u32>,
    logins: Cell<u32>,
    refuses: Cell<Option<bool>>,
    reasons: RefCell<BTreeMap<&'static str, u32>>,
    lines: RefCell<Vec<Rc<Line>>>,
    polls: Cell<u32>,
}

impl Connector for FakeServer {
    fn grows_stale(&self, _: &mut Self::Conn) {}

    type Conn = FakeConn;

    async fn open(&self, _: PoolId) -> Result<FakeConn, OpenError> {
        let number = self.logins.get();
        self.logins.set(number + 1);
        self.backends.set(self.backends.get() + 1);
        self.most.set(self.most.get().max(self.backends.get()));
        sleep(LOGIN).await;
        if let Some(retry) = self.refuses.get() {
            self.backends.set(self.backends.get() - 1);
            return Err(OpenError { retry, reason: "no entry".to_owned() });
        }
        let line = Rc::new(Line::default());
        self.lines.borrow_mut().push(Rc::clone(&line));
        Ok(FakeConn { number, line })
    }

    async fn close(&self, _: FakeConn) {
        sleep(GOODBYE).await;
        self.backends.set(self.backends.get() - 1);
    }

    fn poll_idle(&self, conn: &mut FakeConn, cx: &mut Context<'_>) -> Poll<&'static str> {
        self.polls.set(self.polls.get() + 1);
        if conn.line.ended.get() {
            return Poll::Ready("server_closed");
        }
        conn.line.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn disconnected(&self, reason: &'static str) {
        *self.reasons.borrow_mut().entry(reason).or_default() += 1;
    }
}

struct World {
    server: Rc<FakeServer>,
    shell: Rc<PoolShell<FakeServer>>,
    treasury: Arc<Treasury>,
    inbox: RefCell<mpsc::UnboundedReceiver<Message>>,
}

const POOL: PoolId = PoolId(0);

fn limits() -> PoolLimits {
    PoolLimits {
        size: 5,
        min: 0,
        reserve: 0,
        reserve_timeout: Duration::from_secs(1),
        wait_timeout: Some(Duration::from_secs(10)),
        idle_timeout: Duration::from_secs(60),
        lifetime: (Duration::from_secs(3600), Duration::from_secs(3600)),
    }
}

impl World {
    fn new(max: u32) -> World {
        let server = Rc::new(FakeServer::default());
        let (sender, inbox) = mpsc::unbounded_channel();
        let treasury = Treasury::new(vec![sender], Journal::none());
        treasury.set_cap(Cap::Database(DatabaseId(0)), 100);
        let teller = Teller { treasury: Arc::clone(&treasury), worker: 0 };
        let shell = PoolShell::with_seed(Rc::clone(&server), teller, 1);
        let world = World { server, shell, treasury, inbox: RefCell::new(inbox) };
        world.set_max(max);
        let limits = DatabaseLimits { server: ServerId(0), max: 100 };
        world.shell.set_database(DatabaseId(0), limits);
        assert_eq!(world.pool("ann"), POOL);
        world
    }

    fn set_max(&self, max: u32) {
        self.shell.set_server(ServerId(0), ServerLimits { max, logins: 8 });
        self.treasury.set_cap(Cap::Server(ServerId(0)), max);
        while let Ok(Message::News(cap)) = self.inbox.borrow_mut().try_recv() {
            self.shell.hear_news(cap);
        }
    }

    fn pool(&self, user: &str) -> PoolId {
        self.shell.pool(DatabaseId(0), user, limits())
    }

    async fn acquire(&self, client: u32) -> (ConnId, FakeConn) {
        self.shell.acquire(POOL, ClientId(client)).await.expect("a connection")
    }

    fn counts(&self) -> [u32; 4] {
        self.shell.database_counts(DatabaseId(0)).map(|(_, count)| count)
    }

    fn reason(&self, label: &str) -> u32 {
        self.server.reasons.borrow().get(label).copied().unwrap_or(0)
    }
}

/// Polls once.
fn once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Runs a test where `spawn_local` works and time passes only when all wait.
fn in_paused_time(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_resting_connection_is_given_without_a_pause() {
    in_paused_time(async {
        let world = World::new(2);
        let (id, conn) = world.acquire(1).await;
        world.shell.give_back(id, conn);
        let again = once(pin!(world.acquire(2))).expect("at once");
        assert_eq!((again.0, again.1.number), (id, 0));
        assert_eq!(world.counts(), [0, 0, 1, 0]);
        assert!(world.shell.tickets.borrow_mut().values_mut().next().is_none());
    });
}

#[test]
fn a_returned_connection_goes_to_the_longest_waiter() {
    in_paused_time(async {
        let world = World::new(1);
        let (id, conn) = world.acquire(1).await;
        let mut second = pin!(world.shell.acquire(POOL, ClientId(2)));
        let mut third = pin!(world.shell.acquire(POOL, ClientId(3)));
        assert!(once(second.as_mut()).is_none());
        assert!(once(third.as_mut()).is_none());
        world.shell.give_back(id, conn);
        assert!(once(third.as_mut()).is_none());
        let (id, conn) = second.await.expect("its turn");
        world.shell.give_back(id, conn);
        third.await.expect("its turn");
        assert_eq!(world.server.logins.get(), 1);
    });
}

#[test]
fn a_waiter_that_leaves_loses_nothing() {
    in_paused_time(async {
        let world = World::new(1);
        let (id, conn) = world.acquire(1).await;
        {
            let mut before = pin!(world.shell.acquire(POOL, ClientId(2)));
            assert!(once(before.as_mut()).is_none());
        }
        {
            let mut assigned = pin!(world.shell.acquire(POOL, ClientId(3)));
            assert!(once(assigned.as_mut()).is_none());
            world.shell.give_back(id, conn);
            assert_eq!(world.counts(), [0, 0, 1, 0]);
        }
        assert_eq!(world.counts(), [0, 1, 0, 0]);
        assert!(world.shell.tickets.borrow_mut().values_mut().next().is_none());
        world.acquire(4).await;
        assert_eq!(world.server.logins.get(), 1);
    });
}

#[test]
fn a_discarded_connection_holds_its_slot_until_the_server_has_ended_it() {
    in_paused_time(async {
        let world = World::new(1);
        let (id, conn) = world.acquire(1).await;
        world.shell.discard(id, conn);
        assert_eq!(world.counts(), [0, 0, 0, 1]);
        let before = Instant::now();
        world.acquire(2).await;
        assert_eq!(before.elapsed(), GOODBYE + LOGIN);
        assert_eq!(world.server.most.get(), 1);
    });
}

#[test]
fn a_connection_that_the_server_ends_while_it_rests_is_given_to_nobody() {
    in_paused_time(async {
        let world = World::new(2);
        let (id, conn) = world.acquire(1).await;
        let line = Rc::clone(&conn.line);
        world.shell.give_back(id, conn);
        line.hang_up();
        sleep(GOODBYE * 2).await;
        assert_eq!(world.counts(), [0, 0, 0, 0]);
        assert_eq!(world.reason("server_closed"), 1);
        assert_eq!(world.server.backends.get(), 0);
    });
}

#[test]
fn a_connection_found_dead_at_checkout_is_replaced_in_the_same_wait() {
    in_paused_time(async {
        let world = World::new(2);
        let (id, conn) = world.acquire(1).await;
        let line = Rc::clone(&conn.line);
        world.shell.give_back(id, conn);
        // The watcher has not had its turn when the next client asks.
        line.hang_up();
        let (_, conn) = world.acquire(2).await;
        assert_eq!(conn.number, 1);
        assert_eq!(world.reason("server_closed"), 1);
    });
}

#[test]
fn a_connection_dead_on_its_return_is_closed() {
    in_paused_time(async {
        let world = World::new(1);
        let (id, conn) = world.acquire(1).await;
        conn.line.ended.set(true);
        world.shell.give_back(id, conn);
        assert_eq!(world.counts(), [0, 0, 0, 1]);
    });
}

#[test]
fn a_wait_ends_when_its_time_is_over() {
    in_paused_time(async {
        let world = World::new(1);
        let _held = world.acquire(1).await;
        let before = Instant::now();
        let refusal = world.shell.acquire(POOL, ClientId(2)).await.err();
        assert_eq!(refusal, Some(Refusal::WaitTimeout(poolwright_pool::Limit::Server)));
        let waited = before.elapsed();
        assert!(waited >= Duration::from_secs(10), "{waited:?}");
        assert!(waited < Duration::from_millis(10_010), "{waited:?}");
    });
}

#[test]
fn refused_credentials_are_told_at_once() {
    in_paused_time(async {
        let world = World::new(1);
        world.server.refuses.set(Some(false));
        let refusal = world.shell.acquire(POOL, ClientId(1)).await.err();
        assert_eq!(refusal, Some(Refusal::LoginRefused { reason: "no entry".into() }));
        let at_once = once(pin!(world.shell.acquire(POOL, ClientId(2))));
        assert!(matches!(at_once, Some(Err(Refusal::LoginRefused { .. }))));
        assert_eq!(world.server.logins.get(), 1);
    });
}

#[test]
fn clients_wait_out_a_server_that_is_down() {
    in_paused_time(async {
        let world = World::new(1);
        world.server.refuses.set(Some(true));
        let shell = Rc::clone(&world.shell);
        let waiting = spawn_local(async move { shell.acquire(POOL, ClientId(1)).await.is_ok() });
        sleep(Duration::from_secs(3)).await;
        let tried = world.server.logins.get();
        assert!((3..10).contains(&tried), "{tried} logins in three seconds");
        world.server.refuses.set(None);
        assert!(waiting.await.unwrap());
    });
}

#[test]
fn idle_connections_are_closed_by_the_timer() {
    in_paused_time(async {
        let world = World::new(2);
        let (id, conn) = world.acquire(1).await;
        world.shell.give_back(id, conn);
        sleep(Duration::from_secs(61)).await;
        assert_eq!(world.reason("idle_timeout"), 1);
        assert_eq!(world.server.backends.get(), 0);
        assert_eq!(world.shell.armed.get(), None);
    });
}

#[test]
fn a_lowered_cap_acts_without_another_event() {
    in_paused_time(async {
        let world = World::new(2);
        let (first, second) = (world.acquire(1).await, world.acquire(2).await);
        world.shell.give_back(first.0, first.1);
        world.shell.give_back(second.0, second.1);
        world.set_max(1);
        sleep(GOODBYE * 2).await;
        assert_eq!(world.counts(), [0, 1, 0, 0]);
        assert_eq!(world.reason("excess"), 1);
    });
}

#[test]
fn a_shutdown_is_over_when_every_server_has_confirmed() {
    in_paused_time(async {
        let world = World::new(3);
        let (resting, held) = (world.acquire(1).await, world.acquire(2).await);
        world.shell.give_back(resting.0, resting.1);
        world.shell.shutdown();
        let closed = world.shell.closed();
        let mut closed = pin!(closed);
        sleep(Duration::from_secs(1)).await;
        assert!(once(closed.as_mut()).is_none());
        world.shell.give_back(held.0, held.1);
        closed.await;
        assert_eq!(world.server.backends.get(), 0);
        assert!(matches!(
            world.shell.acquire(POOL, ClientId(9)).await.err(),
            Some(Refusal::ShuttingDown)
        ));
    });
}

#[test]
fn many_clients_share_few_connections_and_all_are_served() {
    in_paused_time(async {
        let world = World::new(4);
        let pools: Vec<PoolId> =
            ["ann", "bob", "eve"].iter().map(|user| world.pool(user)).collect();
        let served = Rc::new(Cell::new(0));
        let clients = (0..120u32).map(|client| {
            let (shell, served) = (Rc::clone(&world.shell), Rc::clone(&served));
            let pool = pools[client as usize % pools.len()];
            spawn_local(async move {
                for round in 0..20 {
                    let (id, conn) = shell.acquire(pool, ClientId(client)).await.expect("served");
                    sleep(Duration::from_millis(1 + u64::from(client + round) % 3)).await;
                    shell.give_back(id, conn);
                    served.set(served.get() + 1);
                    yield_now().await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        assert_eq!(served.get(), 2400);
        assert!(world.server.most.get() <= 4, "{} backends", world.server.most.get());
    });
}

#[test]
fn the_shell_ends_its_tasks_with_itself() {
    in_paused_time(async {
        let world = World::new(1);
        sleep(Duration::from_millis(1)).await;
        let gone = Rc::downgrade(&world.shell);
        let server = Rc::downgrade(&world.server);
        drop(world);
        sleep(Duration::from_millis(1)).await;
        assert!(gone.upgrade().is_none() && server.upgrade().is_none());
    });
}
