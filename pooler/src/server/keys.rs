//! Keys with which we prove a password to servers, derived once for each (user, salt, iterations):
//! reconnecting costs no key derivation.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use poolwright_settings::Secret;
use poolwright_wire::scram::{ClientKeys, salted_password};
use tokio::sync::OnceCell;

use super::{ConnectError, Kind};

/// Entries kept; beyond it the cache begins anew. One is about 300 bytes.
const MAX_ENTRIES: usize = 20_000;

/// A worker's derived keys.
#[derive(Default)]
pub struct ClientKeyCache {
    derived: RefCell<HashMap<Of, Derived>>,
}

/// What the derivation depends on, but for the password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Of {
    pub(super) user: String,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

struct Derived {
    password: Secret,
    keys: Rc<OnceCell<ClientKeys>>,
}

impl ClientKeyCache {
    /// The keys; derived on another thread the first time, by one login for all that wait.
    pub(super) async fn get(&self, of: Of, password: &Secret) -> Result<ClientKeys, ConnectError> {
        let cell = self.cell(&of, password);
        cell.get_or_try_init(|| derive(of, password.clone())).await.cloned()
    }

    fn cell(&self, of: &Of, password: &Secret) -> Rc<OnceCell<ClientKeys>> {
        let mut derived = self.derived.borrow_mut();
        if derived.len() >= MAX_ENTRIES && !derived.contains_key(of) {
            derived.clear();
        }
        let fresh = || Derived { password: password.clone(), keys: Rc::default() };
        let entry = derived.entry(of.clone()).or_insert_with(fresh);
        if entry.password != *password {
            *entry = fresh();
        }
        entry.keys.clone()
    }
}

async fn derive(of: Of, password: Secret) -> Result<ClientKeys, ConnectError> {
    let work = move || salted_password(password.expose(), &of.salt, of.iterations).client_keys();
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ConnectError::new(Kind::LocalLimit, "the key derivation was interrupted"))
}
