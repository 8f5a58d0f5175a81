//! A way into Postgres: address, TCP, TLS, login, until the first ReadyForQuery. It never keeps or
//! chooses connections, and opens one only when asked.

mod cancel;
mod dial;
mod error;
mod keys;
mod login;
mod vigil;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use poolwright_settings::{ChannelBinding, CleartextPassword, Limits, Server};
use poolwright_wire::startup::PROTOCOL_3_0;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::clock::{timeout, timeout_at};
use crate::credential::Credential;
use crate::stream::{Framed, Stream};
use crate::tls::ServerTls;

pub use cancel::send_cancel;
use dial::Encryption;
pub use error::{ConnectError, Kind, Lingering};
pub use keys::ClientKeyCache;
pub use vigil::{CHECK_INTERVAL, Vigil};

/// How long who waits for a login that failed waits for the server to hang up as well.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a Postgres is and how it is spoken to.
#[derive(Clone)]
pub struct ServerTarget {
    /// A name, resolved for each connection, or an IP address.
    pub host: String,
    pub port: u16,
    pub tls: ServerTls,
    /// From the look-up of the name to ReadyForQuery.
    pub connect_timeout: Duration,
    /// For a cancel request, to its end.
    pub cancel_timeout: Duration,
    /// The version of the protocol that is asked for.
    pub protocol: i32,
    pub cleartext: CleartextPassword,
    pub binding: ChannelBinding,
}

impl ServerTarget {
    /// As the settings describe it.
    pub fn of(server: &Server, tls: &ServerTls, limits: &Limits) -> ServerTarget {
        ServerTarget {
            host: server.host.clone(),
            port: server.port,
            tls: tls.clone(),
            connect_timeout: server.connect_timeout,
            cancel_timeout: limits.cancel_timeout,
            protocol: PROTOCOL_3_0,
            cleartext: server.cleartext_password,
            binding: server.channel_binding,
        }
    }

    /// Whether the settings have this server there.
    pub fn is_at(&self, server: &Server) -> bool {
        (&self.host, self.port) == (&server.host, server.port)
    }
}

/// Who logs in, where.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub database: &'a str,
    pub user: &'a str,
    /// `None`: the server must ask for none.
    pub credential: Option<&'a Credential>,
    /// Further startup parameters.
    pub more: &'a [(&'a str, &'a str)],
}

/// A server connection that is ready for its first query.
#[derive(Debug)]
pub struct Connected<S = Stream> {
    pub stream: S,
    /// The server's ParameterStatus messages, in the order sent.
    pub parameters: Vec<(String, String)>,
    pub process_id: i32,
    /// Empty where the server gave no key: it cannot be cancelled.
    pub secret: Vec<u8>,
    /// The address that answered; cancels go there.
    pub addr: SocketAddr,
    /// Read beyond ReadyForQuery.
    pub leftover: Vec<u8>,
    /// The server looks every [`CHECK_INTERVAL`] whether we are there, also while a query runs.
    pub is_watched: bool,
}

impl<S> Connected<S> {
    /// The same connection over another form of its stream.
    ///
    /// # Errors
    /// The change of form fails; the connection is lost.
    pub fn try_map<T>(self, change: impl FnOnce(S) -> io::Result<T>) -> io::Result<Connected<T>> {
        let Connected { stream, parameters, process_id, secret, addr, leftover, is_watched } = self;
        let stream = change(stream)?;
        Ok(Connected { stream, parameters, process_id, secret, addr, leftover, is_watched })
    }
}

/// Opens a server connection and logs in.
///
/// # Errors
/// [`ConnectError`]: its kind says whether to try again. When it returns, the server has hung up on
/// the attempt, or the error says that it has not.
pub async fn connect(
    target: &ServerTarget,
    identity: Identity<'_>,
    keys: &ClientKeyCache,
) -> Result<Connected, ConnectError> {
    let deadline = Instant::now() + target.connect_timeout;
    let mut last = None;
    for &encryption in dial::attempts(target.tls.mode) {
        let (stream, addr) = match dial::open(target, encryption, deadline).await {
            Ok(opened) => opened,
            Err(error) if error.another_encryption_may_do() => {
                last = Some(error.after(last));
                continue;
            }
            Err(error) => return Err(error.after(last)),
        };
        let declined = encryption == Encryption::Offered && !stream.is_tls();
        let ServerTarget { protocol, cleartext, binding, .. } = *target;
        let asked = Asked { protocol, cleartext, binding, identity, deadline };
        match log_in(stream, addr, asked, keys).await {
            Err(error) if error.another_encryption_may_do() && !declined => {
                last = Some(error.after(last));
            }
            done => return done.map_err(|error| error.after(last)),
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::timed_out(target)))
}

/// A login to be made over an open stream.
struct Asked<'a> {
    protocol: i32,
    cleartext: CleartextPassword,
    binding: ChannelBinding,
    identity: Identity<'a>,
    deadline: Instant,
}

async fn log_in(
    stream: Stream,
    addr: SocketAddr,
    asked: Asked<'_>,
    keys: &ClientKeyCache,
) -> Result<Connected, ConnectError> {
    let mut framed = Framed::new(stream);
    let outcome = timeout_at(asked.deadline, login::log_in(&mut framed, &asked, keys)).await;
    match outcome.unwrap_or_else(|_| Err(ConnectError::login_timed_out(addr))) {
        Ok(login::Session { parameters, process_id, secret }) => {
            let Framed { stream, input: leftover, output: _ } = framed;
            let is_watched = false;
            Ok(Connected { stream, parameters, process_id, secret, addr, leftover, is_watched })
        }
        Err(error) => {
            let mut hung_up = Box::pin(hang_up(framed.stream));
            let in_time = timeout(HANG_UP_TIMEOUT, &mut hung_up).await.is_ok();
            let lingering = (!in_time).then(|| Lingering::until(hung_up));
            Err(ConnectError { lingering, ..error })
        }
    }
}

/// Closes our half and waits until the server has closed its own: then its backend is gone.
async fn hang_up(mut stream: Stream) {
    let _ = stream.shutdown().await;
    let mut scrap = [0; 512];
    while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
}

#[cfg(test)]
mod tests;
