//! The API of Poolwright: the PoolerCluster's types, and with them the schema that the API
//! server enforces. Nothing here talks to a cluster.
//!
//! Reading order: [`spec`] (what a user declares) with [`selector`] (which objects are tenants),
//! [`mod@pool`] (how long clients may take), [`pods`] (how the pods run and are reached),
//! [`network`] (by whom), [`access`] (who may come in), [`status`] (what the
//! operator answers), [`rules`] (what is refused at once, and why), [`yaml`] and
//! [`mod@reference`] (the files that are made from them).

#![forbid(unsafe_code)]

pub mod access;
mod defaults;
pub mod network;
pub mod pods;
pub mod pool;
pub mod reference;
pub mod rules;
pub mod selector;
pub mod spec;
pub mod status;
pub mod yaml;

pub use access::{
    AccessMethod, AccessRule, AccessType, AuthQuery, CertificateMap, ClientTls, ProxyProtocol,
};
pub use network::NetworkPolicy;
pub use pods::{EnvVar, Pods, Resources, Service, ServiceType, Toleration, TrafficPolicy};
pub use pool::{Isolation, Limits, Pinning, Sequences, Sessions, Timeouts, UserOverrides};
pub use selector::{LabelSelector, Namespaces, Operator, Requirement, TenantSelector};
pub use spec::{
    Auth, Budget, CaSecretRef, ChannelBinding, ConfigMapKeyRef, Control, ControlCertificates,
    Database, Drain, Endpoints, PerDatabase, PerTenant, PoolMode, PoolerCluster, PoolerClusterSpec,
    Reconcile, SecretRef, Server, Sizing, Tenants, Tls, TlsMode, Upgrade, UserSource,
};
pub use status::{PoolerClusterStatus, ServerStatus, SizingStatus};
