//! What an outcome means for each condition, after kstatus: Reconciling and Stalled are true
//! when something is unusual, the others when all is well.

use poolwright_budget::Plan;
use poolwright_crds::PoolerClusterStatus;
use poolwright_settings::Problem;

use super::conditions::Verdict;
use crate::{
    books::Reach,
    live::Obstacle,
    names,
    outcome::{Blocked, Outcome, Prepared},
    push::Told,
    rights::Denied,
    roll::Phase,
    upgrade::State,
    validate::Problems,
};

pub const READY: &str = "Ready";
pub const RECONCILING: &str = "Reconciling";
pub const STALLED: &str = "Stalled";
pub const BUDGET: &str = "BudgetSatisfied";
pub const TENANTS: &str = "TenantsResolved";
pub const CREDENTIALS: &str = "CredentialsReady";
pub const REPLICAS: &str = "ReplicasAccepted";
pub const CONFIG: &str = "ConfigApplied";
pub const UP_TO_DATE: &str = "UpToDate";
pub const BACKEND: &str = "BackendReachable";

/// The reason that stands while pods are replaced by those of another version; it is also how a
/// next leader knows whose turn it is.
pub const UPGRADING: &str = "Upgrading";

/// What is known only after something was applied.
const LATER: [&str; 7] = [BUDGET, TENANTS, CREDENTIALS, REPLICAS, CONFIG, UP_TO_DATE, BACKEND];

/// One verdict for each condition, in the order in which they are shown. `ready` pods serve. `None`
/// where nothing was looked at: see [`paused`].
pub fn of(outcome: &Outcome, last: &PoolerClusterStatus, ready: i32) -> Option<Vec<Verdict>> {
    Some(match outcome {
        Outcome::Paused => return None,
        Outcome::Applied(plan, prepared, _, told) => applied(plan, prepared, told),
        Outcome::Blocked(Blocked::Problems(problems)) => blocked(problems, last, ready),
        Outcome::Blocked(Blocked::Obstacle(obstacle)) => obstructed(obstacle, last),
        Outcome::Denied(right, told) => denied(right, told.as_ref(), last),
        Outcome::Failed(error, told) => failed(error, told.as_ref(), last),
    })
}

/// The one verdict on a PoolerCluster that is to be left alone.
pub fn paused() -> Verdict {
    let message = "spec.reconcile is paused: nothing is changed until it is active";
    Verdict::new(RECONCILING, false, "Paused", message)
}

fn applied(plan: &Plan, prepared: &Prepared, told: &Told) -> Vec<Verdict> {
    let Prepared { asked, wanted, roll, upgrade, version, image: _, shares, .. } = prepared;
    let mut progress = progress(&roll.phase, *wanted);
    for remark in [&shares.held_back, &shares.suspected].into_iter().flatten() {
        progress.2 += &format!("; {remark}");
    }
    let mut verdicts = match &roll.trouble {
        Some(trouble) => stopped(trouble, &progress.2),
        None => going(progress),
    };
    verdicts.extend([
        budget(plan, prepared),
        Verdict::new(TENANTS, true, "Counted", format!("{} tenants", plan.tenants)),
        credentials(&prepared.stale),
        replicas(*asked, *wanted),
        config(told),
        up_to_date(upgrade, version),
        backend(&prepared.reach),
    ]);
    verdicts
}

