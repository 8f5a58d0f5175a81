//! SCRAM as a client does it, with the salted password kept: derived once for each salt, so that
//! many logins measure the pooler and not this process. Never skips the server's own proof.

use std::cell::RefCell;
use std::collections::HashMap;

use anyhow::{Context, Result};
use poolwright_wire::scram::{
    Channel, ClientExchange, ClientKeys, MECHANISM, ServerProof, salted_password,
};
use poolwright_wire::write;

/// Keys of the one password that all users have, by salt and iterations.
#[derive(Default)]
pub struct Keys(RefCell<HashMap<(Vec<u8>, u32), ClientKeys>>);

impl Keys {
    fn of(&self, password: &str, salt: &[u8], iterations: u32) -> ClientKeys {
        let mut known = self.0.borrow_mut();
        let derive = || salted_password(password, salt, iterations).client_keys();
        known.entry((salt.to_vec(), iterations)).or_insert_with(derive).clone()
    }
}

/// One login.
#[derive(Default)]
pub struct Exchange {
    exchange: Option<ClientExchange>,
    proof: Option<ServerProof>,
}

impl Exchange {
    /// The answer to AuthenticationSASL.
    pub fn first(&mut self, nonce: &str) -> Vec<u8> {
        let exchange = ClientExchange::new("", nonce, Channel::Unbound);
        let mut bytes = Vec::new();
        write::sasl_initial_response(&mut bytes, MECHANISM, &exchange.first());
        self.exchange = Some(exchange);
        bytes
    }

    /// The answer to AuthenticationSASLContinue.
    pub fn last(&mut self, server_first: &[u8], password: &str, keys: &Keys) -> Result<Vec<u8>> {
        let exchange = self.exchange.take().context("a challenge that nobody asked for")?;
        let challenge = exchange.challenge(server_first)?;
        let keys = keys.of(password, &challenge.salt, challenge.iterations);
        let (response, proof) = challenge.prove(&keys);
        self.proof = Some(proof);
        let mut bytes = Vec::new();
        write::sasl_response(&mut bytes, &response);
        Ok(bytes)
    }

    /// AuthenticationSASLFinal.
    pub fn check(&mut self, server_final: &[u8]) -> Result<()> {
        let proof = self.proof.take().context("a proof that nobody asked for")?;
        Ok(proof.check(server_final)?)
    }
}
