//! What the operator costs with no, some and many PoolerClusters: memory, processor time, how long a
//! reconcile takes, what it asks of the API server for each change, and that it writes nothing at
//! rest. Runs inside the cluster that `benches/operator.sh` brings up; judges nothing by time.

mod histogram;
mod report;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use poolwright_tests::kube::audit::Mark;
use poolwright_tests::kube::command::Namespace;
use poolwright_tests::kube::manifest;
use poolwright_tests::kube::operator::Operator;
use poolwright_tests::kube::wait::{eventually, seconds};
use poolwright_tests::load::Account;
use poolwright_tests::pooler::sum_of_metric;
use serde_json::{Value, json};
use tokio::time::sleep;

use histogram::Histogram;
use report::{Requests, Row};

#[derive(Parser)]
struct Args {
    /// The most PoolerClusters.
    #[arg(long, default_value_t = 1000)]
    clusters: usize,
    /// Seconds for which the operator is left alone with all of them.
    #[arg(long, default_value_t = 120)]
    rest: u64,
    /// PoolerClusters that are changed, one after the other.
    #[arg(long, default_value_t = 50)]
    changes: usize,
}

/// PoolerClusters of one namespace.
const OF_ONE: usize = 100;
/// The longest wait for the operator to have answered all.
const PATIENCE: u64 = 600;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let operator = Operator::installed().await?;
    let mut bench = Bench { operator, rows: Vec::new() };
    let played = bench.play(&args).await;
    report::tell(&bench.rows)?;
    played
}

struct Bench {
    operator: Operator,
    rows: Vec<Row>,
}

/// The operator at one moment.
struct Snapshot {
    mark: Mark,
    at: Instant,
    histogram: Histogram,
    memory: f64,
    processor: f64,
}

impl Bench {
    async fn play(&mut self, args: &Args) -> Result<()> {
        let few = args.clusters.min(OF_ONE);
        self.rest(0, 20).await?;
        self.create(0, few).await?;
        self.rest(few, 30).await?;
        self.create(few, args.clusters).await?;
        let (writes, row) = self.rest(args.clusters, args.rest).await?;
        self.change(args).await?;
        self.lead_anew(args.clusters).await?;
        ensure!(writes == 0, "at rest the operator wrote {writes} times: {row:?}");
        Ok(())
    }

