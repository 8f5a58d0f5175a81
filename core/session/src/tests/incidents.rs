//! What has gone wrong in other poolers, one test each. Times are steps: nothing reaches a server or
//! a client before the test says so.

mod by_name;
mod changing;
mod copying;
mod first_use;
mod flights;
mod gone;
mod preparing;
mod servers;
mod settings;
mod state;
mod unnamed;

use super::pair::Pair;
use super::script::Message;

fn query(text: &str) -> Message {
    Message::Query(text.to_owned())
}

fn parse(name: &'static str, text: &str) -> Message {
    Message::Parse(name, text.to_owned())
}

const TABLE: &str = "TABLE changing";

/// A client that has used a statement.
fn prepared(statements: usize) -> Pair {
    let mut pair = Pair::new(statements);
    assert_eq!(pair.ask(&[parse("a", TABLE), Message::Sync]), "1 Z:I");
    assert_eq!(pair.ask(&run("a")), "2 D:0 C:SELECT 1 Z:I");
    pair
}

/// Another that prepares it when its table has changed, and is answered by what is known of it.
fn late(statements: usize) -> Pair {
    let mut pair = prepared(statements);
    pair.change_client(&[]);
    pair.fake.version = 1;
    assert_eq!(pair.ask(&[parse("b", TABLE), Message::Sync]), "1 Z:I");
    pair
}

/// Binds a statement to the unnamed portal, runs it, and ends the flight.
fn run(name: &'static str) -> [Message; 3] {
    [Message::Bind("", name), Message::Execute("", 0), Message::Sync]
}
