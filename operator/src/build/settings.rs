//! The pooler's settings for one pod, written with the pooler's own types and read back by
//! its own check before anything is applied.

use k8s_openapi::api::core::v1::ConfigMap;
use poolwright_budget::Plan;
use poolwright_crds::{PoolMode, TlsMode};
use poolwright_settings::{
    Problem, ServerTlsMode, Span,
    raw::{Database, Drain, File, Pool, Server, ServerTls, UsersFile},
};

use super::{credentials, metadata, template};
use crate::{
    names,
    validate::{Problems, Validated},
};

/// What the settings call the one server.
const SERVER: &str = "main";

/// The texts of both files.
pub struct Files {
    pub settings: String,
    /// Holds the passwords in the clear.
    pub users: String,
}

/// Writes both files and has them checked.
///
/// # Errors
/// What the pooler would refuse, by the field of the PoolerCluster that it comes from.
pub fn files(checked: &Validated, plan: &Plan) -> Result<Files, Problems> {
    let settings = file(checked, plan).to_yaml();
    let users = UsersFile { users: Some(credentials::users(checked)) }.to_yaml();
    match poolwright_settings::parse(&settings, Some(&users)) {
        Ok(_) => Ok(Files { settings, users }),
        Err(problems) => Err(by_source(problems.0, checked)),
    }
}

pub fn config_map(checked: &Validated, settings: String) -> ConfigMap {
    metadata::hashed(ConfigMap {
        metadata: metadata::owned(checked, names::settings(&checked.name)),
        data: Some([(template::SETTINGS_FILE.to_owned(), settings)].into()),
        ..ConfigMap::default()
    })
}

fn file(checked: &Validated, plan: &Plan) -> File {
    let shares = checked.databases.iter().zip(&plan.databases);
    let database = |(database, share): (&crate::validate::Database, &_)| {
        let poolwright_budget::DatabaseShare { per_pod, .. } = share;
        let name = Some(database.name.clone());
        Database { name, max_connections: Some(*per_pod), ..Database::default() }
    };
    File {
        servers: Some(vec![server(checked, plan.per_pod)]),
        pool: Some(pool(checked)),
        databases: Some(shares.map(database).collect()),
        users_file: Some(template::users_path()),
        drain: Some(Drain { timeout: Some(Span(checked.drain)) }),
        generation: u64::try_from(checked.generation).ok(),
        ..File::default()
    }
}

fn server(checked: &Validated, max_connections: u32) -> Server {
    Server {
        name: Some(SERVER.into()),
        host: Some(checked.host.clone()),
        port: Some(checked.port),
        max_connections: Some(max_connections),
        connect_timeout: None,
        tls: Some(ServerTls {
            mode: Some(tls_mode(checked.tls)),
            ca_file: checked.ca.is_some().then(template::ca_path),
        }),
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
    let mode = match checked.mode {
        PoolMode::Transaction => poolwright_settings::PoolMode::Transaction,
        PoolMode::Session => poolwright_settings::PoolMode::Session,
    };
    Pool {
        mode: Some(mode),
        size: Some(checked.pool.size),
        min: Some(checked.pool.min),
        reserve: Some(checked.pool.reserve),
        reserve_timeout: Some(Span(checked.pool.reserve_timeout)),
        ..Pool::default()
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
                let path = format!("spec, as the pooler's settings: {}", problem.path);
                found.spec.push(Problem { path, ..problem });
            }
        }
    }
    found
}

/// The `3` of `users[3].password`, in whichever file.
fn index(path: &str) -> Option<usize> {
    let (_, rest) = path.split_once("users[")?;
    rest.split_once(']')?.0.parse().ok()
}
