//! Every setting, one row each: the walk over the YAML, the reference page and the answer to
//! "does this need a restart" are read from here.
//! Never holds a default's value: those stand in [`crate::defaults`].

use std::time::Duration;

use serde::Serialize;

use crate::{Lifetime, Span, defaults};

/// One setting.
#[derive(Debug, Clone)]
pub struct Row {
    /// `servers[].tls.mode`; `[]` marks a list.
    pub path: &'static str,
    pub kind: Kind,
    pub fallback: Fallback,
    /// Whether a running pooler takes a changed value over.
    pub reloadable: bool,
    /// The first [`crate::language`] that has it.
    pub since: u32,
    pub doc: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number from the first to the second, counting the third.
    Whole(u64, u64, &'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IP address to listen on.
    Address,
    /// A host name or IP address, without port.
    Host,
    /// A Postgres identifier: 1 to 63 bytes.
    Name,
    /// A path of a file.
    File,
    /// A duration; the flag says whether `0s` is one of the values.
    Span(bool),
    /// A range of durations.
    Lifetime,
    /// `true` or `false`.
    Flag,
    /// SQL, perhaps empty.
    Sql,
    /// Names with commas between them.
    Names,
    /// A function's name, perhaps behind a schema and a dot.
    Function,
    /// A password; never shown.
    Secret,
    /// A SCRAM-SHA-256 verifier as in pg_authid; never shown.
    Verifier,
    /// A range of IP addresses.
    Network,
    /// A text of at most so many bytes.
    Text(usize),
    /// A list of one or more of a kind.
    Each(&'static Kind),
    /// A section with the fields of another section.
    SameAs(&'static str),
}

/// What holds where a file leaves the setting out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// The file must say it.
    Required,
    /// This value, as the file would write it.
    Value(String),
    /// What these words say.
    Said(&'static str),
}

const CONTROL_FILE: Fallback = Fallback::Said("none; needed where there is a `control` section");
const PORT: Kind = Kind::Whole(1, 65_535, "port");
const CONNECTIONS: Kind = Kind::Whole(1, 100_000, "connections");
const CONNECTIONS_OR_NONE: Kind = Kind::Whole(0, 100_000, "connections");
const CLIENTS_OR_NONE: Kind = Kind::Whole(0, 1_000_000, "clients");
const PEER: Kind = Kind::Whole(0, 1023, "number");
const WORKERS: Kind = Kind::Whole(1, 256, "workers");
const LISTEN_AUTHS: Kind = Kind::Choice(&["trust", "password", "md5", "scram-sha-256", "cert"]);
const METHODS: Kind =
    Kind::Choice(&["trust", "reject", "password", "md5", "scram-sha-256", "cert"]);
const RULE_TYPES: Kind = Kind::Choice(&["host", "hostnossl", "hostssl"]);
const CLEARTEXT: Kind = Kind::Choice(&["tls", "always", "never"]);
const BINDINGS: Kind = Kind::Choice(&["disable", "prefer", "require"]);
const NAMES: Kind = Kind::Each(&Kind::Name);
const FUNCTIONS: Kind = Kind::Each(&Kind::Function);
const NETWORKS: Kind = Kind::Each(&Kind::Network);
const TLS_MODES: Kind =
    Kind::Choice(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]);
const POOL_MODES: Kind = Kind::Choice(&["transaction", "session", "statement"]);
const PINNINGS: Kind = Kind::Choice(&["pin", "error", "off"]);
const SEQUENCES: Kind = Kind::Choice(&["refuse", "pin"]);
const ISOLATIONS: Kind = Kind::Choice(&["tracked", "strict"]);

/// All rows, in the order of the file.
pub fn rows() -> Vec<Row> {
    use Fallback::{Required, Said};
    vec![
        restart("listen.address", Kind::Address, value(defaults::ADDRESS), "Address for clients."),
        restart("listen.port", PORT, value(defaults::LISTEN_PORT), "Port for clients."),
        live(
            "listen.auth",
            LISTEN_AUTHS,
            value(defaults::LISTEN_AUTH),
            "How clients prove who they are, where there are no rules: `trust` believes everybody who names a known user, so let only hosts reach the port that you trust; `scram-sha-256` asks for proof of the password, bound to the TLS channel where the client can; `md5` asks for the older proof, `password` for the password itself, and only by TLS; `cert` for a certificate with the user's name.",
        ),
        later(
            "listen.rules[].type",
            RULE_TYPES,
            Said("`host`"),
            "Which connections the rule is for: all (`host`), those with TLS (`hostssl`), those without (`hostnossl`). The first rule that fits a connection holds; one that fits none is refused.",
        ),
        later(
            "listen.rules[].databases",
            NAMES,
            Said("`[all]`"),
            "Databases that the rule is for, by name; `all`; `sameuser`: the one with the user's name; `replication`: physical replication, which `all` does not name.",
        ),
        later(
            "listen.rules[].users",
            NAMES,
            Said("`[all]`"),
            "Users that the rule is for, by name, or `all`.",
        ),
        later(
            "listen.rules[].addresses",
            NETWORKS,
            Said("all"),
            "Where clients come from: addresses and ranges such as `10.0.0.0/8`. Behind a proxy of `listen.proxyProtocol` these are the addresses that it tells.",
        ),
        later(
            "listen.rules[].method",
            METHODS,
            Required,
            "How who fits proves who they are, as `listen.auth`; `reject` refuses them. `password` is taken without TLS only where the rule's type is `hostnossl`.",
        ),
        later(
            "listen.rules[].map",
            Kind::Name,
            Said("none: the certificate must have the user's name"),
            "For `cert`: the map that says whom a certificate stands for.",
        ),
        later(
            "listen.maps[].name",
            Kind::Name,
            Required,
            "The map that the line belongs to; lines of one name are one map.",
        ),
        later(
            "listen.maps[].certificate",
            Kind::Text(256),
            Required,
            "A certificate's common name; one `*` in it stands for any text.",
        ),
        later(
            "listen.maps[].user",
            Kind::Name,
            Required,
            "The user that such a certificate stands for, in which `*` is that text; or `all`.",
        ),
        live(
            "listen.tls.mode",
            TLS_MODES,
            value(defaults::LISTEN_TLS_MODE),
            "TLS towards clients: `disable` answers a client's wish for TLS with no, `allow` and `prefer` serve both, `require` refuses clients without TLS, `verify-ca` those that show no certificate of an authority in `caFile`, and `verify-full` those whose certificate does not have the user's name as its common name.",
        ),
        live(
            "listen.tls.certFile",
            Kind::File,
            Said("none; needed unless the mode is `disable`"),
            "Certificate chain for clients, PEM, the leaf first. Relative to the settings file.",
        ),
        live(
            "listen.tls.keyFile",
            Kind::File,
            Said("none; needed unless the mode is `disable`"),
            "Private key of the certificate, PEM. Relative to the settings file.",
        ),
        Row {
            since: 2,
            ..live(
                "listen.tls.caFile",
                Kind::File,
                Said("none; needed for `verify-ca` and `verify-full`"),
                "Authorities that clients' certificates must lead to, PEM. Clients are asked for one in every mode but `disable` where this is set. Relative to the settings file.",
            )
        },
        later(
            "listen.proxyProtocol.from",
            NETWORKS,
            Said("none"),
            "Load balancers that begin each connection with a header of the PROXY protocol, version 2, by their addresses. From there the header is required, from elsewhere it is refused.",
        ),
        restart(
            "admin.address",
            Kind::Address,
            value(defaults::ADDRESS),
            "Address for `/healthz`, `/readyz` and `/metrics`.",
        ),
        restart(
            "admin.port",
            PORT,
            value(defaults::ADMIN_PORT),
            "Port for `/healthz`, `/readyz` and `/metrics`.",
        ),
        restart(
            "control.address",
            Kind::Address,
            value(defaults::ADDRESS),
            "Address of the control port, where the operator pushes settings and grants connections. Without a `control` section no such port is opened.",
        ),
        restart("control.port", PORT, value(defaults::CONTROL_PORT), "The control port."),
        live(
            "control.certFile",
            Kind::File,
            CONTROL_FILE,
            "Certificate chain of the control port, PEM, the leaf first. Relative to the settings file.",
        ),
        live(
            "control.keyFile",
            Kind::File,
            CONTROL_FILE,
            "Private key of the certificate, PEM. Relative to the settings file.",
        ),
        live(
            "control.caFile",
            Kind::File,
            CONTROL_FILE,
            "Authority that the operator's certificate must lead to, PEM; several while it changes. Relative to the settings file.",
        ),
        later(
            "peerId",
            PEER,
            Said("the number at the end of the host's name; needed only where there are `peers`"),
            "This pooler's id among poolers behind one address: it is part of the cancel keys that clients get.",
        ),
        later(
            "peers[].id",
            PEER,
            Required,
            "A pooler's id. A cancel request that came here with its key is sent on to it.",
        ),
        later("peers[].host", Kind::Host, Required, "Where that pooler is. It may list itself."),
        later("peers[].port", PORT, Said("6432"), "The port where it takes clients."),
        restart(
            "workers",
            WORKERS,
            Said("the CPUs that the process may use"),
            "Threads that serve clients. Each database is at home on one of them; the connections that the process may hold are lent to whoever needs them.",
        ),
        live(
            "maxClients",
            Kind::Whole(1, 1_000_000, "clients"),
            value(defaults::MAX_CLIENTS),
            "Clients that may be connected at once; the next one is told `53300`.",
        ),
        later(
            "maxUserConnections",
            CONNECTIONS_OR_NONE,
            value(0),
            "Server connections of one user, in all databases and on all servers; who waits for one at the limit waits as in a full pool. `0`: no limit but the others.",
        ),
        later(
            "maxDbClientConnections",
            CLIENTS_OR_NONE,
            value(0),
            "Clients of one database, whoever they are; the next one is told `53300`. `0`: no limit but `maxClients`.",
        ),
        later(
            "maxUserClientConnections",
            CLIENTS_OR_NONE,
            value(0),
            "Clients of one user, in all databases; the next one is told `53300`. `0`: no limit but `maxClients`.",
        ),
        later(
            "clientLoginTimeout",
            Kind::Span(false),
            span(defaults::CLIENT_LOGIN_TIMEOUT),
            "How long a client may take from its connect to the end of its login, without the wait for a server.",
        ),
        later(
            "cancelWaitTimeout",
            Kind::Span(false),
            span(defaults::CANCEL_WAIT_TIMEOUT),
            "How long a cancel request may take at the server. While it may still hit, nobody else gets the connection that it is for; after this time that is closed.",
        ),
        later(
            "ignoreStartupParameters",
            Kind::Names,
            Said("none"),
            "Startup parameters that are dropped, with commas between them; `options` drops all that stand in it. All others are set on the server.",
        ),
        later(
            "serverLoginRetry",
            Kind::Span(false),
            span(defaults::SERVER_LOGIN_RETRY),
            "The longest pause before a failed login at a server is tried again: the first is 100 ms, and each failure doubles it.",
        ),
        later(
            "serverCheckDelay",
            Kind::Span(false),
            span(defaults::SERVER_CHECK_DELAY),
            "A server connection that nobody has used for so long, or up to a quarter longer, is asked `serverCheckQuery` before a client gets it.",
        ),
        later(
            "serverCheckQuery",
            Kind::Sql,
            value(defaults::SERVER_CHECK_QUERY),
            "What it is asked; it is closed unless it answers within 5 s. `;` costs the server nothing; an empty text asks nothing.",
        ),
        later(
            "serverResetQuery",
            Kind::Sql,
            Said("none"),
            "What a server connection runs behind each `DISCARD ALL`, never in its place.",
        ),
        later(
            "serverFastClose",
            Kind::Flag,
            value(false),
            "When a server's host, port or TLS has changed: whether clients that keep a connection to it, in session mode or pinned, are sent away at the end of their transactions, or go on with it until they leave. Other clients change at the end of their transactions in any case.",
        ),
        live(
            "servers[].name",
            Kind::Name,
            Required,
            "What the databases call this server. Unique.",
        ),
        live(
            "servers[].host",
            Kind::Host,
            Required,
            "Host name or IP address of the Postgres instance.",
        ),
        live(
            "servers[].port",
            PORT,
            value(defaults::SERVER_PORT),
            "Port of the Postgres instance.",
        ),
        live(
            "servers[].maxConnections",
            CONNECTIONS,
            Required,
            "Connections that this process may hold to the server, all databases together. With a `control` section: those that it begins with; the operator may grant others.",
        ),
        Row {
            since: 2,
            ..live(
                "servers[].maxReplicationConnections",
                CONNECTIONS_OR_NONE,
                value(defaults::MAX_REPLICATION_CONNECTIONS),
                "Replication connections that this process may hold to the server, beside `maxConnections`: since version 12 PostgreSQL counts them by its `max_wal_senders`. They are not pooled.",
            )
        },
        live(
            "servers[].connectTimeout",
            Kind::Span(false),
            span(defaults::CONNECT_TIMEOUT),
            "From dialling to the end of the login.",
        ),
        live(
            "servers[].tls.mode",
            TLS_MODES,
            value(defaults::SERVER_TLS_MODE),
            "TLS towards Postgres, as libpq's `sslmode`.",
        ),
        live(
            "servers[].tls.caFile",
            Kind::File,
            Said("none; needed for `verify-ca` and `verify-full`"),
            "Certificates of the authorities to trust, PEM. Relative to the settings file.",
        ),
        later(
            "servers[].tls.certFile",
            Kind::File,
            Said("none"),
            "Certificate chain that is shown to a Postgres that asks for one, PEM, the leaf first. Relative to the settings file.",
        ),
        later(
            "servers[].tls.keyFile",
            Kind::File,
            Said("none; needed beside `certFile`"),
            "Private key of that certificate, PEM. Relative to the settings file.",
        ),
        later(
            "servers[].cleartextPassword",
            CLEARTEXT,
            value(defaults::CLEARTEXT_PASSWORD),
            "When a Postgres that asks for a password in clear gets it: over `tls`, `always`, `never`.",
        ),
        later(
            "servers[].channelBinding",
            BINDINGS,
            value(defaults::CHANNEL_BINDING),
            "Whether logins by SCRAM are bound to the certificate that Postgres shows, as libpq's `channel_binding`: `prefer` where it offers that over TLS; `require` makes no other login, so that who has another certificate cannot relay one, whether it is verified or not; `disable` never.",
        ),
        live(
            "pool.mode",
            POOL_MODES,
            value(defaults::POOL_MODE),
            "When a client gives its server connection back: after each `transaction`, when its `session` ends, or after each `statement`, a simple query or a pipeline up to its Sync; there a client that leaves a transaction block open is told `0A000` and closed, and the block is rolled back.",
        ),
        live(
            "pool.size",
            CONNECTIONS,
            value(defaults::POOL_SIZE),
            "Server connections of one pool, that is of one (database, user).",
        ),
        live(
            "pool.min",
            CONNECTIONS_OR_NONE,
            value(defaults::POOL_MIN),
            "Connections kept open once the pool has been used. At most `size`.",
        ),
        live(
            "pool.reserve",
            CONNECTIONS_OR_NONE,
            value(defaults::POOL_RESERVE),
            "Connections beyond `size`, for clients that have waited longer than `reserveTimeout`.",
        ),
        live(
            "pool.reserveTimeout",
            Kind::Span(true),
            span(defaults::RESERVE_TIMEOUT),
            "How long a client waits before the reserve is opened to it.",
        ),
        live(
            "pool.waitTimeout",
            Kind::Span(true),
            span(defaults::WAIT_TIMEOUT),
            "How long a client waits for a server connection before it is refused; `0s` waits for ever.",
        ),
        later(
            "pool.queryWaitNotify",
            Kind::Span(true),
            span(defaults::QUERY_WAIT_NOTIFY),
            "A client that has waited so long for a server connection gets a NOTICE that it is queued; `0s` sends none. Looked at every 100 ms.",
        ),
        later(
            "pool.queryTimeout",
            Kind::Span(true),
            span(Duration::ZERO),
            "A client whose request a server has worked on for longer is told `57014` and closed, and the request is cancelled; `0s`: never. Looked at every 100 ms, as the three that follow.",
        ),
        later(
            "pool.idleTransactionTimeout",
            Kind::Span(true),
            span(Duration::ZERO),
            "A client that has sent nothing for longer inside a transaction is told `25P03` and closed, and the transaction is rolled back; `0s`: never.",
        ),
        later(
            "pool.transactionTimeout",
            Kind::Span(true),
            span(Duration::ZERO),
            "A client whose transaction has taken longer is told `25P04` and closed, what runs is cancelled, and the transaction is rolled back; `0s`: never.",
        ),
        later(
            "pool.clientIdleTimeout",
            Kind::Span(true),
            span(Duration::ZERO),
            "A client that has sent nothing for longer outside a transaction is told `57P05` and closed; `0s`: never.",
        ),
        live(
            "pool.idleTimeout",
            Kind::Span(false),
            span(defaults::IDLE_TIMEOUT),
            "A server connection idle for longer is closed, though not below `min`.",
        ),
        live(
            "pool.lifetime",
            Kind::Lifetime,
            lifetime(),
            "Age at which a server connection is replaced; each connection draws its own from the range.",
        ),
        Row {
            since: 3,
            ..live(
                "pool.pinning",
                PINNINGS,
                value(defaults::PINNING),
                "In transaction mode, what becomes of a client whose session has what cannot follow it to another server connection (session advisory locks, `LISTEN`, temporary tables, cursors `WITH HOLD`, `PREPARE`): `pin` lets it keep its connection until the server says that nothing of that is left, at most `size` − 1 clients of a pool at once, one in a pool of one; `error` refuses such statements with `0A000`, and ends clients where only the server could tell; `off` loses all session state at the end of the transaction, settings too.",
            )
        },
        Row {
            since: 3,
            ..live(
                "pool.pinTimeout",
                Kind::Span(true),
                span(defaults::PIN_TIMEOUT),
                "How long a pinned client may be idle in a pool of one connection, which nobody else can use meanwhile; then its session ends with `57P05`. `0s`: for ever.",
            )
        },
        Row {
            since: 3,
            ..live(
                "pool.sequences",
                SEQUENCES,
                value(defaults::SEQUENCES),
                "In transaction mode, `refuse` refuses `currval` and `lastval` with `55000` unless their transaction may have called `nextval`; with `pin` a client that may have called it, by an `INSERT` for instance, keeps its server connection until it leaves, within the limits of `pinning`.",
            )
        },
        Row {
            since: 3,
            ..live(
                "pool.isolation",
                ISOLATIONS,
                value(defaults::ISOLATION),
                "In transaction mode, what is done to a server connection that goes from one client to another: `tracked` undoes what the first may have left, as far as its text shows; `strict` runs `DISCARD ALL` in any case.",
            )
        },
        Row {
            since: 3,
            ..live(
                "pool.harmlessFunctions",
                FUNCTIONS,
                Said("none"),
                "Functions of your own, as `name` or `schema.name`, that leave a session as it is: no setting, lock, cursor, statement, channel, temporary object or sequence. They go beside PostgreSQL's own, and a transaction that calls no others costs its server connection no question. `name` stands for calls without a schema, `schema.name` for calls with it. At most 200. They hold for what is prepared after a change.",
            )
        },
        live(
            "databases[].name",
            Kind::Name,
            Required,
            "What clients ask for. Unique. `'*'` stands for every name that is not listed; `maxConnections` and the pools are then each name's own.",
        ),
        live(
            "databases[].server",
            Kind::Name,
            Said("the only server"),
            "Name of the server that holds it.",
        ),
        live("databases[].dbname", Kind::Name, Said("`name`"), "Its name on the server."),
        later(
            "databases[].user",
            Kind::Name,
            Said("the client's"),
            "User that the pooler logs in to the server as, whoever the client is: all clients of the database share one pool, and have that user's rights.",
        ),
        later(
            "databases[].password",
            Kind::Secret,
            Said("as for the same name in `users`"),
            "Password of `user` at the server.",
        ),
        later(
            "databases[].connectQuery",
            Kind::Sql,
            Said("none"),
            "What each new server connection runs before a client gets it, and again after each `DISCARD ALL`. A connection that fails at it is not used.",
        ),
        live(
            "databases[].maxConnections",
            CONNECTIONS,
            Said("the server's"),
            "Server connections of all its pools together. Where the operator grants connections, it follows the server's.",
        ),
        later(
            "databases[].maxDbClientConnections",
            CLIENTS_OR_NONE,
            Said("`maxDbClientConnections`"),
            "The same for this database.",
        ),
        restart(
            "databases[].workers",
            WORKERS,
            value(defaults::DATABASE_WORKERS),
            "Workers that share the database, for one that keeps more than one CPU busy. Its limits hold for all of them together: a pool's `size`, `min` and `reserve` are divided among them, connections are lent.",
        ),
        live(
            "databases[].pool",
            Kind::SameAs("pool"),
            Said("`pool`, field by field"),
            "What is different for the pools of this database.",
        ),
        live(
            "users[].name",
            Kind::Name,
            Required,
            "User name, at the pooler and at the server. Unique over this file and the users file.",
        ),
        live(
            "users[].password",
            Kind::Secret,
            Said("none; either this or `scramVerifier`"),
            "Password that the client proves and that the pooler logs in to Postgres with. In a form in which Postgres keeps it, `md5…` or `SCRAM-SHA-256$…`, it is taken for that, as in PgBouncer's `userlist.txt`.",
        ),
        live(
            "users[].scramVerifier",
            Kind::Verifier,
            Said("none; either this or `password`"),
            "Verifier that the client's login is checked against: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as in `pg_authid`. Where it is the server's own, clients' logins give what the pooler logs in with.",
        ),
        live(
            "users[].serverPassword",
            Kind::Secret,
            Said("`password`; with a verifier, what a client's login gives"),
            "Password that the pooler logs in to Postgres with, where it is not the client's.",
        ),
        live(
            "users[].previousPassword",
            Kind::Secret,
            Said("none; only beside `password`"),
            "A second password while one is being changed: clients may prove either, and a Postgres that refuses the new one is asked with this one.",
        ),
        later(
            "users[].maxUserConnections",
            CONNECTIONS_OR_NONE,
            Said("`maxUserConnections`"),
            "The same for this user, as the pooler logs in to servers.",
        ),
        later(
            "users[].maxUserClientConnections",
            CLIENTS_OR_NONE,
            Said("`maxUserClientConnections`"),
            "The same for this user.",
        ),
        later(
            "users[].pool",
            Kind::SameAs("pool"),
            Said("the database's, field by field"),
            "What is different for the pools of this user, whatever the database.",
        ),
        later(
            "users[].previousScramVerifier",
            Kind::Verifier,
            Said("none; only beside `scramVerifier`"),
            "A second verifier while a password is being changed, with the salt and iterations of the first: clients may prove either.",
        ),
        later(
            "authQuery.user",
            Kind::Name,
            Said("none; needed where there is an `authQuery` section"),
            "Who asks each server for users that are not listed, over one connection for each server, which counts like any other. Without the section only listed users may log in.",
        ),
        later(
            "authQuery.password",
            Kind::Secret,
            Said("none: the server must ask for none"),
            "That user's password.",
        ),
        later(
            "authQuery.dbname",
            Kind::Name,
            Said("the first of the server's databases"),
            "The database, by its name at the server, in which the query runs.",
        ),
        later(
            "authQuery.query",
            Kind::Text(8192),
            Said("the one in [authentication](authentication.md), over `pg_authid`"),
            "The query. `$1` is the name that the client gives; it gives that name, as it is, and the secret: a verifier, an `md5…` hash or a password, or NULL for who may not log in. It runs with `search_path` `pg_catalog, pg_temp`, so name schemas.",
        ),
        later(
            "authQuery.cacheTime",
            Kind::Span(true),
            span(defaults::AUTH_CACHE_TIME),
            "How long an answer holds; `0s` asks at each login. A login that fails by it asks anew.",
        ),
        live(
            "usersFile",
            Kind::File,
            Said("none"),
            "A second file that holds just `users:`. Relative to the settings file.",
        ),
        live(
            "preparedStatements.max",
            Kind::Whole(1, 100_000, "statements"),
            value(defaults::PREPARED_STATEMENTS),
            "Prepared statements kept on one server connection.",
        ),
        live(
            "drain.timeout",
            Kind::Span(true),
            span(defaults::DRAIN_TIMEOUT),
            "How long clients may finish after SIGTERM.",
        ),
        live(
            "generation",
            Kind::Whole(0, u64::MAX, "generation"),
            Said("none"),
            "Number of this version of the file; shown in metrics and logs. A users file may have one too: a running pooler takes the two over only when they are equal.",
        ),
    ]
}

fn live(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Row {
    Row { path, kind, fallback, reloadable: true, since: 1, doc }
}

/// As [`live`], since the third language.
fn later(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Row {
    Row { since: 3, ..live(path, kind, fallback, doc) }
}

fn restart(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Row {
    Row { path, kind, fallback, reloadable: false, since: 1, doc }
}

/// A default in the file's own notation.
fn value(default: impl Serialize) -> Fallback {
    let text = serde_yaml::to_string(&default).expect("a plain value can be written as YAML");
    Fallback::Value(text.trim_end().to_owned())
}

fn span(default: Duration) -> Fallback {
    value(Span(default))
}

fn lifetime() -> Fallback {
    let (from, to) = defaults::LIFETIME;
    value(Lifetime { from: Span(from), to: Span(to) })
}
