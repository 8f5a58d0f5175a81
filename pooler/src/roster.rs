//! All clients of a worker: found by their cancel keys, and told to stop when the process ends.
//! It knows where a client stands, never what it sends.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Waker};

use poolwright_pool::ClientId;
use poolwright_wire::startup::PROTOCOL_3_2;
use ring::rand::{SecureRandom, SystemRandom};

use crate::conn::Backend;
use crate::metrics::Level;
use crate::patience::Expiry;
use crate::peers::process_id;
use crate::tenant::Tenant;

/// Random numbers drawn at once.
const DRAW: usize = 64;
/// Bytes of a cancel key's secret in protocol 3.0.
const SHORT_SECRET: usize = 4;
/// The same where the protocol leaves the choice, as long as PostgreSQL's.
const LONG_SECRET: usize = 32;

/// One client's entry.
// In this order in memory: what every request touches stands together.
#[repr(C)]
pub struct Slot {
    standing: RefCell<Standing>,
    pub tenant: Rc<Tenant>,
    /// What no other client of this worker is, or was, or will be: 1 or more.
    pub serial: u64,
    pub id: ClientId,
    stopping: Cell<bool>,
    ending: Cell<Option<Ending>>,
    /// The client keeps its server connection between transactions.
    pub pinned: Cell<bool>,
    cancelled: Cell<bool>,
    /// The client is to hear that it is queued.
    notified: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The key that the client was given: a number that no other client here has,
    pub process_id: i32,
    /// and a secret.
    pub secret: Box<[u8]>,
}

/// Why a client must end at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process ends, or the client's database or user is no longer served.
    Cut,
    Expired(Expiry),
}

/// Where a client stands, for cancels and gauges.
#[derive(Clone)]
pub enum Standing {
    Idle,
    Waiting,
    Active(Rc<Backend>),
}

impl Slot {
    /// The client's task, once for all its life; it is woken when something changes here.
    pub fn register(&self, cx: &Context<'_>) {
        self.waker.replace(Some(cx.waker().clone()));
    }

    /// The client's task, which has registered: a task is always woken the same way.
    pub fn expect(&self, cx: &Context<'_>) {
        let wakes = |waker: &Waker| waker.will_wake(cx.waker());
        debug_assert!(self.waker.borrow().as_ref().is_some_and(wakes));
    }

    /// The one mover: the gauges follow.
    pub fn stand(&self, standing: Standing) {
        if matches!(standing, Standing::Waiting) {
            self.cancelled.set(false);
            self.notified.set(false);
        }
        let mut place = self.standing.borrow_mut();
        self.level(&place).fall();
        self.level(&standing).rise();
        *place = standing;
    }

    fn level(&self, standing: &Standing) -> &Level {
        let counts = &self.tenant.counts;
        match standing {
            Standing::Idle => &counts.clients_idle,
            Standing::Waiting => &counts.clients_waiting,
            Standing::Active(_) => &counts.clients_active,
        }
    }

