//! Second step: from what was read to what may be used. Every problem is reported together,
//! with its field, what was found, what was expected and what to do. No cluster is asked.

mod client_tls;
mod control;
pub mod pool;
mod selectors;
mod tenants;
mod users;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use poolwright_budget::{Bounds, Ratio};
use poolwright_crds::{
    AccessRule, AuthQuery, CertificateMap, ChannelBinding, Limits, NetworkPolicy, Pods, PoolMode,
    PoolerCluster, PoolerClusterSpec, Service, TlsMode, Upgrade,
};
use poolwright_settings::{Problem, Span, raw};

pub use crate::validate::{client_tls::ClientTls, control::Named, users::User};
use crate::{dereference::Dereferenced, names};

/// A PoolerCluster that can be sized and built.
#[derive(Clone, Debug)]
pub struct Validated {
    pub name: String,
    pub namespace: String,
    pub owner: OwnerReference,
    /// The image that the user names.
    pub image: Option<String>,
    /// When to replace pods that another version of the operator made.
    pub upgrade: Upgrade,
    /// Pods asked for, which may be more than may run.
    pub replicas: u32,
    pub max_replicas: u32,
    pub restarted_at: Option<String>,
    /// The last request for another authority of the control channel.
    pub change_authority: Option<String>,
    pub mode: PoolMode,
    pub host: String,
    pub port: u16,
    pub tls: TlsMode,
    /// Towards the server; None: as the pooler has it.
    pub channel_binding: Option<ChannelBinding>,
    /// PEM.
    pub ca: Option<Vec<u8>>,
    /// Connections that the server can give.
    pub budget: u32,
    /// The budget is as pods see the server.
    pub asks_server: bool,
    pub ratio: Ratio,
    pub bounds: Bounds,
    pub pool: Pool,
    /// What holds for all pools beside their sizes.
    pub common: raw::Pool,
    pub limits: Limits,
    pub databases: Vec<Database>,
    pub users: Vec<User>,
    pub rules: Vec<AccessRule>,
    pub maps: Vec<CertificateMap>,
    pub auth_query: Option<AuthQuery>,
    /// None: clients have no TLS.
    pub client_tls: Option<ClientTls>,
    /// What is wrong with Secrets of which the last sound content stays in force.
    pub stale: Vec<Problem>,
    /// The user's certificates for the control channel; else the operator makes them.
    pub control: Option<Named>,
    pub drain: Duration,
    /// How the pods run.
    pub pods: Pods,
    /// How clients reach them.
    pub service: Service,
    /// Who may; None: everybody who reaches the pods.
    pub network_policy: Option<NetworkPolicy>,
}

impl Validated {
    /// Where the server is: host:port.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// The pool of one tenant in one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    pub size: u32,
    pub min: u32,
    pub reserve: u32,
    pub reserve_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    pub tenants: u32,
    /// What is different for it, in the pooler's terms.
    pub own: raw::Database,
}

/// All that is wrong, by the condition that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    pub spec: Vec<Problem>,
    pub tenants: Vec<Unresolved>,
    pub credentials: Vec<Problem>,
}

/// Why the tenants of a database are not known, with the condition's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    pub reason: &'static str,
    pub problem: Problem,
}

impl From<Problem> for Unresolved {
    fn from(problem: Problem) -> Unresolved {
        Unresolved { reason: "TenantsUnknown", problem }
    }
}

impl Problems {
    pub fn is_empty(&self) -> bool {
        let Problems { spec, tenants, credentials } = self;
        spec.is_empty() && tenants.is_empty() && credentials.is_empty()
    }

    /// One problem of the spec itself.
    pub fn of_spec(problem: Problem) -> Problems {
        Problems { spec: vec![problem], ..Problems::default() }
    }
}

