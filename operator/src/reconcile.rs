//! The steps in their order, for one PoolerCluster. It holds no rule of its own beyond: a
//! PoolerCluster that cannot be served is said so, and what runs for it goes on unchanged.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{Client, ResourceExt, runtime::controller::Action};
use poolwright_budget::Plan;
use poolwright_crds::{PoolerCluster, Reconcile};

use crate::{
    apply::{self, Applied, Writer},
    authority::{Certificates, certificates},
    build::{self, Objects, template},
    certificate::Identity,
    dereference::{self, Dereferenced, dereference},
    election::Term,
    home::Home,
    live::{Live, Obstacle},
    metrics::Metrics,
    names, pods,
    push::{Channel, Told},
    retry::{Retries, jittered},
    roll::{self, Phase, Roll},
    size::size,
    status,
    validate::{Problems, Validated, validate},
};

/// The longest that one reconcile may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Tries in a row where somebody changes objects between reading and writing them.
const TRIES: u32 = 3;
/// Looked at again though nothing was seen to change: at rest, under way, and blocked.
const AT_REST: Duration = Duration::from_secs(600);
const UNDER_WAY: Duration = Duration::from_secs(15);
const BLOCKED: Duration = Duration::from_secs(30);
/// And while a pod has not taken its settings over.
const UNTOLD: Duration = Duration::from_secs(5);

/// What every reconcile shares.
pub struct Context {
    pub client: Client,
    pub image: String,
    pub home: Home,
    pub metrics: Arc<Metrics>,
    term: Term,
    retries: Retries,
    /// Generations that pods were found ahead by, by uid of the PoolerCluster.
    ahead: Mutex<HashMap<String, u64>>,
    /// The certificate that every pod showed while an authority changes, in PEM, by uid.
    shown: Mutex<HashMap<String, String>>,
    reporter: status::Reporter,
}

impl Context {
    pub fn new(
        client: Client,
        image: String,
        home: Home,
        metrics: Arc<Metrics>,
        term: Term,
    ) -> Context {
        let reporter = status::Reporter::new(client.clone(), Arc::clone(&metrics), term.clone());
        let (retries, ahead, shown) = (Retries::default(), Mutex::default(), Mutex::default());
        Context { client, image, home, metrics, term, retries, ahead, shown, reporter }
    }

    fn ahead(&self, uid: &str) -> u64 {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.get(uid).copied().unwrap_or(0)
    }

