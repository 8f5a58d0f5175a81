//! How many tenants each database has: from the spec, from a key of a ConfigMap, or as many as
//! there are objects.

use poolwright_crds::{ConfigMapKeyRef, Tenants};
use poolwright_settings::Problem;

use super::{Database, Unresolved, selectors};
use crate::dereference::Dereferenced;

/// As the schema says for `count`.
pub const MOST: u32 = 1_000_000;

pub fn resolve(read: &Dereferenced, found: &mut Vec<Unresolved>) -> Vec<Database> {
    let databases = read.cluster.spec.databases.iter().enumerate();
    let one = |(index, database): (usize, &poolwright_crds::Database)| {
        let path = format!("spec.databases[{index}].tenants");
        let tenants = count(read, &path, database).map_err(|problem| found.push(problem));
        Database {
            name: database.name.clone(),
            tenants: tenants.unwrap_or(0),
            own: Default::default(),
        }
    };
    databases.map(one).collect()
}

fn count(
    read: &Dereferenced,
    path: &str,
    database: &poolwright_crds::Database,
) -> Result<u32, Unresolved> {
    let Tenants { count, config_map_key_ref, selector } = &database.tenants;
    match (count, config_map_key_ref, selector) {
        (Some(count), None, None) => Ok(declared(&format!("{path}.count"), *count)?),
        (None, Some(key), None) => Ok(keyed(read, &format!("{path}.configMapKeyRef"), key)?),
        (None, None, Some(selector)) => {
            let count = read.counts.get(&database.name);
            selectors::counted(&format!("{path}.selector"), selector, count)
        }
        _ => Err(Unresolved::from(Problem::new(
            path,
            "none or several of count, configMapKeyRef and selector",
            "exactly one of them",
            "keep the one that says how many tenants the database has",
        ))),
    }
}

fn declared(path: &str, count: i32) -> Result<u32, Problem> {
    let count = u32::try_from(count).ok().filter(|count| *count <= MOST).ok_or(count);
    count.map_err(|count| problem(path, &count.to_string(), "choose a number in that range"))
}

fn keyed(read: &Dereferenced, path: &str, from: &ConfigMapKeyRef) -> Result<u32, Problem> {
    let ConfigMapKeyRef { name, key } = from;
    let expected = "the ConfigMap that holds the number of tenants";
    let Some(map) = read.config_maps.get(name).and_then(Option::as_ref) else {
        let remedy = format!("create it: kubectl create configmap {name} --from-literal={key}=10");
        return Err(Problem::new(path, format!("no ConfigMap {name}"), expected, remedy));
    };
    let Some(text) = map.data.as_ref().and_then(|data| data.get(key)) else {
        let missing = format!("no key {key} in ConfigMap {name}");
        return Err(Problem::new(path, missing, "the number of tenants", "add the key"));
    };
    let count = text.trim().parse().ok().filter(|count| *count <= MOST);
    count.ok_or_else(|| {
        let path = format!("{path}: ConfigMap {name}, key {key}");
        let shown: String = text.chars().take(40).collect();
        problem(&path, &format!("{shown:?}"), "write digits only, such as \"10\"")
    })
}

pub fn problem(path: &str, found: &str, remedy: &str) -> Problem {
    Problem::new(path, found, format!("a whole number of tenants from 0 to {MOST}"), remedy)
}
