//! Events for what turned: a condition that changed its status, a pod that was replaced.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::runtime::events::{Event, EventType};
use poolwright_crds::PoolerClusterStatus;

use super::verdicts::{BUDGET, CONFIG, CREDENTIALS, READY, REPLICAS, STALLED, TENANTS, UP_TO_DATE};
use crate::outcome::Outcome;

/// The API's limit for a note, in bytes.
const LONGEST: usize = 1000;

/// Conditions that are worth an Event, and the status that is well.
const TOLD: [(&str, &str); 6] = [
    (STALLED, "False"),
    (BUDGET, "True"),
    (TENANTS, "True"),
    (CREDENTIALS, "True"),
    (REPLICAS, "True"),
    (CONFIG, "True"),
];

/// What to tell after the status went from `last` to `now`.
pub fn of(
    last: Option<&PoolerClusterStatus>,
    now: &PoolerClusterStatus,
    outcome: &Outcome,
) -> Vec<Event> {
    let turned = |type_: &str| {
        let status = |it: &PoolerClusterStatus| find(it, type_).map(|it| it.status.clone());
        let before = last.and_then(status);
        find(now, type_).filter(|it| before.as_ref() != Some(&it.status)).map(|it| (before, it))
    };
    let mut events: Vec<_> = TOLD
        .into_iter()
        .filter_map(|(type_, well)| {
            let (before, it) = turned(type_)?;
            match it.status == well {
                true => before.is_some_and(|was| was != "Unknown").then(|| recovered(it)),
                false => (it.status != "Unknown").then(|| event(EventType::Warning, it)),
            }
        })
        .collect();
    events.extend(
        turned(READY)
            .filter(|(_, it)| it.status == "True")
            .map(|(_, it)| event(EventType::Normal, it)),
    );
    let changed = turned(UP_TO_DATE).filter(|(before, _)| before.is_some());
    events.extend(changed.map(|(_, it)| event(EventType::Normal, it)));
    events.extend(replaced(outcome));
    events
}

fn find<'a>(status: &'a PoolerClusterStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|it| it.type_ == type_)
}

fn event(type_: EventType, condition: &Condition) -> Event {
    note(type_, &condition.reason, &condition.message)
}

fn recovered(condition: &Condition) -> Event {
    let text = format!("{} is {} again", condition.type_, condition.status);
    note(EventType::Normal, &condition.reason, &text)
}

fn replaced(outcome: &Outcome) -> Option<Event> {
    let Outcome::Applied(_, _, applied, _) = outcome else { return None };
    let name = applied.replaced.as_ref()?;
    let mut event =
        note(EventType::Normal, "ReplacingPod", &format!("{name} ends, to come back anew"));
    // Events of one reason count as one, unless they speak of different objects.
    event.secondary = Some(ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: Some(name.clone()),
        ..ObjectReference::default()
    });
    Some(event)
}

fn note(type_: EventType, reason: &str, text: &str) -> Event {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(text.to_owned()),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}
