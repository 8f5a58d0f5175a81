//! Judges one value by its kind, without knowing the rest of the file.
//! Never shows a secret: its problems describe the value by type only.

use std::net::IpAddr;

use serde_yaml::Value;

use crate::table::Kind;
use crate::{Lifetime, Network, Problem, Span};

/// The problem with `value` at `path`; none when it fits.
pub(crate) fn problem(kind: Kind, value: &Value, path: &str) -> Option<Problem> {
    if fits(kind, value) {
        return None;
    }
    let found = match kind {
        Kind::Secret | Kind::Verifier => hidden(value),
        _ => shown(value),
    };
    Some(Problem::new(path, found, expected(kind), remedy(kind, value)))
}

fn fits(kind: Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Whole(least, most, _), Value::Number(number)) => {
            number.as_u64().is_some_and(|number| (least..=most).contains(&number))
        }
        (Kind::Whole(..), _) => false,
        (Kind::Flag, value) => value.is_bool(),
        (_, Value::String(text)) => text_fits(kind, text),
        _ => false,
    }
}

fn text_fits(kind: Kind, text: &str) -> bool {
    let plain = !text.is_empty() && !text.chars().any(char::is_control);
    match kind {
        Kind::Choice(words) => words.contains(&text),
        Kind::Address => text.parse::<IpAddr>().is_ok(),
        Kind::Host => plain && is_host(text),
        Kind::Name => plain && text.len() <= 63,
        Kind::File => plain,
        Kind::Network => Network::parse(text).is_some(),
        Kind::Text(most) => !text.is_empty() && text.len() <= most && !text.contains('\0'),
        Kind::Span(zero) => Span::parse(text).is_some_and(|span| zero || !span.0.is_zero()),
        Kind::Lifetime => Lifetime::parse(text)
            .is_some_and(|range| !range.from.0.is_zero() && range.from <= range.to),
        Kind::Sql => text.len() <= LONGEST_SQL && !text.contains('\0'),
        Kind::Names => plain && text.split(',').all(is_parameter),
        Kind::Function => plain && is_function(text),
        Kind::Secret => !text.is_empty() && !text.contains('\0'),
        Kind::Verifier => is_verifier(text),
        Kind::Whole(..) | Kind::Flag | Kind::SameAs(_) | Kind::Each(_) => false,
    }
}

/// The longest SQL, in bytes.
const LONGEST_SQL: usize = 16 * 1024;

/// `name` or `schema.name`, as PostgreSQL keeps them.
fn is_function(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.len() <= 63 && !part.contains(['"', ' ', '(']);
    text.split('.').count() <= 2 && text.split('.').all(part)
}

fn is_parameter(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !text.trim().is_empty() && text.trim().bytes().all(known)
}

/// What may be the name of a database or a user.
pub(crate) fn is_name(text: &str) -> bool {
    text_fits(Kind::Name, text)
}

fn is_host(text: &str) -> bool {
    let name = !text.contains([':', '/', ' ', '@', ',']);
    name || text.parse::<IpAddr>().is_ok()
}

/// `md5` and 32 hexadecimal digits.
pub(crate) fn is_md5(text: &str) -> bool {
    let digits = text.strip_prefix("md5");
    digits.is_some_and(|it| it.len() == 32 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, both keys of 32 bytes.
pub(crate) fn is_verifier(text: &str) -> bool {
    let parts = || {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (first, keys) = rest.split_once('$')?;
        let (iterations, salt) = first.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        Some((iterations, salt, stored, server))
    };
    parts().is_some_and(|(iterations, salt, stored, server)| {
        iterations.parse::<u32>().is_ok_and(|count| count > 0)
            && is_base64(salt)
            && [stored, server].iter().all(|key| key.len() == 44 && is_base64(key))
    })
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let padding = text.len() - body.len();
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    !body.is_empty() && padding <= 2 && text.len().is_multiple_of(4) && body.bytes().all(digit)
}

/// A value as its writer would recognize it, at most some sixty characters of it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        _ => hidden(value),
    }
}

