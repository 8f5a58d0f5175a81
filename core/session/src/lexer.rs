//! A light look at SQL text: may it change the state of the session that runs it, or read what is
//! left there?
//!
//! It answers "no" only for text that it understood whole. It never parses SQL, never asks the
//! server, and sees no triggers, views, operators or casts (`docs/compatibility.md`).

mod token;

use token::{Token, Tokens};

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
const HARMLESS_STATEMENTS: &[&str] = &[
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
];

/// Statements that may take a sequence's next value for a column.
const ADVANCING_STATEMENTS: &[&str] = &["copy", "explain", "insert", "merge", "update", "with"];

/// Reserved words that a parenthesis may follow without a call: no function bears such a name
/// unquoted, but for some that are built in.
const KEYWORDS: &[&str] = &[
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
];

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

fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

/// What has been seen of the statement that is being read.
#[derive(Default)]
struct Scan<'a> {
    head: Option<&'a [u8]>,
    previous: Previous<'a>,
    /// The name just read belongs to a relation, which a column list may follow.
    target: bool,
    /// The name just read is `pg_catalog`.
    catalog: bool,
    /// `DISTINCT ON (…)`, after which an expression begins without a comma.
    distinct_on: bool,
}

#[derive(Clone, Copy, Default)]
enum Previous<'a> {
    #[default]
    Nothing,
    Word(&'a [u8]),
    Quoted,
    Dot,
    Close,
    Other,
}

impl Previous<'_> {
    fn is(self, keyword: &str) -> bool {
        matches!(self, Previous::Word(word) if is(word, keyword))
    }

    fn is_any(self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }
}

impl<'a> Scan<'a> {
    fn see(&mut self, token: Token<'a>, tokens: &Tokens<'a>, look: &mut Look) -> Option<Suspicion> {
        match token {
            Token::Punctuation(b';') => {
                *self = Scan::default();
                return None;
            }
            Token::Word(word) => {
                let call = tokens.at_parenthesis();
                look.reads |= call && (is(word, "currval") || is(word, "lastval"));
                look.advances |= call && is(word, "nextval");
                look.advances |= self.head.is_none() && within(ADVANCING_STATEMENTS, word);
                return self.word(word, call);
            }
            Token::Quoted(name) => return self.quoted(name, tokens.at_parenthesis()),
            Token::Punctuation(b'.') => self.previous = Previous::Dot,
            Token::Punctuation(b')') => self.previous = Previous::Close,
            _ => self.previous = Previous::Other,
        }
        None
    }

    fn word(&mut self, word: &'a [u8], call: bool) -> Option<Suspicion> {
        let before = std::mem::replace(&mut self.previous, Previous::Word(word));
        let Some(head) = self.head else {
            self.head = Some(word);
            return (!within(HARMLESS_STATEMENTS, word)).then_some(Suspicion::Statement);
        };
        if let Some(found) = forbidden_in(head, before, word) {
            return Some(found);
        }
        let catalog = self.catalog;
        let qualified = self.begin_name(before);
        self.catalog = !qualified && is(word, "pg_catalog");
        self.distinct_on |= before.is("distinct") && is(word, "on");
        let harmless = match qualified {
            true => catalog && harmless_function(word),
            false => self.may_precede_list(before, word) || harmless_function(word),
        };
        (call && !self.target && !harmless).then_some(Suspicion::Function)
    }

    /// Notes whether a relation's name goes on or begins; answers whether a dot came before.
    fn begin_name(&mut self, before: Previous<'a>) -> bool {
        let qualified = matches!(before, Previous::Dot);
        if !qualified {
            self.target = before.is_any(&["into", "copy", "analyze", "vacuum"]);
        }
        qualified
    }

    /// Whether `word`, with a parenthesis behind it, is no call: a keyword, or an alias.
    fn may_precede_list(&self, before: Previous<'a>, word: &[u8]) -> bool {
        let name = matches!(before, Previous::Word(word) if !within(KEYWORDS, word));
        let closed = matches!(before, Previous::Close) && !self.distinct_on;
        within(KEYWORDS, word)
            || before.is("as")
            || is(word, "by") && before.is_any(&["order", "group", "partition"])
            || is(word, "conflict") && before.is("on")
            || is(word, "set") && (name || matches!(before, Previous::Quoted))
            || closed && (is(word, "filter") || is(word, "over"))
    }

    fn quoted(&mut self, name: &[u8], call: bool) -> Option<Suspicion> {
        let before = std::mem::replace(&mut self.previous, Previous::Quoted);
        if self.head.is_none() || self.head.is_some_and(|head| is(head, "set")) && before.is("set")
        {
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
fn forbidden_in(head: &[u8], before: Previous<'_>, word: &[u8]) -> Option<Suspicion> {
    if word.len() >= 7 && word[..7].eq_ignore_ascii_case(b"pg_temp") {
        return Some(Suspicion::Temporary);
    }
    if before.is("into") && ["temp", "temporary", "local", "global"].iter().any(|t| is(word, t)) {
        return Some(Suspicion::Temporary);
    }
    if is(head, "declare") && is(word, "hold") && before.is("with") {
        return Some(Suspicion::Temporary);
    }
    let bounded = ["local", "transaction", "constraints"];
    if is(head, "set") && before.is("set") && !bounded.iter().any(|b| is(word, b)) {
        return Some(Suspicion::Statement);
    }
    if is(word, "pg_settings") && !is(head, "select") {
        return Some(Suspicion::Statement);
    }
    let explained = ["create", "declare", "execute", "refresh"];
    let suspicious = is(head, "explain") && explained.iter().any(|e| is(word, e));
    suspicious.then_some(Suspicion::Statement)
}

#[cfg(test)]
mod tests;
