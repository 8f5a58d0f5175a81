//! The thread that clients meet first: it listens, takes them through their logins, and hands each
//! to a worker that is home to its database. It never sees a query.

mod closing;
mod listener;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::AsyncWriteExt;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_local;
use tracing::{info, warn};

use crate::clock::sleep;
use crate::config::Config;
use crate::crew::{Crew, Kit};
use crate::door::Door;
use crate::farewell::{farewell, hang_up, say_farewell};
use crate::homes::Homes;
use crate::lifecycle::Lifecycle;
use crate::login::{
    Arrival, Inquiries, LoggedIn, LoginContext, LoginError, Verifiers, accept, introduce,
    tell_at_once,
};
use crate::metrics::{Gauges, Metrics};
use crate::peers::Post;
use crate::replication::{Kind, Room};
use crate::stream::{Socket, Stream};
use crate::treasury::Treasury;
use crate::worker::{CancelKey, Message};
use listener::Listener;

/// After a failure to accept, which may last.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Databases by names that are not listed, in a process's life: each keeps a little memory.
const MOST_UNLISTED: usize = 10_000;

pub struct Front {
    login: RefCell<LoginContext>,
    /// Logins, and cancel requests.
    under_way: Cell<u32>,
    homes: Rc<Homes>,
    crew: Rc<Crew>,
    room: Room,
    treasury: Arc<Treasury>,
    metrics: Rc<Metrics>,
    post: Post,
}

/// Lets clients in until the process is to end, and for a while after that; takes cancel requests
/// for as long as it is polled.
///
/// # Errors
/// The address cannot be listened on, or the system gives no random bytes.
pub async fn run(
    kit: Kit,
    crew: Rc<Crew>,
    homes: Rc<Homes>,
    room: Room,
    metrics: Rc<Metrics>,
) -> anyhow::Result<Infallible> {
    let Kit { mut config, lifecycle, treasury, .. } = kit;
    let first = config.borrow_and_update().clone();
    let address = SocketAddr::new(first.listen.address, first.listen.port);
    let listener = Listener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let front = Rc::new(Front::new(first, crew, homes, room, treasury, metrics)?);
    front.show_gauges();
    front.metrics.accepting.set(true);
    info!(%address, workers = front.crew.len(), "clients are let in");
    tokio::select! {
        never = front.receive(&listener, lifecycle) => Ok(never),
        never = front.keep_up(config) => Ok(never),
    }
}

