//! Random scripts of one client, and their bytes.

use poolwright_wire::{TargetKind, write};
use proptest::prelude::*;

/// What one client sends before it may wait for replies.
#[derive(Clone, Debug)]
pub struct Step {
    pub messages: Vec<Message>,
    /// The client waits for all replies to the steps before.
    pub waits: bool,
}

/// Steps that belong together: a flight, or a COPY with its data.
pub type Unit = Vec<Step>;

#[derive(Clone, Debug)]
pub struct Script {
    /// `TimeZone` at startup.
    pub zone: Option<&'static str>,
    pub units: Vec<Unit>,
}

#[derive(Clone, Debug)]
pub enum Message {
    Query(String),
    Parse(&'static str, String),
    /// Portal, statement.
    Bind(&'static str, &'static str),
    DescribeStatement(&'static str),
    DescribePortal(&'static str),
    Execute(&'static str, i32),
    CloseStatement(&'static str),
    ClosePortal(&'static str),
    Flush,
    Sync,
    CopyData(&'static str),
    CopyDone,
    CopyFail,
}

impl Message {
    pub fn write(&self, out: &mut Vec<u8>) {
        let statement = TargetKind::Statement;
        match self {
            Message::Query(text) => write::query(out, text.as_bytes()),
            Message::Parse(name, text) => write::parse(out, name.as_bytes(), text.as_bytes(), &[]),
            Message::Bind(portal, name) => {
                write::bind_head(out, portal.as_bytes(), name.as_bytes(), 6);
                out.extend_from_slice(&[0; 6]);
            }
            Message::DescribeStatement(name) => write::describe(out, statement, name.as_bytes()),
            Message::DescribePortal(name) => {
                write::describe(out, TargetKind::Portal, name.as_bytes());
            }
            Message::Execute(portal, rows) => write::execute(out, portal.as_bytes(), *rows),
            Message::CloseStatement(name) => write::close(out, statement, name.as_bytes()),
            Message::ClosePortal(name) => write::close(out, TargetKind::Portal, name.as_bytes()),
            Message::Flush => write::flush(out),
            Message::Sync => write::sync(out),
            Message::CopyData(text) => {
                out.push(b'd');
                out.extend_from_slice(&(text.len() as u32 + 4).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Message::CopyDone => out.extend_from_slice(b"c\0\0\0\x04"),
            Message::CopyFail => write::copy_fail(out, b"enough"),
        }
    }
}

pub fn bytes(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    messages.iter().for_each(|message| message.write(&mut out));
    out
}

/// Texts that set or reset parameters depend on whether the client has any from its startup: what
/// RESET goes back to is then the server's own value.
fn text(mark: usize, resets: bool) -> impl Strategy<Value = String> {
    let own = [format!("SELECT 'mark {mark}'"), format!("SELECT 'other mark {mark}'")];
    let resetting: Vec<&str> =
        if resets { vec!["RESET TimeZone", "DISCARD ALL"] } else { vec!["SHOW TimeZone"] };
    let common = vec![
        "TABLE three",
        "TABLE three ",
        "SELECT 1/i FROM zero",
        "SELECT x FROM missing",
        "INSERT INTO sink VALUES ('a')",
        "SELEC",
        "",
        "COPY three TO STDOUT",
        "SHOW TimeZone",
    ];
    let settings = vec![
        "SET TimeZone = 'Asia/Tokyo'",
        "SET TimeZone = 'UTC'",
        "SET LOCAL TimeZone = 'Europe/Rome'",
        "SET application_name = 'mine'",
        "DEALLOCATE ALL",
    ];
    let owned = |texts: Vec<&'static str>| prop::sample::select(texts).prop_map(str::to_owned);
    prop_oneof![
        6 => prop::sample::select(own.to_vec()),
        6 => owned(common),
        3 => owned(vec!["BEGIN", "COMMIT", "ROLLBACK"]),
        1 => owned(settings),
        1 => owned(resetting),
    ]
}

/// Simple queries that name what the protocol prepared.
fn by_name() -> impl Strategy<Value = Message> {
    let texts =
        vec!["DEALLOCATE a", "DEALLOCATE b", "EXECUTE a", "EXECUTE b", "deallocate prepare C;"];
    prop::sample::select(texts).prop_map(|text| Message::Query(text.to_owned()))
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "c"])
}

fn portal() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "p"])
}

fn extended(mark: usize, resets: bool) -> impl Strategy<Value = Message> {
    prop_oneof![
        3 => (name(), text(mark, resets)).prop_map(|(name, text)| Message::Parse(name, text)),
        4 => (portal(), name()).prop_map(|(portal, name)| Message::Bind(portal, name)),
        1 => name().prop_map(Message::DescribeStatement),
        1 => portal().prop_map(Message::DescribePortal),
        4 => (portal(), 0..3).prop_map(|(portal, rows)| Message::Execute(portal, rows)),
        1 => name().prop_map(Message::CloseStatement),
        1 => portal().prop_map(Message::ClosePortal),
        1 => Just(Message::Flush),
        1 => text(mark, resets).prop_map(Message::Query),
        1 => by_name(),
    ]
}

/// What a driver sends to run a statement that it prepared before, or prepares now.
fn usual(mark: usize, resets: bool) -> impl Strategy<Value = Vec<Message>> {
    (name(), text(mark, resets), any::<bool>(), any::<bool>()).prop_map(
        |(name, text, parses, described)| {
            let mut messages = Vec::new();
            if parses {
                messages.push(Message::Parse(name, text));
            }
            messages.push(Message::Bind("", name));
            if described {
                messages.push(Message::DescribePortal(""));
            }
            messages.extend([Message::Execute("", 0), Message::Sync]);
            messages
        },
    )
}

fn flight(mark: usize, resets: bool) -> impl Strategy<Value = Vec<Message>> {
    let random = prop::collection::vec(extended(mark, resets), 0..7).prop_map(|mut messages| {
        messages.push(Message::Sync);
        messages
    });
    let queries = prop::collection::vec(text(mark, resets), 1..4)
        .prop_map(|texts| vec![Message::Query(texts.join("; "))]);
    let named = by_name().prop_map(|message| vec![message]);
    prop_oneof![3 => random, 3 => usual(mark, resets), 2 => queries, 1 => named]
}

/// COPY FROM in both protocols, its data with it or later, good or bad, ended or failed.
fn copy() -> impl Strategy<Value = Unit> {
    let target = prop::sample::select(vec!["COPY sink FROM STDIN", "COPY number FROM STDIN"]);
    let data = prop::collection::vec(prop::sample::select(vec!["1\n", "2\n3\n", "x\n"]), 0..3);
    let end = prop_oneof![2 => Just(Message::CopyDone), 1 => Just(Message::CopyFail)];
    let protocol = (any::<bool>(), any::<bool>(), prop::sample::select(vec!["", "k"]));
    (target, data, end, protocol, any::<[bool; 2]>()).prop_map(
        |(target, data, end, (extended, synced, name), waits)| {
            let mut begin = match extended {
                false => vec![Message::Query(format!("{target}; SELECT 'copied'"))],
                true => vec![
                    Message::Parse(name, target.to_owned()),
                    Message::Bind("", name),
                    Message::Execute("", 0),
                ],
            };
            if extended && synced {
                begin.push(Message::Sync);
            } else if extended {
                begin.push(Message::Flush);
            }
            let mut rest: Vec<_> = data.into_iter().map(Message::CopyData).collect();
            rest.push(end);
            if extended {
                // Nobody may bind this statement again and then send no data.
                rest.extend([Message::Sync, Message::CloseStatement(""), Message::Sync]);
            }
            vec![
                Step { messages: begin, waits: waits[0] },
                Step { messages: rest, waits: waits[1] },
            ]
        },
    )
}

/// As lib/pq does it: the server may be another when the statement runs.
fn described(mark: usize, resets: bool) -> impl Strategy<Value = Unit> {
    (text(mark, resets), any::<bool>()).prop_map(|(text, waits)| {
        let parse = vec![Message::Parse("", text), Message::DescribeStatement(""), Message::Sync];
        let run = vec![Message::Bind("", ""), Message::Execute("", 0), Message::Sync];
        vec![Step { messages: parse, waits }, Step { messages: run, waits }]
    })
}

fn unit(mark: usize, resets: bool) -> impl Strategy<Value = Unit> {
    let flight = (flight(mark, resets), any::<bool>())
        .prop_map(|(messages, waits)| vec![Step { messages, waits }]);
    prop_oneof![8 => flight, 1 => described(mark, resets), 1 => copy()]
}

pub fn script(mark: usize) -> impl Strategy<Value = Script> {
    prop_oneof![2 => Just(None), 1 => Just(Some("Asia/Tokyo"))].prop_flat_map(move |zone| {
        prop::collection::vec(unit(mark, zone.is_none()), 1..9)
            .prop_map(move |units| Script { zone, units })
    })
}
