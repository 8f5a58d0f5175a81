//! What the API server refuses, by the rules that the definition carries, evaluated here.

use kube::core::cel::validate_cel_schema;
use poolwright_crds::PoolerCluster;
use serde_json::{Value, json};

fn good() -> Value {
    json!({
        "apiVersion": "poolwright.dev/v1alpha1",
        "kind": "PoolerCluster",
        "metadata": {"name": "workspaces"},
        "spec": {
            "replicas": 2,
            "maxReplicas": 3,
            "poolMode": "transaction",
            "server": {
                "endpoints": {"writer": "10.1.2.3:5432"},
                "tls": {"mode": "prefer"},
                "budget": {"maxConnections": 125, "reserve": 22},
            },
            "sizing": {
                "connectionsPerTenant": "2.5",
                "perDatabase": {"min": 2, "max": 100},
                "perTenant": {"poolSize": 5, "min": 0, "reserve": 20, "reserveTimeout": "1s"},
            },
            "databases": [
                {"name": "cloud_01", "tenants": {"count": 10}},
                {"name": "cloud_02", "tenants": {"configMapKeyRef": {"name": "t", "key": "c"}}},
            ],
            "auth": {"users": [{"secretRef": {"name": "ws-users"}}]},
            "drain": {"timeout": "120s"},
        },
    })
}

fn with(path: &str, value: Value) -> Value {
    let mut object = good();
    let (parent, field) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

#[track_caller]
fn accepted(object: &Value, old: Option<&Value>) {
    let result = validate_cel_schema::<PoolerCluster>(object, old);
    assert!(result.is_ok(), "{result:?}");
}

#[track_caller]
fn refused(object: &Value, old: Option<&Value>, reason: &str) {
    let error = validate_cel_schema::<PoolerCluster>(object, old).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

#[track_caller]
fn refuses(path: &str, values: &[&str], reason: &str) {
    for value in values {
        refused(&with(path, json!(value)), None, reason);
    }
}

#[track_caller]
fn accepts(path: &str, values: &[&str]) {
    for value in values {
        accepted(&with(path, json!(value)), None);
    }
}

#[test]
fn the_example_is_accepted() {
    accepted(&good(), None);
    accepted(&good(), Some(&good()));
}

#[test]
fn a_ratio_that_is_no_decimal_is_refused() {
    let path = "/spec/sizing/connectionsPerTenant";
    refuses(path, &["2,5", "-1", "1e3", "2.", "2.0001", "10000", "0", "0.00", ""], "like \"2.5\"");
    accepts(path, &["2.5", "20", "0.001", "10", "9999.999"]);
}

#[test]
fn a_duration_without_its_unit_is_refused() {
    let path = "/spec/sizing/perTenant/reserveTimeout";
    refuses(path, &["1", "1 s", "s", "1.5s", "1d", "-1s"], "with its unit");
    accepts(path, &["0s", "500ms", "5s", "10m", "1h"]);
}

#[test]
fn a_drain_lasts_from_a_second_to_an_hour() {
    refuses("/spec/drain/timeout", &["500ms", "61m", "0s"], "expected a duration from 1s to 1h");
    refuses("/spec/drain/timeout", &["120"], "with its unit");
    accepts("/spec/drain/timeout", &["1s", "90s", "1h"]);
}

#[test]
fn an_endpoint_is_a_host_and_a_port() {
    let path = "/spec/server/endpoints/writer";
    let wrong = ["", "pg:0", "pg:65536", "pg:", "http://pg", "pg example", "2001:db8::1", ":5432"];
    refuses(path, &wrong, "expected a host name or address");
    accepts(path, &["pg", "pg.example:5432", "10.0.0.1", "[2001:db8::1]:5432", "a-b_c.x:65535"]);
}

#[test]
fn min_above_max_is_refused() {
    refused(
        &with("/spec/sizing/perDatabase/min", json!(101)),
        None,
        "expected min to be at most max",
    );
    refused(
        &with("/spec/sizing/perTenant/min", json!(6)),
        None,
        "expected min to be at most poolSize",
    );
}

#[test]
fn a_budget_below_one_connection_per_pod_is_refused() {
    refused(&with("/spec/server/budget/reserve", json!(123)), None, "to be at least maxReplicas");
    accepted(&with("/spec/server/budget/reserve", json!(122)), None);
}

#[test]
fn a_database_has_exactly_one_source_of_tenants() {
    let key = json!({"name": "a", "key": "b"});
    let selector = selector(json!({}));
    let all = json!({"count": 1, "configMapKeyRef": key, "selector": selector});
    for sources in 0..8 {
        let mut tenants = all.clone();
        let each = ["count", "configMapKeyRef", "selector"].into_iter().enumerate();
        for (_, absent) in each.filter(|(bit, _)| sources & (1 << bit) == 0) {
            tenants.as_object_mut().unwrap().remove(absent);
        }
        let object = with("/spec/databases/0/tenants", tenants);
        match u32::count_ones(sources) {
            1 => accepted(&object, None),
            _ => refused(&object, None, "exactly one of count, configMapKeyRef and selector"),
        }
    }
}

fn selector(labels: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Workspace", "namespaces": "Own",
           "labelSelector": labels})
}

