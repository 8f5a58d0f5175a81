//! A client that pipelines without end, while another waits for the only server connection.

use anyhow::{Result, ensure};

use crate::differential::script::{Mode, Profile};
use crate::differential::stage::Worker;
use crate::pg::Flight;

/// Transactions that are sent in one go.
const AHEAD: usize = 300;

/// The one that waits is served before the pipeline is over, which the server itself counts.
pub async fn pacing(worker: &Worker) -> Result<()> {
    let target = worker.pooled(Profile::Plain, 0, Mode::Transaction(1), 1);
    let mut holder = target.connect().await?;
    let mut greedy = target.connect().await?;
    holder.run("BEGIN").await;
    let mark = format!("paced {}", greedy.key.process_id);
    let step = format!("INSERT INTO sink SELECT '{mark}' FROM pg_sleep(0.002)");
    let pipeline = (0..AHEAD).fold(Flight::new(), |all, _| all.unnamed(&step, &[]).sync());
    greedy.send(pipeline.bytes()).await?;
    // Logins give what was sent before the time to be queued.
    let mut waiting = target.connect().await?;
    let count = format!("SELECT count(*) FROM sink WHERE mark = '{mark}'");
    waiting.send(Flight::new().query(&count).bytes()).await?;
    target.connect().await?;
    holder.run("COMMIT").await;
    let told = waiting.until_ready().await?;
    let row = told.iter().find(|message| message.tag == b'D');
    let done = row.and_then(|row| row.body.get(6..)).map(|done| done.escape_ascii().to_string());
    ensure!(done.is_some(), "no count came: {told:?}");
    ensure!(done != Some(AHEAD.to_string()), "served only behind the whole pipeline");
    for _ in 0..AHEAD {
        greedy.until_ready().await?;
    }
    Ok(())
}
