//! What each fuzz target does with its bytes: bytes that a stranger sent, and what must hold for them.
//! A target panics where it does not; it never reads anything but its bytes.

mod backend;
mod messages;
mod scram;
mod session;
mod settings;
mod startup;

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("startup", startup::run),
    ("messages", messages::run),
    ("backend", backend::run),
    ("scram", scram::run),
    ("settings", settings::run),
    ("session", session::run),
];

/// Inputs are no longer than this, in bytes.
pub const MAX_LENGTH: usize = 12_000;

/// The bytes before the first NUL and those behind it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// Gives bytes to a target.
///
/// # Panics
/// There is no such target, or what must hold does not.
pub fn run(target: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.expect("a target of that name").1(bytes);
}
