//! What a reconcile came to, and when to look again. It writes nothing.

use std::time::Duration;

use poolwright_budget::Plan;
use poolwright_crds::ServerStatus;
use poolwright_settings::Problem;

use crate::{
    apply::Applied,
    books::{Progress, Reach, Shares},
    dereference::Dereferenced,
    live::Obstacle,
    push::Told,
    rights::Denied,
    roll::{Phase, Roll},
    upgrade::State,
    validate::Problems,
};

/// Looked at again though nothing was seen to change: at rest, under way, and blocked.
pub const AT_REST: Duration = Duration::from_secs(600);
const UNDER_WAY: Duration = Duration::from_secs(15);
/// At rest, where another server may be behind the same name at any moment, with another size, or
/// pods are not known to reach it.
const WATCHED: Duration = Duration::from_secs(60);
pub const BLOCKED: Duration = Duration::from_secs(30);
/// Once it was said that an upgrade begins, or written down what pods shall hold.
const AT_ONCE: Duration = Duration::from_millis(200);
/// While pods come to what they were granted.
const SOON: Duration = Duration::from_secs(1);
/// And while a pod has not taken its settings over, or something else takes its time.
const UNTOLD: Duration = Duration::from_secs(5);
/// What goes on for long is looked at less often, since watches tell of what changes.
const LONGEST: Duration = Duration::from_secs(300);

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
    pub reach: Reach,
    /// What is wrong with Secrets of which the last sound content stays in force.
    pub stale: Vec<Problem>,
    /// Whether the budget waits for the server to be seen.
    pub asks_server: bool,
    pub upgrade: State,
    /// The version whose template the pods have, and their image.
    pub version: String,
    pub image: String,
}

/// When to look again, though no watch tells of a change.
pub fn next_look(outcome: &Outcome, unready_for: Duration) -> Duration {
    let patiently = |at_first: Duration| (unready_for / 2).clamp(at_first, LONGEST);
    match outcome {
        Outcome::Applied(_, prepared, _, told) => {
            let is_untold = told.applied < told.pods || told.is_awaited;
            let is_asking = prepared.asks_server && prepared.server.is_none();
            let is_in_doubt = prepared.asks_server || prepared.reach != Reach::Works;
            match prepared.shares.progress {
                _ if prepared.upgrade == State::Turn => AT_ONCE,
                Progress::Moved => AT_ONCE,
                Progress::Awaited => (prepared.shares.unsettled_for / 2).clamp(SOON, UNDER_WAY),
                _ if is_untold || is_asking => UNTOLD,
                Progress::Lagging => (prepared.shares.unsettled_for / 2).clamp(UNTOLD, BLOCKED),
                Progress::Settled => match (&prepared.upgrade, &prepared.roll.phase) {
                    (State::Waiting { .. }, _) => UNDER_WAY,
                    (_, Phase::Settled) if is_in_doubt => WATCHED,
                    (_, Phase::Settled) => AT_REST,
                    _ => patiently(UNDER_WAY),
                },
            }
        }
        Outcome::Failed(..) => patiently(UNDER_WAY),
        Outcome::Blocked(_) | Outcome::Denied(..) => patiently(BLOCKED),
        Outcome::Paused => AT_REST,
    }
}

/// One that fails on its way keeps the turn: what broke it would break the next.
pub fn has_no_turn(outcome: &Outcome) -> bool {
    let Outcome::Applied(_, prepared, ..) = outcome else { return false };
    matches!(prepared.upgrade, State::Current | State::Available { .. })
}

/// How long the PoolerCluster has been said not to be ready.
pub fn unready_for(read: &Dereferenced) -> Duration {
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
}
