//! The server's side of an exchange. Between the two messages the client works for milliseconds;
//! the keys are asked for only at the end, so that they can be derived in that time.

use super::attributes::{Attributes, decode_key, encode, is_nonce};
use super::keys::{mac, same, sha256, xor};
use super::{Channel, ClientKeys, ScramError, ServerKeys};

const CLIENT_FIRST: &str = "client-first-message";
const CLIENT_FINAL: &str = "client-final-message";

/// An exchange whose first message has been answered.
#[derive(Debug)]
pub struct ServerExchange {
    /// What the client's final message must say of the channel, in base64.
    binding: String,
    is_bound: bool,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

/// What a proof that fits gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    /// The server's final message.
    pub message: Vec<u8>,
    /// What the client proved with. With them one can log in, as that client, to any server that
    /// has the same verifier: keep them as secret as a password.
    pub keys: ClientKeys,
}

impl ServerExchange {
    /// Reads the client's first message. `server_nonce`: printable ASCII without commas, 18 random
    /// bytes in base64 for example, new for each exchange. The name in the message is passed over,
    /// as in Postgres: the startup message gives it.
    ///
    /// # Errors
    /// The message is malformed, or what it says of the channel does not fit.
    pub fn start(
        client_first: &[u8],
        channel: Channel<'_>,
        server_nonce: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, ScramError> {
        let mut attributes = Attributes::new(CLIENT_FIRST, client_first)?;
        let flag = attributes.part("the channel binding flag")?;
        channel.admits(flag, &attributes)?;
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
        let binding = channel.proof(&format!("{flag},,"));
        let is_bound = matches!(channel, Channel::Bound(_));
        Ok(ServerExchange { binding, is_bound, nonce, client_first_bare, server_first })
    }

    /// The answer to the client's first message.
    pub fn first(&self) -> &[u8] {
        self.server_first.as_bytes()
    }

    /// Checks the client's final message.
    ///
    /// # Errors
    /// [`ScramError::Proof`] if the password is wrong; others if the message is not of this
    /// exchange or of this channel.
    pub fn finish(self, client_final: &[u8], keys: &[ServerKeys]) -> Result<Finished, ScramError> {
        let mut attributes = Attributes::new(CLIENT_FINAL, client_final)?;
        let (without_proof, _) =
            attributes.rest().rsplit_once(",p=").ok_or(attributes.malformed("the proof"))?;
        if attributes.value('c', "the channel binding")? != self.binding {
            let malformed = attributes.malformed("the channel binding");
            return Err(if self.is_bound { ScramError::OtherChannel } else { malformed });
        }
        if attributes.value('r', "the nonce")? != self.nonce {
            return Err(ScramError::Nonce { message: CLIENT_FINAL });
        }
        let proof = decode_key(attributes.value('p', "the proof")?)
            .ok_or(attributes.malformed("the proof"))?;
        attributes.end("what follows the proof")?;
        let auth_message =
            format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let client_key = |keys: &ServerKeys| {
            let client_key = xor(&proof, &mac(&keys.stored_key, auth_message.as_bytes()));
            same(&sha256(&client_key), &keys.stored_key).then_some(client_key)
        };
        let fitting = |keys: &ServerKeys| Some((client_key(keys)?, keys.clone()));
        let (client_key, server) = keys.iter().find_map(fitting).ok_or(ScramError::Proof)?;
        let signature = encode(&mac(&server.server_key, auth_message.as_bytes()));
        let keys = ClientKeys { client_key, server };
        Ok(Finished { message: format!("v={signature}").into_bytes(), keys })
    }
}
