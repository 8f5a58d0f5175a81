//! `poolwright-load`: clients that write and read back their own marks, and reconnect when they
//! are asked to leave. Never repeats a request that may have run without saying so: that is an
//! error in its report, and its exit status is then not 0.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use poolwright_tests::load::{self, Account, Plan, accounts};
use poolwright_tests::marks::Protocol;

/// Load with checks: isolation, refused connects, requests cut short.
#[derive(Parser)]
#[command(name = "poolwright-load", version)]
struct Arguments {
    /// Name or address of the pooler; the name is resolved anew for each connection.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    #[arg(long, default_value_t = 5432)]
    port: u16,
    /// How many clients at once.
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// simple, extended, prepared, or mixed: each client its own.
    #[arg(long, default_value = "mixed")]
    protocol: String,
    /// Names of users; `ws_{001..020}` stands for twenty.
    #[arg(long, default_value = "ws_{001..020}", conflicts_with = "users_file")]
    users: String,
    /// Databases, separated by commas; the users are split evenly over them, in order.
    #[arg(long, default_value = "postgres", value_delimiter = ',')]
    databases: Vec<String>,
    /// The password of each user, with `{user}` for its name.
    #[arg(long, default_value = "{user}")]
    password: String,
    /// A file of lines `user password database`, instead of the three above.
    #[arg(long)]
    users_file: Option<std::path::PathBuf>,
    /// How long, in seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// The pause of each client between two transactions, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pause: u64,
    /// Transactions after which every second client leaves and connects anew; 0 for never.
    #[arg(long, default_value_t = 0)]
    per_connection: u64,
    /// Leave the table of marks as it is instead of making it first.
    #[arg(long)]
    no_setup: bool,
    /// Print a line of progress to the standard error this often, in seconds; 0 for never.
    #[arg(long, default_value_t = 0.0)]
    progress: f64,
    /// Print the report as one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn accounts(&self) -> Result<Vec<Account>> {
        match &self.users_file {
            None => accounts::from_template(&self.users, &self.databases, &self.password),
            Some(path) => {
                let text = std::fs::read_to_string(path);
                accounts::from_lines(&text.with_context(|| format!("read {}", path.display()))?)
            }
        }
    }

    fn plan(&self) -> Result<Plan> {
        let protocols = match self.protocol.as_str() {
            "mixed" => Protocol::ALL.to_vec(),
            one => vec![one.parse::<Protocol>().map_err(anyhow::Error::msg)?],
        };
        Ok(Plan {
            host: self.host.clone(),
            port: self.port,
            clients: self.clients,
            protocols,
            accounts: self.accounts()?,
            duration: Duration::try_from_secs_f64(self.seconds)?,
            pause: Duration::from_millis(self.pause),
            per_connection: self.per_connection,
            setup: !self.no_setup,
            progress: Duration::try_from_secs_f64(self.progress)?,
        })
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let report = load::run(arguments.plan()?).await?;
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.errors() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
