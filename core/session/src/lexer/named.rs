//! Statements that name a prepared statement: EXECUTE, DEALLOCATE, PREPARE, wherever they stand in a
//! text. It reads no further than it must, and finds nothing behind what it has not understood.

use std::ops::Range;

use super::Reading;
use super::token::{Token, Tokens};

/// Longer names are cut by PostgreSQL, in bytes.
const NAME_LIMIT: usize = 63;

/// What a statement does with a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Deallocate,
    /// Its name is empty.
    DeallocateAll,
    /// EXECUTE, also behind EXPLAIN or CREATE TABLE … AS.
    Execute,
    Prepare,
}

/// A statement of a text that names a prepared statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub does: Does,
    /// As PostgreSQL reads it.
    pub name: Box<[u8]>,
    /// Where the text has the name.
    pub place: Range<usize>,
    /// Where the statement begins.
    pub begins: usize,
}

/// What a text has of them, in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct References {
    pub found: Vec<Reference>,
    /// The text is one statement, and all of it was understood.
    pub alone: bool,
}

/// What of `text`, without its final NUL, names a prepared statement.
pub fn references(text: &[u8], reading: Reading) -> References {
    let mut references = References::default();
    if !reading.ascii_safe && !text.is_ascii() {
        return references;
    }
    let mut scan =
        Scan { text, tokens: Tokens::new(text, reading.conforming), token: Token::Other, start: 0 };
    let mut statements = 0;
    loop {
        scan.step();
        let begins = scan.start;
        if scan.token == Token::Semicolon {
            continue;
        }
        statements += u32::from(scan.token != Token::End);
        let found = scan.statement();
        let ends = scan.pass_statement();
        let open = ends == Token::Undecidable;
        let found = found.filter(|(does, ..)| !open || *does == Does::Execute);
        let found = found.map(|(does, name, place)| Reference { does, name, place, begins });
        references.found.extend(found);
        if ends != Token::Semicolon {
            references.alone = statements == 1 && !open;
            return references;
        }
    }
}

type Found = (Does, Box<[u8]>, Range<usize>);

struct Scan<'a> {
    text: &'a [u8],
    tokens: Tokens<'a>,
    /// The token read last, and where it begins.
    token: Token<'a>,
    start: usize,
}

impl<'a> Scan<'a> {
    fn step(&mut self) {
        self.start = self.text.len() - self.tokens.left();
        self.token = self.tokens.next();
    }

    /// Whether the token read last is this word.
    fn is(&self, word: &str) -> bool {
        matches!(self.token, Token::Word(it) if it.eq_ignore_ascii_case(word.as_bytes()))
    }

    fn has_ended(&self) -> bool {
        matches!(self.token, Token::Semicolon | Token::End | Token::Undecidable)
    }

    /// Reads on to the end of the statement; answers how it ends.
    fn pass_statement(&mut self) -> Token<'a> {
        while !self.has_ended() {
            self.step();
        }
        self.token
    }

    /// A statement whose first token was read last.
    fn statement(&mut self) -> Option<Found> {
        if self.is("deallocate") {
            self.deallocate()
        } else if self.is("execute") {
            self.named(Does::Execute)
        } else if self.is("prepare") {
            self.named(Does::Prepare)
        } else if self.is("explain") {
            self.explain()
        } else if self.is("create") {
            self.create()
        } else {
            None
        }
    }

    /// Nothing may come behind the name.
    fn deallocate(&mut self) -> Option<Found> {
        let (mut name, mut place) = self.name()?;
        self.step();
        if self.is_bare(&place) && *name == *b"prepare" && !self.has_ended() {
            (name, place) = self.name_read()?;
            self.step();
        }
        if !self.has_ended() {
            return None;
        }
        Some(match self.is_bare(&place) && *name == *b"all" {
            true => (Does::DeallocateAll, Box::default(), place),
            false => (Does::Deallocate, name, place),
        })
    }

    fn named(&mut self, does: Does) -> Option<Found> {
        self.name().map(|(name, place)| (does, name, place))
    }

    /// Options may come before what is explained, bare or in parentheses.
    fn explain(&mut self) -> Option<Found> {
        if self.tokens.at_parenthesis() {
            while self.token != Token::Close {
                self.step();
                if self.has_ended() {
                    return None;
                }
            }
        }
        loop {
            self.step();
            if self.is("execute") {
                return self.named(Does::Execute);
            }
            if self.is("create") {
                return self.create();
            }
            if !["analyze", "analyse", "verbose"].iter().any(|option| self.is(option)) {
                return None;
            }
        }
    }

    /// `… AS EXECUTE name`: as an alias of that name would stand at the end of a list, no name can
    /// come behind it.
    fn create(&mut self) -> Option<Found> {
        while !self.has_ended() {
            let before = self.is("as");
            self.step();
            if before && self.is("execute") {
                return self.named(Does::Execute);
            }
        }
        None
    }

    fn name(&mut self) -> Option<(Box<[u8]>, Range<usize>)> {
        self.step();
        self.name_read()
    }

    /// The name that was read last.
    fn name_read(&self) -> Option<(Box<[u8]>, Range<usize>)> {
        let (name, length) = match self.token {
            Token::Word(word) => (word.to_ascii_lowercase(), word.len()),
            Token::Quoted(name) => (unquote(name), name.len() + 2),
            _ => return None,
        };
        (name.len() <= NAME_LIMIT).then(|| (name.into(), self.start..self.start + length))
    }

    fn is_bare(&self, place: &Range<usize>) -> bool {
        self.text[place.start] != b'"'
    }
}

