//! Waiting for something to come true, with a bound and the time that it took.
//! Never waits for time to pass.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks until `look` has found something; prints how long it took. What it last said, an error
/// or `None`, is told when the limit is over.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = look().await;
        if let Ok(Some(found)) = seen {
            println!("    {what}: {:.1} s", start.elapsed().as_secs_f64());
            return Ok(found);
        }
        if start.elapsed() > limit {
            let last = seen.err().map_or_else(String::new, |error| format!(": {error:#}"));
            bail!("{what}: not within {} s{last}", limit.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
