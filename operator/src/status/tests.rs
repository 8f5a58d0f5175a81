//! What is said in each outcome, when a time changes, and when an Event is due.

use poolwright_settings::Problem;

use super::*;
use crate::{
    apply::Applied,
    books::{Reach, Shares},
    live::{Live, Obstacle},
    outcome::{Blocked, Prepared},
    push::Told,
    rights::Denied,
    roll::{Phase, Roll},
    size::size,
    testing,
    upgrade::State,
    validate::{Problems, Unresolved, Validated},
};

fn applied_with(checked: &Validated, phase: Phase, asked: u32) -> Outcome {
    let plan = size(checked, &Live::default(), 0).unwrap();
    let roll = Roll { replicas: 2, delete: None, phase, trouble: None };
    let applied = Applied { replaced: None };
    let told = Told { pods: 2, applied: 2, ..Told::default() };
    let prepared = Prepared {
        asked,
        wanted: asked.min(3),
        roll,
        upgrade: State::Current,
        version: "0.1.0".into(),
        image: "poolwright:1".into(),
        shares: Shares { floor: plan.per_pod, per_pod: plan.per_pod, ..Shares::default() },
        server: None,
        reach: Reach::Works,
        stale: checked.stale.clone(),
        asks_server: checked.asks_server,
    };
    Outcome::Applied(plan, Box::new(prepared), applied, told)
}

fn told(rejected: &[&str], silent: &[&str]) -> Outcome {
    let Outcome::Applied(plan, prepared, applied, _) = settled() else { unreachable!() };
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (rejected, silent) = (texts(rejected), texts(silent));
    let applied_by = 2 - rejected.len() - silent.len();
    let told = Told { pods: 2, applied: applied_by, rejected, silent, ..Told::default() };
    Outcome::Applied(plan, prepared, applied, told)
}

fn settled() -> Outcome {
    applied_with(&testing::validated(), Phase::Settled, 2)
}

#[test]
fn a_budget_that_nobody_has_seen_yet_is_unknown() {
    let checked = Validated { asks_server: true, ..testing::validated() };
    let outcome = applied_with(&checked, Phase::Settled, 2);
    check(&after(None, &outcome, 1), &[("BudgetSatisfied", "Unknown", "ServerNotSeen")]);
}

#[test]
fn a_server_that_is_not_reached_makes_no_pod_unready() {
    let reached = |reach: Reach| {
        let Outcome::Applied(plan, mut prepared, applied, told) = settled() else { unreachable!() };
        prepared.reach = reach;
        after(None, &Outcome::Applied(plan, prepared, applied, told), 1)
    };
    let fails = reached(Reach::Fails("workspaces-0: refused".into()));
    check(
        &fails,
        &[("BackendReachable", "False", "ConnectFailed"), ("Ready", "True", "AllPodsReady")],
    );
    assert_eq!(message(&fails, "BackendReachable"), "workspaces-0: refused");
    check(&reached(Reach::Unknown), &[("BackendReachable", "Unknown", "NotTried")]);
    let Dereferenced { cluster, .. } = read_with(Some(fails));
    assert!(backend_is_untold(&cluster));
    let Dereferenced { cluster, .. } = read_with(Some(reached(Reach::Works)));
    assert!(!backend_is_untold(&cluster));
}

fn missing_secret() -> Outcome {
    let problem = Problem::new("spec.auth", "no Secret ws-users", "a Secret", "create it");
    let problems = Problems { credentials: vec![problem], ..Problems::default() };
    Outcome::Blocked(Blocked::Problems(problems))
}

fn read_with(status: Option<PoolerClusterStatus>) -> Dereferenced {
    let mut read = testing::dereferenced();
    read.cluster.status = status;
    read.live = testing::live(&[("workspaces-0", "h", true), ("workspaces-1", "h", true)]);
    read
}

