//! A light look at SQL text: may it change the state of the session that runs it, or read what is
//! left there?
//!
//! It answers "no" only for text that it understood whole. It never parses SQL, never asks the
//! server, and sees no triggers, views, operators or casts (`docs/compatibility.md`).

mod token;
mod word;

use token::{Token, Tokens};
use word::{Word, sorted};

/// What decides how text is read, as the client set it.
#[derive(Clone, Copy, Debug)]
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

/// Why text counts as changing session state; the metric label of a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// A statement that is not known to leave the session as it was.
    Statement,
    /// A call of a function outside the list of harmless ones.
    Function,
    /// A temporary table, or a cursor WITH HOLD.
    Temporary,
    /// Unterminated, too long, or in an encoding that cannot be read bytewise.
    Undecidable,
}

impl Suspicion {
    pub fn label(self) -> &'static str {
        match self {
            Suspicion::Statement => "statement",
            Suspicion::Function => "function",
            Suspicion::Temporary => "temporary",
            Suspicion::Undecidable => "undecidable",
        }
    }
}

/// What a text may do to the session that runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Why session state may change; `None`: it cannot.
    pub suspicion: Option<Suspicion>,
    /// It may call nextval.
    pub advances: bool,
    /// It calls currval or lastval, which answer from what the session did before.
    pub reads: bool,
}

impl Look {
    /// Of a text that was not looked at.
    pub const UNDECIDABLE: Look =
        Look { suspicion: Some(Suspicion::Undecidable), advances: true, reads: false };
}

/// Looks at `text`, without its final NUL.
pub fn look(text: &[u8], reading: Reading) -> Look {
    if !reading.ascii_safe && !text.is_ascii() {
        return Look::UNDECIDABLE;
    }
    let mut tokens = Tokens::new(text, reading.conforming);
    let mut scan = Scan::default();
    let mut look = Look::default();
    loop {
        let found = match tokens.next() {
            Token::End => break,
            Token::Undecidable => return Look { reads: look.reads, ..Look::UNDECIDABLE },
            token => scan.see(token, &tokens, &mut look),
        };
        look.suspicion = look.suspicion.or(found);
    }
    look.advances |= look.suspicion.is_some();
    look
}

/// Statements that leave a session as it was, as far as their first word tells.
const HARMLESS_STATEMENTS: [Word; 30] = sorted([
    "abort",
    "analyze",
    "begin",
    "checkpoint",
    "close",
    "commit",
    "copy",
    "declare",
    "delete",
    "end",
    "explain",
    "fetch",
    "insert",
    "lock",
    "merge",
    "move",
    "notify",
    "release",
    "rollback",
    "savepoint",
    "select",
    "set",
    "show",
    "start",
    "table",
    "truncate",
    "update",
    "vacuum",
    "values",
    "with",
]);

/// Statements that may take a sequence's next value for a column.
const ADVANCING_STATEMENTS: [Word; 6] =
    sorted(["copy", "explain", "insert", "merge", "update", "with"]);

/// Reserved words that a parenthesis may follow without a call: no function bears such a name
/// unquoted, but for some that are built in.
const KEYWORDS: [Word; 50] = sorted([
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "case",
    "check",
    "desc",
    "distinct",
    "else",
    "except",
    "exists",
    "for",
    "from",
    "group",
    "having",
    "ilike",
    "in",
    "inner",
    "intersect",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "not",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "returning",
    "right",
    "row",
    "select",
    "similar",
    "some",
    "table",
    "then",
    "to",
    "union",
    "using",
    "values",
    "when",
    "where",
    "window",
    "with",
]);

