//! The Secret with the users and the server's certificate authority, as the pods mount it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use poolwright_settings::raw;

use super::{metadata, template};
use crate::{hash, names, validate::Validated};

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
        }
    };
    checked.users.iter().map(user).collect()
}

/// The Secret. The hash that it carries is of its keys only: no metadata follows a password.
pub fn secret(checked: &Validated, users: String) -> Secret {
    let mut data: BTreeMap<_, _> =
        [(template::USERS_FILE.to_owned(), ByteString(users.into_bytes()))].into();
    let ca = checked.ca.iter().map(|pem| (template::CA_FILE.to_owned(), ByteString(pem.clone())));
    data.extend(ca);
    let keys = hash::of(&data.keys().collect::<Vec<_>>());
    let secret = Secret {
        metadata: metadata::owned(checked, names::credentials(&checked.name)),
        data: Some(data),
        type_: Some("Opaque".into()),
        ..Secret::default()
    };
    metadata::noted(secret, keys)
}
