//! The few commands that the fake server knows, spelled as a real server would take them too, given
//! the tables `three(t text)` with a, b, c; `zero(i int)` with 0; `sink(t text)`; `number(i int)`.

use super::settings::canonical;
use super::{Error, error};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Select(String),
    Three,
    /// Its column is another after each change of the table.
    Changing(usize),
    /// The same, of a row that it inserts.
    InsertChanging(usize),
    DivideByZero,
    /// Fails when analysed.
    Missing,
    Insert,
    Begin,
    Commit,
    Rollback,
    Set {
        name: &'static str,
        value: String,
        local: bool,
    },
    SetConfigs(Vec<SetConfig>),
    Reset(&'static str),
    Show(&'static str),
    DiscardAll,
    DeallocateAll,
    Deallocate(Vec<u8>),
    ExecuteNamed(Vec<u8>),
    CopyIn {
        numbers: bool,
    },
    CopyOut,
}

impl Command {
    pub fn ends_transaction(&self) -> bool {
        matches!(self, Command::Commit | Command::Rollback)
    }

    /// `IsTransactionStmt`
    pub fn is_transaction(&self) -> bool {
        self.ends_transaction() || *self == Command::Begin
    }

    /// The name of its one column, if it has rows.
    pub fn column(&self) -> Option<&'static str> {
        match self {
            Command::Select(_) | Command::DivideByZero => Some("?column?"),
            Command::Three => Some("t"),
            Command::Changing(version) | Command::InsertChanging(version) => {
                Some(["first", "second", "third"][*version])
            }
            Command::Show(name) => Some(name),
            Command::SetConfigs(_) => Some("set_config"),
            _ => None,
        }
    }

    /// What fails when a text is analysed, before it is stored or run.
    pub fn analyse(&self) -> Result<(), Error> {
        match self {
            Command::Missing => Err(error("42P01", "relation \"missing\" does not exist")),
            _ => Ok(()),
        }
    }
}

/// All commands of a text; empty ones do not count.
pub fn parse(text: &[u8]) -> Result<Vec<Command>, Error> {
    let text = std::str::from_utf8(text).expect("test texts are UTF-8");
    text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(parse_one).collect()
}

fn parse_one(text: &str) -> Result<Command, Error> {
    let fixed = match text {
        "TABLE three" => Some(Command::Three),
        "TABLE changing" => Some(Command::Changing(0)),
        "INSERT INTO changing DEFAULT VALUES RETURNING *" => Some(Command::InsertChanging(0)),
        "SELECT 1/i FROM zero" => Some(Command::DivideByZero),
        "SELECT x FROM missing" => Some(Command::Missing),
        "INSERT INTO sink VALUES ('a')" => Some(Command::Insert),
        "BEGIN" => Some(Command::Begin),
        "COMMIT" => Some(Command::Commit),
        "ROLLBACK" => Some(Command::Rollback),
        "DISCARD ALL" => Some(Command::DiscardAll),
        "DEALLOCATE ALL" => Some(Command::DeallocateAll),
        "COPY sink FROM STDIN" => Some(Command::CopyIn { numbers: false }),
        "COPY number FROM STDIN" => Some(Command::CopyIn { numbers: true }),
        "COPY three TO STDOUT" => Some(Command::CopyOut),
        _ => None,
    };
    let named = || parse_named(text);
    let found = fixed.or_else(named).or_else(|| parse_setting(text)).or_else(|| parse_select(text));
    found.ok_or_else(|| {
        let word = text.split(' ').next().unwrap_or(text);
        error("42601", format!("syntax error at or near \"{word}\""))
    })
}

fn parse_named(text: &str) -> Option<Command> {
    let name = |text: &str| text.trim_matches('"').to_ascii_lowercase().into_bytes();
    let given_up = ["DEALLOCATE ", "deallocate prepare "].into_iter();
    let deallocated = given_up.filter_map(|head| text.strip_prefix(head)).next();
    let deallocated = deallocated.map(|text| Command::Deallocate(name(text)));
    let executed = || Some(Command::ExecuteNamed(name(text.strip_prefix("EXECUTE ")?)));
    deallocated.or_else(executed)
}

fn parse_select(text: &str) -> Option<Command> {
    let mark = text.strip_prefix("SELECT '")?.strip_suffix('\'')?;
    Some(Command::Select(mark.to_owned()))
}

/// A call of `set_config`. The value `None` is what RESET makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetConfig {
    pub name: &'static str,
    pub value: Option<String>,
    pub local: bool,
}

/// `'name',E'value',false)` or `'name',NULL,true)`
fn parse_call(call: &str) -> Option<SetConfig> {
    let (rest, local) = call.strip_prefix('\'')?.strip_suffix(')')?.rsplit_once(',')?;
    let (name, value) = rest.split_once("',")?;
    let value = value.strip_prefix("E'").and_then(|it| it.strip_suffix('\'')).map(str::to_owned);
    Some(SetConfig { name: canonical(name)?, value, local: local.parse().ok()? })
}

fn parse_setting(text: &str) -> Option<Command> {
    if let Some(name) = text.strip_prefix("SHOW ") {
        return canonical(name).map(Command::Show);
    }
    if let Some(name) = text.strip_prefix("RESET ") {
        return canonical(name.trim_matches('"')).map(Command::Reset);
    }
    if let Some(calls) = text.strip_prefix("SELECT pg_catalog.set_config(") {
        let calls = calls.split(",pg_catalog.set_config(").map(parse_call);
        return calls.collect::<Option<_>>().map(Command::SetConfigs);
    }
    let (local, rest) = match text.strip_prefix("SET LOCAL ") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("SET ")?),
    };
    let (name, value) = rest.split_once(" = ")?;
    let value = value.trim_matches('\'').to_owned();
    Some(Command::Set { name: canonical(name)?, value, local })
}
