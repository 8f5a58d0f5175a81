//! Who may come in, how it is shown, and by what TLS, under the names of the pooler's settings.
//! It never holds a key: Secrets do.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    rules,
    spec::{CaSecretRef, SecretRef, TlsMode},
};

/// TLS towards clients. A Secret that changes is taken over while the pods run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::clients_need_an_authority())]
#[serde(rename_all = "camelCase")]
pub struct ClientTls {
    /// `allow` and `prefer` serve clients with and without TLS, `require` those with it only, `verify-ca`
    /// those that show a certificate of clientCaSecretRef, and `verify-full` those whose certificate
    /// has the user's name.
    pub mode: TlsMode,
    /// The Secret with the certificate, tls.crt, and its key, tls.key, as cert-manager writes it.
    pub secret_ref: SecretRef,
    /// The Secret with the authority that signs clients' certificates. Where it is named, clients are
    /// asked for one in every mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_secret_ref: Option<CaSecretRef>,
}

/// For which connections a method holds, as a line of pg_hba.conf.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::certificates_need_hostssl())]
#[x_kube(validation = rules::maps_need_certificates())]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// Connections with TLS (`hostssl`), without (`hostnossl`), or all (`host`).
    #[serde(default, rename = "type")]
    pub type_: AccessType,
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
    /// With method cert: the map of auth.maps that says whom a certificate stands for. Default: the
    /// user that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub map: Option<String>,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessType {
    #[default]
    Host,
    Hostssl,
    Hostnossl,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateMap {
    /// The map that the line belongs to.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// A certificate's common name; one * in it stands for any text.
    #[schemars(length(min = 1, max = 256))]
    pub certificate: String,
    /// Whom it stands for: a user, in whose name * is that text; or all.
    #[schemars(length(min = 1, max = 63))]
    pub user: String,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessMethod {
    Trust,
    Reject,
    Password,
    Md5,
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    Cert,
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