/// Checks everything that was read.
///
/// # Errors
/// All problems.
pub fn validate(read: &Dereferenced, default_image: &str) -> Result<Validated, Problems> {
    let spec = &read.cluster.spec;
    let mut problems = Problems::default();
    let mut stale = Vec::new();
    let found = &mut problems.spec;
    let (host, port) = writer(&spec.server.endpoints.writer, found);
    let endpoint = format!("{host}:{port}");
    let checked = Validated {
        name: read.cluster.name_any(),
        namespace: read.cluster.namespace().unwrap_or_default(),
        owner: read.cluster.controller_owner_ref(&()).unwrap_or_default(),
        image: image(spec, default_image, found),
        upgrade: spec.upgrade,
        replicas: whole(spec.replicas),
        max_replicas: whole(spec.max_replicas),
        restarted_at: read.cluster.annotations().get(names::RESTARTED_AT).cloned(),
        change_authority: read.cluster.annotations().get(names::CHANGE_AUTHORITY).cloned(),
        mode: spec.pool_mode,
        host,
        port,
        tls: spec.server.tls.mode,
        channel_binding: spec.server.channel_binding,
        asks_server: spec.server.budget.max_connections.is_none(),
        budget: budget(&read.cluster, &endpoint, found),
        ratio: ratio(spec, found),
        bounds: bounds(spec, found),
        pool: pool(spec, found),
        common: pool::common(spec, found),
        limits: spec.limits.clone(),
        pods: spec.pods.clone(),
        service: spec.service.clone(),
        network_policy: spec.network_policy.clone(),
        drain: duration("spec.drain.timeout", &spec.drain.timeout, found),
        databases: tenants::resolve(read, &mut problems.tenants),
        users: users::resolve(read, &mut problems.credentials),
        ca: users::authority(read, &mut problems.credentials),
        rules: spec.auth.rules.clone(),
        maps: spec.auth.maps.clone(),
        client_tls: client_tls::resolve(read, &mut problems.credentials, &mut stale),
        stale,
        auth_query: spec.auth.auth_query.clone(),
        control: control::resolve(read, &mut problems.credentials),
    };
    let mut checked = checked;
    pool::override_users(spec, &mut checked.users, &mut problems.spec);
    for (index, (database, own)) in checked.databases.iter_mut().zip(&spec.databases).enumerate() {
        let path = format!("spec.databases[{index}].timeouts");
        database.own = own_settings(own, &path, &mut problems.spec);
    }
    if problems.is_empty() {
        return Ok(checked);
    }
    problems.credentials.extend(checked.stale);
    Err(problems)
}

fn own_settings(
    own: &poolwright_crds::Database,
    path: &str,
    found: &mut Vec<Problem>,
) -> raw::Database {
    let pool = raw::Pool {
        mode: own.pool_mode.map(pool::mode),
        ..pool::timeouts(path, &own.timeouts, found)
    };
    raw::Database {
        max_db_client_connections: own.max_db_client_connections.map(whole),
        connect_query: own.connect_query.clone(),
        pool: Some(pool).filter(|pool| *pool != raw::Pool::default()),
        ..raw::Database::default()
    }
}

/// The schema allows no negative number; one that came before it counts as 0.
fn whole(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn image(
    spec: &PoolerClusterSpec,
    default_image: &str,
    found: &mut Vec<Problem>,
) -> Option<String> {
    if spec.image.as_deref().unwrap_or(default_image).is_empty() {
        let remedy = "set spec.image, or POOLWRIGHT_IMAGE for the operator";
        found.push(Problem::new("spec.image", "nothing", "the pooler's image", remedy));
    }
    spec.image.clone()
}

fn writer(text: &str, found: &mut Vec<Problem>) -> (String, u16) {
    let bare = || (text.to_owned(), poolwright_settings::defaults::SERVER_PORT);
    let parts = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            port.parse().ok().filter(|port| *port > 0).map(|port| (host.to_owned(), port))
        }
        _ => Some(bare()),
    };
    let (host, port) = parts.unwrap_or_else(|| {
        let expected = "a host with an optional port from 1 to 65535";
        let remedy = "write it like pg.example:5432";
        let path = "spec.server.endpoints.writer";
        found.push(Problem::new(path, format!("{text:?}"), expected, remedy));
        bare()
    });
    (host.trim_matches(['[', ']']).to_owned(), port)
}

