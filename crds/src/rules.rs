//! What the API server refuses by itself: CEL rules, each with a message that names what was
//! expected and what to do. No rule ties `replicas` to anything, for an autoscaler writes it.

use kube::core::{Reason, Rule};

const DURATION: &str = r"^[0-9]{1,6}(ms|s|m|h)$";

/// A host name, IPv4 address or bracketed IPv6 address, with an optional port up to 65535.
const ADDRESS: &str = concat!(
    r"^([a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9])?|\\[[0-9a-fA-F:.]{2,45}\\])",
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$"
);

fn rule(rule: impl Into<String>, message: &str) -> Rule {
    Rule::new(rule).message(message).reason(Reason::FieldValueInvalid)
}

/// A change that a living object does not allow.
fn transition(text: &str, message: &str) -> Rule {
    Rule::new(text).message(message).reason(Reason::FieldValueForbidden)
}

pub fn name() -> Rule {
    rule(
        "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be at most 52 lower-case letters, digits and hyphens, starting with a \
         letter: the pods' and Services' names are made from it",
    )
}

pub fn connections_per_pod() -> Rule {
    rule(
        "self.server.budget.maxConnections - self.server.budget.reserve >= self.maxReplicas",
        "server.budget.maxConnections - server.budget.reserve must be at least maxReplicas, or a \
         pod would have no connection: raise the budget or lower maxReplicas",
    )
    .field_path(".server.budget")
}

pub fn max_replicas_never_rises() -> Rule {
    transition(
        "self <= oldSelf",
        "maxReplicas of a living PoolerCluster cannot be raised: its pods hold shares cut for the \
         old number. Delete it and create it with the new number",
    )
}

pub fn budget_never_falls() -> Rule {
    transition(
        "self.maxConnections - self.reserve >= oldSelf.maxConnections - oldSelf.reserve",
        "the budget (maxConnections - reserve) of a living PoolerCluster cannot be lowered: its \
         pods may hold all of it. Delete it and create it with the new budget",
    )
}

pub fn ratio() -> Rule {
    rule(
        r"self.matches('^[0-9]{1,4}([.][0-9]{1,3})?$') && !self.matches('^[0.]*$')",
        "must be a decimal number above 0 with at most three decimals, in quotes: write it like \"2.5\"",
    )
}

pub fn min_below_max() -> Rule {
    rule("!has(self.max) || self.min <= self.max", "min must not be more than max")
}

pub fn min_below_pool_size() -> Rule {
    rule("self.min <= self.poolSize", "min must not be more than poolSize")
}

pub fn duration() -> Rule {
    rule(
        format!("self.matches('{DURATION}')"),
        "must be a whole number with its unit, ms, s, m or h: write it like 500ms, 5s, 10m or 1h",
    )
}

pub fn drain_within_an_hour() -> Rule {
    rule(
        format!(
            "!self.matches('{DURATION}') || \
             (duration(self) >= duration('1s') && duration(self) <= duration('1h'))"
        ),
        "must be from 1s to 1h",
    )
}

pub fn address() -> Rule {
    rule(
        format!("self.matches('{ADDRESS}')"),
        "must be a host name or address with an optional port from 1 to 65535: write it like \
         pg.example:5432 or [2001:db8::1]:5432",
    )
}

pub fn verification_needs_a_ca() -> Rule {
    rule(
        "!(self.mode in ['verify-ca', 'verify-full']) || has(self.caSecretRef)",
        "modes verify-ca and verify-full need caSecretRef, the Secret with the certificate authority",
    )
}

pub fn one_source() -> Rule {
    rule(
        "has(self.count) != has(self.configMapKeyRef)",
        "needs exactly one of count and configMapKeyRef",
    )
}

pub fn identifier() -> Rule {
    rule(
        r"bytes(self).size() <= 63 && self.matches('^[^\\x00-\\x1f\\x7f]+$')",
        "must be a PostgreSQL name: at most 63 bytes and no control characters",
    )
}
