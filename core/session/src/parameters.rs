//! Run-time parameters: what a client wants set, what a server connection has set, and the SQL that
//! makes one equal the other. Names are compared in lower case, as Postgres does.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

use poolwright_wire::write;

use crate::mutation::{self, Mutation};

/// What a client asked for at startup and has changed since, where the server reports it. Copies
/// share their content until one is changed; `None`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(Option<Rc<Vec<Setting>>>);

/// Name in lower case, and value; lists are ordered by name.
type Setting = (Box<str>, Box<str>);

/// What a server has reported before any client had the session: name as reported, value.
pub type Base = Rc<BTreeMap<Box<str>, Box<str>>>;

/// A startup parameter's name that is no name of a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized configuration parameter \"{0}\"")]
pub struct BadName(pub String);

impl Wanted {
    /// # Errors
    /// [`BadName`] for a name with other characters than ASCII letters, digits, `_`, `.` and `-`.
    pub fn new<'a>(
        startup: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Wanted, BadName> {
        let mut wanted = Wanted::default();
        for (name, value) in startup {
            if !is_name(name) {
                return Err(BadName(name.to_owned()));
            }
            wanted.set(name, value);
        }
        Ok(wanted)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).ok().map(|place| &*self.settings()[place].1)
    }

    /// Wants this value from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        let place = self.place(&name);
        let settings = Rc::make_mut(self.0.get_or_insert_default());
        match place {
            Ok(place) => settings[place].1 = value.into(),
            Err(place) => settings.insert(place, (name.into(), value.into())),
        }
    }

    /// Wants this no longer.
    pub fn remove(&mut self, name: &str) {
        if let Ok(place) = self.place(name)
            && let Some(settings) = &mut self.0
        {
            Rc::make_mut(settings).remove(place);
        }
        self.0.take_if(|settings| settings.is_empty());
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.settings().binary_search_by(|(other, _)| (**other).cmp(name))
    }

    /// What of it may decide how a statement's text is read: all but what is known not to.
    pub fn meaning(&self) -> String {
        let mut meaning = String::new();
        for (name, value) in self.iter().filter(|(name, _)| !MEANINGLESS.contains(name)) {
            if name == SEARCH_PATH && mutation::is(Mutation::StatementsWithoutPath) {
                continue;
            }
            let _ = write!(meaning, "{name}={value}\0");
        }
        meaning
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings().iter().map(|(name, value)| (&**name, &**value))
    }

    fn settings(&self) -> &[Setting] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

/// Whether this may be the name of a setting: it is written into SQL as it is.
pub(crate) fn is_name(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    !name.is_empty() && name.bytes().all(known)
}

/// Parameters that often differ between clients and never change what a text means.
const MEANINGLESS: &[&str] = &[
    "application_name",
    "client_min_messages",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "statement_timeout",
];

/// Parameters that decide how the lexer reads a text.
pub(crate) const READING: [&str; 2] = ["client_encoding", "standard_conforming_strings"];

/// The role that a session acts as. Others may be allowed or forbidden by it: it goes first when it
/// is reset and comes last when it is set.
pub(crate) const ROLE: &str = "role";

const SEARCH_PATH: &str = "search_path";

/// The parameter that makes any error the end of the session; any role may set it.
const EXIT_ON_ERROR: &str = "exit_on_error";

/// Commits the messages before it, which a Query by itself does not since PostgreSQL 18, and is skipped
/// when one of them fails. Without the BEGIN there would be a warning in the server's log.
const COMMIT_AHEAD: &[u8] = b"BEGIN;COMMIT";

/// Reported parameters that decide what values mean to a client, so that it keeps those that it was
/// told at its login.
pub(crate) const TOLD: [&str; 5] =
    ["client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings"];

/// Reported parameters that no SET changes.
const FIXED: &[&str] = &[
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
];

/// What one server connection has set.
#[derive(Clone, Debug, Default)]
pub struct Current {
    base: Base,
    /// As ParameterStatus said last.
    reported: BTreeMap<Box<str>, Box<str>>,
    /// What statements of the pooler's own have set for all clients.
    ground: Wanted,
    /// Set beyond that.
    applied: Wanted,
}