/// What the server can give, as the user says or as pods saw it.
fn budget(cluster: &PoolerCluster, endpoint: &str, found: &mut Vec<Problem>) -> u32 {
    let (pods, budget) = (cluster.spec.max_replicas, &cluster.spec.server.budget);
    let Some(most) = budget.max_connections else { return seen_budget(cluster, endpoint) };
    let left = whole(most.saturating_sub(budget.reserve));
    if left < whole(pods).max(1) {
        let sum = format!("{most} - {} = {left}", budget.reserve);
        let expected = format!("at least one connection for each of maxReplicas {pods} pods");
        let remedy = "raise the budget or lower maxReplicas";
        found.push(Problem::new("spec.server.budget", sum, expected, remedy));
    }
    left
}

/// What pods saw; until then what it was before. No less than one connection for each pod, so that
/// they can look, and look again.
fn seen_budget(cluster: &PoolerCluster, endpoint: &str) -> u32 {
    let status = cluster.status.as_ref();
    let left = match status.and_then(|it| it.server.as_ref()) {
        Some(seen) if seen.is_at(endpoint) => {
            let reserved = seen.superuser_reserved_connections + seen.reserved_connections;
            seen.max_connections - reserved - i64::from(cluster.spec.server.budget.reserve)
        }
        Some(_) => 0,
        None => status.and_then(|it| it.sizing.as_ref()).map_or(0, |sizing| sizing.budget),
    };
    let left = u32::try_from(left.max(0)).unwrap_or(u32::MAX);
    left.max(whole(cluster.spec.max_replicas)).max(1)
}

fn ratio(spec: &PoolerClusterSpec, found: &mut Vec<Problem>) -> Ratio {
    spec.sizing.connections_per_tenant.parse().unwrap_or_else(|error| {
        let poolwright_budget::RatioError { found: text, why } = error;
        let expected = "a decimal number above 0 with at most three decimals";
        let remedy = format!("write it like \"2.5\" ({why})");
        let path = "spec.sizing.connectionsPerTenant";
        found.push(Problem::new(path, format!("{text:?}"), expected, remedy));
        Ratio::MAX
    })
}

fn bounds(spec: &PoolerClusterSpec, found: &mut Vec<Problem>) -> Bounds {
    let limits = &spec.sizing.per_database;
    let max = limits.max.map_or(u32::MAX, whole);
    Bounds::new(whole(limits.min), max).unwrap_or_else(|| {
        let expected = format!("at most max, {max}");
        let (path, min) = ("spec.sizing.perDatabase.min", limits.min.to_string());
        found.push(Problem::new(path, min, expected, "lower min or raise max"));
        Bounds::NONE
    })
}

fn pool(spec: &PoolerClusterSpec, found: &mut Vec<Problem>) -> Pool {
    let tenant = &spec.sizing.per_tenant;
    if tenant.min > tenant.pool_size {
        let expected = format!("at most poolSize, {}", tenant.pool_size);
        let (path, min) = ("spec.sizing.perTenant.min", tenant.min.to_string());
        found.push(Problem::new(path, min, expected, "lower min or raise poolSize"));
    }
    let path = "spec.sizing.perTenant.reserveTimeout";
    Pool {
        size: whole(tenant.pool_size),
        min: whole(tenant.min),
        reserve: whole(tenant.reserve),
        reserve_timeout: duration(path, &tenant.reserve_timeout, found),
    }
}

fn duration(path: &str, text: &str, found: &mut Vec<Problem>) -> Duration {
    Span::parse(text).map_or_else(
        || {
            let expected = "a whole number with its unit: ms, s, m or h";
            let remedy = "write it like 500ms, 5s, 10m or 1h";
            found.push(Problem::new(path, format!("{text:?}"), expected, remedy));
            Duration::ZERO
        },
        |span| span.0,
    )
}

#[cfg(test)]
mod tests {
    use poolwright_crds::{PoolerClusterStatus, ServerStatus, Tenants};

    use super::*;
    use crate::{census::Uncounted, testing};

    fn problems(change: impl FnOnce(&mut Dereferenced)) -> Problems {
        let mut read = testing::dereferenced();
        change(&mut read);
        validate(&read, "poolwright:1").unwrap_err()
    }

