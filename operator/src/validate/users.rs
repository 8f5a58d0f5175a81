//! Who may log in, from the Secrets that the spec names. A password is never shown.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use poolwright_crds::CaSecretRef;
use poolwright_settings::{Problem, Secret, raw};

use crate::dereference::Dereferenced;

/// How a SCRAM verifier starts, as in pg_authid.
const VERIFIER: &str = "SCRAM-SHA-256$";
const USERS: &str = "a Secret whose keys are users and whose values are their passwords";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub proof: Secret,
    pub is_verifier: bool,
    /// The password before, which is valid as well.
    pub previous: Option<Secret>,
    /// What is different for it, in the pooler's terms.
    pub own: raw::User,
    /// Where the user comes from, for problems that are found later.
    pub path: String,
}

pub fn resolve(read: &Dereferenced, found: &mut Vec<Problem>) -> Vec<User> {
    let mut users = Vec::new();
    let mut taken = BTreeSet::new();
    for (index, source) in read.cluster.spec.auth.users.iter().enumerate() {
        let path = format!("spec.auth.users[{index}].secretRef.name");
        let first = users.len();
        let all = keys(read, &path, &source.secret_ref.name, found);
        if all.is_empty() && found_secret(read, &source.secret_ref.name) {
            let what = format!("no key in Secret {}", source.secret_ref.name);
            found.push(Problem::new(&path, what, USERS, "add a key for each user"));
        }
        for (key, value) in all {
            let path = format!("{path}: Secret {}, key {key}", source.secret_ref.name);
            match user(key, value, path, &mut taken) {
                Ok(user) => users.push(user),
                Err(problem) => found.push(problem),
            }
        }
        if let Some(previous) = &source.previous_secret_ref {
            let path = format!("spec.auth.users[{index}].previousSecretRef.name");
            for (key, value) in keys(read, &path, &previous.name, found) {
                let path = format!("{path}: Secret {}, key {key}", previous.name);
                // Only of this source: nobody gives a password to another source's user.
                let mut same = users[first..].iter_mut().filter(|user| user.name == *key);
                match (same.next(), second(value, path)) {
                    (Some(user), Ok(password)) => {
                        user.previous = Some(password).filter(|it| *it != user.proof);
                    }
                    (_, Err(problem)) => found.push(problem),
                    (None, Ok(_)) => {}
                }
            }
        }
    }
    if let Some(query) = &read.cluster.spec.auth.auth_query
        && !users.iter().any(|user| user.name == query.user && !user.is_verifier)
    {
        let path = "spec.auth.authQuery.user";
        let expected = "a user of spec.auth.users whose Secret holds the password";
        let remedy = "add a key of that name to one of the Secrets";
        found.push(Problem::new(path, format!("{:?}", query.user), expected, remedy));
    }
    for user in users.iter().filter(|user| user.is_verifier && user.previous.is_some()) {
        let remedy = "give the password itself, or remove the user from previousSecretRef";
        let (what, expected) =
            ("a verifier, and a password before it", "two passwords, or one proof");
        found.push(Problem::new(&user.path, what, expected, remedy));
    }
    users
}

/// A password that is valid beside another.
fn second(value: &ByteString, path: String) -> Result<Secret, Problem> {
    let what = match password(&value.0) {
        Ok(text) if !text.starts_with(VERIFIER) => return Ok(Secret::new(text)),
        Ok(_) => "a SCRAM-SHA-256 verifier",
        Err(what) => what,
    };
    let remedy = "write the password there, or remove the key";
    Err(Problem::new(path, what, "the password that was valid before", remedy))
}

/// The certificate authority of the server, in PEM.
pub fn authority(read: &Dereferenced, found: &mut Vec<Problem>) -> Option<Vec<u8>> {
    let from = read.cluster.spec.server.tls.ca_secret_ref.as_ref()?;
    let path = "spec.server.tls.caSecretRef";
    let expected = "the Secret with the server's certificate authority";
    pem(read, from, path, expected, found)
}

/// The authorities that a Secret has at a key, in PEM.
pub fn pem(
    read: &Dereferenced,
    from: &CaSecretRef,
    path: &str,
    expected: &str,
    found: &mut Vec<Problem>,
) -> Option<Vec<u8>> {
    let Some(secret) = read.secrets.get(&from.name).and_then(Option::as_ref) else {
        let missing = format!("no Secret {}", from.name);
        found.push(Problem::new(format!("{path}.name"), missing, expected, "create it"));
        return None;
    };
    let pem = secret.data.as_ref().and_then(|data| data.get(&from.key)).map(|bytes| &bytes.0);
    let pem = pem.filter(|pem| String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE"));
    if pem.is_none() {
        let missing = format!("no certificate at key {} of Secret {}", from.key, from.name);
        let remedy = "put the authority's certificates there in PEM";
        found.push(Problem::new(format!("{path}.key"), missing, expected, remedy));
    }
    pem.cloned()
}

/// The keys of a Secret; one that is not there is a problem.
fn keys<'a>(
    read: &'a Dereferenced,
    path: &str,
    name: &str,
    found: &mut Vec<Problem>,
) -> Vec<(&'a String, &'a ByteString)> {
    let Some(secret) = read.secrets.get(name).and_then(Option::as_ref) else {
        let remedy =
            format!("create it: kubectl create secret generic {name} --from-literal=USER=PASSWORD");
        found.push(Problem::new(path, format!("no Secret {name}"), USERS, remedy));
        return Vec::new();
    };
    secret.data.iter().flatten().collect()
}

fn found_secret(read: &Dereferenced, name: &str) -> bool {
    read.secrets.get(name).is_some_and(Option::is_some)
}

fn user(
    name: &str,
    value: &ByteString,
    path: String,
    taken: &mut BTreeSet<String>,
) -> Result<User, Problem> {
    if !taken.insert(name.to_owned()) {
        let second = format!("a second value for user {name}");
        let remedy = "remove the user from one of the Secrets";
        return Err(Problem::new(path, second, "each user once", remedy));
    }
    let text = password(&value.0).map_err(|what| {
        let expected = "the user's password or SCRAM-SHA-256 verifier";
        let remedy = "write it anew, for example with kubectl create secret --from-literal";
        Problem::new(&path, what, expected, remedy)
    })?;
    let is_verifier = text.starts_with(VERIFIER);
    let (name, proof, previous) = (name.to_owned(), Secret::new(text), None);
    Ok(User { name, proof, is_verifier, previous, own: raw::User::default(), path })
}

fn password(bytes: &[u8]) -> Result<&str, &'static str> {
    let text = str::from_utf8(bytes).map_err(|_| "bytes that are no UTF-8")?;
    match text {
        "" => Err("an empty value"),
        _ if text.ends_with(['\n', '\r']) => Err("a line break at the end"),
        _ if text.contains('\0') => Err("a NUL character"),
        _ => Ok(text),
    }
}
