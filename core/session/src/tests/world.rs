//! Clients and a few servers with the crate between them: bytes move in pieces, servers change hands
//! whenever they are free, as the random choices say.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::direct::{Expected, Send};
use super::fake::{FakePostgres, Settings};
use crate::parameters::Wanted;
use crate::{Output, Pause, Server, Session, Statements};

pub struct Client {
    session: Session,
    sends: Vec<Send>,
    next: usize,
    /// Sent by the client, not yet taken in.
    input: Vec<u8>,
    server: Option<usize>,
    waits_for_server: bool,
    pub received: Vec<u8>,
    /// It has vanished, its socket closed.
    pub gone: bool,
}

struct Connection {
    server: Server,
    fake: FakePostgres,
    to_fake: Vec<u8>,
    from_fake: Vec<u8>,
    taken: bool,
    /// The client that had it has vanished.
    orphan: bool,
    statements: usize,
}

/// Choices, then always 255: all that there is, in one piece.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn next(&mut self) -> usize {
        self.0.next().copied().unwrap_or(255).into()
    }

    fn piece(&mut self, all: usize) -> usize {
        match self.next() {
            choice @ 0..128 => all.min(choice % 16 + 1),
            _ => all,
        }
    }
}

pub struct World<'a> {
    pub clients: Vec<Client>,
    connections: Vec<Connection>,
    choices: Choices<'a>,
}

impl<'a> World<'a> {
    pub fn new(
        clients: &[(Option<&str>, Expected)],
        servers: usize,
        statements: usize,
        choices: &'a [u8],
    ) -> World<'a> {
        let known = Rc::new(RefCell::new(Statements::default()));
        let client = |(zone, expected): &(Option<&str>, Expected)| {
            let wanted = Wanted::new(zone.iter().map(|zone| ("TimeZone", *zone))).expect("a name");
            Client {
                session: Session::new(1, wanted, known.clone()),
                sends: expected.sends.clone(),
                next: 0,
                input: Vec::new(),
                server: None,
                waits_for_server: false,
                received: Vec::new(),
                gone: false,
            }
        };
        World {
            clients: clients.iter().map(client).collect(),
            connections: (0..servers).map(|_| Connection::new(statements)).collect(),
            choices: Choices(choices.iter()),
        }
    }

    /// Runs until nothing moves any more.
    pub fn run(&mut self) {
        let mut idle = 0;
        let actors = self.clients.len() + 2 * self.connections.len();
        let mut turn = 0;
        while idle < 2 * actors {
            let random = self.choices.0.len() > 0;
            let choice = self.choices.next();
            let actor = if choice == 255 { turn } else { choice } % actors;
            turn += 1;
            idle = if self.act(actor) || random { 0 } else { idle + 1 };
            self.connections.iter().for_each(Connection::check);
        }
        assert!(self.connections.iter().all(|connection| connection.server.is_free()));
    }

    fn act(&mut self, actor: usize) -> bool {
        let clients = self.clients.len();
        match actor.checked_sub(clients) {
            None => self.client(actor),
            Some(other) if other % 2 == 0 => self.feed(other / 2),
            Some(other) => self.drain(other / 2),
        }
    }

    /// A client sends a piece more, and gives its server back if that may be.
    fn client(&mut self, index: usize) -> bool {
        if self.clients[index].gone || self.vanish(index) {
            return false;
        }
        let released = self.release(index);
        let client = &mut self.clients[index];
        let mut moved = released;
        if let Some(send) = client.sends.get_mut(client.next)
            && client.received.len() >= send.after
        {
            let count = self.choices.piece(send.bytes.len());
            client.input.extend(send.bytes.drain(..count));
            client.next += usize::from(send.bytes.is_empty());
            moved = true;
        }
        self.send(index) || moved
    }

    /// Now and then a client is never seen again.
    fn vanish(&mut self, index: usize) -> bool {
        let vanishes = self.choices.next() == 77 && self.choices.next() < 64;
        if vanishes {
            self.clients[index].gone = true;
            if let Some(server) = self.clients[index].server.take() {
                self.connections[server].orphan = true;
                self.connections[server].recover();
            }
        }
        vanishes
    }

    fn send(&mut self, index: usize) -> bool {
        if self.clients[index].waits_for_server && !self.attach(index) {
            return false;
        }
        let client = &mut self.clients[index];
        let mut out = Output::default();
        let mut connection = client.server.map(|server| &mut self.connections[server]);
        let server = connection.as_mut().map(|connection| &mut connection.server);
        let taken = client.session.send(server, &client.input, &mut out);
        client.input.drain(..taken.consumed);
        client.waits_for_server = taken.pause == Pause::NeedServer;
        client.received.extend_from_slice(&out.to_client);
        let legal = matches!(taken.pause, Pause::More(_) | Pause::NeedServer | Pause::Hold);
        assert!(legal, "client {index} is refused: {:?}", taken.pause);
        match connection {
            Some(connection) => connection.to_fake.extend_from_slice(&out.to_server),
            None => assert!(out.to_server.is_empty(), "bytes for no server"),
        }
        taken.consumed > 0 || client.waits_for_server && self.connections.iter().any(|c| !c.taken)
    }

    fn attach(&mut self, index: usize) -> bool {
        let count = self.connections.len();
        let first = self.choices.next() % count;
        let free = (0..count).map(|i| (first + i) % count).find(|&i| !self.connections[i].taken);
        let Some(free) = free else { return false };
        let client = &mut self.clients[index];
        self.connections[free].prepare(&client.session.wanted);
        self.connections[free].taken = true;
        client.server = Some(free);
        client.waits_for_server = false;
        true
    }

    fn release(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let Some(server) = client.server else { return false };
        let wanted_by_another = self.choices.next() % 3 != 1;
        if !self.connections[server].server.is_free() || !wanted_by_another {
            return false;
        }
        self.connections[server].taken = false;
        client.server = None;
        true
    }

    fn feed(&mut self, index: usize) -> bool {
        let connection = &mut self.connections[index];
        let count = self.choices.piece(connection.to_fake.len());
        let piece: Vec<u8> = connection.to_fake.drain(..count).collect();
        connection.fake.take(&piece);
        // What ends a vanished client's flight may meet a COPY: that connection is closed.
        assert!(!connection.fake.lost || connection.orphan, "the server's protocol is violated");
        count > 0
    }

    fn drain(&mut self, index: usize) -> bool {
        let connection = &mut self.connections[index];
        let count = self.choices.piece(connection.fake.visible.len());
        connection.from_fake.extend(connection.fake.visible.drain(..count));
        let mut client = self.clients.iter_mut().find(|client| client.server == Some(index));
        let mut to_client = Vec::new();
        let session = client.as_mut().map(|client| &mut client.session);
        let taken = connection.server.receive(session, &connection.from_fake, &mut to_client);
        if taken.is_err() && connection.orphan {
            *connection = Connection::new(connection.statements);
            return true;
        }
        let taken = taken.unwrap_or_else(|confused| panic!("server {index}: {confused}"));
        connection.from_fake.drain(..taken);
        connection.to_fake.extend(connection.server.take_resent().unwrap_or_default());
        match client {
            Some(client) => client.received.extend_from_slice(&to_client),
            None => assert!(to_client.is_empty() || connection.orphan, "bytes for nobody"),
        }
        if connection.orphan {
            connection.recover();
        }
        count > 0
    }
}

