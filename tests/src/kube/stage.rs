//! What one test stands on: a namespace of its own, the operator, a PostgreSQL if it wants one.
//! One test has the stage at a time, so that each has the machine for itself. If a test fails,
//! what Kubernetes knows of it is kept in `target/logs` before the namespace goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard};

use super::command::{Namespace, number, text};
use super::length;
use super::manifest;
use super::operator::Operator;
use super::server::Server;
use super::wait::{eventually, seconds};

static TURN: Mutex<()> = Mutex::const_new(());
const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/logs");
/// Name of the Secret with the users.
pub const USERS: &str = "users";

pub struct Stage {
    pub namespace: Namespace,
    pub operator: Operator,
    server: Option<Server>,
    name: String,
    start: Instant,
    done: bool,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// Plays `test` on a stage with a PostgreSQL of this budget; 0 for none.
    ///
    /// # Panics
    /// If the test fails.
    pub async fn play(name: &str, budget: u32, test: impl AsyncFnOnce(&Stage) -> Result<()>) {
        let mut stage = match Stage::set(name, budget).await {
            Ok(stage) => stage,
            Err(error) => panic!("{name}: set the stage: {error:#}"),
        };
        let played = test(&stage).await;
        let judged =
            played.and_then(|()| stage.server.as_ref().map_or(Ok(()), Server::refused_nobody));
        if let Err(error) = judged {
            panic!("{name}: {error:#}");
        }
        stage.done = true;
    }

    async fn set(name: &str, budget: u32) -> Result<Stage> {
        let turn = TURN.lock().await;
        let start = Instant::now();
        println!("\n{name}");
        let operator = Operator::installed().await?;
        let namespace = Namespace(name.to_owned());
        let name = name.to_owned();
        let (server, done) = (None, false);
        let mut stage = Stage { namespace, operator, server, name, start, done, _turn: turn };
        if budget > 0 {
            let folder = state()?.join("tests").join(&stage.name);
            stage.server = Some(Server::start(&folder, budget).await?);
        }
        stage.make_namespace().await?;
        Ok(stage)
    }

    /// A new one with its users: what an earlier run on the same cluster left goes first.
    pub async fn make_namespace(&self) -> Result<()> {
        let gone = format!("delete namespace {} --ignore-not-found --timeout 120s", self.name);
        self.namespace.kubectl(&gone).await?;
        self.namespace.apply(&manifest::namespace(&self.name)).await?;
        self.namespace.apply(&manifest::users(USERS, &self.accounts())).await.map(drop)
    }

