//! The operator, installed once by its chart for all tests, or for one namespace and one test.
//! The former goes with the cluster; a test that removes it puts it back.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::command::{Namespace, run, text};
use super::manifest;
use super::wait::{eventually, seconds};
use crate::pooler::{http_get, sum_of_metric};

/// Release, namespace, Deployment and ServiceAccount: a name that no user's own install has.
const NAME: &str = "poolwright-tests";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[derive(Clone, Debug)]
pub struct Operator {
    pub namespace: Namespace,
    /// Of the release, and of what it consists of.
    pub name: String,
}

impl Operator {
    /// Installs it if this process has not yet.
    pub async fn installed() -> Result<Operator> {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let operator = Operator { namespace: Namespace(NAME.to_owned()), name: NAME.to_owned() };
        INSTALLED.get_or_try_init(async || operator.put_back().await).await?;
        Ok(operator)
    }

    /// Installs the one for all tests in its namespace.
    pub async fn put_back(&self) -> Result<()> {
        self.namespace.apply(&manifest::namespace(NAME)).await?;
        self.install(&[]).await
    }

    /// One in this namespace that serves no other, with these values of the chart, as `name=JSON`.
    pub async fn confined(namespace: &str, values: &[&str]) -> Result<Operator> {
        let name = "poolwright-confined".to_owned();
        let operator = Operator { namespace: Namespace(namespace.to_owned()), name };
        let watched = format!("watchNamespace={namespace}");
        let ours = ["--set", &watched, "--set", "crds.install=false"];
        let more = values.iter().flat_map(|value| ["--set-json", value]);
        operator.install(&ours.into_iter().chain(more).collect::<Vec<_>>()).await?;
        Ok(operator)
    }

    async fn install(&self, more: &[&str]) -> Result<()> {
        self.install_version(&format!("{ROOT}/charts/poolwright"), &image()?, more).await
    }

    /// Installs this version over whichever is there.
    pub async fn install_version(&self, chart: &str, image: &str, more: &[&str]) -> Result<()> {
        let (repository, tag) = image.rsplit_once(':').context("IMAGE: expected NAME:TAG")?;
        let image = format!("image.repository={repository},image.tag={tag}");
        let Operator { namespace: Namespace(namespace), name } = self;
        let arguments = ["upgrade", "--install", name, chart, "--namespace", namespace];
        let wait = ["--set", &image, "--wait", "--timeout", "120s"];
        let all = [&arguments[..], &wait[..], more].concat();
        run("helm", &all, "").await.context("install the chart").map(drop)
    }

    pub async fn uninstall(&self) -> Result<()> {
        let Operator { namespace: Namespace(namespace), name } = self;
        let arguments = ["uninstall", name, "--namespace", namespace, "--wait"];
        run("helm", &arguments, "").await.context("uninstall the chart").map(drop)
    }

    /// Goes back to an earlier revision of the release.
    pub async fn roll_back(&self, revision: &str) -> Result<()> {
        let Operator { namespace: Namespace(namespace), name } = self;
        let arguments = ["rollback", name, revision, "--namespace", namespace, "--wait"];
        run("helm", &arguments, "").await.map(drop)
    }

    /// The release's newest revision.
    pub async fn revision(&self) -> Result<String> {
        let Operator { namespace: Namespace(namespace), name } = self;
        let list = ["--max", "1", "--output", "json"];
        let arguments = [&["history", name, "--namespace", namespace][..], &list].concat();
        let history: Value = serde_json::from_str(&run("helm", &arguments, "").await?)?;
        Ok(history[0]["revision"].to_string())
    }

    /// Names in the values the query that `helm test` sends, as NAME=VALUE,… below `test`.
    pub async fn name_test(&self, values: &str) -> Result<()> {
        let values = values.split(',').map(|it| format!("test.{it}")).collect::<Vec<_>>().join(",");
        self.install(&["--reset-then-reuse-values", "--set", &values]).await
    }

    /// What `helm test` says; it prints what its pods say as errors.
    pub async fn test(&self) -> Result<String> {
        let Operator { namespace: Namespace(namespace), name } = self;
        let test = format!("helm --namespace {namespace} test {name} --timeout 60s 2>&1");
        run("sh", &["-c", &test], "").await
    }

    /// Ends its pods, until it is told to work again.
    pub async fn rest(&self) -> Result<()> {
        self.scale(0).await?;
        eventually("the operator has ended", seconds(60), async || {
            let pods = "pods --selector app.kubernetes.io/component=operator";
            Ok(self.namespace.list(pods).await?.is_empty().then_some(()))
        })
        .await
    }

    pub async fn work(&self) -> Result<()> {
        self.scale(1).await?;
        self.all_ready().await
    }

    /// Waits until as many are ready as were asked for.
    pub async fn all_ready(&self) -> Result<()> {
        let ready = format!("rollout status deployment/{} --timeout 90s", self.name);
        self.namespace.kubectl(&ready).await.map(drop)
    }

    /// The pod that holds the Lease: its name.
    pub async fn leader(&self) -> Result<String> {
        let lease = self.namespace.get(&format!("lease/{}", self.name)).await?;
        Ok(text(&lease, "/spec/holderIdentity").to_owned())
    }

    /// Asks for so many; one of them leads.
    pub async fn scale(&self, replicas: u32) -> Result<()> {
        let scale = format!("scale deployment/{} --replicas {replicas}", self.name);
        self.namespace.kubectl(&scale).await.map(drop)
    }

    /// The name that the API server knows it by.
    pub fn user() -> String {
        format!("system:serviceaccount:{NAME}:{NAME}")
    }

    /// Kills its pod: SIGKILL, no time to end well.
    pub async fn kill(&self) -> Result<String> {
        let (name, _) = self.pod().await?;
        self.namespace.kubectl(&format!("delete pod {name} --grace-period 0 --force")).await?;
        Ok(name)
    }

    /// Waits until a pod other than `old` serves.
    pub async fn is_back(&self, old: &str) -> Result<()> {
        eventually("the operator is back", seconds(90), async || {
            self.namespace
                .kubectl(&format!("rollout status deployment/{} --timeout 1s", self.name))
                .await?;
            Ok((self.pod().await?.0 != old).then_some(()))
        })
        .await
    }

    /// Reconciles since its start.
    pub async fn reconciles(&self) -> Result<f64> {
        let body = self.metrics().await?;
        Ok(sum_of_metric(&body, "poolwright_operator_reconciles_total", ""))
    }

    /// What its pod says of itself now.
    pub async fn metrics(&self) -> Result<String> {
        let (_, address) = self.pod().await?;
        Ok(http_get(&address, 8080, "/metrics").await?.1)
    }

    pub async fn log(&self) -> Result<String> {
        self.namespace.kubectl(&format!("logs deployment/{} --tail 400", self.name)).await
    }

    async fn pod(&self) -> Result<(String, String)> {
        let pods =
            self.namespace.list("pods --selector app.kubernetes.io/component=operator").await?;
        let living = pods.iter().find(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        let pod = living.context("no pod of the operator")?;
        Ok((text(pod, "/metadata/name").to_owned(), text(pod, "/status/podIP").to_owned()))
    }
}

/// The image under test: `IMAGE`, else the one that was built last.
pub fn image() -> Result<String> {
    if let Ok(image) = std::env::var("IMAGE") {
        return Ok(image);
    }
    let file = PathBuf::from(ROOT).join("target/image/name");
    let name = std::fs::read_to_string(file).context("no image is built: run `make image`")?;
    Ok(name.trim().to_owned())
}