/// What makes a relation temporary behind INTO.
const TEMPORARY_WORDS: [&str; 4] = ["temp", "temporary", "local", "global"];
const TEMPORARY: [Word; 4] = sorted(TEMPORARY_WORDS);
/// What SET changes until the transaction ends, and no longer.
const BOUNDED_WORDS: [&str; 3] = ["local", "transaction", "constraints"];
const BOUNDED: [Word; 3] = sorted(BOUNDED_WORDS);
/// What EXPLAIN ANALYZE may run that leaves something.
const EXPLAINED_WORDS: [&str; 4] = ["create", "declare", "execute", "refresh"];
const EXPLAINED: [Word; 4] = sorted(EXPLAINED_WORDS);
/// Words behind which a relation's name comes.
const BEFORE_RELATION_WORDS: [&str; 4] = ["into", "copy", "analyze", "vacuum"];
const BEFORE_RELATION: [Word; 4] = sorted(BEFORE_RELATION_WORDS);
/// Words that BY follows.
const BEFORE_BY_WORDS: [&str; 3] = ["order", "group", "partition"];
const BEFORE_BY: [Word; 3] = sorted(BEFORE_BY_WORDS);

/// The single words that the rules name.
mod words {
    use super::word::{Shapes, Word};

    macro_rules! words {
        ($($name:ident),*) => {
            $(pub const $name: Word = Word::new(stringify!($name).as_bytes());)*
            const SINGLE: &[&str] = &[$(stringify!($name)),*];
        };
    }
    words!(
        AS,
        BY,
        CONFLICT,
        CURRVAL,
        DECLARE,
        DISTINCT,
        EXPLAIN,
        FILTER,
        HOLD,
        INTO,
        LASTVAL,
        NEXTVAL,
        ON,
        OVER,
        PG_CATALOG,
        PG_SETTINGS,
        SELECT,
        SET,
        WITH
    );

    /// What every word inside a statement is compared with: the single words and the short lists,
    /// but not [`super::KEYWORDS`], which only a call asks for.
    pub const TOLD: Shapes = Shapes::new(&[
        SINGLE,
        &super::TEMPORARY_WORDS,
        &super::BOUNDED_WORDS,
        &super::EXPLAINED_WORDS,
        &super::BEFORE_RELATION_WORDS,
        &super::BEFORE_BY_WORDS,
    ]);
}

fn harmless_function(name: &[u8]) -> bool {
    static LIST: std::sync::LazyLock<Vec<&'static str>> =
        std::sync::LazyLock::new(|| include_str!("lexer/harmless_functions.txt").lines().collect());
    within(&LIST, name)
}

/// Whether a sorted list holds `word`, in any case.
fn within(list: &[&str], word: &[u8]) -> bool {
    let lower = word.iter().map(u8::to_ascii_lowercase);
    list.binary_search_by(|entry| entry.bytes().cmp(lower.clone())).is_ok()
}

/// What has been seen of the statement that is being read.
#[derive(Default)]
struct Scan<'a> {
    head: Option<Word>,
    previous: Previous<'a>,
    /// The name just read belongs to a relation, which a column list may follow.
    target: bool,
    /// The name just read is `pg_catalog`.
    catalog: bool,
    /// `DISTINCT ON (…)`, after which an expression begins without a comma.
    distinct_on: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Previous<'a> {
    #[default]
    Nothing,
    /// A word, and its number if it is [`words::TOLD`].
    Word(&'a [u8], Word),
    Quoted,
    Dot,
    Close,
    Other,
}

impl Previous<'_> {
    fn is(self, told: Word) -> bool {
        matches!(self, Previous::Word(_, word) if word == told)
    }

    fn is_any<const N: usize>(self, told: &[Word; N]) -> bool {
        matches!(self, Previous::Word(_, word) if word.is_any(told))
    }
}

impl<'a> Scan<'a> {
    fn see(&mut self, token: Token<'a>, tokens: &Tokens<'a>, look: &mut Look) -> Option<Suspicion> {
        match token {
            Token::Punctuation(b';') => *self = Scan::default(),
            Token::Word(text) => return self.word(text, tokens.at_parenthesis(), look),
            Token::Quoted(name) => return self.quoted(name, tokens.at_parenthesis()),
            Token::Punctuation(b'.') => self.previous = Previous::Dot,
            Token::Punctuation(b')') => self.previous = Previous::Close,
            _ => self.previous = Previous::Other,
        }
        None
    }

