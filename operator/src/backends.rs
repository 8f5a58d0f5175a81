//! Whose the connections are that servers show: what PoolerClusters call their own, and which of the
//! others an ended process may have left. It holds what was seen, and wakes who can say more.
//!
//! An ended process opens nothing more. What the server shows at the first look after its end, and no
//! pod calls its own, is all that it may have left; from then on that only gets less. Whose
//! connection it turns out to be, or who is gone at one look, is none of its for good.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::{ResourceExt, runtime::reflector::ObjectRef};
use poolwright_budget::Who;
use poolwright_crds::PoolerCluster;

use crate::census::Wakes;

/// How long what was found out about an ended process is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// What pods called their own so long ago still tells something of a process that may go on.
const FRESH: Duration = Duration::from_secs(60);

type Owner = ObjectRef<PoolerCluster>;

pub struct Backends {
    state: Mutex<State>,
    wakes: Wakes,
}

#[derive(Default)]
struct State {
    /// By the PoolerCluster's uid.
    claims: HashMap<String, Claims>,
    cases: HashMap<Who, Case>,
    /// When somebody asked last, by the server's address.
    asked: HashMap<String, Instant>,
}

/// What the pods of a PoolerCluster call their own.
struct Claims {
    owner: Owner,
    address: String,
    /// `None`: nobody has looked at the server yet.
    seen: Option<(Instance, Instant)>,
    backends: BTreeSet<i32>,
}

/// An ended process.
struct Case {
    since: Instant,
    instance: Instance,
    suspects: BTreeSet<i32>,
}

/// One PostgreSQL, from its start to its end; empty where a pod of an older version looked.
type Instance = String;

/// What a look at a server has shown.
#[derive(Clone, Debug)]
pub struct Shown {
    pub instance: Instance,
    /// Process ids of connections that no pod of this PoolerCluster calls its own.
    pub unclaimed: BTreeSet<i32>,
}

/// Who asks, and where the server is that it asks about.
#[derive(Clone, Debug)]
pub struct Asker {
    pub uid: String,
    pub owner: Owner,
    pub address: String,
}

impl Backends {
    pub fn new(wakes: Wakes) -> Backends {
        Backends { state: Mutex::default(), wakes }
    }

    /// Whether another PoolerCluster wants to know which connections are this one's.
    pub fn is_asked(&self, asker: &Asker) -> bool {
        let state = self.lock();
        let Some(asked) = state.asked.get(&asker.address) else { return false };
        let claims = state.claims.get(&asker.uid);
        claims.and_then(|it| it.seen.as_ref()).is_none_or(|(_, since)| since < asked)
    }

    /// Notes what the pods of a PoolerCluster call their own, and on which instance they looked.
    pub fn claim(&self, asker: &Asker, instance: Option<&str>, backends: BTreeSet<i32>) {
        let Asker { uid, owner, address } = asker.clone();
        let seen = instance.map(|instance| (instance.to_owned(), Instant::now()));
        self.lock().claims.insert(uid, Claims { owner, address, seen, backends });
    }

    /// Those of the ended processes that have left nothing on the server.
    pub fn cleared(&self, asker: &Asker, ended: &[Who], shown: &Shown) -> BTreeSet<Who> {
        let now = Instant::now();
        let mut state = self.lock();
        state.cases.retain(|_, case| now.duration_since(case.since) < KEPT);
        let mut cleared = BTreeSet::new();
        let mut unsure_since = None;
        for who in ended {
            let since = state.suspect(who, shown, now);
            let others = state.of_others(asker, &shown.instance, since);
            let Some(case) = state.cases.get_mut(who) else { continue };
            case.suspects.retain(|it| shown.unclaimed.contains(it) && !others.contains(it));
            if case.suspects.is_empty() {
                state.cases.remove(who);
                cleared.insert(who.clone());
            } else {
                unsure_since = unsure_since.max(Some(since));
            }
        }
        if let Some(since) = unsure_since {
            self.ask(&mut state, asker, since);
        }
        cleared
    }

    /// Whether the server shows nothing that may be of a process that nobody saw end: it may open
    /// more at any moment.
    pub fn is_quiet(&self, asker: &Asker, shown: &Shown) -> bool {
        let Some(since) = Instant::now().checked_sub(FRESH) else { return false };
        let mut state = self.lock();
        let others = state.of_others(asker, &shown.instance, since);
        let is_quiet = shown.unclaimed.is_subset(&others);
        if !is_quiet {
            self.ask(&mut state, asker, since);
        }
        is_quiet
    }

    /// Forgets PoolerClusters that are gone.
    pub fn keep_only(&self, living: &[Arc<PoolerCluster>]) {
        let living: BTreeSet<String> = living.iter().filter_map(|it| it.uid()).collect();
        self.lock().claims.retain(|uid, _| living.contains(uid));
    }

