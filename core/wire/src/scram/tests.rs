//! RFC 7677's example from both sides, and exchanges that must fail.

use super::{
    Channel, ClientExchange, MAX_ITERATIONS, ScramError, ServerExchange, Verifier, mock_keys,
    salt_for, salted_password,
};

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: [u8; 16] = *b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81";
const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn started(client_first: &[u8]) -> Result<ServerExchange, ScramError> {
    ServerExchange::start(client_first, Channel::Unbound, SERVER_NONCE, &SALT, 4096)
}

fn check_challenge(server_first: &str, expect: &ScramError) {
    let found =
        ClientExchange::new("user", "abc", Channel::Unbound).challenge(server_first.as_bytes());
    assert_eq!(&found.unwrap_err(), expect, "{server_first}");
}

fn malformed<T>(message: &'static str, field: &'static str) -> Result<T, ScramError> {
    Err(ScramError::Malformed { message, field })
}

#[test]
fn the_client_side_follows_rfc_7677() {
    let exchange = ClientExchange::new("user", CLIENT_NONCE, Channel::Unbound);
    assert_eq!(exchange.first(), CLIENT_FIRST);
    let challenge = exchange.challenge(SERVER_FIRST).unwrap();
    assert_eq!((&challenge.salt[..], challenge.iterations), (&SALT[..], 4096));
    let keys = salted_password("pencil", &SALT, 4096).client_keys();
    let (client_final, proof) = challenge.prove(&keys);
    assert_eq!(client_final, CLIENT_FINAL);
    assert_eq!(proof.check(SERVER_FINAL), Ok(()));
}

#[test]
fn the_server_side_follows_rfc_7677() {
    let exchange = started(CLIENT_FIRST).unwrap();
    assert_eq!(exchange.first(), SERVER_FIRST);
    let keys = salted_password("pencil", &SALT, 4096).client_keys();
    let finished = exchange.finish(CLIENT_FINAL, std::slice::from_ref(&keys.server)).unwrap();
    assert_eq!(finished.message, SERVER_FINAL);
    assert!(finished.keys == keys, "the proof gives the client's keys");
}

#[test]
fn a_wrong_password_and_an_unknown_user_fail_alike() {
    let wrong = salted_password("pencils", &SALT, 4096).server_keys();
    let unknown = mock_keys("user", &[7; 32]);
    for keys in [wrong, unknown] {
        let found =
            started(CLIENT_FIRST).unwrap().finish(CLIENT_FINAL, std::slice::from_ref(&keys));
        assert_eq!(found, Err(ScramError::Proof));
    }
}

#[test]
fn the_salt_of_a_user_stays_and_differs_from_others() {
    let secret = [7; 32];
    assert_eq!(salt_for("ann", &secret), salt_for("ann", &secret));
    assert_ne!(salt_for("ann", &secret), salt_for("bob", &secret));
    assert_ne!(salt_for("ann", &secret), salt_for("ann", &[8; 32]));
}

#[test]
fn a_server_that_does_not_hold_the_verifier_is_found_out() {
    let keys = salted_password("pencil", &SALT, 4096).client_keys();
    let prove = || {
        let exchange = ClientExchange::new("user", CLIENT_NONCE, Channel::Unbound);
        exchange.challenge(SERVER_FIRST).unwrap().prove(&keys).1
    };
    let forged = b"v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(prove().check(forged), Err(ScramError::Signature));
    assert_eq!(prove().check(b"e=other-error"), Err(ScramError::Server("other-error".into())));
    let field = "the signature";
    assert_eq!(prove().check(b"v="), malformed("server-final-message", field));
    assert_eq!(prove().check(b""), malformed("server-final-message", field));
}

#[test]
fn a_hostile_server_cannot_ask_for_endless_work() {
    let too_many = |found| ScramError::Iterations { found, max: MAX_ITERATIONS };
    check_challenge("r=abcdef,s=AAAA,i=600001", &too_many(600_001));
    check_challenge("r=abcdef,s=AAAA,i=2147483647", &too_many(2_147_483_647));
    check_challenge("r=abcdef,s=AAAA,i=99999999999", &too_many(99_999_999_999));
    check_challenge("r=abcdef,s=AAAA,i=0", &too_many(0));
}

#[test]
fn a_malformed_challenge_is_refused() {
    let message = "server-first-message";
    let malformed = |field| ScramError::Malformed { message, field };
    check_challenge("", &malformed("the nonce"));
    check_challenge("m=x,r=abcdef,s=AAAA,i=1", &malformed("the nonce"));
    check_challenge("r=abc,s=AAAA,i=1", &ScramError::Nonce { message });
    check_challenge("r=xyz,s=AAAA,i=1", &ScramError::Nonce { message });
    check_challenge("r=abcdef,s=,i=1", &malformed("the salt"));
    check_challenge("r=abcdef,s=?,i=1", &malformed("the salt"));
    check_challenge("r=abcdef,s=AAAA", &malformed("the number of iterations"));
    check_challenge("r=abcdef,s=AAAA,i=-1", &malformed("iterations"));
    let rest = "what follows the number of iterations";
    check_challenge("r=abcdef,s=AAAA,i=1,x=y", &malformed(rest));
}

