//! SQL that names a prepared statement. In PostgreSQL one namespace holds what SQL and the protocol
//! prepare; servers know a client's statements by other names, so such text is changed on its way:
//! simple queries here, what comes by Parse in `parsed`.

pub(super) mod parsed;

use std::collections::VecDeque;
use std::rc::Rc;

use poolwright_wire::{Header, TargetKind, TransactionStatus, client as tag, read, write};

use super::meaning::adopt;
use super::preparing::{For, make_known};
use super::refuse::{FAILING, Refusal};
use super::{Output, Pause, Session, Verdict};
use crate::doubts::Doubts;
use crate::lexer::{Does, Look, Reading, Reference, references};
use crate::replies::{Reply, Special, Undo};
use crate::server::Server;
use crate::statements::Statement;

/// The name of an empty statement that is there to be given up; ids begin at 1.
pub(super) const STAND_IN: &str = "pw_0";

/// How many names that SQL gave are known at a time; those beyond are not seen by the protocol.
const SQL_NAMES_LIMIT: usize = 1000;

/// What is to be done about the names in a text.
#[derive(Default)]
struct Plan {
    /// The text for the server, as far as it was looked at.
    text: Vec<u8>,
    /// How much of the client's text that is.
    read: usize,
    changed: bool,
    /// What the server must hold before, and the client's names for it.
    needed: Vec<(Box<[u8]>, Rc<Statement>)>,
    stand_ins: usize,
    /// For each DEALLOCATE of a name, which of the client's goes with it.
    given_up: VecDeque<Option<Box<[u8]>>>,
    /// Names that are the client's no more in this place of the text.
    gone: Vec<Box<[u8]>>,
    all_gone: bool,
    /// What is refused in the place of the rest.
    refusal: Option<Refusal>,
}

impl Session {
    /// Without a server nothing can fail before it, so what a client gives up is gone at once.
    pub(super) fn query_detached(
        &mut self,
        body: &[u8],
        out: &mut Output,
    ) -> Result<Verdict, Pause> {
        let given_up = match body.first() {
            Some(b'd' | b'D' | b' ' | b'\t' | b'\n' | b'\r' | b'-' | b'/') => self.give_up(body),
            _ => None,
        };
        let Some(tag) = given_up else { return Err(Pause::NeedServer) };
        self.begin_query();
        self.count_ready(TransactionStatus::Idle);
        write::command_complete(&mut out.to_client, tag);
        write::ready_for_query(&mut out.to_client, TransactionStatus::Idle);
        Ok(Verdict::Skip)
    }