    /// Applies PoolerClusters of these numbers and waits until each has an answer.
    async fn create(&mut self, from: usize, to: usize) -> Result<()> {
        let before = self.snapshot().await?;
        for first in (from..to).step_by(OF_ONE) {
            let last = to.min(first + OF_ONE);
            let namespace = namespace(first);
            let name = &namespace.0;
            namespace.apply(&manifest::namespace(name)).await?;
            namespace.apply(&manifest::users("users", &[account()])).await?;
            let items = (first..last).map(pooler_cluster).collect::<Result<Vec<_>>>()?;
            namespace.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items})).await?;
        }
        answered(to).await?;
        self.note(&format!("create {}", to - from), to, to - from, before).await.map(drop)
    }

    /// Leaves the operator alone; its writes, but for the Leases.
    async fn rest(&mut self, clusters: usize, time: u64) -> Result<(usize, String)> {
        if clusters > 0 {
            self.quiet().await?;
        }
        let before = self.snapshot().await?;
        sleep(seconds(time)).await;
        let row = self.note(&format!("rest {time} s"), clusters, 0, before).await?;
        Ok((row.requests.writes, format!("{:?}", row.requests)))
    }

    /// What was done before may have news that are under way still.
    async fn quiet(&self) -> Result<()> {
        let mut last = f64::NAN;
        eventually("no write for ten seconds", seconds(PATIENCE), async || {
            let now = sum_of_metric(&self.operator.metrics().await?, WRITES, "");
            let same = now == last;
            last = now;
            sleep(seconds(10)).await;
            Ok(same.then_some(()))
        })
        .await
    }

    /// Other tenants in some of them, one after the other, each until it is answered.
    async fn change(&mut self, args: &Args) -> Result<()> {
        let before = self.snapshot().await?;
        let step = (args.clusters / args.changes).max(1);
        let numbers = (0..args.clusters).step_by(step).take(args.changes).collect::<Vec<_>>();
        for number in &numbers {
            let name = format!("poolercluster/{}", name(*number));
            let databases = json!([{"name": "app", "tenants": {"count": 7}}]);
            let change = json!({"spec": {"databases": databases}});
            namespace(*number).patch(&name, &change).await?;
        }
        eventually("all changes are answered", seconds(PATIENCE), async || {
            for number in &numbers {
                let what = format!("poolercluster/{}", name(*number));
                let cluster = namespace(*number).get(&what).await?;
                ensure!(is_answered(&cluster), "{} is not", name(*number));
            }
            Ok(Some(()))
        })
        .await?;
        self.note(&format!("change {}", numbers.len()), args.clusters, numbers.len(), before)
            .await
            .map(drop)
    }

    /// A new leader looks at all of them.
    async fn lead_anew(&mut self, clusters: usize) -> Result<()> {
        let (mark, at) = (Mark::now()?, Instant::now());
        let killed = self.operator.kill().await?;
        self.operator.is_back(&killed).await?;
        eventually("the new leader has looked at all", seconds(PATIENCE), async || {
            let done = Histogram::of(&self.operator.metrics().await?).count();
            Ok((done >= clusters as f64).then_some(()))
        })
        .await?;
        let nothing = Histogram::default();
        let before = Snapshot { mark, at, histogram: nothing, memory: 0.0, processor: 0.0 };
        self.note("new leader", clusters, clusters, before).await.map(drop)
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        let body = self.operator.metrics().await?;
        Ok(Snapshot {
            mark: Mark::now()?,
            at: Instant::now(),
            histogram: Histogram::of(&body),
            memory: sum_of_metric(&body, "process_resident_memory_bytes", ""),
            processor: sum_of_metric(&body, "process_cpu_seconds_total", ""),
        })
    }

    async fn note(
        &mut self,
        phase: &str,
        clusters: usize,
        changes: usize,
        before: Snapshot,
    ) -> Result<&Row> {
        let now = self.snapshot().await?;
        let took = now.histogram.since(&before.histogram);
        let row = Row {
            phase: phase.to_owned(),
            clusters,
            changes,
            seconds: before.at.elapsed().as_secs_f64(),
            reconciles: took.count(),
            p50_ms: took.quantile(0.5),
            p99_ms: took.quantile(0.99),
            requests: Requests::of(&before.mark.since()?, &Operator::user()),
            processor_seconds: now.processor - before.processor,
            memory_before: before.memory,
            memory: now.memory,
        };
        println!("{}", row.line());
        self.rows.push(row);
        self.rows.last().context("a row")
    }
}

const WRITES: &str = "poolwright_operator_writes_total";

/// Waits until so many have an answer to their newest spec.
async fn answered(clusters: usize) -> Result<()> {
    let all = namespace(0);
    let what = format!("{clusters} PoolerClusters are answered");
    eventually(&what, seconds(PATIENCE), async || {
        sleep(seconds(5)).await;
        let list = all.list("poolerclusters --all-namespaces").await?;
        let done = list.iter().filter(|cluster| is_answered(cluster)).count();
        ensure!(done == clusters, "{done} are");
        Ok(Some(()))
    })
    .await
}

fn is_answered(cluster: &Value) -> bool {
    let seen = cluster.pointer("/status/observedGeneration");
    seen.is_some() && seen == cluster.pointer("/metadata/generation")
}

fn namespace(number: usize) -> Namespace {
    Namespace(format!("bench-{}", number / OF_ONE))
}

fn name(number: usize) -> String {
    format!("app-{number}")
}

fn account() -> Account {
    let text = str::to_owned;
    Account { user: text("app"), password: text("secret"), database: text("app") }
}

fn pooler_cluster(number: usize) -> Result<Value> {
    let changes = json!({
        "metadata": {"name": name(number), "namespace": namespace(number).0},
        "spec": {
            "databases": [{"name": "app", "tenants": {"count": 20}}],
            "auth": {"users": [{"secretRef": {"name": "users"}}]},
        },
    });
    manifest::pooler_cluster(&[&changes])
}