fn going((settled, reason, message): (bool, &'static str, String)) -> Vec<Verdict> {
    vec![
        Verdict::new(READY, settled, reason, message.clone()),
        Verdict::new(RECONCILING, !settled, reason, message),
        Verdict::new(STALLED, false, "Working", ""),
    ]
}

/// Nothing goes on until a person acts, or what the pod lacks comes by itself.
fn stopped(trouble: &str, so_far: &str) -> Vec<Verdict> {
    let (reason, message) =
        ("PodFailing", format!("{trouble}; {so_far}, and no other is replaced"));
    vec![
        Verdict::new(READY, false, reason, message.clone()),
        Verdict::new(RECONCILING, false, reason, ""),
        Verdict::new(STALLED, true, reason, message),
    ]
}

fn up_to_date(upgrade: &State, version: &str) -> Verdict {
    let not_yet = |reason, message| Verdict::new(UP_TO_DATE, false, reason, message);
    match upgrade {
        State::Current => {
            let message = format!("the pods are made from the template of version {version}");
            Verdict::new(UP_TO_DATE, true, "Current", message)
        }
        State::Available { now, then } => not_yet(
            "UpgradeAvailable",
            format!(
                "the pods are made from version {now}, this operator brings {then}: to replace \
                 them, set the annotation {} to another value, or spec.upgrade to automatic",
                names::UPGRADED_AT
            ),
        ),
        State::Waiting { behind } => {
            not_yet("WaitingForTurn", format!("{behind} is upgraded first"))
        }
        State::Wanted | State::Turn | State::Going => {
            not_yet(UPGRADING, "pods are replaced by those of this operator's version".into())
        }
    }
}

fn backend(reach: &Reach) -> Verdict {
    match reach {
        Reach::Works => Verdict::new(BACKEND, true, "Connected", ""),
        Reach::Fails(why) => Verdict::new(BACKEND, false, "ConnectFailed", why),
        Reach::Unknown => unknown(BACKEND, "NotTried", "no pod has tried to connect yet"),
    }
}

fn config(told: &Told) -> Verdict {
    let Told { pods, applied, rejected, silent, ahead: _, current, is_awaited } = told;
    let mut so_many = format!("in force in {applied} of {pods} ready pods");
    if *is_awaited {
        so_many += &format!("; {current} of them show a certificate of the new authority");
    }
    let why = |reasons: &[String]| format!("{so_many}; {}", reasons.join("\n"));
    match () {
        () if *pods == 0 => unknown(CONFIG, "NoPods", "no pod is ready to be told"),
        () if !rejected.is_empty() => Verdict::new(CONFIG, false, "Rejected", why(rejected)),
        () if !silent.is_empty() => Verdict::new(CONFIG, false, "Unreachable", why(silent)),
        () => Verdict::new(CONFIG, true, "Applied", so_many),
    }
}

fn progress(phase: &Phase, wanted: u32) -> (bool, &'static str, String) {
    match phase {
        Phase::Settled => (true, "AllPodsReady", format!("all {wanted} pods are ready")),
        Phase::Scaling { ready, wanted } => {
            (false, "Scaling", format!("{ready} of {wanted} pods are ready"))
        }
        Phase::Rolling { current, of } => {
            (false, "Rolling", format!("{current} of {of} pods have the new template"))
        }
    }
}

fn budget(plan: &Plan, prepared: &Prepared) -> Verdict {
    if prepared.asks_server && prepared.server.is_none() {
        let message = "no pod has seen the server yet: until then all pods together hold as many \
                       connections as maxReplicas";
        return unknown(BUDGET, "ServerNotSeen", message);
    }
    match plan.missing() {
        0 => Verdict::new(BUDGET, true, "WithinBudget", plan.formula.clone()),
        missing => {
            let message = format!(
                "{}: {missing} connections more are wanted than the server can give, so every \
                 share is smaller; lower sizing.connectionsPerTenant or raise server.budget",
                plan.formula
            );
            Verdict::new(BUDGET, false, "OverBudget", message)
        }
    }
}

fn replicas(asked: u32, wanted: u32) -> Verdict {
    if asked <= wanted {
        return Verdict::new(REPLICAS, true, "WithinMaximum", "");
    }
    let message = format!(
        "spec.replicas is {asked} and spec.maxReplicas is {wanted}: {wanted} pods run; raise \
         maxReplicas to let more run"
    );
    Verdict::new(REPLICAS, false, "Capped", message)
}

fn blocked(problems: &Problems, last: &PoolerClusterStatus, ready: i32) -> Vec<Verdict> {
    let Problems { spec, tenants, credentials } = problems;
    let unresolved = tenants.first().map_or("Counted", |it| it.reason);
    let tenants: Vec<_> = tenants.iter().map(|it| it.problem.clone()).collect();
    let (reason, first) = [("InvalidSpec", spec), (unresolved, &tenants)]
        .into_iter()
        .find(|(_, problems)| !problems.is_empty())
        .unwrap_or(("CredentialsMissing", credentials));
    let goes_on = match ready {
        0 => "; no pod runs until this is right".to_owned(),
        _ => format!("; {ready} ready pods go on with the last good settings"),
    };
    let message = lines(first) + &goes_on;
    vec![
        Verdict::new(READY, false, reason, message.clone()),
        Verdict::new(RECONCILING, false, reason, ""),
        Verdict::new(STALLED, true, reason, message),
        kept(BUDGET, last),
        found(TENANTS, "Counted", unresolved, &tenants),
        self::credentials(credentials),
        kept(REPLICAS, last),
        kept(CONFIG, last),
        kept(UP_TO_DATE, last),
        kept(BACKEND, last),
    ]
}

fn credentials(problems: &[Problem]) -> Verdict {
    found(CREDENTIALS, "Found", "CredentialsMissing", problems)
}

fn found(
    type_: &'static str,
    well: &'static str,
    wrong: &'static str,
    problems: &[Problem],
) -> Verdict {
    let reason = if problems.is_empty() { well } else { wrong };
    Verdict::new(type_, problems.is_empty(), reason, lines(problems))
}

fn obstructed(obstacle: &Obstacle, last: &PoolerClusterStatus) -> Vec<Verdict> {
    let (reason, message, passes) = match obstacle {
        Obstacle::Former(message) => ("WaitingForDeletion", message, true),
        Obstacle::Foreign(message) => ("NameTaken", message, false),
    };
    let mut verdicts = vec![
        Verdict::new(READY, false, reason, message),
        Verdict::new(RECONCILING, passes, reason, message),
        Verdict::new(STALLED, !passes, reason, message),
    ];
    verdicts.extend(LATER.map(|type_| kept(type_, last)));
    verdicts
}

fn failed(error: &str, told: Option<&Told>, last: &PoolerClusterStatus) -> Vec<Verdict> {
    let reason = "ApplyFailed";
    let mut verdicts = vec![
        Verdict::new(READY, false, reason, error),
        Verdict::new(RECONCILING, true, reason, error),
        Verdict::new(STALLED, false, "Working", ""),
    ];
    verdicts.extend(so_far(told, last));
    verdicts
}

/// It goes on by itself when somebody has added the rule, and not before.
fn denied(right: &Denied, told: Option<&Told>, last: &PoolerClusterStatus) -> Vec<Verdict> {
    let (reason, message) = ("RightMissing", right.advice());
    let mut verdicts = vec![
        Verdict::new(READY, false, reason, message.clone()),
        Verdict::new(RECONCILING, false, reason, ""),
        Verdict::new(STALLED, true, reason, message),
    ];
    verdicts.extend(so_far(told, last));
    verdicts
}

/// What a reconcile that ended early came to know.
fn so_far(told: Option<&Told>, last: &PoolerClusterStatus) -> [Verdict; LATER.len()] {
    LATER.map(|type_| match told {
        Some(told) if type_ == CONFIG => config(told),
        _ => kept(type_, last),
    })
}

/// What was said last stands, since nothing new is known.
fn kept(type_: &'static str, last: &PoolerClusterStatus) -> Verdict {
    let before = last.conditions.iter().find(|it| it.type_ == type_);
    before.map_or_else(
        || unknown(type_, "NotYetKnown", ""),
        |it| Verdict {
            type_,
            holds: match it.status.as_str() {
                "True" => Some(true),
                "False" => Some(false),
                _ => None,
            },
            reason: known(&it.reason),
            message: it.message.clone(),
        },
    )
}

fn unknown(type_: &'static str, reason: &'static str, message: &str) -> Verdict {
    Verdict { type_, holds: None, reason, message: message.to_owned() }
}

fn known(reason: &str) -> &'static str {
    let all = [
        "WithinBudget",
        "OverBudget",
        "ServerNotSeen",
        "Counted",
        "Counting",
        "TenantsUnknown",
        "KindNotServed",
        "KindNotWatchable",
        "NamespaceMismatch",
        "NamespacesNotAllowed",
        "RightMissing",
        "TooManyKinds",
        "TooManyWatches",
        "Found",
        "CredentialsMissing",
        "WithinMaximum",
        "Capped",
        "Applied",
        "Rejected",
        "Unreachable",
        "NoPods",
        "Current",
        "UpgradeAvailable",
        "WaitingForTurn",
        UPGRADING,
        "Connected",
        "ConnectFailed",
        "NotTried",
    ];
    all.into_iter().find(|it| *it == reason).unwrap_or("NotYetKnown")
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
