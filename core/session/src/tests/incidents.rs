//! What has gone wrong in other poolers, one test each. Times are steps: nothing reaches a server or
//! a client before the test says so.

mod changing;
mod copying;
mod flights;
mod gone;
mod preparing;
mod servers;
mod settings;
mod state;
mod unnamed;

use super::script::Message;

fn query(text: &str) -> Message {
    Message::Query(text.to_owned())
}

fn parse(name: &'static str, text: &str) -> Message {
    Message::Parse(name, text.to_owned())
}

/// Binds a statement to the unnamed portal, runs it, and ends the flight.
fn run(name: &'static str) -> [Message; 3] {
    [Message::Bind("", name), Message::Execute("", 0), Message::Sync]
}
