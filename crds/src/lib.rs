//! The API of Poolwright: the PoolerCluster's types, and with them the schema that the API
//! server enforces. Nothing here talks to a cluster.
//!
//! Reading order: [`spec`] (what a user declares), [`status`] (what the operator answers),
//! [`rules`] (what is refused at once, and why), [`yaml`] (the file beside this crate).

#![forbid(unsafe_code)]

mod defaults;
pub mod rules;
pub mod spec;
pub mod status;
pub mod yaml;

pub use spec::{
    Auth, Budget, CaSecretRef, ConfigMapKeyRef, Database, Drain, Endpoints, PerDatabase, PerTenant,
    PoolMode, PoolerCluster, PoolerClusterSpec, SecretRef, Server, Sizing, Tenants, Tls, TlsMode,
    UserSource,
};
pub use status::{PoolerClusterStatus, SizingStatus};
