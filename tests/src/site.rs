//! What most tests need: a database of their own in a shared PostgreSQL, reached directly or
//! through a pooler of their own. Never lets a complaint in the pooler's log pass unseen.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use anyhow::{Context, Result};

use crate::pg::{Client, Target};
use crate::pooler::{Pooler, Settings, Variable};
use crate::postgres::{BY_PASSWORD, BY_TLS, Options, Postgres, SUPERUSER, password_of, programs};

/// The users that every site has. The last one has to show Postgres its password.
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "scott"];

/// A database, and a way to it.
pub struct Site {
    pub postgres: Arc<Postgres>,
    pub database: String,
    pub pooler: Option<Pooler>,
    pub settings: Settings,
    /// Of its poolers.
    pub environment: Vec<Variable>,
    expected: Vec<String>,
    owned: bool,
}

impl Site {
    /// Straight to Postgres.
    pub async fn direct() -> Site {
        let postgres = shared().await.unwrap_or_else(|error| panic!("{error:#}"));
        Site::on(postgres).await
    }

    /// Through a pooler; `changes` are paths in the settings file and their values.
    pub async fn pooled(changes: &[(&str, &str)]) -> Site {
        Site::direct().await.behind_a_pooler(changes).await
    }

    /// A database on a PostgreSQL that the test started itself.
    pub async fn on(postgres: Arc<Postgres>) -> Site {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = format!("db_{}_{number}", std::process::id());
        create_database(&postgres, &database).await.unwrap_or_else(|error| panic!("{error:#}"));
        let settings = Settings::new(postgres.port(), &database, &USERS)
            .with("servers.0.host", postgres.host());
        let (pooler, environment, expected) = (None, Vec::new(), Vec::new());
        Site { postgres, database, pooler, settings, environment, expected, owned: true }
    }

    /// Puts a pooler in front of it.
    pub async fn behind_a_pooler(mut self, changes: &[(&str, &str)]) -> Site {
        for (path, value) in changes {
            self.settings = self.settings.clone().with(path, value);
        }
        let started = Pooler::start_in(self.settings.clone(), &self.environment).await;
        self.pooler = Some(started.unwrap_or_else(|error| panic!("{error:#}")));
        self
    }

    /// Adds users `{prefix}0`, `{prefix}1` … to Postgres and to the settings; before the pooler.
    pub async fn with_users(mut self, prefix: &str, count: usize) -> Site {
        let mut admin = self.superuser().await;
        for number in 0..count {
            let user = format!("{prefix}{number}");
            let password = password_of(&user);
            let _ = admin.query(&format!("CREATE ROLE {user} LOGIN PASSWORD '{password}'")).await;
            self.settings = self.settings.clone().user(&user);
        }
        self
    }

    /// The pooler, in tests that have one.
    pub fn pooler(&self) -> &Pooler {
        self.pooler.as_ref().unwrap_or_else(|| panic!("this site has no pooler"))
    }

    /// Says that the pooler's log will hold a WARN or ERROR line with this text.
    pub fn expect_complaint(&mut self, text: &str) {
        self.expected.push(text.to_owned());
    }

    /// How `user` logs in here.
    pub fn target(&self, user: &str) -> Target {
        let port = self.pooler.as_ref().map_or(self.postgres.port(), |pooler| pooler.port);
        let host = self.pooler.as_ref().map_or(self.postgres.host(), |_| "127.0.0.1");
        Target::new(host, port, user, &self.database).password(&password_of(user))
    }

    pub async fn connect(&self, user: &str) -> Client {
        self.connect_to(self.target(user)).await
    }

    pub async fn connect_to(&self, target: Target) -> Client {
        let user = target.user.clone();
        target.connect().await.unwrap_or_else(|error| panic!("log in as {user}: {error:#}"))
    }

    /// The superuser, past the pooler.
    pub async fn superuser(&self) -> Client {
        let client = self.postgres.superuser(&self.database).await;
        client.unwrap_or_else(|error| panic!("log in as the superuser: {error:#}"))
    }

