//! Any bytes as the first packet of a connection, or as what a load balancer says ahead of it. What is
//! read must come out the same when it is written and read again.

use poolwright_wire::startup::{self, Startup};
use poolwright_wire::{proxy, write};

pub fn run(bytes: &[u8]) {
    if let Ok(Some((_, length))) = proxy::header(bytes) {
        assert!((16..=16 + proxy::MAX_REST).contains(&length) && length <= bytes.len());
    }
    let Ok(Some(length)) = startup::length(bytes) else { return };
    assert!((8..=10_004).contains(&length));
    let Some(packet) = bytes.get(..length) else { return };
    let Ok(first) = startup::parse(packet) else { return };
    let mut again = Vec::new();
    match &first {
        Startup::Ssl => write::ssl_request(&mut again),
        Startup::Gss => write::gssenc_request(&mut again),
        Startup::Cancel(key) => write::cancel_request(&mut again, key),
        Startup::ForwardedCancel(key) => write::forwarded_cancel(&mut again, key),
        Startup::Start(start) => {
            for (name, value) in &start.parameters {
                assert!(!name.is_empty());
                if let Ok(text) = str::from_utf8(value) {
                    let settings = startup::options(text).unwrap_or_default();
                    assert!(settings.iter().all(|(name, _)| !name.is_empty()));
                }
            }
            write::startup(&mut again, start.protocol, &start.parameters);
        }
        Startup::Unsupported { .. } => return,
    }
    assert_eq!(again, packet);
}
