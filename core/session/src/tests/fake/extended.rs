//! The extended protocol of the fake server: `exec_parse_message` and those that follow it.

use poolwright_wire::read::{self, Execute, ParseMessage, Target};
use poolwright_wire::{TargetKind, server as tag, write};

use super::simple::Ran;
use super::sql::{self, Command};
use super::{After, Block, CopyIn, Deviation, Error, FakePostgres, error};

#[derive(Clone, Debug)]
pub struct Portal {
    /// `None`: an empty query.
    command: Option<Command>,
    /// Rows not yet sent, once it has begun to run.
    rows: Option<Vec<String>>,
    done: bool,
}

impl Portal {
    /// The unnamed portal that a simple query runs in; it stays if the query fails.
    pub(super) fn of_query(command: &Command) -> Portal {
        Portal { command: Some(command.clone()), rows: None, done: true }
    }

    /// Its transaction failed: not even a COMMIT in it may run.
    pub(super) fn fail(&mut self) {
        self.done = true;
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl FakePostgres {
    pub(super) fn parse(&mut self, message: &ParseMessage<'_>) -> Result<(), Error> {
        self.start();
        if message.name.is_empty() {
            self.unnamed = None;
        }
        let taken = self.statements.contains_key(message.name);
        let named = !message.name.is_empty();
        self.note(named && self.deallocated, Deviation::NamesAfterDeallocate);
        let command = self.analyse(message.query).inspect_err(|_| {
            self.note(named && taken, Deviation::ParseWrongTwice);
        })?;
        if !named {
            self.unnamed = Some(command);
        } else if taken {
            let message = format!("prepared statement \"{}\" already exists", text(message.name));
            return Err(error("42P05", message));
        } else {
            self.statements.insert(message.name.into(), command);
        }
        write::parse_complete(&mut self.pending);
        Ok(())
    }

    fn analyse(&self, query: &[u8]) -> Result<Option<Command>, Error> {
        let mut commands = sql::parse(query)?;
        if commands.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(error("42601", message));
        }
        let Some(mut command) = commands.pop() else { return Ok(None) };
        if let Command::Changing(version) | Command::InsertChanging(version) = &mut command {
            *version = self.version;
        }
        self.refuse_if_failed(Some(&command))?;
        command.analyse()?;
        Ok(Some(command))
    }

    /// `RevalidateCachedQuery`
    pub(super) fn revalidate(&self, command: Option<&Command>) -> Result<(), Error> {
        match command {
            Some(Command::Changing(version) | Command::InsertChanging(version))
                if *version != self.version =>
            {
                Err(error("0A000", "cached plan must not change result type"))
            }
            _ => Ok(()),
        }
    }

    fn statement(&mut self, name: &[u8]) -> Result<Option<Command>, Error> {
        if name.is_empty() {
            let missing = || error("26000", "unnamed prepared statement does not exist");
            return self.unnamed.clone().ok_or_else(missing);
        }
        self.note(self.deallocated, Deviation::NamesAfterDeallocate);
        let missing =
            || error("26000", format!("prepared statement \"{}\" does not exist", text(name)));
        self.statements.get(name).cloned().ok_or_else(missing)
    }

    pub(super) fn bind(&mut self, body: &[u8]) -> Result<(), Error> {
        let names = read::bind_names(body, body.len() as u32).expect("a Bind").expect("names");
        self.start();
        let command = self.statement(names.statement)?;
        self.refuse_if_failed(command.as_ref())?;
        self.revalidate(command.as_ref())?;
        if !names.portal.is_empty() && self.portals.contains_key(names.portal) {
            let message = format!("cursor \"{}\" already exists", text(names.portal));
            return Err(error("42P03", message));
        }
        let portal = Portal { command, rows: None, done: false };
        self.portals.insert(names.portal.into(), portal);
        write::bind_complete(&mut self.pending);
        Ok(())
    }

    pub(super) fn describe(&mut self, target: &Target<'_>) -> Result<(), Error> {
        self.start();
        let command = match target.kind {
            TargetKind::Statement => self.statement(target.name)?,
            TargetKind::Portal => self.portal(target.name)?.command,
        };
        let column = command.as_ref().and_then(Command::column);
        if column.is_some() {
            self.refuse_if_failed(None)?;
        }
        if target.kind == TargetKind::Statement {
            let renamed = self.block == Block::Failed;
            self.note(renamed, Deviation::DescribeInFailedTransaction);
            self.say(tag::PARAMETER_DESCRIPTION, &[0, 0]);
            self.revalidate(command.as_ref())?;
        }
        match column {
            Some(column) => self.row_description(column),
            None => self.say(tag::NO_DATA, b""),
        }
        Ok(())
    }

    fn portal(&self, name: &[u8]) -> Result<Portal, Error> {
        let missing = || error("34000", format!("portal \"{}\" does not exist", text(name)));
        self.portals.get(name).cloned().ok_or_else(missing)
    }

    pub(super) fn execute(&mut self, message: &Execute<'_>) -> Result<(), Error> {
        let mut portal = self.portal(message.portal)?;
        let Some(command) = portal.command.clone() else {
            self.say(tag::EMPTY_QUERY_RESPONSE, b"");
            return Ok(());
        };
        self.start();
        let begun = portal.done || portal.rows.is_some();
        self.refuse_if_failed(Some(&command).filter(|_| !begun))?;
        if command.column().is_some() {
            let rows = match portal.rows.take() {
                Some(rows) => rows,
                None => self.rows(&command)?,
            };
            return self.send_rows(message, &command, rows);
        }
        if portal.done {
            let message = format!("portal \"{}\" cannot be run", text(message.portal));
            return Err(error("55000", message));
        }
        match self.run(&command)? {
            Ran::CopyIn { numbers } => {
                self.begin_copy_in();
                let after = After::Portal(message.portal.into());
                self.copy = Some(CopyIn { numbers, rows: 0, after });
            }
            Ran::Completed(tag) => {
                self.complete_portal(message.portal, &tag, command.is_transaction());
            }
        }
        Ok(())
    }

    fn send_rows(
        &mut self,
        message: &Execute<'_>,
        command: &Command,
        mut rows: Vec<String>,
    ) -> Result<(), Error> {
        let limit = usize::try_from(message.max_rows).unwrap_or(0);
        let suspended = limit > 0 && limit <= rows.len();
        let count = if suspended { limit } else { rows.len() };
        for row in rows.drain(..count) {
            self.data_row(&row);
        }
        if let Some(portal) = self.portals.get_mut(message.portal) {
            portal.rows = Some(rows);
        }
        self.pipelining = true;
        match suspended {
            true => self.say(tag::PORTAL_SUSPENDED, b""),
            false => self.command_complete(&self.row_tag(command, count)),
        }
        Ok(())
    }

    /// The portal of a command without rows has run.
    pub(super) fn complete_portal(&mut self, name: &[u8], tag: &str, is_transaction: bool) {
        if let Some(portal) = self.portals.get_mut(name) {
            portal.done = true;
        }
        self.pipelining |= !is_transaction && self.block != Block::Idle;
        self.command_complete(tag);
    }

    pub(super) fn close(&mut self, target: &Target<'_>) -> Result<(), Error> {
        match (target.kind, target.name) {
            (TargetKind::Portal, name) => drop(self.portals.remove(name)),
            (TargetKind::Statement, b"") => self.unnamed = None,
            (TargetKind::Statement, name) => {
                self.note(self.deallocated, Deviation::NamesAfterDeallocate);
                self.statements.remove(name);
            }
        }
        write::close_complete(&mut self.pending);
        Ok(())
    }
}
