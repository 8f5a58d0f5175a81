//! An operator for one namespace, with the rights that the chart gives it there and no other:
//! it does all that it does elsewhere, and says which right it lacks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::manifest::{config_map, tenants_from};
use poolwright_tests::kube::operator::Operator;
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::traffic::Traffic;
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::{Value, json};

on_stage! {
    an_operator_of_one_namespace_needs_no_other_right 50: with_the_smallest_rights;
    a_right_that_is_missing_is_printed_as_a_rule 0: each_right_in_turn;
    objects_of_all_namespaces_count_where_the_install_says_so 0: in_all_namespaces;
}

const NAME: &str = "workspaces";
/// Without the right to these no condition can be said; leases are read by operators of all
/// namespaces.
const UNSAID: [&str; 4] = ["poolerclusters", "poolerclusters/status", "events", "leases"];

/// While `test` runs only an operator of the stage's own namespace does, with these values of the
/// chart, as `name=JSON`.
async fn confined(
    stage: &Stage,
    values: &[&str],
    test: impl AsyncFnOnce(&Stage, &Operator) -> Result<()>,
) -> Result<()> {
    stage.operator.rest().await?;
    let played = match Operator::confined(&stage.namespace.0, values).await {
        Ok(operator) => {
            let played = test(stage, &operator).await;
            operator.uninstall().await.and(played)
        }
        Err(error) => Err(error),
    };
    stage.operator.work().await.and(played)
}

async fn with_the_smallest_rights(stage: &Stage) -> Result<()> {
    let leases = r#"tenantKinds=[{"apiGroup": "coordination.k8s.io", "resource": "leases"}]"#;
    confined(stage, &[leases], async |stage, operator| {
        stage.namespace.apply(&config_map("tenants", &json!({"cloud_01": "5"}))).await?;
        stage.namespace.apply(&labelled_leases(5)).await?;
        let mut tenants = tenants_from("tenants");
        tenants["spec"]["databases"][1]["tenants"] =
            objects("coordination.k8s.io/v1", "Lease", "Own");
        stage.serve(NAME, tenants).await?;
        let traffic = Traffic::start(stage, NAME, 40, Duration::from_millis(5)).await?;

        stage.namespace.patch("configmap/tenants", &json!({"data": {"cloud_01": "10"}})).await?;
        stage.namespace.apply(&labelled_leases(10)).await?;
        eventually("status counts 20 tenants", seconds(20), async || {
            let cluster = stage.pooler_cluster(NAME).await?;
            let formula = text(&cluster, "/status/sizing/formula");
            ensure!(formula == "20 tenants × 2.5 = 50 ≤ 50 budget", "the formula is {formula}");
            Ok(Some(()))
        })
        .await?;
        let scale = format!("scale poolercluster/{NAME} --replicas");
        stage.namespace.kubectl(&format!("{scale} 1")).await?;
        stage.ready(NAME).await?;
        stage.namespace.kubectl(&format!("{scale} 2")).await?;
        stage.ready(NAME).await?;
        let before = stage.identities(NAME).await?;
        let restart = format!("annotate poolercluster/{NAME} poolwright.dev/restartedAt=now");
        stage.namespace.kubectl(&restart).await?;
        eventually("both pods are new", seconds(150), async || {
            let now = stage.identities(NAME).await?;
            Ok((now.len() == 2 && now.iter().all(|it| !before.contains(it))).then_some(()))
        })
        .await?;
        stage.ready(NAME).await?;
        traffic.goes_on().await?;
        traffic.stop().await?.is_clean()?;

        let log = operator.log().await?;
        let refused = log.lines().find(|line| line.to_lowercase().contains("forbidden"));
        ensure!(refused.is_none(), "the operator was refused: {refused:?}");
        let events = stage.namespace.list("events.events.k8s.io").await?;
        let ours = |it: &&Value| text(it, "/reportingController") == "poolwright-operator";
        ensure!(events.iter().any(|it| ours(&it)), "no Event was written");
        Ok(())
    })
    .await
}

/// Objects of this kind with the label of [`labelled`].
fn objects(version: &str, kind: &str, namespaces: &str) -> Value {
    json!({"selector": {
        "apiVersion": version,
        "kind": kind,
        "namespaces": namespaces,
        "labelSelector": {"matchLabels": {"tenant": "yes"}},
    }})
}

fn labelled(version: &str, kind: &str, name: &str) -> Value {
    let metadata = json!({"name": name, "labels": {"tenant": "yes"}});
    json!({"apiVersion": version, "kind": kind, "metadata": metadata})
}

/// Objects that no operator has to do with otherwise.
fn labelled_leases(number: u32) -> Value {
    let one = |index| labelled("coordination.k8s.io/v1", "Lease", &format!("tenant-{index}"));
    json!({"apiVersion": "v1", "kind": "List", "items": (0..number).map(one).collect::<Vec<_>>()})
}

