//! One client, one server connection and a fake server behind it, moved step by step.

use std::cell::RefCell;
use std::rc::Rc;

use poolwright_wire::write::ErrorFields;
use poolwright_wire::{read, server as tag};

use super::fake::{FakePostgres, Settings};
use super::script::{Message, bytes};
use crate::parameters::Wanted;
use crate::{Output, Pause, Server, Session, Statements};

pub struct Pair {
    pub known: Rc<RefCell<Statements>>,
    pub session: Session,
    pub server: Server,
    pub fake: FakePostgres,
    pub to_fake: Vec<u8>,
    pub received: Vec<u8>,
    /// Clients that had the server before and have not left.
    pub others: Vec<Session>,
}

impl Pair {
    /// `statements`: how many prepared statements the server may hold.
    pub fn new(statements: usize) -> Pair {
        let known = Rc::new(RefCell::new(Statements::default()));
        let settings = Settings::new(&[]);
        Pair {
            session: Session::new(1, Wanted::default(), known.clone()),
            known,
            server: Server::new(settings.at_login(), statements),
            fake: FakePostgres::new(settings),
            to_fake: Vec::new(),
            received: Vec::new(),
            others: Vec::new(),
        }
    }

    /// The client goes on with a fresh server; its last one must have been free.
    pub fn change_server(&mut self) {
        assert!(self.server.is_free());
        let settings = Settings::new(&[]);
        self.server = Server::new(settings.at_login(), 10);
        self.fake = FakePostgres::new(settings);
    }

    /// The server has gone, and read nothing of what was sent last; the client goes on with another.
    pub fn lose_server(&mut self) -> String {
        let error = ErrorFields { sqlstate: "57014", severity: "ERROR", ..ErrorFields::default() };
        let mut out = Output::default();
        self.session.refuse_sent(&mut self.server, &error, &mut out);
        self.to_fake.clear();
        self.server.open_flight = false;
        self.change_server();
        summary(&out.to_client)
    }

    /// The client sends what needs no server; answers what it gets.
    pub fn send_detached(&mut self, messages: &[Message]) -> String {
        let mut out = Output::default();
        let taken = self.session.send(None, &bytes(messages), &mut out);
        assert_eq!(taken.pause, Pause::More(0));
        summary(&out.to_client)
    }

    /// The server goes on with another client; it must be free.
    pub fn change_client(&mut self, startup: &[(&str, &str)]) {
        assert!(self.server.is_free());
        let wanted = Wanted::new(startup.iter().copied()).expect("names of settings");
        let session = Session::new(1, wanted, self.known.clone());
        self.others.push(std::mem::replace(&mut self.session, session));
    }

    /// The client sends; the server does not get it yet. Answers why it stopped and how many bytes
    /// were left.
    pub fn send(&mut self, messages: &[Message]) -> (Pause, usize) {
        self.send_bytes(&bytes(messages))
    }

    pub fn send_bytes(&mut self, input: &[u8]) -> (Pause, usize) {
        let mut out = Output::default();
        let taken = self.session.send(Some(&mut self.server), input, &mut out);
        self.to_fake.extend(out.to_server);
        self.received.extend(out.to_client);
        (taken.pause, input.len() - taken.consumed)
    }

    /// The server does all it was sent, and its replies come in.
    pub fn serve(&mut self) {
        let sent = std::mem::take(&mut self.to_fake);
        self.fake.take(&sent);
        assert!(!self.fake.lost, "the server's protocol is violated");
        let replies = std::mem::take(&mut self.fake.visible);
        self.receive(&replies);
    }

    pub fn receive(&mut self, replies: &[u8]) {
        let session = Some(&mut self.session);
        let taken = self.server.receive(session, replies, &mut self.received);
        assert_eq!(taken, Ok(replies.len()));
        self.to_fake.extend(self.server.take_resent().unwrap_or_default());
    }

    /// As [`Pair::serve`], the client being gone.
    pub fn serve_nobody(&mut self) {
        let sent = std::mem::take(&mut self.to_fake);
        self.fake.take(&sent);
        let replies = std::mem::take(&mut self.fake.visible);
        let mut nobody = Vec::new();
        assert_eq!(self.server.receive(None, &replies, &mut nobody), Ok(replies.len()));
        assert!(nobody.is_empty());
    }

    /// Sends all, also what is held until the server has answered, and answers what the client has
    /// got since the last call.
    pub fn ask(&mut self, messages: &[Message]) -> String {
        self.ask_bytes(bytes(messages))
    }

    pub fn ask_bytes(&mut self, mut input: Vec<u8>) -> String {
        for _ in 0..10 {
            let (pause, left) = self.send_bytes(&input);
            assert!(matches!(pause, Pause::More(0) | Pause::Hold), "{pause:?}");
            input.drain(..input.len() - left);
            while !self.to_fake.is_empty() {
                self.serve();
            }
            if input.is_empty() {
                return self.seen();
            }
        }
        panic!("held for good");
    }

    pub fn seen(&mut self) -> String {
        summary(&std::mem::take(&mut self.received))
    }

    /// How many statements the server holds, by the model and in truth.
    pub fn held(&self) -> (usize, usize) {
        (self.server.held.len(), self.fake.statements.len())
    }
}

/// Tags, with what matters of a body: `1 2 D:mark C:SELECT 1 Z:I`, `E:26000`.
pub fn summary(mut all: &[u8]) -> String {
    let mut parts = Vec::new();
    while let Some(head) = poolwright_wire::header(all).expect("a header") {
        let (message, rest) = all.split_at(head.total());
        let body = &message[5..];
        let told = match head.tag {
            tag::DATA_ROW => &body[6..],
            tag::COMMAND_COMPLETE => &body[..body.len() - 1],
            tag::READY_FOR_QUERY => body,
            tag::ERROR_RESPONSE => read::report(body).expect("an error").sqlstate,
            _ => b"",
        };
        let colon = if told.is_empty() { "" } else { ":" };
        let tag = char::from(head.tag);
        parts.push(format!("{tag}{colon}{}", told.escape_ascii()));
        all = rest;
    }
    assert!(all.is_empty(), "half a message");
    parts.join(" ")
}
