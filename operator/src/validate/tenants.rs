//! How many tenants each database has: from the spec, or from a key of a ConfigMap.

use poolwright_crds::{ConfigMapKeyRef, Tenants};
use poolwright_settings::Problem;

use super::Database;
use crate::dereference::Dereferenced;

/// As the schema says for `count`.
const MOST: u32 = 1_000_000;

pub fn resolve(read: &Dereferenced, found: &mut Vec<Problem>) -> Vec<Database> {
    let databases = read.cluster.spec.databases.iter().enumerate();
    let one = |(index, database): (usize, &poolwright_crds::Database)| {
        let path = format!("spec.databases[{index}].tenants");
        let tenants = count(read, &path, &database.tenants).map_err(|problem| found.push(problem));
        Database { name: database.name.clone(), tenants: tenants.unwrap_or(0) }
    };
    databases.map(one).collect()
}

fn count(read: &Dereferenced, path: &str, tenants: &Tenants) -> Result<u32, Problem> {
    match (tenants.count, &tenants.config_map_key_ref) {
        (Some(count), None) => {
            u32::try_from(count).ok().filter(|count| *count <= MOST).ok_or_else(|| {
                problem(
                    &format!("{path}.count"),
                    &count.to_string(),
                    "choose a number in that range",
                )
            })
        }
        (None, Some(key)) => keyed(read, &format!("{path}.configMapKeyRef"), key),
        _ => Err(Problem::new(
            path,
            "none or both of count and configMapKeyRef",
            "exactly one of them",
            "keep the one that says how many tenants the database has",
        )),
    }
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

fn problem(path: &str, found: &str, remedy: &str) -> Problem {
    Problem::new(path, found, format!("a whole number of tenants from 0 to {MOST}"), remedy)
}
