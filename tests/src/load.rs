//! Many clients for a while: what `poolwright-load` runs, and the tests of rolls and drains too.
//! Never hides a failure by a retry: every reason to reconnect is counted under its name.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::marks::{Marks, Protocol, TABLE};
use crate::pg::{Client, Target};

pub mod accounts;
mod client;
mod latency;
mod report;

pub use accounts::Account;
pub use report::{Progress, Report};

/// How often a count is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub host: String,
    pub port: u16,
    pub clients: usize,
    /// Dealt to the clients in turn.
    pub protocols: Vec<Protocol>,
    /// Dealt to the clients in turn.
    pub accounts: Vec<Account>,
    pub duration: Duration,
    /// Of each client between two transactions.
    pub pause: Duration,
    /// Transactions after which every second client leaves and connects anew; 0 for never.
    pub per_connection: u64,
    /// Make the table of marks first, as each account.
    pub setup: bool,
    /// A line on the standard error this often; zero for never.
    pub progress: Duration,
}

impl Plan {
    fn target(&self, account: &Account) -> Target {
        Target::new(&self.host, self.port, &account.user, &account.database)
            .password(&account.password)
    }
}

/// When a client ends, and when it only leaves.
#[derive(Debug)]
struct Until {
    deadline: Instant,
    told: Arc<AtomicBool>,
    per_connection: Option<u64>,
}

impl Until {
    fn is_reached(&self) -> bool {
        self.told.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }
}

/// Runs the plan and reports.
pub async fn run(plan: Plan) -> Result<Report> {
    run_until(plan, Arc::default(), Arc::default()).await
}

/// Runs the plan until what is counted is `enough`, or until its end.
pub async fn run_until_enough(plan: Plan, enough: impl Fn(&Progress) -> bool) -> Result<Report> {
    let (told, live) = (Arc::<AtomicBool>::default(), Arc::<Progress>::default());
    let mut load = pin!(run_until(plan, told.clone(), live.clone()));
    loop {
        match tokio::time::timeout(LOOK_EVERY, &mut load).await {
            Ok(report) => return report,
            Err(_) => told.store(enough(&live), Ordering::Relaxed),
        }
    }
}

/// Runs the plan until its end, or until `told` becomes true; counts in `live` meanwhile.
pub async fn run_until(plan: Plan, told: Arc<AtomicBool>, live: Arc<Progress>) -> Result<Report> {
    if plan.setup {
        set_up(&plan).await?;
    }
    let start = Instant::now();
    let deadline = start + plan.duration;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..plan.clients {
        let account = &plan.accounts[number % plan.accounts.len()];
        // Protocols change once per round of accounts, so that every user speaks all of them.
        let round = number / plan.accounts.len() + number;
        let protocol = plan.protocols[round % plan.protocols.len()];
        let marks = Marks::new(&format!("client {number}"), &account.user, protocol);
        let target = plan.target(account);
        let leaves = plan.per_connection > 0 && number % 2 == 1;
        let per_connection = leaves.then_some(plan.per_connection);
        let until = Until { deadline, told: told.clone(), per_connection };
        tasks.spawn(client::live(target, marks, plan.pause, until, live.clone()));
    }
    let telling = tokio::spawn(live.clone().tell(plan.progress, start));
    let mut report = Report::of(plan.clients);
    while let Some(tally) = tasks.join_next().await {
        report.add(tally.context("a client's task")?);
    }
    telling.abort();
    report.finish(start.elapsed());
    Ok(report)
}

/// Makes the table of marks as each account, one after the other.
async fn set_up(plan: &Plan) -> Result<()> {
    for account in &plan.accounts {
        let mut client = connect_patiently(&plan.target(account))
            .await
            .with_context(|| format!("set up as {}", account.user))?;
        let answer = client.query(TABLE).await?;
        // Accounts may share a schema: then the table is there, and not theirs to make.
        if let Some(error) = answer.error.filter(|error| error.code != "42501") {
            return Err(error).with_context(|| format!("make the marks of {}", account.user));
        }
    }
    Ok(())
}

async fn connect_patiently(target: &Target) -> Result<Client> {
    let mut tried = target.connect().await;
    for _ in 0..20 {
        if tried.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        tried = target.connect().await;
    }
    tried
}
