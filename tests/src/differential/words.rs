//! Server messages as words that can be compared, and all that may differ between the two ways:
//!
//! | what | is left out, because |
//! |---|---|
//! | ParameterStatus | it comes when the pooler's own statements change a setting, too; what the parameters are is asked for at the end of each script |
//! | of errors and notices the position, file, line and routine | the pooler raises some itself, and has none |
//! | the name of a prepared statement in the text of an error | the server knows it by the pooler's name |
//! | which of two errors of one Parse, Bind or Describe of a named statement is told: the one about its name comes first | `docs/compatibility.md`, Errors |
//! | the process id in a notification | it is the server connection's |
//! | the text of an error 08P01, and how many such errors a session ends with | the pooler says what it expected; the server may say nothing more |
//! | `application_name` of a client that names none | the pooler's own; clients without the pooler name it |
//! | how a session goes on whose cancel met the pooler's own SET | `docs/compatibility.md`, Errors |
//! | `currval` and `lastval` outside the transaction of their `nextval` | `docs/compatibility.md`, Session state: they may be refused, with this text |
//! | the parameters that a Describe tells before it fails, since a table was changed or is gone | `docs/compatibility.md`, Prepared statements |
//! | a FATAL 08006 behind a FATAL of the server's | `docs/compatibility.md`, Errors |
//! | what comes in a cancelled unit before its error | a request that waits for a server is cancelled where it waits, before anything ran |

use crate::pg::Message;

/// A message in one word; `None`: it is not compared.
pub fn word(message: &Message) -> Option<String> {
    let tag = char::from(message.tag);
    Some(match message.tag {
        b'S' => return None,
        b'E' | b'N' => format!("{tag} {}", report(message)),
        b'A' => format!("A {}", message.body.get(4..).unwrap_or_default().escape_ascii()),
        _ if message.body.len() > 300 => {
            let start = message.body[..100].escape_ascii();
            format!("{tag} {} bytes, {:x}: {start}", message.body.len(), sum(&message.body))
        }
        _ => format!("{tag} {}", message.body.escape_ascii()),
    })
}

fn sum(body: &[u8]) -> u64 {
    body.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Severity, SQLSTATE and texts.
fn report(message: &Message) -> String {
    let fields = message.fields();
    if fields.code == "08P01" {
        return format!("{} 08P01", fields.severity);
    }
    let text = nameless(&fields.message);
    format!("{} {}: {text} / {} / {}", fields.severity, fields.code, fields.detail, fields.hint)
}

/// The text with the name behind `prepared statement` left out.
fn nameless(text: &str) -> String {
    const LEAD: &str = "prepared statement \"";
    let Some((before, after)) = text.split_once(LEAD) else { return text.to_owned() };
    let after = after.split_once('"').map_or("", |(_, after)| after);
    format!("{before}{LEAD}…\"{after}")
}

/// Whether it is the pooler's refusal to read what a sequence gave in another transaction.
pub fn refuses_sequence(seen: &str) -> bool {
    seen.starts_with(
        "E ERROR 55000: currval and lastval are defined only in the transaction of their nextval /",
    )
}

/// Whether the pooler says that the server has closed.
pub fn is_lost(seen: &str) -> bool {
    seen.starts_with("E FATAL 08006: server connection lost: ")
}

/// Whether both say the same.
pub fn agree(expected: &str, seen: &str) -> bool {
    let is = |word: &str, codes: &[&str]| {
        codes.iter().any(|code| word.strip_prefix("E ERROR ").is_some_and(|w| w.starts_with(code)))
    };
    expected == seen
        || is(expected, &["25P02"]) && is(seen, &["26000"])
        || is(expected, &["25P02", "42601", "42P01"]) && is(seen, &["42P05"])
}
