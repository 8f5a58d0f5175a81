//! Who may log in, and who is asked about others.

use super::Fallback::{Required, Said};
use super::{CLIENTS_OR_NONE, CONNECTIONS_OR_NONE, Kind, Row, later, live, span};
use crate::defaults;

pub fn rows() -> Vec<Row> {
    vec![
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
    ]
}
