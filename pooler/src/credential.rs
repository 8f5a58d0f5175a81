//! What the pooler logs in to a server with, as a user: a password, a hash of it, or the keys that a
//! client's own proof gave. It is never shown.

use poolwright_settings::{Forced, Secret, Settings, User};
use poolwright_wire::md5;
use poolwright_wire::scram::ClientKeys;

/// One way to log in as a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Password(Secret),
    /// `md5…`, as a server keeps it: for servers that ask for no more.
    Md5(Secret),
    Keys(Box<ScramKeys>),
}

/// What SCRAM needs, where the password is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramKeys {
    pub keys: ClientKeys,
    /// They fit servers whose verifier has this salt
    pub salt: Vec<u8>,
    /// and as many iterations.
    pub iterations: u32,
}

impl Credential {
    /// A secret in one of its forms; `None`: a verifier, with which one cannot log in.
    pub fn of(secret: &Secret) -> Option<Credential> {
        let text = secret.expose();
        if md5::is_secret(text) {
            Some(Credential::Md5(secret.clone()))
        } else if is_verifier(text) {
            None
        } else {
            Some(Credential::Password(secret.clone()))
        }
    }

    /// Those of a listed user, to be tried in this order.
    pub fn all_of(user: &User) -> Vec<Credential> {
        let secrets = [&user.server_password, &user.previous_password];
        secrets.into_iter().flatten().filter_map(Credential::of).collect()
    }

    /// Of the server user that a database's clients share.
    pub fn all_of_forced(forced: &Forced, settings: &Settings) -> Vec<Credential> {
        match &forced.password {
            Some(password) => Credential::of(password).into_iter().collect(),
            None => settings.users.get(&forced.user).map(Credential::all_of).unwrap_or_default(),
        }
    }
}

/// Whether a secret is a SCRAM verifier.
pub fn is_verifier(text: &str) -> bool {
    poolwright_wire::scram::Verifier::parse(text).is_ok()
}

/// What a login taught about a user: with this the pooler may log in where the client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    pub credential: Credential,
    /// The secret that the client was checked against; once it changes, this is forgotten.
    pub of: Secret,
}
