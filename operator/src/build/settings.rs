//! The pooler's settings for one pod, written with the pooler's own types and read back by
//! its own check before anything is applied.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use poolwright_budget::Plan;
use poolwright_crds::{ChannelBinding, TlsMode};
use poolwright_settings::{
    Problem, ServerTlsMode, Span,
    control::Totals,
    raw::{AuthQuery, Control, Database, Drain, File, Peer, Pool, Server, ServerTls, UsersFile},
};

use super::{credentials, listen, metadata, template};
use crate::{
    certificate,
    live::Live,
    names,
    upgrade::Languages,
    validate::{self, Problems, Validated},
};

/// How many pods the settings can tell apart.
const MOST_PEERS: u32 = 1024;

/// What the settings call the one server.
pub const SERVER: &str = "main";

/// The texts of both files.
pub struct Files {
    pub settings: String,
    /// Holds the passwords in the clear.
    pub users: String,
    pub totals: Totals,
}

/// Both files, of the generation that is out already if they are as it is, else of the next:
/// pods take no earlier one over. `ahead`: one that pods have been found to have, or 0; `language`:
/// what all pods read.
///
/// # Errors
/// What the pooler would refuse, by the field of the PoolerCluster that it comes from.
pub fn next(
    checked: &Validated,
    plan: &Plan,
    live: &Live,
    ahead: u64,
    language: u32,
) -> Result<Files, Problems> {
    let files = |generation| files(checked, plan, live, generation, language);
    let texts = live.settings.as_ref().and_then(|it| it.data.as_ref());
    let out = texts.and_then(|texts| texts.get(template::SETTINGS_FILE));
    let last = out.and_then(|text| poolwright_settings::generation(text)).unwrap_or(0).max(ahead);
    let same = files(last);
    let credentials = Some(credentials::data(checked, same.users.clone()));
    let is_out = live.credentials.as_ref().is_some_and(|it| it.data == credentials);
    let files = if is_out && out == Some(&same.settings) { same } else { files(last + 1) };
    match poolwright_settings::parse(&files.settings, Some(&files.users)) {
        Ok(_) => Ok(files),
        Err(problems) => Err(by_source(problems.0, checked)),
    }
}

fn files(checked: &Validated, plan: &Plan, live: &Live, generation: u64, language: u32) -> Files {
    let settings = file(checked, plan, live, generation).to_yaml_for(language);
    let users = Some(credentials::users(checked));
    let users = UsersFile { users, generation: Some(generation) }.to_yaml_for(language);
    Files { settings, users, totals: totals(checked, plan) }
}

fn totals(checked: &Validated, plan: &Plan) -> Totals {
    let databases = checked.databases.iter().zip(&plan.databases);
    Totals {
        servers: [(SERVER.to_owned(), plan.granted)].into(),
        databases: databases.map(|(it, share)| (it.name.clone(), share.granted)).collect(),
    }
}

pub fn config_map(
    checked: &Validated,
    settings: String,
    fence: u64,
    languages: &Languages,
) -> ConfigMap {
    let mut metadata = metadata::fenced(checked, names::settings(&checked.name), fence);
    if !languages.is_empty() {
        let text = serde_json::to_string(languages).expect("names and numbers are JSON");
        metadata.annotations.get_or_insert_default().insert(names::IMAGE_LANGUAGES.into(), text);
    }
    metadata::hashed(ConfigMap {
        metadata,
        data: Some([(template::SETTINGS_FILE.to_owned(), settings)].into()),
        ..ConfigMap::default()
    })
}

fn file(checked: &Validated, plan: &Plan, live: &Live, generation: u64) -> File {
    let shares = checked.databases.iter().zip(&plan.databases);
    let database = |(database, share): (&validate::Database, &_)| {
        let poolwright_budget::DatabaseShare { per_pod, .. } = share;
        let name = Some(database.name.clone());
        Database { name, max_connections: Some(*per_pod), ..database.own.clone() }
    };
    File {
        listen: listen::listen(checked),
        auth_query: checked.auth_query.as_ref().map(auth_query),
        max_clients: checked.limits.max_clients.map(number),
        max_db_client_connections: limit(checked.limits.max_db_client_connections),
        max_user_client_connections: limit(checked.limits.max_user_client_connections),
        max_user_connections: limit(checked.limits.max_user_connections),
        servers: Some(vec![server(checked, plan.per_pod)]),
        pool: Some(pool(checked)),
        databases: Some(shares.map(database).collect()),
        users_file: Some(template::credential(template::USERS_FILE)),
        drain: Some(Drain { timeout: Some(Span(drain(checked, live))) }),
        control: Some(control()),
        peers: peers(checked),
        generation: Some(generation),
        ..File::default()
    }
}

/// No pod drains for longer than it was made to take: it would be killed at it.
fn drain(checked: &Validated, live: &Live) -> Duration {
    live.pods.iter().filter_map(template::longest_drain).fold(checked.drain, Duration::min)
}

