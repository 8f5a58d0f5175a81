//! The load: many clients on one thread, as cheap as they can be made, so that the machine is
//! left to the pooler. Never goes on after an error, and never counts what it did not receive.
//!
//! It says `ready` when all clients are logged in, begins when its standard input says `go`,
//! prints its report, and keeps the connections until the input ends.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::histogram::Histogram;
use crate::job::{Job, Report, Work};
use connection::{Connection, Door};
use request::Request;

mod connection;
mod replies;
mod request;
mod scram;
mod stream;
mod trusting;

/// What all clients of the thread share.
struct Shared {
    job: Job,
    door: Door,
    latencies: RefCell<Histogram>,
    ended: Cell<Option<Instant>>,
    logins: Semaphore,
}

/// Carries out the job and prints its report.
pub async fn run(job: Job) -> Result<()> {
    let door = Door::new(&job)?;
    let logins = Semaphore::new(job.logins as usize);
    let shared = Rc::new(Shared {
        job,
        door,
        latencies: RefCell::default(),
        ended: Cell::new(None),
        logins,
    });
    LocalSet::new().run_until(all(shared)).await
}

async fn all(shared: Rc<Shared>) -> Result<()> {
    let mut resting = rest(&shared).await?;
    let (begin, begun) = watch::channel(None);
    let mut workers = JoinSet::new();
    let connections = shared.log_in(0, shared.job.clients).await?;
    for (number, connection) in connections.into_iter().enumerate() {
        workers.spawn_local(work(shared.clone(), number, connection, begun.clone()));
    }
    say("ready")?;
    wait_for_line().await?;
    let start = Instant::now();
    begin.send(Some(start + Duration::from_secs_f64(shared.job.seconds)))?;
    let mut kept = Vec::new();
    while let Some(done) = workers.join_next().await {
        kept.push(done??);
    }
    for connection in &mut resting {
        connection.must_be_silent().context("a client that only stays")?;
    }
    say(&serde_json::to_string(&shared.report(start))?)?;
    wait_for_line().await
}

/// Logs the idle clients in; each asks one query, as a client that only came to stay would.
async fn rest(shared: &Rc<Shared>) -> Result<Vec<Connection>> {
    let mut resting = shared.log_in(shared.job.clients, shared.job.idle).await?;
    let mut request = Request::new(Work::Simple);
    for connection in &mut resting {
        connection.exchange(request.next()).await?;
    }
    Ok(resting)
}

/// One client until the end of the time.
async fn work(
    shared: Rc<Shared>,
    number: usize,
    mut connection: Connection,
    mut begun: watch::Receiver<Option<Instant>>,
) -> Result<Connection> {
    let mut request = Request::new(shared.job.work);
    if let Some(preparation) = request.preparation() {
        connection.exchange(&preparation).await.context("prepare")?;
    }
    let until = begun.wait_for(Option::is_some).await?.context("no end is set")?;
    let mut now = Instant::now();
    while now < until {
        let before = now;
        if shared.job.work == Work::Connect {
            connection.leave().await?;
            connection = shared.connect(number).await?;
        }
        connection.exchange(request.next()).await?;
        now = Instant::now();
        shared.latencies.borrow_mut().add((now - before).as_nanos() as u64);
    }
    shared.ended.set(Some(now));
    Ok(connection)
}

impl Shared {
    /// Logs `count` clients in, their numbers beginning with `first`.
    async fn log_in(self: &Rc<Shared>, first: u32, count: u32) -> Result<Vec<Connection>> {
        let mut logins = JoinSet::new();
        for number in first..first + count {
            let shared = self.clone();
            logins.spawn_local(async move {
                let _turn = shared.logins.acquire().await?;
                shared.connect(number as usize).await
            });
        }
        let mut connections = Vec::new();
        while let Some(login) = logins.join_next().await {
            connections.push(login?.context("log in")?);
        }
        Ok(connections)
    }

    async fn connect(&self, number: usize) -> Result<Connection> {
        // Idle clients are spread over all pools, working ones over the active.
        let resting = number >= self.job.clients as usize;
        let pool =
            if resting { number % self.job.pools() } else { self.job.pool_of_client(number) };
        self.door.connect(&self.job, number, pool).await
    }

    fn report(&self, start: Instant) -> Report {
        let latencies = self.latencies.borrow();
        let us = |nanoseconds: u64| nanoseconds as f64 / 1_000.0;
        Report {
            transactions: latencies.count(),
            seconds: self.ended.get().map_or(0.0, |ended| (ended - start).as_secs_f64()),
            p50_us: us(latencies.quantile(0.5)),
            p99_us: us(latencies.quantile(0.99)),
            max_us: us(latencies.greatest()),
        }
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("write to the bench")
}

/// Waits for a line or the end of the input on a thread of its own: the clients stay served.
async fn wait_for_line() -> Result<()> {
    let read = || std::io::stdin().lock().read_line(&mut String::new());
    tokio::task::spawn_blocking(read).await?.context("read from the bench")?;
    Ok(())
}

/// Checks what a job must hold to be carried out.
pub fn check(job: &Job) -> Result<()> {
    ensure!(job.pools() > 0, "a job needs a database and a user");
    ensure!(job.logins > 0, "a job needs a login at a time");
    ensure!(job.sources > 0, "a job needs an address to come from");
    Ok(())
}
