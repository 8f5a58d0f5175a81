//! One server connection: the model of it, the fake server behind it, and the bytes between. What the
//! pooler does to make one fit for the next client is done here in the same order.

use poolwright_session::parameters::Wanted;
use poolwright_session::{Confused, Server, Session};
use poolwright_wire::TransactionStatus;

use crate::fake::{FakePostgres, Settings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Opening,
    Idle,
    /// A client, by number, has it.
    Held(usize),
    /// Nobody has it; it is being made fit.
    Cleaning,
    Closing,
}

pub struct Link {
    pub phase: Phase,
    pub model: Server,
    pub fake: FakePostgres,
    pub to_fake: Vec<u8>,
    pub from_fake: Vec<u8>,
    /// Cancels on their way that Postgres has not confirmed.
    pub cancels: u32,
    /// A vanished client's bytes may have ended the session.
    pub orphan: bool,
    resetting: bool,
    /// What a client wants that is being set.
    pub applying: bool,
}

/// What came of making a connection fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Yes,
    NotYet,
    Never,
}

impl Link {
    pub fn new(statements: usize) -> Link {
        let settings = Settings::new(&[]);
        Link {
            phase: Phase::Opening,
            model: Server::new(settings.at_login(), statements),
            fake: FakePostgres::new(settings),
            to_fake: Vec::new(),
            from_fake: Vec::new(),
            cancels: 0,
            orphan: false,
            resetting: false,
            applying: false,
        }
    }

    /// Moves so many bytes to the server and lets it work.
    pub fn feed(&mut self, count: usize) {
        let count = count.min(self.to_fake.len());
        let piece: Vec<u8> = self.to_fake.drain(..count).collect();
        self.fake.take(&piece);
        assert!(!self.fake.lost || self.orphan, "the server's protocol is violated");
    }

    /// Moves so many bytes from the server; what the client gets is appended.
    pub fn drain(
        &mut self,
        count: usize,
        session: Option<&mut Session>,
        to_client: &mut Vec<u8>,
    ) -> Result<(), Confused> {
        let count = count.min(self.fake.visible.len());
        self.from_fake.extend(self.fake.visible.drain(..count));
        let present = session.is_some();
        let used = self.model.receive(session, &self.from_fake, to_client)?;
        self.from_fake.drain(..used);
        assert!(present || to_client.is_empty() || self.orphan, "bytes for nobody");
        Ok(())
    }

    /// Nothing is owed or half done in either direction.
    pub fn is_free(&self) -> bool {
        self.model.is_free() && self.to_fake.is_empty() && self.from_fake.is_empty()
    }

    /// One step of what makes it fit for the next client (I5, I7, I8).
    pub fn clean(&mut self) -> Fit {
        if self.resetting && self.model.is_quiet() {
            self.resetting = false;
            if self.model.injected().is_err() {
                return Fit::Never;
            }
            self.model.set_reset();
        }
        if !self.model.is_quiet() {
            if self.model.awaits_sync() && !self.model.finish_flight(&mut self.to_fake) {
                return Fit::Never;
            }
            return Fit::NotYet;
        }
        if self.model.status() != TransactionStatus::Idle {
            self.model.inject("ROLLBACK", &mut self.to_fake);
            return Fit::NotYet;
        }
        if self.cancels > 0 || !self.is_free() {
            return Fit::NotYet;
        }
        if self.model.is_tainted() {
            self.model.inject("DISCARD ALL", &mut self.to_fake);
            self.resetting = true;
            return Fit::NotYet;
        }
        self.orphan = false;
        Fit::Yes
    }

    /// Sets what a client wants; nothing of its request may be there yet.
    pub fn apply(&mut self, wanted: &Wanted) {
        if let Some(sql) = self.model.parameters().difference(wanted) {
            self.model.inject(&sql, &mut self.to_fake);
            self.applying = true;
        }
    }

    /// What must hold when a connection changes hands (I2, I5, I7, I8).
    pub fn check_rest(&self) {
        assert!(self.model.is_free(), "it rests and is not free");
        assert_eq!(self.cancels, 0, "a cancel for it is under way");
        assert!(self.to_fake.is_empty() && self.from_fake.is_empty(), "it rests with bytes");
        assert!(self.fake.is_at_rest(), "the server is not at rest: {:?}", self.fake);
        assert!(!self.model.is_tainted(), "it was not reset");
        let model = self.model.parameters();
        for name in ["application_name", "TimeZone"] {
            assert_eq!(model.get(name), Some(self.fake.settings.get(name)), "{name}");
        }
        assert_eq!(self.fake.settings.get("search_path"), "a", "search_path was left behind");
    }
}
