//! The thread of replication connections: each is a client and a server connection of its own, which
//! pass their bytes on as they are. A base backup that moves here holds up no query and no login.

mod link;
mod place;
mod seats;
mod visit;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::clock::timeout;
use crate::config::Config;
use crate::crew::Kit;
use crate::desk::Desk;
use crate::lifecycle::Lifecycle;
use crate::login::LoggedIn;
use crate::peers::process_id;
use crate::roster::{is_same, secret_length};
use crate::server::{ServerTarget, send_cancel};
use crate::stream::Parked;
use crate::worker::CancelKey;
pub use place::{Kind, place};
use seats::Seats;

/// Connections that are cut at the very end have so long to hear it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The way to the thread.
pub struct Room {
    inbox: mpsc::UnboundedSender<Message>,
    seats: Arc<Seats>,
}

/// The thread's end.
pub struct End(oneshot::Receiver<anyhow::Result<()>>);

/// What the thread is told.
enum Message {
    Client(Box<LoggedIn<Parked>>, Kind),
    /// A cancel request. The answer comes when it has been delivered; none if the key is unknown.
    Cancel(CancelKey, oneshot::Sender<()>),
    /// Nobody comes after this.
    NoMoreClients,
}

impl Room {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives none.
    pub fn open(kit: &Kit) -> anyhow::Result<(Room, End)> {
        let (inbox, messages) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let seats = Arc::new(Seats::default());
        let (kit, taken) = (kit.clone(), Arc::clone(&seats));
        thread::Builder::new()
            .name("replication".to_owned())
            .spawn(move || {
                let _ = end.send(work(messages, kit, taken));
            })
            .context("start the thread of replication connections")?;
        Ok((Room { inbox, seats }, End(ended)))
    }

    /// How many connections there are to a server.
    pub fn count(&self, server: &str) -> u32 {
        self.seats.count(server)
    }

    pub fn take_in(&self, login: LoggedIn<Parked>, kind: Kind) {
        self.tell(Message::Client(Box::new(login), kind));
    }

    /// Has a cancel request delivered; the answer is as a worker's.
    pub fn cancel(&self, key: CancelKey) -> oneshot::Receiver<()> {
        let (done, delivered) = oneshot::channel();
        self.tell(Message::Cancel(key, done));
        delivered
    }

    pub fn no_more_clients(&self) {
        self.tell(Message::NoMoreClients);
    }

    fn tell(&self, message: Message) {
        // A thread that has ended hears nothing.
        let _ = self.inbox.send(message);
    }
}

impl End {
    /// # Errors
    /// The thread's error, or its panic.
    pub async fn wait(self) -> anyhow::Result<()> {
        let defect = |_| Err(anyhow!("the thread of replication connections ended by a defect"));
        self.0.await.unwrap_or_else(defect)
    }
}

fn work(
    messages: mpsc::UnboundedReceiver<Message>,
    kit: Kit,
    seats: Arc<Seats>,
) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .context("start the runtime of replication connections")?;
    let Kit { config, lifecycle, desk, .. } = kit;
    let hall = Rc::new(Hall { config, lifecycle, desk, seats, keys: Keys::default() });
    runtime.block_on(hall.serve(messages));
    runtime.shutdown_background();
    Ok(())
}

/// What all connections of the thread share.
struct Hall {
    config: watch::Receiver<Arc<Config>>,
    lifecycle: watch::Receiver<Lifecycle>,
    desk: Desk,
    seats: Arc<Seats>,
    keys: Keys,
}

/// By the process ids of the clients' cancel keys.
#[derive(Default)]
struct Keys(RefCell<HashMap<i32, Key>>);

/// A client's secret, and what its cancel request stands for at the server.
struct Key {
    secret: Box<[u8]>,
    backend: Rc<Backend>,
}

/// A walsender, for those who want what it does cancelled.
struct Backend {
    target: ServerTarget,
    addr: SocketAddr,
    process_id: i32,
    secret: Vec<u8>,
}

impl Hall {
    /// Until the process is to end, and either nobody is left or the time is over.
    async fn serve(self: Rc<Hall>, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut stopped = pin!(self.is_stopped());
        let mut clients = JoinSet::new();
        let mut more = true;
        while more || !clients.is_empty() {
            tokio::select! {
                Some(message) = messages.recv() => match message {
                    Message::Client(login, kind) => self.take_in(*login, kind, &mut clients),
                    Message::Cancel(key, done) => self.cancel(key, done),
                    Message::NoMoreClients => more = false,
                },
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
                () = &mut stopped => break,
            }
        }
        // Each has heard that it is over.
        let all = async { while clients.join_next().await.is_some() {} };
        let _ = timeout(LAST_WORDS, all).await;
    }

    fn take_in(self: &Rc<Hall>, login: LoggedIn<Parked>, kind: Kind, clients: &mut JoinSet<()>) {
        let peer = login.peer;
        match login.try_map(Parked::revive) {
            Ok(login) => {
                clients.spawn_local(visit::receive(Rc::clone(self), login, kind));
            }
            Err(error) => info!(%peer, %error, "client lost"),
        }
    }

    fn cancel(&self, key: CancelKey, done: oneshot::Sender<()>) {
        if let Some(backend) = self.keys.find(&key) {
            tokio::task::spawn_local(async move {
                backend.cancel().await;
                // Who sent the request may have hung up.
                let _ = done.send(());
            });
        }
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// Until everything is closed at once.
    async fn is_stopped(&self) {
        let mut lifecycle = self.lifecycle.clone();
        let _ = lifecycle.wait_for(|stage| *stage == Lifecycle::Stopped).await;
    }

    fn is_serving(&self) -> bool {
        *self.lifecycle.borrow() == Lifecycle::Serving
    }
}

impl Backend {
    async fn cancel(&self) {
        let Backend { target, addr, process_id, secret } = self;
        if let Err(error) = send_cancel(target, *addr, *process_id, secret).await {
            warn!(%addr, %error, "cancel request not delivered");
        }
    }
}

impl Keys {
    /// A key that no other client here has: process id and secret.
    fn add(&self, protocol: i32, own: Option<u32>, backend: &Rc<Backend>) -> (i32, Box<[u8]>) {
        let mut keys = self.0.borrow_mut();
        let mut secret = vec![0; secret_length(protocol)].into_boxed_slice();
        fill(&mut secret);
        let process_id = loop {
            let mut bytes = [0; 4];
            fill(&mut bytes);
            let candidate = process_id(own, u32::from_ne_bytes(bytes));
            if candidate != 0 && !keys.contains_key(&candidate) {
                break candidate;
            }
        };
        keys.insert(process_id, Key { secret: secret.clone(), backend: Rc::clone(backend) });
        (process_id, secret)
    }

    fn remove(&self, process_id: i32) {
        self.0.borrow_mut().remove(&process_id);
    }

    fn find(&self, key: &CancelKey) -> Option<Rc<Backend>> {
        let keys = self.0.borrow();
        let found = keys.get(&key.process_id).filter(|it| is_same(&it.secret, &key.secret))?;
        Some(Rc::clone(&found.backend))
    }
}

fn fill(bytes: &mut [u8]) {
    SystemRandom::new().fill(bytes).expect("the system gives random bytes");
}
