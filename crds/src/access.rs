//! Who may come in, and how it is shown, under the names of the pooler's settings.
//! It holds only what works without TLS towards clients, which pods do not have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// For which connections a method holds, as a line of pg_hba.conf.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// Databases, by name; "all"; "sameuser"; "replication", for physical replication. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub databases: Vec<String>,
    /// Users, by name, or "all". Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub users: Vec<String>,
    /// Addresses of clients, and ranges as CIDR. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub addresses: Vec<String>,
    /// How who fits shows who they are; reject refuses them, trust believes them.
    pub method: AccessMethod,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessMethod {
    Trust,
    Reject,
    Md5,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
}

/// Looks users up at the server that no Secret lists, over one connection of each pod, which counts.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthQuery {
    /// Who asks: one of auth.users, whose Secret holds the password.
    #[schemars(length(min = 1, max = 63))]
    pub user: String,
    /// The database in which the query runs. Default: the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub dbname: Option<String>,
    /// Gives the name and the secret of the user $1. Default: over pg_authid, for superusers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub query: Option<String>,
}

/// Load balancers that say by the PROXY protocol, version 2, whose connections they bring.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyProtocol {
    /// Their addresses, and ranges as CIDR: from there the header is required, from elsewhere refused.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 64)))]
    pub from: Vec<String>,
}
