//! What a PoolerCluster looks like in Kubernetes: safe pods, a scale subresource, columns, a
//! NetworkPolicy.

use anyhow::{Context, Result, ensure};
use poolwright_tests::kube::command::{number, text};
use poolwright_tests::kube::manifest::config_map;
use poolwright_tests::kube::stage::Stage;
use poolwright_tests::kube::wait::{eventually, seconds};
use serde_json::json;

on_stage! {
    pods_run_with_no_rights 0: pods_without_rights;
    objects_are_made_by_applying_where_there_was_none 0: made_by_applying;
    disruption_budgets_and_scales_follow_the_replicas 0: follows_the_replicas;
    a_network_policy_is_there_as_long_as_it_is_asked_for 0: network_policy;
    a_paused_pooler_cluster_is_left_alone 0: left_alone;
}

const NAME: &str = "workspaces";

/// The namespace takes only pods that Pod Security calls restricted; the rest is asked of the
/// process itself.
async fn pods_without_rights(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({"spec": {"replicas": 1}})).await?;
    let pods = stage.pods(NAME).await?;
    let pod = pods.first().context("no pod")?;
    ensure!(pod.pointer("/spec/automountServiceAccountToken") == Some(&json!(false)), "{pod}");
    ensure!(!pod["spec"]["volumes"].to_string().contains("serviceAccountToken"), "a token: {pod}");
    ensure!(text(pod, "/spec/serviceAccountName") == "workspaces-pooler", "{pod}");

    let inside = async |script: &str| {
        let arguments = ["exec", "workspaces-0", "--", "sh", "-c", script];
        stage.namespace.run(&arguments, "").await
    };
    let status = inside("cat /proc/1/status").await?;
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    println!(
        "    user {}, capabilities {}, seccomp {}",
        line("Uid:"),
        line("CapBnd:"),
        line("Seccomp:")
    );
    ensure!(line("Uid:") == "65532 65532 65532 65532", "{status}");
    ensure!(
        line("CapEff:") == "0000000000000000" && line("CapBnd:") == "0000000000000000",
        "{status}"
    );
    ensure!(line("NoNewPrivs:") == "1" && line("Seccomp:") == "2", "{status}");
    for place in ["/", "/etc/poolwright/settings/", "/usr/local/bin/", "/tmp/"] {
        let written = inside(&format!("touch {place}file")).await;
        ensure!(written.is_err(), "{place} may be written to");
    }
    ensure!(
        inside("cat /var/run/secrets/kubernetes.io/serviceaccount/token").await.is_err(),
        "a token"
    );
    Ok(())
}

/// What the operator makes has one manager of ours, by whom what is built no longer goes: nobody
/// keeps fields from a creation of another kind. That rests on the API server, which creates what
/// is applied with version 1, and refuses it where something stands.
async fn made_by_applying(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({"spec": {"replicas": 1}})).await?;
    let kinds = "statefulsets,configmaps,secrets,services,serviceaccounts";
    let ours = "--selector app.kubernetes.io/managed-by=poolwright-operator --show-managed-fields";
    let objects = stage.namespace.list(&format!("{kinds} {ours}")).await?;
    ensure!(objects.len() >= 8, "the operator made {} objects", objects.len());
    for object in &objects {
        let managers = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let ours = managers.filter(|it| text(it, "/manager") == "poolwright-operator");
        let ours: Vec<_> = ours.map(|it| text(it, "/operation")).collect();
        let name = [text(object, "/kind"), text(object, "/metadata/name")].join(" ");
        ensure!(ours == ["Apply"], "{name} is managed by {ours:?} of the operator's");
    }

    let mut came = config_map("came-meanwhile", &json!({"a": "1"}));
    came["metadata"]["resourceVersion"] = json!("1");
    let manifest = came.to_string();
    let apply = ["apply", "--server-side", "--filename", "-"];
    stage.namespace.run(&apply, &manifest).await?;
    let refused = stage.namespace.run(&apply, &manifest).await.err();
    let refused = refused.context("an object that was there was applied over")?;
    ensure!(format!("{refused:#}").contains("the object has been modified"), "{refused:#}");
    Ok(())
}