    fn give_up(&mut self, body: &[u8]) -> Option<&'static [u8]> {
        let text = read::query(body).ok().filter(|text| text.is_ascii())?;
        let references = references(text, Reading::default());
        let [reference] = &references.found[..] else { return None };
        match reference.does {
            _ if !references.alone => None,
            Does::Deallocate => self.remove_name(&reference.name).map(|_| b"DEALLOCATE".as_slice()),
            Does::DeallocateAll => {
                self.forget_names();
                Some(b"DEALLOCATE ALL")
            }
            Does::Execute | Does::Prepare => None,
        }
    }

    /// Deals with a query that may name some of the client's statements; `None`: it does not.
    pub(super) fn query_by_name(
        &mut self,
        server: &mut Server,
        head: Header,
        body: &[u8],
        look: Look,
        out: &mut Output,
    ) -> Result<Option<Verdict>, Pause> {
        let whole = body.len() == head.length as usize;
        let text = if whole { body.strip_suffix(b"\0").unwrap_or(body) } else { body };
        let mut found = references(text, server.reading()).found;
        if !whole {
            // What is cut may go on.
            found.retain(|it| it.does != Does::Deallocate && it.place.end < text.len());
        }
        if found.is_empty() {
            return Ok(None);
        }
        if server.edits_ahead > 0 || server.awaits_settings() {
            return Err(Pause::Hold);
        }
        let plan = self.plan(server, text, found);
        if !plan.changed {
            return Ok(None);
        }
        self.begin_query();
        if let Some(refusal) = self.refusal(server, look).or_else(|| refuse_needed(server, &plan)) {
            refusal.send_in_place_of_query(server, &mut out.to_server);
            return Ok(Some(Verdict::Skip));
        }
        let customs = look.doubts.is_any(Doubts::CUSTOMS);
        let verdict = self.carry_out(server, head, plan, look, out);
        if customs {
            server.note_customs(text);
        }
        Ok(Some(verdict))
    }

    fn plan(&mut self, server: &mut Server, text: &[u8], found: Vec<Reference>) -> Plan {
        let mut plan = Plan::default();
        for reference in found {
            let Reference { does, name, place, begins } = reference;
            let gone = plan.all_gone || plan.gone.contains(&name);
            let own = self.names.get_mut(&name).filter(|_| !gone);
            let refusal = match (does, own) {
                (Does::DeallocateAll, _) => {
                    plan.all_gone = true;
                    None
                }
                (Does::Deallocate, None) => {
                    plan.given_up.push_back(None);
                    None
                }
                (Does::Deallocate, Some(_)) => {
                    let stand_in = stand_in(plan.stand_ins);
                    plan.stand_ins += 1;
                    plan.replace(text, place, stand_in.as_bytes());
                    plan.gone.push(name.clone());
                    plan.given_up.push_back(Some(name));
                    None
                }
                (Does::Execute, Some(named)) => {
                    let here = (&self.wanted, self.scope.pool);
                    let changed = named.has_changed();
                    let spoilt = match changed || server.held.touch(&named.statement) {
                        true => None,
                        false => adopt(named, here, &self.statements, server),
                    };
                    let statement = Rc::clone(&named.statement);
                    let refusal = self.refusal(server, statement.look);
                    let refusal = spoilt.or(changed.then(Refusal::changed)).or(refusal);
                    if refusal.is_none() {
                        plan.replace(text, place, &statement.name);
                        plan.needed.push((name, statement));
                    }
                    refusal
                }
                (Does::Prepare, Some(_)) => Some(Refusal::duplicate(&name)),
                (Does::Prepare, None) => {
                    note_sql_name(server, &name);
                    None
                }
                (Does::Execute, None) => None,
            };
            if refusal.is_some() {
                plan.refuse_from(text, begins, refusal);
                return plan;
            }
        }
        plan.go_on(text, text.len());
        plan
    }

    fn carry_out(
        &self,
        server: &mut Server,
        head: Header,
        plan: Plan,
        look: Look,
        out: &mut Output,
    ) -> Verdict {
        self.prepare_for(server, &plan, &mut out.to_server);
        let refusal = plan.refusal.map(Refusal::error);
        let stops = refusal.is_some();
        let rest = if stops { 1 } else { head.length - plan.read as u32 };
        out.to_server.push(tag::QUERY);
        out.to_server.extend_from_slice(&(4 + plan.text.len() as u32 + rest).to_be_bytes());
        out.to_server.extend_from_slice(&plan.text);
        let special = Special { refusal, given_up: plan.given_up, ..Special::default() };
        server.send_query(look, Some(special.into()));
        if stops {
            out.to_server.push(0);
            return Verdict::Skip;
        }
        Verdict::Rewritten(plan.read as u32)
    }

    /// Sends ahead what the text relies on. A stand-in is given up by the server in a statement's
    /// place: others may use the statement itself.
    fn prepare_for(&self, server: &mut Server, plan: &Plan, to_server: &mut Vec<u8>) {
        let in_flight = server.may_skip();
        let mut sent = false;
        for (_, statement) in &plan.needed {
            if !server.held.touch(statement) {
                make_known(server, statement, For::Pooler { awaited: false }, to_server);
                sent = true;
            }
            self.note_statement(server, statement.look, &statement.body);
        }
        for number in 0..plan.stand_ins {
            send_stand_in(server, stand_in(number).as_bytes(), to_server);
            sent = true;
        }
        if sent && !in_flight {
            server.end_ahead(to_server);
        }
    }

    /// A simple query begins, whatever becomes of it.
    pub(super) fn begin_query(&mut self) {
        self.counts.queries += 1;
        self.unnamed.number = 0;
    }
}

impl Plan {
    /// Takes the client's text over, up to `end`.
    fn go_on(&mut self, text: &[u8], end: usize) {
        self.text.extend_from_slice(&text[self.read..end]);
        self.read = end;
    }

    fn replace(&mut self, text: &[u8], place: std::ops::Range<usize>, name: &[u8]) {
        self.go_on(text, place.start);
        self.text.extend_from_slice(name);
        self.read = place.end;
        self.changed = true;
    }

    /// The statement that begins there fails, and with it what comes behind.
    fn refuse_from(&mut self, text: &[u8], begins: usize, refusal: Option<Refusal>) {
        self.go_on(text, begins);
        self.text.extend_from_slice(FAILING);
        self.changed = true;
        self.refusal = refusal;
    }
}

/// Why what a text executes cannot be there when it runs.
fn refuse_needed(server: &mut Server, plan: &Plan) -> Option<Refusal> {
    let missing = plan.needed.iter().find(|(_, statement)| !server.held.touch(statement));
    if let Some((name, _)) = missing.filter(|_| server.may_skip()) {
        return Some(Refusal::amid_flight(name));
    }
    let mut ids: Vec<u64> = plan.needed.iter().map(|(_, statement)| statement.id).collect();
    ids.sort_unstable();
    ids.dedup();
    (ids.len() > server.held.max()).then(|| Refusal::too_many(ids.len(), server.held.max()))
}

/// Names for the stand-ins of one text.
fn stand_in(number: usize) -> String {
    match number {
        0 => STAND_IN.to_owned(),
        number => format!("{STAND_IN}_{number}"),
    }
}

/// Makes the server hold a stand-in that can be given up.
pub(super) fn send_stand_in(server: &mut Server, name: &[u8], to_server: &mut Vec<u8>) {
    write::close(to_server, TargetKind::Statement, name);
    server.send_extended(Reply::Close { injected: true, undo: Undo::Nothing });
    write::parse(to_server, name, b"", &[]);
    server.send_extended(Reply::Parse { injected: true, undo: Undo::Nothing });
    server.flight_edits = true;
}

pub(super) fn note_sql_name(server: &mut Server, name: &[u8]) {
    if !server.may_know(name) && server.sql_names.len() < SQL_NAMES_LIMIT {
        server.sql_names.push(name.into());
    }
}
