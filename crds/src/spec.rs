//! What a user declares: which Postgres, which tenants, how many connections each deserves.
//! It holds only fields that do something.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    access::{AccessRule, AuthQuery, CertificateMap, ClientTls},
    defaults,
    network::NetworkPolicy,
    pods::{Pods, Service},
    pool::{Limits, Sessions, Timeouts, UserOverrides},
    rules,
    selector::TenantSelector,
    status::PoolerClusterStatus,
};

/// Pooler pods in front of one PostgreSQL server, which together never hold more of its
/// connections than its budget.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "poolwright.dev",
    version = "v1alpha1",
    kind = "PoolerCluster",
    shortname = "pwc",
    namespaced,
    derive = "PartialEq",
    status = "PoolerClusterStatus",
    doc = "Pooler pods in front of one PostgreSQL server, which together never hold more of its connections than its budget.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Pods", type_ = "string", json_path = ".status.pods", description = "Ready pods of those wanted"),
    printcolumn(name = "Tenants", type_ = "integer", json_path = ".status.sizing.tenants"),
    printcolumn(
        name = "Granted/Budget",
        type_ = "string",
        json_path = ".status.sizing.grantedOfBudget",
        description = "Server connections given to the pods, of those that the server can give"
    ),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.poolMode"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = rules::name()
)]
#[x_kube(validation = rules::connections_per_pod())]
#[x_kube(validation = rules::rules_with_tls_need_it())]
#[x_kube(validation = rules::certificates_need_an_authority())]
#[serde(rename_all = "camelCase")]
pub struct PoolerClusterSpec {
    /// Pods that run. More than maxReplicas are not started; a condition says so.
    #[serde(default = "defaults::replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,

    /// Pods that may ever run at once. A pod begins with an equal part of the budget, cut for so many,
    /// and may hold that whatever becomes of the operator; while fewer run, each gets more.
    #[serde(default = "defaults::max_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,

    /// `paused`: the operator changes nothing, whatever is changed here, until this is `active`
    /// again. Pods go on as they are.
    #[serde(default)]
    pub reconcile: Reconcile,

    /// How long a client keeps a server connection: for a transaction, until it leaves, or for a
    /// statement.
    #[serde(default)]
    pub pool_mode: PoolMode,

    /// How long clients may take and wait.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// What becomes of session state in the modes transaction and statement.
    #[serde(default)]
    pub sessions: Sessions,

    /// How many clients there may be, and server connections of one user.
    #[serde(default)]
    pub limits: Limits,

    /// What is different for some of the users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub users: Vec<UserOverrides>,

    /// Image of the pooler. Default: the one that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,

    /// What an operator of another version does with the pods, since it may bring another image or
    /// template. `manual`: nothing, until you set the annotation `poolwright.dev/upgradedAt` to
    /// another value. `automatic`: it replaces them, one PoolerCluster at a time.
    #[serde(default)]
    pub upgrade: Upgrade,

    /// The PostgreSQL server.
    pub server: Server,

    /// How many server connections tenants deserve.
    pub sizing: Sizing,

    /// The logical databases that clients may ask for, and their tenants.
    #[schemars(length(min = 1, max = 500))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub databases: Vec<Database>,

    /// Who may log in.
    pub auth: Auth,

    /// Encryption between clients and pooler. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_tls: Option<ClientTls>,

    /// How a pod ends.
    #[serde(default)]
    pub drain: Drain,

    /// How the pods run.
    #[serde(default)]
    pub pods: Pods,

    /// How clients reach the pods.
    #[serde(default)]
    pub service: Service,

    /// If it is there, even empty, the pods get a NetworkPolicy: clients and metrics reach the
    /// ports that are theirs, and the port for settings is open to the operator's pods only.
    /// Default: none, and whoever reaches a pod reaches all of its ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,

    /// How the operator reaches the pods.
    #[serde(default)]
    pub control: Control,
}

#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// Certificates of your own, such as cert-manager's, in place of those that the operator makes
    /// and renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<ControlCertificates>,
}

