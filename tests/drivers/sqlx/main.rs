//! sqlx with its defaults: each connection keeps up to 100 named statements, and its pool asks a
//! connection whether it is alive before it hands it out.

#[path = "../lib/checks.rs"]
mod checks;

use std::time::Duration;

use checks::{CLIENTS, ROUNDS, Result, expect, expect_own_rows, tell};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolCopyExt, PgPoolOptions,
};
use sqlx::{Connection, Row};

/// All is in the environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSFILE.
async fn connect() -> Result<PgConnection> {
    Ok(PgConnection::connect_with(&PgConnectOptions::new()).await?)
}

async fn pool() -> Result<PgPool> {
    Ok(PgPoolOptions::new().connect_with(PgConnectOptions::new()).await?)
}

fn state<T>(result: std::result::Result<T, sqlx::Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => match error.as_database_error().and_then(|told| told.code()) {
            Some(code) => code.into_owned(),
            None => error.to_string(),
        },
    }
}

async fn number(connection: &mut PgConnection, n: i32) -> Result<i32> {
    Ok(sqlx::query_scalar("SELECT $1::int").bind(n).fetch_one(connection).await?)
}

async fn parameters() -> Result {
    let mut client = connect().await?;
    let long = "x".repeat(8_000_000);
    for _ in 0..3 {
        let row =
            sqlx::query("SELECT $1::int8, $2::text, $3::bytea, $4::text, $5::int4[], $6::text")
                .bind(1i64 << 40)
                .bind("it's ünïcode ✓")
                .bind(&b"\x00\xff"[..])
                .bind(None::<&str>)
                .bind(vec![1, 2, 3])
                .bind(&long)
                .fetch_one(&mut client)
                .await?;
        expect("int8", 1i64 << 40, row.get(0))?;
        expect("text", "it's ünïcode ✓", row.get(1))?;
        expect("bytea", &b"\x00\xff"[..], row.get(2))?;
        expect("null", None::<&str>, row.get(3))?;
        expect("array", vec![1, 2, 3], row.get(4))?;
        expect("a long text", true, long == row.get::<String, _>(5))?;
    }
    Ok(())
}

const DOUBLE: &str = "SELECT $1::int * 2, pg_backend_pid()";

async fn on_the_only_free(client: &mut PgConnection, free: i32) -> Result {
    for n in 0..3 {
        let row = sqlx::query(DOUBLE).bind(n).fetch_one(&mut *client).await?;
        expect("on the only free server", (n * 2, free), (row.get(0), row.get(1)))?;
    }
    Ok(())
}

async fn follows() -> Result {
    let (mut client, mut first, mut second) =
        (connect().await?, connect().await?, connect().await?);
    sqlx::query(DOUBLE).bind(0).fetch_one(&mut client).await?;
    let pid = "SELECT pg_backend_pid()";
    let mut one = first.begin().await?;
    let mut other = second.begin().await?;
    let one_pid: i32 = sqlx::query_scalar(pid).fetch_one(&mut *one).await?;
    let other_pid: i32 = sqlx::query_scalar(pid).fetch_one(&mut *other).await?;
    one.rollback().await?;
    on_the_only_free(&mut client, one_pid).await?;
    let mut one = first.begin().await?;
    sqlx::query("SELECT 1").execute(&mut *one).await?;
    other.rollback().await?;
    on_the_only_free(&mut client, other_pid).await?;
    Ok(one.rollback().await?)
}

async fn many_statements() -> Result {
    let mut client = connect().await?;
    for _ in 0..2 {
        for n in 0..300 {
            let sql = format!("SELECT $1::int + {n}");
            let found: i32 = sqlx::query_scalar(&sql).bind(5).fetch_one(&mut client).await?;
            expect("sum", n + 5, found)?;
        }
    }
    Ok(())
}

async fn transactions() -> Result {
    let mut client = connect().await?;
    sqlx::query("CREATE TABLE account (id int PRIMARY KEY, amount int)")
        .execute(&mut client)
        .await?;
    sqlx::query("INSERT INTO account VALUES ($1, $2)")
        .bind(1)
        .bind(100)
        .execute(&mut client)
        .await?;
    for n in 0..10 {
        let mut transaction = client.begin().await?;
        sqlx::query("UPDATE account SET amount = $1").bind(0).execute(&mut *transaction).await?;
        let wrong = sqlx::query("SELECT 1 / $1::int").bind(0).execute(&mut *transaction).await;
        expect("the error", "22012", &state(wrong))?;
        let after = sqlx::query("SELECT $1::int").bind(n).execute(&mut *transaction).await;
        expect("after it", "25P02", &state(after))?;
        // One that is dropped is rolled back before the next query.
        if n % 2 == 0 {
            transaction.rollback().await?;
        } else {
            drop(transaction);
        }
        let amount: i32 =
            sqlx::query_scalar("SELECT amount FROM account").fetch_one(&mut client).await?;
        expect("after rollback", 100, amount)?;
    }
    let mut transaction = client.begin().await?;
    sqlx::query("UPDATE account SET amount = 101").execute(&mut *transaction).await?;
    let mut inner = transaction.begin().await?;
    let duplicate =
        sqlx::query("INSERT INTO account VALUES ($1, 1)").bind(1).execute(&mut *inner).await;
    expect("the duplicate", "23505", &state(duplicate))?;
    inner.rollback().await?;
    transaction.commit().await?;
    let amount: i32 =
        sqlx::query_scalar("SELECT amount FROM account").fetch_one(&mut client).await?;
    expect("after a savepoint", 101, amount)
}

