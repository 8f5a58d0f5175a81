//! Which settings a pooler of an earlier version reads. It refuses what it does not know, so
//! whoever writes settings for it leaves out what came later.

use serde_yaml::Value;

use crate::raw;
use crate::table::{Kind, Row, rows};

/// What this version reads and writes. Each release that adds a setting counts on.
pub const LANGUAGE: u32 = 3;
/// The oldest that an operator still writes: that of two minor versions back.
pub const OLDEST: u32 = 1;

/// Settings that keep somebody out. A pooler that does not know them is told nevertheless: it refuses
/// the file and goes on with what it has, where leaving them out would open a door.
const KEPT: [&str; 5] = [
    "listen.rules[]",
    "listen.maps[]",
    "listen.tls.caFile",
    "listen.proxyProtocol",
    "servers[].channelBinding",
];

/// [`OLDEST`], for what was noted before anybody told a language.
pub fn oldest() -> u32 {
    OLDEST
}

impl raw::File {
    /// The text of a settings file for a pooler that reads this language.
    pub fn to_yaml_for(&self, language: u32) -> String {
        raw::text(&without_later(self, &rows(), language))
    }
}

impl raw::UsersFile {
    /// The text of a users file for a pooler that reads this language; it holds the secrets in the
    /// clear.
    pub fn to_yaml_for(&self, language: u32) -> String {
        raw::text(&without_later(self, &rows(), language))
    }
}

fn without_later(file: &impl serde::Serialize, rows: &[Row], language: u32) -> Value {
    let mut value = serde_yaml::to_value(file).expect("strings, numbers and lists are YAML");
    let is_kept = |row: &&Row| KEPT.iter().any(|kept| row.path.starts_with(kept));
    for row in rows.iter().filter(|row| row.since > language && !is_kept(row)) {
        remove(&mut value, row.path);
        for copy in rows {
            if let Some(path) = path_in_copy(row, copy) {
                remove(&mut value, &path);
            }
        }
    }
    value
}

/// The row's path in a section that has the fields of the row's own.
fn path_in_copy(row: &Row, copy: &Row) -> Option<String> {
    let Kind::SameAs(section) = copy.kind else { return None };
    let field = row.path.strip_prefix(section)?.strip_prefix('.')?;
    Some(format!("{}.{field}", copy.path))
}

/// Removes the field at this path, in each item of its lists; a section or list of which nothing is
/// left goes too, since its name may be as new.
fn remove(value: &mut Value, path: &str) {
    let Value::Mapping(fields) = value else { return };
    let Some((head, rest)) = path.split_once('.') else {
        fields.shift_remove(path);
        return;
    };
    let name = head.trim_end_matches("[]");
    let Some(inner) = fields.get_mut(name) else { return };
    if let Value::Sequence(items) = inner {
        items.iter_mut().for_each(|item| remove(item, rest));
    } else {
        remove(inner, rest);
    }
    if is_bare(inner) {
        fields.shift_remove(name);
    }
}

fn is_bare(value: &Value) -> bool {
    match value {
        Value::Mapping(fields) => fields.is_empty(),
        Value::Sequence(items) => items.iter().all(is_bare),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &'static str, since: u32) -> Row {
        Row { path, since, ..rows().remove(0) }
    }

    #[track_caller]
    fn check(rows: &[Row], language: u32, expect: &str) {
        let file = "{servers: [{name: a, port: 1}, {name: b}], pool: {size: 5, min: 1}}";
        let file: raw::File = serde_yaml::from_str(file).unwrap();
        let expect: Value = serde_yaml::from_str(expect).unwrap();
        assert_eq!(without_later(&file, rows, language), expect);
    }

    #[test]
    fn what_came_after_a_language_is_left_out_of_it() {
        let later = [row("servers[].port", 2), row("pool.min", 3), row("drain.timeout", 2)];
        check(&later, 1, "{servers: [{name: a}, {name: b}], pool: {size: 5}}");
        check(&later, 2, "{servers: [{name: a, port: 1}, {name: b}], pool: {size: 5}}");
        check(&later, 3, "{servers: [{name: a, port: 1}, {name: b}], pool: {size: 5, min: 1}}");
    }

    #[test]
    fn what_came_after_a_language_is_left_out_of_the_copies_of_its_section() {
        let kind = Kind::SameAs("pool");
        let rows = [row("pool.min", 3), Row { kind, ..row("databases[].pool", 1) }];
        let file = "{pool: {size: 5, min: 1}, databases: [{name: a, pool: {size: 4, min: 2}}]}";
        let file: raw::File = serde_yaml::from_str(file).unwrap();
        let expect = "{pool: {size: 5}, databases: [{name: a, pool: {size: 4}}]}";
        let expect: Value = serde_yaml::from_str(expect).unwrap();
        assert_eq!(without_later(&file, &rows, 2), expect);
    }

    #[test]
    fn what_keeps_somebody_out_is_never_left_out() {
        let listen = "{rules: [{method: reject}], tls: {mode: verify-ca, caFile: clients-ca.crt}}";
        let listen: raw::Listen = serde_yaml::from_str(listen).unwrap();
        let file = raw::File { listen: Some(listen), ..raw::File::default() };
        for kept in ["method: reject", "caFile: clients-ca.crt"] {
            assert!(file.to_yaml_for(OLDEST).contains(kept), "{kept}");
        }
    }

    #[test]
    fn a_section_of_which_nothing_is_left_goes_too() {
        let later = [row("pool.size", 3), row("pool.min", 3), row("servers[].name", 3)];
        check(&later, 2, "{servers: [{port: 1}, {}]}");
        check(
            &[row("servers[].name", 3), row("servers[].port", 3)],
            2,
            "{pool: {size: 5, min: 1}}",
        );
    }
}
