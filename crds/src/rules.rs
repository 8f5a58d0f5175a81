//! What the API server refuses by itself: CEL rules, each with a message that names what was
//! expected and what to do. No rule ties `replicas` to anything, for an autoscaler writes it.

use kube::core::{Message, Reason, Rule};

const DURATION: &str = r"^[0-9]{1,6}(ms|s|m|h)$";

/// A host name, IPv4 address or bracketed IPv6 address, with an optional port up to 65535.
const ADDRESS: &str = concat!(
    r"^([a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9])?|\\[[0-9a-fA-F:.]{2,45}\\])",
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$"
);

/// A rule over a text: its message shows the text that was found.
fn text(rule: impl Into<String>, found: &str, expected: &str) -> Rule {
    let message = format!("'found ' + {found} + ', expected {expected}'");
    Rule::new(rule).message(Message::Expression(message)).reason(Reason::FieldValueInvalid)
}

/// A rule over numbers. Its message is fixed: the API server reckons that a number as text
/// could be of any length, and refuses such a message as too costly.
fn numbers(rule: &str, message: &str) -> Rule {
    Rule::new(rule).message(message).reason(Reason::FieldValueInvalid)
}

/// The value itself, in quotes.
const TEXT: &str = r#"'"' + self + '"'"#;

pub fn name() -> Rule {
    text(
        "self.metadata.name.size() <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        r#"'the name "' + self.metadata.name + '"'"#,
        "at most 52 lower-case letters, digits and hyphens that start with a letter: the names of \
         pods and Services are made from it",
    )
}

pub fn connections_per_pod() -> Rule {
    numbers(
        "!has(self.server.budget.maxConnections) || \
         self.server.budget.maxConnections - self.server.budget.reserve >= self.maxReplicas",
        "expected maxConnections - reserve to be at least maxReplicas, so that each pod has a \
         connection: raise the budget or lower maxReplicas",
    )
    .field_path(".server.budget")
}

pub fn ratio() -> Rule {
    text(
        r"self.matches('^[0-9]{1,4}([.][0-9]{1,3})?$') && !self.matches('^[0.]*$')",
        TEXT,
        r#"a decimal number above 0 with at most three decimals: write it like "2.5""#,
    )
}

pub fn min_below_max() -> Rule {
    numbers(
        "!has(self.max) || self.min <= self.max",
        "expected min to be at most max: lower min or raise max",
    )
}

pub fn min_below_pool_size() -> Rule {
    numbers(
        "self.min <= self.poolSize",
        "expected min to be at most poolSize: lower min or raise poolSize",
    )
}

pub fn duration() -> Rule {
    text(
        format!("self.matches('{DURATION}')"),
        TEXT,
        "a whole number with its unit, ms, s, m or h: write it like 500ms, 5s, 10m or 1h",
    )
}

pub fn drain_within_an_hour() -> Rule {
    text(
        format!(
            "!self.matches('{DURATION}') || \
             (duration(self) >= duration('1s') && duration(self) <= duration('1h'))"
        ),
        TEXT,
        "a duration from 1s to 1h",
    )
}

pub fn address() -> Rule {
    text(
        format!("self.matches('{ADDRESS}')"),
        TEXT,
        "a host name or address with an optional port from 1 to 65535: write it like \
         pg.example:5432 or [2001:db8::1]:5432",
    )
}

pub fn verification_needs_a_ca() -> Rule {
    text(
        "!(self.mode in ['verify-ca', 'verify-full']) || has(self.caSecretRef)",
        "'mode ' + self.mode + ' without caSecretRef'",
        "the Secret with the certificate authority that signed the certificate of the server: add \
         caSecretRef",
    )
}

pub fn clients_need_an_authority() -> Rule {
    text(
        "!(self.mode in ['verify-ca', 'verify-full']) || has(self.clientCaSecretRef)",
        "'mode ' + self.mode + ' without clientCaSecretRef'",
        "the Secret with the certificate authority that signs certificates of clients: add \
         clientCaSecretRef",
    )
}

