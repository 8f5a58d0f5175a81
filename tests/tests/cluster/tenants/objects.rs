//! Tenants are objects of a kind that nobody knew when the operator was built: it is found when
//! it comes, counted when the operator may, and followed from then on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::audit::Mark;
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::operator::Operator;
use poolwright_tests::kube::stage::{Stage, condition};
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::{Value, json};
use tokio::time::sleep;

on_stage! {
    tenants_are_counted_over_objects_of_a_new_kind 125: a_kind_comes_and_is_counted;
}

const NAME: &str = "workspaces";
const GROUP: &str = "tests.poolwright.dev";
const CRD: &str = "workspaces.tests.poolwright.dev";
/// What a change of the objects may take to reach the status. It fails only beyond five times as
/// long.
const PROMISED: Duration = Duration::from_secs(3);

async fn a_kind_comes_and_is_counted(stage: &Stage) -> Result<()> {
    let gone = format!("delete crd {CRD} --ignore-not-found --timeout 60s");
    stage.namespace.kubectl(&gone).await?;
    let counted = counted(stage).await;
    stage.namespace.kubectl(&gone).await?;
    counted
}

async fn counted(stage: &Stage) -> Result<()> {
    stage.namespace.apply(&stage.cluster(NAME, by_selectors())?).await?;
    unresolved(stage, "KindNotServed", "no kind Workspace in tests.poolwright.dev/v1").await?;
    stage.namespace.apply(&definition()).await?;
    let denied = unresolved(stage, "RightMissing", "may not list and watch").await?;
    for cloud in ["01", "02"] {
        stage.namespace.apply(&workspaces(cloud, 10)).await?;
    }
    stage.namespace.apply(&workspaces("", 5)).await?;

    // The rule as it is printed is all that is needed, and nobody has to be told.
    let rule = denied.split_once("ClusterRole: ").and_then(|(_, it)| it.split_once(" or this"));
    grant(stage, rule.context("no rule is printed")?.0).await?;
    stage.ready(NAME).await?;
    counts(stage, 20).await?;
    let pods = stage.identities(NAME).await?;

    changed(stage, "five more come", 25, &["apply", "-f", "-"], &workspaces("03", 5)).await?;
    let label = |it: &str| format!("label workspace cloud01-1 {it} --overwrite");
    told(stage, "one loses its label", 24, &label("cloud-")).await?;
    told(stage, "and gets another", 25, &label("cloud=02")).await?;
    told(stage, "three are deleted", 22, "delete workspace cloud03-1 cloud03-2 cloud03-3").await?;
    what_nobody_selects_by_changes_nothing(stage).await?;
    a_burst_is_told_at_once(stage).await?;
    ensure!(stage.identities(NAME).await? == pods, "pods were replaced");
    a_right_that_goes_leaves_the_last_count_in_force(stage).await
}

/// cloud_01: the objects with label cloud=01; cloud_02: those of any other cloud.
fn by_selectors() -> Value {
    let selector = |labels: Value| {
        let kind = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Workspace"});
        let mut selector = kind;
        selector["labelSelector"] = labels;
        json!({ "selector": selector })
    };
    let others = json!([
        {"key": "cloud", "operator": "Exists"},
        {"key": "cloud", "operator": "NotIn", "values": ["01"]},
    ]);
    json!({"spec": {"replicas": 1, "databases": [
        {"name": "cloud_01", "tenants": selector(json!({"matchLabels": {"cloud": "01"}}))},
        {"name": "cloud_02", "tenants": selector(json!({"matchExpressions": others}))},
    ]}})
}

fn definition() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": "Workspace", "plural": "workspaces", "singular": "workspace"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    })
}

/// Objects of one cloud; of none without a name.
fn workspaces(cloud: &str, number: u32) -> Value {
    let one = |index: u32| {
        let labels = if cloud.is_empty() { json!({}) } else { json!({ "cloud": cloud }) };
        let metadata = json!({"name": format!("cloud{cloud}-{index}"), "labels": labels});
        json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Workspace", "metadata": metadata})
    };
    let items: Vec<_> = (0..number).map(one).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Gives the operator a rule in the namespace of the test.
async fn grant(stage: &Stage, rule: &str) -> Result<()> {
    let rules: Value = serde_yaml::from_str(rule).with_context(|| format!("{rule:?} as YAML"))?;
    let named = |kind: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "tenants"},
        })
    };
    let mut role = named("Role");
    role["rules"] = rules;
    let mut binding = named("RoleBinding");
    binding["roleRef"] =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenants"});
    binding["subjects"] = json!([{
        "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": Operator::user(),
    }]);
    stage.namespace.apply(&role).await?;
    stage.namespace.apply(&binding).await.map(drop)
}