/// Namespaces are in no namespace; the operator serves one all the same.
async fn in_all_namespaces(stage: &Stage) -> Result<()> {
    let kinds = r#"tenantKinds=[{"apiGroup": "", "resource": "namespaces"}]"#;
    let values = [kinds, "tenantsInAllNamespaces=true"];
    let names = ["poolwright-tenant-a", "poolwright-tenant-b"];
    let counted = confined(stage, &values, async |stage, _| {
        let database = json!({"name": "cloud_01", "tenants": objects("v1", "Namespace", "All")});
        stage.serve(NAME, json!({"spec": {"replicas": 1, "databases": [database]}})).await?;
        for name in names {
            stage.namespace.apply(&labelled("v1", "Namespace", name)).await?;
        }
        eventually("status counts both namespaces", seconds(20), async || {
            let cluster = stage.pooler_cluster(NAME).await?;
            Ok((number(&cluster, "/status/sizing/tenants") == 2).then_some(()))
        })
        .await
    })
    .await;
    let gone = format!("delete namespace {} --ignore-not-found --wait=false", names.join(" "));
    stage.namespace.kubectl(&gone).await.map(drop).and(counted)
}

/// Takes each rule away in which a condition can be said, and gives it back.
async fn each_right_in_turn(stage: &Stage) -> Result<()> {
    confined(stage, &[], async |stage, operator| {
        stage.serve(NAME, json!({"spec": {"replicas": 1}})).await?;
        let role = stage.namespace.get(&format!("role/{}", operator.name)).await?;
        let rules = role["rules"].as_array().context("a role without rules")?.clone();
        for resource in rules.iter().map(|rule| text(rule, "/resources/0")) {
            if !UNSAID.contains(&resource) {
                set_rules(stage, operator, &without(&rules, resource)).await?;
                missing(stage, operator, &rules, NAME, resource).await?;
            }
        }
        // Not asked for before something has to be made.
        let unable = without_verb(&rules, "statefulsets", "create");
        set_rules(stage, operator, &unable).await?;
        stage.namespace.apply(&stage.cluster("second", json!({"spec": {"replicas": 1}}))?).await?;
        missing(stage, operator, &rules, "second", "statefulsets").await?;
        unsaid(stage, operator, &rules).await
    })
    .await
}

fn without(rules: &[Value], resource: &str) -> Vec<Value> {
    rules.iter().filter(|rule| text(rule, "/resources/0") != resource).cloned().collect()
}

fn without_verb(rules: &[Value], resource: &str, verb: &str) -> Vec<Value> {
    let mut rules = rules.to_vec();
    for rule in rules.iter_mut().filter(|rule| text(rule, "/resources/0") == resource) {
        if let Some(verbs) = rule["verbs"].as_array_mut() {
            verbs.retain(|it| it != verb);
        }
    }
    rules
}

async fn set_rules(stage: &Stage, operator: &Operator, rules: &[Value]) -> Result<()> {
    stage.namespace.patch(&format!("role/{}", operator.name), &json!({ "rules": rules })).await?;
    Ok(())
}

/// Stalled prints the rule for the resource; with all of them it goes on, by itself where there is
/// the time to see that.
async fn missing(
    stage: &Stage,
    operator: &Operator,
    all: &[Value],
    name: &str,
    resource: &str,
) -> Result<()> {
    println!("    without {resource}");
    let touch = async |why: &str| {
        let annotate =
            format!("annotate poolercluster/{name} touched={resource}-{why} --overwrite");
        stage.namespace.kubectl(&annotate).await
    };
    touch("missing").await?;
    let stalled = stage.condition(name, "Stalled", "True").await?;
    let message = text(&stalled, "/message");
    println!("      {message}");
    ensure!(text(&stalled, "/reason") == "RightMissing", "it is {stalled}");
    let printed = message.split_once("ClusterRole: ").context("no rule is printed")?.1;
    let printed: Value = serde_yaml::from_str(printed).context("the rule as YAML")?;
    let resources = printed[0]["resources"].as_array().context("a rule without resources")?;
    let of_ours = |rule: &&Value| {
        let ours = rule["resources"].as_array();
        ours.is_some_and(|ours| resources.iter().all(|it| ours.contains(it)))
    };
    let ours = all.iter().find(of_ours).context("a rule of another resource")?;
    let same = |part: &str| ours[part] == printed[0][part];
    ensure!(same("apiGroups") && same("verbs"), "{printed} is not as in {ours}");
    set_rules(stage, operator, all).await?;
    if resource != "statefulsets" {
        touch("back").await?;
    }
    stage.ready(name).await
}

/// What cannot be said in a condition is in the log.
async fn unsaid(stage: &Stage, operator: &Operator, rules: &[Value]) -> Result<()> {
    let cases = [
        (
            "poolerclusters/status",
            2,
            "{apiGroups: [poolwright.dev], resources: [poolerclusters/status], verbs: [patch]}",
        ),
        ("events", 1, "{apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch]}"),
    ];
    for (resource, replicas, rule) in cases {
        println!("    without {resource}");
        set_rules(stage, operator, &without(rules, resource)).await?;
        let scale = format!("scale poolercluster/{NAME} --replicas {replicas}");
        stage.namespace.kubectl(&scale).await?;
        eventually("the log prints the rule", seconds(60), async || {
            Ok(operator.log().await?.contains(rule).then_some(()))
        })
        .await?;
        set_rules(stage, operator, rules).await?;
        stage.ready(NAME).await?;
    }
    Ok(())
}
