//! The simple protocol of the fake server (`exec_simple_query`), and what commands do.

use std::collections::VecDeque;

use poolwright_wire::server as tag;

use super::sql::{self, Command, SetConfig};
use super::{After, Block, CopyIn, Deviation, Error, FakePostgres, Portal, error};

/// The commands of a simple query that have not run.
pub type Rest = VecDeque<Command>;

/// How far a command came.
pub enum Ran {
    /// To its end, with this command tag.
    Completed(String),
    /// It waits for data.
    CopyIn { numbers: bool },
}

impl FakePostgres {
    pub(super) fn simple(&mut self, text: &[u8]) {
        self.start();
        self.unnamed = None;
        match sql::parse(text) {
            Err(error) => self.fail(&error),
            Ok(commands) if commands.is_empty() => {
                self.finish_simple();
                self.say(tag::EMPTY_QUERY_RESPONSE, b"");
                self.ready();
            }
            Ok(commands) => {
                self.many = commands.len() > 1;
                self.run_simple(commands.into());
            }
        }
    }

    fn run_simple(&mut self, mut rest: Rest) {
        while let Some(command) = rest.pop_front() {
            match self.run_one(&command) {
                Err(error) => return self.fail(&error),
                Ok(Ran::CopyIn { numbers }) => {
                    self.begin_copy_in();
                    self.copy = Some(CopyIn { numbers, rows: 0, after: After::Simple(rest) });
                    return;
                }
                Ok(Ran::Completed(tag)) => {
                    if rest.is_empty() {
                        self.finish_simple();
                    }
                    self.command_complete(&tag);
                }
            }
        }
        self.many = false;
        self.ready();
    }

    pub(super) fn continue_simple(&mut self, tag: &str, rest: Rest) {
        self.portals.remove(&b""[..]);
        if rest.is_empty() {
            self.finish_simple();
        }
        self.command_complete(tag);
        self.run_simple(rest);
    }

    fn finish_simple(&mut self) {
        if self.block == Block::Started {
            self.end_transaction(true);
        }
    }

    fn run_one(&mut self, command: &Command) -> Result<Ran, Error> {
        self.refuse_if_failed(Some(command))?;
        self.start();
        command.analyse()?;
        let prepared = match command {
            Command::ExecuteNamed(name) => Some(self.prepared(name)?),
            _ => None,
        };
        let command = prepared.as_ref().unwrap_or(command);
        self.portals.insert(Vec::new(), Portal::of_query(command));
        let ran = self.run_in_portal(command)?;
        if matches!(ran, Ran::Completed(_)) {
            self.portals.remove(&b""[..]);
        }
        Ok(ran)
    }

    /// What EXECUTE runs; rows and what needs no transaction, as tests go no further.
    fn prepared(&mut self, name: &[u8]) -> Result<Command, Error> {
        let Some(command) = self.statements.get(name).cloned() else {
            let name = String::from_utf8_lossy(name);
            return Err(error("26000", format!("prepared statement \"{name}\" does not exist")));
        };
        self.revalidate(command.as_ref())?;
        self.note(self.in_flight, Deviation::ExecuteInFlight);
        let runs = command.filter(|it| it.column().is_some() || *it == Command::Insert);
        self.note(runs.is_none(), Deviation::ExecuteOfOther);
        runs.ok_or_else(|| error("0A000", "not in tests"))
    }

    fn run_in_portal(&mut self, command: &Command) -> Result<Ran, Error> {
        if let Some(column) = command.column() {
            self.row_description(column);
            let rows = self.rows(command)?;
            for row in &rows {
                self.data_row(row);
            }
            return Ok(Ran::Completed(self.row_tag(command, rows.len())));
        }
        self.run(command)
    }

