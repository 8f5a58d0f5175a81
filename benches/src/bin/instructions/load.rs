//! The transactions that are counted: pgbench's select, one after the other.
//! Postgres never has two at once, since a count must not depend on who was faster.

use std::fmt;

use anyhow::{Result, ensure};
use poolwright_tests::pg::{Client, Flight, Target, message};
use poolwright_tests::pooler::Settings;
use poolwright_tests::postgres::{Postgres, SUPERUSER, password_of};

const USER: &str = "bench";
const DATABASE: &str = "bench";
/// Transactions before those that are counted: caches fill, buffers reach their size.
pub const WARM_UP: u32 = 50;

/// Clients that ask at the same time.
const IN_LINE: usize = 3;

/// How a transaction is sent.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One Query.
    Simple,
    /// Parse, Bind, Describe, Execute and Sync, all unnamed.
    Extended,
    /// Bind, Execute and Sync of a statement that the client has named.
    Prepared,
    /// One Query, of another client each time, with an application_name and a search_path of its own.
    Parameters,
    /// One Query, of a client that waits in line: there is one server connection for all.
    Queued,
}

impl Kind {
    pub const ALL: [Kind; 5] =
        [Kind::Simple, Kind::Extended, Kind::Prepared, Kind::Parameters, Kind::Queued];

    /// The pooler's settings for this kind.
    pub fn settings(self, settings: &Settings) -> Settings {
        let size = if matches!(self, Kind::Queued) { "1" } else { "20" };
        settings.clone().with("pool.size", size)
    }

    /// A client's settings go ahead of its query, and Postgres answers each by itself.
    pub fn waits_for_two_replies(self) -> bool {
        matches!(self, Kind::Parameters)
    }

    /// All texts have the same length, so that all transactions of a kind cost the same.
    fn flight(self, row: &str) -> Flight {
        let select = "SELECT abalance FROM pgbench_accounts WHERE aid = ";
        let flight = Flight::new();
        match self {
            Kind::Simple | Kind::Parameters | Kind::Queued => {
                flight.query(&format!("{select}{row};"))
            }
            Kind::Extended => {
                let flight = flight.parse("", &format!("{select}$1;")).bind("", "", &[row]);
                flight.describe_portal("").execute("", 0).sync()
            }
            Kind::Prepared => flight.run(STATEMENT, &[row]).sync(),
        }
    }
}

const STATEMENT: &str = "P0_1";

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Simple => "simple",
            Kind::Extended => "extended",
            Kind::Prepared => "prepared",
            Kind::Parameters => "parameters",
            Kind::Queued => "queued",
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
    let settings = settings.with("servers.0.tls.mode", "disable");
    // Nobody has to hear that it ends.
    Ok(settings.with("drain.timeout", "0s"))
}

/// The clients of one pooler.
pub struct Clients {
    /// Its named statement is known to the pooler.
    plain: Client,
    with_parameters: [Client; 2],
    in_line: [Client; IN_LINE],
}

impl Clients {
    pub async fn login(port: u16) -> Result<Clients> {
        let target = Target::new("127.0.0.1", port, USER, DATABASE).password(&password_of(USER));
        let mut plain = target.connect().await?;
        let sql = "SELECT abalance FROM pgbench_accounts WHERE aid = $1;";
        plain.send(Flight::new().parse(STATEMENT, sql).sync().bytes()).await?;
        answer(&mut plain).await?;
        let own = async |name: &str, path: &str| {
            let target = target.clone().parameter("application_name", name);
            target.parameter("search_path", path).connect().await
        };
        let with_parameters =
            [own("client_0", "public, s0").await?, own("client_1", "public, s1").await?];
        let in_line = [target.connect().await?, target.connect().await?, target.connect().await?];
        Ok(Clients { plain, with_parameters, in_line })
    }

    /// Runs so many transactions, each of which has to bring its row.
    pub async fn run(&mut self, kind: Kind, transactions: u32) -> Result<()> {
        if matches!(kind, Kind::Queued) {
            return self.run_in_line(transactions).await;
        }
        for number in 0..transactions {
            let client = match kind {
                Kind::Parameters => &mut self.with_parameters[number as usize % 2],
                _ => &mut self.plain,
            };
            client.send(kind.flight(&row(number)).bytes()).await?;
            bring_row(client, kind).await?;
        }
        Ok(())
    }

    /// Who has an answer asks again, and comes behind the others.
    async fn run_in_line(&mut self, transactions: u32) -> Result<()> {
        for number in 0..transactions + IN_LINE as u32 {
            let client = &mut self.in_line[number as usize % IN_LINE];
            if number >= IN_LINE as u32 {
                bring_row(client, Kind::Queued).await?;
            }
            if number < transactions {
                client.send(Kind::Queued.flight(&row(number)).bytes()).await?;
            }
        }
        Ok(())
    }

    pub async fn terminate(self) -> Result<()> {
        self.plain.terminate().await?;
        for client in self.with_parameters.into_iter().chain(self.in_line) {
            client.terminate().await?;
        }
        Ok(())
    }
}

fn row(number: u32) -> String {
    (1000 + number % 9000).to_string()
}

async fn bring_row(client: &mut Client, kind: Kind) -> Result<()> {
    let told = answer(client).await?;
    ensure!(told.iter().any(|word| word == "Row(0)"), "{kind}: {told:?}");
    Ok(())
}

async fn answer(client: &mut Client) -> Result<Vec<String>> {
    let told = message::transcript(&client.until_ready().await?);
    ensure!(told.last().is_some_and(|word| word == "Ready(I)"), "{told:?}");
    Ok(told)
}
