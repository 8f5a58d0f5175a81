//! Settings after every check: all defaults filled in, all names resolved.
//! Never holds a value that the rest of the pooler would have to doubt.

mod pool;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Network, Secret, kind, raw};

pub use pool::{Isolation, Patience, Pinning, PoolMode, PoolSettings, Sequences};

/// A database's name that stands for those that are not listed.
pub const ANY: &str = "*";

/// Everything one pooler process is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub listen: Listen,
    pub admin: Admin,
    /// None: nobody pushes settings, and no port is opened for it.
    pub control: Option<Control>,
    /// Threads that serve clients, 1 or more. None: one for each CPU that the process may use.
    pub workers: Option<u32>,
    /// Clients that may be connected at once, 1 or more.
    pub max_clients: u32,
    pub limits: Limits,
    pub upkeep: Upkeep,
    /// Startup parameters that are dropped, in lower case.
    pub ignored_parameters: Vec<String>,
    /// Its own id among its peers, below 1,024. None: the number at the end of the host's name.
    pub peer_id: Option<u32>,
    /// Poolers that cancel requests are sent on to, by id.
    pub peers: BTreeMap<u32, Peer>,
    /// In the order of the file; [`Database::server`] is an index into it.
    pub servers: Vec<Server>,
    /// By the name that clients ask for.
    pub databases: BTreeMap<String, Database>,
    /// By user name; from the settings file and the users file together.
    pub users: BTreeMap<String, User>,
    /// Where users are looked for that are not listed; None: nowhere.
    pub auth_query: Option<AuthQuery>,
    /// Prepared statements kept on one server connection, 1 or more.
    pub prepared_statements: u32,
    /// How long clients may finish after a request to stop.
    pub drain_timeout: Duration,
    /// Who wrote the file may number it; shown in metrics and logs.
    pub generation: Option<u64>,
    /// The users file's own number.
    pub users_generation: Option<u64>,
}

impl Settings {
    /// The two files are of different generations: one of them has not arrived yet.
    pub fn is_torn(&self) -> bool {
        self.users_generation.is_some() && self.users_generation != self.generation
    }

    /// What a client that asks for this database gets: the one of that name, or else what `*` says
    /// of any.
    pub fn database(&self, name: &str) -> Option<Cow<'_, Database>> {
        if let Some(listed) = self.databases.get(name) {
            return Some(Cow::Borrowed(listed)).filter(|_| name != ANY);
        }
        let any = self.databases.get(ANY).filter(|_| kind::is_name(name))?;
        let own = |text: &str| if text == ANY { name } else { text }.to_owned();
        Some(Cow::Owned(Database {
            name: name.to_owned(),
            dbname: own(&any.dbname),
            ..any.clone()
        }))
    }

    /// Whether somebody of this name may be let in: who is listed, or anybody where a server is asked.
    pub fn may_know(&self, user: &str) -> bool {
        self.users.contains_key(user) || self.auth_query.is_some()
    }

    /// Most connections at all servers as this user.
    pub fn user_connections(&self, user: &str) -> Option<u32> {
        self.users.get(user).map_or(self.limits.user_connections, |user| user.max_connections)
    }

    /// Under which name of the settings a database is shown.
    pub fn listed_as<'a>(&'a self, name: &'a str) -> &'a str {
        if self.databases.contains_key(name) { name } else { ANY }
    }

    /// The pool of a database and user: what the user's settings say goes before the database's.
    pub fn pool(&self, database: &Database, user: &str) -> PoolSettings {
        match self.users.get(user) {
            Some(user) => database.pool.with(&user.pool),
            None => database.pool.clone(),
        }
    }
}

/// What holds for all clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Server connections of a user that is not listed.
    pub user_connections: Option<u32>,
    /// Clients of a user that is not listed.
    pub user_clients: Option<u32>,
    /// Clients of a database that is not listed.
    pub database_clients: Option<u32>,
    /// From a client's connect to the end of its login.
    pub login_timeout: Duration,
    /// From a cancel request to its end at the server.
    pub cancel_timeout: Duration,
}

/// How server connections are kept fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upkeep {
    /// The longest pause after a failed login.
    pub login_retry: Duration,
    /// Who has rested for so long is asked before it is used.
    pub check_delay: Duration,
    /// None: nobody is asked.
    pub check_query: Option<String>,
    /// Runs behind each DISCARD ALL.
    pub reset_query: Option<String>,
    /// Clients in session mode leave a server that has moved at the end of their transactions.
    pub fast_close: bool,
}

/// A server user that all clients of a database share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forced {
    pub user: String,
    /// None: as for the user of the settings, if there is one.
    pub password: Option<Secret>,
}

/// Where clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub address: IpAddr,
    pub port: u16,
    /// For all connections, where there are no rules.
    pub auth: ListenAuth,
    /// The first that fits holds.
    pub rules: Vec<Rule>,
    /// Several lines may have one name.
    pub maps: Vec<MapLine>,
    pub tls: ListenTls,
    /// Who connects from here speaks for others, by a header of the PROXY protocol; nobody else may.
    pub proxies: Vec<Network>,
}

/// For which connections a method holds, as a line of pg_hba.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub channel: Channel,
    /// Names and the keywords of [`crate::rules`]; one or more.
    pub databases: Vec<String>,
    /// The same.
    pub users: Vec<String>,
    /// Empty: all.
    pub addresses: Vec<Network>,
    pub method: ListenAuth,
    /// The name of a map, for `Cert`.
    pub map: Option<String>,
}

