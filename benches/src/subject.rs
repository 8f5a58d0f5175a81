//! Who is measured. Adding a pooler is one function: it writes the pooler's settings for a
//! [`Setup`] and says what to start; the function's name goes into [`PEERS`].
//! Never measures one that is not really there: it is left out, and the table says why.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use poolwright_benches::job::names;
use poolwright_tests::process::{self, Process};

use crate::setup::{Backend, Setup};
use crate::site::{self, DATABASE, Site, USER};

mod direct;
mod odyssey;
mod pgagroal;
mod pgbouncer;
mod poolwright;
mod relay;
mod sketch;

/// Everyone that can be measured, by the name that cells and goals use.
pub const PEERS: [(&str, Start); 8] = [
    ("direct", direct::start),
    ("relay", relay::start),
    ("sketch", sketch::alone),
    ("sketch-homed", sketch::homed),
    ("poolwright", poolwright::start),
    ("pgbouncer", pgbouncer::start),
    ("odyssey", odyssey::start),
    ("pgagroal", pgagroal::start),
];

/// Writes settings and says what to start.
pub type Start = fn(&Place) -> Result<Launch>;

/// What a subject's function is given.
pub struct Place<'a> {
    pub setup: &'a Setup,
    pub site: &'a Site,
    /// The port to listen on, on 127.0.0.1.
    pub port: u16,
    /// An empty folder for settings and logs.
    pub folder: PathBuf,
}

/// What a subject's function says.
pub enum Launch {
    /// Nothing: clients go to this port as it is.
    There(u16),
    /// Start these; the words name the program and its version.
    Start(String, Vec<Command>),
    LeftOut(String),
}

impl Place<'_> {
    /// The port of what answers behind the pooler.
    pub fn backend(&self) -> u16 {
        match self.setup.backend {
            Backend::Postgres => self.site.postgres.port(),
            Backend::Stub => self.site.stub.port,
        }
    }

    pub fn databases(&self) -> Vec<String> {
        names(DATABASE, self.setup.databases)
    }

    pub fn users(&self) -> Vec<String> {
        names(USER, self.setup.users)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    fn spawn(&self, mut command: Command) -> Result<Process> {
        let log = std::fs::File::create(self.folder.join("log"))?;
        command.current_dir(&self.folder).env("HOME", &self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Process::spawn(command, "KILL")?)
    }
}

/// Something that listens on a port and leads to the same backend as all others.
pub struct Subject {
    /// The program and its version.
    pub program: String,
    pub port: u16,
    processes: Vec<Process>,
    folder: PathBuf,
}

impl Subject {
    /// Starts one, or says why it is left out.
    pub async fn start(name: &str, site: &Site, setup: &Setup) -> Result<Result<Subject, String>> {
        let known = PEERS.iter().find(|(known, _)| *known == name);
        let (_, start) = known.with_context(|| format!("nobody is called {name:?}"))?;
        let folder = process::scratch(name)?;
        let place = Place { setup, site, port: site::port()?, folder };
        let launch = start(&place).with_context(|| format!("set up {name}"))?;
        Subject::launch(&place, launch, name).await
    }

    async fn launch(
        place: &Place<'_>,
        launch: Launch,
        name: &str,
    ) -> Result<Result<Subject, String>> {
        let (program, port, commands) = match launch {
            Launch::LeftOut(reason) => return Ok(Err(reason)),
            Launch::There(port) => (name.to_owned(), port, Vec::new()),
            Launch::Start(program, commands) => (program, place.port, commands),
        };
        let processes = commands.into_iter().map(|command| place.spawn(command));
        let processes = processes.collect::<Result<Vec<_>>>()?;
        let folder = place.folder.clone();
        let subject = Subject { program, port, processes, folder };
        let listens = site::listening(port, name).await;
        listens.with_context(|| subject.last_words())?;
        Ok(Ok(subject))
    }

    /// The processes whose cost is counted; none for the direct way.
    pub fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }

    /// The end of what it has logged.
    pub fn last_words(&self) -> String {
        let bytes = std::fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace('\0', "");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Fails if one of its processes has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        if self.processes.iter_mut().any(|process| process.ended().is_some()) {
            bail!("{} has ended: {}", self.program, self.last_words());
        }
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.processes.clear();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
