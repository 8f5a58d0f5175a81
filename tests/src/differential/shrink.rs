//! A script that fails, made smaller as long as it still fails. It never tells why it failed.

use std::time::{Duration, Instant};

use super::pooled::Difference;
use super::script::Script;
use super::stage::Worker;

/// How often a smaller script is tried before it counts as sound: what fails may depend on time.
const TRIES: usize = 3;

/// The smallest script found within `limit`, and what is wrong with it.
pub async fn shrink(
    worker: &Worker,
    script: Script,
    difference: Difference,
    limit: Duration,
) -> (Script, Difference) {
    let until = Instant::now() + limit;
    let mut smallest = (script, difference);
    loop {
        let mut smaller = None;
        for client in 0..smallest.0.actors.len() {
            for index in (0..smallest.0.actors[client].units.len()).rev() {
                if Instant::now() > until {
                    return smallest;
                }
                if smallest.0.actors[client].units[index].stays {
                    continue;
                }
                let mut candidate = smallest.0.clone();
                if !candidate.dropped.insert((client, index)) {
                    continue;
                }
                if let Some(difference) = fails(worker, &candidate).await {
                    smallest = (candidate.clone(), difference);
                    smaller = Some(());
                }
            }
        }
        if smaller.is_none() {
            return smallest;
        }
    }
}

async fn fails(worker: &Worker, script: &Script) -> Option<Difference> {
    for _ in 0..TRIES {
        if let Ok(Err(difference)) = worker.play(script, true).await {
            return Some(difference);
        }
    }
    None
}
