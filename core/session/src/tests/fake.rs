//! A fake PostgreSQL for tests: a few commands (`sql.rs`), but message for message what a server of
//! version 15 does with a session: transactions, flights, portals, COPY, what is flushed and when.
//! It never runs a real query. Names in backticks are those of postgres.c.

mod answers;
mod extended;
mod settings;
mod simple;
mod sql;

use std::collections::BTreeMap;

use poolwright_wire::{TransactionStatus, client as tag, header, read, write};

pub use extended::Portal;
pub use settings::Settings;
use sql::Command;

/// What an error says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub sqlstate: &'static str,
    pub message: String,
}

pub fn error(sqlstate: &'static str, message: impl Into<String>) -> Error {
    Error { sqlstate, message: message.into() }
}

/// The state of the transaction, as xact.c knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    Idle,
    /// Implicit: until Sync, or the end of a simple query.
    Started,
    Open,
    Failed,
}

/// A COPY that reads: where its session goes on when the data ends.
#[derive(Clone, Debug)]
struct CopyIn {
    numbers: bool,
    rows: usize,
    after: After,
}

#[derive(Clone, Debug)]
enum After {
    Simple(simple::Rest),
    Portal(Vec<u8>),
}

/// Where the pooler's answer may differ from a server's own; tests leave out what leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// A Parse of a named statement fails for two reasons: the pooler looks at the name first.
    ParseWrongTwice,
    /// A Describe of a named statement without rows works in a failed transaction; the pooler may
    /// have to prepare it first, which does not.
    DescribeInFailedTransaction,
    /// DEALLOCATE ALL or DISCARD ALL inside a flight that goes on to use named statements.
    NamesAfterDeallocate,
    /// A skipped Parse or Query would have replaced the unnamed statement, which lives on; the
    /// pooler has forgotten it then, and its next Bind is refused.
    UnnamedOutlivesFailure,
    /// EXECUTE of what the fake server runs in the extended protocol only.
    ExecuteOfOther,
    /// EXECUTE of a protocol's statement amid a flight that no Sync has ended: refused unless the
    /// server holds the statement.
    ExecuteInFlight,
}

#[derive(Clone, Debug)]
pub struct FakePostgres {
    input: Vec<u8>,
    /// Written, not flushed.
    pending: Vec<u8>,
    /// Flushed, not yet read by the other side.
    pub visible: Vec<u8>,
    block: Block,
    /// Several statements in one simple query make an implicit transaction block.
    many: bool,
    /// A command of an implicit transaction has completed by Execute.
    pipelining: bool,
    /// `ignore_till_sync`
    ignoring: bool,
    /// `doing_extended_query_message`
    extended: bool,
    /// The query that runs came amid a flight.
    in_flight: bool,
    copy: Option<CopyIn>,
    /// Of the table `changing`.
    pub version: usize,
    pub statements: BTreeMap<Vec<u8>, Option<Command>>,
    unnamed: Option<Option<Command>>,
    portals: BTreeMap<Vec<u8>, Portal>,
    pub settings: Settings,
    /// The next statement that sets what a client wants is canceled.
    pub canceled: bool,
    /// INSERTs that have run.
    pub inserted: usize,
    /// Names were deallocated in this flight.
    deallocated: bool,
    pub deviation: Option<Deviation>,
    /// The protocol was violated: a server would have ended the session.
    pub lost: bool,
}

impl FakePostgres {
    pub fn new(settings: Settings) -> FakePostgres {
        FakePostgres {
            input: Vec::new(),
            pending: Vec::new(),
            visible: Vec::new(),
            block: Block::Idle,
            many: false,
            pipelining: false,
            ignoring: false,
            extended: false,
            in_flight: false,
            copy: None,
            version: 0,
            statements: BTreeMap::new(),
            unnamed: None,
            portals: BTreeMap::new(),
            settings,
            canceled: false,
            inserted: 0,
            deallocated: false,
            deviation: None,
            lost: false,
        }
    }

    /// Takes in what the other side sent, in pieces of any size.
    pub fn take(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while let Some(head) = header(&self.input).expect("a sane header") {
            if self.input.len() < head.total() || self.lost {
                return;
            }
            let message: Vec<u8> = self.input.drain(..head.total()).collect();
            match self.copy {
                Some(_) => self.copy_message(head.tag, &message[5..]),
                None => self.message(head.tag, &message[5..]),
            }
        }
    }

    /// Nothing is owed, open, half read or skipped.
    pub fn is_at_rest(&self) -> bool {
        self.input.is_empty()
            && self.pending.is_empty()
            && self.visible.is_empty()
            && self.block == Block::Idle
            && self.is_between_flights()
    }

    /// As [`Self::is_at_rest`], though a transaction may be open.
    pub fn is_between_flights(&self) -> bool {
        !self.ignoring && self.copy.is_none() && self.block != Block::Started && !self.lost
    }

