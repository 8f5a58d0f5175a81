//! A light look at SQL text: may it change the state of the session that runs it, or read what is
//! left there?
//!
//! It answers "no" only for text that it understood whole. It never parses SQL, never asks the
//! server, and sees no triggers, views, operators or casts (`docs/compatibility.md`).

mod assignments;
mod functions;
mod harmless;
mod heads;
mod named;
mod reading;
mod roles;
mod token;
mod word;

pub use assignments::customs;
pub use harmless::Harmless;
use harmless::Part;
pub use named::{Does, Reference, References, references};
pub use reading::only_reads;

use crate::doubts::Doubts;
use heads::Odd;
use roles::{Role, Roles};
use token::{Token, Tokens};

/// What decides how text is read, as the client set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `client_encoding` never uses an ASCII byte inside another character
    /// (all but SJIS, BIG5, GBK, UHC, GB18030, JOHAB and SHIFT_JIS_2004).
    pub ascii_safe: bool,
    /// `standard_conforming_strings` is on.
    pub conforming: bool,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading { ascii_safe: true, conforming: true }
    }
}

/// What a text may do to the session that runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What of the session's state may change.
    pub doubts: Doubts,
    /// It sets something that holds until its transaction ends.
    pub locally: bool,
    /// It may call nextval.
    pub advances: bool,
    /// It calls currval or lastval, which answer from what the session did before.
    pub reads: bool,
}

impl Look {
    /// Of a text that was not looked at.
    pub const UNDECIDABLE: Look =
        Look { doubts: Doubts::ANYTHING, locally: true, advances: true, reads: false };
}

/// Looks at `text`, without its final NUL.
pub fn look(text: &[u8], reading: Reading) -> Look {
    look_beside(text, reading, |_, _| false)
}

/// As [`look`]; a text that is in doubt only for functions of the users' own is read again with those
/// that they call harmless.
pub fn look_with(text: &[u8], reading: Reading, harmless: &Harmless) -> Look {
    let found = look(text, reading);
    if !found.doubts.is_any(Doubts::ANYTHING) || harmless.is_empty() {
        return found;
    }
    look_beside(text, reading, |schema, name| harmless.has(schema, name))
}

/// `is_own` says which calls, by schema and name, are none to the rules.
#[inline(always)]
fn look_beside(
    text: &[u8],
    reading: Reading,
    is_own: impl Fn(Option<Part<'_>>, Part<'_>) -> bool,
) -> Look {
    if !reading.ascii_safe && !text.is_ascii() {
        return Look::UNDECIDABLE;
    }
    let mut tokens = Tokens::new(text, reading.conforming);
    let mut scan = Scan::default();
    let mut part = None;
    loop {
        match tokens.next() {
            Token::Word(word) => {
                let schema = part.replace(Part::Word(word));
                let schema = schema.filter(|_| scan.statement.previous.has(Role::Dot));
                let called = tokens.at_parenthesis();
                scan.word(word, called && !is_own(schema, Part::Word(word)));
            }
            Token::Quoted(name) => {
                let schema = part.replace(Part::Quoted(name));
                let schema = schema.filter(|_| scan.statement.previous.has(Role::Dot));
                let called = tokens.at_parenthesis();
                scan.quoted(name, called && !is_own(schema, Part::Quoted(name)));
            }
            Token::Dot => scan.statement.previous = Roles::DOT,
            Token::Close => scan.statement.previous = Roles::CLOSE,
            Token::Other => scan.statement.previous = Roles::NONE,
            Token::Semicolon => scan.end_statement(),
            Token::End => {
                scan.end_statement();
                break;
            }
            Token::Undecidable => {
                let reads = scan.found().reads;
                let open = Doubts::SET_CONFIG.and(Doubts::LOCALLY);
                let doubts = scan.doubts.and(Doubts::ANYTHING).without(open);
                return Look { doubts, reads, ..Look::UNDECIDABLE };
            }
        }
    }
    let mut found = scan.found();
    if found.doubts.is_any(assignments::IN_QUESTION) {
        found.doubts = assignments::settle(found.doubts, text, reading);
    }
    found.locally = found.doubts.is_any(Doubts::LOCALLY);
    found.doubts = found.doubts.without(Doubts::LOCALLY);
    found
}

/// What has been found in a text, and the statement that is being read.
#[derive(Default)]
struct Scan {
    doubts: Doubts,
    /// The roles of all words that began a statement.
    heads: Roles,
    /// The roles of all words that were called.
    called: Roles,
    statement: Statement,
}

/// What has been seen of a statement.
#[derive(Default)]
struct Statement {
    /// The first word; none before it.
    head: Roles,
    previous: Roles,
    /// The name just read belongs to a relation, which a column list may follow.
    target: bool,
    /// The name just read is `pg_catalog`.
    catalog: bool,
    /// `DISTINCT ON (…)`, after which an expression begins without a comma.
    distinct_on: bool,
    /// What a statement that is not harmless has shown of itself.
    odd: Option<Odd>,
    /// It has begun harmlessly; in others every word is asked for.
    calm: bool,
}

impl Scan {
    /// Most words are names that no rule asks for, and are passed without asking each rule.
    #[inline(always)]
    fn word(&mut self, text: &[u8], call: bool) {
        let word = Roles::of_word(text);
        let asked = word.is_any(Roles::ASKED) || is_temporary(text);
        if call || asked || self.statement.expects() {
            self.weigh(word, text, call);
        } else {
            self.statement.pass_name(word);
        }
    }

    #[inline(always)]
    fn quoted(&mut self, name: &[u8], call: bool) {
        if call || name.starts_with(b"pg_temp") || self.statement.expects() {
            self.weigh_quoted(name, call);
        } else {
            self.statement.pass_name(Roles::NAME);
        }
    }

