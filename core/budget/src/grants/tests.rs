//! Single steps by example; all interleavings in `world`.

mod world;

use super::*;

fn pod(ordinal: u32, report: Option<(u64, u32, u32)>) -> Pod {
    let report = report.map(|(epoch, cap, floor)| Report {
        process: format!("p{ordinal}"),
        epoch,
        cap,
        open: cap,
        floor,
        follows_none: false,
    });
    Pod { uid: format!("u{ordinal}"), ordinal, ended: false, report }
}

static NOBODY: BTreeSet<Who> = BTreeSet::new();

fn view<'a>(replicas: u32, pods: &'a [Pod], none: &'a BTreeSet<String>) -> View<'a> {
    let set = Some(Set { replicas, fence: u64::MAX, caught_up: true });
    let file = Some(File { floor: 16, fence: u64::MAX });
    let (gone, closed, cleared) = (none, none, &NOBODY);
    View { total: 50, floor: 16, replicas, set, file, pods, gone, closed, cleared }
}

/// The processes of these pods, of which the server shows no connection.
fn cleared<const N: usize>(pods: [u32; N]) -> BTreeSet<Who> {
    let who = |it| Who { pod: format!("u{it}"), process: Some(format!("p{it}")) };
    BTreeSet::from(pods.map(who))
}

fn granted(ledger: &Ledger) -> Vec<(Option<u32>, u32)> {
    ledger.entries.iter().map(|it| (it.granted, it.held)).collect()
}

/// Two pods that have all of it between them.
fn halves(none: &BTreeSet<String>) -> Ledger {
    let fresh = [pod(0, Some((0, 16, 16))), pod(1, Some((0, 16, 16)))];
    next(None, &view(2, &fresh, none))
}

#[test]
fn pods_that_exist_share_what_those_that_might_would_have_had() {
    let none = BTreeSet::new();
    let ledger = halves(&none);
    assert_eq!(granted(&ledger), [(Some(25), 25), (Some(25), 25)]);
    assert_eq!((ledger.epoch, ledger.floor, ledger.held()), (1, 16, 50));
    assert_eq!(ledger.grant("u1", "p1"), Some((1, 25)));
    assert_eq!(ledger.grant("u1", "another"), None);
}

#[test]
fn nothing_is_written_where_nothing_changed() {
    let none = BTreeSet::new();
    let ledger = halves(&none);
    let same = [pod(0, Some((1, 25, 16))), pod(1, Some((1, 25, 16)))];
    assert_eq!(next(Some(&ledger), &view(2, &same, &none)), ledger);
}

#[test]
fn another_pod_comes_only_when_the_others_have_shrunk() {
    let none = BTreeSet::new();
    let ledger = halves(&none);
    let before = [pod(0, Some((1, 25, 16))), pod(1, Some((1, 25, 16)))];
    let shrinking = next(Some(&ledger), &view(3, &before, &none));
    assert_eq!(granted(&shrinking), [(Some(16), 25), (Some(16), 25)]);
    assert_eq!((shrinking.replicas, shrinking.epoch), (2, 2));

    let half_way = [pod(0, Some((2, 16, 16))), pod(1, Some((1, 25, 16)))];
    assert_eq!(next(Some(&shrinking), &view(3, &half_way, &none)).replicas, 2);
    let mut busy = half_way.clone();
    busy[1].report = Some(Report { epoch: 2, cap: 16, ..busy[1].report.clone().unwrap() });
    assert_eq!(next(Some(&shrinking), &view(3, &busy, &none)).replicas, 2, "25 are still open");

    let done = [pod(0, Some((2, 16, 16))), pod(1, Some((2, 16, 16)))];
    let grown = next(Some(&shrinking), &view(3, &done, &none));
    assert_eq!((grown.replicas, grown.fence, grown.held()), (3, 3, 48));
}

#[test]
fn a_process_that_died_counts_until_the_server_was_looked_at() {
    let none = BTreeSet::new();
    let ledger = halves(&none);
    let mut restarted = [pod(0, Some((1, 25, 16))), pod(1, Some((0, 16, 16)))];
    restarted[1].report.as_mut().unwrap().process = "another".into();
    let counted = next(Some(&ledger), &view(2, &restarted, &none));
    assert_eq!(counted.held(), 25 + 25 + 16);
    let nothing = cleared([1]);
    let looked_at = View { cleared: &nothing, ..view(2, &restarted, &none) };
    assert_eq!(granted(&next(Some(&counted), &looked_at)), [(Some(25), 25), (Some(25), 25)]);
}

#[test]
fn a_process_counts_no_longer_when_its_successor_has_seen_all_its_connections_end() {
    let none = BTreeSet::new();
    let ledger = halves(&none);
    let mut restarted = [pod(0, Some((1, 25, 16))), pod(1, Some((0, 16, 16)))];
    restarted[1].report.as_mut().unwrap().process = "another".into();
    let counted = next(Some(&ledger), &view(2, &restarted, &none));
    restarted[1].report.as_mut().unwrap().follows_none = true;
    for before in [&ledger, &counted] {
        let after = next(Some(before), &view(2, &restarted, &none));
        assert_eq!(granted(&after), [(Some(25), 25), (Some(25), 25)]);
    }
}

