//! The structural defaults, each in one place. The API server fills them in, so that
//! `kubectl get` shows what applies.

use crate::spec::{Drain, PerTenant, Tls, TlsMode};

pub fn replicas() -> i32 {
    2
}

pub fn max_replicas() -> i32 {
    3
}

/// PostgreSQL's own default of superuser_reserved_connections.
pub fn budget_reserve() -> i32 {
    3
}

pub fn pool_size() -> i32 {
    5
}

pub fn reserve_timeout() -> String {
    "1s".to_owned()
}

pub fn drain_timeout() -> String {
    "120s".to_owned()
}

pub fn ca_key() -> String {
    "ca.crt".to_owned()
}

impl Default for Tls {
    fn default() -> Tls {
        Tls { mode: TlsMode::Prefer, ca_secret_ref: None }
    }
}

impl Default for PerTenant {
    fn default() -> PerTenant {
        PerTenant { pool_size: pool_size(), min: 0, reserve: 0, reserve_timeout: reserve_timeout() }
    }
}

impl Default for Drain {
    fn default() -> Drain {
        Drain { timeout: drain_timeout() }
    }
}