/// Each Secret holds tls.crt, tls.key and ca.crt. An authority in the ca.crt of either may sign for
/// both ends: it should sign for nobody else.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::two_secrets())]
#[serde(rename_all = "camelCase")]
pub struct ControlCertificates {
    /// The pods' certificate: for server auth, with the DNS name
    /// NAME.NAMESPACE.pooler.poolwright.dev of this PoolerCluster.
    pub pods_secret_ref: SecretRef,
    /// The operator's certificate: for client auth, with the DNS name operator.poolwright.dev.
    pub operator_secret_ref: SecretRef,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    #[default]
    Transaction,
    Session,
    Statement,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reconcile {
    #[default]
    Active,
    Paused,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upgrade {
    #[default]
    Manual,
    Automatic,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::binding_needs_tls())]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Where the server listens.
    pub endpoints: Endpoints,
    /// Encryption between pooler and server. Default: mode `prefer`.
    #[serde(default)]
    pub tls: Tls,
    /// As libpq's channel_binding. `require`: no login but by SCRAM, bound to the server's certificate.
    /// Default: prefer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_binding: Option<ChannelBinding>,
    /// What the server can give.
    pub budget: Budget,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Host and port of the server that takes writes; port 5432 if none is given.
    #[schemars(length(min = 1, max = 262))]
    #[x_kube(validation = rules::address())]
    pub writer: String,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::verification_needs_a_ca())]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// As libpq's sslmode.
    pub mode: TlsMode,
    /// The Secret with the certificate authority that signed the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaSecretRef>,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaSecretRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key of the Secret with the certificates in PEM.
    #[serde(default = "defaults::ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// The server's max_connections. Left out: what the pods see there, without its
    /// superuser_reserved_connections and reserved_connections; until one has seen it, all pods
    /// together hold as many connections as maxReplicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub max_connections: Option<i32>,
    /// Connections that are kept for others: superusers, migrations, backups. What is left is
    /// the budget.
    #[serde(default = "defaults::budget_reserve")]
    #[schemars(range(min = 0, max = 100000))]
    pub reserve: i32,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizing {
    /// Server connections for each tenant, as a decimal number in quotes: "2.5".
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = rules::ratio())]
    pub connections_per_tenant: String,
    /// Bounds for each database, all pods together.
    #[serde(default)]
    pub per_database: PerDatabase,
    /// The pool of each tenant in each pod.
    #[serde(default)]
    pub per_tenant: PerTenant,
}

#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::min_below_max())]
#[serde(rename_all = "camelCase")]
pub struct PerDatabase {
    /// A database gets at least so many connections, however few its tenants are.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100000))]
    pub min: i32,
    /// A database gets at most so many connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub max: Option<i32>,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::min_below_pool_size())]
#[serde(rename_all = "camelCase")]
pub struct PerTenant {
    /// Server connections of one tenant.
    #[serde(default = "defaults::pool_size")]
    #[schemars(range(min = 1, max = 10000))]
    pub pool_size: i32,
    /// Connections kept open once the tenant has come.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10000))]
    pub min: i32,
    /// Connections beyond poolSize, for requests that have waited for reserveTimeout.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10000))]
    pub reserve: i32,
    #[serde(default = "defaults::reserve_timeout")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = rules::duration())]
    pub reserve_timeout: String,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// The database's name on the server and for clients.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rules::identifier())]
    pub name: String,
    /// How many tenants the database has.
    pub tenants: Tenants,
    /// In place of the PoolerCluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_mode: Option<PoolMode>,
    /// What is different for this database.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// In place of limits.maxDbClientConnections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub max_db_client_connections: Option<i32>,
    /// SQL that each new server connection runs before clients do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub connect_query: Option<String>,
}

#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = rules::one_source())]
#[serde(rename_all = "camelCase")]
pub struct Tenants {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub count: Option<i32>,
    /// A key of a ConfigMap whose value is the number of tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
    /// Objects of any served kind: each one that is selected is a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<TenantSelector>,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Where users come from; no user may come twice.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub users: Vec<UserSource>,
    /// Who may come in how; the first rule that fits holds, and who fits none is refused. Default: all,
    /// by scram-sha-256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<AccessRule>,
    /// Whom a client's certificate stands for; lines of one name are one map.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub maps: Vec<CertificateMap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_query: Option<AuthQuery>,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserSource {
    /// A Secret: each key is a user's name, its value the password or SCRAM-SHA-256 verifier.
    /// With a verifier alone the pooler logs in by what clients' logins give: it must be the server's.
    pub secret_ref: SecretRef,
    /// A Secret of the same form with the passwords that are valid as well while they are being
    /// changed, for clients and for a server that has not got the new ones yet. Users that it lacks
    /// have one password. Passwords only, no verifiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret_ref: Option<SecretRef>,
}

#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// How long a pod that is told to end waits for its clients' transactions; 1s to 1h.
    #[serde(default = "defaults::drain_timeout")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = rules::duration())]
    #[x_kube(validation = rules::drain_within_an_hour())]
    pub timeout: String,
}
