//! Statements that SQL and the protocol both name, and whose results change. Only what
//! `docs/compatibility.md` promises to be as on PostgreSQL: such text is sent as a simple query, and a
//! statement has been used before its table changes.

use super::state;
use super::{Author, Flight, Step, Unit, unit};

impl Author<'_> {
    /// A simple query about a statement that the protocol may have prepared, or SQL.
    pub(super) fn by_name(&mut self) -> Unit {
        let mark = &self.mark;
        let name = self.random.pick(&["a", "b", "c", "x"]);
        let taking = self.random.pick(&["p", "q"]);
        let text = match self.random.below(9) {
            0 => format!("EXECUTE {name}"),
            1 => format!("EXECUTE {name}; SELECT '{mark}'"),
            2 => format!("EXECUTE {taking}('{mark}')"),
            3 => format!("EXPLAIN (COSTS OFF) EXECUTE {taking}('{mark}')"),
            4 => format!("DEALLOCATE {name}"),
            5 => format!("DEALLOCATE PREPARE {taking}"),
            6 => format!("PREPARE {name} AS SELECT '{mark}', t FROM three"),
            7 => format!("PREPARE {taking}(text) AS SELECT $1, '{mark}'"),
            _ => "DEALLOCATE ALL".to_owned(),
        };
        let mut unit = unit([Flight::new().query(&text)], self.random.one_in(2));
        unit.needs_sound = true;
        unit.sets_unnamed = true;
        unit
    }

    /// What a sequence gave in an earlier transaction. What was sent before is answered by then:
    /// with it in one go, it could come behind an INSERT that calls no sequence.
    pub(super) fn sequence(&mut self) -> Unit {
        let text = state::reads_again(&self.mark, self.client, self.random);
        let flight = match self.random.one_in(2) {
            true => Flight::new().query(&text),
            false => Flight::new().unnamed(&text, &[]).sync(),
        };
        let mut unit = unit([flight], true);
        unit.steps.insert(0, Step::Fence { waits: true });
        unit.needs_idle = true;
        unit.reads_sequence = true;
        unit
    }

    /// Puts a statement into the script that is used before and after its table has changed.
    pub(super) fn reshape(&mut self, units: &mut Vec<Unit>) {
        let table = format!("shape{}", self.client);
        let alter = |to: &str| {
            let text = format!("ALTER TABLE {table} ALTER v TYPE {to}");
            let mut unit = unit([Flight::new().query(&text)], true);
            unit.needs_idle = true;
            unit.sets_unnamed = true;
            unit
        };
        let text = self.random.pick(&["SELECT '{m}', v FROM", "SELECT * FROM"]);
        let text = format!("{} {table}", text.replace("{m}", &self.mark));
        let run = || Flight::new().describe_statement("shaped").run("shaped", &[]);
        let messages = |flight: Flight| {
            let mut unit = unit([flight.sync()], true);
            unit.needs_sound = true;
            unit
        };
        let mut first = alter("int USING 0");
        first.stays = true;
        let mut used = messages(Flight::new().parse("shaped", &text).run("shaped", &[]));
        used.needs_idle = true;
        used.stays = true;
        let change = alter("text");
        let mut again = messages(run());
        again.stays = true;
        let anew = messages(Flight::new().close_statement("shaped").parse("shaped", &text));
        let last = messages(run());
        // Others may come between, in this order.
        let mut at = 0;
        for unit in [first, used, change, again, anew, last] {
            units.insert(at, unit);
            at += 1 + self.random.below(units.len() - at);
        }
    }
}
