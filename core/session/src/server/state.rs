//! What a client may have left in the session: what is in doubt, what the server is asked, and what
//! its answer makes of the two models. It never decides who gets the connection.

use poolwright_wire::Header;

use super::Server;
use crate::client::Session;
use crate::doubts::Doubts;
use crate::lexer::customs;
use crate::mutation::{self, Mutation};
use crate::parameters::{ROLE, Wanted};
use crate::survey::{self, Found, Pins};

/// Names of customized settings kept for one question; with more, any may have been set.
const CUSTOMS_LIMIT: usize = 64;

impl Server {
    /// The client may have changed what follows it, or begun or ended what pins it: the server is to
    /// be asked before anybody goes on.
    pub fn in_doubt(&self) -> bool {
        self.doubts.begins() || !self.doubts.is_none() && !self.pins.is_none()
    }

    /// The session is not fit for another client, and no question makes it so.
    pub fn is_tainted(&self) -> bool {
        self.doubts.begins() || self.unseen || !self.pins.is_none()
    }

    /// Settings may not be what the client is known to want.
    pub fn settings_in_doubt(&self) -> bool {
        survey::asks_settings(self.doubts)
    }

    /// A client has discarded all that the session began with, and the pooler not since.
    pub fn was_discarded(&self) -> bool {
        self.was_discarded
    }

    /// What only this connection has.
    pub fn pins(&self) -> Pins {
        self.pins
    }

    /// The client may have called nextval since its stay began.
    pub fn has_advanced(&self) -> bool {
        self.advanced
    }

    /// The client keeps the connection from now on because it may have used a sequence.
    pub fn pin_for_sequence(&mut self) {
        self.pins = self.pins.and(Pins::SEQUENCE);
    }

    /// Customized settings that `text` sets.
    pub(crate) fn note_customs(&mut self, text: &[u8]) {
        self.customs.append(&mut customs(text, self.reading));
        self.customs.sort();
        self.customs.dedup();
        if self.customs.len() > CUSTOMS_LIMIT {
            self.customs.clear();
            self.doubts |= Doubts::ANYTHING;
        }
    }

    /// What the server is to be asked, by [`Server::ask`]; its answer goes to [`Server::learn`].
    pub fn question(&self, session: &Session) -> String {
        let wanted = |wanted: &Wanted| {
            let names = wanted.iter().map(|(name, _)| name).filter(|name| name.contains('.'));
            names.map(Box::from).collect::<Vec<Box<str>>>()
        };
        let mut names = self.customs.clone();
        names.append(&mut wanted(&session.wanted));
        names.append(&mut wanted(session.startup()));
        names.sort();
        names.dedup();
        let settings = self.asks_settings();
        survey::question(settings, names.iter().map(|name| &**name), self.asked_pins())
    }

    /// What the server is to be asked before any client has the session; its answer goes to
    /// [`Server::begin`].
    pub fn first_question() -> String {
        survey::question(true, std::iter::empty(), Pins::NONE)
    }

    /// All clients begin with the session as it is now; false for what is no answer.
    pub fn begin(&mut self, answer: &[u8]) -> bool {
        let Some(found) = survey::read(answer) else { return false };
        let mut ground = Wanted::default();
        for (name, value) in &found.settings {
            ground.set(name, value);
        }
        if let Some(role) = found.role.filter(|role| role != "none") {
            ground.set(ROLE, &role);
        }
        self.parameters.settle(ground);
        true
    }

    /// The same, where nothing has been set since the login or the reset.
    pub fn begin_plainly(&mut self) {
        self.parameters.settle(Wanted::default());
    }

    /// Settings may have changed, or what of them pins may have ended.
    fn asks_settings(&self) -> bool {
        let pins = Pins::AUTHORIZATION.and(Pins::SETTING);
        survey::asks_settings(self.doubts)
            || self.doubts.is_any(Doubts::ENDS) && self.pins.has(pins)
    }

    /// What may have begun, and of what there is, what may have ended.
    fn asked_pins(&self) -> Pins {
        let ended = if self.doubts.is_any(Doubts::ENDS) { self.pins } else { Pins::NONE };
        survey::pins_of(self.doubts).and(ended)
    }

    /// Takes in what the server answered; false for what is no answer.
    pub fn learn(&mut self, answer: &[u8], session: &mut Session) -> bool {
        let Some(found) = survey::read(answer) else { return false };
        let asked = self.asked_pins().without(Pins::SEQUENCE);
        let mut pins = self.pins.without(asked).and(found.pins);
        if self.asks_settings() {
            pins = pins.without(Pins::AUTHORIZATION.and(Pins::SETTING)).and(found.pins);
            let leaks = mutation::is(Mutation::AuthorizationLeaks);
            if self.parameters.is_impersonated() && !leaks {
                pins = pins.and(Pins::AUTHORIZATION);
            }
            self.learn_settings(&found, session);
        }
        self.pins = pins;
        if !pins.has(Pins::STATEMENT) {
            self.sql_names.clear();
        }
        self.unseen |= self.doubts.is_any(Doubts::ANYTHING);
        self.forget_doubts();
        // Nobody else knows that they are to be asked for.
        self.customs = found.unsaid.iter().map(|name| name.as_str().into()).collect();
        true
    }

    /// The settings found are the client's own. One of its startup that is not among them was reset:
    /// the server gets it at the next difference.
    fn learn_settings(&mut self, found: &Found, session: &mut Session) {
        let mut set = Wanted::default();
        let begun = |name: &str, value: &str| {
            self.parameters.is_ground(name, value) && session.startup().get(name).is_none()
        };
        for (name, value) in found.settings.iter().filter(|(name, value)| !begun(name, value)) {
            let empty = value.is_empty() && name.contains('.');
            let emptied = !self.was_reset && session.startup().get(name).is_some();
            if !empty || emptied {
                set.set(name, value);
            }
        }
        if let Some(role) = found.role.as_ref().filter(|role| !begun(ROLE, role)) {
            let left = !self.was_reset && session.startup().get(ROLE).is_some();
            if role != "none" || left || found.has_default_roles {
                set.set(ROLE, role);
            }
        }
        self.parameters.set_applied(&set);
        let startup = session.startup().clone();
        for (name, value) in startup.iter() {
            if set.get(name).is_none() && !found.unsaid.iter().any(|unsaid| unsaid == name) {
                set.set(name, value);
            }
        }
        session.wanted = set;
    }

    /// Customized settings whose names nobody knows may be set, and nothing pins the client: RESET
    /// ALL is due, see [`Server::set_settings_reset`].
    pub fn owes_reset(&self) -> bool {
        self.unseen && self.pins.is_none()
    }

    /// RESET ALL went through.
    pub fn set_settings_reset(&mut self) {
        self.parameters.set_settings_reset();
        self.unseen = false;
    }

    /// Whole messages for the client.
    pub fn take_notifications(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.notifications)
    }

    pub(super) fn keep_notification(&mut self, head: Header, body: &[u8]) {
        self.notifications.push(head.tag);
        self.notifications.extend_from_slice(&(head.length + 4).to_be_bytes());
        self.notifications.extend_from_slice(body);
    }

    pub(super) fn forget_doubts(&mut self) {
        self.doubts = Doubts::NONE;
        self.customs = Vec::new();
        self.was_reset = false;
    }

    pub(super) fn forget_state(&mut self) {
        self.forget_doubts();
        self.was_discarded = false;
        self.pins = Pins::NONE;
        self.unseen = false;
        self.notifications = Vec::new();
    }
}
