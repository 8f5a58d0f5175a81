//! The Secret with the users and the server's certificate authority, as the pods mount it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use poolwright_settings::raw;

use super::{metadata, template};
use crate::{names, validate::Validated};

/// The users as the pooler reads them.
pub fn users(checked: &Validated) -> Vec<raw::User> {
    let user = |user: &crate::validate::User| {
        let (verifier, password) = if user.is_verifier {
            (Some(user.proof.clone()), None)
        } else {
            (None, Some(user.proof.clone()))
        };
        let name = Some(user.name.clone());
        raw::User {
            name,
            password,
            scram_verifier: verifier,
            server_password: None,
            previous_password: user.previous.clone(),
            ..user.own.clone()
        }
    };
    checked.users.iter().map(user).collect()
}

pub fn secret(checked: &Validated, users: String) -> Secret {
    metadata::secret(checked, names::credentials(&checked.name), data(checked, users))
}

/// What the Secret holds, by file name.
pub fn data(checked: &Validated, users: String) -> BTreeMap<String, ByteString> {
    let mut data: BTreeMap<_, _> =
        [(template::USERS_FILE.to_owned(), ByteString(users.into_bytes()))].into();
    let ca = checked.ca.iter().map(|pem| (template::CA_FILE.to_owned(), ByteString(pem.clone())));
    data.extend(ca);
    data
}
