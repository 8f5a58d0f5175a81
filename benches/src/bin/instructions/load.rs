//! The transactions that are counted: pgbench's select, one client, one after the other.
//! Never two at once, since a count must not depend on who was faster.

use std::fmt;

use anyhow::{Result, ensure};
use poolwright_tests::pg::{Client, Flight, Target, message};
use poolwright_tests::pooler::Settings;
use poolwright_tests::postgres::{Postgres, SUPERUSER, password_of};

const USER: &str = "bench";
const DATABASE: &str = "bench";
/// Transactions of each kind before those that are counted: caches fill, buffers reach their size.
pub const WARM_UP: u32 = 200;

/// How a transaction is sent.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// One Query.
    Simple,
    /// Parse, Bind, Describe, Execute and Sync, all unnamed.
    Extended,
    /// Bind, Execute and Sync of a statement that the client has named.
    Prepared,
}

impl Protocol {
    pub const ALL: [Protocol; 3] = [Protocol::Simple, Protocol::Extended, Protocol::Prepared];

    /// All texts have the same length, so that all transactions of a kind cost the same.
    fn flight(self, row: &str) -> Flight {
        let select = "SELECT abalance FROM pgbench_accounts WHERE aid = ";
        let flight = Flight::new();
        match self {
            Protocol::Simple => flight.query(&format!("{select}{row};")),
            Protocol::Extended => {
                let flight = flight.parse("", &format!("{select}$1;")).bind("", "", &[row]);
                flight.describe_portal("").execute("", 0).sync()
            }
            Protocol::Prepared => flight.run(STATEMENT, &[row]).sync(),
        }
    }
}

const STATEMENT: &str = "P0_1";

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
            Protocol::Prepared => "prepared",
        })
    }
}

/// Makes the role and the table, and the settings of a pooler that serves them.
pub async fn prepare(postgres: &Postgres) -> Result<Settings> {
    postgres.add_user(USER, "").await?;
    let mut admin = postgres.superuser(SUPERUSER).await?;
    admin.run(&format!("CREATE DATABASE {DATABASE} OWNER {USER}")).await;
    let mut owner = postgres.target(USER, DATABASE).connect().await?;
    owner.run("CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, abalance int)").await;
    owner.run("INSERT INTO pgbench_accounts SELECT aid, 0 FROM generate_series(1, 9999) aid").await;
    owner.run("ANALYZE pgbench_accounts").await;
    let settings = Settings::new(postgres.port(), DATABASE, &[USER]);
    Ok(settings.with("servers.0.tls.mode", "disable").with("pool.size", "20"))
}

/// A client whose named statement the pooler knows.
pub async fn login(port: u16) -> Result<Client> {
    let target = Target::new("127.0.0.1", port, USER, DATABASE).password(&password_of(USER));
    let mut client = target.connect().await?;
    let sql = "SELECT abalance FROM pgbench_accounts WHERE aid = $1;";
    send(&mut client, Flight::new().parse(STATEMENT, sql).sync()).await?;
    Ok(client)
}

/// Runs so many transactions, each of which has to bring its row.
pub async fn run(client: &mut Client, protocol: Protocol, transactions: u32) -> Result<()> {
    for number in 0..transactions {
        let row = (1000 + number % 9000).to_string();
        let told = send(client, protocol.flight(&row)).await?;
        ensure!(told.iter().any(|word| word == "Row(0)"), "{protocol} {row}: {told:?}");
    }
    Ok(())
}

async fn send(client: &mut Client, flight: Flight) -> Result<Vec<String>> {
    let told = message::transcript(&client.exchange(&flight).await?);
    ensure!(told.last().is_some_and(|word| word == "Ready(I)"), "{told:?}");
    Ok(told)
}
