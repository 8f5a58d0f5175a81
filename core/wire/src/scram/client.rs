//! The client's side of an exchange: first message, challenge, proof, check of the server. Each
//! step takes the one before it, so none can be repeated.

use super::attributes::{Attributes, decode, decode_key, encode, is_nonce};
use super::keys::{mac, same, xor};
use super::{Channel, ClientKeys, MAX_ITERATIONS, ScramError};

const SERVER_FIRST: &str = "server-first-message";
const SERVER_FINAL: &str = "server-final-message";

/// An exchange that has begun.
#[derive(Debug)]
pub struct ClientExchange {
    /// `n,,` and the like, and what the final message says of it.
    header: &'static str,
    binding: String,
    nonce: String,
    first_bare: String,
}

/// What the server asks for. Derive keys from `salt` and `iterations`, then [`prove`].
///
/// [`prove`]: ClientChallenge::prove
#[derive(Debug)]
pub struct ClientChallenge {
    pub salt: Vec<u8>,
    /// 1 to [`MAX_ITERATIONS`].
    pub iterations: u32,
    binding: String,
    nonce: String,
    /// Both first messages, with the comma after each.
    firsts: String,
}

/// What the server must answer to show that it holds the verifier.
#[derive(Debug)]
pub struct ServerProof([u8; 32]);

impl ClientExchange {
    /// `user`: empty for Postgres, which takes the name of the startup message. `nonce`: printable
    /// ASCII without commas, 18 random bytes in base64 for example, new for each exchange.
    pub fn new(user: &str, nonce: &str, channel: Channel<'_>) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        let header = channel.header();
        let binding = channel.proof(header);
        ClientExchange { header, binding, nonce: nonce.to_owned(), first_bare }
    }

    /// The first message to send.
    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.header, self.first_bare).into_bytes()
    }

    /// Reads the server's answer to the first message.
    ///
    /// # Errors
    /// The answer is malformed, answers another nonce, or asks for too much work.
    pub fn challenge(self, server_first: &[u8]) -> Result<ClientChallenge, ScramError> {
        let mut attributes = Attributes::new(SERVER_FIRST, server_first)?;
        let text = attributes.rest();
        let nonce = attributes.value('r', "the nonce")?;
        let added = nonce.strip_prefix(&self.nonce);
        if !added.is_some_and(is_nonce) {
            return Err(ScramError::Nonce { message: SERVER_FIRST });
        }
        let salt = decode(attributes.value('s', "the salt")?).filter(|salt| !salt.is_empty());
        let salt = salt.ok_or(attributes.malformed("the salt"))?;
        let iterations = attributes.value('i', "the number of iterations")?;
        let iterations = iterations.parse().map_err(|_| attributes.malformed("iterations"))?;
        attributes.end("what follows the number of iterations")?;
        Ok(ClientChallenge {
            salt,
            iterations: check_iterations(iterations)?,
            binding: self.binding,
            nonce: nonce.to_owned(),
            firsts: format!("{},{text},", self.first_bare),
        })
    }
}

impl ClientChallenge {
    /// The final message to send, and what the server must answer.
    pub fn prove(self, keys: &ClientKeys) -> (Vec<u8>, ServerProof) {
        let without_proof = format!("c={},r={}", self.binding, self.nonce);
        let auth_message = format!("{}{without_proof}", self.firsts);
        let signature = mac(&keys.server.stored_key, auth_message.as_bytes());
        let proof = encode(&xor(&keys.client_key, &signature));
        let expected = mac(&keys.server.server_key, auth_message.as_bytes());
        (format!("{without_proof},p={proof}").into_bytes(), ServerProof(expected))
    }
}

impl ServerProof {
    /// Checks the server's final message.
    ///
    /// # Errors
    /// The server reports an error, or does not hold the verifier.
    pub fn check(self, server_final: &[u8]) -> Result<(), ScramError> {
        let mut attributes = Attributes::new(SERVER_FINAL, server_final)?;
        if let Some(error) = attributes.rest().strip_prefix("e=") {
            return Err(ScramError::Server(error.chars().take(200).collect()));
        }
        let signature = decode_key(attributes.value('v', "the signature")?)
            .ok_or(attributes.malformed("the signature"))?;
        attributes.end("what follows the signature")?;
        if same(&self.0, &signature) { Ok(()) } else { Err(ScramError::Signature) }
    }
}

fn check_iterations(found: u64) -> Result<u32, ScramError> {
    match u32::try_from(found) {
        Ok(iterations @ 1..=MAX_ITERATIONS) => Ok(iterations),
        _ => Err(ScramError::Iterations { found, max: MAX_ITERATIONS }),
    }
}
