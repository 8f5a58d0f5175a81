//! The steps in their order, for one PoolerCluster. It holds no rule of its own beyond: a
//! PoolerCluster that cannot be served is said so, and what runs for it goes on unchanged.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::{Client, ResourceExt, runtime::controller::Action};
use poolwright_budget::{Ledger, Plan};
use poolwright_crds::{PoolerCluster, Reconcile, ServerStatus};

use crate::{
    apply::{self, Applied, Writer},
    authority::{Certificates, certificates},
    books::{self, Books, Wish},
    build::{self, Extent, Objects, Template},
    census::Census,
    certificate::Identity,
    claim::{self, Claim},
    conflict,
    departures::Departures,
    dereference::{self, Dereferenced, dereference},
    election::Term,
    home::Home,
    live::{Live, Obstacle},
    metrics::Metrics,
    names, pods,
    push::{Channel, Told},
    retry::{Retries, jittered},
    rights::Denied,
    roll::{self, Phase, Roll},
    size::size,
    status,
    turns::Turns,
    upgrade::{self, Chosen, Made, State},
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
/// Once it was said that an upgrade begins, or written down what pods shall hold.
const AT_ONCE: Duration = Duration::from_millis(200);
/// While pods come to what they were granted.
const SOON: Duration = Duration::from_secs(1);
/// And while a pod has not taken its settings over, or something else takes its time.
const UNTOLD: Duration = Duration::from_secs(5);
/// What goes on for long is looked at less often, since watches tell of what changes.
const LONGEST: Duration = Duration::from_secs(300);

/// A server whose size is not declared is looked at once in this time at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What every reconcile shares.
pub struct Context {
    pub client: Client,
    pub image: String,
    pub claim: Claim,
    pub metrics: Arc<Metrics>,
    pub census: Census,
    pub departures: Arc<Departures>,
    term: Term,
    turns: Turns,
    retries: Retries,
    /// Generations that pods were found ahead by, by uid of the PoolerCluster.
    ahead: Mutex<HashMap<String, u64>>,
    /// The certificate that every pod showed while an authority changes, in PEM, by uid.
    shown: Mutex<HashMap<String, String>>,
    /// When a server was looked at, by uid.
    looked: Mutex<HashMap<String, Instant>>,
    reporter: status::Reporter,
}

impl Context {
    pub fn new(
        client: Client,
        image: String,
        claim: Claim,
        metrics: Arc<Metrics>,
        term: Term,
        turns: Turns,
        census: Census,
    ) -> Context {
        let reporter = status::Reporter::new(client.clone(), Arc::clone(&metrics), term.clone());
        let (retries, ahead, shown) = (Retries::default(), Mutex::default(), Mutex::default());
        Context {
            client,
            image,
            claim,
            metrics,
            census,
            departures: Arc::default(),
            term,
            turns,
            retries,
            ahead,
            shown,
            looked: Mutex::default(),
            reporter,
        }
    }

    /// An upgrade that is wanted waits for the others before it.
    async fn take_turn(&self, cluster: &PoolerCluster, upgrade: &mut State) -> Result<(), Error> {
        if *upgrade == State::Wanted {
            let before = self.turns.take(cluster).await.map_err(Error::Turn)?;
            *upgrade = before.map_or(State::Turn, |behind| State::Waiting { behind });
        }
        Ok(())
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

    /// Whether the server of a PoolerCluster was not looked at lately.
    fn may_look(&self, uid: &str) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        looked.retain(|_, since| now.duration_since(*since) < LOOK_EVERY);
        !looked.contains_key(uid)
    }

    fn note_look(&self, uid: String) {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, Instant::now());
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
    #[error("list PoolerClusters, to upgrade one at a time: {0}")]
    Turn(#[source] kube::Error),
    #[error("the claim of the namespace: {0}")]
    Claim(#[from] kube::Error),
    #[error("the reconcile took longer than {} s", LIMIT.as_secs())]
    TooSlow,
}

impl Error {
    /// The right that was missing, where no condition could say so.
    fn denied(&self) -> Option<Denied> {
        match self {
            Error::Dereference(error) => error.denied(),
            Error::Status(error) => error.denied(),
            Error::Turn(error) | Error::Claim(error) => Denied::of(error),
            _ => None,
        }
    }
}

/// What a reconcile came to, for the status.
pub enum Outcome {
    /// The user wants nothing changed.
    Paused,
    Blocked(Blocked),
    Applied(Plan, Box<Prepared>, Applied, Told),
    /// The operator lacks a right, and what pods had been told by then.
    Denied(Denied, Option<Told>),
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
    pub shares: Shares,
    /// The server as it was seen; `None`: never, or nobody needs to know.
    pub server: Option<ServerStatus>,
    /// Whether the budget waits for the server to be seen.
    pub asks_server: bool,
    pub upgrade: State,
    /// The version whose template the pods have, and their image.
    pub version: String,
    pub image: String,
}

/// How far the pods' shares are from what they shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Connections with which a pod begins.
    pub floor: u32,
    /// Connections that every pod may hold.
    pub per_pod: u32,
    /// Why fewer pods may run for now than shall.
    pub held_back: Option<String>,
    pub progress: Progress,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Settled,
    /// Something was written down that is to be acted on.
    Moved,
    /// Pods have yet to close connections beyond what they were granted.
    Awaited,
    /// Something takes its time: a pod's start, a volume, the proof that a process is gone.
    Lagging,
}

pub async fn reconcile(
    cluster: Arc<PoolerCluster>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    context.metrics.reconciled();
    let name = cluster.name_any();
    let namespace = cluster.namespace().unwrap_or_default();
    let steps = async {
        if let Some(other) = context.claim.exempt(&context.client, &namespace).await? {
            return leave_to(&other, &context, &cluster, &namespace).await;
        }
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
    let start = Instant::now();
    let ended = tokio::time::timeout(LIMIT, steps).await;
    context.metrics.took(start.elapsed());
    let action = ended.map_err(|_| Error::TooSlow)??;
    context.retries.succeeded(&cluster.uid().unwrap_or_default());
    Ok(action)
}

/// Another install has claimed the namespace.
async fn leave_to(
    other: &str,
    context: &Context,
    cluster: &PoolerCluster,
    namespace: &str,
) -> Result<Action, Error> {
    let lease = format!("Lease {namespace}/{}", claim::NAMESPACE_CLAIM);
    conflict::say(context, cluster, other, &lease).await?;
    Ok(Action::requeue(jittered(BLOCKED)))
}

/// Waits longer after each failure in a row of this PoolerCluster.
pub fn retry_later(cluster: Arc<PoolerCluster>, error: &Error, context: Arc<Context>) -> Action {
    context.metrics.failed();
    let wait = context.retries.failed(&cluster.uid().unwrap_or_default());
    let (name, namespace) = (cluster.name_any(), cluster.namespace());
    let advice = error.denied().map(|denied| denied.advice());
    tracing::warn!(name, namespace, %error, advice, wait_ms = wait.as_millis(), "reconcile failed");
    Action::requeue(wait)
}

async fn steps(context: &Context, namespace: &str, name: &str) -> Result<Action, Error> {
    let read = match dereference(&context.client, &context.census, namespace, name).await {
        Ok(Some(read)) => read,
        Ok(None) => {
            context.turns.give_back(namespace, name).await;
            return Ok(Action::await_change());
        }
        Err(error) => return unread(context, error).await,
    };
    if let Some(said) = &read.conflict {
        conflict::withdraw(context, &read.cluster, said).await?;
    }
    if read.cluster.spec.reconcile == Reconcile::Paused {
        context.reporter.report(&read, &Outcome::Paused).await?;
        return Ok(Action::requeue(jittered(AT_REST)));
    }
    let (outcome, failure) = match prepare(&read, &context.image) {
        Err(blocked) => (Outcome::Blocked(blocked), None),
        Ok(ready) => match act(context, &read, ready).await? {
            Some(done) => done,
            None => {
                tracing::info!(name, namespace, "nothing is done in a namespace that ends");
                return Ok(Action::requeue(jittered(BLOCKED)));
            }
        },
    };
    context.reporter.report(&read, &outcome).await?;
    if has_no_turn(&outcome) {
        context.turns.give_back(namespace, name).await;
    }
    let next = next_look(&outcome, unready_for(&read));
    failure.map_or_else(|| Ok(Action::requeue(jittered(next))), |it| Err(it.into()))
}

/// What was planned, carried out as far as that goes. `None`: the namespace ends.
async fn act(
    context: &Context,
    read: &Dereferenced,
    ready: Ready,
) -> Result<Option<(Outcome, Option<apply::Error>)>, Error> {
    let Ready { checked, plan, template, mut prepared } = ready;
    context.take_turn(&read.cluster, &mut prepared.upgrade).await?;
    let uid = read.cluster.uid().unwrap_or_default();
    let shown = context.shown(&uid);
    let (certificates, channel) = channel(&checked, read, shown.as_deref())?;
    let Context { client, metrics, term, .. } = context;
    let writer = Writer { client, namespace: &checked.namespace, metrics, term };
    let mut told = None;
    let carried_out = async {
        let mut books = Books::open(&read.live, wish(&plan, &prepared.roll))?;
        let look = checked.asks_server && context.may_look(&uid);
        books.survey(&channel, look, &context.departures).await;
        if let Some(server) = books.server() {
            context.note_look(uid.clone());
            prepared.server = Some(server);
        }
        books.post(&writer, &checked).await?;
        let around = (&context.claim.home, context.ahead(&uid));
        let ready = (&checked, &plan, template);
        let objects = objects(read, ready, &prepared, &books.ledger(), around)?;
        apply::volumes(&writer, &certificates, &objects, &read.live).await?;
        let mut now = channel.push(&read.live.pods, &objects.push()).await;
        now.is_awaited = certificates.is_changing;
        context.note_ahead(uid.clone(), now.ahead);
        context.note_shown(uid.clone(), current(&certificates, &now, &read.live));
        told = Some(now);
        let delete = prepared.roll.delete.as_ref();
        let applied = apply::apply(&writer, objects, &read.live, delete).await?;
        books.grant(&channel).await;
        let has_moved = books.post(&writer, &checked).await?;
        prepared.shares = books.shares(has_moved);
        Ok(applied)
    };
    match carried_out.await {
        Ok(applied) => {
            let told = told.unwrap_or_default();
            Ok(Some((Outcome::Applied(plan, Box::new(prepared), applied, told), None)))
        }
        Err(Stop::Problems(problems)) => Ok(Some((Outcome::Blocked(problems.into()), None))),
        Err(Stop::Apply(error)) if error.is_outdated() => Err(error.into()),
        Err(Stop::Apply(error)) if error.is_of_an_ending_namespace() => Ok(None),
        Err(Stop::Apply(error)) => Ok(Some(match error.denied() {
            Some(denied) => (Outcome::Denied(denied, told), None),
            None => (Outcome::Failed(error.to_string(), told), Some(error)),
        })),
    }
}

/// What ends the acting early.
enum Stop {
    Problems(Problems),
    Apply(apply::Error),
}

impl From<Problems> for Stop {
    fn from(problems: Problems) -> Stop {
        Stop::Problems(problems)
    }
}

impl From<apply::Error> for Stop {
    fn from(error: apply::Error) -> Stop {
        Stop::Apply(error)
    }
}

/// A missing right is said where it was missed, and looked for again; all else is tried again.
async fn unread(context: &Context, error: dereference::Error) -> Result<Action, Error> {
    let Some((cluster, denied)) = error.cluster.as_deref().zip(error.denied()) else {
        return Err(error.into());
    };
    context.reporter.report_unread(cluster, denied).await?;
    Ok(Action::requeue(jittered(BLOCKED)))
}

/// What is planned and can be carried out.
struct Ready {
    checked: Validated,
    plan: Plan,
    template: Template,
    prepared: Prepared,
}

/// The first pure part: from what was read to what the pods shall be.
fn prepare(read: &Dereferenced, image: &str) -> Result<Ready, Blocked> {
    let uid = read.cluster.uid().unwrap_or_default();
    if let Some(obstacle) = read.live.obstacle(&uid) {
        return Err(Blocked::Obstacle(obstacle));
    }
    let checked = validate(read, image)?;
    let plan = size(&checked, &read.live, books::coming(&read.live)?)?;
    let wanted = checked.replicas.min(checked.max_replicas);
    let (own, kept) = (Made::own(&read.cluster, image), Made::kept(&read.live, &checked.name));
    let begun = status::upgrading(&read.cluster);
    let Chosen { template, state } = upgrade::choose(&checked, kept, own, begun);
    let roll = roll::plan(&read.live, &template.hash, wanted, checked.max_replicas);
    let prepared = Prepared {
        asked: checked.replicas,
        wanted,
        upgrade: upgrade::after(state, begun, &roll.phase),
        version: template.made.version.clone(),
        image: template.made.image(&checked).to_owned(),
        roll,
        shares: Shares::default(),
        server: read.cluster.status.as_ref().and_then(|status| status.server),
        asks_server: checked.asks_server,
    };
    Ok(Ready { checked, plan, template, prepared })
}

fn wish(plan: &Plan, roll: &Roll) -> Wish {
    Wish { total: plan.granted, floor: plan.per_pod, replicas: roll.replicas }
}

/// The second: from the ledger to what shall be applied. No pod begins with more than that allows,
/// and no more pods run.
fn objects(
    read: &Dereferenced,
    ready: (&Validated, &Plan, Template),
    prepared: &Prepared,
    ledger: &Ledger,
    (home, ahead): (&Home, u64),
) -> Result<Objects, Problems> {
    let (checked, plan, template) = ready;
    let plan = Plan { per_pod: plan.per_pod.min(ledger.floor), ..plan.clone() };
    let language = template.made.read_by_all(checked, &read.live);
    let files = build::settings::next(checked, &plan, &read.live, ahead, language)?;
    let extent = Extent {
        wanted: prepared.wanted,
        replicas: prepared.roll.replicas.min(ledger.replicas),
        fence: ledger.fence,
    };
    Ok(build::objects(checked, files, template, home, extent))
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

fn next_look(outcome: &Outcome, unready_for: Duration) -> Duration {
    let patiently = |at_first: Duration| (unready_for / 2).clamp(at_first, LONGEST);
    match outcome {
        Outcome::Applied(_, prepared, ..) if prepared.upgrade == State::Turn => AT_ONCE,
        Outcome::Applied(_, _, _, told) if told.applied < told.pods || told.is_awaited => UNTOLD,
        Outcome::Applied(_, prepared, ..) if prepared.shares.progress == Progress::Moved => AT_ONCE,
        Outcome::Applied(_, prepared, ..) if prepared.shares.progress == Progress::Awaited => SOON,
        Outcome::Applied(_, prepared, ..) if prepared.shares.progress == Progress::Lagging => {
            patiently(UNTOLD)
        }
        Outcome::Applied(_, prepared, ..) if prepared.asks_server && prepared.server.is_none() => {
            UNTOLD
        }
        Outcome::Applied(_, prepared, ..) if waits(prepared) => UNDER_WAY,
        Outcome::Applied(_, prepared, ..) if prepared.roll.phase == Phase::Settled => AT_REST,
        Outcome::Applied(..) | Outcome::Failed(..) => patiently(UNDER_WAY),
        Outcome::Blocked(_) | Outcome::Denied(..) => patiently(BLOCKED),
        Outcome::Paused => AT_REST,
    }
}

fn waits(prepared: &Prepared) -> bool {
    matches!(prepared.upgrade, State::Waiting { .. })
}

/// One that fails on its way keeps the turn: what broke it would break the next.
fn has_no_turn(outcome: &Outcome) -> bool {
    let Outcome::Applied(_, prepared, ..) = outcome else { return false };
    matches!(prepared.upgrade, State::Current | State::Available { .. })
}

/// How long the PoolerCluster has been said not to be ready.
fn unready_for(read: &Dereferenced) -> Duration {
    let conditions = read.cluster.status.iter().flat_map(|status| &status.conditions);
    let unready = conditions.filter(|it| it.type_ == "Ready" && it.status == "False");
    let since = unready.map(|it| it.last_transition_time.0).next();
    let waited = since.map(|since| read.read_at.duration_since(since));
    waited.and_then(|waited| waited.try_into().ok()).unwrap_or_default()
}

impl From<Problems> for Blocked {
    fn from(problems: Problems) -> Blocked {
        Blocked::Problems(problems)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    fn built(read: &Dereferenced) -> (Plan, Prepared, Objects) {
        let Ready { checked, plan, template, prepared } = prepare(read, "poolwright:1").unwrap();
        let Wish { floor, replicas, .. } = wish(&plan, &prepared.roll);
        let ledger = Ledger { floor, replicas, ..Ledger::default() };
        let (ready, around) = ((&checked, &plan, template), (&testing::home(), 0));
        let objects = objects(read, ready, &prepared, &ledger, around).unwrap();
        (plan, prepared, objects)
    }

    #[test]
    fn a_first_look_prepares_every_object() {
        let (plan, prepared, objects) = built(&testing::dereferenced());
        assert_eq!((plan.per_pod, prepared.asked, prepared.wanted), (16, 2, 2));
        assert!(objects.disruption_budget.is_some());
    }

    #[test]
    fn replicas_beyond_the_maximum_are_capped() {
        let mut read = testing::dereferenced();
        read.cluster.spec.replicas = 7;
        let (_, prepared, objects) = built(&read);
        assert_eq!((prepared.asked, prepared.wanted), (7, 3));
        assert_eq!(objects.stateful_set.spec.unwrap().replicas, Some(3));
    }

    #[test]
    fn the_ledger_holds_pods_and_their_floor_back() {
        let read = testing::dereferenced();
        let Ready { checked, plan, template, prepared } = prepare(&read, "poolwright:1").unwrap();
        let ledger = Ledger { floor: 9, replicas: 1, fence: 4, ..Ledger::default() };
        let (ready, around) = ((&checked, &plan, template), (&testing::home(), 0));
        let objects = objects(&read, ready, &prepared, &ledger, around).unwrap();
        let fences = (names::fence(&objects.stateful_set), names::fence(&objects.settings));
        assert_eq!(fences, (4, 4));
        assert_eq!(objects.stateful_set.spec.unwrap().replicas, Some(1));
        let settings = &objects.settings.data.unwrap()["settings.yaml"];
        assert_eq!(poolwright_settings::server_caps(settings)["main"], 9);
    }

    #[test]
    fn what_is_not_ready_for_long_is_looked_at_less_often() {
        let mut read = testing::dereferenced();
        let blocked = Outcome::Blocked(Problems::default().into());
        assert_eq!(next_look(&blocked, unready_for(&read)), BLOCKED);
        for (minutes, expect) in [(0, BLOCKED), (4, Duration::from_secs(120)), (60, LONGEST)] {
            let before = testing::now() - Duration::from_secs(60 * minutes);
            let verdict = json!({
                "type": "Ready", "status": "False", "reason": "Scaling", "message": "",
                "lastTransitionTime": before.to_string(),
            });
            let status = json!({"conditions": [verdict]});
            read.cluster.status = Some(serde_json::from_value(status).unwrap());
            assert_eq!(next_look(&blocked, unready_for(&read)), expect);
        }
    }

    #[test]
    fn a_missing_secret_writes_nothing() {
        let mut read = testing::dereferenced();
        read.secrets.insert("ws-users".into(), None);
        assert!(matches!(prepare(&read, "poolwright:1"), Err(Blocked::Problems(_))));
    }
}
