//! What clients do, as values: steps, units, scripts. Never a socket.

use std::collections::BTreeSet;

use crate::pg::Flight;

/// The mark of a client in a script; a run puts its own number in, of the same length.
pub fn mark(client: usize) -> String {
    format!("m00000000.{client}")
}

/// One thing that a client does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends a message, or a part of one.
    Send(Vec<u8>),
    /// Waits for a message with one of these tags.
    Until(&'static [u8]),
    /// Asks for cancels until a message with one of these tags comes.
    Cancel(&'static [u8]),
    /// Asks for one cancel and waits until it has been delivered.
    CancelOnce,
    /// The end of a unit: nothing is open but, perhaps, a transaction. The client may wait for all
    /// that it is owed.
    Fence { waits: bool },
    /// Closes the socket without a word.
    Vanish,
    /// The server processes of this client's user are ended; what the client sees next is its own
    /// affair.
    LoseServer,
    /// What the client sees from here on is its own affair.
    Adrift,
}

/// Steps that only make sense together. A unit whose needs are not met is left out.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    pub steps: Vec<Step>,
    /// No transaction has failed.
    pub needs_sound: bool,
    /// No error came since the unnamed statement was last set.
    pub needs_unnamed: bool,
    /// It sets the unnamed statement, or drops it.
    pub sets_unnamed: bool,
    /// No transaction is open.
    pub needs_idle: bool,
    /// It reads what a sequence gave before, and nothing else: the pooler may refuse that.
    pub reads_sequence: bool,
    /// Others rely on it: no script is made smaller by leaving it out.
    pub stays: bool,
}

impl Unit {
    pub fn new(steps: Vec<Step>) -> Unit {
        Unit { steps, ..Unit::default() }
    }
}

/// What a client is, before it does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    Plain,
    /// `TimeZone` at startup.
    Tokyo,
    /// `application_name` at startup.
    Named,
    /// Settings that the server does not report, in `options` at startup.
    Tuned,
}

impl Profile {
    pub const ALL: [Profile; 4] = [Profile::Plain, Profile::Tokyo, Profile::Named, Profile::Tuned];

    pub fn parameters(self) -> Option<(&'static str, &'static str)> {
        match self {
            Profile::Plain => None,
            Profile::Tokyo => Some(("TimeZone", "Asia/Tokyo")),
            Profile::Named => Some(("application_name", "a client")),
            Profile::Tuned => Some(("options", "-c work_mem=3MB -c search_path=other,public")),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Actor {
    pub profile: Profile,
    /// Which of the worker's users.
    pub user: usize,
    pub units: Vec<Unit>,
}

/// How the pooler keeps its server connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Transaction mode, with so many connections in a pool.
    Transaction(usize),
    /// Session mode.
    Session,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub actors: Vec<Actor>,
    pub mode: Mode,
    /// `preparedStatements.max`, 1 to 3.
    pub statements: usize,
    /// Whose turn it is, one entry for each step.
    pub turns: Vec<usize>,
    /// The turns are kept to the letter, though somebody waits.
    pub strict: bool,
    /// (client, unit) that are left out.
    pub dropped: BTreeSet<(usize, usize)>,
}

impl Script {
    /// Steps of all units that are not left out, by client, with the unit of each.
    pub fn kept(&self, client: usize) -> impl Iterator<Item = (usize, &Unit)> {
        let units = self.actors[client].units.iter().enumerate();
        units.filter(move |(index, _)| !self.dropped.contains(&(client, *index)))
    }
}

/// One step for each message of a flight.
pub fn sends(flights: impl IntoIterator<Item = Flight>) -> Vec<Step> {
    flights.into_iter().map(|flight| Step::Send(flight.bytes().to_vec())).collect()
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:?}, preparedStatements.max {}", self.mode, self.statements)?;
        for (client, actor) in self.actors.iter().enumerate() {
            writeln!(f, "client {client}, {:?}, user {}:", actor.profile, actor.user)?;
            for (index, unit) in self.kept(client) {
                write!(f, "  {index}:")?;
                for step in &unit.steps {
                    match step {
                        Step::Send(bytes) => write!(f, " {}", told(bytes))?,
                        Step::Until(tags) => write!(f, " until[{}]", tags.escape_ascii())?,
                        Step::Cancel(tags) => write!(f, " cancel[{}]", tags.escape_ascii())?,
                        other => write!(f, " {other:?}")?,
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// A message's tag and body.
fn told(bytes: &[u8]) -> String {
    match bytes {
        [tag, _, _, _, _, body @ ..] => format!("{}({})", char::from(*tag), body.escape_ascii()),
        part => format!("part({})", part.escape_ascii()),
    }
}
