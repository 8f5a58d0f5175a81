//! The startup message → who asks for what. Every parameter is taken or refused by name; none is
//! dropped in silence but `_pq_.` options, which are named to the client.

use poolwright_wire::startup::{self, PROTOCOL_3_2, Start, Startup};
use poolwright_wire::write;

use super::LoginError;
use crate::replication::Kind;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The version that is spoken: the client's, at most 3.2.
    pub(super) protocol: i32,
    pub(super) user: String,
    /// The user's name where none was asked for.
    pub(super) database: String,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) replication: Option<Kind>,
}

/// Reads a startup packet. A client that asks for more than protocol 3.2 is told so by a message
/// in `out`. Parameters with a name in `ignored` are dropped, `options` with all that stands in it.
pub(super) fn read(
    packet: &[u8],
    ignored: &[String],
    out: &mut Vec<u8>,
) -> Result<Request, LoginError> {
    let Startup::Start(start) = startup::parse(packet)? else {
        return Err(LoginError::Repeated("another packet"));
    };
    let protocol = negotiate_version(&start, out);
    let (mut user, mut database, mut replication) = (None, None, None);
    let (mut from_options, mut direct) = (Vec::new(), Vec::new());
    for (name, value) in start.parameters {
        if name.starts_with(b"_pq_.") {
            continue;
        }
        let (name, value) = (text(name, name)?, text(name, value)?);
        if is_ignored(&name, ignored) {
            continue;
        }
        match name.as_str() {
            "user" => user = Some(value),
            "database" => database = Some(value),
            "replication" => replication = self::replication(value)?,
            "options" => from_options = startup::options(&value)?,
            _ => direct.push((name, value)),
        }
    }
    let user = user.filter(|user| !user.is_empty()).ok_or(LoginError::NoUser)?;
    let database = database.filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone());
    if let Some((name, _)) = from_options.iter().find(|(name, _)| is_no_setting(name)) {
        return Err(LoginError::Unrecognized(name.clone()));
    }
    from_options.append(&mut direct);
    from_options.retain(|(name, _)| !is_ignored(name, ignored));
    Ok(Request { protocol, user, database, parameters: from_options, replication })
}

/// It means something in a startup message, where nothing but settings may come from `options`.
fn is_no_setting(name: &str) -> bool {
    const NAMES: [&str; 4] = ["user", "database", "replication", "options"];
    NAMES.iter().any(|own| own.eq_ignore_ascii_case(name)) || name.starts_with("_pq_.")
}

fn is_ignored(name: &str, ignored: &[String]) -> bool {
    let is_own = matches!(name, "user" | "database" | "replication");
    !is_own && ignored.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The version that both speak; a client that must be told it reads it in `out`.
fn negotiate_version(start: &Start<'_>, out: &mut Vec<u8>) -> i32 {
    let spoken = start.protocol.min(PROTOCOL_3_2);
    let names = start.parameters.iter().map(|(name, _)| *name);
    let unknown: Vec<_> = names.filter(|name| name.starts_with(b"_pq_.")).collect();
    if start.protocol > spoken || !unknown.is_empty() {
        write::negotiate_protocol_version(out, spoken, &unknown);
    }
    spoken
}

fn text(name: &[u8], bytes: &[u8]) -> Result<String, LoginError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| LoginError::Encoding(String::from_utf8_lossy(name).into_owned()))
}

fn replication(value: String) -> Result<Option<Kind>, LoginError> {
    match boolean(&value) {
        _ if value == "database" => Ok(Some(Kind::Logical)),
        Some(true) => Ok(Some(Kind::Physical)),
        Some(false) => Ok(None),
        None => Err(LoginError::Replication(value)),
    }
}

/// In any of Postgres's spellings: words may be cut as long as they are told apart.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let is = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if text == "1" || is("true", 1) || is("yes", 1) || is("on", 2) {
        Some(true)
    } else if text == "0" || is("false", 1) || is("no", 1) || is("off", 2) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