#[test]
fn a_selector_that_no_object_could_match_is_refused() {
    let by = |path: &str, value: Value| {
        let mut object =
            with("/spec/databases/0/tenants", json!({"selector": selector(json!({}))}));
        object.pointer_mut("/spec/databases/0/tenants/selector").unwrap()[path] = value;
        object
    };
    for version in ["example.com/v1/x", "/v1", "V1", ""] {
        refused(&by("apiVersion", json!(version)), None, "write it like example.com/v1 or v1");
    }
    for version in ["v1", "apps/v1", "a-b.example.com/v1alpha1"] {
        accepted(&by("apiVersion", json!(version)), None);
    }
    refused(&by("kind", json!("work spaces")), None, "write it like Workspace");
    let expression = |operator: &str, values: Value| {
        let one = json!({"key": "cloud", "operator": operator, "values": values});
        by("labelSelector", json!({"matchExpressions": [one]}))
    };
    for (operator, values) in [("In", json!([])), ("Exists", json!(["a"]))] {
        refused(&expression(operator, values), None, "values with In and NotIn, none with");
    }
    accepted(&expression("NotIn", json!(["a"])), None);
    accepted(&expression("DoesNotExist", json!([])), None);
}

#[test]
fn a_peer_is_pods_or_addresses() {
    let path = "/spec/networkPolicy";
    let of = |peer: Value| with(path, json!({"clients": [peer]}));
    let pods = json!({"podSelector": {}, "namespaceSelector": {"matchLabels": {"a": "b"}}});
    let range = json!({"ipBlock": {"cidr": "10.0.0.0/8"}});
    let both = json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}});
    for peer in [json!({}), both] {
        refused(&of(peer), None, "either ipBlock or at least one of");
    }
    for peer in [pods, range] {
        accepted(&of(peer), None);
    }
    accepted(&with(path, json!({})), None);
}

#[test]
fn verification_without_an_authority_is_refused() {
    let path = "/spec/server/tls";
    refused(
        &with(path, json!({"mode": "verify-full"})),
        None,
        "found mode verify-full without caSecretRef",
    );
    accepted(&with(path, json!({"mode": "verify-ca", "caSecretRef": {"name": "ca"}})), None);
}

#[test]
fn channel_binding_needs_tls() {
    let server = |mode: &str, binding: &str| {
        let mut object = with("/spec/server/tls/mode", json!(mode));
        object["spec"]["server"]["channelBinding"] = json!(binding);
        object
    };
    refused(&server("disable", "require"), None, "expected channelBinding require only with TLS");
    for (mode, binding) in [("disable", "prefer"), ("allow", "require")] {
        accepted(&server(mode, binding), None);
    }
}