impl Current {
    pub fn new(login: impl IntoIterator<Item = (String, String)>) -> Current {
        let base: BTreeMap<_, _> =
            login.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (ground, applied) = (Wanted::default(), Wanted::default());
        Current { reported: base.clone(), base: Rc::new(base), ground, applied }
    }

    /// All clients begin with the session as it is now, in which `ground` is set.
    pub(crate) fn settle(&mut self, ground: Wanted) {
        self.base = Rc::new(self.reported.clone());
        self.ground = ground;
    }

    /// Whether all clients begin with this.
    pub(crate) fn is_ground(&self, name: &str, value: &str) -> bool {
        self.ground.get(name) == Some(value)
    }

    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Shares the base with others that have the same; false where it is another.
    pub(crate) fn share_base(&mut self, base: &Base) -> bool {
        let same = self.base == *base;
        if same {
            self.base = Rc::clone(base);
        }
        same
    }

    /// All reported parameters, as the server spells them.
    pub fn reported(&self) -> impl Iterator<Item = (&str, &str)> {
        self.reported.iter().map(|(name, value)| (&**name, &**value))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.reported.get(name).map(|value| &**value)
    }

    /// Notes a ParameterStatus that answers the pooler's own statement.
    pub fn report(&mut self, name: &str, value: &str) {
        match self.reported.get_mut(name) {
            Some(known) if **known == *value => {}
            Some(known) => *known = value.into(),
            None => drop(self.reported.insert(name.into(), value.into())),
        }
    }

    /// Notes a ParameterStatus that a client's statement caused: the client keeps what it set, but for
    /// what it would have anyhow.
    pub fn report_to(&mut self, name: &str, value: &str, wanted: &mut Wanted, startup: &Wanted) {
        self.report(name, value);
        if FIXED.contains(&name) {
            return;
        }
        let lower = name.to_ascii_lowercase();
        if self.is_base(name, value) && startup.get(&lower).is_none() {
            self.applied.remove(&lower);
            wanted.remove(&lower);
        } else {
            self.applied.set(&lower, value);
            wanted.set(&lower, value);
        }
    }

    /// Whether this is what a RESET goes back to.
    pub fn is_base(&self, name: &str, value: &str) -> bool {
        self.base.get(name).is_some_and(|base| **base == *value)
    }

    /// What is set beyond the login's state.
    pub(crate) fn applied(&self) -> &Wanted {
        &self.applied
    }

    /// The settings are as `wanted`.
    pub fn are(&self, wanted: &Wanted) -> bool {
        self.applied == *wanted
    }

    /// The SQL that turns this connection's settings into the wanted ones; `None` if they are equal.
    pub fn difference(&self, wanted: &Wanted) -> Option<String> {
        if self.are(wanted) {
            return None;
        }
        let mut sql = String::new();
        if self.resets_role() {
            write_reset(&mut sql, ROLE);
        }
        let mut set = String::new();
        for (name, value) in self.changes(wanted) {
            match value {
                None => write_reset(&mut sql, name),
                Some(value) => write_set(&mut set, name, value, Lasts::ForSession),
            }
        }
        if let Some(role) = self.role_for(wanted) {
            write_set(&mut set, ROLE, role, Lasts::ForSession);
        }
        if set.pop().is_some() {
            sql += "SELECT ";
            sql += &set;
            sql.push(';');
        }
        Some(sql)
    }

    /// The same change as messages that can go ahead of a client's request, for nothing sent behind
    /// them runs unless all of them went through (invariant I3b): an error makes the server skip what
    /// follows, until a Sync, or end the session. False if the settings are equal, or have to be
    /// there before the text behind them is read.
    pub fn write_ahead(&self, wanted: &Wanted, to_server: &mut Vec<u8>) -> bool {
        if self.are(wanted) || wanted.get(EXIT_ON_ERROR).is_some() {
            return false;
        }
        let mut sql = String::with_capacity(256);
        sql.push_str("SELECT ");
        for (name, value) in self.changes(wanted) {
            if READING.contains(&name) {
                return false;
            }
            match value {
                None => {
                    for part in ["pg_catalog.set_config('", name, "',NULL,false),"] {
                        sql.push_str(part);
                    }
                }
                Some(value) => write_set(&mut sql, name, value, Lasts::ForSession),
            }
        }
        if mutation::is(Mutation::SettingsFailOpen) {
            write::query(to_server, self.difference(wanted).unwrap_or_default().as_bytes());
            return true;
        }
        if self.resets_role() {
            write::run(to_server, b"RESET role");
        }
        if let Some(role) = self.role_for(wanted) {
            write_set(&mut sql, ROLE, role, Lasts::ForSession);
        }
        // What comes behind it, its commit first, finds it set; it ends with the commit.
        write_set(&mut sql, EXIT_ON_ERROR, "on", Lasts::ForTransaction);
        sql.pop();
        write::run(to_server, sql.as_bytes());
        write::query(to_server, COMMIT_AHEAD);
        true
    }