    /// Whether a cancel came while the client waited.
    pub fn take_cancelled(&self) -> bool {
        self.cancelled.take()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Takes the waiting client out of its queue.
    pub fn cancel(&self) {
        self.cancelled.set(true);
        self.wake();
    }

    /// Lets the client finish its transaction, and no more.
    pub fn stop(&self) {
        self.stopping.set(true);
        self.wake();
    }

    /// Ends the client wherever it stands.
    pub fn end(&self, ending: Ending) {
        if self.ending.get() != Some(Ending::Cut) {
            self.ending.set(Some(ending));
        }
        self.wake();
    }

    /// What took too long is over after all.
    pub fn forgive(&self) {
        if let Some(Ending::Expired(_)) = self.ending.get() {
            self.ending.set(None);
        }
    }

    pub fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    /// Tells the waiting client that it is queued.
    pub fn notify(&self) {
        self.notified.set(true);
        self.wake();
    }

    /// Whether the client is to hear that it is queued.
    pub fn take_notified(&self) -> bool {
        self.notified.take()
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// All slots, by the process id of their cancel keys.
pub struct Roster {
    slots: RefCell<HashMap<i32, Rc<Slot>>>,
    /// Numbers that clients have left: the pools want them small and dense.
    free: RefCell<Vec<ClientId>>,
    /// Clients that ever were here.
    entered: Cell<u64>,
    random: SystemRandom,
    /// Random numbers drawn ahead, since each draw is a system call.
    drawn: RefCell<Vec<u32>>,
}

impl Roster {
    pub fn new() -> Roster {
        let (slots, free, drawn) = Default::default();
        Roster { slots, free, entered: Cell::new(0), random: SystemRandom::new(), drawn }
    }

    /// A new client.
    pub fn enter(&self, tenant: &Rc<Tenant>) -> Rc<Slot> {
        self.enter_with(tenant, SHORT_SECRET, None)
    }

    /// A new client, whose cancel key's secret has so many bytes, a multiple of 4. `own`: the id of
    /// this pooler among its peers.
    pub fn enter_with(&self, tenant: &Rc<Tenant>, secret: usize, own: Option<u32>) -> Rc<Slot> {
        let mut slots = self.slots.borrow_mut();
        let process_id = loop {
            let candidate = process_id(own, self.random_u32());
            if candidate != 0 && !slots.contains_key(&candidate) {
                break candidate;
            }
        };
        // Each client in the roster has one number, and each number free was one's.
        let id = self.free.borrow_mut().pop().unwrap_or(ClientId(slots.len() as u32));
        self.entered.set(self.entered.get() + 1);
        let slot = Rc::new(Slot {
            id,
            serial: self.entered.get(),
            process_id,
            secret: (0..secret / 4).flat_map(|_| self.random_u32().to_ne_bytes()).collect(),
            tenant: Rc::clone(tenant),
            standing: RefCell::new(Standing::Idle),
            cancelled: Cell::new(false),
            stopping: Cell::new(false),
            ending: Cell::new(None),
            notified: Cell::new(false),
            pinned: Cell::new(false),
            waker: RefCell::default(),
        });
        tenant.counts.clients_idle.rise();
        slots.insert(process_id, Rc::clone(&slot));
        slot
    }

    /// The client waits for nothing any more: its number goes to another.
    pub fn leave(&self, slot: &Slot) {
        if self.slots.borrow_mut().remove(&slot.process_id).is_some() {
            slot.level(&slot.standing()).fall();
            self.free.borrow_mut().push(slot.id);
        }
    }

    /// The client that a cancel request names, if it knows the secret.
    pub fn find(&self, process_id: i32, secret: &[u8]) -> Option<Rc<Slot>> {
        let slots = self.slots.borrow();
        let slot = slots.get(&process_id)?;
        is_same(&slot.secret, secret).then(|| Rc::clone(slot))
    }

    pub fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    pub fn all(&self) -> Vec<Rc<Slot>> {
        self.slots.borrow().values().cloned().collect()
    }

    fn random_u32(&self) -> u32 {
        let mut drawn = self.drawn.borrow_mut();
        if drawn.is_empty() {
            let mut bytes = [0; 4 * DRAW];
            self.random.fill(&mut bytes).expect("the system gives random bytes");
            drawn.extend(bytes.as_chunks().0.iter().map(|chunk| u32::from_ne_bytes(*chunk)));
        }
        drawn.pop().unwrap_or_default()
    }
}

/// Bytes of the secret that a client gets which speaks this version.
pub fn secret_length(protocol: i32) -> usize {
    if protocol >= PROTOCOL_3_2 { LONG_SECRET } else { SHORT_SECRET }
}

/// Takes as long for a secret that is nearly right as for any other of its length.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn a_secret_is_known_whole_or_not_at_all() {
        for (one, other, expect) in [
            (&b"abcd"[..], &b"abcd"[..], true),
            (b"abcd", b"abce", false),
            (b"abcd", b"abc", false),
            (b"abcd", b"abcde", false),
            (b"abcd", b"", false),
        ] {
            assert_eq!(is_same(one, other), expect, "{one:?} {other:?}");
        }
    }
}
