//! What is read from the cluster and from pods, and what comes of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;
use crate::{build::template, testing};

const WISH: Wish = Wish { total: 50, floor: 16, replicas: 2 };

fn two_pods() -> Live {
    let mut live = testing::live(&[("workspaces-0", "h", true), ("workspaces-1", "h", true)]);
    for (number, pod) in live.pods.iter_mut().enumerate() {
        pod.metadata.uid = Some(format!("u{number}"));
    }
    let text = "servers: [{name: main, maxConnections: 16}]";
    let data = Some([(template::SETTINGS_FILE.to_owned(), text.to_owned())].into());
    live.settings = Some(ConfigMap { data, ..ConfigMap::default() });
    live
}

fn report(max: u32, backends: &[i32], seen: Option<&[i32]>) -> Said {
    let sight = seen.map(|seen| Sight { backends: seen.into(), ..Sight::default() });
    let (open, backends) = (max, backends.into());
    let server = ServerReport { max, open, floor: 16, backends, left: None, trouble: None, sight };
    let servers = [(SERVER.to_owned(), server)].into();
    Said::Report(Box::new(control::Report { process: "p".into(), servers, ..Default::default() }))
}

fn said(books: &mut Books<'_>, said: [Option<Said>; 2]) {
    let pods = said.into_iter().enumerate();
    books.said = pods.filter_map(|(number, it)| Some((format!("u{number}"), it?))).collect();
    let sights = books.said.values().filter_map(|said| Some(server(said)?.1));
    books.sight = sights.filter_map(|it| it.sight.clone()).next();
}

#[test]
fn pods_share_what_there_is() {
    let live = two_pods();
    let mut books = Books::open(&live, None, WISH);
    said(&mut books, [Some(report(16, &[], None)), Some(report(16, &[], None))]);
    let ledger = books.next();
    assert_eq!(ledger.entries.iter().map(|it| it.granted).collect::<Vec<_>>(), [Some(25); 2]);
    let stored = object(&testing::validated(), &ledger);
    assert_eq!(parse(&stored).unwrap(), ledger);
    assert_eq!(stored.metadata.owner_references, None);
}

#[test]
fn a_pod_of_a_version_that_knows_no_grants_keeps_what_its_file_says() {
    let live = two_pods();
    let mut books = Books::open(&live, None, WISH);
    said(&mut books, [Some(report(16, &[], None)), Some(Said::KnowsNone)]);
    let ledger = books.next();
    let held: Vec<_> = ledger.entries.iter().map(|it| (it.granted, it.held)).collect();
    assert_eq!(held, [(Some(25), 25), (None, 16)]);
}

#[test]
fn a_connection_is_unclaimed_until_some_pod_calls_it_its_own() {
    let live = two_pods();
    let mut books = Books::open(&live, None, WISH);
    let mut check = |first: Option<Said>, second: Option<Said>, expect: Option<&[i32]>| {
        said(&mut books, [first, second]);
        let unclaimed = books.shown().map(|it| it.unclaimed.into_iter().collect::<Vec<_>>());
        assert_eq!(unclaimed.as_deref(), expect, "{:?}", books.said);
    };
    let looked = || Some(report(2, &[1, 2], Some(&[1, 2, 3])));
    check(looked(), Some(report(1, &[3], None)), Some(&[]));
    check(looked(), Some(report(1, &[4], None)), Some(&[3]));
    check(looked(), None, Some(&[3]));
    check(looked(), Some(Said::KnowsNone), Some(&[3]));
    check(Some(report(2, &[1, 2], None)), Some(report(1, &[3], None)), None);
}

#[test]
fn the_server_is_reached_when_a_pod_has_seen_it_where_it_is_now() {
    let live = two_pods();
    let mut books = Books::open(&live, None, WISH);
    let mut check = |at: &str, trouble: Option<&str>, seen: bool, expect: Reach| {
        let Said::Report(mut report) = report(1, &[1], Some(&[1])) else { unreachable!() };
        let server = report.servers.get_mut(SERVER).unwrap();
        server.trouble = trouble.map(str::to_owned);
        server.sight.as_mut().unwrap().endpoint = at.into();
        said(&mut books, [Some(Said::Report(report)), None]);
        assert_eq!(books.reach("pg:5432", seen), expect);
    };
    check("pg:5432", None, false, Reach::Works);
    check("", None, false, Reach::Works);
    check("elsewhere:5432", None, false, Reach::Unknown);
    check("elsewhere:5432", None, true, Reach::Works);
    let fails = Reach::Fails("workspaces-0: no route".into());
    check("pg:5432", Some("no route"), true, fails);
}

#[test]
fn what_keeps_all_pods_from_the_server_is_said_once() {
    let live = two_pods();
    let mut books = Books::open(&live, None, WISH);
    let cut_off = || {
        let Said::Report(mut report) = report(1, &[], None) else { unreachable!() };
        report.servers.get_mut(SERVER).unwrap().trouble = Some("no such name".into());
        Some(Said::Report(report))
    };
    for all in [[cut_off(), cut_off()], [None, cut_off()]] {
        said(&mut books, all);
        assert_eq!(books.reach("pg:5432", false), Reach::Fails("no such name".into()));
    }
}

