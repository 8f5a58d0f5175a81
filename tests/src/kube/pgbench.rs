//! pgbench, a process for each workspace, all at once, each client with a thread of its own.
//! Judges nothing but what pgbench itself calls an error.

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::command::run;
use super::stage::Stage;
use crate::load::Account;

const SCRIPT: &str = "\\set channel random(1, 100)
BEGIN;
UPDATE channels SET posts = posts + 1 WHERE id = :channel;
SELECT posts FROM channels WHERE id = :channel;
END;
";

/// What pgbench processes counted together.
#[derive(Debug, Default)]
pub struct Counted {
    pub clients: usize,
    pub transactions: u64,
}

/// `each` clients of every workspace for `seconds`, through the Service of `cluster`.
pub async fn bench(
    stage: &Stage,
    cluster: &str,
    protocol: &'static str,
    each: usize,
    seconds: u32,
) -> Result<Counted> {
    let script = super::stage::state()?.join("tests").join("pgbench.sql");
    std::fs::write(&script, SCRIPT).context("write pgbench's script")?;
    let mut all = JoinSet::new();
    for account in stage.server().accounts.clone() {
        let (host, script) = (stage.host(cluster), script.display().to_string());
        all.spawn(async move { one(&account, protocol, each, seconds, &host, &script).await });
    }
    let mut counted = Counted::default();
    while let Some(done) = all.join_next().await {
        counted.transactions += done??;
        counted.clients += each;
    }
    Ok(counted)
}

async fn one(
    account: &Account,
    protocol: &str,
    each: usize,
    seconds: u32,
    host: &str,
    script: &str,
) -> Result<u64> {
    let program = crate::postgres::programs()?.join("pgbench").display().to_string();
    let password = format!("PGPASSWORD={}", account.password);
    let (each, seconds) = (each.to_string(), seconds.to_string());
    let how = [&password, &program, "--no-vacuum", "--protocol", protocol, "--file", script];
    let much = ["--client", &each, "--jobs", &each, "--time", &seconds];
    let whom = ["--host", host, "--port", "5432", "--username", &account.user, &account.database];
    let said = run("env", &[&how[..], &much[..], &whom[..]].concat(), "").await?;
    let failed = counted(&said, "number of failed transactions: ")?;
    ensure!(failed == 0, "pgbench as {}: {said}", account.user);
    counted(&said, "number of transactions actually processed: ")
}

fn counted(said: &str, what: &str) -> Result<u64> {
    let told = said.lines().find_map(|line| line.strip_prefix(what));
    let number = told.and_then(|told| told.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("pgbench did not tell the {what}: {said}"))
}
