//! Who shares nothing: users, databases, and clients whose search_path makes another thing of the same
//! text.

use anyhow::{Result, ensure};

use crate::differential::script::{Mode, Profile};
use crate::differential::stage::Worker;
use crate::pg::{Client, Flight};

const ROUNDS: usize = 3;

/// I9: each client is in its own database, as its own user, and hears its own database's notifications.
pub async fn tenants(worker: &Worker) -> Result<()> {
    let here = worker.pooled(Profile::Plain, 0, Mode::Transaction(1), 1);
    let there = worker.elsewhere(0);
    let mut clients = Vec::new();
    for (target, database) in [worker.everywhere(0), worker.everywhere(1)].concat() {
        clients.push((target.connect().await?, database, target.user));
    }
    for _ in 0..ROUNDS {
        for (client, database, user) in &mut clients {
            let answer = client.query("SELECT current_database(), current_user").await?;
            let own = [[Some((*database).to_owned()), Some(user.clone())]];
            ensure!(answer.rows == own, "expected {own:?}, came {answer:?}");
        }
    }
    let mut listener = there.connect().await?;
    listener.run("LISTEN news").await;
    here.connect().await?.run("NOTIFY news, 'here'").await;
    there.connect().await?.run("NOTIFY news, 'there'").await;
    while listener.notifications.is_empty() {
        listener.run("SELECT 1").await;
    }
    let own = [("news".to_owned(), "there".to_owned())];
    ensure!(listener.notifications == own, "heard {:?}", listener.notifications);
    Ok(())
}

/// I10: the same text under the same name, whose table has other columns for each of two clients.
pub async fn paths(worker: &Worker) -> Result<()> {
    let target = worker.pooled(Profile::Plain, 0, Mode::Transaction(1), 3);
    let mut usual = target.connect().await?;
    let mut other = target.connect().await?;
    other.run("SET search_path = other").await;
    for client in [&mut usual, &mut other] {
        client.exchange(&Flight::new().parse("s", "SELECT v FROM forked").sync()).await?;
    }
    for _ in 0..ROUNDS {
        reads(&mut usual, "1").await?;
        reads(&mut other, "one").await?;
    }
    Ok(())
}

async fn reads(client: &mut Client, expected: &str) -> Result<()> {
    let told = client.exchange(&Flight::new().run("s", &[]).sync()).await?;
    let row = told.iter().find(|message| message.tag == b'D');
    let value = row.and_then(|row| row.body.get(6..));
    ensure!(value == Some(expected.as_bytes()), "expected {expected}, came {told:?}");
    Ok(())
}