/// Waits until TenantsResolved is false for this reason; its message.
async fn unresolved(stage: &Stage, reason: &str, says: &str) -> Result<String> {
    let message = eventually(&format!("TenantsResolved is {reason}"), seconds(150), async || {
        let cluster = stage.pooler_cluster(NAME).await?;
        let condition = condition(&cluster, "TenantsResolved").context("not there yet")?;
        ensure!(text(&condition, "/reason") == reason, "it is {condition}");
        Ok(Some(text(&condition, "/message").to_owned()))
    })
    .await?;
    println!("      {message}");
    ensure!(message.contains(says), "expected {says:?} in {message:?}");
    Ok(message)
}

async fn counts(stage: &Stage, tenants: i64) -> Result<()> {
    let start = Instant::now();
    loop {
        let cluster = stage.pooler_cluster(NAME).await?;
        let found = number(&cluster, "/status/sizing/tenants");
        if found == tenants {
            println!("    status counts {tenants} tenants: {:.1} s", start.elapsed().as_secs_f64());
            return Ok(());
        }
        ensure!(start.elapsed() < PROMISED * 5, "status counts {found}, not {tenants}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn told(stage: &Stage, what: &str, tenants: i64, kubectl: &str) -> Result<()> {
    let arguments: Vec<_> = kubectl.split(' ').collect();
    changed(stage, what, tenants, &arguments, &Value::Null).await
}

async fn changed(
    stage: &Stage,
    what: &str,
    tenants: i64,
    kubectl: &[&str],
    input: &Value,
) -> Result<()> {
    println!("    {what}");
    stage.namespace.run(kubectl, &input.to_string()).await?;
    counts(stage, tenants).await
}

async fn what_nobody_selects_by_changes_nothing(stage: &Stage) -> Result<()> {
    let (mark, before) = (Mark::now()?, stage.operator.reconciles().await?);
    for number in 1..=5 {
        let touch = format!("label workspaces --all touched=at-{number} --overwrite");
        stage.namespace.kubectl(&touch).await?;
    }
    // A change that counts comes after all of them.
    told(stage, "a hundred that do not count, and one that does", 21, "delete workspace cloud03-4")
        .await?;
    let writes = settings_written(&mark)?;
    let reconciles = stage.operator.reconciles().await? - before;
    println!("    settings were written {writes} times in {reconciles} reconciles");
    ensure!(writes == 1, "settings were written {writes} times");
    Ok(())
}

async fn a_burst_is_told_at_once(stage: &Stage) -> Result<()> {
    let mark = Mark::now()?;
    let start = Instant::now();
    changed(stage, "two hundred come", 221, &["apply", "-f", "-"], &workspaces("04", 200)).await?;
    let (writes, took) = (settings_written(&mark)?, start.elapsed().as_secs());
    println!("    settings were written {writes} times in {took} s");
    ensure!(writes as u64 <= took + 2, "settings were written {writes} times in {took} s");
    Ok(())
}

fn settings_written(mark: &Mark) -> Result<usize> {
    let operator = Operator::user();
    let ours = |what: &str| what.starts_with("patch configmaps") && what.contains("-settings");
    let writes = mark.since()?;
    Ok(writes.iter().filter(|(it, _)| it.user == operator && ours(&it.what)).map(|it| it.1).sum())
}

async fn a_right_that_goes_leaves_the_last_count_in_force(stage: &Stage) -> Result<()> {
    let settings = format!("configmap/{NAME}-settings");
    let before = stage.namespace.get(&settings).await?;
    stage.namespace.kubectl("delete rolebinding tenants").await?;
    // A new operator has to list anew.
    let killed = stage.operator.kill().await?;
    stage.operator.is_back(&killed).await?;
    unresolved(stage, "RightMissing", "may not list and watch").await?;
    ensure!(stage.namespace.get(&settings).await? == before, "the settings were changed");
    ensure!(number(&stage.pooler_cluster(NAME).await?, "/status/sizing/tenants") == 221, "counted");
    grant(
        stage,
        "- {apiGroups: [tests.poolwright.dev], resources: [workspaces], verbs: [list, watch]}",
    )
    .await?;
    stage.condition(NAME, "TenantsResolved", "True").await?;
    stage.ready(NAME).await
}
