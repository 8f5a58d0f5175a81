//! Raw settings to checked ones: fills in what was left out, resolves names, adds up.
//! Never stops at the first problem; what stands in for a missing value never leaves this room.

mod auth_query;
mod database;
mod listen;
mod server;
mod user;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde_yaml::Value;

use crate::shape::{Source, read};
use crate::{Admin, Control, Peer, Problem, Problems, Settings};
use crate::{Limits, Span, Upkeep, defaults, kind, raw};

/// Reads and checks a settings file and, where it names one, its users file.
///
/// # Errors
/// Every problem of both files.
pub fn parse(settings: &str, users: Option<&str>) -> Result<Settings, Problems> {
    let mut report = Report::default();
    let file: raw::File = read(settings, Source::Settings, &mut report.problems);
    let listed: raw::UsersFile =
        users.map(|text| read(text, Source::UsersFile, &mut report.problems)).unwrap_or_default();
    if let (Some(path), None) = (&file.users_file, users) {
        report.add("usersFile", kind::quoted(path), "a file that can be read", "bring its text");
    }
    let checked = resolve(file, listed, &mut report);
    if report.problems.is_empty() { Ok(checked) } else { Err(Problems(report.problems)) }
}

/// The path of the users file that a settings file names, even where the rest has problems.
pub fn users_file(settings: &str) -> Option<String> {
    let value: Value = serde_yaml::from_str(settings).ok()?;
    value.get("usersFile")?.as_str().map(str::to_owned)
}

/// The generation of a settings file, even where the rest has problems.
pub fn generation(settings: &str) -> Option<u64> {
    let value: Value = serde_yaml::from_str(settings).ok()?;
    value.get("generation")?.as_u64()
}

/// What a settings file says that may be held to each server, even where the rest has problems.
pub fn server_caps(settings: &str) -> BTreeMap<String, u32> {
    let value: Value = serde_yaml::from_str(settings).unwrap_or_default();
    let servers = value.get("servers").and_then(Value::as_sequence).into_iter().flatten();
    let cap = |server: &Value| {
        let name = server.get("name")?.as_str()?.to_owned();
        Some((name, u32::try_from(server.get("maxConnections")?.as_u64()?).ok()?))
    };
    servers.filter_map(cap).collect()
}

fn resolve(file: raw::File, listed: raw::UsersFile, report: &mut Report) -> Settings {
    let (limits, upkeep, ignored_parameters) = (limits(&file), upkeep(&file), ignored(&file));
    let servers = server::check(file.servers.unwrap_or_default(), report);
    let pool = file.pool.unwrap_or_default();
    let databases = file.databases.unwrap_or_default();
    let databases = database::check(databases, &pool, &servers, &limits, report);
    Settings {
        listen: listen::check(file.listen.unwrap_or_default(), report),
        admin: admin(file.admin.unwrap_or_default()),
        control: file.control.map(|section| control(section, report)),
        peer_id: file.peer_id,
        peers: peers(file.peers.unwrap_or_default(), report),
        workers: file.workers,
        max_clients: file.max_clients.unwrap_or(defaults::MAX_CLIENTS),
        databases,
        users: user::check(file.users, listed.users, &limits, report),
        limits,
        upkeep,
        ignored_parameters,
        auth_query: file.auth_query.map(|section| auth_query::check(section, report)),
        servers,
        prepared_statements: file
            .prepared_statements
            .and_then(|statements| statements.max)
            .unwrap_or(defaults::PREPARED_STATEMENTS),
        drain_timeout: file
            .drain
            .and_then(|drain| drain.timeout)
            .map_or(defaults::DRAIN_TIMEOUT, |span| span.0),
        generation: file.generation,
        users_generation: listed.generation,
    }
}

fn limits(file: &raw::File) -> Limits {
    let span = |span: Option<Span>, fallback: Duration| span.map_or(fallback, |span| span.0);
    Limits {
        user_connections: limit(file.max_user_connections),
        user_clients: limit(file.max_user_client_connections),
        database_clients: limit(file.max_db_client_connections),
        login_timeout: span(file.client_login_timeout, defaults::CLIENT_LOGIN_TIMEOUT),
        cancel_timeout: span(file.cancel_wait_timeout, defaults::CANCEL_WAIT_TIMEOUT),
    }
}

