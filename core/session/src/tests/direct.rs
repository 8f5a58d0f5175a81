//! A script run by its client alone, on a server of its own: what it must see through the pooler.

use super::fake::{FakePostgres, Settings};
use super::script::{Message, Script, Step, Unit, bytes};

/// A step in bytes, and how many bytes of replies its client has had before it begins.
#[derive(Clone, Debug)]
pub struct Send {
    pub bytes: Vec<u8>,
    pub after: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub sends: Vec<Send>,
    pub replies: Vec<u8>,
}

/// Runs all units but those in which the pooler may answer otherwise.
pub fn run(script: &Script) -> Expected {
    let startup: Vec<_> = script.zone.iter().map(|zone| ("TimeZone", *zone)).collect();
    let mut server = FakePostgres::new(Settings::new(&startup));
    let mut expected = Expected::default();
    let end = Step { messages: vec![Message::Query("ROLLBACK".to_owned())], waits: false };
    for unit in script.units.iter().chain([&vec![end]]) {
        let mut tried = (server.clone(), expected.clone());
        run_unit(&mut tried.0, unit, &mut tried.1);
        assert!(!tried.0.lost, "the script violates the protocol: {unit:?}");
        if tried.0.deviation.is_none() {
            (server, expected) = tried;
        }
    }
    expected
}

fn run_unit(server: &mut FakePostgres, unit: &Unit, expected: &mut Expected) {
    for step in unit {
        let bytes = bytes(&step.messages);
        server.take(&bytes);
        let after = if step.waits { expected.replies.len() } else { 0 };
        expected.replies.append(&mut server.visible);
        expected.sends.push(Send { bytes, after });
    }
}