fn after(last: Option<PoolerClusterStatus>, outcome: &Outcome, second: i64) -> PoolerClusterStatus {
    let Dereferenced { cluster, live, .. } = read_with(last);
    compute(&cluster, Some(&live.pods), outcome, Timestamp::from_second(second).unwrap())
}

#[track_caller]
fn check(status: &PoolerClusterStatus, expect: &[(&str, &str, &str)]) {
    for (type_, is, reason) in expect {
        let found = status.conditions.iter().find(|it| it.type_ == *type_).unwrap();
        assert_eq!((found.status.as_str(), found.reason.as_str()), (*is, *reason), "{type_}");
        assert_eq!(found.observed_generation, Some(7));
    }
}

fn message<'a>(status: &'a PoolerClusterStatus, type_: &str) -> &'a str {
    &status.conditions.iter().find(|it| it.type_ == type_).unwrap().message
}

#[test]
fn a_settled_cluster_is_ready_and_shows_its_sums() {
    let status = after(None, &settled(), 1);
    check(
        &status,
        &[
            ("Ready", "True", "AllPodsReady"),
            ("Reconciling", "False", "AllPodsReady"),
            ("Stalled", "False", "Working"),
            ("BudgetSatisfied", "True", "WithinBudget"),
            ("TenantsResolved", "True", "Counted"),
            ("CredentialsReady", "True", "Found"),
            ("ReplicasAccepted", "True", "WithinMaximum"),
            ("BackendReachable", "True", "Connected"),
        ],
    );
    assert_eq!((status.replicas, status.ready_replicas), (2, 2));
    assert_eq!((status.pods.as_str(), status.observed_generation), ("2/2", Some(7)));
    let sizing = status.sizing.unwrap();
    assert_eq!(sizing.formula, "20 tenants × 2.5 = 50 ≤ 103 budget");
    assert_eq!(sizing.granted_of_budget, "50/103");
    assert_eq!((sizing.granted, sizing.shares, sizing.per_pod), (50, 3, 16));
}

#[test]
fn pods_that_start_or_roll_are_not_ready_yet() {
    let scaling = Phase::Scaling { ready: 1, wanted: 2 };
    let status = after(None, &applied_with(&testing::validated(), scaling, 2), 1);
    check(&status, &[("Ready", "False", "Scaling"), ("Reconciling", "True", "Scaling")]);
    assert_eq!(message(&status, "Ready"), "1 of 2 pods are ready");
    let rolling = Phase::Rolling { current: 0, of: 2 };
    let status = after(None, &applied_with(&testing::validated(), rolling, 2), 1);
    check(&status, &[("Ready", "False", "Rolling"), ("Reconciling", "True", "Rolling")]);
}

#[test]
fn a_pod_that_cannot_get_ready_stalls_and_is_named_with_its_reason() {
    let rolling = Phase::Rolling { current: 1, of: 2 };
    let mut outcome = applied_with(&testing::validated(), rolling, 2);
    let Outcome::Applied(_, prepared, ..) = &mut outcome else { unreachable!() };
    prepared.roll.trouble = Some("workspaces-1: ImagePullBackOff: the image".into());
    let status = after(None, &outcome, 1);
    check(&status, &[("Ready", "False", "PodFailing"), ("Reconciling", "False", "PodFailing")]);
    check(&status, &[("Stalled", "True", "PodFailing")]);
    let expect = "workspaces-1: ImagePullBackOff: the image; 1 of 2 pods have the new template, \
                  and no other is replaced";
    assert_eq!(message(&status, "Stalled"), expect);
}

#[test]
fn over_asking_says_by_how_much_and_stays_ready() {
    let checked = Validated { budget: 40, ..testing::validated() };
    let status = after(None, &applied_with(&checked, Phase::Settled, 2), 1);
    check(
        &status,
        &[("BudgetSatisfied", "False", "OverBudget"), ("Ready", "True", "AllPodsReady")],
    );
    let message = message(&status, "BudgetSatisfied");
    assert!(message.starts_with("20 tenants × 2.5 = 50 > 40 budget → 2 each: 10 connections more"));
}

