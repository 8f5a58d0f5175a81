//! What a user's proof is checked against, derived at most once for each password: a login costs
//! no key derivation. A user who does not exist gets keys that fit nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use poolwright_settings::{Proof, Secret, Settings};
use poolwright_wire::scram::{
    DEFAULT_ITERATIONS, ScramError, ServerKeys, Verifier, mock_keys, salt_for, salted_password,
};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::OnceCell;

use super::LoginError;

/// A worker's derived keys.
pub struct Verifiers {
    random: SystemRandom,
    /// Salts are made of it; new for each process.
    secret: [u8; 32],
    derived: RefCell<HashMap<String, Vec<Derived>>>,
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
    Ready(ServerKeys),
    Derive(Vec<Derived>),
}

impl Verifiers {
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, LoginError> {
        let random = SystemRandom::new();
        let mut secret = [0; 32];
        random.fill(&mut secret).map_err(no_randomness)?;
        Ok(Verifiers { random, secret, derived: RefCell::default() })
    }

    /// 18 random bytes as hexadecimal digits.
    pub(super) fn nonce(&self) -> Result<String, LoginError> {
        let mut bytes = [0; 18];
        self.random.fill(&mut bytes).map_err(no_randomness)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What `user`'s proof is to be checked against; the same form whether the user exists or not.
    pub(super) fn check(&self, user: &str, settings: &Settings) -> Result<Check, LoginError> {
        let known = settings.users.get(user);
        match known.map(|user| &user.proof) {
            Some(Proof::ScramVerifier(text)) => {
                let Verifier { iterations, salt, keys } =
                    Verifier::parse(text.expose()).map_err(unusable)?;
                Ok(Check { salt, iterations, keys: Keys::Ready(keys) })
            }
            Some(Proof::Password(password)) => {
                let previous = known.and_then(|user| user.previous_password.as_ref());
                let passwords = [password].into_iter().chain(previous);
                let keys = self.derived(user, passwords, settings);
                Ok(self.with_own_salt(user, Keys::Derive(keys)))
            }
            None => Ok(self.with_own_salt(user, Keys::Ready(mock_keys(user, &self.secret)))),
        }
    }

    fn with_own_salt(&self, user: &str, keys: Keys) -> Check {
        let salt = salt_for(user, &self.secret).to_vec();
        Check { salt, iterations: DEFAULT_ITERATIONS, keys }
    }

    fn derived<'a>(
        &self,
        user: &str,
        passwords: impl Iterator<Item = &'a Secret>,
        settings: &Settings,
    ) -> Vec<Derived> {
        let mut derived = self.derived.borrow_mut();
        if derived.len() > settings.users.len() {
            derived.retain(|user, _| settings.users.contains_key(user));
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
            Keys::Ready(keys) => return Ok(vec![keys]),
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

fn unusable(_: ScramError) -> LoginError {
    LoginError::Internal("the user's SCRAM verifier in the settings is malformed")
}