/// A rule that no connection without TLS could ever fit.
pub fn rules_with_tls_need_it() -> Rule {
    numbers(
        "has(self.clientTls) && self.clientTls.mode != 'disable' || !has(self.auth.rules) || \
         self.auth.rules.all(rule, rule.type != 'hostssl' && \
         (rule.method != 'password' || rule.type == 'hostnossl'))",
        "expected rules of type hostssl, and method password with other types than hostnossl, only \
         with TLS towards clients: add clientTls",
    )
    .field_path(".auth.rules")
}

pub fn certificates_need_an_authority() -> Rule {
    numbers(
        "!has(self.clientTls) || self.clientTls.mode == 'disable' || \
         has(self.clientTls.clientCaSecretRef) || !has(self.auth.rules) || \
         self.auth.rules.all(rule, rule.method != 'cert')",
        "expected method cert only where certificates of clients can be checked: add \
         clientTls.clientCaSecretRef",
    )
    .field_path(".auth.rules")
}

pub fn certificates_need_hostssl() -> Rule {
    text(
        "self.method != 'cert' || self.type == 'hostssl'",
        "'method cert in a rule of type ' + self.type",
        "hostssl, since only TLS has certificates: write type: hostssl",
    )
}

pub fn maps_need_certificates() -> Rule {
    text(
        "!has(self.map) || self.method == 'cert'",
        "'a map beside method ' + self.method",
        "method cert: remove the map",
    )
}

pub fn binding_needs_tls() -> Rule {
    numbers(
        "!has(self.channelBinding) || self.channelBinding != 'require' || self.tls.mode != 'disable'",
        "expected channelBinding require only with TLS: set tls.mode to another than disable",
    )
}

pub fn source_ranges_need_a_load_balancer() -> Rule {
    numbers(
        "!has(self.sourceRanges) || size(self.sourceRanges) == 0 || self.type == 'LoadBalancer'",
        "expected sourceRanges only with type LoadBalancer: set the type or remove the ranges",
    )
}

pub fn traffic_policy_needs_an_outside() -> Rule {
    numbers(
        "!has(self.trafficPolicy) || self.type != 'ClusterIP'",
        "expected trafficPolicy only with type NodePort or LoadBalancer: set the type or remove it",
    )
}

pub fn pods_or_addresses() -> Rule {
    numbers(
        "has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))",
        "expected either ipBlock or at least one of podSelector and namespaceSelector",
    )
}

pub fn two_secrets() -> Rule {
    text(
        "self.podsSecretRef.name != self.operatorSecretRef.name",
        r#"'"' + self.podsSecretRef.name + '" twice'"#,
        "two Secrets: with the certificate of the operator a pod could change the settings of others",
    )
}

pub fn one_source() -> Rule {
    numbers(
        "has(self.count) ? !has(self.configMapKeyRef) && !has(self.selector) \
         : has(self.configMapKeyRef) != has(self.selector)",
        "expected exactly one of count, configMapKeyRef and selector",
    )
}

pub fn api_version() -> Rule {
    text(
        "self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        TEXT,
        "a version with its API group before it, unless that is the core group: write it like \
         example.com/v1 or v1",
    )
}

pub fn kind() -> Rule {
    text(
        "self.matches('^[A-Za-z][A-Za-z0-9]*$')",
        TEXT,
        "the kind of the objects: write it like Workspace",
    )
}

pub fn values_fit_the_operator() -> Rule {
    text(
        "(self.operator in ['In', 'NotIn']) == (size(self.values) > 0)",
        "'operator ' + self.operator",
        "values with In and NotIn, none with Exists and DoesNotExist",
    )
}

pub fn identifier() -> Rule {
    text(
        r"bytes(self).size() <= 63 && self.matches('^[^\\x00-\\x1f\\x7f]+$')",
        TEXT,
        "a PostgreSQL name: at most 63 bytes and no control characters",
    )
}
