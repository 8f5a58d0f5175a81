//! What holds for the process: its ports, its workers, its limits, its end.

use super::Fallback::{Required, Said};
use super::{
    CLIENTS_OR_NONE, CONNECTIONS_OR_NONE, Fallback, Kind, PORT, Row, WORKERS, later, live, restart,
    span, value,
};
use crate::defaults;

const CONTROL_FILE: Fallback = Said("none; needed where there is a `control` section");
const PEER: Kind = Kind::Whole(0, 1023, "number");

pub fn rows() -> Vec<Row> {
    vec![
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
    ]
}

/// Those that stand last in the file.
pub fn last_rows() -> Vec<Row> {
    vec![
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
