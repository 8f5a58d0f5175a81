//! Every setting, one row each: the walk over the YAML, the reference page and the answer to
//! "does this need a restart" are read from here.
//! Never holds a default's value: those stand in [`crate::defaults`].

mod listen;
mod pools;
mod process;
mod servers;
mod users;

use std::time::Duration;

use serde::Serialize;

use crate::{Lifetime, Span, defaults};

/// One setting.
#[derive(Debug, Clone)]
pub struct Row {
    /// `servers[].tls.mode`; `[]` marks a list.
    pub path: &'static str,
    pub kind: Kind,
    pub fallback: Fallback,
    /// Whether a running pooler takes a changed value over.
    pub reloadable: bool,
    /// The first [`crate::language`] that has it.
    pub since: u32,
    pub doc: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number from the first to the second, counting the third.
    Whole(u64, u64, &'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IP address to listen on.
    Address,
    /// A host name or IP address, without port.
    Host,
    /// A Postgres identifier: 1 to 63 bytes.
    Name,
    /// A path of a file.
    File,
    /// A duration; the flag says whether `0s` is one of the values.
    Span(bool),
    /// A range of durations.
    Lifetime,
    /// `true` or `false`.
    Flag,
    /// SQL, perhaps empty.
    Sql,
    /// Names with commas between them.
    Names,
    /// A function's name, perhaps behind a schema and a dot.
    Function,
    /// A password; never shown.
    Secret,
    /// A SCRAM-SHA-256 verifier as in pg_authid; never shown.
    Verifier,
    /// A range of IP addresses.
    Network,
    /// A text of at most so many bytes.
    Text(usize),
    /// A list of one or more of a kind.
    Each(&'static Kind),
    /// A section with the fields of another section.
    SameAs(&'static str),
}

/// What holds where a file leaves the setting out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fallback {
    /// The file must say it.
    Required,
    /// This value, as the file would write it.
    Value(String),
    /// What these words say.
    Said(&'static str),
}

const PORT: Kind = Kind::Whole(1, 65_535, "port");
const CONNECTIONS: Kind = Kind::Whole(1, 100_000, "connections");
const CONNECTIONS_OR_NONE: Kind = Kind::Whole(0, 100_000, "connections");
const CLIENTS_OR_NONE: Kind = Kind::Whole(0, 1_000_000, "clients");
const WORKERS: Kind = Kind::Whole(1, 256, "workers");
const TLS_MODES: Kind =
    Kind::Choice(&["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]);

/// All rows, in the order of the file.
pub fn rows() -> Vec<Row> {
    let sections = [
        listen::rows(),
        process::rows(),
        servers::rows(),
        pools::rows(),
        users::rows(),
        process::last_rows(),
    ];
    sections.concat()
}

fn live(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Row {
    Row { path, kind, fallback, reloadable: true, since: 1, doc }
}

/// As [`live`], since the third language.
fn later(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Row {
    Row { since: 3, ..live(path, kind, fallback, doc) }
}

fn restart(path: &'static str, kind: Kind, fallback: Fallback, doc: &'static str) -> Row {
    Row { path, kind, fallback, reloadable: false, since: 1, doc }
}

/// A default in the file's own notation.
fn value(default: impl Serialize) -> Fallback {
    let text = serde_yaml::to_string(&default).expect("a plain value can be written as YAML");
    Fallback::Value(text.trim_end().to_owned())
}

fn span(default: Duration) -> Fallback {
    value(Span(default))
}

fn lifetime() -> Fallback {
    let (from, to) = defaults::LIFETIME;
    value(Lifetime { from: Span(from), to: Span(to) })
}