#[test]
fn a_pod_that_vanished_counts_until_it_is_known_to_have_ended() {
    let none = BTreeSet::new();
    let ledger = halves(&none);
    let left = [pod(0, Some((1, 25, 16)))];
    let nothing = cleared([1]);
    let looked_at = View { cleared: &nothing, ..view(1, &left, &none) };
    let vanished = next(Some(&ledger), &looked_at);
    assert_eq!(next(Some(&vanished), &looked_at).held(), 50);
    let gone = BTreeSet::from(["u1".to_owned()]);
    let known = View { gone: &gone, ..looked_at };
    let ended = next(Some(&vanished), &known);
    let grown = next(Some(&ended), &known);
    assert_eq!(granted(&grown), [(Some(50), 50)]);
}

#[test]
fn a_pod_that_vanished_and_its_successor_both_count() {
    let none = BTreeSet::new();
    let file = Some(File { floor: 10, fence: u64::MAX });
    let three = View { floor: 10, file, ..view(2, &[], &none) };
    let settled = [pod(0, Some((0, 10, 10))), pod(1, Some((0, 10, 10)))];
    let ledger = next(None, &View { pods: &settled, total: 32, ..three.clone() });
    assert_eq!(granted(&ledger), [(Some(16), 16), (Some(16), 16)]);
    let left = [pod(0, Some((1, 16, 10)))];
    let vanished = View { pods: &left, total: 32, replicas: 3, ..three };
    let shrunk = next(Some(&ledger), &vanished);
    assert_eq!((shrunk.replicas, shrunk.held()), (2, 16 + 16 + 10), "no third pod is let in");
    assert_eq!(shrunk.entries[0].granted, Some(10), "who is there gives up what it can");
}

#[test]
fn nothing_is_written_while_connections_are_closed_one_by_one() {
    let none = BTreeSet::new();
    let ledger = halves(&none);
    let before = [pod(0, Some((1, 25, 16))), pod(1, Some((1, 25, 16)))];
    let shrinking = next(Some(&ledger), &view(3, &before, &none));
    for open in [24, 20, 17] {
        let mut on_the_way = [pod(0, Some((2, 16, 16))), pod(1, Some((2, 16, 16)))];
        on_the_way.iter_mut().for_each(|it| it.report.as_mut().unwrap().open = open);
        assert_eq!(next(Some(&shrinking), &view(3, &on_the_way, &none)), shrinking);
    }
}

#[test]
fn a_pod_that_closed_all_before_it_ended_counts_no_longer() {
    let none = BTreeSet::new();
    let ledger = halves(&none);
    let left = [pod(0, Some((1, 25, 16)))];
    let closed = BTreeSet::from(["u1".to_owned()]);
    let ended = View { closed: &closed, ..view(1, &left, &none) };
    assert_eq!(granted(&next(Some(&ledger), &ended)), [(Some(50), 50)]);
}

#[test]
fn who_removes_the_ledger_gets_one_that_trusts_only_what_is_said() {
    let none = BTreeSet::new();
    let pods = [pod(0, Some((7, 25, 16))), pod(1, None)];
    let anew = next(None, &view(2, &pods, &none));
    assert_eq!(anew.epoch, 8);
    assert_eq!(granted(&anew), [(Some(25), 25), (None, 50)]);
}

#[test]
fn an_older_ledger_that_was_put_back_grants_anew() {
    let none = BTreeSet::new();
    let old = halves(&none);
    let later = [pod(0, Some((9, 16, 16))), pod(1, Some((9, 16, 16)))];
    let again = next(Some(&old), &view(2, &later, &none));
    assert_eq!(again.epoch, 10);
    assert!(again.entries.iter().all(|it| it.epoch == 10), "{again:?}");
}

#[test]
fn a_total_that_falls_and_rises_again_is_given_out_at_once() {
    let none = BTreeSet::new();
    let at = |total: u32, floor: u32, file: u32, pods| View {
        total,
        floor,
        file: Some(File { floor: file, fence: u64::MAX }),
        ..view(2, pods, &none)
    };
    let fresh = [pod(0, Some((0, 20, 20))), pod(1, Some((0, 20, 20)))];
    let ledger = next(None, &at(40, 20, 20, &fresh));
    assert_eq!(granted(&ledger), [(Some(20), 20), (Some(20), 20)]);
    let shrinking = next(Some(&ledger), &at(2, 1, 20, &fresh));
    assert_eq!(granted(&shrinking), [(Some(1), 20), (Some(1), 20)]);
    let told = [pod(0, Some((2, 1, 20))), pod(1, Some((2, 1, 20)))];
    let shrunk = next(Some(&shrinking), &at(2, 1, 1, &told));
    assert_eq!(shrunk, shrinking, "volumes lag");
    let again = next(Some(&shrunk), &at(30, 15, 1, &told));
    assert_eq!(granted(&again), [(Some(15), 20), (Some(15), 20)], "they might begin with more");
}
