//! `poolwright-bench-load JOB`: carries out one load, told as JSON, and prints its report.
//! Never succeeds when a client failed.

use anyhow::{Context, Result};
use poolwright_benches::{job::Job, load};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let text = std::env::args().nth(1).context("usage: poolwright-bench-load JOB (JSON)")?;
    let job: Job = serde_json::from_str(&text).context("read the job")?;
    load::check(&job)?;
    load::run(job).await
}
