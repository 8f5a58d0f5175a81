//! The text form in which Postgres keeps a password (`pg_authid.rolpassword`). It never holds the
//! password itself.

use super::attributes::{decode, decode_key, encode};
use super::keys::{salted_password, same};
use super::{MECHANISM, SaltedPassword, ScramError, ServerKeys};

/// What is needed to check a password without knowing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// 1 to 2³¹ − 1; the client does this work.
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub keys: ServerKeys,
}

impl Verifier {
    pub fn new(salted: &SaltedPassword, salt: &[u8], iterations: u32) -> Self {
        Verifier { iterations, salt: salt.to_vec(), keys: salted.server_keys() }
    }

    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    ///
    /// # Errors
    /// [`ScramError::Verifier`], with the part that is malformed.
    pub fn parse(text: &str) -> Result<Self, ScramError> {
        let (name, rest) = text.split_once('$').ok_or(ScramError::Verifier("the text"))?;
        if name != MECHANISM {
            return Err(ScramError::Verifier("the mechanism"));
        }
        let (cost, keys) = rest.split_once('$').ok_or(ScramError::Verifier("the text"))?;
        let (iterations, salt) = cost.split_once(':').ok_or(ScramError::Verifier("the salt"))?;
        let (stored, server) = keys.split_once(':').ok_or(ScramError::Verifier("ServerKey"))?;
        let keys = ServerKeys {
            stored_key: decode_key(stored).ok_or(ScramError::Verifier("StoredKey"))?,
            server_key: decode_key(server).ok_or(ScramError::Verifier("ServerKey"))?,
        };
        let salt = decode(salt).filter(|salt| !salt.is_empty());
        let salt = salt.ok_or(ScramError::Verifier("the salt"))?;
        Ok(Verifier { iterations: parse_iterations(iterations)?, salt, keys })
    }
}

impl Verifier {
    /// Whether it is this password's. Costs what [`super::salted_password`] costs, whatever the
    /// answer.
    pub fn accepts(&self, password: &str) -> bool {
        let keys = salted_password(password, &self.salt, self.iterations).server_keys();
        same(&keys.stored_key, &self.keys.stored_key)
    }

    /// The text that [`Verifier::parse`] reads. It lets its holder act as the server: keep it
    /// secret.
    pub fn text(&self) -> String {
        let Verifier { iterations, salt, keys: ServerKeys { stored_key, server_key } } = self;
        let (salt, stored, server) = (encode(salt), encode(stored_key), encode(server_key));
        format!("{MECHANISM}${iterations}:{salt}${stored}:{server}")
    }
}

fn parse_iterations(text: &str) -> Result<u32, ScramError> {
    match text.parse::<u32>() {
        Ok(iterations @ 1..=0x7fff_ffff) => Ok(iterations),
        _ => Err(ScramError::Verifier("the number of iterations")),
    }
}
