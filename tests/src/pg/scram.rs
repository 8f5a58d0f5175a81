//! The client's side of SCRAM-SHA-256 (RFC 5802, 7677), written apart from the product's own so
//! that the two check each other. Never prepares the password: tests use ASCII.

use std::num::NonZeroU32;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2};

/// What is kept between the client's first and final message.
pub(super) struct Exchange {
    nonce: String,
    server_signature: Vec<u8>,
}

impl Exchange {
    pub(super) fn new() -> Result<Exchange> {
        let mut bytes = [0u8; 18];
        let filled = ring::rand::SystemRandom::new().fill(&mut bytes);
        filled.ok().context("make a nonce")?;
        Ok(Exchange { nonce: STANDARD.encode(bytes), server_signature: Vec::new() })
    }

    pub(super) fn first(&self) -> String {
        format!("n,,n=,r={}", self.nonce)
    }

    /// The client's final message for the server's first.
    pub(super) fn last(&mut self, server_first: &str, password: &str) -> Result<String> {
        let field = |name| server_first.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = field("r=").context("server-first has no nonce")?;
        if !nonce.starts_with(&self.nonce) {
            bail!("the server's nonce does not begin with ours");
        }
        let salt = STANDARD.decode(field("s=").context("server-first has no salt")?)?;
        let rounds: NonZeroU32 = field("i=").context("server-first has no iterations")?.parse()?;
        let bare = format!("c=biws,r={nonce}");
        let signed = format!("n=,r={},{server_first},{bare}", self.nonce);
        let salted = salted(password, &salt, rounds);
        self.server_signature = sign(&sign(&salted, b"Server Key"), signed.as_bytes());
        let proof = proof(&salted, signed.as_bytes());
        Ok(format!("{bare},p={}", STANDARD.encode(proof)))
    }

    /// Checks that the server knows the password too.
    pub(super) fn check(&self, server_last: &str) -> Result<()> {
        let signature = server_last.strip_prefix("v=").context("server-final has no signature")?;
        if STANDARD.decode(signature)? != self.server_signature {
            bail!("the server's signature is wrong");
        }
        Ok(())
    }
}

fn salted(password: &str, salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
    let mut out = vec![0u8; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut out);
    out
}

fn proof(salted: &[u8], signed: &[u8]) -> Vec<u8> {
    let client_key = sign(salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored.as_ref(), signed);
    client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect()
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}