async fn follows_the_replicas(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({"spec": {"replicas": 2}})).await?;
    let budget = stage.namespace.get(&format!("poddisruptionbudget/{NAME}")).await?;
    ensure!(number(&budget, "/spec/maxUnavailable") == 1, "{budget}");
    ensure!(text(&budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow", "{budget}");

    stage.namespace.kubectl(&format!("scale poolercluster/{NAME} --replicas 1")).await?;
    stage.ready(NAME).await?;
    eventually("a single pod has no PodDisruptionBudget", seconds(30), async || {
        Ok(stage.namespace.list("poddisruptionbudgets").await?.is_empty().then_some(()))
    })
    .await?;
    let scale = stage.namespace.get(&format!("poolercluster/{NAME} --subresource scale")).await?;
    ensure!(
        number(&scale, "/spec/replicas") == 1 && number(&scale, "/status/replicas") == 1,
        "{scale}"
    );
    let selector = text(&scale, "/status/selector");
    let selected = stage.namespace.list(&format!("pods --selector {selector}")).await?;
    ensure!(selected.len() == 1, "{selector} selects {} pods", selected.len());
    columns(stage).await?;

    // An autoscaler's wish is taken, however large.
    stage.namespace.kubectl(&format!("scale poolercluster/{NAME} --replicas 9")).await?;
    let capped = stage.condition(NAME, "ReplicasAccepted", "False").await?;
    ensure!(text(&capped, "/reason") == "Capped", "{capped}");
    stage.ready(NAME).await?;
    let scale = stage.namespace.get(&format!("poolercluster/{NAME} --subresource scale")).await?;
    let both = ["/spec/replicas", "/status/replicas"].map(|it| number(&scale, it));
    ensure!(both == [9, 3], "{scale}");
    Ok(())
}

async fn columns(stage: &Stage) -> Result<()> {
    let table = stage.namespace.kubectl("get poolerclusters").await?;
    println!("    {}", table.trim().replace('\n', "\n    "));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = table.lines().map(words).collect();
    let [head, row] = &rows[..] else { anyhow::bail!("expected one PoolerCluster: {table}") };
    ensure!(head == &words("NAME READY PODS TENANTS GRANTED/BUDGET MODE AGE"), "{table}");
    ensure!(row[..6] == words("workspaces True 1/1 20 50/50 transaction"), "{table}");
    Ok(())
}

/// Its shape, and that it means the operator's own pods: the network of the local cluster enforces
/// no policy.
async fn network_policy(stage: &Stage) -> Result<()> {
    let clients = json!([{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]);
    let wanted = json!({"spec": {"replicas": 0, "networkPolicy": {"clients": clients}}});
    stage.namespace.apply(&stage.cluster(NAME, wanted)?).await?;
    let policy = eventually("there is a NetworkPolicy", seconds(30), async || {
        Ok(Some(stage.namespace.get(&format!("networkpolicy/{NAME}-pooler")).await?))
    })
    .await?;
    let ports = policy["spec"]["ingress"].as_array().context("it lets nobody in")?;
    let from = |port: i64| ports.iter().find(|it| number(it, "/ports/0/port") == port);
    let from = |port| from(port).with_context(|| format!("no rule for port {port}: {policy}"));
    // The pods too, which send cancels on to each other.
    let pods = json!({"podSelector": policy["spec"]["podSelector"]});
    let allowed = [clients.as_array().context("a list")?.as_slice(), &[pods]].concat();
    ensure!(from(6432)?["from"] == json!(allowed), "clients: {policy}");
    ensure!(from(9187)?.get("from").is_none(), "metrics: {policy}");

    let operator = &from(9188)?["from"][0];
    let place = &operator["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
    ensure!(*place == stage.operator.namespace.0.as_str(), "settings: {policy}");
    let labels = operator["podSelector"]["matchLabels"].as_object().context("any pod")?;
    let labels =
        labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")));
    let selector = labels.collect::<Vec<_>>().join(",");
    let pods = stage.operator.namespace.list(&format!("pods --selector {selector}")).await?;
    ensure!(!pods.is_empty(), "{selector} selects no pod of the operator");

    let without = json!({"spec": {"networkPolicy": null}});
    stage.namespace.patch(&format!("poolercluster/{NAME}"), &without).await?;
    eventually("it is gone", seconds(30), async || {
        Ok(stage.namespace.list("networkpolicies").await?.is_empty().then_some(()))
    })
    .await
}

async fn left_alone(stage: &Stage) -> Result<()> {
    stage.serve(NAME, json!({"spec": {"replicas": 1}})).await?;
    let change = |reconcile: &str| json!({"spec": {"replicas": 2, "reconcile": reconcile}});
    stage.namespace.patch(&format!("poolercluster/{NAME}"), &change("paused")).await?;
    let said = stage.condition(NAME, "Reconciling", "False").await?;
    ensure!(text(&said, "/reason") == "Paused", "it says {said}");
    let set = stage.namespace.get(&format!("statefulset/{NAME}")).await?;
    ensure!(number(&set, "/spec/replicas") == 1, "it was scaled: {set}");
    stage.namespace.patch(&format!("poolercluster/{NAME}"), &change("active")).await?;
    stage.ready(NAME).await?;
    ensure!(stage.pods(NAME).await?.len() == 2, "it was not scaled");
    Ok(())
}
