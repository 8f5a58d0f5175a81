//! Where server logins are made for the workers: TLS handshakes and key derivations never hold up
//! the threads that serve clients. It opens what it is asked for, and keeps nothing but keys
//! and what servers refuse.

use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

use crate::credential::Credential;
use crate::server::{ClientKeyCache, ConnectError, Connected, Identity, ServerTarget, Vigil};
use crate::stream::{Parked, Stream};

/// A server login to be made.
pub struct Job {
    pub target: ServerTarget,
    pub database: String,
    pub user: String,
    pub credential: Option<Credential>,
    pub more: Vec<(String, String)>,
    pub reply: oneshot::Sender<Result<Connected<Parked>, ConnectError>>,
}

/// A way to ask for server logins.
#[derive(Clone)]
pub struct Desk(mpsc::UnboundedSender<Job>);

impl Desk {
    /// The desk, and what [`run`] works on.
    pub fn new() -> (Desk, mpsc::UnboundedReceiver<Job>) {
        let (sender, jobs) = mpsc::unbounded_channel();
        (Desk(sender), jobs)
    }

    /// Logs in, on the desk's thread, with the first of the credentials that is not found wrong; the
    /// connection comes to this thread's runtime. Without any the server must ask for none.
    ///
    /// # Errors
    /// [`ConnectError`], as [`Vigil::connect`] gives it.
    pub async fn connect(
        &self,
        target: &ServerTarget,
        who: Identity<'_>,
        credentials: &[Credential],
    ) -> Result<Connected<Stream>, ConnectError> {
        let (first, others) = credentials.split_first().unzip();
        let mut done = self.log_in(target, Identity { credential: first, ..who }).await;
        for other in others.unwrap_or_default() {
            if !done.as_ref().is_err_and(ConnectError::is_wrong_password) {
                break;
            }
            done = self.log_in(target, Identity { credential: Some(other), ..who }).await;
        }
        done
    }

    async fn log_in(
        &self,
        target: &ServerTarget,
        identity: Identity<'_>,
    ) -> Result<Connected<Stream>, ConnectError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let (reply, answer) = oneshot::channel();
        let job = Job {
            target: target.clone(),
            database: identity.database.to_owned(),
            user: identity.user.to_owned(),
            credential: identity.credential.cloned(),
            more: identity.more.iter().map(owned).collect(),
            reply,
        };
        let closed = || ConnectError::interrupted();
        self.0.send(job).map_err(|_| closed())?;
        let connected = answer.await.map_err(|_| closed())??;
        connected.try_map(Parked::revive).map_err(|error| ConnectError::io("login", &error))
    }
}

/// From earlier logins.
#[derive(Default)]
struct Known {
    keys: ClientKeyCache,
    vigil: Vigil,
}

/// Makes the logins, side by side, until nobody can ask any more.
pub async fn run(mut jobs: mpsc::UnboundedReceiver<Job>) {
    let known = Rc::new(Known::default());
    while let Some(job) = jobs.recv().await {
        spawn_local(carry_out(job, Rc::clone(&known)));
    }
}

async fn carry_out(job: Job, known: Rc<Known>) {
    let Job { target, database, user, credential, more, reply } = job;
    let more: Vec<_> = more.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let credential = credential.as_ref();
    let identity = Identity { database: &database, user: &user, credential, more: &more };
    let connected = known.vigil.connect(&target, identity, &known.keys).await;
    let connected = connected.and_then(|connected| {
        connected.try_map(Stream::park).map_err(|error| ConnectError::io("login", &error))
    });
    // A worker that has ended needs no connection: it is closed here.
    let _ = reply.send(connected);
}