#[test]
fn replicas_beyond_the_maximum_are_said_to_be_capped() {
    let status = after(None, &applied_with(&testing::validated(), Phase::Settled, 7), 1);
    check(&status, &[("ReplicasAccepted", "False", "Capped")]);
    assert!(message(&status, "ReplicasAccepted").contains("is 7 and spec.maxReplicas is 3"));
}

#[test]
fn a_problem_stalls_and_keeps_what_was_known() {
    let good = after(None, &settled(), 1);
    let status = after(Some(good.clone()), &missing_secret(), 2);
    check(
        &status,
        &[
            ("Ready", "False", "CredentialsMissing"),
            ("Stalled", "True", "CredentialsMissing"),
            ("CredentialsReady", "False", "CredentialsMissing"),
            ("TenantsResolved", "True", "Counted"),
            ("BudgetSatisfied", "True", "WithinBudget"),
        ],
    );
    let expect = "spec.auth: found no Secret ws-users, expected a Secret; create it; 2 ready pods \
                  go on with the last good settings";
    assert_eq!(message(&status, "Ready"), expect);
    assert_eq!(status.sizing, good.sizing);
}

#[test]
fn a_secret_whose_last_content_holds_on_stalls_nothing() {
    let Outcome::Applied(plan, mut prepared, applied, told) = settled() else { unreachable!() };
    let problem = Problem::new("spec.clientTls.secretRef", "no key", "a key", "put it there");
    prepared.stale.push(problem);
    let status = after(None, &Outcome::Applied(plan, prepared, applied, told), 1);
    check(
        &status,
        &[
            ("Ready", "True", "AllPodsReady"),
            ("Stalled", "False", "Working"),
            ("CredentialsReady", "False", "CredentialsMissing"),
        ],
    );
    let expect = "spec.clientTls.secretRef: found no key, expected a key; put it there";
    assert_eq!(message(&status, "CredentialsReady"), expect);
}

#[test]
fn a_name_that_is_taken_stalls_and_a_leftover_is_waited_for() {
    let outcome = |obstacle| Outcome::Blocked(Blocked::Obstacle(obstacle));
    let status = after(None, &outcome(Obstacle::Foreign("taken".into())), 1);
    check(
        &status,
        &[("Stalled", "True", "NameTaken"), ("BudgetSatisfied", "Unknown", "NotYetKnown")],
    );
    let status = after(None, &outcome(Obstacle::Former("leftover".into())), 1);
    check(
        &status,
        &[
            ("Stalled", "False", "WaitingForDeletion"),
            ("Reconciling", "True", "WaitingForDeletion"),
        ],
    );
}

#[test]
fn a_missing_right_stalls_and_prints_the_rule() {
    let good = after(None, &settled(), 1);
    let denied = Denied {
        verb: "patch".into(),
        group: "apps".into(),
        resource: "statefulsets".into(),
        namespace: Some("apps".into()),
    };
    let read = read_with(Some(good.clone()));
    let (outcome, now) = (Outcome::Denied(denied, None), Timestamp::from_second(2).unwrap());
    let status = compute(&read.cluster, None, &outcome, now);
    check(
        &status,
        &[
            ("Ready", "False", "RightMissing"),
            ("Reconciling", "False", "RightMissing"),
            ("Stalled", "True", "RightMissing"),
            ("TenantsResolved", "True", "Counted"),
            ("ConfigApplied", "True", "Applied"),
        ],
    );
    let expect = "the operator may not patch statefulsets of the API group apps in the namespace \
                  apps; add this rule to its Role or ClusterRole: - {apiGroups: [apps], \
                  resources: [statefulsets], verbs: [get, list, watch, create, patch]}";
    assert_eq!(message(&status, "Stalled"), expect);
    assert_eq!((status.replicas, &status.pods), (good.replicas, &good.pods));
}

