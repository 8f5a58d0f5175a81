//! The reference of all settings as Markdown, from the table.
//! Never holds a fact of its own about a setting.

use crate::table::{Fallback, Kind, Row, rows};

/// One Markdown table per section of the file, and one for the settings outside of sections.
pub fn markdown() -> String {
    let rows = rows();
    let heads: Vec<&str> = rows.iter().map(head).collect();
    let alone = |row: &&Row| heads.iter().filter(|other| **other == head(row)).count() == 1;
    let mut text = String::new();
    let mut section = "";
    for row in rows.iter().filter(|row| !alone(row)) {
        if head(row) != section {
            section = head(row);
            text.push_str(&title(section));
        }
        text.push_str(&line(row));
    }
    text.push_str(&title("Others"));
    rows.iter().filter(alone).for_each(|row| text.push_str(&line(row)));
    text.push('\n');
    text
}

/// The first part of the row's path, without the mark of a list.
fn head(row: &Row) -> &'static str {
    row.path.split(['.', '[']).next().unwrap_or(row.path)
}

fn title(section: &str) -> String {
    format!(
        "\n### {section}\n\n\
         | Setting | Type | Default | Live | Meaning |\n|---|---|---|---|---|\n"
    )
}

fn line(row: &Row) -> String {
    let default = match &row.fallback {
        Fallback::Required => "**required**".to_owned(),
        Fallback::Value(value) => format!("`{value}`"),
        Fallback::Said(words) => (*words).to_owned(),
    };
    let live = if row.reloadable { "yes" } else { "restart" };
    let Row { path, doc, .. } = row;
    format!("| `{path}` | {} | {default} | {live} | {doc} |\n", kind(row.kind))
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Whole(least, u64::MAX, _) => format!("whole number, {least} or more"),
        Kind::Whole(least, most, "port") => format!("port, {least}–{most}"),
        Kind::Whole(least, most, unit) => format!("{unit}, {least}–{most}"),
        Kind::Choice(words) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        Kind::Address => "IP address".to_owned(),
        Kind::Host => "host".to_owned(),
        Kind::Name => "name".to_owned(),
        Kind::File => "file path".to_owned(),
        Kind::Network => "address range".to_owned(),
        Kind::Text(most) => format!("text, 1–{most} bytes"),
        Kind::Each(Kind::Name) => "list of names".to_owned(),
        Kind::Each(Kind::Network) => "list of address ranges".to_owned(),
        Kind::Each(Kind::Function) => "list of functions".to_owned(),
        Kind::Each(item) => format!("list: {}", self::kind(*item)),
        Kind::Span(true) => "duration".to_owned(),
        Kind::Span(false) => "duration above `0s`".to_owned(),
        Kind::Lifetime => "range of durations".to_owned(),
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Sql => "SQL".to_owned(),
        Kind::Names => "names".to_owned(),
        Kind::Function => "function".to_owned(),
        Kind::Secret => "password".to_owned(),
        Kind::Verifier => "verifier".to_owned(),
        Kind::SameAs(section) => format!("as `{section}`"),
    }
}