    /// The PostgreSQL of this test.
    ///
    /// # Panics
    /// If the test wanted none.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("a test that asked for a PostgreSQL")
    }

    fn accounts(&self) -> Vec<crate::load::Account> {
        let nobody = crate::load::Account {
            user: "nobody".to_owned(),
            password: "nothing".to_owned(),
            database: "nowhere".to_owned(),
        };
        self.server.as_ref().map_or_else(|| vec![nobody], |server| server.accounts.clone())
    }

    /// The example's PoolerCluster on our PostgreSQL, changed, under this name.
    pub fn cluster(&self, name: &str, changes: Value) -> Result<Value> {
        let ours = json!({
            "metadata": {"name": name},
            "spec": {"auth": {"users": [{"secretRef": {"name": USERS}}]}},
        });
        let server = self.server.as_ref().map_or_else(|| json!({}), Server::spec);
        manifest::pooler_cluster(&[&ours, &json!({"spec": {"server": server}}), &changes])
    }

    /// Applies [`Stage::cluster`] and waits until all its pods are ready and the news of them has
    /// reached the Service.
    pub async fn serve(&self, name: &str, changes: Value) -> Result<()> {
        self.namespace.apply(&self.cluster(name, changes)?).await?;
        self.ready(name).await?;
        eventually("the Service answers", seconds(30), async || {
            Ok(Some(TcpStream::connect((self.host(name), 5432)).await?))
        })
        .await
        .map(drop)
    }

    /// Waits until Ready is said of the newest spec.
    pub async fn ready(&self, name: &str) -> Result<()> {
        self.condition(name, "Ready", "True").await.map(drop)
    }

    /// Waits until a condition has this status for the newest spec; the whole condition.
    pub async fn condition(&self, name: &str, type_: &str, status: &str) -> Result<Value> {
        eventually(&format!("{name} is {type_}={status}"), seconds(120), async || {
            let cluster = self.pooler_cluster(name).await?;
            let found = condition(&cluster, type_).with_context(|| format!("no {type_}"))?;
            let newest = number(&cluster, "/metadata/generation");
            let seen = number(&found, "/observedGeneration") == newest;
            anyhow::ensure!(text(&found, "/status") == status, "it is {found}");
            Ok(seen.then_some(found))
        })
        .await
    }

    pub async fn pooler_cluster(&self, name: &str) -> Result<Value> {
        self.namespace.get(&format!("poolercluster/{name}")).await
    }

    /// The pods of a PoolerCluster that were not told to end.
    pub async fn pods(&self, name: &str) -> Result<Vec<Value>> {
        let selector = format!("pods --selector app.kubernetes.io/instance={name}");
        let mut pods = self.namespace.list(&selector).await?;
        pods.retain(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
        Ok(pods)
    }

    /// Uids of the pods, and how often their containers were started anew.
    pub async fn identities(&self, name: &str) -> Result<Vec<(String, i64)>> {
        let restarts = "/status/containerStatuses/0/restartCount";
        let identity = |pod: &Value| (text(pod, "/metadata/uid").to_owned(), number(pod, restarts));
        Ok(self.pods(name).await?.iter().map(identity).collect())
    }

    /// Where tests are shortened, has the kubelets look at the pods' volumes at once: a pod that was
    /// touched is looked at, one that was not within two minutes.
    pub async fn hurry_volumes(&self, name: &str) -> Result<()> {
        if !length::is_short() {
            return Ok(());
        }
        let now = self.start.elapsed().as_millis();
        println!(
            "    shortened: the kubelets look at volumes at once; make cluster waits for them"
        );
        let pods = format!("pods --selector app.kubernetes.io/instance={name}");
        self.namespace
            .kubectl(&format!("annotate {pods} --overwrite touched={now}"))
            .await
            .map(drop)
    }

    /// Name of the client Service, as clients write it.
    pub fn host(&self, name: &str) -> String {
        format!("{name}.{}", self.namespace.0)
    }

    fn keep_what_is_known(&self) {
        let file = Path::new(LOGS).join(format!("cluster-{}.log", self.name));
        let _ = std::fs::create_dir_all(LOGS);
        let report = QUESTIONS.map(|question| answer(&question.replace("{}", &self.name))).concat();
        let _ = std::fs::write(&file, &report);
        let tail = report.lines().rev().take(60).collect::<Vec<_>>();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        eprintln!("--- the end of {} ---\n{tail}\n---", file.display());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.done {
            self.keep_what_is_known();
        }
        // The namespace takes its time for pods that may take theirs; the operator is done at once.
        answer(&format!("delete poolerclusters --all -n {} --wait=false", self.name));
        answer(&format!("delete namespace {} --wait=false", self.name));
        println!("  {}: {:.0} s", self.name, self.start.elapsed().as_secs_f64());
    }
}

/// The last ones are seen without opening the file.
const QUESTIONS: [&str; 8] = [
    "get statefulsets -n {} -o yaml",
    "get poolerclusters -n {} -o yaml",
    "describe pods -n {}",
    "get events -n {} --sort-by .lastTimestamp",
    "get pods -n poolwright-tests -o wide",
    "logs -n poolwright-tests --selector app.kubernetes.io/name=poolwright --prefix --tail 100",
    "logs -n {} --selector app.kubernetes.io/name=poolwright-pooler --prefix --tail 40",
    "get poolerclusters,pods,endpointslices -n {} -o wide",
];

fn answer(arguments: &str) -> String {
    let mut kubectl = Command::new("kubectl");
    kubectl.args(["--request-timeout", "15s"]).args(arguments.split_whitespace());
    let said = kubectl.stdin(Stdio::null()).output().map(|it| [it.stdout, it.stderr].concat());
    let said = said.unwrap_or_default();
    format!("$ kubectl {arguments}\n{}\n", String::from_utf8_lossy(&said))
}

/// A condition of an object.
pub fn condition(object: &Value, type_: &str) -> Option<Value> {
    let all = object.pointer("/status/conditions")?.as_array()?;
    all.iter().find(|it| it["type"] == type_).cloned()
}

/// The folder of the cluster that we are inside of.
pub fn state() -> Result<PathBuf> {
    let inside = "these tests run inside a cluster: start them by scripts/cluster-tests.sh";
    std::env::var_os("POOLWRIGHT_STATE").map(PathBuf::from).context(inside)
}