#[test]
fn tenants_that_cannot_be_counted_give_their_reason() {
    let problem = Problem::new("spec.databases[0].tenants.selector", "a", "b", "c");
    let unresolved = Unresolved { reason: "KindNotServed", problem };
    let problems = Problems { tenants: vec![unresolved], ..Problems::default() };
    let outcome = Outcome::Blocked(Blocked::Problems(problems));
    let status = after(Some(after(None, &settled(), 1)), &outcome, 2);
    check(
        &status,
        &[
            ("TenantsResolved", "False", "KindNotServed"),
            ("Stalled", "True", "KindNotServed"),
            ("CredentialsReady", "True", "Found"),
        ],
    );
}

#[test]
fn a_time_changes_only_when_a_status_does() {
    let first = after(None, &settled(), 100);
    assert_eq!(after(Some(first.clone()), &settled(), 200), first);
    let broken = after(Some(first.clone()), &missing_secret(), 300);
    let time = |status: &PoolerClusterStatus, type_: &str| {
        let found = status.conditions.iter().find(|it| it.type_ == type_).unwrap();
        found.last_transition_time.0.as_second()
    };
    assert_eq!(time(&broken, "Ready"), 300);
    assert_eq!(time(&broken, "BudgetSatisfied"), 100);
}

#[test]
fn events_tell_what_turned_and_nothing_twice() {
    let reasons = |last: Option<&PoolerClusterStatus>, now: &PoolerClusterStatus, it: &Outcome| {
        events::of(last, now, it).into_iter().map(|event| event.reason).collect::<Vec<_>>()
    };
    let good = after(None, &settled(), 1);
    assert_eq!(reasons(None, &good, &settled()), ["AllPodsReady"]);
    assert_eq!(reasons(Some(&good), &good, &settled()), Vec::<String>::new());
    let bad = after(Some(good.clone()), &missing_secret(), 2);
    let twice = ["CredentialsMissing", "CredentialsMissing"];
    assert_eq!(reasons(Some(&good), &bad, &missing_secret()), twice);
    assert_eq!(reasons(Some(&bad), &bad, &missing_secret()), Vec::<String>::new());
    assert_eq!(reasons(Some(&bad), &good, &settled()), ["Working", "Found", "AllPodsReady"]);
}

#[test]
fn settings_that_a_pod_refused_or_never_heard_are_told_with_its_reason() {
    check(&after(None, &settled(), 1), &[("ConfigApplied", "True", "Applied")]);
    let status = after(None, &told(&["workspaces-1: maxClients: found 0"], &[]), 1);
    check(&status, &[("ConfigApplied", "False", "Rejected")]);
    let text = message(&status, "ConfigApplied");
    assert_eq!(text, "in force in 1 of 2 ready pods; workspaces-1: maxClients: found 0");
    let status = after(None, &told(&[], &["workspaces-0: no answer within 3 s"]), 1);
    check(&status, &[("ConfigApplied", "False", "Unreachable")]);
}

#[test]
fn a_paused_cluster_keeps_what_was_said_and_of_which_generation() {
    let mut read = read_with(Some(after(None, &settled(), 1)));
    read.cluster.metadata.generation = Some(8);
    let (pods, now) = (Some(&*read.live.pods), Timestamp::from_second(2).unwrap());
    let status = compute(&read.cluster, pods, &Outcome::Paused, now);
    assert_eq!(status.observed_generation, Some(7));
    let find = |type_: &str| status.conditions.iter().find(|it| it.type_ == type_).unwrap();
    assert_eq!((&*find("Ready").status, find("Ready").observed_generation), ("True", Some(7)));
    let reconciling = find("Reconciling");
    assert_eq!((&*reconciling.status, &*reconciling.reason), ("False", "Paused"));
    assert_eq!(reconciling.observed_generation, Some(8));
}