    fn word(&mut self, text: &'a [u8], call: bool, look: &mut Look) -> Option<Suspicion> {
        let told = call || self.head.is_none() || words::TOLD.may_have(text);
        let word = if told { Word::new(text) } else { Word::default() };
        let before = std::mem::replace(&mut self.previous, Previous::Word(text, word));
        if call {
            look.reads |= word == words::CURRVAL || word == words::LASTVAL;
            look.advances |= word == words::NEXTVAL;
        }
        let Some(head) = self.head else {
            self.head = Some(word);
            look.advances |= word.within(&ADVANCING_STATEMENTS);
            return (!word.within(&HARMLESS_STATEMENTS)).then_some(Suspicion::Statement);
        };
        if let Some(found) = forbidden_in(head, before, word, text) {
            return Some(found);
        }
        let catalog = self.catalog;
        let qualified = self.begin_name(before);
        self.catalog = !qualified && word == words::PG_CATALOG;
        self.distinct_on |= word == words::ON && before.is(words::DISTINCT);
        if !call || self.target {
            return None;
        }
        let harmless = match qualified {
            true => catalog && harmless_function(text),
            false => self.may_precede_list(before, word) || harmless_function(text),
        };
        (!harmless).then_some(Suspicion::Function)
    }

    /// Notes whether a relation's name goes on or begins; answers whether a dot came before.
    fn begin_name(&mut self, before: Previous<'a>) -> bool {
        let qualified = before == Previous::Dot;
        if !qualified {
            self.target = before.is_any(&BEFORE_RELATION);
        }
        qualified
    }

    /// Whether `word`, with a parenthesis behind it, is no call: a keyword, or an alias.
    fn may_precede_list(&self, before: Previous<'a>, word: Word) -> bool {
        let name = matches!(before, Previous::Word(text, _) if !Word::new(text).within(&KEYWORDS));
        let closed = before == Previous::Close && !self.distinct_on;
        word.within(&KEYWORDS)
            || before.is(words::AS)
            || word == words::BY && before.is_any(&BEFORE_BY)
            || word == words::CONFLICT && before.is(words::ON)
            || word == words::SET && (name || before == Previous::Quoted)
            || closed && (word == words::FILTER || word == words::OVER)
    }

    fn quoted(&mut self, name: &[u8], call: bool) -> Option<Suspicion> {
        let before = std::mem::replace(&mut self.previous, Previous::Quoted);
        let sets = self.head == Some(words::SET) && before.is(words::SET);
        if self.head.is_none() || sets {
            return Some(Suspicion::Statement);
        }
        if name.starts_with(b"pg_temp") {
            return Some(Suspicion::Temporary);
        }
        self.catalog = false;
        self.begin_name(before);
        (call && !self.target).then_some(Suspicion::Function)
    }
}

/// What the words after the first make of a statement that begins harmlessly.
fn forbidden_in(head: Word, before: Previous<'_>, word: Word, text: &[u8]) -> Option<Suspicion> {
    if text.len() >= 7 && text[..7].eq_ignore_ascii_case(b"pg_temp") {
        return Some(Suspicion::Temporary);
    }
    if before.is(words::INTO) && word.is_any(&TEMPORARY) {
        return Some(Suspicion::Temporary);
    }
    if head == words::DECLARE && word == words::HOLD && before.is(words::WITH) {
        return Some(Suspicion::Temporary);
    }
    if head == words::SET && before.is(words::SET) && !word.is_any(&BOUNDED) {
        return Some(Suspicion::Statement);
    }
    if word == words::PG_SETTINGS && head != words::SELECT {
        return Some(Suspicion::Statement);
    }
    let suspicious = head == words::EXPLAIN && word.is_any(&EXPLAINED);
    suspicious.then_some(Suspicion::Statement)
}

#[cfg(test)]
mod tests;