    /// Wakes those at the same address who have not said since then which connections are theirs.
    fn ask(&self, state: &mut State, asker: &Asker, since: Instant) {
        let is_there = |(uid, it): &(&String, &Claims)| {
            **uid != asker.uid
                && it.address == asker.address
                && it.seen.as_ref().is_none_or(|(_, then)| *then < since)
        };
        let others: Vec<_> = state.claims.iter().filter(is_there).collect();
        if others.is_empty() {
            return;
        }
        for (_, claims) in others {
            // Nobody is reconciled any more: the operator ends.
            let _ = self.wakes.unbounded_send(claims.owner.clone());
        }
        state.asked.insert(asker.address.clone(), Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Since when it is known that the process has ended; another instance shows other connections.
    fn suspect(&mut self, who: &Who, shown: &Shown, now: Instant) -> Instant {
        let case = self.cases.entry(who.clone()).or_insert_with(|| Case {
            since: now,
            instance: shown.instance.clone(),
            suspects: shown.unclaimed.clone(),
        });
        if case.instance != shown.instance {
            case.instance.clone_from(&shown.instance);
            case.suspects.clone_from(&shown.unclaimed);
        }
        case.since
    }

    /// What other PoolerClusters have called their own on that instance since then.
    fn of_others(&self, asker: &Asker, instance: &str, since: Instant) -> BTreeSet<i32> {
        if instance.is_empty() {
            return BTreeSet::new();
        }
        let is_of_it = |(uid, it): &(&String, &Claims)| {
            let seen = it.seen.as_ref();
            **uid != asker.uid && seen.is_some_and(|(on, then)| on == instance && *then >= since)
        };
        let others = self.claims.iter().filter(is_of_it);
        others.flat_map(|(_, it)| it.backends.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;

    use super::*;

    fn backends() -> (Backends, mpsc::UnboundedReceiver<Owner>) {
        let (wakes, asked) = mpsc::unbounded();
        (Backends::new(wakes), asked)
    }

    fn asker(uid: &str) -> Asker {
        let owner = ObjectRef::new(uid).within("apps");
        Asker { uid: uid.into(), owner, address: "pg:5432".into() }
    }

    fn shown(unclaimed: &[i32]) -> Shown {
        Shown { instance: "one".into(), unclaimed: unclaimed.iter().copied().collect() }
    }

    fn ended() -> Who {
        Who { pod: "p".into(), process: Some("x".into()) }
    }

    #[track_caller]
    fn check(backends: &Backends, shown: &Shown, expect: bool) {
        let cleared = backends.cleared(&asker("mine"), &[ended()], shown);
        assert_eq!(cleared.contains(&ended()), expect, "{shown:?}");
    }

    #[test]
    fn who_left_nothing_is_cleared_at_once() {
        check(&backends().0, &shown(&[]), true);
    }

    #[test]
    fn only_what_was_there_at_the_end_and_has_stayed_since_is_suspect() {
        let (backends, _asked) = backends();
        check(&backends, &shown(&[1, 2]), false);
        check(&backends, &shown(&[2, 3]), false);
        check(&backends, &shown(&[1, 3]), true);
    }

    #[test]
    fn another_instance_shows_other_connections() {
        let (backends, _asked) = backends();
        check(&backends, &shown(&[1]), false);
        let other = Shown { instance: "two".into(), ..shown(&[7]) };
        check(&backends, &other, false);
        check(&backends, &shown(&[1]), false);
        check(&backends, &shown(&[2]), true);
    }

    #[test]
    fn what_others_call_theirs_since_the_end_was_not_left() {
        let (backends, mut asked) = backends();
        let other = asker("others");
        backends.claim(&other, None, BTreeSet::new());
        check(&backends, &shown(&[1, 2]), false);
        assert_eq!(asked.try_recv().unwrap(), other.owner, "it is asked");
        assert!(backends.is_asked(&other) && backends.is_asked(&asker("new")));
        backends.claim(&other, Some("elsewhere"), BTreeSet::from([1, 2]));
        check(&backends, &shown(&[1, 2]), false);
        backends.claim(&other, Some("one"), BTreeSet::from([1, 2]));
        assert!(!backends.is_asked(&other), "it has said so");
        check(&backends, &shown(&[1, 2]), true);
    }

    #[test]
    fn what_others_called_theirs_before_the_end_proves_nothing() {
        let (backends, _asked) = backends();
        backends.claim(&asker("others"), Some("one"), BTreeSet::from([1]));
        std::thread::sleep(Duration::from_millis(1));
        check(&backends, &shown(&[1]), false);
        assert!(backends.is_quiet(&asker("mine"), &shown(&[1])), "it is no newcomer's either");
        assert!(!backends.is_quiet(&asker("mine"), &shown(&[1, 2])));
    }

    #[test]
    fn a_server_that_does_not_say_who_it_is_makes_nobody_a_witness() {
        let (backends, _asked) = backends();
        let nameless = Shown { instance: String::new(), ..shown(&[1]) };
        check(&backends, &nameless, false);
        backends.claim(&asker("others"), Some(""), BTreeSet::from([1]));
        check(&backends, &nameless, false);
    }
}