fn rules(rules: Value, client_tls: Option<Value>) -> Value {
    let mut object = with("/spec/auth/rules", rules);
    if let Some(tls) = client_tls {
        object["spec"]["clientTls"] = tls;
    }
    object
}

#[test]
fn clients_are_verified_by_an_authority_only() {
    let secret = json!({"name": "tls"});
    for mode in ["verify-ca", "verify-full"] {
        let mut tls = json!({"mode": mode, "secretRef": secret});
        let said = format!("found mode {mode} without clientCaSecretRef");
        refused(&with("/spec/clientTls", tls.clone()), None, &said);
        tls["clientCaSecretRef"] = json!({"name": "clients-ca"});
        accepted(&with("/spec/clientTls", tls), None);
    }
    accepted(&with("/spec/clientTls", json!({"mode": "require", "secretRef": secret})), None);
}

#[test]
fn what_needs_tls_towards_clients_is_refused_without() {
    let (secret, ca) = (json!({"name": "tls"}), json!({"name": "clients-ca"}));
    let off = json!({"mode": "disable", "secretRef": secret, "clientCaSecretRef": ca});
    let on = json!({"mode": "allow", "secretRef": secret});
    let asking = json!({"mode": "allow", "secretRef": secret, "clientCaSecretRef": ca});
    let cert = json!([{"type": "hostssl", "method": "cert"}]);
    for rule in [
        cert.clone(),
        json!([{"type": "hostssl", "method": "trust"}]),
        json!([{"type": "host", "method": "password"}]),
    ] {
        for tls in [None, Some(off.clone())] {
            refused(
                &rules(rule.clone(), tls),
                None,
                "only with TLS towards clients: add clientTls",
            );
        }
        accepted(&rules(rule, Some(asking.clone())), None);
    }
    refused(&rules(cert, Some(on)), None, "add clientTls.clientCaSecretRef");
    for rule in [
        json!([{"type": "hostnossl", "method": "password"}]),
        json!([{"type": "host", "method": "reject"}]),
    ] {
        accepted(&rules(rule, None), None);
    }
}

#[test]
fn certificates_come_by_tls_and_maps_with_them() {
    let tls = json!({"mode": "allow", "secretRef": {"name": "tls"},
                     "clientCaSecretRef": {"name": "clients-ca"}});
    let refuses =
        |rule: Value, reason| refused(&rules(json!([rule]), Some(tls.clone())), None, reason);
    refuses(json!({"type": "host", "method": "cert"}), "method cert in a rule of type host");
    let mapped = json!({"type": "hostssl", "method": "md5", "map": "staff"});
    refuses(mapped, "found a map beside method md5");
    let mapped = json!({"type": "hostssl", "method": "cert", "map": "staff"});
    accepted(&rules(json!([mapped]), Some(tls)), None);
}

#[test]
fn a_name_that_makes_no_service_is_refused() {
    let long = "a".repeat(53);
    refuses("/metadata/name", &["1a", "a.b", "A", &long], "expected at most 52 lower-case");
    accepts("/metadata/name", &["a", "a-1"]);
}

#[test]
fn a_database_name_that_postgres_would_not_take_is_refused() {
    let long = "ß".repeat(32);
    refuses("/spec/databases/0/name", &["a\nb", &long], "expected a PostgreSQL name");
    accepted(&with("/spec/databases/0/name", json!("größe & co")), None);
}

#[test]
fn the_budget_and_max_replicas_of_a_living_object_may_go_either_way() {
    for replicas in [2, 4] {
        accepted(&with("/spec/maxReplicas", json!(replicas)), Some(&good()));
    }
    for connections in [124, 200] {
        accepted(&with("/spec/server/budget/maxConnections", json!(connections)), Some(&good()));
    }
}

#[test]
fn the_servers_connections_need_not_be_known() {
    accepted(&with("/spec/server/budget", json!({"reserve": 3})), None);
}

#[test]
fn an_autoscaler_may_write_any_replicas() {
    accepted(&with("/spec/replicas", json!(1000)), Some(&good()));
}
