//! Random scripts. The same seed makes the same script; nothing else goes in.

mod named;
pub mod state;

use std::collections::BTreeSet;

use super::script::{Actor, Mode, Profile, Script, Step, Unit, mark, sends};
use crate::pg::Flight;
use crate::random::Random;
use state::Theme;

/// Names of statements without and with a parameter.
const PLAIN: [&str; 3] = ["a", "b", "c"];
const TAKING: [&str; 2] = ["p", "q"];
const PORTALS: [&str; 3] = ["", "", "k"];
/// Users of a worker: two like any other, and one that is a superuser.
const USERS: [usize; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2];

/// The script of a seed.
pub fn script(seed: u64) -> Script {
    let mut random = Random::new(seed);
    random.draw();
    let clients = 2 + random.below(3);
    let mode = match random.below(8) {
        0 => Mode::Session,
        1..=4 => Mode::Transaction(1),
        _ => Mode::Transaction(2),
    };
    let dated = random.one_in(3);
    let common = random.pick(&USERS);
    let actors = (0..clients).map(|client| actor(client, common, dated, &mut random)).collect();
    let statements = 1 + random.below(3);
    with_turns(actors, mode, statements, &mut random)
}

fn with_turns(actors: Vec<Actor>, mode: Mode, statements: usize, random: &mut Random) -> Script {
    let count = |actor: &Actor| actor.units.iter().map(|unit| unit.steps.len()).sum::<usize>();
    let mut left: Vec<usize> = actors.iter().map(count).collect();
    let mut turns = Vec::new();
    while left.iter().any(|left| *left > 0) {
        let client = random.below(left.len());
        // Runs of one client's steps, and single ones.
        for _ in 0..1 + random.below(4).saturating_sub(1) {
            if left[client] > 0 {
                left[client] -= 1;
                turns.push(client);
            }
        }
    }
    Script { actors, mode, statements, turns, strict: false, dropped: BTreeSet::new() }
}

/// `common`: the user of most clients, who so share a pool.
fn actor(client: usize, common: usize, dated: bool, random: &mut Random) -> Actor {
    let profile = match random.below(8) {
        0 => Profile::Tokyo,
        1 => Profile::Named,
        2 => Profile::Tuned,
        _ => Profile::Plain,
    };
    let user = if random.one_in(8) { random.pick(&USERS) } else { common };
    let themes = [random.pick(&Theme::ALL), random.pick(&Theme::ALL)];
    let reshapes = random.one_in(12);
    let mut author = Author { mark: mark(client), client, profile, dated, themes, random };
    let count = 2 + author.random.below(5);
    let mut units: Vec<Unit> = (0..count).map(|_| author.unit()).collect();
    if reshapes {
        author.reshape(&mut units);
    }
    if author.random.one_in(10) {
        units.push(author.vanishing());
    } else {
        units.extend(ending(&mark(client)));
    }
    Actor { profile, user, units }
}

/// What every script ends with: whose settings are these, and a session as new.
pub fn ending(mark: &str) -> Vec<Unit> {
    let texts = ["ROLLBACK".to_owned(), state::shows_all(mark), "DISCARD ALL".to_owned()];
    texts.iter().map(|text| unit([Flight::new().query(text)], true)).collect()
}

fn unit(flights: impl IntoIterator<Item = Flight>, waits: bool) -> Unit {
    let mut steps = sends(flights);
    steps.push(Step::Fence { waits });
    Unit::new(steps)
}

/// Writes what one client does.
struct Author<'a> {
    mark: String,
    /// Its number.
    client: usize,
    profile: Profile,
    /// It prepares literals that its time zone decides, and so keeps that.
    dated: bool,
    /// What of its session's state it changes.
    themes: [Theme; 2],
    random: &'a mut Random,
}

