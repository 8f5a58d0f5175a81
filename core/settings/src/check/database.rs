//! Checks the list of databases and the settings of their pools.
//! Never looks at users: which pools come to be is known only when they log in.

use std::collections::BTreeMap;

use super::Report;
use crate::{Database, PoolSettings, Server, defaults, kind, raw};
use crate::{Forced, Limits, Secret};

pub(super) fn check(
    databases: Vec<raw::Database>,
    pool: &raw::Pool,
    servers: &[Server],
    limits: &Limits,
    report: &mut Report,
) -> BTreeMap<String, Database> {
    if databases.is_empty() && !report.has_reported("databases") {
        report.add("databases", "nothing", "one database or more", "add what clients ask for");
    }
    check_pool(pool, &raw::Pool::default(), "pool", report);
    let mut checked = BTreeMap::new();
    for (index, database) in databases.into_iter().enumerate() {
        let path = format!("databases[{index}]");
        let database = one(database, &path, pool, (servers, limits), report);
        let taken = checked.contains_key(&database.name);
        report.unique(&format!("{path}.name"), &database.name, taken);
        checked.insert(database.name.clone(), database);
    }
    checked
}

fn one(
    database: raw::Database,
    path: &str,
    pool: &raw::Pool,
    (servers, limits): (&[Server], &Limits),
    report: &mut Report,
) -> Database {
    let name = report.required(&format!("{path}.name"), database.name.as_ref(), "a name");
    let server = server(database.server.as_deref(), path, servers, report);
    let own = database.pool.unwrap_or_default();
    check_pool(&own, pool, &format!("{path}.pool"), report);
    Database {
        server,
        forced: forced(database.user, database.password, path, report),
        connect_query: database.connect_query.filter(|sql| !sql.is_empty()),
        dbname: database.dbname.unwrap_or_else(|| name.clone()),
        max_connections: database
            .max_connections
            .or_else(|| servers.get(server).map(|server| server.max_connections))
            .unwrap_or_default(),
        max_clients: limit(database.max_db_client_connections, limits.database_clients),
        workers: database.workers.unwrap_or(defaults::DATABASE_WORKERS),
        pool: PoolSettings::default().with(pool).with(&own),
        name,
    }
}

fn forced(
    user: Option<String>,
    password: Option<Secret>,
    path: &str,
    report: &mut Report,
) -> Option<Forced> {
    if user.is_none() && password.is_some() && !report.has_reported(&format!("{path}.user")) {
        let path = format!("{path}.password");
        report.add(&path, "a password without a user", "it beside user", "name the user too");
    }
    user.map(|user| Forced { user, password })
}

/// What an item says, 0 for no limit, or else what holds for all.
pub(super) fn limit(own: Option<u32>, all: Option<u32>) -> Option<u32> {
    own.map_or(all, |own| Some(own).filter(|own| *own > 0))
}

/// The index of the named server, or of the only one.
fn server(name: Option<&str>, path: &str, servers: &[Server], report: &mut Report) -> usize {
    let path = format!("{path}.server");
    let known: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    let expected = format!("one of {}", known.join(", "));
    match name {
        Some(name) => known.iter().position(|other| *other == name).unwrap_or_else(|| {
            let remedy = match kind::closest(name, &known) {
                Some(near) => format!("did you mean {near}?"),
                None => "add it to servers or name one of them".to_owned(),
            };
            report.add(&path, kind::quoted(name), &expected, &remedy);
            0
        }),
        None => {
            if known.len() > 1 && !report.has_reported(&path) {
                report.add(&path, "nothing", &expected, "name the server that holds it");
            }
            0
        }
    }
}

/// How many functions a pool may call harmless.
const FUNCTIONS_LIMIT: usize = 200;

pub(super) fn few_functions(own: &raw::Pool, path: &str, report: &mut Report) {
    let count = own.harmless_functions.as_ref().map_or(0, Vec::len);
    if count > FUNCTIONS_LIMIT {
        let path = format!("{path}.harmlessFunctions");
        let expected = format!("at most {FUNCTIONS_LIMIT}");
        report.add(&path, format!("{count} functions"), &expected, "name those called most");
    }
}

fn check_pool(own: &raw::Pool, base: &raw::Pool, path: &str, report: &mut Report) {
    few_functions(own, path, report);
    min_within_size(own, base, path, report);
}

/// Reports `min` above `size` where the section itself sets one of the two.
pub(super) fn min_within_size(own: &raw::Pool, base: &raw::Pool, path: &str, report: &mut Report) {
    let size = own.size.or(base.size).unwrap_or(defaults::POOL_SIZE);
    let min = own.min.or(base.min).unwrap_or(defaults::POOL_MIN);
    if min > size && (own.min.is_some() || own.size.is_some()) {
        let expected = format!("at most the pool's size, {size}");
        report.add(&format!("{path}.min"), min.to_string(), &expected, "lower min or raise size");
    }
}
