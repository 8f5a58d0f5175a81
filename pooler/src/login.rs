//! A client's way in: TLS and startup negotiation, authentication, what it asks for. It ends just
//! before AuthenticationOk, which the session sends; it never takes a server connection.

mod access;
mod error;
mod inquiries;
mod keys;
mod known;
mod negotiation;
mod nobody;
mod password;
mod penalties;
mod request;
mod scram;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use poolwright_settings::Settings;
use poolwright_wire::proxy::Source;
use poolwright_wire::write::{self, ErrorFields};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::clock::{timeout, timeout_at};
use crate::config::Config;
use crate::credential::Learned;
use crate::door::{Door, Full, Place, Room};
use crate::replication::{Kind, place};
use crate::stream::{Framed, Socket, Stream};
use crate::tls::{ClientTls, common_name};
use crate::worker::CancelKey;

use access::Claim;
pub use error::LoginError;
pub use inquiries::Inquiries;
pub use keys::Verifiers;
use negotiation::Opening;
pub use penalties::Penalties;
use request::Request;

/// How long a client may take to hear that it is refused.
const TELL_TIMEOUT: Duration = Duration::from_secs(5);

/// So many logins may be under way at least, else as many as there may be clients.
const LEAST_LOGINS: u32 = 100;

/// What logins are judged by. One for each generation of settings; `verifiers` and `door` outlive it.
#[derive(Clone)]
pub struct LoginContext {
    pub config: Arc<Config>,
    pub verifiers: Rc<Verifiers>,
    pub inquiries: Rc<Inquiries>,
    pub penalties: Rc<Penalties>,
    pub door: Arc<Door>,
}

impl LoginContext {
    /// How many logins may be under way.
    pub fn most_logins(&self) -> u32 {
        self.config.max_clients.max(LEAST_LOGINS)
    }
}

/// A connection whose client is yet to say what it wants.
pub struct Newcomer {
    framed: Framed,
    /// The client's own, where a proxy speaks for it.
    pub peer: SocketAddr,
    /// When the login is to have ended.
    end: Instant,
}

/// How a connection's beginning ended well.
#[derive(Debug)]
pub enum Arrival {
    Client(LoggedIn<Stream>),
    /// The stream is to be closed when the cancel has been delivered, and not before.
    Cancel {
        key: CancelKey,
        /// A peer has sent it on: it goes no further.
        forwarded: bool,
        stream: Stream,
    },
    /// The peer left without a fault: a port check, or a client that goes to ask for a password.
    Gone,
}

/// A client that has shown who it is.
#[derive(Debug)]
pub struct LoggedIn<S> {
    pub stream: S,
    /// The version that the client speaks, 3.0 to 3.2.
    pub protocol: i32,
    pub user: String,
    /// A name in the settings' databases.
    pub database: String,
    /// Startup parameters except user and database; those in `options` come first, so that later
    /// ones win as in Postgres.
    pub parameters: Vec<(String, String)>,
    /// The connection is not for a pool.
    pub replication: Option<Kind>,
    /// Read from the client beyond the login.
    pub leftover: Vec<u8>,
    /// To be sent before AuthenticationOk.
    pub pending_out: Vec<u8>,
    pub peer: SocketAddr,
    pub place: Place,
    pub learned: Option<Box<Learned>>,
}

impl<S> LoggedIn<S> {
    /// The same client over another form of its stream.
    ///
    /// # Errors
    /// The change of form fails; the client is lost.
    pub fn try_map<T>(self, change: impl FnOnce(S) -> io::Result<T>) -> io::Result<LoggedIn<T>> {
        let LoggedIn { stream, protocol, user, database, parameters, replication, .. } = self;
        let LoggedIn { leftover, pending_out, peer, place, learned, .. } = self;
        let stream = change(stream)?;
        Ok(LoggedIn {
            stream,
            protocol,
            user,
            database,
            parameters,
            replication,
            leftover,
            pending_out,
            peer,
            place,
            learned,
        })
    }
}

/// Finds out whose a new connection is. From here on the client's time counts.
///
/// # Errors
/// The peer is a proxy of the settings and does not say whom it speaks for.
pub async fn introduce(
    socket: Socket,
    peer: SocketAddr,
    context: &LoginContext,
) -> Result<Newcomer, LoginError> {
    let mut framed = Framed::new(Stream::Tcp(socket));
    let Config { settings: Settings { listen, limits, .. }, .. } = &*context.config;
    let end = Instant::now() + limits.login_timeout;
    if !listen.proxies.iter().any(|network| network.contains(peer.ip())) {
        return Ok(Newcomer { framed, peer, end });
    }
    let source = timeout_at(end, framed.proxy_header()).await;
    let peer = match source.map_err(|_| LoginError::Timeout)?? {
        Source::Client(client) => client,
        Source::Local | Source::Unknown => peer,
    };
    Ok(Newcomer { framed, peer, end })
}

