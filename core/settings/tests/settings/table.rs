//! The table against the types that it describes.

use std::collections::BTreeSet;

use poolwright_settings::table::{Fallback, Kind, Row, rows};
use poolwright_settings::{parse, raw};
use serde_yaml::Value;

/// A value that the kind allows.
fn sample(kind: Kind) -> String {
    match kind {
        Kind::Whole(least, ..) => least.to_string(),
        Kind::Choice(words) => words[words.len() - 1].to_owned(),
        Kind::Address => "'::'".to_owned(),
        Kind::Span(_) => "5s".to_owned(),
        Kind::Lifetime => "5m..10m".to_owned(),
        Kind::Verifier => format!("'{}'", super::resolved::VERIFIER),
        Kind::SameAs(_) => "{size: 7, min: 2}".to_owned(),
        Kind::Flag => "true".to_owned(),
        Kind::Sql => "SELECT 1".to_owned(),
        Kind::Names => "'options, search_path'".to_owned(),
        Kind::Host | Kind::Name | Kind::File | Kind::Secret => "some".to_owned(),
        Kind::Network => "'10.0.0.0/8'".to_owned(),
        Kind::Text(_) => "some $1".to_owned(),
        Kind::Function => "own.f".to_owned(),
        Kind::Each(kind) => format!("[{}]", sample(*kind)),
    }
}

/// A file with every row in it, one item to a list.
fn full() -> String {
    let mut text = String::new();
    let mut open: Vec<String> = Vec::new();
    for row in rows() {
        let parts: Vec<&str> = row.path.split('.').collect();
        let (field, sections) = parts.split_last().expect("a path has a last part");
        let shared = open.iter().zip(sections).take_while(|(left, right)| left == right).count();
        open.truncate(shared);
        for section in &sections[shared..] {
            text.push_str(&"  ".repeat(open.len()));
            match section.strip_suffix("[]") {
                Some(name) => text.push_str(&format!("{name}:\n{}-\n", "  ".repeat(open.len()))),
                None => text.push_str(&format!("{section}:\n")),
            }
            open.push((*section).to_owned());
        }
        text.push_str(&format!("{}{field}: {}\n", "  ".repeat(open.len()), sample(row.kind)));
    }
    text
}

fn leaf_paths(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Mapping(fields) => fields.iter().for_each(|(key, value)| {
            let name = key.as_str().expect("keys are text");
            let place = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            leaf_paths(&place, value, found);
        }),
        Value::Sequence(items) if items.iter().any(Value::is_mapping) => {
            items.iter().for_each(|item| leaf_paths(&format!("{path}[]"), item, found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn a_file_with_every_row_is_read_and_written_without_loss() {
    let text = full();
    let file: raw::File = serde_yaml::from_str(&text).expect(&text);
    let written: Value = serde_yaml::from_str(&file.to_yaml()).expect("what was written");
    let mut paths = BTreeSet::new();
    leaf_paths("", &written, &mut paths);
    let copies = ["databases[].pool.", "users[].pool."];
    let same_as = |path: &String| copies.iter().any(|copy| path.starts_with(copy));
    let paths: Vec<String> = paths.into_iter().filter(|path| !same_as(path)).collect();
    let mut expect: Vec<&str> = rows()
        .iter()
        .filter(|row| !matches!(row.kind, Kind::SameAs(_)))
        .map(|row| row.path)
        .collect();
    expect.sort_unstable();
    assert_eq!(paths, expect);
}

#[test]
fn the_table_lets_every_field_of_the_types_through() {
    let told = parse(&full(), Some("users: []")).expect_err("two proofs in one user").to_string();
    let expect = "users[0]: found password and scramVerifier";
    assert!(told.starts_with(expect) && told.lines().count() == 1, "{told}");
}

#[test]
fn every_word_of_a_choice_is_read() {
    for row in rows() {
        let Kind::Choice(words) = row.kind else { continue };
        for word in words {
            let text =
                full().replace(&format!(": {}", words[words.len() - 1]), &format!(": {word}"));
            serde_yaml::from_str::<raw::File>(&text).expect(&text);
        }
    }
}

#[test]
fn a_default_written_out_changes_nothing() {
    let base = "servers: [{name: m, host: h, maxConnections: 9}]\ndatabases: [{name: d}]\n\
                control: {certFile: c, keyFile: k, caFile: a}\nauthQuery: {user: u}\n";
    let plain = parse(base, None).expect(base);
    for row in rows() {
        let Fallback::Value(default) = &row.fallback else { continue };
        let there = [("control.", "caFile: a"), ("authQuery.", "user: u")];
        let beside = |(section, last): (&str, &'static str)| {
            row.path.strip_prefix(section).map(|field| (field, last))
        };
        let text = match (row.path.split_once("[]."), there.into_iter().find_map(beside)) {
            (Some((list, field)), _) => with_field(base, list, field, default),
            (None, Some((field, last))) => {
                base.replace(last, &format!("{last}, {field}: {default}"))
            }
            (None, None) => format!("{base}{}", nested(row.path, default)),
        };
        assert_eq!(parse(&text, None).as_ref(), Ok(&plain), "{text}");
    }
}

fn nested(path: &str, value: &str) -> String {
    match path.split_once('.') {
        Some((section, rest)) => format!("{section}: {{{}}}", nested(rest, value)),
        None => format!("{path}: {value}"),
    }
}

fn with_field(base: &str, list: &str, field: &str, value: &str) -> String {
    let start = format!("{list}: [{{");
    assert!(base.contains(&start), "{list}");
    base.replace(&start, &format!("{start}{}, ", nested(field, value)))
}

/// A pooler refuses what it does not know, and an operator may be newer than it is. If this fails,
/// a setting of the first language is no longer what poolers of that time read: one that is new
/// needs a later `since`, and [`LANGUAGE`](poolwright_settings::language::LANGUAGE) counts on.
#[test]
fn the_first_language_stays_as_its_poolers_read_it() {
    let first = rows().into_iter().filter(|row| row.since == 1);
    let found: String = first.map(|row| format!("{} {}\n", row.path, first_kind(&row))).collect();
    assert_eq!(found, include_str!("language-1.txt"));
}

/// Words that came later. A pooler that does not know one refuses the file and goes on with what it
/// has; to leave the setting out for it would let in whom it was to keep out.
const LATER_WORDS: [(&str, &str); 7] = [
    ("pool.mode", "statement"),
    ("listen.auth", "password"),
    ("listen.auth", "md5"),
    ("listen.auth", "cert"),
    ("listen.tls.mode", "prefer"),
    ("listen.tls.mode", "verify-ca"),
    ("listen.tls.mode", "verify-full"),
];

fn first_kind(row: &Row) -> String {
    let Kind::Choice(words) = row.kind else { return format!("{:?}", row.kind) };
    let is_first = |word: &&&str| !LATER_WORDS.contains(&(row.path, **word));
    format!("Choice({:?})", words.iter().filter(is_first).collect::<Vec<_>>())
}

#[test]
fn the_newest_setting_is_of_the_language_that_is_written() {
    let newest = rows().iter().map(|row| row.since).max();
    assert_eq!(newest, Some(poolwright_settings::language::LANGUAGE));
}