    /// Asks every rule about a word.
    #[inline(never)]
    fn weigh(&mut self, word: Roles, text: &[u8], call: bool) {
        if call {
            self.called = self.called.and(word);
        }
        if self.statement.head.is_none() {
            self.heads = self.heads.and(word);
        }
        self.doubts |= self.statement.word(word, text, call);
        self.statement.previous = word;
    }

    #[inline(never)]
    fn weigh_quoted(&mut self, name: &[u8], call: bool) {
        if call && !name.iter().any(u8::is_ascii_uppercase) {
            self.called = self.called.and(Roles::of_word(name));
        }
        self.doubts |= self.statement.quoted(name, call);
        self.statement.previous = Roles::NAME;
    }

    #[inline(always)]
    fn end_statement(&mut self) {
        let statement = std::mem::take(&mut self.statement);
        if let Some(odd) = statement.odd {
            self.doubts |= odd.doubts();
        }
    }

    fn found(&self) -> Look {
        let advances = self.heads.has(Role::Advancing) || self.called.has(Role::Nextval);
        Look {
            doubts: self.doubts,
            locally: false,
            advances: advances || self.doubts.is_any(Doubts::ANYTHING),
            reads: self.called.has(Role::ReadsSequence),
        }
    }
}

impl Statement {
    /// Whether any name that comes next matters, whatever it is.
    fn expects(&self) -> bool {
        !self.calm || self.previous.is_any(Roles::BEFORE_NAMES)
    }

    /// Notes a name that no rule asks for.
    fn pass_name(&mut self, name: Roles) {
        self.previous = name;
        self.target = false;
        self.catalog = false;
    }

    fn word(&mut self, word: Roles, text: &[u8], call: bool) -> Doubts {
        if self.head.is_none() {
            self.head = word;
            self.calm = word.has(Role::Harmless);
            self.odd = (!self.calm).then(|| Odd::begin(text));
            return Doubts::NONE;
        }
        if let Some(odd) = &mut self.odd {
            odd.word(text);
        }
        if let Some(found) = self.forbids(word, text) {
            return found;
        }
        self.distinct_on |= word.has(Role::On) && self.previous.has(Role::Distinct);
        let catalog = self.catalog;
        let qualified = self.begin_name();
        self.catalog = !qualified && word.has(Role::PgCatalog);
        if !call || self.target {
            return Doubts::NONE;
        }
        let harmless = match qualified {
            true => catalog && functions::is_harmless(text),
            false => self.may_precede_list(word) || functions::is_harmless(text),
        };
        match harmless {
            true => Doubts::NONE,
            false if qualified && !catalog => Doubts::ANYTHING,
            false => functions::doubts(text),
        }
    }

    /// Notes whether a relation's name goes on or begins; answers whether a dot came before.
    fn begin_name(&mut self) -> bool {
        let qualified = self.previous.has(Role::Dot);
        if !qualified {
            self.target = self.previous.has(Role::BeforeRelation);
        }
        qualified
    }

    /// Whether `word`, with a parenthesis behind it, is no call: a keyword, or an alias.
    fn may_precede_list(&self, word: Roles) -> bool {
        let before = self.previous;
        let named = before.has(Role::Name) && !before.has(Role::Keyword);
        let closed = before.has(Role::Close) && !self.distinct_on;
        word.has(Role::Keyword)
            || before.has(Role::As)
            || word.has(Role::By) && before.has(Role::BeforeBy)
            || word.has(Role::Conflict) && before.has(Role::On)
            || word.has(Role::Set) && named
            || word.has(Role::AfterCall) && closed
    }

    fn quoted(&mut self, name: &[u8], call: bool) -> Doubts {
        if self.head.is_none() {
            return Doubts::ANYTHING;
        }
        if self.head.has(Role::Set) && self.previous.has(Role::Set) {
            return Doubts::SETTINGS;
        }
        if name.starts_with(b"pg_temp") && !self.head.has(Role::Set) {
            return Doubts::ANYTHING;
        }
        self.catalog = false;
        self.begin_name();
        if call && !self.target { Doubts::ANYTHING } else { Doubts::NONE }
    }

    /// What a word after the first makes of a statement that begins harmlessly.
    fn forbids(&self, word: Roles, text: &[u8]) -> Option<Doubts> {
        let (head, before) = (self.head, self.previous);
        if is_temporary(text) && !head.has(Role::Set) {
            return Some(Doubts::ANYTHING);
        }
        if before.has(Role::Into) && word.has(Role::Temporary) {
            return Some(Doubts::TEMPORARY);
        }
        if head.has(Role::Declare) && word.has(Role::Hold) && before.has(Role::With) {
            return Some(Doubts::CURSORS);
        }
        if head.has(Role::Set) && before.has(Role::Set) {
            let bounded = word.has(Role::Bounded);
            return Some(if bounded { Doubts::LOCALLY } else { Doubts::SETTINGS });
        }
        if word.has(Role::PgSettings) && !head.has(Role::Select) {
            return Some(Doubts::SETTINGS);
        }
        let suspicious = head.has(Role::Explain) && word.has(Role::Explained);
        suspicious.then_some(Doubts::ANYTHING)
    }
}

/// Whether a word is the name of a session's own schema, or begins with it.
#[inline(always)]
fn is_temporary(word: &[u8]) -> bool {
    word.len() >= 7
        && matches!(word, [b'p' | b'P', b'g' | b'G', ..])
        && word[..7].eq_ignore_ascii_case(b"pg_temp")
}

#[cfg(test)]
mod tests;
