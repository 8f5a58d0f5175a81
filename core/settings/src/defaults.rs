//! The value of every setting that a file may leave out. Each stands here and nowhere else.
//! Never holds a value that depends on another setting; the table names those.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::checked::{
    Channel, ChannelBinding, CleartextPassword, Isolation, ListenAuth, ListenTlsMode, Pinning,
    PoolMode, Sequences, ServerTlsMode,
};

pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
pub const LISTEN_PORT: u16 = 6432;
pub const LISTEN_AUTH: ListenAuth = ListenAuth::ScramSha256;
pub const LISTEN_TLS_MODE: ListenTlsMode = ListenTlsMode::Disable;
pub const RULE_TYPE: Channel = Channel::Host;
/// A role that may log in, whose password has not run out.
pub const AUTH_QUERY: &str = "SELECT rolname, \
    CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END \
    FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin";
pub const AUTH_CACHE_TIME: Duration = Duration::from_secs(10);
pub const CLEARTEXT_PASSWORD: CleartextPassword = CleartextPassword::Tls;
pub const CHANNEL_BINDING: ChannelBinding = ChannelBinding::Prefer;
pub const ADMIN_PORT: u16 = 9187;
pub const CONTROL_PORT: u16 = 9188;
pub const MAX_CLIENTS: u32 = 10_000;
/// As Postgres's `authentication_timeout`.
pub const CLIENT_LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
pub const CANCEL_WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than PgBouncer's 15 s: the pause grows, and after a failover it is what clients wait.
pub const SERVER_LOGIN_RETRY: Duration = Duration::from_secs(5);
pub const SERVER_CHECK_DELAY: Duration = Duration::from_secs(30);
/// An empty statement: it needs no snapshot, and a standby takes it too.
pub const SERVER_CHECK_QUERY: &str = ";";
pub const SERVER_PORT: u16 = 5432;
/// A backup and its stream of WAL, and another stream.
pub const MAX_REPLICATION_CONNECTIONS: u32 = 3;
pub const SERVER_TLS_MODE: ServerTlsMode = ServerTlsMode::Prefer;
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub const POOL_MODE: PoolMode = PoolMode::Transaction;
pub const POOL_SIZE: u32 = 5;
pub const POOL_MIN: u32 = 0;
pub const POOL_RESERVE: u32 = 0;
pub const RESERVE_TIMEOUT: Duration = Duration::from_secs(1);
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(120);
/// PgBouncer's.
pub const QUERY_WAIT_NOTIFY: Duration = Duration::from_secs(5);
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
pub const LIFETIME: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(600));
pub const PINNING: Pinning = Pinning::Pin;
pub const PIN_TIMEOUT: Duration = Duration::from_secs(60);
pub const SEQUENCES: Sequences = Sequences::Refuse;
pub const ISOLATION: Isolation = Isolation::Tracked;
pub const DATABASE_WORKERS: u32 = 1;
pub const PREPARED_STATEMENTS: u32 = 200;
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);
