//! Compares two settings: what a running pooler takes over, and what waits for a restart.
//! Never shows a value, only where it stands.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use crate::Settings;
use crate::table::rows;

/// Where two settings differ; list items by their name: `databases[cloud_01].pool.size`; by their
/// place where they have none of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Taken over by a running pooler.
    pub live: Vec<String>,
    /// Noticed only by the next process.
    pub restart: Vec<String>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }
}

/// What is different in `new`.
pub fn diff(old: &Settings, new: &Settings) -> Changes {
    let (old, new) = (leaves(old), leaves(new));
    let changed_or_gone = old.iter().filter(|(path, value)| new.get(*path) != Some(*value));
    let added = new.keys().filter(|path| !old.contains_key(*path));
    let mut paths: Vec<String> =
        changed_or_gone.map(|(path, _)| path).chain(added).cloned().collect();
    paths.sort();
    let fixed: Vec<&str> =
        rows().iter().filter(|row| !row.reloadable).map(|row| row.path).collect();
    let (restart, live) = paths.into_iter().partition(|path| fixed.contains(&path.as_str()));
    Changes { live, restart }
}

fn leaves(settings: &Settings) -> BTreeMap<String, Value> {
    let file = serde_yaml::to_value(settings.to_raw()).expect("settings can be written as YAML");
    let mut found = BTreeMap::new();
    collect(String::new(), file, &mut found);
    found
}

fn collect(path: String, value: Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Mapping(fields) => {
            for (key, value) in fields {
                let name = key.as_str().unwrap_or_default();
                collect(crate::shape::join(&path, name), value, found);
            }
        }
        Value::Sequence(items) => {
            let names: Vec<Option<String>> = items.iter().map(name_of).collect();
            let is_named = names.iter().collect::<BTreeSet<_>>().len() == names.len();
            for (index, (item, name)) in items.into_iter().zip(names).enumerate() {
                let name = name.filter(|_| is_named).unwrap_or_else(|| index.to_string());
                collect(format!("{path}[{name}]"), item, found);
            }
        }
        leaf => {
            found.insert(path, leaf);
        }
    }
}

fn name_of(item: &Value) -> Option<String> {
    item.get("name").and_then(Value::as_str).map(str::to_owned)
}