#[test]
fn a_client_that_asks_for_what_is_not_offered_is_refused() {
    let found = started(b"p=tls-server-end-point,,n=,r=abc").unwrap_err();
    let expect = ScramError::Unsupported("channel binding by a mechanism that has none");
    assert_eq!(found, expect);
    let found = started(b"n,a=root,n=,r=abc").unwrap_err();
    assert_eq!(found, ScramError::Unsupported("an authorization identity"));
    for bad in ["", "n", "n,", "n,,", "n,,n=", "n,,n=,r=", "x,,n=,r=a", "n,,m=x,n=,r=a"] {
        assert!(matches!(started(bad.as_bytes()), Err(ScramError::Malformed { .. })), "{bad}");
    }
    assert!(started(b"y,,n=,r=abc").is_ok());
}

#[test]
fn a_final_message_of_another_exchange_is_refused() {
    let keys = salted_password("pencil", &SALT, 1).server_keys();
    let check = |text: &str, expect: ScramError| {
        let found =
            started(b"n,,n=,r=abc").unwrap().finish(text.as_bytes(), std::slice::from_ref(&keys));
        assert_eq!(found, Err(expect), "{text}");
    };
    let message = "client-final-message";
    let malformed = |field| ScramError::Malformed { message, field };
    check("c=biws,r=abc,p=AAAA", ScramError::Nonce { message });
    check("c=eSws,r=abc,p=AAAA", malformed("the channel binding"));
    check("c=biws", malformed("the proof"));
    check(&format!("c=biws,r=abc{SERVER_NONCE},p=AAAA"), malformed("the proof"));
}

/// Runs a whole exchange between these two views of one channel.
fn agree(client: Channel<'_>, server: Channel<'_>) -> Result<(), ScramError> {
    let keys = salted_password("pencil", &SALT, 1).client_keys();
    let exchange = ClientExchange::new("", CLIENT_NONCE, client);
    let answer = ServerExchange::start(&exchange.first(), server, SERVER_NONCE, &SALT, 1)?;
    let (last, proof) = exchange.challenge(answer.first())?.prove(&keys);
    proof.check(&answer.finish(&last, std::slice::from_ref(&keys.server))?.message)
}

#[test]
fn both_sides_must_see_one_channel() {
    use Channel::{Bound, Declined, Unbound};
    let other = ScramError::Unsupported("another type of channel binding");
    let without = ScramError::Unsupported("channel binding by a mechanism that has none");
    let message = "client-first-message";
    let flag = ScramError::Malformed { message, field: "the channel binding flag" };
    for (client, server, expect) in [
        (Unbound, Unbound, Ok(())),
        (Declined, Unbound, Ok(())),
        (Unbound, Declined, Ok(())),
        (Declined, Declined, Err(ScramError::Downgrade)),
        (Bound(b"hash"), Bound(b"hash"), Ok(())),
        (Bound(b"hash"), Bound(b"hush"), Err(ScramError::OtherChannel)),
        (Bound(b"hash"), Unbound, Err(without.clone())),
        (Bound(b"hash"), Declined, Err(without)),
        (Unbound, Bound(b"hash"), Err(flag.clone())),
        (Declined, Bound(b"hash"), Err(flag)),
    ] {
        assert_eq!(agree(client, server), expect, "{client:?} {server:?}");
    }
    let first = b"p=tls-unique,,n=,r=abc";
    let found = ServerExchange::start(first, Bound(b"hash"), SERVER_NONCE, &SALT, 1);
    assert_eq!(found.unwrap_err(), other);
}

#[test]
fn a_verifier_is_read_and_written_in_postgres_form() {
    let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let verifier = Verifier::parse(text).unwrap();
    assert_eq!(verifier, Verifier::new(&salted_password("pencil", &SALT, 4096), &SALT, 4096));
    assert_eq!(verifier.text(), text);
    assert!(verifier.accepts("pencil") && !verifier.accepts("pencils"));
    for bad in [
        "",
        "pencil",
        "md5abc",
        "SCRAM-SHA-1$4096:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$0:AAAA$AAAA:AAAA",
        "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
        &text.replace("4096", "-1"),
        &text.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
        &format!("{text}="),
    ] {
        assert!(matches!(Verifier::parse(bad), Err(ScramError::Verifier(_))), "{bad}");
    }
}

#[test]
fn passwords_are_prepared_as_postgres_prepares_them() {
    let derive = |password| salted_password(password, &SALT, 1);
    // SASLprep: the soft hyphen goes, the roman numeral is spelled, other spaces become spaces.
    assert_eq!(derive("I\u{ad}X"), derive("IX"));
    assert_eq!(derive("\u{2168}"), derive("IX"));
    assert_eq!(derive("a\u{a0}b"), derive("a b"));
    // A prohibited character: taken as it is.
    assert_ne!(derive("\u{7}\u{e9}"), derive("\u{e9}"));
    assert_ne!(derive("Ann"), derive("ann"));
}

#[test]
fn debug_shows_no_key() {
    let salted = salted_password("pencil", &SALT, 1);
    let shown = format!("{salted:?} {:?} {:?}", salted.client_keys(), salted.server_keys());
    assert_eq!(shown, "SaltedPassword(…) ClientKeys(…) ServerKeys(…)");
}
