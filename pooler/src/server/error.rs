//! Why a server connection could not be had: whose fault, and whether to try again.

use std::io;
use std::net::SocketAddr;

use poolwright_wire::read;
use tokio::sync::oneshot;

use super::ServerTarget;
use crate::stream::FrameError;

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    pub kind: Kind,
    /// For the log and for clients that wait; never holds a password.
    pub message: String,
    /// The server's, where it answered.
    pub sqlstate: Option<String>,
    /// The attempt's backend, where the server has not hung up on it.
    pub lingering: Option<Lingering>,
}

/// A backend that may live, though the login is given up.
#[derive(Debug)]
pub struct Lingering(oneshot::Receiver<()>);

impl Lingering {
    /// `hung_up` ends when the server has hung up, or TCP has given it up; it goes on in a task.
    pub(super) fn until(hung_up: impl Future<Output = ()> + Send + 'static) -> Lingering {
        let (alive, gone) = oneshot::channel();
        tokio::spawn(async move {
            hung_up.await;
            drop(alive);
        });
        Lingering(gone)
    }

    pub async fn gone(self) {
        let _ = self.0.await;
    }
}

/// The kinds that callers treat apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The server does not let this user in or lacks the database (28xxx, 3D000, 42501): trying
    /// again changes nothing until somebody acts.
    Refused,
    /// The server is full (53300), or has no room for this role or database.
    TooManyConnections,
    /// The server answers but takes no logins now (57P0x, other errors).
    NotReady,
    /// No address answers, or the connection breaks.
    Unreachable,
    /// TLS cannot be had as the settings ask.
    Tls,
    /// The server asks for a login that is not spoken here.
    Unsupported,
    /// The peer does not speak the protocol or misuses it.
    Protocol,
    /// This process is out of files or ports: the server is not to blame.
    LocalLimit,
}

impl Kind {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Refused => "refused",
            Kind::TooManyConnections => "too_many_connections",
            Kind::NotReady => "not_ready",
            Kind::Unreachable => "unreachable",
            Kind::Tls => "tls",
            Kind::Unsupported => "unsupported",
            Kind::Protocol => "protocol",
            Kind::LocalLimit => "local_limit",
        }
    }
}

impl ConnectError {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        ConnectError { kind, message: message.into(), sqlstate: None, lingering: None }
    }

    /// False where only a change of the settings or of the server helps.
    pub fn retry(&self) -> bool {
        !matches!(self.kind, Kind::Refused | Kind::Unsupported)
    }

    /// Whether an earlier version of the protocol may do: what stands between may not know the
    /// server's.
    pub fn another_protocol_may_do(&self) -> bool {
        let told = self.sqlstate.as_deref();
        self.kind == Kind::Protocol || matches!(told, Some("08P01" | "0A000"))
    }

    /// Whether another password may do.
    pub fn is_wrong_password(&self) -> bool {
        self.sqlstate.as_deref() == Some("28P01")
    }

    /// Whether the server, or a pooler in its place, may have refused a setting of the startup message.
    pub(super) fn is_about_settings(&self) -> bool {
        let sqlstate = self.sqlstate.as_deref();
        sqlstate.is_some_and(|it| ["42704", "22023", "08P01", "0A000"].contains(&it))
    }

    /// Whether pg_hba may have one answer for TLS and another for plain text.
    pub(super) fn another_encryption_may_do(&self) -> bool {
        self.kind == Kind::Tls || self.sqlstate.as_deref() == Some("28000")
    }

    /// Tells of the attempt before it as well, with another encryption.
    pub(super) fn after(mut self, before: Option<ConnectError>) -> Self {
        if let Some(ConnectError { message, lingering, .. }) = before {
            self.message = format!("{}; before that, {message}", self.message);
            self.lingering = self.lingering.or(lingering);
        }
        self
    }

    pub(super) fn timed_out(target: &ServerTarget) -> Self {
        let ServerTarget { host, port, connect_timeout, .. } = target;
        let message = format!("{host}:{port} did not answer within {connect_timeout:?}");
        ConnectError::new(Kind::Unreachable, message)
    }

    pub(super) fn login_timed_out(addr: SocketAddr) -> Self {
        let message = format!("{addr}: the login did not end within the connect timeout");
        ConnectError::new(Kind::Unreachable, message)
    }

    /// Nobody is left to log in.
    pub fn interrupted() -> Self {
        ConnectError::new(Kind::LocalLimit, "the login was interrupted: the process ends")
    }

    pub fn io(place: impl std::fmt::Display, error: &io::Error) -> Self {
        let kind = if is_local_limit(error) { Kind::LocalLimit } else { Kind::Unreachable };
        ConnectError::new(kind, format!("{place}: {error}"))
    }

    /// From the body of an ErrorResponse.
    pub(super) fn reported(body: &[u8]) -> Self {
        let Ok(report) = read::report(body) else {
            return ConnectError::new(Kind::Protocol, "the server sent a malformed error");
        };
        let sqlstate = String::from_utf8_lossy(report.sqlstate).into_owned();
        let text = String::from_utf8_lossy(report.message);
        let message = format!("the server refused the login: {text} ({sqlstate})");
        ConnectError {
            sqlstate: Some(sqlstate.clone()),
            ..ConnectError::new(kind_of(&sqlstate), message)
        }
    }
}

impl From<FrameError> for ConnectError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => ConnectError::io("login", &error),
            FrameError::Closed | FrameError::ClosedInside => {
                ConnectError::new(Kind::Unreachable, "the server hung up during the login")
            }
            error => ConnectError::new(Kind::Protocol, format!("login: {error}")),
        }
    }
}

fn kind_of(sqlstate: &str) -> Kind {
    match sqlstate {
        "53300" => Kind::TooManyConnections,
        "3D000" | "42501" => Kind::Refused,
        code if code.starts_with("28") => Kind::Refused,
        _ => Kind::NotReady,
    }
}

/// Linux's numbers of ENFILE, EMFILE, EADDRNOTAVAIL (no port left), ENOBUFS; std has no kind for most.
const LOCAL_LIMITS: [i32; 4] = [23, 24, 99, 105];

fn is_local_limit(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| LOCAL_LIMITS.contains(&number))
        || error.kind() == io::ErrorKind::OutOfMemory
}

#[cfg(test)]
mod tests {
    use super::{Kind, is_local_limit, kind_of};
    use std::io;

    #[test]
    fn a_sqlstate_says_whether_to_try_again() {
        for (sqlstate, expect) in [
            ("28P01", Kind::Refused),
            ("28000", Kind::Refused),
            ("3D000", Kind::Refused),
            ("42501", Kind::Refused),
            ("53300", Kind::TooManyConnections),
            ("57P03", Kind::NotReady),
            ("57P01", Kind::NotReady),
            ("XX000", Kind::NotReady),
        ] {
            assert_eq!(kind_of(sqlstate), expect, "{sqlstate}");
        }
    }

    #[test]
    fn a_full_file_table_is_not_the_servers_fault() {
        for number in [23, 24, 105, 99] {
            assert!(is_local_limit(&io::Error::from_raw_os_error(number)), "{number}");
        }
        assert!(!is_local_limit(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }
}