impl Front {
    fn new(
        config: Arc<Config>,
        crew: Rc<Crew>,
        homes: Rc<Homes>,
        room: Room,
        treasury: Arc<Treasury>,
        metrics: Rc<Metrics>,
    ) -> anyhow::Result<Front> {
        let verifiers = Verifiers::new().context("prepare logins")?;
        let login = LoginContext {
            config,
            verifiers: Rc::new(verifiers),
            inquiries: Rc::new(Inquiries::new(Rc::clone(&crew), Rc::clone(&homes))),
            penalties: Rc::default(),
            door: Arc::new(Door::default()),
        };
        let post = Post::default();
        let (login, under_way) = (RefCell::new(login), Cell::new(0));
        Ok(Front { login, under_way, homes, crew, room, treasury, metrics, post })
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.login.borrow().config)
    }

    /// Takes over new settings as they come.
    async fn keep_up(&self, mut config: watch::Receiver<Arc<Config>>) -> Infallible {
        while config.changed().await.is_ok() {
            let next = config.borrow_and_update().clone();
            self.follow(next);
        }
        pending().await
    }

    fn follow(&self, config: Arc<Config>) {
        self.treasury.follow(&config);
        self.login.borrow_mut().config = config;
    }

    async fn receive(
        self: &Rc<Front>,
        listener: &Listener,
        mut lifecycle: watch::Receiver<Lifecycle>,
    ) -> Infallible {
        loop {
            tokio::select! {
                accepted = listener.accept() => self.take_in(accepted).await,
                _ = lifecycle.wait_for(|stage| *stage != Lifecycle::Serving) => break,
            }
        }
        self.close(listener, lifecycle).await;
        loop {
            self.take_in(listener.accept().await).await;
        }
    }

    async fn take_in(self: &Rc<Front>, accepted: io::Result<(Socket, SocketAddr)>) {
        match accepted {
            Ok((socket, peer)) => {
                if self.under_way.get() >= self.login.borrow().most_logins() {
                    tell_at_once(&socket, &LoginError::Full);
                    return self.turn_away(peer, &LoginError::Full);
                }
                self.under_way.set(self.under_way.get() + 1);
                let front = Rc::clone(self);
                spawn_local(async move {
                    Rc::clone(&front).meet(socket, peer).await;
                    front.under_way.set(front.under_way.get() - 1);
                });
            }
            // Out of files, or a peer that left before it was taken in.
            Err(error) => {
                warn!(%error, "client not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    async fn meet(self: Rc<Front>, socket: Socket, peer: SocketAddr) {
        let context = self.login.borrow().clone();
        let newcomer = match introduce(socket, peer, &context).await {
            Ok(newcomer) => newcomer,
            Err(LoginError::Left) => return,
            Err(error) => return self.turn_away(peer, &error),
        };
        let peer = newcomer.peer;
        match accept(newcomer, &context).await {
            Ok(Arrival::Client(login)) => match login.replication {
                Some(kind) => self.send_to_room(login, kind),
                None => self.send_home(login),
            },
            Ok(Arrival::Cancel { key, forwarded, stream }) => {
                self.cancel(key, forwarded, stream).await;
            }
            Ok(Arrival::Gone) => {}
            Err(error) => self.turn_away(peer, &error),
        }
    }

    fn turn_away(&self, peer: SocketAddr, error: &LoginError) {
        self.metrics.login_failed(error.label());
        info!(%peer, %error, "login failed");
    }

    /// Hands a client to a worker that is home to its database.
    fn send_home(&self, mut login: LoggedIn<Stream>) {
        let config = self.config();
        let database = config.database(&login.database);
        let is_listed = config.databases.contains_key(&login.database);
        if !is_listed && !self.homes.has_room_for(&login.database, MOST_UNLISTED) {
            spawn_local(turn_away(login));
            return;
        }
        let (worker, part) = match database.as_deref() {
            None => self.homes.alone(&login.database),
            Some(database) => {
                self.treasury.open(database, &config);
                self.homes.of_client(database, &login.user, &config, Some(&mut login.place))
            }
        };
        let peer = login.peer;
        match login.try_map(Stream::park) {
            Ok(login) => self.crew.tell(worker, Message::Client(Box::new(login), part)),
            Err(error) => info!(%peer, %error, "client lost"),
        }
    }

    fn send_to_room(&self, login: LoggedIn<Stream>, kind: Kind) {
        let peer = login.peer;
        match login.try_map(Stream::park) {
            Ok(login) => self.room.take_in(login, kind),
            Err(error) => info!(%peer, %error, "client lost"),
        }
    }

    /// Has a cancel request delivered by whoever knows its key, a peer where nobody here does; its
    /// connection closes only then.
    async fn cancel(&self, key: CancelKey, forwarded: bool, mut stream: Stream) {
        let mut deliveries = vec![self.room.cancel(key.clone())];
        for worker in 0..self.crew.len() {
            let (done, delivered) = oneshot::channel();
            self.crew.tell(worker, Message::Cancel(key.clone(), done));
            deliveries.push(delivered);
        }
        let mut known = false;
        for delivered in deliveries {
            known |= delivered.await.is_ok();
        }
        if !known && !forwarded {
            self.post.forward(&self.config(), &key).await;
        }
        let _ = stream.shutdown().await;
    }

    /// What holds for the settings as a whole, whoever serves them: rows at zero, and caps.
    fn show_gauges(self: &Rc<Front>) {
        let front = Rc::downgrade(self);
        self.metrics.gauges_from(move |gauges| {
            if let Some(front) = front.upgrade() {
                front.fill(gauges);
            }
        });
    }

    fn fill(&self, gauges: &mut Gauges) {
        let config = self.config();
        for name in config.databases.keys() {
            for state in ["active", "waiting", "idle"] {
                gauges.client_connections.insert((name.clone(), state), 0);
            }
            for state in ["opening", "idle", "active", "closing"] {
                gauges.server_connections.insert((name.clone(), state), 0);
            }
        }
        for server in &config.servers {
            let max = u64::from(self.treasury.counts(&server.name).0);
            gauges.server_connections_max.insert(server.name.clone(), max);
            let replication = u64::from(self.room.count(&server.name));
            gauges.replication_connections.insert(server.name.clone(), replication);
        }
    }
}

/// Clients may name too many databases that are not listed.
async fn turn_away(login: LoggedIn<Stream>) {
    let LoggedIn { mut stream, database, pending_out, .. } = login;
    info!(database, "too many databases by names that are not listed");
    let message = format!(
        "no more databases: {MOST_UNLISTED} have been asked for, and \"{database}\" is not listed"
    );
    let over = farewell("53300", message);
    say_farewell(&mut stream, pending_out, &over).await;
    hang_up(&mut stream, &over).await;
}