    #[track_caller]
    fn says(problems: &[Problem], expect: &str) {
        let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(text.iter().any(|problem| problem.contains(expect)), "{text:?}");
    }

    #[track_caller]
    fn says_of_tenants(problems: &Problems, expect: &str) {
        let all: Vec<_> = problems.tenants.iter().map(|it| it.problem.clone()).collect();
        says(&all, expect);
    }

    #[test]
    fn a_good_poolercluster_is_taken_as_it_was_meant() {
        let checked = validate(&testing::dereferenced(), "poolwright:1").unwrap();
        assert_eq!((checked.host.as_str(), checked.port), ("10.1.2.3", 5432));
        assert_eq!((checked.budget, checked.ratio.thousandths()), (103, 2500));
        let tenants = checked.databases.iter().map(|it| (it.name.as_str(), it.tenants));
        assert_eq!(tenants.collect::<Vec<_>>(), [("cloud_01", 10), ("cloud_02", 10)]);
        assert_eq!(checked.users.len(), 2);
        assert_eq!(checked.image, None);
    }

    #[test]
    fn a_budget_that_is_not_declared_is_what_pods_saw() {
        let mut read = testing::dereferenced();
        read.cluster.spec.server.budget.max_connections = None;
        let checked = validate(&read, "poolwright:1").unwrap();
        assert_eq!((checked.budget, checked.asks_server), (3, true), "one for each of 3 pods");
        let server = ServerStatus {
            endpoint: checked.endpoint(),
            max_connections: 100,
            superuser_reserved_connections: 3,
            reserved_connections: 5,
            ..ServerStatus::default()
        };
        let status = PoolerClusterStatus { server: Some(server), ..PoolerClusterStatus::default() };
        read.cluster.status = Some(status);
        assert_eq!(validate(&read, "poolwright:1").unwrap().budget, 100 - 8 - 22);
        read.cluster.spec.server.budget.reserve = 90;
        assert_eq!(validate(&read, "poolwright:1").unwrap().budget, 3, "pods go on looking");
        read.cluster.spec.server.budget.reserve = 22;
        read.cluster.spec.server.endpoints.writer = "10.1.2.4".into();
        assert_eq!(validate(&read, "poolwright:1").unwrap().budget, 3, "that was another server");
    }

    #[test]
    fn an_address_may_be_a_name_or_ipv6_with_or_without_port() {
        for (text, host, port) in [
            ("pg", "pg", 5432),
            ("pg.example:6000", "pg.example", 6000),
            ("[2001:db8::1]:5433", "2001:db8::1", 5433),
            ("[2001:db8::1]", "2001:db8::1", 5432),
        ] {
            let mut found = Vec::new();
            assert_eq!(writer(text, &mut found), (host.to_owned(), port));
            assert_eq!(found, []);
        }
    }

    #[test]
    fn problems_of_every_kind_are_reported_together() {
        let all = problems(|read| {
            read.cluster.spec.sizing.connections_per_tenant = "2,5".into();
            read.cluster.spec.sizing.per_database.min = 200;
            read.cluster.spec.server.budget.reserve = 124;
            read.cluster.spec.drain.timeout = "120".into();
            read.secrets.insert("ws-users".into(), None);
            read.config_maps.insert("tenants".into(), None);
        });
        says(&all.spec, "spec.sizing.connectionsPerTenant: found \"2,5\"");
        says(&all.spec, "spec.sizing.perDatabase.min: found 200, expected at most max, 100");
        says(&all.spec, "spec.server.budget: found 125 - 124 = 1");
        says(&all.spec, "spec.drain.timeout: found \"120\"");
        says(&all.credentials, "found no Secret ws-users");
        says_of_tenants(&all, "found no ConfigMap tenants");
    }

    #[test]
    fn no_image_anywhere_is_a_problem() {
        let found = validate(&testing::dereferenced(), "").unwrap_err();
        says(&found.spec, "set spec.image, or POOLWRIGHT_IMAGE");
    }

