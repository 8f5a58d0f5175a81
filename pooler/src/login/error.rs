//! Why a login failed: what the client reads, and under which label it is counted. It never holds
//! what the client sent beyond names.

use std::io;

use poolwright_wire::WireError;
use poolwright_wire::scram::ScramError;
use poolwright_wire::startup::OptionsError;

use crate::stream::FrameError;

/// A login that failed. The text is what the client is told, if anything.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("invalid message during login: {0}")]
    Frame(FrameError),
    #[error("expected {expected} during login, received message type 0x{found:02x}")]
    Unexpected { expected: &'static str, found: u8 },
    #[error("received unencrypted data after {0}")]
    Buffered(&'static str),
    #[error("received {0} where only a startup message may follow")]
    Repeated(&'static str),
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    Protocol { major: u16, minor: u16 },
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
    #[error("TLS was begun without an SSLRequest, and listen.tls.mode is disable")]
    NoTls,
    #[error("TLS was begun without an SSLRequest and without \"postgresql\" in ALPN")]
    NoAlpn,
    #[error("connection refused: this server requires TLS")]
    TlsRequired,
    #[error("connection requires a valid client certificate")]
    NoCertificate,
    #[error("certificate authentication failed for user \"{user}\"")]
    Certificate { user: String },
    #[error("no listen.rules entry for {who}")]
    NoRule { who: String },
    #[error("listen.rules rejects connection for {who}")]
    Rejected { who: String },
    #[error("the password would be sent in clear, and the connection has no encryption")]
    PasswordInClear,
    #[error("the user could not be looked up at the server")]
    NotFoundOut,
    #[error("empty password returned by client")]
    EmptyPassword,
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    #[error("startup parameter {0} is not valid UTF-8")]
    Encoding(String),
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error("unrecognized configuration parameter \"{0}\"")]
    Unrecognized(String),
    #[error("invalid value for parameter \"replication\": \"{0}\"")]
    Replication(String),
    #[error("sorry, too many clients already")]
    Full,
    #[error("too many wrong passwords from this address are yet to be answered")]
    Guesses,
    #[error(
        "no more connections allowed for database \"{name}\": {max} clients are in (maxDbClientConnections)"
    )]
    FullDatabase { name: String, max: u32 },
    #[error(
        "no more connections allowed for user \"{name}\": {max} clients are in (maxUserClientConnections)"
    )]
    FullUser { name: String, max: u32 },
    #[error("the pooler is shutting down")]
    Stopping,
    #[error("password authentication failed for user \"{user}\"")]
    Password { user: String },
    #[error("role \"{name}\" does not exist")]
    Role { name: String },
    #[error("SASL authentication failed: {0}")]
    Scram(ScramError),
    #[error("database \"{name}\" does not exist")]
    Database { name: String },
    #[error("\"{name}\" does not say which server is to be replicated")]
    Instance { name: String },
    #[error("client_login_timeout: the login took longer than clientLoginTimeout")]
    Timeout,
    #[error("the client left during the login")]
    Left,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the login could not be checked: {0}")]
    Internal(&'static str),
}

impl LoginError {
    /// What the client reads; `None` where nobody is there to read it.
    pub fn sqlstate(&self) -> Option<&'static str> {
        use LoginError as E;
        match self {
            E::Frame(FrameError::Malformed(_) | FrameError::TooLong { .. })
            | E::Unexpected { .. }
            | E::Buffered(_) => Some("08P01"),
            E::Scram(ScramError::Downgrade | ScramError::OtherChannel) => Some("28000"),
            E::Scram(_) => Some("08P01"),
            E::Protocol { .. } | E::Repeated(_) => Some("0A000"),
            E::TlsRequired
            | E::NoCertificate
            | E::Certificate { .. }
            | E::NoRule { .. }
            | E::Rejected { .. }
            | E::PasswordInClear
            | E::NoUser
            | E::Role { .. } => Some("28000"),
            E::Encoding(_) => Some("22021"),
            E::Replication(_) => Some("22023"),
            // A value without a name is one for a parameter that is not there.
            E::Options(OptionsError::Setting(text)) if text.starts_with('=') => Some("42704"),
            E::Options(_) => Some("42601"),
            E::Unrecognized(_) => Some("42704"),
            E::Full | E::Guesses | E::FullDatabase { .. } | E::FullUser { .. } => Some("53300"),
            E::Timeout => Some("57014"),
            E::Stopping | E::NotFoundOut => Some("57P03"),
            E::Password { .. } | E::EmptyPassword => Some("28P01"),
            E::Database { .. } | E::Instance { .. } => Some("3D000"),
            E::Internal(_) => Some("XX000"),
            E::Frame(_) | E::Handshake(_) | E::NoTls | E::NoAlpn | E::Left | E::Io(_) => None,
        }
    }

    /// What the client can do about it, where that is not plain.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LoginError::Full => Some("The limit is the pooler's maxClients."),
            LoginError::TlsRequired => Some("Connect with sslmode=require or stronger."),
            LoginError::Certificate { .. } => {
                Some("The certificate's common name must be the user's, or a map must say so.")
            }
            LoginError::PasswordInClear => {
                Some("Connect with sslmode=require, or have a rule of type hostnossl allow it.")
            }
            LoginError::Role { .. } => Some("Add it to the pooler's users."),
            LoginError::Replication(_) => {
                Some("Valid values are: \"false\", 0, \"true\", 1, \"database\".")
            }
            LoginError::Instance { .. } => {
                Some("Name one of the pooler's databases that is on it.")
            }
            LoginError::Options(_) => Some("Set parameters by -c name=value or --name=value."),
            _ => None,
        }
    }

    /// The metric label: one of a fixed few.
    pub fn label(&self) -> &'static str {
        use LoginError as E;
        match self {
            E::Frame(FrameError::Proxy(_)) => "proxy",
            E::Frame(FrameError::Io(_) | FrameError::Closed | FrameError::ClosedInside)
            | E::Left
            | E::Io(_) => "gone",
            E::Frame(_) | E::Unexpected { .. } | E::Repeated(_) => "protocol",
            E::Buffered(_) | E::Handshake(_) | E::NoTls | E::NoAlpn | E::TlsRequired => "tls",
            E::Protocol { .. }
            | E::Replication(_)
            | E::Encoding(_)
            | E::Options(_)
            | E::Unrecognized(_) => "unsupported",
            E::NoCertificate | E::Certificate { .. } => "certificate",
            E::NoRule { .. } | E::Rejected { .. } => "rule",
            E::PasswordInClear => "tls",
            E::NoUser | E::Role { .. } | E::Password { .. } | E::EmptyPassword | E::Scram(_) => {
                "password"
            }
            E::Database { .. } | E::Instance { .. } => "database",
            E::Full => "full",
            E::Guesses => "guesses",
            E::FullDatabase { .. } => "full_database",
            E::FullUser { .. } => "full_user",
            E::Stopping => "stopping",
            E::NotFoundOut => "auth_query",
            E::Timeout => "timeout",
            E::Internal(_) => "internal",
        }
    }
}

impl From<FrameError> for LoginError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Closed => LoginError::Left,
            FrameError::Io(error) => LoginError::Io(error),
            error => LoginError::Frame(error),
        }
    }
}

impl From<WireError> for LoginError {
    fn from(error: WireError) -> Self {
        LoginError::Frame(FrameError::Malformed(error))
    }
}
