//! What the schema cannot see is a condition that names field, value, expectation and remedy.

use anyhow::{Result, ensure};
use poolwright_tests::kube::command::text;
use poolwright_tests::kube::manifest::{config_map, merge};
use poolwright_tests::kube::stage::Stage;
use serde_json::{Value, json};

on_stage! {
    what_the_schema_cannot_see_is_a_condition 0: each_condition;
}

/// A change to the spec, the condition that it makes false, and what its message has to say.
struct Case {
    spec: Value,
    type_: &'static str,
    says: &'static [&'static str],
}

fn tenants(name: &str, key: &str) -> Value {
    let tenants = json!({"configMapKeyRef": {"name": name, "key": key}});
    json!({"databases": [{"name": "cloud_01", "tenants": tenants}]})
}

fn objects(version: &str, kind: &str, more: &Value) -> Value {
    let mut selector = json!({"apiVersion": version, "kind": kind});
    merge(&mut selector, more);
    json!({"databases": [{"name": "cloud_01", "tenants": {"selector": selector}}]})
}

fn users(name: &str) -> Value {
    json!({"auth": {"users": [{"secretRef": {"name": name}}]}})
}

fn cases() -> Vec<Case> {
    let case = |spec, type_, says| Case { spec, type_, says };
    let authority = json!({"mode": "verify-full", "caSecretRef": {"name": "ca"}});
    vec![
        case(
            tenants("none", "a"),
            "TenantsResolved",
            &[
                "spec.databases[0].tenants.configMapKeyRef",
                "no ConfigMap none",
                "the ConfigMap that holds the number of tenants",
                "kubectl create configmap none --from-literal=a=10",
            ],
        ),
        case(tenants("tenants", "b"), "TenantsResolved", &["no key b in ConfigMap tenants"]),
        case(
            tenants("tenants", "words"),
            "TenantsResolved",
            &[
                "ConfigMap tenants, key words",
                "\"twenty\"",
                "a whole number of tenants from 0 to 1000000",
                "write digits only",
            ],
        ),
        case(tenants("tenants", "negative"), "TenantsResolved", &["\"-1\"", "a whole number"]),
        case(
            objects("example.com/v1", "Workspace", &json!({})),
            "TenantsResolved",
            &["tenants.selector: found no kind Workspace in example.com/v1", "install its"],
        ),
        case(
            objects("batch/v1", "Job", &json!({})),
            "TenantsResolved",
            &[
                "the operator may not list and watch",
                "- {apiGroups: [batch], resources: [jobs], verbs: [list, watch]}",
                "tenantKinds: [{apiGroup: batch, resource: jobs}]",
            ],
        ),
        case(
            objects("v1", "Namespace", &json!({})),
            "TenantsResolved",
            &["tenants.selector.namespaces", "whose objects are in no namespace", "write All"],
        ),
        case(
            objects("batch/v1", "Job", &json!({"namespaces": "All"})),
            "TenantsResolved",
            &["tenants.selector.namespaces", "tenantsInAllNamespaces: true"],
        ),
        case(
            objects("authorization.k8s.io/v1", "SelfSubjectAccessReview", &json!({})),
            "TenantsResolved",
            &["does not let anybody watch", "count its objects into a ConfigMap"],
        ),
        case(
            objects("v1", "ConfigMap", &json!({"labelSelector": {"matchLabels": {"a b": "c"}}})),
            "TenantsResolved",
            &["labelSelector.matchLabels[\"a b\"]", "the name of a label"],
        ),
        case(
            users("none"),
            "CredentialsReady",
            &[
                "spec.auth.users[0].secretRef.name",
                "no Secret none",
                "a Secret whose keys are users",
                "kubectl create secret generic none",
            ],
        ),
        case(users("odd"), "CredentialsReady", &["key ws_001", "a line break at the end"]),
        case(
            json!({"server": {"tls": authority}}),
            "CredentialsReady",
            &["spec.server.tls.caSecretRef.name", "no Secret ca"],
        ),
        case(
            json!({"clientTls": {"mode": "require", "secretRef": {"name": "none"}}}),
            "CredentialsReady",
            &[
                "spec.clientTls.secretRef.name",
                "no Secret none",
                "a Secret with tls.crt and tls.key",
                "kubectl create secret tls none",
            ],
        ),
        case(json!({"replicas": 9}), "ReplicasAccepted", &["spec.replicas is 9", "3 pods run"]),
        case(
            json!({"sizing": {"connectionsPerTenant": "9"}}),
            "BudgetSatisfied",
            &[
                "20 tenants × 9 = 180 > 50 budget",
                "130 connections more are wanted",
                "lower sizing.connectionsPerTenant or raise server.budget",
            ],
        ),
    ]
}

async fn each_condition(stage: &Stage) -> Result<()> {
    let counts = json!({"words": "twenty", "negative": "-1"});
    stage.namespace.apply(&config_map("tenants", &counts)).await?;
    let odd = json!({"ws_001": "secret\n"});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "odd"}});
    let mut secret = secret;
    merge(&mut secret, &json!({"stringData": odd}));
    stage.namespace.apply(&secret).await?;
    for (number, Case { spec, type_, says }) in cases().into_iter().enumerate() {
        let name = format!("case-{number}");
        let mut change = json!({"spec": {"replicas": 1}});
        merge(&mut change, &json!({ "spec": spec }));
        stage.namespace.apply(&stage.cluster(&name, change)?).await?;
        let condition = stage.condition(&name, type_, "False").await?;
        let message = text(&condition, "/message");
        println!("      {}", message.replace('\n', "\n      "));
        for part in says {
            ensure!(message.contains(part), "{name}: expected {part:?} in {message:?}");
        }
        stage.namespace.kubectl(&format!("delete poolercluster {name} --wait=false")).await?;
    }
    Ok(())
}
