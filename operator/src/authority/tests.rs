//! Authorities over the years, and what happens to those that somebody broke.

use super::*;
use crate::testing;

const ALL: [&str; 4] = [CA_CERTIFICATE, CA_KEY, CERTIFICATE, KEY];

fn made(live: &Live, now: Timestamp) -> Certificates {
    certificates(&testing::validated(), live, None, now).unwrap()
}

fn asked(request: &str) -> Validated {
    Validated { change_authority: Some(request.into()), ..testing::validated() }
}

fn stored(certificates: &Certificates) -> Live {
    let Certificates { authority, control, .. } = certificates.clone();
    Live { authority, control: Some(control), ..Live::default() }
}

fn authority(certificates: &Certificates) -> &Secret {
    certificates.authority.as_ref().unwrap()
}

fn pods(certificates: &Certificates) -> Identity {
    Identity::of(&certificates.control)
}

/// The pods as they are, whether or not they have read what is new, and the operator as it is now
/// understand each other.
#[track_caller]
fn understand(pods: &Identity, operator: &Identity, now: Timestamp) {
    let name = names::server_name("workspaces", "apps");
    let seen = Identity { authorities: operator.authorities.clone(), ..pods.clone() };
    assert_eq!(seen.check(End::Pods(&name), now), Ok(()), "the operator takes the pods' leaf");
    let seen = Identity { authorities: pods.authorities.clone(), ..operator.clone() };
    assert_eq!(seen.check(End::Operator, now), Ok(()), "the pods take the operator's leaf");
}

#[test]
fn what_is_there_and_fresh_is_kept() {
    let first = made(&Live::default(), testing::now());
    let later = made(&stored(&first), testing::now() + DAY * 59);
    assert_eq!((&later.authority, &later.control), (&first.authority, &first.control));
    understand(&pods(&later), &later.operator, testing::now() + DAY * 59);
}

#[test]
fn leaves_are_renewed_a_month_early_by_the_same_authority() {
    let first = made(&Live::default(), testing::now());
    let later = made(&stored(&first), testing::now() + DAY * 61);
    for key in [CERTIFICATE, KEY] {
        assert_ne!(text(authority(&later), key), text(authority(&first), key));
        assert_ne!(text(&later.control, key), text(&first.control, key));
    }
    assert_eq!(text(&later.control, CA_CERTIFICATE), text(authority(&first), CA_CERTIFICATE));
    understand(&pods(&first), &later.operator, testing::now() + DAY * 61);
}

#[test]
fn no_pod_gets_the_authoritys_key_or_the_operators_certificate() {
    let made = made(&Live::default(), testing::now());
    assert_eq!(text(&made.control, CA_KEY), None);
    assert_ne!(text(&made.control, CERTIFICATE), text(authority(&made), CERTIFICATE));
    assert!(pods(&made).check(End::Operator, testing::now()).is_err());
}

/// Changes what is stored by `request`, and checks that pods that read it early, late or not at all
/// and the operator understand each other in every step.
#[track_caller]
fn check_change(live: &Live, checked: &Validated, now: Timestamp) {
    let before = Identity::of(live.control.as_ref().unwrap());
    let next =
        |live: &Live, shown: Option<&str>, now| certificates(checked, live, shown, now).unwrap();
    let first = next(live, None, now);
    assert!(first.is_changing);
    assert_ne!(
        text(authority(&first), CA_CERTIFICATE),
        text(live.authority.as_ref().unwrap(), CA_CERTIFICATE)
    );
    understand(&before, &first.operator, now);
    understand(&pods(&first), &first.operator, now);

    let again =
        next(&stored(&first), Some(&before.certificate), now + SignedDuration::from_mins(1));
    assert_eq!((&again.authority, &again.control), (&first.authority, &first.control));

    let shown = pods(&first).certificate;
    for (shown, minutes) in [(Some(shown.as_str()), 1), (None, 15)] {
        let now = now + SignedDuration::from_mins(minutes);
        let last = next(&stored(&first), shown, now);
        assert!(!last.is_changing);
        understand(&pods(&first), &last.operator, now);
        understand(&pods(&last), &last.operator, now);
        assert_eq!(pods(&last).certificate, pods(&first).certificate);
        let trusted = crate::certificate::certificates(&pods(&last).authorities).unwrap();
        assert_eq!(trusted.len(), 1, "the former authority has left");
        let rest = next(&stored(&last), None, now);
        assert_eq!((&rest.authority, &rest.control), (&last.authority, &last.control));
    }
}