    fn note_ahead(&self, uid: String, generation: Option<u64>) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        match generation {
            Some(generation) => drop(ahead.insert(uid, generation)),
            None => drop(ahead.remove(&uid)),
        }
    }

    fn shown(&self, uid: &str) -> Option<String> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    fn note_shown(&self, uid: String, certificate: Option<String>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match certificate {
            Some(certificate) => drop(shown.insert(uid, certificate)),
            None => drop(shown.remove(&uid)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    #[error(transparent)]
    Apply(#[from] apply::Error),
    #[error(transparent)]
    Status(#[from] status::Error),
    #[error("certificates of the control channel: {0}")]
    Certificates(#[from] rcgen::Error),
    #[error(transparent)]
    Push(#[from] crate::push::Error),
    #[error("the reconcile took longer than {} s", LIMIT.as_secs())]
    TooSlow,
}

/// What a reconcile came to, for the status.
pub enum Outcome {
    /// The user wants nothing changed.
    Paused,
    Blocked(Blocked),
    Applied(Plan, Prepared, Applied, Told),
    /// The API server refused or did not answer, and what pods had been told by then.
    Failed(String, Option<Told>),
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    Problems(Problems),
    Obstacle(Obstacle),
}

/// What was planned for the pods.
pub struct Prepared {
    /// Pods asked for.
    pub asked: u32,
    /// Pods that shall run: no more than maxReplicas.
    pub wanted: u32,
    pub roll: Roll,
}

pub async fn reconcile(
    cluster: Arc<PoolerCluster>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    context.metrics.reconciled();
    let name = cluster.name_any();
    let namespace = cluster.namespace().unwrap_or_default();
    let steps = async {
        for _ in 1..TRIES {
            match steps(&context, &namespace, &name).await {
                Err(Error::Apply(error)) if error.is_outdated() => {
                    tracing::info!(name, namespace, %error, "reading anew");
                }
                done => return done,
            }
        }
        steps(&context, &namespace, &name).await
    };
    let action = tokio::time::timeout(LIMIT, steps).await.map_err(|_| Error::TooSlow)??;
    context.retries.succeeded(&cluster.uid().unwrap_or_default());
    Ok(action)
}

/// Waits longer after each failure in a row of this PoolerCluster.
pub fn retry_later(cluster: Arc<PoolerCluster>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.failed();
    let wait = context.retries.failed(&cluster.uid().unwrap_or_default());
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    tracing::warn!(name, namespace, %error, wait_ms = wait.as_millis(), "reconcile failed");
    Action::requeue(wait)
}

async fn steps(context: &Context, namespace: &str, name: &str) -> Result<Action, Error> {
    let Some(read) = dereference(&context.client, namespace, name).await? else {
        return Ok(Action::await_change());
    };
    if read.cluster.spec.reconcile == Reconcile::Paused {
        context.reporter.report(&read, &Outcome::Paused).await?;
        return Ok(Action::requeue(jittered(AT_REST)));
    }
    let Context { client, metrics, term, .. } = context;
    let writer = Writer { client, namespace, metrics, term };
    let uid = read.cluster.uid().unwrap_or_default();
    let prepared = prepare(&read, &context.image, &context.home, context.ahead(&uid));
    let (outcome, failure) = match prepared {
        Err(blocked) => (Outcome::Blocked(blocked), None),
        Ok((checked, plan, prepared, objects)) => {
            let shown = context.shown(&uid);
            let (certificates, channel) = channel(&checked, &read, shown.as_deref())?;
            let mut told = None;
            let applied = async {
                apply::volumes(&writer, &certificates, &objects, &read.live).await?;
                let mut now = channel.push(&read.live.pods, &objects.push()).await;
                now.is_awaited = certificates.is_changing;
                context.note_ahead(uid.clone(), now.ahead);
                context.note_shown(uid, current(&certificates, &now, &read.live));
                told = Some(now);
                let delete = prepared.roll.delete.as_ref();
                apply::apply(&writer, objects, &read.live, delete).await
            };
            match applied.await {
                Ok(applied) => {
                    let told = told.unwrap_or_default();
                    (Outcome::Applied(plan, prepared, applied, told), None)
                }
                Err(error) if error.is_outdated() => return Err(error.into()),
                Err(error) => (Outcome::Failed(error.to_string(), told), Some(error)),
            }
        }
    };
    context.reporter.report(&read, &outcome).await?;
    failure.map_or_else(|| Ok(Action::requeue(jittered(next_look(&outcome)))), |it| Err(it.into()))
}

/// The pure part: from what was read to what shall be.
fn prepare(
    read: &Dereferenced,
    image: &str,
    home: &Home,
    ahead: u64,
) -> Result<(Validated, Plan, Prepared, Objects), Blocked> {
    let uid = read.cluster.uid().unwrap_or_default();
    if let Some(obstacle) = read.live.obstacle(&uid) {
        return Err(Blocked::Obstacle(obstacle));
    }
    let checked = validate(read, image)?;
    let plan = size(&checked, &read.live, last_shares(&read.cluster))?;
    let wanted = checked.replicas.min(checked.max_replicas);
    let template = template::template(&checked);
    let roll = roll::plan(&read.live, &template.hash, wanted, checked.max_replicas);
    let files = build::settings::next(&checked, &plan, &read.live, ahead)?;
    let objects = build::objects(&checked, files, template, home, roll.replicas, wanted);
    let prepared = Prepared { asked: checked.replicas, wanted, roll };
    Ok((checked, plan, prepared, objects))
}

/// The certificates of the control channel as they shall be, and the way to the pods.
fn channel(
    checked: &Validated,
    read: &Dereferenced,
    shown: Option<&str>,
) -> Result<(Certificates, Channel), Error> {
    let made = certificates(checked, &read.live, shown, read.read_at)?;
    let name = names::server_name(&checked.name, &checked.namespace);
    let pods = Identity::of(&made.control).certificate;
    let channel = Channel::new(&made.operator, name, &pods)?;
    Ok((made, channel))
}

/// The pods' certificate, if an authority changes and every pod has shown it.
fn current(certificates: &Certificates, told: &Told, live: &Live) -> Option<String> {
    let running = live.pods.iter().filter(|pod| !pods::is_ending(pod)).count();
    let is_last = certificates.is_changing && told.current == running;
    is_last.then(|| Identity::of(&certificates.control).certificate)
}

fn last_shares(cluster: &PoolerCluster) -> u32 {
    let sizing = cluster.status.as_ref().and_then(|status| status.sizing.as_ref());
    sizing.and_then(|sizing| u32::try_from(sizing.shares).ok()).unwrap_or(0)
}

fn next_look(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Applied(_, _, _, told) if told.applied < told.pods || told.is_awaited => UNTOLD,
        Outcome::Applied(_, prepared, ..) if prepared.roll.phase == Phase::Settled => AT_REST,
        Outcome::Applied(..) | Outcome::Failed(..) => UNDER_WAY,
        Outcome::Blocked(_) => BLOCKED,
        Outcome::Paused => AT_REST,
    }
}

impl From<Problems> for Blocked {
    fn from(problems: Problems) -> Blocked {
        Blocked::Problems(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_first_look_prepares_every_object() {
        let (_, plan, prepared, objects) =
            prepare(&testing::dereferenced(), "poolwright:1", &testing::home(), 0).unwrap();
        assert_eq!((plan.per_pod, prepared.asked, prepared.wanted), (16, 2, 2));
        assert!(objects.disruption_budget.is_some());
    }

    #[test]
    fn replicas_beyond_the_maximum_are_capped() {
        let mut read = testing::dereferenced();
        read.cluster.spec.replicas = 7;
        let (_, _, prepared, objects) =
            prepare(&read, "poolwright:1", &testing::home(), 0).unwrap();
        assert_eq!((prepared.asked, prepared.wanted), (7, 3));
        assert_eq!(objects.stateful_set.spec.unwrap().replicas, Some(3));
    }

    #[test]
    fn a_missing_secret_writes_nothing() {
        let mut read = testing::dereferenced();
        read.secrets.insert("ws-users".into(), None);
        assert!(matches!(
            prepare(&read, "poolwright:1", &testing::home(), 0),
            Err(Blocked::Problems(_))
        ));
    }
}
