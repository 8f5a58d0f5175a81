//! tokio-postgres with its defaults: each query is a named statement for as long as it takes (Parse,
//! Describe, Sync; later Close), and queries of one client that are polled together are pipelined.

#[path = "../lib/checks.rs"]
mod checks;

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use checks::{CLIENTS, ROUNDS, Result, expect, expect_own_rows, tell};
use futures_util::future::{join_all, try_join_all};
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

fn variable(name: &str) -> Result<String> {
    Ok(std::env::var(name)?)
}

/// This client reads no variables of libpq.
fn config() -> Result<Config> {
    let mut config = Config::new();
    config.host(variable("PGHOST")?).port(variable("PGPORT")?.parse()?);
    config.user(variable("PGUSER")?).dbname(variable("PGDATABASE")?).password(checks::password()?);
    Ok(config)
}

async fn connect() -> Result<Client> {
    let (client, connection) = config()?.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn state<T>(result: std::result::Result<T, tokio_postgres::Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

async fn parameters() -> Result {
    let client = connect().await?;
    let long = "x".repeat(8_000_000);
    for _ in 0..3 {
        let row = client
            .query_one(
                "SELECT $1::int8, $2::text, $3::bytea, $4::text, $5::int4[], $6::text",
                &[
                    &(1i64 << 40),
                    &"it's ünïcode ✓",
                    &&b"\x00\xff"[..],
                    &None::<&str>,
                    &vec![1, 2, 3],
                    &long,
                ],
            )
            .await?;
        expect("int8", 1i64 << 40, row.get(0))?;
        expect("text", "it's ünïcode ✓", row.get(1))?;
        expect("bytea", &b"\x00\xff"[..], row.get(2))?;
        expect("null", None::<&str>, row.get(3))?;
        expect("array", vec![1, 2, 3], row.get(4))?;
        expect("a long text", true, long == row.get::<_, String>(5))?;
    }
    Ok(())
}

async fn follows() -> Result {
    let (client, first, second) = (connect().await?, connect().await?, connect().await?);
    let statement = client.prepare("SELECT $1::int * 2, pg_backend_pid()").await?;
    first.batch_execute("BEGIN; SELECT 1").await?;
    second.batch_execute("BEGIN; SELECT 1").await?;
    for holder in [&first, &second] {
        let free: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        holder.batch_execute("ROLLBACK").await?;
        for n in 0..3 {
            let row = client.query_one(&statement, &[&n]).await?;
            expect("on the only free server", (n * 2, free), (row.get(0), row.get(1)))?;
        }
        holder.batch_execute("BEGIN; SELECT 1").await?;
    }
    Ok(())
}

async fn transactions() -> Result {
    let mut client = connect().await?;
    client.batch_execute("CREATE TABLE account (id int PRIMARY KEY, amount int)").await?;
    client.execute("INSERT INTO account VALUES ($1, $2)", &[&1, &100]).await?;
    for n in 0..10 {
        let transaction = client.transaction().await?;
        transaction.execute("UPDATE account SET amount = $1", &[&0]).await?;
        expect("the error", "22012", &state(transaction.query("SELECT 1 / $1::int", &[&0]).await))?;
        expect("after it", "25P02", &state(transaction.query("SELECT $1::int", &[&n]).await))?;
        transaction.rollback().await?;
        let row = client.query_one("SELECT amount FROM account WHERE id = $1", &[&1]).await?;
        expect("after rollback", 100, row.get(0))?;
    }
    // A transaction that is dropped is rolled back.
    client.transaction().await?.execute("UPDATE account SET amount = 0", &[]).await?;
    let row = client.query_one("SELECT amount FROM account", &[]).await?;
    expect("after a drop", 100, row.get(0))
}

async fn pipeline() -> Result {
    let client = connect().await?;
    let statement = client.prepare("SELECT 10 / $1::int").await?;
    let numbers: Vec<i32> = (0..300).map(|n| n % 10).collect();
    let asked = numbers.iter().map(|n| {
        let (client, statement) = (&client, &statement);
        async move { client.query_one(statement, &[n]).await }
    });
    for (n, found) in numbers.iter().zip(join_all(asked).await) {
        match found {
            Ok(row) => expect("answer", 10 / n, row.get(0))?,
            Err(error) => {
                expect("the error of 0", (0, "22012".into()), (*n, state::<()>(Err(error))))?
            }
        }
    }
    Ok(())
}

async fn copies() -> Result {
    let client = connect().await?;
    client.batch_execute("CREATE TABLE copied (n int, t text)").await?;
    let lines: String = (0..50_000).map(|n| format!("{n}\ttext {n}\n")).collect();
    let mut sink = pin!(client.copy_in("COPY copied FROM STDIN").await?);
    for part in lines.as_bytes().chunks(5000) {
        sink.send(Bytes::copy_from_slice(part)).await?;
    }
    expect("rows", 50_000, sink.finish().await?)?;
    let out = client.copy_out("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT").await?;
    let out: Vec<Bytes> = out.try_collect().await?;
    expect("the same", true, out.concat() == lines.as_bytes())?;
    {
        let mut given_up = pin!(client.copy_in("COPY copied FROM STDIN").await?);
        given_up.send(Bytes::from_static(b"1\tx\n")).await?;
    }
    let row = client.query_one("SELECT count(*) FROM copied", &[]).await?;
    expect("no row of one that is given up", 50_000i64, row.get(0))
}

async fn portal() -> Result {
    let mut client = connect().await?;
    let transaction = client.transaction().await?;
    let portal = transaction.bind("SELECT generate_series(1, $1::int)", &[&1000]).await?;
    let mut found: Vec<i32> = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 100).await?;
        if rows.is_empty() {
            break;
        }
        found.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    transaction.commit().await?;
    expect("rows", (1..=1000).collect::<Vec<i32>>(), found)
}

async fn one_client(number: usize) -> Result<Vec<(String, String, i32)>> {
    let mut client = connect().await?;
    let mut rows = Vec::new();
    for n in 0..ROUNDS {
        let mark = format!("client {number} round {n}");
        let transaction = client.transaction().await?;
        let row = transaction.query_one("SELECT $1::text, pg_backend_pid()", &[&mark]).await?;
        let again =
            transaction.query_one("SELECT pg_backend_pid(), pg_sleep(0.001)::text", &[]).await?;
        transaction.commit().await?;
        expect("one server in a transaction", row.get::<_, i32>(1), again.get(0))?;
        rows.push((mark, row.get(0), row.get(1)));
    }
    Ok(rows)
}

async fn own_rows() -> Result {
    expect_own_rows(try_join_all((0..CLIENTS).map(one_client)).await?.concat())
}

async fn cancel() -> Result {
    let (client, other) = (connect().await?, connect().await?);
    for n in 0..3 {
        let token = client.cancel_token();
        let soon = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            token.cancel_query(NoTls).await
        };
        let (asked, cancelled) = tokio::join!(client.query("SELECT pg_sleep(60)", &[]), soon);
        cancelled?;
        expect("the error", "57014", &state(asked))?;
        expect("afterwards", n, client.query_one("SELECT $1::int", &[&n]).await?.get(0))?;
        expect("its neighbour", n, other.query_one("SELECT $1::int", &[&n]).await?.get(0))?;
    }
    Ok(())
}

