//! Checks the users of both files.
//! Never puts a secret into a problem.

use std::collections::BTreeMap;

use super::Report;
use super::database::{few_functions, limit, min_within_size};
use crate::Limits;
use crate::kind::{is_md5, is_verifier};
use crate::shape::{Source, join};
use crate::{Proof, Secret, User, raw};

/// Users of the settings file first, then those of the users file.
pub(super) fn check(
    inline: Option<Vec<raw::User>>,
    listed: Option<Vec<raw::User>>,
    limits: &Limits,
    report: &mut Report,
) -> BTreeMap<String, User> {
    let mut checked = BTreeMap::new();
    for (users, source) in [(inline, Source::Settings), (listed, Source::UsersFile)] {
        for (index, user) in users.unwrap_or_default().into_iter().enumerate() {
            let path = join(source.root(), &format!("users[{index}]"));
            let user = one(user, &path, limits, report);
            let taken = checked.contains_key(&user.name);
            report.unique(&format!("{path}.name"), &user.name, taken);
            checked.insert(user.name.clone(), user);
        }
    }
    checked
}

fn one(user: raw::User, path: &str, limits: &Limits, report: &mut Report) -> User {
    let name = report.required(&format!("{path}.name"), user.name.as_ref(), "a name");
    let (proof, own) = match (user.password, user.scram_verifier) {
        (Some(password), None) => known_by(password),
        (None, Some(verifier)) => (Proof::ScramVerifier(verifier), None),
        (password, _) => {
            one_proof(password.is_some(), path, report);
            (Proof::Password(Secret::new("")), None)
        }
    };
    let previous_password = user.previous_password;
    if previous_password.is_some() && !matches!(proof, Proof::Password(_)) {
        let path = format!("{path}.previousPassword");
        let (found, expected) = ("a second password beside a hash", "it beside password");
        report.add(&path, found, expected, "remove it, or give the password itself");
    }
    let previous_verifier = user.previous_scram_verifier;
    if let Some(previous) = &previous_verifier {
        check_previous(&format!("{path}.previousScramVerifier"), &proof, previous, report);
    }
    let pool = user.pool.unwrap_or_default();
    few_functions(&pool, &format!("{path}.pool"), report);
    if pool.size.is_some() && pool.min.is_some() {
        min_within_size(&pool, &raw::Pool::default(), &format!("{path}.pool"), report);
    }
    let server_password = user.server_password.or(own);
    let max_connections = limit(user.max_user_connections, limits.user_connections);
    let max_clients = limit(user.max_user_client_connections, limits.user_clients);
    User {
        name,
        proof,
        server_password,
        previous_password,
        previous_verifier,
        max_connections,
        max_clients,
        pool,
    }
}

/// A password in one of the forms in which PostgreSQL keeps it is taken for that, as PostgreSQL and
/// PgBouncer do. The older hash is enough for servers that ask for it.
fn known_by(password: Secret) -> (Proof, Option<Secret>) {
    if is_verifier(password.expose()) {
        (Proof::ScramVerifier(password), None)
    } else if is_md5(password.expose()) {
        (Proof::Md5(password.clone()), Some(password))
    } else {
        (Proof::Password(password.clone()), Some(password))
    }
}

/// A client is asked with one salt, before it is known which of two passwords it has.
fn check_previous(path: &str, proof: &Proof, previous: &Secret, report: &mut Report) {
    if report.has_reported(path) {
        return;
    }
    let Proof::ScramVerifier(now) = proof else {
        let (found, expected) = ("a verifier beside a password", "it beside scramVerifier");
        return report.add(path, found, expected, "write previousPassword instead");
    };
    let cost = |verifier: &Secret| verifier.expose().rsplit_once('$').map(|it| it.0.to_owned());
    if cost(now) != cost(previous) {
        report.add(
            path,
            "a verifier with another salt or number of iterations",
            "those of scramVerifier, since a client is asked with one salt",
            "make both verifiers with one salt, or give the passwords themselves",
        );
    }
}

fn one_proof(both: bool, path: &str, report: &mut Report) {
    let fields = ["password", "scramVerifier"];
    if fields.iter().any(|field| report.has_reported(&format!("{path}.{field}"))) {
        return;
    }
    let (found, remedy) = match both {
        true => ("password and scramVerifier", "remove one of them"),
        false => ("neither password nor scramVerifier", "add one of them"),
    };
    report.add(path, found, "either password or scramVerifier", remedy);
}
