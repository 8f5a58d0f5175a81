//! The figures as a table for people and as JSON lines. Never a figure that was not measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use poolwright_tests::kube::audit::Write;
use serde::Serialize;

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");
const HEAD: &str = "| phase | PoolerClusters | s | reconciles | p50 ms ≤ | p99 ms ≤ | reads | writes | \
                    per change | CPU s | MiB before | MiB |";

/// One phase.
#[derive(Debug, Serialize)]
pub struct Row {
    pub phase: String,
    pub clusters: usize,
    /// What the requests are divided by; 0: nothing was changed.
    pub changes: usize,
    pub seconds: f64,
    pub reconciles: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub requests: Requests,
    pub processor_seconds: f64,
    pub memory_before: f64,
    pub memory: f64,
}

/// Of the operator to the API server, but for its Leases.
#[derive(Debug, Default, Serialize)]
pub struct Requests {
    pub reads: usize,
    pub writes: usize,
    pub by_kind: BTreeMap<String, usize>,
}

impl Requests {
    pub fn of(all: &BTreeMap<Write, usize>, user: &str) -> Requests {
        let mut requests = Requests::default();
        for (request, count) in all.iter().filter(|(request, _)| request.user == user) {
            let (verb, rest) = request.what.split_once(' ').unwrap_or_default();
            let kind = rest.split(' ').next().unwrap_or_default();
            if kind == "leases" {
                continue;
            }
            match verb {
                "get" | "list" | "watch" => requests.reads += count,
                _ => requests.writes += count,
            }
            *requests.by_kind.entry(format!("{verb} {kind}")).or_default() += count;
        }
        requests
    }
}

impl Row {
    pub fn line(&self) -> String {
        let Row { phase, clusters, changes, seconds, reconciles, p50_ms, p99_ms, .. } = self;
        let Requests { reads, writes, by_kind: _ } = &self.requests;
        let each = (reads + writes) as f64 / *changes as f64;
        let each = if *changes == 0 { "–".to_owned() } else { format!("{each:.1}") };
        let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
        let (before, now) = (mib(self.memory_before), mib(self.memory));
        format!(
            "| {phase} | {clusters} | {seconds:.0} | {reconciles:.0} | {p50_ms:.0} | {p99_ms:.0} | \
             {reads} | {writes} | {each} | {:.2} | {before:.1} | {now:.1} |",
            self.processor_seconds
        )
    }
}

/// Prints the table, and keeps it with its rows in `benches/results/operator.{md,jsonl}`.
pub fn tell(rows: &[Row]) -> Result<()> {
    let mut table = format!("{HEAD}\n{}|\n", "|---".repeat(HEAD.matches('|').count() - 1));
    let mut lines = String::new();
    for row in rows {
        let _ = writeln!(table, "{}", row.line());
        let _ = writeln!(lines, "{}", serde_json::to_string(row)?);
    }
    println!("\n{table}");
    for row in rows.iter().filter(|row| row.changes > 0) {
        println!("{}: {:?}", row.phase, row.requests.by_kind);
    }
    let folder = Path::new(RESULTS);
    fs::create_dir_all(folder).context("make benches/results")?;
    fs::write(folder.join("operator.md"), &table)?;
    fs::write(folder.join("operator.jsonl"), &lines).context("write benches/results/operator.jsonl")
}