async fn notified() -> Result<usize> {
    let (client, mut connection) = config()?.connect(NoTls).await?;
    let work = async { client.batch_execute("LISTEN news").await };
    let mut messages = futures_util::stream::poll_fn(|context| connection.poll_message(context));
    let mut heard = 0;
    let mut work = pin!(work);
    let mut sent = false;
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        tokio::select! {
            done = &mut work, if !sent => {
                done?;
                sent = true;
                connect().await?.batch_execute("NOTIFY news").await?;
            }
            message = messages.next() => match message {
                Some(message) => heard += usize::from(matches!(message?, AsyncMessage::Notification(_))),
                None => break,
            },
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    Ok(heard)
}

async fn features() -> Result {
    expect("LISTEN (poll_message)", 1, notified().await?)?;
    let client = connect().await?;
    client.batch_execute("SET lock_timeout = '4s'").await?;
    let found: String = client.query_one("SHOW lock_timeout", &[]).await?.get(0);
    expect("SET of lock_timeout across transactions", "4s", &*found)?;
    client.batch_execute("CREATE TEMPORARY TABLE mine (n int)").await?;
    let found = client.query("SELECT * FROM mine", &[]).await?;
    expect("a temporary table across transactions", 0, found.len())
}

#[tokio::main]
async fn main() {
    println!("version {}", env!("CHECKED_VERSION"));
    tell("parameters come back as they went", parameters().await);
    tell("a prepared statement follows its client to both server connections", follows().await);
    tell(
        "a rollback, an error inside a transaction, and one that is dropped",
        transactions().await,
    );
    tell("a pipeline of 300 queries, with errors among them", pipeline().await);
    tell("COPY in and out of 50,000 rows, and one that is given up", copies().await);
    tell("a portal read in parts", portal().await);
    tell("8 clients read their own rows", own_rows().await);
    tell("a cancel", cancel().await);
    tell("features of a session", features().await);
    println!("done");
}