/// Takes a new connection through its login. On an error the client has been told, where it could
/// be, and the connection is closed.
///
/// # Errors
/// [`LoginError`], to be logged and counted by [`LoginError::label`].
pub async fn accept(newcomer: Newcomer, context: &LoginContext) -> Result<Arrival, LoginError> {
    let Newcomer { mut framed, peer, end } = newcomer;
    // Whoever guesses passwords leaves room for the logins of others.
    if context.penalties.held_back(peer.ip()) >= context.most_logins() / 2 {
        tell(&mut framed, &LoginError::Guesses).await;
        return Err(LoginError::Guesses);
    }
    let late = |_| LoginError::Timeout;
    let negotiated = negotiation::negotiate(framed, &context.config.client_tls);
    let (mut framed, packet) = match timeout_at(end, negotiated).await.map_err(late)?? {
        Opening::Start(framed, packet) => (framed, packet),
        Opening::Gone => return Ok(Arrival::Gone),
        Opening::Cancel { key, forwarded, stream } => {
            return Ok(Arrival::Cancel { key, forwarded, stream });
        }
        Opening::Refused(mut framed, error) => {
            tell(&mut framed, &error).await;
            return Err(error);
        }
    };
    let identified = timeout_at(end, identify(&mut framed, &packet, peer, context)).await;
    match identified.map_err(late).flatten() {
        Ok(known) => Ok(Arrival::Client(logged_in(framed, known, peer))),
        Err(LoginError::Left) => Ok(Arrival::Gone),
        Err(error) => {
            if let LoginError::Password { user } = &error {
                context.penalties.hold_back(user, peer.ip()).await;
            }
            tell(&mut framed, &error).await;
            Err(error)
        }
    }
}

/// Who came, and what for.
struct Identified {
    request: Request,
    place: Place,
    learned: Option<Learned>,
}

/// Everything from the startup message to the proof of who the client is.
async fn identify(
    framed: &mut Framed,
    packet: &[u8],
    peer: SocketAddr,
    context: &LoginContext,
) -> Result<Identified, LoginError> {
    let LoginContext { config, door, .. } = context;
    let request = request::read(packet, &config.ignored_parameters, &mut framed.output)?;
    check_tls(&config.client_tls, &framed.stream, &request.user)?;
    if door.is_stopping() {
        return Err(LoginError::Stopping);
    }
    if door.is_full(config.max_clients) {
        return Err(LoginError::Full);
    }
    let claim = Claim { request: &request, address: peer.ip() };
    let learned = access::prove(framed, &claim, context).await?;
    context.penalties.forgive(&request.user, peer.ip());
    check_database(&request, config)?;
    let place = enter(door, config, &request)?;
    Ok(Identified { request, place, learned })
}

/// A place among the clients, within all their limits.
fn enter(door: &Door, settings: &Settings, request: &Request) -> Result<Place, LoginError> {
    let Request { database, user, .. } = request;
    let (asked, users) = (settings.database(database), &settings.users);
    let room = Room {
        clients: settings.max_clients,
        database: asked.map_or(settings.limits.database_clients, |it| it.max_clients),
        user: users.get(user).map_or(settings.limits.user_clients, |it| it.max_clients),
    };
    door.enter(room, database, user).map_err(|full| match full {
        Full::Clients => LoginError::Full,
        Full::Database(max) => LoginError::FullDatabase { name: database.clone(), max },
        Full::User(max) => LoginError::FullUser { name: user.clone(), max },
    })
}

/// Whether the client came by TLS and showed a certificate, where it must.
fn check_tls(tls: &ClientTls, stream: &Stream, user: &str) -> Result<(), LoginError> {
    if tls.is_required() && !stream.is_tls() {
        return Err(LoginError::TlsRequired);
    }
    if !tls.is_verified() {
        return Ok(());
    }
    let certificate = stream.certificate().ok_or(LoginError::NoCertificate)?;
    if tls.is_named() && common_name(certificate) != Some(user) {
        return Err(LoginError::Certificate { user: user.to_owned() });
    }
    Ok(())
}

fn check_database(request: &Request, settings: &Settings) -> Result<(), LoginError> {
    let Request { database, replication, .. } = request;
    let name = database.clone();
    match replication {
        Some(kind) if place(settings, *kind, database).is_some() => Ok(()),
        Some(Kind::Physical) => Err(LoginError::Instance { name }),
        _ if settings.database(database).is_some() => Ok(()),
        _ => Err(LoginError::Database { name }),
    }
}

fn logged_in(framed: Framed, known: Identified, peer: SocketAddr) -> LoggedIn<Stream> {
    let Framed { stream, input, output } = framed;
    let Identified { request, place, learned } = known;
    let Request { protocol, user, database, parameters, replication } = request;
    LoggedIn {
        stream,
        protocol,
        user,
        database,
        parameters,
        replication,
        leftover: input,
        pending_out: output,
        peer,
        place,
        learned: learned.map(Box::new),
    }
}

/// Tells a client whose login may not even begin, as far as that takes no wait.
pub fn tell_at_once(socket: &Socket, error: &LoginError) {
    let mut out = Vec::new();
    write_error(&mut out, error);
    // Who cannot take so little yet hears nothing.
    let _ = socket.try_write(&out);
}

/// Tells the client why it may not come in; whether it hears is its own affair.
async fn tell(framed: &mut Framed, error: &LoginError) {
    if !write_error(&mut framed.output, error) {
        return;
    }
    let _ = timeout(TELL_TIMEOUT, async {
        if framed.flush().await.is_ok() {
            let _ = framed.stream.shutdown().await;
        }
    })
    .await;
}

/// Whether there is something to tell.
fn write_error(out: &mut Vec<u8>, error: &LoginError) -> bool {
    let Some(sqlstate) = error.sqlstate() else { return false };
    let message = error.to_string();
    let hint = error.hint();
    write::error_response(
        out,
        &ErrorFields {
            severity: "FATAL",
            sqlstate,
            message: &message,
            hint,
            ..ErrorFields::default()
        },
    );
    true
}

#[cfg(test)]
pub(crate) mod tests;
