//! How long clients may take and wait, how many there may be, and what is different for a database
//! or a user. Every limit is one pod's.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::PoolMode;

/// How long clients may take, as 500ms, 5s, 10m or 1h; 0s: as long as they like.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// For a server connection. Default: 2m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[0-9]{1,6}(ms|s|m|h)$"))]
    pub wait_timeout: Option<String>,
    /// Until a waiting client is told so. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[0-9]{1,6}(ms|s|m|h)$"))]
    pub query_wait_notify: Option<String>,
    /// For a request. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[0-9]{1,6}(ms|s|m|h)$"))]
    pub query_timeout: Option<String>,
    /// Between requests of a transaction. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[0-9]{1,6}(ms|s|m|h)$"))]
    pub idle_transaction_timeout: Option<String>,
    /// For a transaction. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[0-9]{1,6}(ms|s|m|h)$"))]
    pub transaction_timeout: Option<String>,
    /// Between transactions. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[0-9]{1,6}(ms|s|m|h)$"))]
    pub client_idle_timeout: Option<String>,
}

/// In the modes transaction and statement: what becomes of what a client's session holds.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    /// Advisory locks, LISTEN, temporary tables, cursors WITH HOLD and PREPARE, which cannot follow a
    /// client: `pin` keeps its server connection for it, `error` refuses them, `off` loses all session
    /// state at the end of the transaction.
    #[serde(default)]
    pub pinning: Pinning,
    /// How long a pinned client may be idle in a pool of one connection; 0s: for ever. Default: 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[0-9]{1,6}(ms|s|m|h)$"))]
    pub pin_timeout: Option<String>,
    /// `refuse`: currval and lastval work in the transaction of their nextval only; `pin`: who may
    /// have called nextval keeps its server connection.
    #[serde(default)]
    pub sequences: Sequences,
    /// `tracked`: what a client is known to have left is undone before the next; `strict`: DISCARD ALL
    /// as well.
    #[serde(default)]
    pub isolation: Isolation,
    /// Functions of your own, as `name` or `schema.name`, that leave a session as it is: the server is
    /// not asked behind a call of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 200),
        inner(length(max = 127), regex(pattern = r#"^[^."( ]{1,63}(\.[^."( ]{1,63})?$"#))
    )]
    pub harmless_functions: Vec<String>,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pinning {
    #[default]
    Pin,
    Error,
    Off,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sequences {
    #[default]
    Refuse,
    Pin,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    #[default]
    Tracked,
    Strict,
}

/// How many there may be in each pod; 0: no such limit.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Clients. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_clients: Option<i32>,
    /// Clients of one database.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000000))]
    pub max_db_client_connections: i32,
    /// Clients of one user, in all databases.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000000))]
    pub max_user_client_connections: i32,
    /// Server connections of one user, in all databases.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100000))]
    pub max_user_connections: i32,
}

/// What is different for one user, whatever the database.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserOverrides {
    /// A key of one of the Secrets in auth.users.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_mode: Option<PoolMode>,
    /// In place of sizing.perTenant.poolSize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub pool_size: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub max_user_client_connections: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100000))]
    pub max_user_connections: Option<i32>,
    #[serde(default)]
    pub timeouts: Timeouts,
}
