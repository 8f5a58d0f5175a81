//! The server's side of an exchange. Between the two messages the client works for milliseconds;
//! the keys are asked for only at the end, so that they can be derived in that time.

use super::attributes::{Attributes, decode_key, encode, is_nonce};
use super::keys::{mac, same, sha256, xor};
use super::{ScramError, ServerKeys};

const CLIENT_FIRST: &str = "client-first-message";
const CLIENT_FINAL: &str = "client-final-message";

/// An exchange whose first message has been answered.
#[derive(Debug)]
pub struct ServerExchange {
    /// `n,,` or `y,,` in base64.
    binding: String,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

impl ServerExchange {
    /// Reads the client's first message. `server_nonce`: printable ASCII without commas, 18 random
    /// bytes in base64 for example, new for each exchange. The name in the message is passed over,
    /// as in Postgres: the startup message gives it.
    ///
    /// # Errors
    /// The message is malformed or asks for channel binding, which is not offered.
    pub fn start(
        client_first: &[u8],
        server_nonce: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, ScramError> {
        let mut attributes = Attributes::new(CLIENT_FIRST, client_first)?;
        let flag = check_flag(&attributes, attributes.rest())?;
        attributes.part("the channel binding flag")?;
        if !attributes.part("the authorization identity")?.is_empty() {
            return Err(ScramError::Unsupported("an authorization identity"));
        }
        let client_first_bare = attributes.rest().to_owned();
        attributes.value('n', "the user name")?;
        let client_nonce = attributes.value('r', "the nonce")?;
        if !is_nonce(client_nonce) {
            return Err(attributes.malformed("the nonce"));
        }
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={iterations}", encode(salt));
        let binding = encode(format!("{flag},,").as_bytes());
        Ok(ServerExchange { binding, nonce, client_first_bare, server_first })
    }

    /// The answer to the client's first message.
    pub fn first(&self) -> &[u8] {
        self.server_first.as_bytes()
    }

    /// Checks the client's final message; returns the server's final message.
    ///
    /// # Errors
    /// [`ScramError::Proof`] if the password is wrong; others if the message is not of this
    /// exchange.
    pub fn finish(self, client_final: &[u8], keys: &[ServerKeys]) -> Result<Vec<u8>, ScramError> {
        let mut attributes = Attributes::new(CLIENT_FINAL, client_final)?;
        let (without_proof, _) =
            attributes.rest().rsplit_once(",p=").ok_or(attributes.malformed("the proof"))?;
        if attributes.value('c', "the channel binding")? != self.binding {
            return Err(attributes.malformed("the channel binding"));
        }
        if attributes.value('r', "the nonce")? != self.nonce {
            return Err(ScramError::Nonce { message: CLIENT_FINAL });
        }
        let proof = decode_key(attributes.value('p', "the proof")?)
            .ok_or(attributes.malformed("the proof"))?;
        attributes.end("what follows the proof")?;
        let auth_message =
            format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let fits = |keys: &&ServerKeys| {
            let signature = mac(&keys.stored_key, auth_message.as_bytes());
            same(&sha256(&xor(&proof, &signature)), &keys.stored_key)
        };
        let keys = keys.iter().find(fits).ok_or(ScramError::Proof)?;
        let signature = encode(&mac(&keys.server_key, auth_message.as_bytes()));
        Ok(format!("v={signature}").into_bytes())
    }
}

fn check_flag(attributes: &Attributes<'_>, text: &str) -> Result<char, ScramError> {
    match text.split(',').next() {
        Some("n") => Ok('n'),
        Some("y") => Ok('y'),
        Some(flag) if flag.starts_with("p=") => Err(ScramError::Unsupported("channel binding")),
        _ => Err(attributes.malformed("the channel binding flag")),
    }
}