    /// The rows of a command that has a column.
    pub(super) fn rows(&mut self, command: &Command) -> Result<Vec<String>, Error> {
        Ok(match command {
            Command::Select(mark) => vec![mark.clone()],
            Command::Three => ["a", "b", "c"].map(str::to_owned).into(),
            Command::Changing(version) => vec![version.to_string()],
            Command::InsertChanging(version) => {
                self.inserted += 1;
                vec![version.to_string()]
            }
            Command::Show(name) => vec![self.settings.get(name).to_owned()],
            Command::SetConfigs(settings) => {
                self.set(settings)?;
                vec![String::new()]
            }
            _ => return Err(error("22012", "division by zero")),
        })
    }

    fn set(&mut self, settings: &[SetConfig]) -> Result<(), Error> {
        for SetConfig { name, value, local } in settings {
            match value {
                Some(value) if value == "Nowhere/Land" => {
                    let message = format!("invalid value for parameter \"{name}\"");
                    return Err(error("22023", message));
                }
                Some(value) => self.settings.set(name, value, *local),
                None => self.settings.reset(name),
            }
        }
        match std::mem::take(&mut self.canceled) {
            true => Err(error("57014", "canceling statement due to user request")),
            false => Ok(()),
        }
    }

    pub(super) fn row_tag(&self, command: &Command, count: usize) -> String {
        match command {
            Command::Show(_) => "SHOW".to_owned(),
            Command::InsertChanging(_) => format!("INSERT 0 {count}"),
            _ => format!("SELECT {count}"),
        }
    }

    /// A command without rows.
    pub(super) fn run(&mut self, command: &Command) -> Result<Ran, Error> {
        let tag = match command {
            Command::Insert => {
                self.inserted += 1;
                "INSERT 0 1"
            }
            Command::Begin => self.begin(),
            Command::Commit | Command::Rollback => {
                return Ok(Ran::Completed(self.end(*command == Command::Commit).to_owned()));
            }
            Command::Set { name, value, local } => {
                if *local && self.block == Block::Started && !self.many && !self.pipelining {
                    self.warn("25P01", "SET LOCAL can only be used in transaction blocks");
                }
                self.settings.set(name, value, *local);
                "SET"
            }
            Command::Reset(name) => {
                self.settings.reset(name);
                "RESET"
            }
            Command::DeallocateAll => {
                self.statements.clear();
                self.deallocated = true;
                "DEALLOCATE ALL"
            }
            Command::Deallocate(name) => {
                if self.statements.remove(name).is_none() {
                    let name = String::from_utf8_lossy(name);
                    let message = format!("prepared statement \"{name}\" does not exist");
                    return Err(error("26000", message));
                }
                "DEALLOCATE"
            }
            Command::DiscardAll => self.discard_all()?,
            Command::ExecuteNamed(name) => {
                let name = name.clone();
                self.prepared(&name)?;
                "SELECT 1"
            }
            Command::CopyIn { numbers } => return Ok(Ran::CopyIn { numbers: *numbers }),
            _ => {
                self.copy_out();
                "COPY 3"
            }
        };
        Ok(Ran::Completed(tag.to_owned()))
    }

    fn begin(&mut self) -> &'static str {
        if self.block == Block::Open {
            self.warn("25001", "there is already a transaction in progress");
        }
        self.block = Block::Open;
        "BEGIN"
    }

    fn end(&mut self, commit: bool) -> &'static str {
        if self.block == Block::Started {
            self.warn("25P01", "there is no transaction in progress");
        }
        let commit = commit && self.block != Block::Failed;
        self.end_transaction(commit);
        if commit { "COMMIT" } else { "ROLLBACK" }
    }

    fn discard_all(&mut self) -> Result<&'static str, Error> {
        if self.block == Block::Open || self.many {
            return Err(error("25001", "DISCARD ALL cannot run inside a transaction block"));
        }
        if self.pipelining {
            return Err(error("25001", "DISCARD ALL cannot be executed within a pipeline"));
        }
        self.settings.reset_all();
        self.statements.clear();
        self.deallocated = true;
        self.end_transaction(true);
        Ok("DISCARD ALL")
    }
}
