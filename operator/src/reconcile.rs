//! The steps in their order, for one PoolerCluster. It holds no rule of its own beyond: a
//! PoolerCluster that cannot be served is said so, and what runs for it goes on unchanged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{
    Client, ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};
use poolwright_budget::{Ledger, Plan};
use poolwright_crds::{PoolerCluster, Reconcile, ServerStatus};

use crate::{
    apply::{self, Writer},
    authority::{Certificates, certificates},
    backends::{Asker, Backends},
    books::{self, Books, Progress, Reach, Shares, Wish},
    build::{self, Extent, Objects, Template},
    census::Census,
    certificate::Identity,
    claim::{self, Claim},
    conflict,
    departures::Departures,
    dereference::{self, Dereferenced, dereference},
    election::Term,
    home::Home,
    live::Live,
    memory::Memory,
    metrics::Metrics,
    names,
    outcome::{AT_REST, BLOCKED, Blocked, Outcome, Prepared, has_no_turn, next_look, unready_for},
    pods,
    push::{Channel, Told},
    retry::{Retries, jittered},
    rights::Denied,
    roll::{self, Roll},
    size::size,
    status,
    turns::Turns,
    upgrade::{self, Chosen, Languages, Made, State},
    validate::{Problems, Validated, validate},
};

/// The longest that one reconcile may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Tries in a row where somebody changes objects between reading and writing them.
const TRIES: u32 = 3;
/// What every reconcile shares.
pub struct Context {
    pub client: Client,
    pub image: String,
    pub claim: Claim,
    pub metrics: Arc<Metrics>,
    pub census: Census,
    pub departures: Arc<Departures>,
    pub backends: Backends,
    term: Term,
    pub turns: Turns,
    retries: Retries,
    memory: Memory,
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
        Context {
            client,
            image,
            claim,
            metrics,
            backends: Backends::new(census.wakes()),
            census,
            departures: Arc::default(),
            term,
            turns,
            retries: Retries::default(),
            memory: Memory::default(),
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
    context.turns.give_back(namespace, &cluster.name_any()).await;
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
        context.turns.give_back(namespace, name).await;
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
    let Ready { checked, plan, template, ledger, mut prepared } = ready;
    context.take_turn(&read.cluster, &mut prepared.upgrade).await?;
    let uid = read.cluster.uid().unwrap_or_default();
    let shown = context.memory.shown(&uid);
    let (certificates, channel) = channel(&checked, read, shown.as_deref())?;
    let Context { client, metrics, term, .. } = context;
    let writer = Writer { client, namespace: &checked.namespace, metrics, term };
    let mut told = None;
    let carried_out = async {
        let mut books = Books::open(&read.live, ledger, wish(&plan, &prepared.roll));
        let is_unseen = checked.asks_server && prepared.server.is_none();
        survey(context, read, &checked, &channel, &mut books, &mut prepared).await;
        books.post(&writer, &checked).await?;
        if is_unseen {
            // Pods go to a server that may be smaller with no more than what is safe there.
            books.grant(&channel).await;
        }
        let languages = upgrade::languages(&read.live, books.languages());
        let around = (&context.claim.home, context.memory.ahead(&uid), &languages);
        let ready = (&checked, &plan, template);
        let objects = objects(read, ready, &prepared, &books.ledger(), around)?;
        apply::volumes(&writer, &certificates, &objects, &read.live).await?;
        let mut now = channel.push(&read.live.pods, &objects.push()).await;
        now.is_awaited = certificates.is_changing;
        context.memory.note_ahead(uid.clone(), now.ahead);
        context.memory.note_shown(uid.clone(), current(&certificates, &now, &read.live));
        told = Some(now);
        let delete = prepared.roll.delete.as_ref();
        let applied = apply::apply(&writer, objects, &read.live, delete).await?;
        books.grant(&channel).await;
        let has_moved = books.post(&writer, &checked).await?;
        prepared.shares = books.shares(has_moved);
        let is_settled = prepared.shares.progress == Progress::Settled;
        prepared.shares.unsettled_for = context.memory.unsettled_for(uid.clone(), is_settled);
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

/// Has the pods report, and takes in what they say of the server.
async fn survey(
    context: &Context,
    read: &Dereferenced,
    checked: &Validated,
    channel: &Channel,
    books: &mut Books<'_>,
    prepared: &mut Prepared,
) {
    let uid = read.cluster.uid().unwrap_or_default();
    let (endpoint, generation) = (checked.endpoint(), read.cluster.metadata.generation);
    let has_news = checked.asks_server || status::backend_is_untold(&read.cluster);
    let may_look = read.live.pods.iter().any(pods::is_ready);
    let look = has_news && may_look && context.memory.may_look(&uid, generation);
    let owner = ObjectRef::from_obj(&read.cluster);
    let asker = Asker { uid: uid.clone(), owner, address: endpoint.clone() };
    books.survey(channel, look, &asker, (&context.departures, &context.backends)).await;
    let seen = books.server().filter(|it| it.is_at(&endpoint));
    if look {
        context.memory.note_look(uid, generation, seen.is_some());
    }
    prepared.reach = books.reach(&endpoint, prepared.server.is_some());
    if seen.is_some() {
        prepared.server = seen;
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
    ledger: Option<Ledger>,
    prepared: Prepared,
}

/// The first pure part: from what was read to what the pods shall be.
fn prepare(read: &Dereferenced, image: &str) -> Result<Ready, Blocked> {
    let uid = read.cluster.uid().unwrap_or_default();
    if let Some(obstacle) = read.live.obstacle(&uid) {
        return Err(Blocked::Obstacle(obstacle));
    }
    let checked = validate(read, image)?;
    let ledger = books::read(&read.live)?;
    let coming = ledger.as_ref().map_or(0, |ledger| ledger.replicas);
    let plan = size(&checked, &read.live, coming)?;
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
        server: seen_server(&read.cluster, &checked),
        reach: Reach::default(),
        stale: checked.stale.clone(),
        asks_server: checked.asks_server,
    };
    Ok(Ready { checked, plan, template, ledger, prepared })
}

/// The server as it was seen last, if that was the one that is wanted now.
fn seen_server(cluster: &PoolerCluster, checked: &Validated) -> Option<ServerStatus> {
    let seen = cluster.status.as_ref()?.server.clone()?;
    seen.is_at(&checked.endpoint()).then_some(seen)
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
    (home, ahead, languages): (&Home, u64, &Languages),
) -> Result<Objects, Problems> {
    let (checked, plan, template) = ready;
    let plan = Plan { per_pod: plan.per_pod.min(ledger.floor), ..plan.clone() };
    let language = template.made.read_by_all(checked, &read.live, languages);
    let files = build::settings::next(checked, &plan, &read.live, ahead, language)?;
    let extent = Extent {
        wanted: prepared.wanted,
        replicas: prepared.roll.replicas.min(ledger.replicas),
        fence: ledger.fence,
    };
    Ok(build::objects(checked, files, template, (home, languages), extent))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn built(read: &Dereferenced) -> (Plan, Prepared, Objects) {
        let Ready { checked, plan, template, prepared, .. } =
            prepare(read, "poolwright:1").unwrap();
        let Wish { floor, replicas, .. } = wish(&plan, &prepared.roll);
        let ledger = Ledger { floor, replicas, ..Ledger::default() };
        let (ready, around) =
            ((&checked, &plan, template), (&testing::home(), 0, &Languages::new()));
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
        let Ready { checked, plan, template, prepared, .. } =
            prepare(&read, "poolwright:1").unwrap();
        let ledger = Ledger { floor: 9, replicas: 1, fence: 4, ..Ledger::default() };
        let (ready, around) =
            ((&checked, &plan, template), (&testing::home(), 0, &Languages::new()));
        let objects = objects(&read, ready, &prepared, &ledger, around).unwrap();
        let fences = (names::fence(&objects.stateful_set), names::fence(&objects.settings));
        assert_eq!(fences, (4, 4));
        assert_eq!(objects.stateful_set.spec.unwrap().replicas, Some(1));
        let settings = &objects.settings.data.unwrap()["settings.yaml"];
        assert_eq!(poolwright_settings::server_caps(settings)["main"], 9);
    }

    #[test]
    fn a_missing_secret_writes_nothing() {
        let mut read = testing::dereferenced();
        read.secrets.insert("ws-users".into(), None);
        assert!(matches!(prepare(&read, "poolwright:1"), Err(Blocked::Problems(_))));
    }
}