/// Which connections a rule is for, named as in pg_hba.conf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    Host,
    /// With TLS.
    Hostssl,
    /// Without.
    Hostnossl,
}

/// Which user a certificate stands for, as a line of pg_ident.conf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapLine {
    /// The map that it belongs to.
    pub name: String,
    /// The common name, in which one `*` may stand for any text.
    pub certificate: String,
    /// The user, in which `*` is that text; or `all`.
    pub user: String,
}

/// How users are looked up at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthQuery {
    /// Who asks.
    pub user: String,
    pub password: Option<Secret>,
    /// Where, at each server; None: in the first of its databases.
    pub dbname: Option<String>,
    /// Its parameter is the user's name; it gives a name and a secret.
    pub query: String,
    /// How long an answer holds; zero: each login asks.
    pub cache_time: Duration,
}

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenAuth {
    /// Not at all: whoever reaches the port is whom they say.
    Trust,
    /// They are refused; in rules only.
    Reject,
    /// By the password in clear.
    Password,
    /// By the older hash of it, or SCRAM where that is all that is known.
    Md5,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// By a certificate, and no password.
    Cert,
}

/// TLS towards clients. Both files are there unless the mode is `Disable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTls {
    pub mode: ListenTlsMode,
    /// PEM, the leaf first; relative paths start at the settings file.
    pub cert_file: Option<String>,
    /// PEM.
    pub key_file: Option<String>,
    /// PEM; there for the two verify modes.
    pub ca_file: Option<String>,
}

/// As libpq's sslmode, seen from the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenTlsMode {
    Disable,
    Allow,
    /// The same as `Allow`: a client that has TLS asks for it first in either case.
    Prefer,
    Require,
    /// A client shows a certificate of an authority that is known.
    VerifyCa,
    /// The same, with the user's name as its common name.
    VerifyFull,
}

/// Where /healthz, /readyz and /metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub address: IpAddr,
    pub port: u16,
}

/// Another pooler, where clients would connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// A host name or IP address, without port.
    pub host: String,
    pub port: u16,
}

/// Where the operator pushes settings to, and whom it is known by. All files are PEM; relative paths
/// start at the settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub address: IpAddr,
    pub port: u16,
    /// The leaf first.
    pub cert_file: String,
    pub key_file: String,
    /// The authority that both ends' certificates lead to.
    pub ca_file: String,
}

/// One Postgres instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    /// A host name or IP address, without port.
    pub host: String,
    pub port: u16,
    /// Connections this process may hold to it, 1 or more.
    pub max_connections: u32,
    /// The same for replication, which is not pooled.
    pub max_replication_connections: u32,
    /// From dialling to the end of the login.
    pub connect_timeout: Duration,
    pub tls: ServerTls,
    pub cleartext_password: CleartextPassword,
    pub channel_binding: ChannelBinding,
}

/// Whether a login by SCRAM is bound to the server's certificate; as libpq's channel_binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    Disable,
    /// Where the server offers it over TLS.
    Prefer,
    /// No other login is made.
    Require,
}

/// Whether a server gets a password in clear that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CleartextPassword {
    /// Over TLS.
    Tls,
    Always,
    Never,
}

/// TLS towards Postgres. `ca_file` is there for the two verify modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub mode: ServerTlsMode,
    /// PEM; relative paths start at the settings file.
    pub ca_file: Option<String>,
    /// What is shown to a server that asks; PEM, the leaf first. Both or none.
    pub cert_file: Option<String>,
    /// PEM.
    pub key_file: Option<String>,
}

/// As libpq's sslmode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerTlsMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Database {
    /// Who logs in to the server for this client.
    pub fn server_user<'a>(&'a self, client: &'a str) -> &'a str {
        self.forced.as_ref().map_or(client, |forced| &forced.user)
    }
}

/// One database that clients may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// What clients ask for.
    pub name: String,
    /// Index into [`Settings::servers`].
    pub server: usize,
    /// Its name on the server.
    pub dbname: String,
    /// Who logs in to the server, whoever the client is.
    pub forced: Option<Forced>,
    /// What each server connection runs before clients do.
    pub connect_query: Option<String>,
    /// Server connections of all its pools together, 1 or more.
    pub max_connections: u32,
    /// Clients that ask for it; `None`: as many as there may be.
    pub max_clients: Option<u32>,
    /// Worker threads that share it, 1 or more; there may be fewer in the process.
    pub workers: u32,
    /// For each of its pools, one per user.
    pub pool: PoolSettings,
}

/// Someone who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub proof: Proof,
    /// What the pooler logs in to Postgres with; the client's password unless set apart.
    /// None: the server must let this user in without one.
    pub server_password: Option<Secret>,
    /// Valid beside [`Proof::Password`] while a password is being changed; tried at servers that
    /// refuse the other.
    pub previous_password: Option<Secret>,
    /// Valid beside [`Proof::ScramVerifier`], with the same salt and iterations.
    pub previous_verifier: Option<Secret>,
    /// Server connections as this user; `None`: as many as there may be.
    pub max_connections: Option<u32>,
    /// Clients that log in as this user; `None`: as many as there may be.
    pub max_clients: Option<u32>,
    /// What is different for this user's pools.
    pub pool: raw::Pool,
}

/// What a client's login is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    Password(Secret),
    /// `md5` and 32 hexadecimal digits, as in pg_authid.
    Md5(Secret),
    /// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as in pg_authid.
    ScramVerifier(Secret),
}
