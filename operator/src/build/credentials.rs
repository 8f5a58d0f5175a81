//! The Secret with the users, the server's certificate authority, and what clients are shown and
//! checked by, as the pods mount it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use poolwright_settings::raw;

use super::{metadata, template};
use crate::{
    certificate::{Identity, text},
    names,
    validate::{ClientTls, Validated},
};

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

/// The pods' certificate for clients, its key, and the authority of those of clients.
fn shown(tls: &ClientTls) -> impl Iterator<Item = (String, ByteString)> {
    let Identity { certificate, key, authorities } = &tls.identity;
    let files = [
        (template::CLIENT_TLS_FILE, certificate),
        (template::CLIENT_KEY_FILE, key),
        (template::CLIENT_CA_FILE, authorities),
    ];
    let is_there = |(_, text): &(_, &String)| !text.is_empty();
    let file = |(name, text): (&str, &String)| (name.to_owned(), ByteString(text.clone().into()));
    files.into_iter().filter(is_there).map(file)
}

/// The certificate that [`secret`] has the pods show to clients, with its key.
pub fn client_pair(secret: &Secret) -> Option<Identity> {
    let text = |file| text(secret, file).map(str::to_owned);
    let (certificate, key) = (text(template::CLIENT_TLS_FILE)?, text(template::CLIENT_KEY_FILE)?);
    Some(Identity { certificate, key, ..Identity::default() })
}

/// What the Secret holds, by file name.
pub fn data(checked: &Validated, users: String) -> BTreeMap<String, ByteString> {
    let mut data: BTreeMap<_, _> =
        [(template::USERS_FILE.to_owned(), ByteString(users.into_bytes()))].into();
    let ca = checked.ca.iter().map(|pem| (template::CA_FILE.to_owned(), ByteString(pem.clone())));
    data.extend(ca);
    data.extend(checked.client_tls.iter().flat_map(shown));
    data
}
