//! What a pool is, and the databases that have them.

use std::time::Duration;

use super::Fallback::{Required, Said};
use super::{
    CLIENTS_OR_NONE, CONNECTIONS, CONNECTIONS_OR_NONE, Kind, Row, WORKERS, later, lifetime, live,
    restart, span, value,
};
use crate::defaults;

const FUNCTIONS: Kind = Kind::Each(&Kind::Function);
const POOL_MODES: Kind = Kind::Choice(&["transaction", "session", "statement"]);
const PINNINGS: Kind = Kind::Choice(&["pin", "error", "off"]);
const SEQUENCES: Kind = Kind::Choice(&["refuse", "pin"]);
const ISOLATIONS: Kind = Kind::Choice(&["tracked", "strict"]);

pub fn rows() -> Vec<Row> {
    vec![
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
    ]
}