/// A doubled quote stands for itself.
fn unquote(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(byte);
        if byte == b'"' {
            bytes.next();
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::Does::{Deallocate, DeallocateAll, Execute, Prepare};
    use super::*;

    /// What each statement does, its name, and how the text spells that.
    #[track_caller]
    fn check(text: &str, expected: &[(Does, &str, &str)]) -> References {
        let references = references(text.as_bytes(), Reading::default());
        let spelt = |it: &Reference| (it.does, it.name.clone(), &text[it.place.clone()]);
        let found: Vec<_> = references.found.iter().map(spelt).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(does, name, spelt)| (*does, Box::from(name.as_bytes()), *spelt))
            .collect();
        assert_eq!(found, expected, "{text}");
        references
    }

    #[test]
    fn deallocate_is_understood_as_postgres_reads_it() {
        for (text, name, spelt) in [
            ("DEALLOCATE s", "s", "s"),
            ("deallocate\tprepare /* of (old) */ S1 ; -- gone", "s1", "S1"),
            ("  DEALLOCATE \"S \"\"1\"\"\";;", "S \"1\"", "\"S \"\"1\"\"\""),
            ("DEALLOCATE prepare", "prepare", "prepare"),
            ("DEALLOCATE PREPARE;", "prepare", "PREPARE"),
            ("DEALLOCATE \"all\"", "all", "\"all\""),
            ("DEALLOCATE PREPARE \"prepare\"", "prepare", "\"prepare\""),
            ("DEALLOCATE caf\u{e9}", "caf\u{e9}", "caf\u{e9}"),
        ] {
            assert!(check(text, &[(Deallocate, name, spelt)]).alone, "{text}");
        }
        for (text, spelt) in [("DEALLOCATE ALL", "ALL"), ("DEALLOCATE PREPARE all ;", "all")] {
            assert!(check(text, &[(DeallocateAll, "", spelt)]).alone, "{text}");
        }
    }

    #[test]
    fn text_that_names_none_or_is_no_sql_is_left_alone() {
        for text in [
            "",
            "DEALLOCATE",
            "DEALLOCATE 's'",
            "DEALLOCATE a b",
            "DEALLOCATE a, b",
            "DEALLOCATE a /* open",
            "DEALLOCATE \"open",
            "DEALLOCATE U&\"s\"",
            "\"DEALLOCATE\" s",
            "SELECT 1",
            "EXPLAIN SELECT 1",
            "EXPLAIN (ANALYZE SELECT",
            "EXECUTE 1",
            "SELECT 'x; EXECUTE s'",
            "SELECT 1 AS execute FROM s",
            "CREATE VIEW v AS SELECT 1 AS execute",
        ] {
            check(text, &[]);
        }
        check(&format!("DEALLOCATE {}", "x".repeat(64)), &[]);
    }

    #[test]
    fn the_place_of_an_executed_name_is_found() {
        for (text, executed, spelt) in [
            ("EXECUTE s", "s", "s"),
            ("execute /* it */ \"S 1\"(1, 'a')", "S 1", "\"S 1\""),
            ("EXPLAIN EXECUTE s (1)", "s", "s"),
            ("EXPLAIN ANALYZE VERBOSE EXECUTE s", "s", "s"),
            ("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE S(1)", "s", "S"),
            ("CREATE TEMP TABLE t (a) ON COMMIT DROP AS EXECUTE s(1) WITH NO DATA", "s", "s"),
            ("EXPLAIN CREATE TABLE t AS EXECUTE s", "s", "s"),
        ] {
            assert!(check(text, &[(Execute, executed, spelt)]).alone, "{text}");
        }
    }

    #[test]
    fn all_statements_of_a_text_are_looked_at() {
        let text = "BEGIN;;EXECUTE a(';'); PREPARE b (int) AS SELECT $1; DEALLOCATE a b;\
                    EXECUTE b(2);DEALLOCATE b;COMMIT";
        let found = [(Execute, "a", "a"), (Prepare, "b", "b"), (Execute, "b", "b")];
        let references = check(text, &[&found[..], &[(Deallocate, "b", "b")]].concat());
        assert!(!references.alone);
        let begins: Vec<_> = references.found.iter().map(|it| &text[it.begins..][..7]).collect();
        assert_eq!(begins, ["EXECUTE", "PREPARE", "EXECUTE", "DEALLOC"]);
        check("EXECUTE a; SELECT 'open", &[(Execute, "a", "a")]);
    }
}