/// The text in quotes, cut after sixty characters.
pub(crate) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

fn hidden(value: &Value) -> String {
    let kind = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text (not shown)",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a section",
        Value::Tagged(_) => "a tagged value",
    };
    kind.to_owned()
}

pub(crate) fn expected(kind: Kind) -> String {
    match kind {
        Kind::Whole(least, most, "port") => format!("a port from {least} to {most}"),
        Kind::Whole(least, u64::MAX, _) => format!("a whole number, {least} or more"),
        Kind::Whole(least, most, unit) => {
            format!("a whole number of {unit} from {least} to {most}")
        }
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Address => "an IP address such as 0.0.0.0 or ::".to_owned(),
        Kind::Host => "a host name or IP address without port".to_owned(),
        Kind::Name => "a name of 1 to 63 bytes".to_owned(),
        Kind::File => "the path of a file".to_owned(),
        Kind::Network => "an IP address or a range such as 10.0.0.0/8 or fd00::/8".to_owned(),
        Kind::Text(most) => format!("a text of 1 to {most} bytes"),
        Kind::Each(kind) => format!("a list of one or more, each {}", expected(*kind)),
        Kind::Span(true) => "a duration with unit such as 500ms, 5s, 10m or 1h".to_owned(),
        Kind::Span(false) => "a duration above zero with unit such as 500ms, 5s or 10m".to_owned(),
        Kind::Lifetime => "a rising range of durations such as 5m..10m".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Sql => "SQL as text, of at most 16 KiB".to_owned(),
        Kind::Names => "names of parameters with commas between them".to_owned(),
        Kind::Function => "a function's name, or schema.name, without quotes".to_owned(),
        Kind::Secret => "a password as text".to_owned(),
        Kind::Verifier => {
            "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> with keys of 32 bytes in \
             base64"
                .to_owned()
        }
        Kind::SameAs(section) => format!("a section with the fields of {section}"),
    }
}

fn remedy(kind: Kind, value: &Value) -> String {
    let text = value.as_str();
    let bare = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (kind, value) {
        (Kind::Whole(..), Value::String(text)) if bare(text) => "write it without quotes".into(),
        (Kind::Whole(..), Value::Number(_)) => "choose a number in that range".into(),
        (Kind::Span(_), Value::Number(number)) => format!("add the unit, such as {number}s"),
        (Kind::Span(_), Value::String(text)) if bare(text) => {
            format!("add the unit, such as {text}s")
        }
        (Kind::Lifetime, _) => "write the shorter duration first, each with its unit".into(),
        (Kind::Name, Value::String(_)) => "shorten or fill in the name".into(),
        (Kind::Name | Kind::Secret | Kind::Host, Value::Number(_) | Value::Bool(_)) => {
            "put it in quotes".into()
        }
        (Kind::Host, _) if text.is_some_and(|text| text.contains(':')) => {
            "write the port in the field port beside it".into()
        }
        (Kind::Each(_), Value::String(text)) => format!("write it as a list: [{text}]"),
        (Kind::Each(_), Value::Sequence(_)) => "add an item, or leave the setting out".into(),
        (Kind::Verifier, _) => "copy rolpassword of the role from pg_authid".into(),
        (Kind::Choice(words), Value::String(text)) => match closest(text, words) {
            Some(word) => format!("did you mean {word}?"),
            None => "choose one of them".into(),
        },
        _ => "write such a value".into(),
    }
}

/// The candidate with the fewest edits from `text`, if about a third of it is wrong at most.
pub(crate) fn closest<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let wanted = text.to_lowercase();
    let near = candidates.iter().map(|known| (edits(&wanted, &known.to_lowercase()), *known));
    let (distance, best) = near.min()?;
    let length = text.chars().count();
    let most = if length < 4 { 1 } else { (length / 3).max(2) };
    (distance <= most).then_some(best)
}

/// Levenshtein distance, in characters; texts beyond 64 characters are not compared.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(65).collect();
    if from.chars().count() > 64 || to.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, left) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right) in to.iter().enumerate() {
            let change = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
