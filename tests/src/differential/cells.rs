//! The table message × state × fault: a directed script for each cell, or why there can be none. Rows
//! and columns are the enums of `poolwright_session`, so that a new one shows up here.

use std::collections::BTreeSet;

use poolwright_session::{Kind, State};

use super::chance::ending;
use super::script::{Actor, Mode, Profile, Script, Step, Unit, mark, sends};
use crate::pg::Flight;

/// What goes wrong with a message, or around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    None,
    /// The server answers it with an error.
    Fails,
    /// Its body is not what its tag says.
    Malformed,
    /// It comes in two parts.
    Torn,
    /// The client is gone in the middle of it.
    Cut,
    /// The client is gone right behind it.
    Gone,
    /// A cancel request comes for what runs then; for nothing, if nothing runs.
    Cancelled,
    /// The server process ended right before it.
    ServerLost,
}

impl Fault {
    pub const ALL: [Fault; 8] = [
        Fault::None,
        Fault::Fails,
        Fault::Malformed,
        Fault::Torn,
        Fault::Cut,
        Fault::Gone,
        Fault::Cancelled,
        Fault::ServerLost,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub kind: Kind,
    pub state: State,
    pub fault: Fault,
}

/// All cells, in the order of their seeds.
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for kind in Kind::ALL {
        for state in State::ALL {
            cells.extend(Fault::ALL.map(|fault| Cell { kind, state, fault }));
        }
    }
    cells
}

/// The client that the cell is about; the other one stands by, and must be served all the same.
const TESTED: usize = 1;
/// A statement that is prepared, and a portal where there may be one.
const KNOWN: &str = "s";
const PORTAL: &str = "k";

