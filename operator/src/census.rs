//! Counts objects of any kind that the API server serves, for the PoolerClusters whose tenants
//! they are. A kind is watched in a namespace only while somebody counts it there, and who counts
//! is woken only when one of his own counts has become another.

mod subject;
mod tally;
mod watch;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures::channel::mpsc;
use kube::{Client, core::Selector, runtime::reflector::ObjectRef};
use poolwright_crds::PoolerCluster;
use tokio::{
    sync::watch as signal,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

pub use self::subject::{Count, Place, Subject, Uncounted};
use self::{tally::Tally, watch::Watch};

/// Watches at once, one for each kind and namespace.
const WATCHES: usize = 1000;
/// Kinds that one PoolerCluster may count.
const KINDS: usize = 8;
/// The longest that a first list is waited for, by whoever needs it: one that takes longer holds
/// up nobody else.
const PATIENCE: Duration = Duration::from_secs(10);

type Who = ObjectRef<PoolerCluster>;
/// Has a PoolerCluster reconciled.
pub type Wakes = mpsc::UnboundedSender<Who>;
/// PoolerClusters that are to be reconciled, since their counts changed.
pub type Woken = mpsc::UnboundedReceiver<Who>;

pub struct Census {
    client: Client,
    /// Whether objects outside the PoolerCluster's own namespace may be counted.
    everywhere: bool,
    watches: Arc<Mutex<HashMap<Place, Watched>>>,
    wakes: Wakes,
}

/// A place that is watched, for whom, and what each of them was told last.
struct Watched {
    tally: Arc<Mutex<Tally>>,
    first: First,
    told: HashMap<Who, Vec<(Selector, Count)>>,
    task: JoinHandle<()>,
}

/// Whether something is known already, and until when that is waited for.
#[derive(Clone)]
struct First {
    settled: signal::Receiver<bool>,
    until: Instant,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Census {
    pub fn new(client: Client, everywhere: bool) -> (Census, Woken) {
        let (wakes, woken) = mpsc::unbounded();
        (Census { client, everywhere, watches: Arc::default(), wakes }, woken)
    }

    pub fn wakes(&self) -> Wakes {
        self.wakes.clone()
    }

    /// How many objects there are of each subject. Begins to watch them, and no longer watches
    /// what else the PoolerCluster counted. Waits a while for what was not watched before.
    pub async fn count(&self, who: &Who, subjects: &[Subject]) -> Vec<Count> {
        for First { mut settled, until } in self.watch(who, subjects) {
            // What is not known in time is answered so.
            drop(timeout_at(until, settled.wait_for(|settled| *settled)).await);
        }
        self.tell(who, subjects)
    }

    /// Ends the watches that only PoolerClusters needed that are gone.
    pub fn keep_only(&self, living: &[Arc<PoolerCluster>]) {
        let living: HashSet<Who> = living.iter().map(|it| ObjectRef::from_obj(&**it)).collect();
        let mut watches = lock(&self.watches);
        for watched in watches.values_mut() {
            watched.told.retain(|who, _| living.contains(who));
        }
        watches.retain(|_, watched| !watched.told.is_empty());
    }

    fn watch(&self, who: &Who, subjects: &[Subject]) -> Vec<First> {
        let mut watches = lock(&self.watches);
        for watched in watches.values_mut() {
            watched.told.remove(who);
        }
        let mut firsts = Vec::new();
        for (place, names) in places(subjects.iter().filter(|it| self.may(it, subjects).is_ok())) {
            let known = watches.get(place).is_some_and(|it| lock(&it.tally).keeps(&names));
            if !known && (watches.contains_key(place) || watches.len() < WATCHES) {
                let fresh = self.begin(place, names, watches.remove(place));
                watches.insert(place.clone(), fresh);
            }
            if let Some(watched) = watches.get_mut(place) {
                watched.told.insert(who.clone(), Vec::new());
                firsts.push(watched.first.clone());
            }
        }
        watches.retain(|_, watched| !watched.told.is_empty());
        firsts
    }

    /// The counts as they are now, noted as told.
    fn tell(&self, who: &Who, subjects: &[Subject]) -> Vec<Count> {
        let mut watches = lock(&self.watches);
        let answer = |subject: &Subject| {
            self.may(subject, subjects)?;
            let full = Uncounted::Full(WATCHES);
            let watched = watches.get_mut(&subject.place).ok_or(full)?;
            let count = lock(&watched.tally).count(&subject.selector);
            let told = watched.told.entry(who.clone()).or_default();
            told.push((subject.selector.clone(), count.clone()));
            count
        };
        subjects.iter().map(answer).collect()
    }

    /// Whether a subject may be counted beside the others of its PoolerCluster.
    fn may(&self, subject: &Subject, all: &[Subject]) -> Result<(), Uncounted> {
        if subject.place.namespace.is_none() && !self.everywhere {
            return Err(Uncounted::NotAllowed);
        }
        let kind = |it: &Subject| (it.place.api_version.clone(), it.place.kind.clone());
        let kinds: BTreeSet<_> = all.iter().map(kind).collect();
        let allowed = kinds.into_iter().take(KINDS).any(|it| it == kind(subject));
        if allowed { Ok(()) } else { Err(Uncounted::TooManyKinds(KINDS)) }
    }

    /// Watches a place, for those who did so before as well.
    fn begin(&self, place: &Place, names: BTreeSet<String>, before: Option<Watched>) -> Watched {
        let mut names = names;
        let mut told = HashMap::new();
        if let Some(mut before) = before {
            names.extend(lock(&before.tally).names().iter().cloned());
            told = std::mem::take(&mut before.told);
        }
        let tally = Arc::new(Mutex::new(Tally::new(names)));
        let (settle, settled) = signal::channel(false);
        let (watches, wakes) = (Arc::downgrade(&self.watches), self.wakes.clone());
        let here = place.clone();
        let tell = move || {
            settle.send_replace(true);
            wake(&watches, &here, &wakes);
        };
        let (client, place) = (self.client.clone(), place.clone());
        let watch = Watch { client, place, tally: Arc::clone(&tally) };
        let first = First { settled, until: Instant::now() + PATIENCE };
        Watched { tally, first, told, task: tokio::spawn(watch.keep(tell)) }
    }
}

/// Each place once, with the labels by which anything is selected there.
fn places<'a>(subjects: impl Iterator<Item = &'a Subject>) -> HashMap<&'a Place, BTreeSet<String>> {
    let mut places = HashMap::<_, BTreeSet<_>>::new();
    for subject in subjects {
        places.entry(&subject.place).or_default().extend(subject.labels());
    }
    places
}

/// Wakes everybody whose count in this place is not what he was told.
fn wake(
    watches: &Weak<Mutex<HashMap<Place, Watched>>>,
    place: &Place,
    wakes: &mpsc::UnboundedSender<Who>,
) {
    let Some(watches) = watches.upgrade() else { return };
    let watches = lock(&watches);
    let Some(Watched { tally, told, .. }) = watches.get(place) else { return };
    let tally = lock(tally);
    let is_news = |(selector, count): &(Selector, Count)| tally.count(selector) != *count;
    for (who, _) in told.iter().filter(|(_, told)| told.iter().any(is_news)) {
        // If nobody listens, the operator is ending.
        let _ = wakes.unbounded_send(who.clone());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
