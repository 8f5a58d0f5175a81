//! Who may count what, who is woken, and what is told when nobody answers.

use futures::StreamExt as _;
use kube::core::Expression;

use super::*;
use crate::testing;

fn census(everywhere: bool) -> (Census, Woken) {
    // Nobody listens there.
    let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    Census::new(Client::try_from(nowhere).unwrap(), everywhere)
}

fn subject(kind: &str, namespace: Option<&str>, cloud: &str) -> Subject {
    let subject = Subject::of(&testing::selector(&[("cloud", cloud)]), "apps");
    let place = Place {
        kind: kind.into(),
        namespace: namespace.map(str::to_owned),
        ..subject.place.clone()
    };
    Subject { place, ..subject }
}

fn who(name: &str) -> Who {
    ObjectRef::new(name).within("apps")
}

#[tokio::test]
async fn other_namespaces_are_counted_only_where_the_install_allows_it() {
    let all = [subject("Workspace", None, "01"), subject("Workspace", Some("apps"), "01")];
    let (closed, _) = census(false);
    assert_eq!(closed.may(&all[0], &all), Err(Uncounted::NotAllowed));
    assert_eq!(closed.may(&all[1], &all), Ok(()));
    assert_eq!(census(true).0.may(&all[0], &all), Ok(()));
}

#[tokio::test]
async fn one_pooler_cluster_counts_eight_kinds_at_most() {
    let of = |number| subject(&format!("Kind{number}"), Some("apps"), "01");
    let all: Vec<_> = (0..9).chain([3]).map(of).collect();
    let (census, _) = census(false);
    let refused: Vec<_> = all.iter().filter(|it| census.may(it, &all).is_err()).collect();
    assert_eq!(refused, [&all[8]]);
    assert_eq!(census.may(&all[8], &all), Err(Uncounted::TooManyKinds(8)));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_said_and_the_watch_ends_with_who_wanted_it() {
    let (census, _) = census(false);
    let subjects = [subject("Workspace", Some("apps"), "01")];
    let counts = census.count(&who("a"), &subjects).await;
    assert!(matches!(&counts[..], [Err(Uncounted::Failed(_))]), "{counts:?}");
    assert_eq!(lock(&census.watches).len(), 1);
    census.count(&who("a"), &[]).await;
    assert_eq!(lock(&census.watches).len(), 0);

    census.count(&who("a"), &subjects).await;
    census.keep_only(&[]);
    assert_eq!(lock(&census.watches).len(), 0);
}

#[tokio::test]
async fn only_whose_count_has_changed_is_woken() {
    let (census, mut woken) = census(false);
    let place = subject("Workspace", Some("apps"), "01").place;
    let cloud = |name: &str| Selector::from(Expression::Equal("cloud".into(), name.into()));
    let mut tally = Tally::new(["cloud".to_owned()].into());
    tally.give_up(Uncounted::NotServed);
    let told = |name: &str, count: Count| (who(name), vec![(cloud("01"), count)]);
    let told = [told("knows", Err(Uncounted::NotServed)), told("does-not", Ok(3))];
    let (_, settled) = signal::channel(true);
    let (tally, task) = (Arc::new(Mutex::new(tally)), tokio::spawn(async {}));
    let first = First { settled, until: Instant::now() };
    let watched = Watched { tally, first, told: told.into(), task };
    lock(&census.watches).insert(place.clone(), watched);
    wake(&Arc::downgrade(&census.watches), &place, &census.wakes);
    drop(census);
    assert_eq!(woken.next().await, Some(who("does-not")));
    assert_eq!(woken.next().await, None);
}

#[tokio::test]
async fn a_label_that_was_not_kept_begins_the_watch_anew_for_all() {
    let (census, _) = census(false);
    let by = |label: &str| {
        let selector = testing::selector(&[(label, "x")]);
        [Subject::of(&selector, "apps")]
    };
    census.count(&who("a"), &by("cloud")).await;
    census.count(&who("b"), &by("plan")).await;
    let watches = lock(&census.watches);
    let watched = watches.values().next().unwrap();
    let names: Vec<_> = lock(&watched.tally).names().iter().cloned().collect();
    assert_eq!((names, watched.told.len()), (vec!["cloud".to_owned(), "plan".to_owned()], 2));
}
