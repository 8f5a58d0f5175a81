//! How many server connections there are, asked of Postgres itself at an interval.
//! Never counts what the pooler says of itself; uses a slot reserved for superusers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::pg::{Client, Target};

/// The largest counts seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    /// Client backends of roles that are no superusers, at one moment.
    pub total: u64,
    pub by_database: BTreeMap<String, u64>,
    /// By database and role, written `database/role`.
    pub by_pool: BTreeMap<String, u64>,
    pub samples: u64,
}

impl Peaks {
    fn take(&mut self, counts: &[(String, String, u64)]) {
        let mut databases = BTreeMap::<&str, u64>::new();
        for (database, role, count) in counts {
            *databases.entry(database).or_default() += count;
            raise(&mut self.by_pool, format!("{database}/{role}"), *count);
        }
        self.total = self.total.max(databases.values().sum());
        for (database, count) in databases {
            raise(&mut self.by_database, database.to_owned(), count);
        }
        self.samples += 1;
    }
}

fn raise(peaks: &mut BTreeMap<String, u64>, key: String, count: u64) {
    let peak = peaks.entry(key).or_default();
    *peak = count.max(*peak);
}

/// Samples in the background until it is stopped.
pub struct Sampler {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Peaks>>,
}

impl Sampler {
    /// Logs in as the superuser that `target` names and samples every `interval`.
    pub async fn start(target: Target, interval: Duration) -> Result<Sampler> {
        let client = target.connect().await.context("the sampler logs in")?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(sample_until(client, interval, stopped));
        Ok(Sampler { stop, task })
    }

    /// The peaks; an error if any sample failed.
    pub async fn stop(self) -> Result<Peaks> {
        let _ = self.stop.send(true);
        self.task.await?
    }
}

const COUNTS: &str = "SELECT datname, usename, count(*) FROM pg_stat_activity
JOIN pg_roles ON rolname = usename
WHERE backend_type = 'client backend' AND NOT rolsuper GROUP BY 1, 2";

/// The client backends of this moment: database, role, count.
pub async fn counts(client: &mut Client) -> Result<Vec<(String, String, u64)>> {
    let answer = client.query(COUNTS).await?;
    if let Some(error) = answer.error {
        return Err(error.into());
    }
    let rows = answer.rows.into_iter().map(|row| {
        let mut cells = row.into_iter().flatten();
        let mut next = || cells.next().unwrap_or_default();
        (next(), next(), next().parse().unwrap_or(0))
    });
    Ok(rows.collect())
}

async fn sample_until(
    mut client: Client,
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Result<Peaks> {
    let mut peaks = Peaks::default();
    let mut ticks = tokio::time::interval(interval);
    loop {
        peaks.take(&counts(&mut client).await.context("sample")?);
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.wait_for(|stop| *stop) => return Ok(peaks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_of_one_moment_not_of_different_ones() {
        let sample = |a: u64, b: u64| {
            vec![("one".to_owned(), "a".to_owned(), a), ("two".to_owned(), "b".to_owned(), b)]
        };
        let mut peaks = Peaks::default();
        peaks.take(&sample(5, 1));
        peaks.take(&sample(1, 4));
        assert_eq!(peaks.total, 6);
        assert_eq!(peaks.by_database["one"], 5);
        assert_eq!(peaks.by_pool["two/b"], 4);
        assert_eq!(peaks.samples, 2);
    }
}