#[test]
fn what_still_counts_for_strangers_is_said() {
    let live = two_pods();
    let mut books = Books::open(&live, None, WISH);
    said(&mut books, [Some(report(1, &[1], Some(&[1, 2]))), Some(report(1, &[3], None))]);
    let mut ledger = books.next();
    assert_eq!(books.shares(false).suspected, None);
    ledger.entries[0].ended = true;
    books.stored = Some((ConfigMap::default(), ledger));
    let text = books.shares(false).suspected.expect("somebody has ended");
    assert!(text.starts_with("the share of 1 processes that are gone still counts"), "{text}");
}

#[test]
fn a_ledger_that_cannot_be_read_is_named() {
    let data = Some([(KEY.to_owned(), "nonsense".to_owned())].into());
    let mut live = two_pods();
    let mut ledger = ConfigMap { data, ..ConfigMap::default() };
    ledger.metadata.name = Some("workspaces-ledger".into());
    live.ledger = Some(ledger);
    let problems = read(&live).expect_err("it is no ledger");
    let text = problems.spec[0].to_string();
    assert!(text.contains("ConfigMap workspaces-ledger, key ledger.yaml"), "{text}");
    assert_eq!(
        live.obstacle("u1").map(|it| matches!(it, crate::live::Obstacle::Foreign(_))),
        Some(true)
    );
}

#[test]
fn what_is_awaited_is_told_apart() {
    let live = two_pods();
    let mut books = Books::open(&live, None, WISH);
    said(&mut books, [Some(report(16, &[], None)), Some(report(16, &[], None))]);
    let settled = books.next();
    let progress = |ledger: Ledger, wish| {
        let stored = Some((ConfigMap::default(), ledger));
        let books = Books { stored, wish, ..Books::open(&live, None, wish) };
        (books.shares(true).progress, books.shares(false).progress)
    };
    assert_eq!(progress(settled.clone(), WISH), (Progress::Moved, Progress::Settled));
    let mut ended = settled.clone();
    ended.entries[0].ended = true;
    assert_eq!(progress(ended, WISH).1, Progress::Lagging);
    let mut busy = settled.clone();
    busy.entries[0].held = 50;
    assert_eq!(progress(busy, WISH).1, Progress::Awaited);
    let lower = Wish { floor: 9, ..WISH };
    assert_eq!(progress(settled.clone(), lower).1, Progress::Lagging, "volumes are not there yet");
    let more = Wish { replicas: 3, ..WISH };
    assert_eq!(progress(settled.clone(), more).1, Progress::Lagging);
    let stored = Some((ConfigMap::default(), settled));
    let held_back = Books { stored, wish: more, ..Books::open(&live, None, more) }.shares(false);
    let text = held_back.held_back.expect("a third pod waits");
    assert_eq!(
        text,
        "2 pods until there is room for the next one: of 50 connections 50 may be open"
    );
}

#[test]
fn pods_that_know_no_grants_are_named_where_they_hold_the_next_one_back() {
    let (mut live, more) = (two_pods(), Wish { replicas: 3, ..WISH });
    let spec = live.stateful_set.as_mut().and_then(|set| set.spec.as_mut()).unwrap();
    spec.template.spec = template::template(&testing::validated(), &testing::own()).spec.spec;
    let mut books = Books::open(&live, None, WISH);
    said(&mut books, [Some(report(16, &[], None)), Some(Said::KnowsNone)]);
    books.stored = Some((ConfigMap::default(), books.next()));
    books.wish = more;
    let text = books.shares(false).held_back.expect("a third pod waits");
    let expect = "; pods of version 0.1.0 know no grants and give nothing back: workspaces-1; an \
                  upgrade lets it go on";
    assert!(text.contains(expect), "{text}");
}

#[test]
fn where_no_pod_runs_that_could_look_it_is_said_how_to_go_on() {
    let live = two_pods();
    let mut books = Books::open(&live, None, WISH);
    said(&mut books, [Some(report(16, &[], None)), Some(report(16, &[], None))]);
    let mut ledger = Ledger { replicas: 0, ..books.next() };
    ledger.entries.iter_mut().for_each(|it| it.ended = true);
    let name = Some("workspaces-ledger".to_owned());
    let metadata = ObjectMeta { name, ..ObjectMeta::default() };
    let stored = Some((ConfigMap { metadata, ..ConfigMap::default() }, ledger));
    let live = Live { pods: Vec::new(), ..live };
    let text = Books { stored, ..Books::open(&live, None, WISH) }.shares(false).held_back.unwrap();
    let expect = "may be open by pods that are gone, and none runs that could look; once the server \
                  shows no connections of theirs, delete ConfigMap workspaces-ledger";
    assert!(text.ends_with(expect), "{text}");
}
