//! One client's life: connect, transact, and connect again when it was asked to leave.
//! A request is repeated only if its connection ended with a clean 57P01 in place of an answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::marks::Marks;
use crate::pg::{Client, Flight, Message, Target};

use super::Until;
use super::report::{Progress, Tally};

/// A refused connect is tried again after this.
const BREATH: Duration = Duration::from_millis(100);

/// How one request ended.
enum Outcome {
    Answered(Vec<Message>),
    /// 57P01 came and nothing else: the request was not begun.
    AskedToLeave,
    /// The connection ended otherwise, with what is known of why.
    Cut(String),
}

pub(super) async fn live(
    target: Target,
    mut marks: Marks,
    pause: Duration,
    until: Until,
    live: Arc<Progress>,
) -> Tally {
    let mut tally = Tally::default();
    let mut repeat = false;
    while !until.is_reached() {
        let Some(mut client) = connect(&target, &until, &mut tally, &live).await else { break };
        marks.reconnected();
        repeat = transact(&mut client, &mut marks, pause, &until, repeat, &mut tally, &live).await;
        if !repeat {
            let _ = client.terminate().await;
        }
    }
    tally
}

/// Connects, again and again until the end of the run; every failure counts as refused.
async fn connect(
    target: &Target,
    until: &Until,
    tally: &mut Tally,
    live: &Progress,
) -> Option<Client> {
    loop {
        match target.connect().await {
            Ok(client) => {
                tally.connects += 1;
                return Some(client);
            }
            Err(error) => {
                tally.refused += 1;
                live.errors.fetch_add(1, Ordering::Relaxed);
                tally.reason(&format!("refused: {error:#}"));
            }
        }
        if until.is_reached() {
            return None;
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// Runs transactions on one connection until the client leaves by itself (false) or the connection
/// ends (true: the last request is to be repeated).
async fn transact(
    client: &mut Client,
    marks: &mut Marks,
    pause: Duration,
    until: &Until,
    mut repeat: bool,
    tally: &mut Tally,
    live: &Progress,
) -> bool {
    let mut left = until.per_connection.unwrap_or(u64::MAX);
    while !until.is_reached() && left > 0 {
        let flight = if repeat { marks.again() } else { marks.step_forward() };
        let start = Instant::now();
        match request(client, &flight).await {
            Outcome::Answered(messages) => {
                tally.latency.record(start.elapsed());
                judge(marks.check(&messages), &messages, tally, live);
                repeat = false;
                left -= 1;
            }
            Outcome::AskedToLeave => {
                tally.asked_to_leave += 1;
                live.reconnects.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            Outcome::Cut(reason) => {
                tally.cut += 1;
                live.errors.fetch_add(1, Ordering::Relaxed);
                tally.reason(&format!("cut: {reason}"));
                return true;
            }
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    false
}

fn judge(checked: anyhow::Result<()>, messages: &[Message], tally: &mut Tally, live: &Progress) {
    let Err(error) = checked else {
        tally.transactions += 1;
        live.transactions.fetch_add(1, Ordering::Relaxed);
        return;
    };
    live.errors.fetch_add(1, Ordering::Relaxed);
    let failed = messages.iter().any(|message| message.tag == b'E');
    *(if failed { &mut tally.failed } else { &mut tally.wrong }) += 1;
    tally.reason(&error.to_string());
}

/// Sends a request and reads its answer. A failure to send is no verdict: the goodbye may lie in
/// the receive buffer already.
async fn request(client: &mut Client, flight: &Flight) -> Outcome {
    let sent = client.send(flight.bytes()).await;
    let mut messages = Vec::new();
    loop {
        match client.receive().await {
            Ok(message) if is_goodbye(&message) && messages.is_empty() => {
                return Outcome::AskedToLeave;
            }
            Ok(message) => {
                let last = message.tag == b'Z';
                messages.push(message);
                if last {
                    return Outcome::Answered(messages);
                }
            }
            Err(error) => return Outcome::Cut(reason(&messages, &sent, &error)),
        }
    }
}

fn is_goodbye(message: &Message) -> bool {
    message.tag == b'E' && message.fields().code == "57P01"
}

fn reason(messages: &[Message], sent: &anyhow::Result<()>, error: &anyhow::Error) -> String {
    let told = crate::pg::message::transcript(messages);
    match sent {
        Ok(()) => format!("after {told:?}: {error:#}"),
        Err(unsent) => format!("not sent: {unsent:#}, then {error:#}"),
    }
}