impl Author<'_> {
    fn unit(&mut self) -> Unit {
        let mut unit = match self.random.below(24) {
            0..=6 => self.query(),
            7..=12 => self.usual(),
            13..=16 => self.flights(),
            17..=18 => self.copy_in(),
            19 => self.call(),
            20 => self.cancelled(),
            21 | 22 if self.counts() => self.sequence(),
            21 | 22 => self.by_name(),
            _ => self.large(),
        };
        if self.random.one_in(6) {
            unit.steps = self.torn(unit.steps);
        }
        unit
    }

    /// It reads what sequences gave it before, and so is never pinned: a connection that it keeps may
    /// answer with what another client's nextval gave, behind an INSERT that calls none.
    fn counts(&self) -> bool {
        self.themes.contains(&Theme::Sequences) && !self.themes.iter().any(|it| it.pins())
    }

    fn fence(&mut self) -> Step {
        Step::Fence { waits: self.random.one_in(2) }
    }

    /// One simple query of one or more statements.
    fn query(&mut self) -> Unit {
        let count = if self.random.one_in(3) { 1 + self.random.below(3) } else { 1 };
        let texts: Vec<String> = (0..count).map(|_| self.text(count == 1)).collect();
        let mut unit = unit([Flight::new().query(&texts.join("; "))], self.random.one_in(2));
        unit.sets_unnamed = true;
        unit
    }

    /// A text without parameters.
    fn text(&mut self, alone: bool) -> String {
        let mark = &self.mark;
        match self.random.below(36) {
            24..=32 => self.random.pick(&self.themes).text(mark, self.client, self.random),
            33..=35 => state::shows(mark, self.random),
            0..=3 => format!("SELECT '{mark}' AS mark"),
            4 => format!("SELECT '{mark}', t FROM three"),
            5 => format!("SELECT '{mark}', g FROM generate_series(1, 4) g"),
            6 => format!("SELECT '{mark}', 1/i FROM zero"),
            7 => "SELECT x FROM missing".to_owned(),
            8 => "SELEC".to_owned(),
            9 => String::new(),
            10..=11 => format!("INSERT INTO sink VALUES ('{mark}') RETURNING mark"),
            12 => format!("SELECT '{mark}', count(*) FROM sink WHERE mark = '{mark}'"),
            13 => format!("COPY (SELECT '{mark}', t FROM three) TO STDOUT"),
            14 => self.setting(alone),
            17 => state::reads(mark, self.client, self.random),
            15 => "SHOW TimeZone".to_owned(),
            16 => format!("DO $$ BEGIN RAISE NOTICE '{mark}'; END $$"),
            _ => self.transaction().to_owned(),
        }
    }

    fn transaction(&mut self) -> &'static str {
        self.random.pick(&[
            "BEGIN",
            "BEGIN",
            "COMMIT",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT a",
            "ROLLBACK TO a",
            "RELEASE a",
            "BEGIN READ ONLY",
        ])
    }

    /// What RESET goes back to inside a transaction is the server's, so only clients without
    /// startup parameters reset.
    fn setting(&mut self, alone: bool) -> String {
        let plain = self.profile == Profile::Plain;
        let resets: &[&str] = &["RESET TimeZone", "DISCARD ALL", "DEALLOCATE ALL", "RESET ALL"];
        if plain && alone && self.random.one_in(3) {
            return self.random.pick(resets).to_owned();
        }
        let texts = [
            "SET TimeZone = 'Europe/Rome'",
            "SET TimeZone = 'UTC'",
            "SET LOCAL TimeZone = 'America/Lima'",
            "SET application_name = 'mine'",
        ];
        if self.dated {
            return texts[3].to_owned();
        }
        self.random.pick(&texts).to_owned()
    }

    /// What a driver sends to run a statement that it prepared before, or prepares now.
    fn usual(&mut self) -> Unit {
        let mut flights = Vec::new();
        let name = self.name();
        let parses = self.random.one_in(2);
        if parses {
            flights.push(self.parse(name));
        }
        flights.push(self.bind("", name));
        if self.random.one_in(2) {
            flights.push(Flight::new().describe_portal(""));
        }
        flights.push(Flight::new().execute("", self.random.pick(&[0, 0, 0, 2])));
        flights.push(Flight::new().sync());
        let mut unit = unit(flights, self.random.one_in(2));
        unit.needs_sound = parses && !name.is_empty();
        unit.needs_unnamed = name.is_empty() && !parses;
        unit.sets_unnamed = name.is_empty() && parses;
        unit
    }

    fn name(&mut self) -> &'static str {
        match self.random.below(6) {
            0 | 1 => "",
            2 => self.random.pick(&TAKING),
            _ => self.random.pick(&PLAIN),
        }
    }

    /// Some texts are the same for all clients, some are this one's own.
    fn parse(&mut self, name: &str) -> Flight {
        if !TAKING.contains(&name) {
            let text = loop {
                let text = self.text(false);
                // Names that such a text drops are used behind it, in the same flight.
                if !text.starts_with("COPY") || !self.random.one_in(2) {
                    break text;
                }
            };
            return Flight::new().parse(name, &text);
        }
        let shared = [
            "SELECT $1::text AS mark",
            "SELECT $1::text, t FROM three",
            "INSERT INTO sink VALUES ($1) RETURNING mark",
            "SELECT $1::text, count(*) FROM sink WHERE mark = $1",
            "SELECT $1::text, 1/i FROM zero",
            "SELECT $1::text, timestamptz '2001-01-01 00:00'",
        ];
        let undated = shared.len() - 1;
        let dated = self.dated && self.random.one_in(2);
        let text = if dated { shared[undated] } else { self.random.pick(&shared[..undated]) };
        Flight::new().parse(name, text)
    }

    fn bind(&mut self, portal: &str, name: &str) -> Flight {
        let takes = TAKING.contains(&name) != self.random.one_in(12);
        let mark = self.mark.clone();
        let values: &[&str] = &[&mark];
        Flight::new().bind(portal, name, if takes { values } else { &[] })
    }

    /// Several flights of any messages, each ended by its Sync.
    fn flights(&mut self) -> Unit {
        let mut messages = Vec::new();
        let mut unit = Unit::default();
        let (mut parsed, mut begins) = (false, false);
        for _ in 0..1 + self.random.below(3) {
            for _ in 0..self.random.below(7) {
                let message = self.extended(&mut unit, &mut parsed, begins);
                begins |= is_begin(&message);
                messages.push(message);
            }
            messages.push(Flight::new().sync());
            // An error may have kept the unnamed statement from being set.
            parsed = false;
        }
        unit.sets_unnamed = false;
        unit.needs_sound = true;
        unit.steps = sends(messages);
        unit.steps.push(self.fence());
        unit
    }

    fn extended(&mut self, unit: &mut Unit, parsed: &mut bool, begun: bool) -> Flight {
        let flight = Flight::new();
        let portal = self.random.pick(&PORTALS);
        let mut name = self.name();
        let choice = self.random.below(16);
        // In a transaction that may have failed the pooler may tell another of two errors.
        if begun && !name.is_empty() && matches!(choice, 0..=2 | 7) {
            name = "";
        }
        match choice {
            0..=2 => {
                *parsed |= name.is_empty();
                self.parse(name)
            }
            3..=6 if name.is_empty() && !*parsed => self.bind(portal, "a"),
            3..=6 => self.bind(portal, name),
            7 if name.is_empty() && !*parsed => flight.describe_portal(portal),
            7 => flight.describe_statement(name),
            8 => flight.describe_portal(portal),
            9..=12 => flight.execute(portal, self.random.pick(&[0, 0, 1, 2])),
            13 => {
                unit.needs_unnamed |= false;
                let name = if name.is_empty() { "a" } else { name };
                flight.close_statement(name)
            }
            14 => flight.close_portal(portal),
            _ => flight.flush(),
        }
    }

    /// COPY FROM in both protocols, its data with it or later, good or bad, ended or failed.
    fn copy_in(&mut self) -> Unit {
        let bad = self.random.one_in(3);
        let target = if bad { "number" } else { "sink" };
        let line = if bad {
            self.random.pick(&["1\n", "x\n"]).to_owned()
        } else {
            format!("{}\n", self.mark)
        };
        let text = format!("COPY {target} FROM STDIN");
        let extended = self.random.one_in(2);
        let mut steps = if extended {
            let ends =
                if self.random.one_in(2) { Flight::new().sync() } else { Flight::new().flush() };
            let begin = [Flight::new().parse("", &text), Flight::new().bind("", "", &[])];
            sends(begin.into_iter().chain([Flight::new().execute("", 0), ends]))
        } else {
            sends([Flight::new().query(&format!("{text}; SELECT '{}', 'copied'", self.mark))])
        };
        if self.random.one_in(2) {
            steps.push(Step::Until(b"GE"));
        }
        for _ in 0..self.random.below(3) {
            steps.extend(sends([Flight::new().copy_data(line.as_bytes())]));
        }
        let fails = self.random.one_in(3);
        steps.extend(sends([match fails {
            true => Flight::new().copy_fail("enough"),
            false => Flight::new().copy_done(),
        }]));
        if extended {
            let rest =
                [Flight::new().sync(), Flight::new().close_statement(""), Flight::new().sync()];
            steps.extend(sends(rest));
        }
        steps.push(self.fence());
        Unit { steps, needs_sound: true, sets_unnamed: true, ..Unit::default() }
    }

    /// textcat(text, text)
    fn call(&mut self) -> Unit {
        unit([Flight::new().call(1258, &[&self.mark, "!"])], self.random.one_in(2))
    }

    fn cancelled(&mut self) -> Unit {
        let text = format!("SELECT '{}', pg_sleep(30)", self.mark);
        // What was asked before must be answered, else the cancel may hit that.
        let mut steps = vec![Step::Fence { waits: true }];
        steps.extend(match self.random.one_in(2) {
            true => sends([Flight::new().query(&text)]),
            false => sends([
                Flight::new().parse("", &text),
                Flight::new().bind("", "", &[]),
                Flight::new().execute("", 0),
                Flight::new().sync(),
            ]),
        });
        steps.extend([Step::Cancel(b"Z"), Step::Fence { waits: true }]);
        Unit { steps, needs_sound: true, sets_unnamed: true, ..Unit::default() }
    }

    /// Longer than any buffer.
    fn large(&mut self) -> Unit {
        let text = format!("SELECT '{}', repeat('x', 200000)", self.mark);
        unit([Flight::new().query(&text)], self.random.one_in(2))
    }

    /// Some messages in two parts.
    fn torn(&mut self, steps: Vec<Step>) -> Vec<Step> {
        let mut torn = Vec::new();
        for step in steps {
            match step {
                Step::Send(bytes) if bytes.len() > 1 && self.random.one_in(3) => {
                    let (first, rest) = bytes.split_at(1 + self.random.below(bytes.len() - 1));
                    torn.extend([Step::Send(first.to_vec()), Step::Send(rest.to_vec())]);
                }
                step => torn.push(step),
            }
        }
        torn
    }

    /// The client is never seen again, after any byte of a unit.
    fn vanishing(&mut self) -> Unit {
        let cancels = |unit: &Unit| unit.steps.iter().any(|step| matches!(step, Step::Cancel(_)));
        let mut whole = self.unit();
        while cancels(&whole) {
            whole = self.unit();
        }
        let sends: Vec<Vec<u8>> = whole
            .steps
            .into_iter()
            .filter_map(|step| match step {
                Step::Send(bytes) => Some(bytes),
                _ => None,
            })
            .collect();
        let all = sends.concat();
        let cut = self.random.below(all.len() + 1);
        let mut steps = vec![Step::Send(all[..cut].to_vec())];
        if cut == 0 {
            steps.clear();
        }
        steps.push(Step::Vanish);
        Unit { steps, ..Unit::default() }
    }
}

fn is_begin(flight: &Flight) -> bool {
    flight.bytes().windows(5).any(|window| window == b"BEGIN")
}