fn upkeep(file: &raw::File) -> Upkeep {
    let span = |span: Option<Span>, fallback: Duration| span.map_or(fallback, |span| span.0);
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let check = file.server_check_query.as_deref().unwrap_or(defaults::SERVER_CHECK_QUERY);
    Upkeep {
        login_retry: span(file.server_login_retry, defaults::SERVER_LOGIN_RETRY),
        check_delay: span(file.server_check_delay, defaults::SERVER_CHECK_DELAY),
        check_query: some(check),
        reset_query: file.server_reset_query.as_deref().and_then(some),
        fast_close: file.server_fast_close.unwrap_or_default(),
    }
}

fn ignored(file: &raw::File) -> Vec<String> {
    let names = file.ignore_startup_parameters.as_deref().unwrap_or_default().split(',');
    let names = names.map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// 0 is no limit.
fn limit(number: Option<u32>) -> Option<u32> {
    number.filter(|number| *number > 0)
}

fn admin(admin: raw::Admin) -> Admin {
    Admin {
        address: address(admin.address.as_deref()),
        port: admin.port.unwrap_or(defaults::ADMIN_PORT),
    }
}

fn control(control: raw::Control, report: &mut Report) -> Control {
    let raw::Control { address: text, port, cert_file, key_file, ca_file } = control;
    Control {
        address: address(text.as_deref()),
        port: port.unwrap_or(defaults::CONTROL_PORT),
        cert_file: report.required(
            "control.certFile",
            cert_file.as_ref(),
            "the certificate's file",
        ),
        key_file: report.required("control.keyFile", key_file.as_ref(), "the private key's file"),
        ca_file: report.required("control.caFile", ca_file.as_ref(), "the authority's file"),
    }
}

fn peers(listed: Vec<raw::Peer>, report: &mut Report) -> BTreeMap<u32, Peer> {
    let mut peers = BTreeMap::new();
    for (index, raw::Peer { id, host, port }) in listed.into_iter().enumerate() {
        let path = format!("peers[{index}]");
        let id = report.required(&format!("{path}.id"), id.as_ref(), "the pooler's id");
        let host = report.required(&format!("{path}.host"), host.as_ref(), "where it listens");
        let port = port.unwrap_or(defaults::LISTEN_PORT);
        if peers.insert(id, Peer { host, port }).is_some() {
            let found = format!("{id} a second time");
            report.add(&format!("{path}.id"), found, "an id of its own", "renumber one of them");
        }
    }
    peers
}

/// The table has let nothing but IP addresses through.
fn address(text: Option<&str>) -> IpAddr {
    text.and_then(|text| text.parse().ok()).unwrap_or(defaults::ADDRESS)
}

/// The problems so far.
#[derive(Default)]
struct Report {
    problems: Vec<Problem>,
}

impl Report {
    fn add(&mut self, path: &str, found: impl Into<String>, expected: &str, remedy: &str) {
        self.problems.push(Problem::new(path, found, expected, remedy));
    }

    /// The value, or its type's empty one together with a problem; what the walk has already
    /// taken out is not reported again.
    fn required<T: Clone + Default>(&mut self, path: &str, value: Option<&T>, expected: &str) -> T {
        if value.is_none() && !self.has_reported(path) {
            self.add(path, "nothing", expected, "add it");
        }
        value.cloned().unwrap_or_default()
    }

    /// Whether there is a problem with the value at `path` or with a section around it.
    fn has_reported(&self, path: &str) -> bool {
        let around = |problem: &Problem| {
            path.strip_prefix(&problem.path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.problems.iter().any(|problem| around(problem) || problem.path == "(settings file)")
    }

    /// Reports a name that is `taken` already; an empty one stands for a problem told before.
    fn unique(&mut self, path: &str, name: &str, taken: bool) {
        if taken && !name.is_empty() {
            let found = format!("{} a second time", kind::quoted(name));
            self.add(path, found, "a name of its own", "rename or remove one of them");
        }
    }
}
