//! The keys of SCRAM: password → salted password → client, stored and server key. It derives and
//! compares; it never chooses a salt by chance.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

/// A password after the costly derivation. As good as the password itself: keep it secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SaltedPassword([u8; 32]);

/// What a client needs to prove that it knows the password and to check the server.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientKeys {
    pub(super) client_key: [u8; 32],
    pub(super) server: ServerKeys,
}

/// What a server needs to check a client and to prove itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerKeys {
    pub(super) stored_key: [u8; 32],
    pub(super) server_key: [u8; 32],
}

impl SaltedPassword {
    pub fn client_keys(&self) -> ClientKeys {
        let client_key = mac(&self.0, b"Client Key");
        let stored_key = sha256(&client_key);
        let server_key = mac(&self.0, b"Server Key");
        ClientKeys { client_key, server: ServerKeys { stored_key, server_key } }
    }

    pub fn server_keys(&self) -> ServerKeys {
        self.client_keys().server
    }
}

impl ClientKeys {
    pub fn server_keys(&self) -> &ServerKeys {
        &self.server
    }
}

/// PBKDF2 over the prepared password. Takes about 0.3 µs for each iteration: call it off the I/O
/// threads. `iterations`: 0 counts as 1.
pub fn salted_password(password: &str, salt: &[u8], iterations: u32) -> SaltedPassword {
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let mut out = [0; 32];
    let prepared = prepare(password);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut out);
    SaltedPassword(out)
}

/// The salt of a user whose verifier is ours to make, or who does not exist: always the same for
/// one `secret`, so that the two cannot be told apart.
pub fn salt_for(user: &str, secret: &[u8; 32]) -> [u8; 16] {
    let mac = mac_parts(secret, &[b"salt\0", user.as_bytes()]);
    *mac.first_chunk().unwrap_or(&[0; 16])
}

/// Keys that fit no password, for a user who does not exist.
pub fn mock_keys(user: &str, secret: &[u8; 32]) -> ServerKeys {
    ServerKeys {
        stored_key: mac_parts(secret, &[b"stored\0", user.as_bytes()]),
        server_key: mac_parts(secret, &[b"server\0", user.as_bytes()]),
    }
}

/// Postgres's rule: ASCII as it is; else SASLprep; where that fails, as it is.
fn prepare(password: &str) -> Cow<'_, str> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password))
}

pub(super) fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    mac_parts(key, &[data])
}

fn mac_parts(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

pub(super) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}

pub(super) fn xor(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    std::array::from_fn(|i| left[i] ^ right[i])
}

/// Compares in a time that does not depend on where the two differ: both are hashed under one key,
/// and ring compares the hashes.
pub(super) fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"comparison");
    let tag = hmac::sign(&key, left);
    hmac::verify(&key, right, tag.as_ref()).is_ok()
}

impl fmt::Debug for SaltedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaltedPassword(…)")
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKeys(…)")
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKeys(…)")
    }
}
