//! Where clients come in, and what they must show.

use super::Fallback::{Required, Said};
use super::{Kind, PORT, Row, TLS_MODES, later, live, restart, value};
use crate::defaults;

const LISTEN_AUTHS: Kind = Kind::Choice(&["trust", "password", "md5", "scram-sha-256", "cert"]);
const METHODS: Kind =
    Kind::Choice(&["trust", "reject", "password", "md5", "scram-sha-256", "cert"]);
const RULE_TYPES: Kind = Kind::Choice(&["host", "hostnossl", "hostssl"]);
const NAMES: Kind = Kind::Each(&Kind::Name);
const NETWORKS: Kind = Kind::Each(&Kind::Network);

pub fn rows() -> Vec<Row> {
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
    ]
}
