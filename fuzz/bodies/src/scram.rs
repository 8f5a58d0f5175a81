//! Any bytes as the peer's side of a SCRAM exchange, its first message before a NUL and its last behind
//! it: no proof is ever taken, no work beyond the cap is ever asked for.

use poolwright_wire::scram::{
    Channel, ClientExchange, MAX_ITERATIONS, ServerExchange, Verifier, mock_keys, salted_password,
};

pub fn run(bytes: &[u8]) {
    let (first, last) = crate::split(bytes);
    let keys = mock_keys("ann", &[0; 32]);
    for channel in [Channel::Unbound, Channel::Declined, Channel::Bound(b"hash")] {
        if let Ok(exchange) = ServerExchange::start(first, channel, "s", b"salt", 4096) {
            assert!(exchange.finish(last, std::slice::from_ref(&keys)).is_err());
        }
    }
    if let Ok(challenge) = ClientExchange::new("", "c", Channel::Bound(b"hash")).challenge(first) {
        assert!((1..=MAX_ITERATIONS).contains(&challenge.iterations));
        let keys = salted_password("pencil", &challenge.salt, 1).client_keys();
        let (_, proof) = challenge.prove(&keys);
        assert!(proof.check(last).is_err());
    }
    if let Ok(text) = str::from_utf8(first)
        && let Ok(verifier) = Verifier::parse(text)
    {
        assert_eq!(Verifier::parse(&verifier.text()), Ok(verifier));
    }
}