    #[test]
    fn a_count_that_is_no_number_names_its_key() {
        for text in ["many", "-1", "2.5", "", "1000001"] {
            let found = problems(|read| testing::set_tenants(read, text));
            says_of_tenants(&found, "ConfigMap tenants, key cloud_02: found");
            says_of_tenants(&found, "a whole number of tenants");
        }
        let found = problems(|read| {
            read.config_maps.insert("tenants".into(), Some(Default::default()));
        });
        says_of_tenants(&found, "no key cloud_02 in ConfigMap tenants");
    }

    #[test]
    fn tenants_that_are_objects_are_as_many_as_were_counted() {
        let mut read = testing::dereferenced();
        read.cluster.spec.databases[0].tenants =
            Tenants { selector: Some(testing::selector(&[])), ..Tenants::default() };
        read.counts.insert("cloud_01".into(), Ok(190));
        assert_eq!(validate(&read, "poolwright:1").unwrap().databases[0].tenants, 190);
        read.counts.insert("cloud_01".into(), Err(Uncounted::NotServed));
        let found = validate(&read, "poolwright:1").unwrap_err();
        says_of_tenants(&found, "spec.databases[0].tenants.selector: found no kind Workspace");
        assert_eq!(found.tenants[0].reason, "KindNotServed");
    }

    #[test]
    fn a_password_that_nobody_could_mean_names_its_key() {
        for (value, expect) in [
            (b"".as_slice(), "an empty value"),
            (b"secret\n", "a line break at the end"),
            (b"a\0b", "a NUL character"),
            (b"\xff", "bytes that are no UTF-8"),
        ] {
            let found = problems(|read| testing::set_user(read, "ws_001", value));
            says(&found.credentials, "Secret ws-users, key ws_001: found");
            says(&found.credentials, expect);
        }
    }

    #[test]
    fn a_user_may_come_from_one_secret_only() {
        let found = problems(|read| {
            let users = read.cluster.spec.auth.users.clone();
            read.cluster.spec.auth.users.extend(users);
        });
        says(&found.credentials, "a second value for user ws_001");
    }

    #[test]
    fn a_previous_password_is_valid_beside_the_new_one() {
        let mut read = testing::dereferenced();
        let source = &mut read.cluster.spec.auth.users[0];
        source.previous_secret_ref = Some(poolwright_crds::SecretRef { name: "old".into() });
        let old = testing::secret(&[("ws_001", b"before"), ("ws_002", b"two"), ("gone", b"x")]);
        read.secrets.insert("old".into(), Some(old));
        let users = validate(&read, "poolwright:1").unwrap().users;
        let before = |index: usize| users[index].previous.as_ref().map(|it| it.expose().to_owned());
        assert_eq!((before(0).as_deref(), before(1)), (Some("before"), None));

        testing::set_user(&mut read, "ws_001", b"SCRAM-SHA-256$4096:c2FsdA==$a:b");
        let found = validate(&read, "poolwright:1").unwrap_err();
        says(&found.credentials, "a verifier, and a password before it");
        let old = testing::secret(&[("ws_002", b"SCRAM-SHA-256$4096:c2FsdA==$a:b")]);
        read.secrets.insert("old".into(), Some(old));
        let found = validate(&read, "poolwright:1").unwrap_err();
        says(&found.credentials, "previousSecretRef.name: Secret old, key ws_002: found a SCRAM");
        read.secrets.insert("old".into(), Some(testing::secret(&[])));
        assert!(validate(&read, "poolwright:1").is_ok(), "the end of a rotation");
        read.secrets.insert("old".into(), None);
        let found = validate(&read, "poolwright:1").unwrap_err();
        says(&found.credentials, "previousSecretRef.name: found no Secret old");
    }

    #[test]
    fn an_authority_that_is_named_must_be_there() {
        let found = problems(|read| {
            read.cluster.spec.server.tls.ca_secret_ref =
                Some(poolwright_crds::CaSecretRef { name: "ca".into(), key: "ca.crt".into() });
        });
        says(&found.credentials, "spec.server.tls.caSecretRef.name: found no Secret ca");
    }
}