impl Connection {
    fn new(statements: usize) -> Connection {
        let settings = Settings::new(&[]);
        Connection {
            server: Server::new(settings.at_login(), statements),
            fake: FakePostgres::new(settings),
            to_fake: Vec::new(),
            from_fake: Vec::new(),
            taken: false,
            orphan: false,
            statements,
        }
    }

    /// Finishes what a vanished client began, or closes the connection and opens another.
    fn recover(&mut self) {
        if !self.server.finish_flight(&mut self.to_fake) {
            *self = Connection::new(self.statements);
        }
        if self.server.is_quiet() && !self.server.is_free() {
            self.server.inject("ROLLBACK", &mut self.to_fake);
        }
        if self.server.is_free() {
            (self.orphan, self.taken) = (false, false);
        }
    }

    /// Resets what another client may have changed, and sets what this one wants.
    fn prepare(&mut self, wanted: &Wanted) {
        if self.server.is_tainted() {
            self.ask("DISCARD ALL");
            self.server.set_reset();
        }
        if let Some(sql) = self.server.parameters().difference(wanted) {
            self.ask(&sql);
            self.server.set_applied(wanted);
        }
        assert_eq!(self.server.parameters().difference(wanted), None);
    }

    fn ask(&mut self, sql: &str) {
        self.server.inject(sql, &mut self.to_fake);
        let all = std::mem::take(&mut self.to_fake);
        self.fake.take(&all);
        let replies = std::mem::take(&mut self.fake.visible);
        let mut to_client = Vec::new();
        let taken = self.server.receive(None, &replies, &mut to_client);
        assert_eq!(taken, Ok(replies.len()));
        assert!(to_client.is_empty(), "the client gets what the pooler asked for");
        assert_eq!(self.server.injected(), Ok(()), "{sql}");
        assert!(self.server.is_free());
    }

    /// What must hold at any time (I2, I4, I7).
    fn check(&self) {
        let held = &self.server.held;
        assert!(held.len() <= held.max(), "{held:?}");
        if !self.server.is_quiet() {
            return;
        }
        let mut fake = self.fake.clone();
        fake.take(&self.to_fake);
        assert!(self.from_fake.is_empty() && fake.visible.is_empty(), "a reply is owed");
        assert!(fake.is_between_flights(), "quiet, but the server is not: {fake:?}");
        if self.server.is_free() {
            assert!(fake.is_at_rest(), "free, but the server is not: {fake:?}");
        }
        let held: BTreeSet<Vec<u8>> = held.ids().map(|id| format!("pw_{id}").into()).collect();
        let stand_in = |name: &&Vec<u8>| **name == b"pw_0";
        let real: BTreeSet<Vec<u8>> =
            fake.statements.keys().filter(|name| !stand_in(name)).cloned().collect();
        assert_eq!(held, real, "statements that the server holds");
    }
}