    fn message(&mut self, message: u8, body: &[u8]) {
        match message {
            tag::PARSE | tag::BIND | tag::DESCRIBE | tag::EXECUTE | tag::CLOSE | tag::FLUSH => {
                self.extended = true;
            }
            tag::SYNC => (self.ignoring, self.extended) = (false, false),
            _ => self.in_flight = std::mem::take(&mut self.extended),
        }
        if self.ignoring {
            return self.skip(message, body);
        }
        let done = match message {
            tag::QUERY => return self.simple(read::query(body).expect("a query")),
            tag::SYNC => return self.sync(),
            tag::FLUSH => return self.flush(),
            tag::PARSE => self.parse(&read::parse(body).expect("a Parse")),
            tag::BIND => self.bind(body),
            tag::DESCRIBE => self.describe(&read::describe(body).expect("a Describe")),
            tag::EXECUTE => self.execute(&read::execute(body).expect("an Execute")),
            tag::CLOSE => self.close(&read::close(body).expect("a Close")),
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.fail(&error);
        }
    }

    fn skip(&mut self, message: u8, body: &[u8]) {
        let replaces = match message {
            tag::QUERY => true,
            tag::PARSE => body.starts_with(b"\0"),
            tag::CLOSE => body == b"S\0",
            _ => false,
        };
        self.note(replaces && self.unnamed.is_some(), Deviation::UnnamedOutlivesFailure);
    }

    fn note(&mut self, applies: bool, deviation: Deviation) {
        if applies {
            self.deviation = self.deviation.or(Some(deviation));
        }
    }

    fn sync(&mut self) {
        if self.block == Block::Started {
            self.end_transaction(true);
        }
        self.ready();
    }

    fn flush(&mut self) {
        self.visible.append(&mut self.pending);
    }

    /// `start_xact_command`
    fn start(&mut self) {
        if self.block == Block::Idle {
            self.block = Block::Started;
            self.settings.begin();
        }
    }

    /// Commits or rolls back; portals go, prepared statements stay.
    fn end_transaction(&mut self, commit: bool) {
        self.settings.end(commit);
        self.portals.clear();
        self.pipelining = false;
        self.block = Block::Idle;
    }

    /// What the `sigsetjmp` block of PostgresMain does.
    fn fail(&mut self, error: &Error) {
        match self.block {
            Block::Idle | Block::Started => self.end_transaction(false),
            Block::Open | Block::Failed => {
                self.block = Block::Failed;
                self.settings.end(false);
                self.portals.values_mut().for_each(Portal::fail);
            }
        }
        let fields = write::ErrorFields {
            severity: "ERROR",
            sqlstate: error.sqlstate,
            message: &error.message,
            ..write::ErrorFields::default()
        };
        write::error_response(&mut self.pending, &fields);
        self.flush();
        self.many = false;
        self.copy = None;
        self.ignoring = self.extended;
        if !self.ignoring {
            self.ready();
        }
    }

    fn ready(&mut self) {
        self.deallocated = false;
        for (name, value) in self.settings.changed() {
            write::parameter_status(&mut self.pending, name.as_bytes(), value.as_bytes());
        }
        let status = match self.block {
            Block::Idle | Block::Started => TransactionStatus::Idle,
            Block::Open => TransactionStatus::Open,
            Block::Failed => TransactionStatus::Failed,
        };
        write::ready_for_query(&mut self.pending, status);
        self.flush();
    }

    /// Only COMMIT and ROLLBACK run in a failed transaction.
    fn refuse_if_failed(&self, command: Option<&Command>) -> Result<(), Error> {
        if self.block != Block::Failed || command.is_some_and(Command::ends_transaction) {
            return Ok(());
        }
        let message =
            "current transaction is aborted, commands ignored until end of transaction block";
        Err(error("25P02", message))
    }

    /// `CopyGetData`: Sync and Flush mean nothing here.
    fn copy_message(&mut self, message: u8, body: &[u8]) {
        let copy = self.copy.as_mut().expect("a COPY");
        match message {
            tag::SYNC | tag::FLUSH => {}
            tag::COPY_DATA if copy.numbers && !body.iter().all(|b| b"0123456789\n".contains(b)) => {
                let text = String::from_utf8_lossy(body);
                let message =
                    format!("invalid input syntax for type integer: \"{}\"", text.trim_end());
                self.fail(&error("22P02", message));
            }
            tag::COPY_DATA => copy.rows += body.iter().filter(|&&b| b == b'\n').count(),
            tag::COPY_DONE => self.end_copy(),
            tag::COPY_FAIL => {
                let reason = String::from_utf8_lossy(&body[..body.len() - 1]);
                self.fail(&error("57014", format!("COPY from stdin failed: {reason}")));
            }
            _ => self.lost = true,
        }
    }

    fn end_copy(&mut self) {
        let copy = self.copy.take().expect("a COPY");
        let tag = format!("COPY {}", copy.rows);
        match copy.after {
            After::Simple(rest) => self.continue_simple(&tag, rest),
            After::Portal(name) => self.complete_portal(&name, &tag, false),
        }
    }
}
