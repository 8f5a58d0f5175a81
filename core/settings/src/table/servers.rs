//! Where the servers are, and how they are logged in to.

use super::Fallback::{Required, Said};
use super::{
    CONNECTIONS, CONNECTIONS_OR_NONE, Kind, PORT, Row, TLS_MODES, later, live, span, value,
};
use crate::defaults;

const CLEARTEXT: Kind = Kind::Choice(&["tls", "always", "never"]);
const BINDINGS: Kind = Kind::Choice(&["disable", "prefer", "require"]);

pub fn rows() -> Vec<Row> {
    vec![
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
    ]
}