    /// The number of server connections to this database, without superusers'.
    pub async fn server_connections(&self) -> u64 {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity JOIN pg_roles ON rolname = usename
             WHERE NOT rolsuper AND datname = '{}'",
            self.database
        );
        self.superuser().await.cell(&sql).await.parse().unwrap_or(0)
    }

    /// Waits until `sql`, asked by the superuser, gives `expected`; fails after 30 s.
    pub async fn eventually(&self, sql: &str, expected: &str) {
        let mut admin = self.superuser().await;
        let mut last = String::new();
        for _ in 0..1500 {
            last = admin.cell(sql).await;
            if last == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{sql}: expected {expected} within 30 s, last seen {last}");
    }

    /// Waits until a metric of the pooler satisfies `enough`; fails after 30 s.
    pub async fn metric_reaches(&self, name: &str, label: &str, enough: impl Fn(f64) -> bool) {
        let mut last = 0.0;
        for _ in 0..1500 {
            last = self.pooler().metric(name, label).await;
            if enough(last) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("metric {name} {label}: not as expected within 30 s, last seen {last}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let complaints = self.pooler.as_ref().map(|pooler| pooler.complaints(&self.expected));
        let pooler = self.pooler.take();
        if self.owned {
            drop_database(&self.postgres, &self.database);
        }
        if std::thread::panicking() {
            return;
        }
        drop(pooler);
        let complaints = complaints.unwrap_or_default();
        assert!(complaints.is_empty(), "the pooler complained:\n{}", complaints.join("\n"));
    }
}

async fn create_database(postgres: &Postgres, database: &str) -> Result<()> {
    let mut admin = postgres.superuser(SUPERUSER).await?;
    let created = admin.query(&format!("CREATE DATABASE {database}")).await?;
    match created.error {
        Some(error) => Err(error).context("create the test's database"),
        None => {
            let grant = format!("GRANT ALL ON DATABASE {database} TO PUBLIC");
            admin.run(&grant).await;
            postgres.superuser(database).await?.run("GRANT ALL ON SCHEMA public TO PUBLIC").await;
            Ok(())
        }
    }
}

fn drop_database(postgres: &Postgres, database: &str) {
    let Ok(programs) = programs() else { return };
    let mut command = std::process::Command::new(programs.join("dropdb"));
    command.args(["--force", "--if-exists", "-h", postgres.host(), "-U", SUPERUSER]);
    command.arg("-p").arg(postgres.port().to_string()).arg(database);
    let _ =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
}

/// Makes the users of [`USERS`] and the two roles that pg_hba.conf knows.
pub async fn add_users(postgres: &Postgres) -> Result<()> {
    let mut admin = postgres.superuser(SUPERUSER).await?;
    admin.run(&format!("CREATE ROLE {BY_PASSWORD}; CREATE ROLE {BY_TLS}")).await;
    for user in USERS {
        postgres.add_user(user, "").await?;
    }
    admin.run(&format!("GRANT {BY_PASSWORD} TO scott; GRANT carol TO alice")).await;
    Ok(())
}

/// A PostgreSQL with the users of [`USERS`].
pub async fn start_postgres(options: Options) -> Result<Arc<Postgres>> {
    let postgres = Postgres::start(options).await?;
    add_users(&postgres).await?;
    Ok(Arc::new(postgres))
}

/// The PostgreSQL that the tests of one program share while any of them runs.
async fn shared() -> Result<Arc<Postgres>> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = STARTING.lock().await;
    let known = SHARED.lock().ok().and_then(|shared| shared.upgrade());
    if let Some(postgres) = known {
        return Ok(postgres);
    }
    let options = Options { max_connections: 600, ..Options::default() };
    let postgres = start_postgres(options).await?;
    if let Ok(mut shared) = SHARED.lock() {
        *shared = Arc::downgrade(&postgres);
    }
    Ok(postgres)
}
