//! What no comparison shows: cancels that come by the hundred, clients that are gone after any byte,
//! settings that the server no longer takes. Each is one call with one answer.

mod apart;
mod pacing;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::script::{Mode, Profile};
use super::stage::Worker;
use crate::pg::{Client, Flight, Target};

/// One trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Trial {
    /// I5: a hundred cancels at once hit nobody but those they are for.
    Cancels,
    /// I7: a client that is gone after any byte of a pipeline leaves no server stuck.
    EveryByte,
    /// I3b: where a setting is refused, nothing of the client's runs.
    RefusedSetting,
    /// I9: users and databases share nothing.
    Tenants,
    /// I10: a statement means what its client's search_path makes of it.
    Paths,
    /// While another waits, a client that pipelines is not read past its next Sync.
    Pacing,
}

impl Trial {
    pub const ALL: [Trial; 6] = [
        Trial::Cancels,
        Trial::EveryByte,
        Trial::RefusedSetting,
        Trial::Tenants,
        Trial::Paths,
        Trial::Pacing,
    ];

    /// # Errors
    /// What was wrong.
    pub async fn run(self, worker: &Worker) -> Result<()> {
        match self {
            Trial::Cancels => cancels(worker).await,
            Trial::EveryByte => every_byte(worker).await,
            Trial::RefusedSetting => refused_setting(worker).await,
            Trial::Tenants => apart::tenants(worker).await,
            Trial::Paths => apart::paths(worker).await,
            Trial::Pacing => pacing::pacing(worker).await,
        }
        .with_context(|| format!("{self:?}"))
    }
}

/// Clients that are cancelled, each by so many at once, and clients that are not.
const CANCELLED: usize = 20;
const AT_ONCE: usize = 5;
const SPARED: usize = 4;
/// Queries of each spared client.
const ROUNDS: usize = 60;

async fn cancels(worker: &Worker) -> Result<()> {
    let target = worker.pooled(Profile::Plain, 0, Mode::Transaction(2), 1);
    let (stop, stopped) = watch::channel(false);
    let mut others = JoinSet::new();
    for _ in 0..CANCELLED {
        let client = target.connect().await?;
        let key = client.key.clone();
        others.spawn(be_cancelled(client, stopped.clone()));
        for _ in 0..AT_ONCE {
            let (target, key, stopped) = (target.clone(), key.clone(), stopped.clone());
            others.spawn(async move {
                while !*stopped.borrow() {
                    let _ = target.cancel(&key).await;
                }
                Ok(())
            });
        }
    }
    let mut spared = JoinSet::new();
    for number in 0..SPARED {
        spared.spawn(be_spared(target.clone(), number));
    }
    let mut outcome = Ok(());
    while let Some(done) = spared.join_next().await {
        outcome = outcome.and(done?);
    }
    let _ = stop.send(true);
    while let Some(done) = others.join_next().await {
        outcome = outcome.and(done?);
    }
    outcome
}

async fn be_cancelled(mut client: Client, stopped: watch::Receiver<bool>) -> Result<()> {
    while !*stopped.borrow() {
        let answer = client.query("SELECT pg_sleep(0.002)").await?;
        let code = answer.error.map(|error| error.code);
        ensure!(code.is_none() || code.as_deref() == Some("57014"), "an error {code:?}");
    }
    Ok(())
}

async fn be_spared(target: Target, number: usize) -> Result<()> {
    let mut client = target.connect().await?;
    for round in 0..ROUNDS {
        let own = format!("{number}.{round}");
        let answer = client.query(&format!("SELECT '{own}', pg_sleep(0.002)")).await?;
        if let Some(error) = answer.error {
            bail!("a client that nobody cancelled: {error}");
        }
        ensure!(answer.rows[0][0].as_deref() == Some(own.as_str()), "a wrong row");
    }
    Ok(())
}

/// All kinds of messages, twice in a transaction of its own and once in one that stays open.
fn pipeline() -> Vec<u8> {
    let flight = Flight::new()
        .parse("a", "SELECT $1::text, t FROM three")
        .run("a", &["m00000000.9"])
        .sync()
        .query("BEGIN")
        .parse("", "SELECT 'm00000000.9'")
        .bind("k", "", &[])
        .describe_portal("k")
        .execute("k", 1)
        .close_portal("k")
        .sync()
        .query("COPY sink FROM STDIN")
        .copy_data(b"m00000000.9\n")
        .copy_done()
        .query("ROLLBACK; BEGIN")
        .close_statement("a")
        .flush();
    flight.bytes().to_vec()
}

async fn every_byte(worker: &Worker) -> Result<()> {
    let target = worker.pooled(Profile::Plain, 0, Mode::Transaction(1), 1);
    let mut bystander = target.connect().await?;
    let all = pipeline();
    // Each place twice: the client goes before the server has done what it got, and after that.
    for (cut, done) in (0..=all.len()).flat_map(|cut| [(cut, false), (cut, true)]) {
        let mut client = target.connect().await?;
        client.send(&all[..cut]).await?;
        if done {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        drop(client);
        let limit = worker.patience.min(Duration::from_secs(8));
        let asked = tokio::time::timeout(limit, bystander.query("SELECT 'm00000000.0'")).await;
        let answer =
            asked.with_context(|| format!("stuck after byte {cut} of {}", all.len()))??;
        let rows = [[Some("m00000000.0".to_owned())]];
        ensure!(answer.rows == rows && answer.status == 'I', "after byte {cut}: {answer:?}");
    }
    Ok(())
}

async fn refused_setting(worker: &Worker) -> Result<()> {
    let target = worker.pooled(Profile::Plain, 0, Mode::Transaction(1), 2);
    let role = worker.user(1);
    let grant = format!("GRANT {role} TO {}", worker.user(0));
    let revoke = format!("REVOKE {role} FROM {}", worker.user(0));
    worker.ask(&grant).await;
    let mut bound = target.clone().parameter("role", &role).connect().await?;
    ensure!(bound.query("SELECT current_user").await?.rows[0][0].as_deref() == Some(&*role));
    // Another client has the server meanwhile, and its role.
    target.connect().await?.query("SELECT 1").await?;
    worker.ask(&revoke).await;
    let written = "INSERT INTO sink VALUES ('written in another role')";
    let flight = Flight::new().unnamed(written, &[]).sync();
    bound.send(flight.bytes()).await?;
    let mut told = Vec::new();
    while let Ok(message) = bound.receive().await {
        let last = message.tag == b'Z';
        told.push(message);
        if last {
            break;
        }
    }
    let count = "SELECT count(*) FROM sink WHERE mark = 'written in another role'";
    let count = worker.ask(count).await;
    ensure!(count == "0", "a statement ran though its role was refused: {told:?}");
    ensure!(told.iter().any(|message| message.tag == b'E'), "nothing was told: {told:?}");
    Ok(())
}

/// Plays trials one after the other.
///
/// # Errors
/// The first that goes wrong.
pub async fn run(worker: &Worker, trials: &[Trial]) -> Result<()> {
    for trial in trials {
        trial.run(worker).await?;
        worker.clear().await;
    }
    Ok(())
}