/// The password is that of the user in the users file.
fn auth_query(query: &poolwright_crds::AuthQuery) -> AuthQuery {
    let poolwright_crds::AuthQuery { user, dbname, query } = query.clone();
    AuthQuery { user: Some(user), dbname, query, ..AuthQuery::default() }
}

pub fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// The pods, each by its own name, for cancel requests that come to another; a pod alone has none.
fn peers(checked: &Validated) -> Option<Vec<Peer>> {
    let service = names::headless_service(&checked.name);
    let peer = |number: u32| Peer {
        id: Some(number),
        host: Some(format!("{}-{number}.{service}.{}.svc", checked.name, checked.namespace)),
        port: u16::try_from(template::POSTGRES_PORT).ok(),
    };
    let pods = checked.max_replicas.min(MOST_PEERS);
    (pods > 1).then(|| (0..pods).map(peer).collect())
}

/// The schema allows no negative number.
fn number(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// 0 is no limit, as where the file says nothing.
fn limit(most: i32) -> Option<u32> {
    Some(number(most)).filter(|most| *most > 0)
}

fn control() -> Control {
    Control {
        address: None,
        port: u16::try_from(template::CONTROL_PORT).ok(),
        cert_file: Some(template::certificate(certificate::CERTIFICATE)),
        key_file: Some(template::certificate(certificate::KEY)),
        ca_file: Some(template::certificate(certificate::CA_CERTIFICATE)),
    }
}

fn server(checked: &Validated, max_connections: u32) -> Server {
    Server {
        name: Some(SERVER.into()),
        host: Some(checked.host.clone()),
        port: Some(checked.port),
        max_connections: Some(max_connections),
        max_replication_connections: None,
        connect_timeout: None,
        tls: Some(ServerTls {
            mode: Some(tls_mode(checked.tls)),
            ca_file: checked.ca.is_some().then(|| template::credential(template::CA_FILE)),
            cert_file: None,
            key_file: None,
        }),
        cleartext_password: None,
        channel_binding: checked.channel_binding.map(channel_binding),
    }
}

fn channel_binding(binding: ChannelBinding) -> poolwright_settings::ChannelBinding {
    match binding {
        ChannelBinding::Disable => poolwright_settings::ChannelBinding::Disable,
        ChannelBinding::Prefer => poolwright_settings::ChannelBinding::Prefer,
        ChannelBinding::Require => poolwright_settings::ChannelBinding::Require,
    }
}

fn tls_mode(mode: TlsMode) -> ServerTlsMode {
    match mode {
        TlsMode::Disable => ServerTlsMode::Disable,
        TlsMode::Allow => ServerTlsMode::Allow,
        TlsMode::Prefer => ServerTlsMode::Prefer,
        TlsMode::Require => ServerTlsMode::Require,
        TlsMode::VerifyCa => ServerTlsMode::VerifyCa,
        TlsMode::VerifyFull => ServerTlsMode::VerifyFull,
    }
}

fn pool(checked: &Validated) -> Pool {
    Pool {
        mode: Some(validate::pool::mode(checked.mode)),
        size: Some(checked.pool.size),
        min: Some(checked.pool.min),
        reserve: Some(checked.pool.reserve),
        reserve_timeout: Some(Span(checked.pool.reserve_timeout)),
        ..checked.common.clone()
    }
}

/// A problem of `users[3]` belongs to the Secret that the user came from.
fn by_source(problems: Vec<Problem>, checked: &Validated) -> Problems {
    let mut found = Problems::default();
    for problem in problems {
        let user = index(&problem.path).and_then(|index| checked.users.get(index));
        match user {
            Some(user) => {
                found.credentials.push(Problem { path: user.path.clone(), ..problem });
            }
            None => {
                let path = in_spec(&problem.path);
                found.spec.push(Problem { path, ..problem });
            }
        }
    }
    found
}

/// The field of the spec that a setting comes from, where one is its like.
fn in_spec(path: &str) -> String {
    let places = [
        ("servers[0].channelBinding", "spec.server.channelBinding"),
        ("listen.rules", "spec.auth.rules"),
        ("listen.maps", "spec.auth.maps"),
        ("listen.tls", "spec.clientTls"),
        ("listen.proxyProtocol", "spec.service.proxyProtocol"),
        ("authQuery", "spec.auth.authQuery"),
    ];
    let place = |(setting, field): (&str, &str)| {
        path.strip_prefix(setting).map(|rest| format!("{field}{rest}"))
    };
    let other = || format!("spec, as the pooler's settings: {path}");
    places.into_iter().find_map(place).unwrap_or_else(other)
}

/// The `3` of `users[3].password`, in whichever file.
fn index(path: &str) -> Option<usize> {
    let path = path.strip_prefix("usersFile:").unwrap_or(path);
    let rest = path.strip_prefix("users[")?;
    rest.split_once(']')?.0.parse().ok()
}