impl Cell {
    /// Why no script can reach the cell.
    pub fn impossible(self) -> Option<&'static str> {
        let Cell { kind, state, fault } = self;
        let copy_kind = matches!(kind, Kind::CopyData | Kind::CopyDone | Kind::CopyFail);
        let in_copy = matches!(state, State::CopyIn | State::EarlyData);
        let skips = matches!(state, State::Skipping | State::Refused);
        match (fault, kind) {
            (Fault::ServerLost, _) if state == State::Refused => {
                Some("a session whose request was refused has no server to lose")
            }
            (Fault::Cancelled, Kind::Terminate) => Some("the session is over"),
            (Fault::Malformed, Kind::CopyData) => Some("any bytes are data"),
            (Fault::Fails, Kind::Close | Kind::Flush | Kind::Terminate | Kind::CopyFail) => {
                Some("the message cannot fail")
            }
            (Fault::Malformed, Kind::Sync) if state == State::Refused => {
                Some("it only ends what falls, whatever is in it")
            }
            (Fault::Fails, Kind::Sync) if state != State::Flight => {
                Some("only a Sync that commits can fail")
            }
            (Fault::Fails, _) if skips => Some("it is skipped unread"),
            (Fault::Fails, Kind::CopyData | Kind::CopyDone) if !in_copy => {
                Some("outside a COPY it is skipped")
            }
            (Fault::Fails, _) if in_copy && !copy_kind => {
                Some("amid a COPY it always fails: see the column None")
            }
            (Fault::None | Fault::Torn, Kind::Execute)
                if matches!(
                    state,
                    State::Detached | State::Attached | State::Owed | State::Failed
                ) =>
            {
                Some("no portal outlives its transaction: see the column Fails")
            }
            _ => None,
        }
    }

    /// The script that reaches the cell.
    pub fn script(self, variant: u64) -> Script {
        let holder = self.state == State::Refused;
        let mode = match self.state {
            State::Attached => Mode::Session,
            State::Refused => Mode::Transaction(1),
            _ => Mode::Transaction(1 + (variant % 2) as usize),
        };
        let bystander =
            vec![unit(queries(&[if holder { "BEGIN" } else { "SELECT 'm00000000.0'" }]))];
        let bystander: Vec<_> = bystander.into_iter().chain(ending(&mark(0))).collect();
        let tested = self.units();
        let turns = match holder {
            // The only server is held from behind what the tested client does first until its request
            // has been refused.
            true => {
                interleave(&[(TESTED, &tested[..1]), (0, &bystander[..1]), (TESTED, &tested[1..2])])
            }
            false => interleave(&[(TESTED, &tested)]),
        };
        Script {
            turns,
            actors: vec![actor(bystander), actor(tested)],
            mode,
            statements: 1 + (variant % 3) as usize,
            strict: true,
            dropped: BTreeSet::new(),
        }
    }

    fn units(self) -> Vec<Unit> {
        let own = mark(TESTED);
        let known = Flight::new().parse(KNOWN, &format!("SELECT '{own}' AS mark")).sync();
        let mut units = vec![unit(sends([known]))];
        let mut steps = self.prelude();
        if self.fault == Fault::ServerLost {
            steps.push(Step::LoseServer);
        }
        if self.differs() {
            steps.push(Step::Adrift);
        }
        let message = self.message();
        match self.fault {
            Fault::Torn => {
                let (first, rest) = message.split_at(message.len() / 2);
                steps.extend([Step::Send(first.to_vec()), Step::Send(rest.to_vec())]);
            }
            Fault::Cut => {
                steps.extend([Step::Send(message[..message.len() / 2].to_vec()), Step::Vanish]);
                units.push(Unit::new(steps));
                return units;
            }
            Fault::Gone => {
                steps.extend([Step::Send(message), Step::Vanish]);
                units.push(Unit::new(steps));
                return units;
            }
            _ => steps.push(Step::Send(message)),
        }
        if self.fault == Fault::Cancelled && self.runs() {
            steps.push(Step::Cancel(b"E"));
        }
        steps.extend(self.epilogue());
        steps.push(Step::Fence { waits: true });
        if self.fault == Fault::Cancelled {
            steps.push(Step::CancelOnce);
        }
        units.push(Unit::new(steps));
        units.extend(ending(&own));
        units
    }

    /// The pooler treats it in another way; `docs/compatibility.md`, Errors.
    fn differs(self) -> bool {
        self.state == State::EarlyData && matches!(self.kind, Kind::Sync | Kind::Close)
    }

    /// Something runs that a cancel ends.
    fn runs(self) -> bool {
        self.state == State::Owed || self.sleeps()
    }

    /// The message itself runs until it is cancelled.
    fn sleeps(self) -> bool {
        let free =
            matches!(self.state, State::Detached | State::Attached | State::Open | State::Flight);
        self.fault == Fault::Cancelled
            && (self.kind == Kind::Query && free
                || self.kind == Kind::Execute && matches!(self.state, State::Open | State::Flight))
    }

    /// What brings the session into the state.
    fn prelude(self) -> Vec<Step> {
        let own = mark(TESTED);
        let flight = Flight::new;
        match self.state {
            State::Detached => Vec::new(),
            State::Attached => ready(&format!("SELECT '{own}'")),
            State::Open => {
                let mut steps = ready("BEGIN");
                steps.extend(sends([self.portal(), flight().sync()]));
                steps.push(Step::Until(b"Z"));
                steps
            }
            State::Failed => [ready("BEGIN"), ready("SELECT x FROM missing")].concat(),
            State::Owed => {
                let seconds = if self.fault == Fault::Cancelled { "30" } else { "0.01" };
                sends([flight().query(&format!("SELECT '{own}', pg_sleep({seconds})"))])
            }
            State::Flight => {
                let late = format!("INSERT INTO late VALUES ('{own}'), ('{own}')");
                let commits = self.kind == Kind::Sync && self.fault == Fault::Fails;
                let text = if commits { late } else { format!("SELECT '{own}' AS f") };
                let first = [flight().parse("", &text), flight().bind("", "", &[])];
                let mut steps = sends(first.into_iter().chain([
                    flight().execute("", 0),
                    self.portal(),
                    flight().flush(),
                ]));
                steps.push(Step::Until(b"CE"));
                steps
            }
            State::Skipping => {
                let mut steps = sends([flight().bind("", "nobody", &[]), flight().flush()]);
                steps.push(Step::Until(b"E"));
                steps
            }
            State::Refused => {
                let text = format!("SELECT '{own}', pg_sleep(30)");
                let mut steps = sends([
                    flight().parse("", &text),
                    flight().bind("", "", &[]),
                    flight().execute("", 0),
                    flight().flush(),
                ]);
                steps.push(Step::Cancel(b"E"));
                steps
            }
            State::CopyIn => {
                let mut steps =
                    sends([flight().query(&format!("COPY {} FROM STDIN", self.table()))]);
                steps.push(Step::Until(b"G"));
                steps
            }
            State::EarlyData => {
                let text =
                    format!("SELECT '{own}', pg_sleep(0.02); COPY {} FROM STDIN", self.table());
                sends([flight().query(&text), flight().copy_data(b"1\n")])
            }
        }
    }

    fn table(self) -> &'static str {
        if self.fault == Fault::Fails { "number" } else { "sink" }
    }

    /// A portal for Execute to run.
    fn portal(self) -> Flight {
        if self.sleeps() && self.kind == Kind::Execute {
            let text = format!("SELECT '{}', pg_sleep(30)", mark(TESTED));
            return Flight::new().parse("", &text).bind(PORTAL, "", &[]);
        }
        Flight::new().bind(PORTAL, KNOWN, &[])
    }

    fn message(self) -> Vec<u8> {
        let flight = match self.fault {
            Fault::Malformed => self.malformed(),
            Fault::Fails => self.failing(),
            _ => self.sound(),
        };
        flight.bytes().to_vec()
    }

    fn sound(self) -> Flight {
        let own = mark(TESTED);
        let flight = Flight::new();
        match self.kind {
            Kind::Query if self.sleeps() => flight.query(&format!("SELECT '{own}', pg_sleep(30)")),
            Kind::Query => flight.query(&format!("SELECT '{own}'")),
            Kind::FunctionCall => flight.call(1258, &[&own, "!"]),
            Kind::Parse => flight.parse("n", &format!("SELECT '{own}', 1")),
            Kind::Bind => flight.bind("", KNOWN, &[]),
            Kind::Describe => flight.describe_statement(KNOWN),
            Kind::Execute => flight.execute(PORTAL, 0),
            Kind::Close => flight.close_statement(KNOWN),
            Kind::Flush => flight.flush(),
            Kind::Sync => flight.sync(),
            Kind::CopyData => flight.copy_data(b"1\n"),
            Kind::CopyDone => flight.copy_done(),
            Kind::CopyFail => flight.copy_fail("enough"),
            Kind::Terminate => flight.terminate(),
        }
    }

    fn failing(self) -> Flight {
        let flight = Flight::new();
        match self.kind {
            Kind::Query => flight.query("SELECT x FROM missing"),
            Kind::FunctionCall => flight.call(1, &[]),
            Kind::Parse => flight.parse("n", "SELECT x FROM missing"),
            Kind::Bind => flight.bind("", "nobody", &[]),
            Kind::Describe => flight.describe_statement("nobody"),
            Kind::Execute => flight.execute("nobody", 0),
            Kind::CopyData => flight.copy_data(b"x\n"),
            // An unfinished line, found at the end.
            Kind::CopyDone => flight.copy_data(b"x").copy_done(),
            _ => self.sound(),
        }
    }

    fn malformed(self) -> Flight {
        let body: &[u8] = match self.kind {
            Kind::Query => b"SELECT 1",
            Kind::FunctionCall => b"\0\0",
            Kind::Parse => b"n",
            Kind::Bind => b"\0s\0\0",
            Kind::Describe | Kind::Close => b"S",
            Kind::Execute => b"k",
            Kind::CopyFail => b"enough",
            _ => b"x",
        };
        Flight::new().message(self.kind.tag(), body)
    }

    /// What ends the COPY or the flight that is open behind the message.
    fn epilogue(self) -> Vec<Step> {
        let in_copy = matches!(self.state, State::CopyIn | State::EarlyData);
        let ends = matches!(self.kind, Kind::CopyDone | Kind::CopyFail);
        let early = self.state == State::Owed && self.kind == Kind::CopyData;
        let mut steps = Vec::new();
        if in_copy && !ends || early {
            steps.extend(sends([Flight::new().copy_done()]));
        }
        steps.extend(sends([Flight::new().sync()]));
        steps
    }
}

/// The turns of these units, and of the rest: what is left is played client by client.
fn interleave(parts: &[(usize, &[Unit])]) -> Vec<usize> {
    let steps = |units: &[Unit]| units.iter().map(|unit| unit.steps.len()).sum::<usize>();
    parts.iter().flat_map(|(client, units)| std::iter::repeat_n(*client, steps(units))).collect()
}

fn actor(units: Vec<Unit>) -> Actor {
    Actor { profile: Profile::Plain, user: 0, units }
}

fn unit(mut steps: Vec<Step>) -> Unit {
    steps.push(Step::Fence { waits: true });
    Unit::new(steps)
}

fn queries(texts: &[&str]) -> Vec<Step> {
    sends(texts.iter().map(|text| Flight::new().query(text)))
}

/// A query, waited for.
fn ready(text: &str) -> Vec<Step> {
    let mut steps = queries(&[text]);
    steps.push(Step::Until(b"Z"));
    steps
}
