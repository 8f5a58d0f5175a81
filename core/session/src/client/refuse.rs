//! Errors of the pooler's own inside a flight. The server is made to fail in the message's place, so
//! that transaction and flight end as they would by the server's own error (invariant I1).

use poolwright_wire::write::{self, ErrorFields};
use poolwright_wire::{TargetKind, WireError};

use crate::doubts::Doubts;
use crate::lexer::Look;
use crate::replies::{Reply, Special};
use crate::server::Server;
use crate::statements::NO_STATEMENT;

/// A text that must fail, and says in the server's log why it is there.
pub(super) const FAILING: &[u8] = b"EXECUTE \"pw_: refused by the pooler\"";
/// What the server's error says of it, in any language.
pub const REFUSED: &[u8] = b"pw_: refused by the pooler";

/// An error that the pooler raises as the server would.
pub struct Refusal {
    pub sqlstate: &'static str,
    pub message: String,
    pub hint: Option<&'static str>,
    pub routine: Option<&'static str>,
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Refusal {
        Refusal { sqlstate: "08P01", message: error.to_string(), hint: None, routine: None }
    }
}

impl Refusal {
    pub fn duplicate(name: &[u8]) -> Refusal {
        let message = format!("prepared statement \"{}\" already exists", text(name));
        Refusal { sqlstate: "42P05", message, hint: None, routine: None }
    }

    pub fn missing(name: &[u8]) -> Refusal {
        let message = match name {
            b"" => "unnamed prepared statement does not exist".to_owned(),
            name => format!("prepared statement \"{}\" does not exist", text(name)),
        };
        Refusal { sqlstate: "26000", message, hint: None, routine: None }
    }

    /// The statement takes or gives something else than what the client was told. asyncpg and pgjdbc
    /// prepare anew by themselves if the routine says so.
    pub fn changed() -> Refusal {
        let message = "cached plan must not change result type".to_owned();
        let routine = Some("RevalidateCachedQuery");
        Refusal { sqlstate: "0A000", message, hint: None, routine }
    }

    pub fn too_long(what: &str, limit: u32) -> Refusal {
        let message = format!("{what} is longer than {limit} bytes");
        let hint = "Use an unnamed statement, in one flight with its Bind, or session pooling.";
        Refusal { sqlstate: "54000", message, hint: Some(hint), routine: None }
    }

    /// The name stands for another statement than when the statement that names it was parsed.
    pub fn renamed(name: &[u8]) -> Refusal {
        let message = format!("prepared statement \"{}\" is another by now", text(name));
        let hint = "What names it was parsed before. Parse it again.";
        Refusal { sqlstate: "0A000", message, hint: Some(hint), routine: None }
    }

    /// PostgreSQL keeps what it made of literals when it parsed them.
    pub fn other_settings(setting: &str) -> Refusal {
        let message = format!(
            "the prepared statement was parsed with another {setting}, by which its literals may differ"
        );
        let hint = "Parse it again, or pass such values as parameters.";
        let routine = Some("RevalidateCachedQuery");
        Refusal { sqlstate: "0A000", message, hint: Some(hint), routine }
    }

    /// What a query executes is not on the server, and nothing can be sent ahead that might fail.
    pub fn amid_flight(name: &[u8]) -> Refusal {
        let message = format!("EXECUTE \"{}\" amid a pipeline needs a Sync before it", text(name));
        let hint = "The server connection does not hold this prepared statement yet.";
        Refusal { sqlstate: "0A000", message, hint: Some(hint), routine: None }
    }

    /// A text executes more statements than a server may hold.
    pub fn too_many(count: usize, max: usize) -> Refusal {
        let message = format!(
            "{count} prepared statements are needed at once, and a server connection holds {max}"
        );
        let hint = "Raise preparedStatements.max.";
        Refusal { sqlstate: "54000", message, hint: Some(hint), routine: None }
    }

    /// A body where there is none.
    pub fn not_empty(message: &str) -> Refusal {
        let message = format!("{message}: expected an empty body");
        Refusal { sqlstate: "08P01", message, hint: None, routine: None }
    }

    /// What currval and lastval would answer is another client's.
    pub fn sequence() -> Refusal {
        Refusal {
            sqlstate: "55000",
            message: "currval and lastval are defined only in the transaction of their nextval"
                .to_owned(),
            hint: Some(
                "Use RETURNING, or read the value in the same transaction, or set pool.sequences to pin.",
            ),
            routine: None,
        }
    }

    /// What the pool's settings refuse.
    pub fn pin(doubts: Doubts) -> Refusal {
        const WHATS: [(Doubts, &str); 5] = [
            (Doubts::LOCKS, "a session advisory lock"),
            (Doubts::CURSORS, "a cursor WITH HOLD"),
            (Doubts::STATEMENTS, "a statement by PREPARE"),
            (Doubts::CHANNELS, "LISTEN"),
            (Doubts::TEMPORARY, "a temporary table"),
        ];
        let what = WHATS.iter().find(|(doubt, _)| doubts.is_any(*doubt));
        let what = what.map_or("this statement", |(_, what)| what);
        Refusal {
            sqlstate: "0A000",
            message: format!("{what} would keep the server connection beyond its transaction"),
            hint: Some("pool.pinning is error here; set it to pin, or use pool.mode session."),
            routine: None,
        }
    }

    /// Sends a text that must fail in place of a simple query's, and gives the client this error.
    pub fn send_in_place_of_query(self, server: &mut Server, to_server: &mut Vec<u8>) {
        write::query(to_server, FAILING);
        let special = Special { refusal: Some(self.error()), ..Special::default() };
        server.send_query(Look::default(), Some(special.into()));
    }

    /// Sends a message that must fail, and gives the client this error in place of the server's.
    pub fn send(self, server: &mut Server, to_server: &mut Vec<u8>) {
        write::describe(to_server, TargetKind::Statement, NO_STATEMENT);
        server.send_extended(Reply::Refuse(self.error()));
    }

    pub fn error(self) -> Box<[u8]> {
        let mut error = Vec::new();
        let fields = ErrorFields {
            severity: "ERROR",
            sqlstate: self.sqlstate,
            message: &self.message,
            hint: self.hint,
            routine: self.routine,
            ..ErrorFields::default()
        };
        write::error_response(&mut error, &fields);
        error.into()
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
