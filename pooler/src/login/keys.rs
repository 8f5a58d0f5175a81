//! What a user's proof is checked against, derived at most once for each password: a login costs
//! no key derivation. A user who does not exist gets keys that fit nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use poolwright_settings::{Proof, Secret};
use poolwright_wire::scram::{
    DEFAULT_ITERATIONS, MAX_ITERATIONS, ServerKeys, Verifier, salt_for, salted_password,
};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{OnceCell, Semaphore};

use super::known::Known;
use super::{LoginContext, LoginError, nobody};

/// Users whose keys are kept; beyond it they are derived anew. One is about 200 bytes.
const MAX_DERIVED: usize = 50_000;
/// Derivations at a time for clients that give their password in clear.
const DERIVATIONS: usize = 2;

/// A worker's derived keys.
pub struct Verifiers {
    random: SystemRandom,
    /// Salts are made of it; new for each process.
    pub(super) secret: [u8; 32],
    derived: RefCell<HashMap<String, Vec<Derived>>>,
    workshop: Rc<Semaphore>,
}

#[derive(Clone)]
pub(super) struct Derived {
    password: Secret,
    keys: Rc<OnceCell<ServerKeys>>,
}

/// What one exchange is checked against.
pub(super) struct Check {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) keys: Keys,
}

/// Keys of which any fits, or how to come by them.
pub(super) enum Keys {
    Ready(Vec<ServerKeys>),
    Derive(Vec<Derived>),
}

impl Verifiers {
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, LoginError> {
        let random = SystemRandom::new();
        let mut secret = [0; 32];
        random.fill(&mut secret).map_err(no_randomness)?;
        let workshop = Rc::new(Semaphore::new(DERIVATIONS));
        Ok(Verifiers { random, secret, derived: RefCell::default(), workshop })
    }

    /// 18 random bytes as hexadecimal digits.
    pub(super) fn nonce(&self) -> Result<String, LoginError> {
        let mut bytes = [0; 18];
        self.random.fill(&mut bytes).map_err(no_randomness)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What an answer by md5 is salted with.
    pub(super) fn short_salt(&self) -> Result<[u8; 4], LoginError> {
        let mut bytes = [0; 4];
        self.random.fill(&mut bytes).map_err(no_randomness)?;
        Ok(bytes)
    }

    /// What `user`'s proof by SCRAM is to be checked against; the same form whether the user is
    /// known or not. An md5 hash says nothing about SCRAM: no proof fits it.
    pub(super) fn check(
        &self,
        user: &str,
        known: Option<&Known>,
        context: &LoginContext,
    ) -> Result<Check, LoginError> {
        match known.map(|known| &known.proof) {
            Some(Proof::ScramVerifier(text)) => {
                let Verifier { iterations, salt, keys } = verifier(text)?;
                let previous = known.and_then(|known| known.previous.as_ref());
                let previous = previous.map(verifier).transpose()?.map(|it| it.keys);
                let keys = Keys::Ready([keys].into_iter().chain(previous).collect());
                Ok(Check { salt, iterations, keys })
            }
            Some(Proof::Password(password)) => {
                let previous = known.and_then(|known| known.previous.as_ref());
                let keys = self.derived(user, [password].into_iter().chain(previous));
                Ok(self.with_own_salt(user, Keys::Derive(keys)))
            }
            Some(Proof::Md5(_)) | None => {
                let Verifier { salt, iterations, keys } = nobody::verifier(user, context);
                Ok(Check { salt, iterations, keys: Keys::Ready(vec![keys]) })
            }
        }
    }

    /// Whether any of the verifiers is this password's: worked out on another thread, a few at a
    /// time, since whoever guesses may ask for much of it.
    pub(super) async fn accepts(
        &self,
        verifiers: Vec<Verifier>,
        password: Secret,
    ) -> Result<Option<usize>, LoginError> {
        if verifiers.iter().any(|verifier| verifier.iterations > MAX_ITERATIONS) {
            return Err(LoginError::Internal("the user's SCRAM verifier asks for too much work"));
        }
        let _turn = self.workshop.acquire().await;
        let work = move || verifiers.iter().position(|it| it.accepts(password.expose()));
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| LoginError::Internal("the key derivation was interrupted"))
    }

    fn with_own_salt(&self, user: &str, keys: Keys) -> Check {
        let salt = salt_for(user, &self.secret).to_vec();
        Check { salt, iterations: DEFAULT_ITERATIONS, keys }
    }

    fn derived<'a>(&self, user: &str, passwords: impl Iterator<Item = &'a Secret>) -> Vec<Derived> {
        let mut derived = self.derived.borrow_mut();
        if derived.len() >= MAX_DERIVED && !derived.contains_key(user) {
            derived.clear();
        }
        let kept = derived.entry(user.to_owned()).or_default();
        let of = |password: &Secret| {
            let known = kept.iter().find(|it| it.password == *password);
            known.cloned().unwrap_or_else(|| Derived::new(password))
        };
        let now: Vec<Derived> = passwords.map(of).collect();
        kept.clone_from(&now);
        now
    }
}

/// Reads the text of a verifier.
pub(super) fn verifier(text: &Secret) -> Result<Verifier, LoginError> {
    let malformed = |_| LoginError::Internal("the user's SCRAM verifier is malformed");
    Verifier::parse(text.expose()).map_err(malformed)
}

impl Derived {
    fn new(password: &Secret) -> Self {
        Derived { password: password.clone(), keys: Rc::default() }
    }
}

impl Keys {
    /// The keys; derived on another thread the first time, by one login for all that wait.
    pub(super) async fn get(
        self,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Vec<ServerKeys>, LoginError> {
        let all = match self {
            Keys::Ready(keys) => return Ok(keys),
            Keys::Derive(all) => all,
        };
        let mut keys = Vec::new();
        for Derived { password, keys: cell } in all {
            let derive = || derive(password, salt.to_vec(), iterations);
            keys.push(cell.get_or_try_init(derive).await?.clone());
        }
        Ok(keys)
    }
}

async fn derive(
    password: Secret,
    salt: Vec<u8>,
    iterations: u32,
) -> Result<ServerKeys, LoginError> {
    let work = move || salted_password(password.expose(), &salt, iterations).server_keys();
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| LoginError::Internal("the key derivation was interrupted"))
}

fn no_randomness(_: ring::error::Unspecified) -> LoginError {
    LoginError::Internal("the system gives no random bytes")
}
