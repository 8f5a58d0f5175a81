//! Fits YAML to the table: what does not fit is reported and taken out, the rest is read.
//! Never looks at two values at once; what must add up is for [`crate::check`].

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

use crate::table::{Kind, Row, rows};
use crate::{Problem, kind};

/// Which file a text came from; in paths, the users file is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Settings,
    UsersFile,
}

/// What the table allows at one place.
#[derive(Debug)]
enum Node {
    Section(BTreeMap<&'static str, Node>),
    List(Box<Node>),
    Leaf(Kind),
}

/// Reads what fits; every other value is a problem.
pub(crate) fn read<T: DeserializeOwned + Default>(
    text: &str,
    source: Source,
    problems: &mut Vec<Problem>,
) -> T {
    let value = match serde_yaml::from_str::<Value>(text) {
        Ok(value) => value,
        Err(error) => {
            problems.push(not_yaml(&error, source));
            return T::default();
        }
    };
    let fitted = fit(&schema(source), value, source.root(), problems);
    let whole = fitted.unwrap_or_else(|| Value::Mapping(Mapping::new()));
    serde_yaml::from_value(whole).unwrap_or_else(|error| {
        let found = format!("a value that cannot be read ({error})");
        problems.push(Problem::new(source.root(), found, "settings", "report this as a defect"));
        T::default()
    })
}

impl Source {
    /// What paths in this file start with.
    pub(crate) fn root(self) -> &'static str {
        match self {
            Self::Settings => "",
            Self::UsersFile => "usersFile:",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Settings => "(settings file)",
            Self::UsersFile => "(users file)",
        }
    }
}

/// The text of the error could quote a secret, so that of the users file keeps the place only.
fn not_yaml(error: &serde_yaml::Error, source: Source) -> Problem {
    let place = error.location().map_or_else(
        || "text".to_owned(),
        |place| format!("text that fails at line {} column {}", place.line(), place.column()),
    );
    let found = match source {
        Source::Settings => format!("{place} ({error})"),
        Source::UsersFile => place,
    };
    Problem::new(source.title(), found, "one YAML document", "repair the text there")
}

fn fit(node: &Node, value: Value, path: &str, problems: &mut Vec<Problem>) -> Option<Value> {
    match (node, value) {
        (_, Value::Null) => None,
        (Node::Section(fields), Value::Mapping(mapping)) => {
            Some(Value::Mapping(fit_section(fields, mapping, path, problems)))
        }
        (Node::List(item), Value::Sequence(items)) => {
            Some(Value::Sequence(fit_list(item, items, path, problems)))
        }
        (Node::Leaf(Kind::Each(kind)), Value::Sequence(items)) if !items.is_empty() => {
            let place = |index: usize| format!("{path}[{index}]");
            let judge = |(index, item)| kind::problem(**kind, item, &place(index));
            problems.extend(items.iter().enumerate().filter_map(judge));
            let fits = |item: &Value| kind::problem(**kind, item, path).is_none();
            Some(Value::Sequence(items.into_iter().filter(fits).collect()))
        }
        (Node::Leaf(kind), value) => match kind::problem(*kind, &value, path) {
            Some(problem) => {
                problems.push(problem);
                None
            }
            None => Some(value),
        },
        (node, value) => {
            problems.push(wrong_container(node, &value, path));
            None
        }
    }
}

fn fit_section(
    fields: &BTreeMap<&'static str, Node>,
    mapping: Mapping,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Mapping {
    let mut fitted = Mapping::new();
    for (key, value) in mapping {
        let name = key.as_str().map_or_else(|| kind::shown(&key), str::to_owned);
        let place = join(path, &name);
        match key.as_str().and_then(|name| fields.get(name)) {
            Some(node) => {
                let kept = fit(node, value, &place, problems);
                fitted.extend(kept.map(|value| (key, value)));
            }
            None => problems.push(unknown_field(fields, &name, place)),
        }
    }
    fitted
}

/// An item that does not fit stays as an empty section, so that the others keep their index.
fn fit_list(item: &Node, items: Vec<Value>, path: &str, problems: &mut Vec<Problem>) -> Vec<Value> {
    let fit_item = |(index, value): (usize, Value)| {
        fit(item, value, &format!("{path}[{index}]"), problems)
            .unwrap_or_else(|| Value::Mapping(Mapping::new()))
    };
    items.into_iter().enumerate().map(fit_item).collect()
}

fn unknown_field(fields: &BTreeMap<&'static str, Node>, name: &str, place: String) -> Problem {
    let known: Vec<&str> = fields.keys().copied().collect();
    let remedy = match kind::closest(name, &known) {
        Some(near) => format!("did you mean {near}?"),
        None => "remove it".to_owned(),
    };
    Problem::new(place, "an unknown field", format!("one of {}", known.join(", ")), remedy)
}

fn wrong_container(node: &Node, value: &Value, path: &str) -> Problem {
    let path = match path {
        "" => Source::Settings.title(),
        "usersFile:" => Source::UsersFile.title(),
        _ => path,
    };
    let (expected, remedy) = match node {
        Node::List(_) => ("a list", "start each item with a dash"),
        _ => ("a section of fields", "write the fields below it, indented"),
    };
    Problem::new(path, kind::shown(value), expected, remedy)
}

pub(crate) fn join(path: &str, name: &str) -> String {
    match path.is_empty() || path.ends_with(':') {
        true => format!("{path}{name}"),
        false => format!("{path}.{name}"),
    }
}

/// The table as a tree; a users file has the rows under `users` and a generation only.
fn schema(source: Source) -> Node {
    let rows = rows();
    let mut root = BTreeMap::new();
    for row in &rows {
        if source == Source::Settings || row.path.starts_with("users[]") || row.path == "generation"
        {
            plant(&mut root, row.path, row, &rows);
        }
    }
    Node::Section(root)
}

fn plant(fields: &mut BTreeMap<&'static str, Node>, path: &'static str, row: &Row, rows: &[Row]) {
    let Some((head, rest)) = path.split_once('.') else {
        fields.insert(path, leaf(row.kind, rows));
        return;
    };
    let (name, is_list) = head.strip_suffix("[]").map_or((head, false), |name| (name, true));
    let empty = || Node::Section(BTreeMap::new());
    let place = match is_list {
        true => fields.entry(name).or_insert_with(|| Node::List(Box::new(empty()))),
        false => fields.entry(name).or_insert_with(empty),
    };
    let section = match place {
        Node::List(item) => item.as_mut(),
        other => other,
    };
    if let Node::Section(fields) = section {
        plant(fields, rest, row, rows);
    }
}

fn leaf(kind: Kind, rows: &[Row]) -> Node {
    let Kind::SameAs(section) = kind else { return Node::Leaf(kind) };
    let mut fields = BTreeMap::new();
    for row in rows {
        let inside = row.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'));
        fields.extend(inside.map(|name| (name, Node::Leaf(row.kind))));
    }
    Node::Section(fields)
}