    fn resets_role(&self) -> bool {
        self.applied.get(ROLE).is_some() && !leaks(ROLE)
    }

    /// The role to be set, once the one that a client has set is reset.
    fn role_for<'a>(&'a self, wanted: &'a Wanted) -> Option<&'a str> {
        let ground = || self.ground.get(ROLE).filter(|_| self.resets_role());
        wanted.get(ROLE).or_else(ground)
    }

    /// What is to be set, and, without a value, what is to be reset; but for the role.
    fn changes<'a>(
        &'a self,
        wanted: &'a Wanted,
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let (mut now, mut then) = (self.applied.iter().peekable(), wanted.iter().peekable());
        let both = std::iter::from_fn(move || {
            let order = match (now.peek(), then.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((now, _)), Some((then, _))) => now.cmp(then),
            };
            let now = if order.is_le() { now.next() } else { None };
            let then = if order.is_ge() { then.next() } else { None };
            let name = now.or(then)?.0;
            Some((name, now.map(|(_, value)| value), then.map(|(_, value)| value)))
        });
        both.filter_map(move |(name, now, then)| {
            let differs = now != then && name != ROLE && (then.is_some() || !leaks(name));
            differs.then(|| (name, then.or_else(|| self.ground.get(name))))
        })
    }

    /// The settings are now the wanted ones.
    pub fn set_applied(&mut self, wanted: &Wanted) {
        self.applied = wanted.clone();
    }

    /// RESET ALL went through: the role is no setting to it.
    pub fn set_settings_reset(&mut self) {
        for settings in [&mut self.applied, &mut self.ground] {
            let mut role = Wanted::default();
            settings.get(ROLE).into_iter().for_each(|name| role.set(ROLE, name));
            *settings = role;
        }
    }

    /// Somebody else's rights are used than those of the login.
    pub fn is_impersonated(&self) -> bool {
        const NAME: &str = "session_authorization";
        self.reported.get(NAME) != self.base.get(NAME)
    }

    /// The server has reset its session, and what all clients begin with as well.
    pub fn set_reset(&mut self) {
        self.applied = Wanted::default();
        self.ground = Wanted::default();
    }
}

/// Whether this build is to leave the setting to the next client.
fn leaks(name: &str) -> bool {
    mutation::is(match name {
        ROLE => Mutation::RoleLeaks,
        SEARCH_PATH => Mutation::SearchPathLeaks,
        _ => Mutation::SettingsLeak,
    })
}

fn write_reset(sql: &mut String, name: &str) {
    sql.push_str("RESET ");
    for (i, part) in name.split('.').enumerate() {
        let dot = if i > 0 { "." } else { "" };
        let _ = write!(sql, "{dot}\"{part}\"");
    }
    sql.push(';');
}

/// How long a setting lasts.
#[derive(Clone, Copy)]
enum Lasts {
    ForSession,
    ForTransaction,
}

/// A call with a comma behind it. `set_config` reads a value as the startup packet does, lists
/// included.
fn write_set(sql: &mut String, name: &str, value: &str, lasts: Lasts) {
    for part in ["pg_catalog.set_config('", name, "',E'"] {
        sql.push_str(part);
    }
    let odd = |b: u8| !(b.is_ascii_graphic() || b == b' ') || b == b'\'' || b == b'\\';
    if value.bytes().any(odd) {
        for byte in value.bytes() {
            let _ = write!(sql, "\\x{byte:02x}");
        }
    } else {
        sql.push_str(value);
    }
    sql.push_str(match lasts {
        Lasts::ForSession => "',false),",
        Lasts::ForTransaction => "',true),",
    });
}
