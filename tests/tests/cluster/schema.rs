//! What the API server refuses by the schema, with a message that says what to do.

use anyhow::{Context, Result, bail, ensure};
use poolwright_tests::kube::stage::Stage;
use serde_json::{Value, json};

on_stage! {
    bad_values_are_refused_at_apply 0: each_bad_value;
}

async fn refused(stage: &Stage, manifest: &Value, says: &[&str]) -> Result<()> {
    let error = match stage.namespace.would_apply(manifest).await {
        Ok(_) => bail!("accepted, but expected to be refused with {says:?}"),
        Err(error) => format!("{error:#}"),
    };
    let told = error.rsplit("poolercluster --request").next().unwrap_or(&error);
    let told = told.split_once("is invalid:").map_or(told, |(_, told)| told);
    println!("      {}", told.trim().replace('\n', "\n      "));
    let missing: Vec<_> = says.iter().filter(|part| !error.contains(**part)).collect();
    ensure!(missing.is_empty(), "expected {missing:?} in {error}");
    Ok(())
}

fn bad_values() -> Vec<(Value, &'static [&'static str])> {
    let ratio = |text: &str| json!({"sizing": {"connectionsPerTenant": text}});
    let database = |name: &str, tenants: Value| json!({"name": name, "tenants": tenants});
    let databases = |list: &[Value]| json!({ "databases": list });
    let selector = |version: &str, labels: Value| {
        let kind = json!({"apiVersion": version, "kind": "Workspace", "labelSelector": labels});
        json!({ "selector": kind })
    };
    let exists = json!({"key": "cloud", "operator": "Exists", "values": ["01"]});
    vec![
        (json!({"drain": {"timeout": "120"}}), &["spec.drain.timeout", "\"120\"", "with its unit"]),
        (json!({"drain": {"timeout": "2 mins"}}), &["spec.drain.timeout", "500ms, 5s, 10m"]),
        (json!({"drain": {"timeout": "5h"}}), &["spec.drain.timeout", "from 1s to 1h"]),
        (json!({"sizing": {"perTenant": {"reserveTimeout": "1"}}}), &["reserveTimeout", "unit"]),
        (
            ratio("2,5"),
            &["spec.sizing.connectionsPerTenant", "\"2,5\"", "a decimal number above 0"],
        ),
        (ratio("0"), &["spec.sizing.connectionsPerTenant", "write it like \"2.5\""]),
        (ratio("-1"), &["spec.sizing.connectionsPerTenant", "write it like \"2.5\""]),
        (ratio("2.5001"), &["spec.sizing.connectionsPerTenant", "at most three decimals"]),
        (
            json!({"sizing": {"perDatabase": {"min": 7, "max": 6}}}),
            &["spec.sizing.perDatabase", "lower min or raise max"],
        ),
        (
            json!({"sizing": {"perTenant": {"min": 6, "poolSize": 5}}}),
            &["spec.sizing.perTenant", "lower min or raise poolSize"],
        ),
        (
            json!({"server": {"budget": {"maxConnections": 7, "reserve": 5}}}),
            &[
                "spec.server.budget",
                "at least maxReplicas",
                "raise the budget or lower maxReplicas",
            ],
        ),
        (
            json!({"server": {"endpoints": {"writer": "pg.example:99999"}}}),
            &["spec.server.endpoints.writer", "port from 1 to 65535"],
        ),
        (
            json!({"server": {"tls": {"mode": "verify-full"}}}),
            &["spec.server.tls", "add caSecretRef"],
        ),
        (
            json!({"server": {"tls": {"mode": "disable"}, "channelBinding": "require"}}),
            &["spec.server", "channelBinding require only with TLS"],
        ),
        (
            json!({"clientTls": {"mode": "verify-full", "secretRef": {"name": "app-tls"}}}),
            &["spec.clientTls", "add clientCaSecretRef"],
        ),
        (
            json!({"auth": {"rules": [{"type": "hostssl", "method": "md5"}]}}),
            &["spec.auth.rules", "add clientTls"],
        ),
        (
            json!({"auth": {"rules": [{"method": "cert"}]}}),
            &["spec.auth.rules[0]", "found method cert in a rule of type host"],
        ),
        (
            databases(&[database("a", json!({"count": 1})), database("a", json!({"count": 2}))]),
            &["spec.databases[1]", "Duplicate value"],
        ),
        (
            databases(&[database("a", json!({}))]),
            &["exactly one of count, configMapKeyRef and selector"],
        ),
        (
            databases(&[database("a", selector("example.com", json!({})))]),
            &["tenants.selector.apiVersion", "example.com/v1 or v1"],
        ),
        (
            databases(&[database("a", selector("v1", json!({"matchExpressions": [exists]})))]),
            &["matchExpressions[0]", "values with In and NotIn, none with Exists"],
        ),
        (databases(&[]), &["spec.databases"]),
        (
            json!({"networkPolicy": {"clients": [{}]}}),
            &["spec.networkPolicy.clients[0]", "either ipBlock or at least one of podSelector"],
        ),
        (
            json!({"networkPolicy": {"metrics": [{"ipBlock": {"cidr": "10.0.0.0"}}]}}),
            &["spec.networkPolicy.metrics[0].ipBlock.cidr", "10.0.0.0"],
        ),
        (
            json!({"poolMode": "server"}),
            &["spec.poolMode", "\"transaction\", \"session\", \"statement\""],
        ),
        (json!({"replicas": -1}), &["spec.replicas", "greater than or equal to 0"]),
        (
            json!({"sizing": {"connectionPerTenant": "2.5"}}),
            &["unknown field \"spec.sizing.connectionPerTenant\""],
        ),
    ]
}

async fn each_bad_value(stage: &Stage) -> Result<()> {
    stage
        .namespace
        .would_apply(&stage.cluster("good", json!({}))?)
        .await
        .context("the good one")?;
    for (spec, says) in bad_values() {
        let bad = stage.cluster("bad", json!({ "spec": spec }))?;
        refused(stage, &bad, says).await.with_context(|| format!("{spec}"))?;
    }
    Ok(())
}