async fn copies() -> Result {
    let pool = pool().await?;
    sqlx::query("CREATE TABLE copied (n int, t text)").execute(&pool).await?;
    let lines: String = (0..50_000).map(|n| format!("{n}\ttext {n}\n")).collect();
    let mut copy = pool.copy_in_raw("COPY copied FROM STDIN").await?;
    copy.send(lines.as_bytes()).await?;
    expect("rows", 50_000, copy.finish().await?)?;
    let out = pool.copy_out_raw("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT").await?;
    let out: Vec<_> = out.try_collect().await?;
    expect("the same", true, out.concat() == lines.as_bytes())?;
    let mut given_up = pool.copy_in_raw("COPY copied FROM STDIN").await?;
    given_up.send(&b"1\tx\n"[..]).await?;
    given_up.abort("given up").await?;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM copied").fetch_one(&pool).await?;
    expect("no row of one that is given up", 50_000, count)?;
    pool.close().await;
    Ok(())
}

async fn one_client(pool: PgPool, number: usize) -> Result<Vec<(String, String, i32)>> {
    let mut rows = Vec::new();
    for n in 0..ROUNDS {
        let mark = format!("client {number} round {n}");
        let mut transaction = pool.begin().await?;
        let sql = "SELECT $1::text, pg_backend_pid()";
        let row = sqlx::query(sql).bind(&mark).fetch_one(&mut *transaction).await?;
        let again: i32 = sqlx::query_scalar("SELECT pg_backend_pid() FROM pg_sleep(0.001)")
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        expect("one server in a transaction", row.get(1), again)?;
        rows.push((mark, row.get(0), row.get(1)));
    }
    Ok(rows)
}

async fn own_rows() -> Result {
    let pool = pool().await?;
    let rows =
        try_join_all((0..CLIENTS).map(|number| one_client(pool.clone(), number))).await?.concat();
    pool.close().await;
    expect_own_rows(rows)
}

/// A query that is dropped leaves its connection to read the rest before the next.
async fn dropped() -> Result {
    let mut client = connect().await?;
    for n in 0..3 {
        let slow = sqlx::query("SELECT pg_sleep(0.5)").execute(&mut client);
        expect(
            "it is dropped",
            true,
            tokio::time::timeout(Duration::from_millis(100), slow).await.is_err(),
        )?;
        expect("afterwards", n, number(&mut client, n).await?)?;
    }
    let mut transaction = client.begin().await?;
    sqlx::query("SET LOCAL statement_timeout = '50ms'").execute(&mut *transaction).await?;
    let late = sqlx::query("SELECT pg_sleep(60)").execute(&mut *transaction).await;
    expect("the timeout", "57014", &state(late))?;
    transaction.rollback().await?;
    expect("after it", 5, number(&mut client, 5).await?)
}

async fn features() -> Result {
    let mut listener = PgListener::connect_with(&pool().await?).await?;
    listener.listen("news").await?;
    sqlx::query("NOTIFY news").execute(&mut connect().await?).await?;
    let heard = tokio::time::timeout(Duration::from_millis(500), listener.recv()).await;
    expect("LISTEN (PgListener)", true, heard.is_ok())?;
    drop(listener);
    let mut client = connect().await?;
    sqlx::query("SET lock_timeout = '4s'").execute(&mut client).await?;
    let found: String = sqlx::query_scalar("SHOW lock_timeout").fetch_one(&mut client).await?;
    expect("SET of lock_timeout across transactions", "4s", &*found)?;
    sqlx::query("SELECT pg_advisory_lock(5)").execute(&mut client).await?;
    let sql =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    let held: i64 = sqlx::query_scalar(sql).fetch_one(&mut client).await?;
    expect("a session advisory lock (migrations take one)", 1, held)
}

#[tokio::main]
async fn main() {
    println!("version {}", env!("CHECKED_VERSION"));
    tell("parameters come back as they went", parameters().await);
    tell("a prepared statement follows its client to both server connections", follows().await);
    tell("300 statements, more than a server connection keeps", many_statements().await);
    tell("a rollback, a savepoint, and an error inside a transaction", transactions().await);
    tell("COPY in and out of 50,000 rows, and one that is given up", copies().await);
    tell("8 users of a pool read their own rows", own_rows().await);
    tell("queries that are dropped, and a timeout of the server", dropped().await);
    tell("features of a session", features().await);
    println!("done");
}