#[test]
fn an_authority_changes_on_request() {
    let first = made(&Live::default(), testing::now());
    check_change(&stored(&first), &asked("now"), testing::now());
}

#[test]
fn a_time_that_somebody_wrote_there_ends_nothing() {
    let first = made(&Live::default(), testing::now());
    let changing = certificates(&asked("now"), &stored(&first), None, testing::now()).unwrap();
    let mut live = stored(&changing);
    let last = Timestamp::MAX.to_string();
    live.authority.as_mut().unwrap().annotations_mut().insert(names::CHANGED_AT.into(), last);
    assert!(certificates(&asked("now"), &live, None, testing::now()).unwrap().is_changing);
}

#[test]
fn a_request_is_answered_once() {
    let first = certificates(&asked("now"), &Live::default(), None, testing::now()).unwrap();
    let again = certificates(&asked("now"), &stored(&first), None, testing::now()).unwrap();
    assert_eq!((&again.authority, &again.control), (&first.authority, &first.control));
    check_change(&stored(&first), &asked("again"), testing::now());
}

#[test]
fn an_authority_changes_a_year_before_its_end() {
    let first = made(&Live::default(), testing::now());
    let late = testing::now() + DAY * (AUTHORITY_DAYS - AUTHORITY_EARLY_DAYS);
    // Leaves have been renewed all the time.
    let just_before = made(&stored(&first), late - DAY);
    assert!(!just_before.is_changing);
    check_change(&stored(&just_before), &testing::validated(), late);
}

#[test]
fn a_key_that_somebody_exchanged_is_noticed() {
    let first = made(&Live::default(), testing::now());
    let mut live = stored(&first);
    let other = KeyPair::generate().unwrap().serialize_pem();
    let data = live.authority.as_mut().unwrap().data.as_mut().unwrap();
    data.insert(CA_KEY.into(), ByteString(other.into_bytes()));
    check_change(&live, &testing::validated(), testing::now());
}

#[test]
fn what_somebody_broke_is_made_anew() {
    let first = made(&Live::default(), testing::now());
    let broken = |of: fn(&mut Live) -> &mut Option<Secret>, key: &str| {
        let mut live = stored(&first);
        let data = of(&mut live).as_mut().unwrap().data.as_mut().unwrap();
        data.insert(key.into(), ByteString(b"nonsense".to_vec()));
        let again = made(&live, testing::now());
        understand(&pods(&again), &again.operator, testing::now());
        assert_eq!(
            authority(&again).data.as_ref().unwrap().len(),
            if again.is_changing { 5 } else { 4 }
        );
    };
    for key in ALL {
        broken(|live| &mut live.authority, key);
    }
    for key in [CA_CERTIFICATE, CERTIFICATE, KEY] {
        broken(|live| &mut live.control, key);
    }
}

#[test]
fn an_end_of_each_leaf_is_an_end_for_both_sides() {
    let first = made(&Live::default(), testing::now());
    let late = testing::now() + DAY * 91;
    let name = names::server_name("workspaces", "apps");
    let flaw = pods(&first).check(End::Pods(&name), late).unwrap_err();
    assert_eq!((flaw.key, flaw.found.as_str()), (CERTIFICATE, "a certificate that has expired"));
    let flaw = first.operator.check(End::Operator, late).unwrap_err();
    assert_eq!(flaw.found, "a certificate that has expired");
}

#[test]
fn certificates_that_are_named_are_copied_to_the_pods() {
    let (one, two) =
        (made(&Live::default(), testing::now()), made(&Live::default(), testing::now()));
    let named = Named { pods: pods(&one), operator: two.operator };
    let checked = Validated { control: Some(named), ..testing::validated() };
    let made = certificates(&checked, &stored(&one), None, testing::now()).unwrap();
    assert!(made.authority.is_none() && !made.is_changing);
    assert_eq!(pods(&made).certificate, pods(&one).certificate);
    understand(&pods(&made), &made.operator, testing::now());
}
