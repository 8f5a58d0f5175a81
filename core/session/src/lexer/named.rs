//! Statements that name a prepared statement: EXECUTE, DEALLOCATE, PREPARE. It reads no further
//! than it must, and answers nothing for a text that it has not understood.

use std::ops::Range;

use super::Reading;
use super::token::{Token, Tokens};

/// Longer names are cut by PostgreSQL, in bytes.
const NAME_LIMIT: usize = 63;

/// What a text does with a prepared statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// DEALLOCATE of this one, and nothing else.
    Deallocate(Box<[u8]>),
    /// DEALLOCATE ALL, and nothing else.
    DeallocateAll,
    /// EXECUTE or EXPLAIN EXECUTE of this one, named at this place of the text; more may follow.
    Execute(Box<[u8]>, Range<usize>),
    /// PREPARE of this one; more may follow.
    Prepare(Box<[u8]>),
}

/// What `text`, without its final NUL, does with a prepared statement.
pub fn named(text: &[u8], reading: Reading) -> Option<Named> {
    if !reading.ascii_safe && !text.is_ascii() {
        return None;
    }
    let mut scan = Scan { text, tokens: Tokens::new(text, reading.conforming) };
    let head = scan.word()?;
    match () {
        () if head.eq_ignore_ascii_case(b"deallocate") => scan.deallocate(),
        () if head.eq_ignore_ascii_case(b"execute") => scan.execute(),
        () if head.eq_ignore_ascii_case(b"explain") => scan.explain(),
        () if head.eq_ignore_ascii_case(b"prepare") => {
            scan.name().map(|(name, _)| Named::Prepare(name))
        }
        () => None,
    }
}

struct Scan<'a> {
    text: &'a [u8],
    tokens: Tokens<'a>,
}

impl<'a> Scan<'a> {
    fn word(&mut self) -> Option<&'a [u8]> {
        match self.tokens.next() {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn deallocate(mut self) -> Option<Named> {
        let (mut named, mut bare) = self.name_as_written()?;
        if bare && *named == *b"prepare" && !self.at_end() {
            (named, bare) = self.name_as_written()?;
        }
        self.ends().then_some(match bare && *named == *b"all" {
            true => Named::DeallocateAll,
            false => Named::Deallocate(named),
        })
    }

    fn execute(mut self) -> Option<Named> {
        let (name, place) = self.name()?;
        Some(Named::Execute(name, place))
    }

    /// Options may come before what is explained, bare or in parentheses.
    fn explain(mut self) -> Option<Named> {
        if self.tokens.at_parenthesis() {
            loop {
                match self.tokens.next() {
                    Token::Close => break,
                    Token::End | Token::Undecidable => return None,
                    _ => {}
                }
            }
        }
        loop {
            let word = self.word()?;
            if word.eq_ignore_ascii_case(b"execute") {
                return self.execute();
            }
            let options: [&[u8]; 3] = [b"analyze", b"analyse", b"verbose"];
            if !options.iter().any(|option| word.eq_ignore_ascii_case(option)) {
                return None;
            }
        }
    }

    fn name(&mut self) -> Option<(Box<[u8]>, Range<usize>)> {
        let start = self.text.len() - self.tokens.left();
        let (name, length) = match self.tokens.next() {
            Token::Word(word) => (word.to_ascii_lowercase(), word.len()),
            Token::Quoted(name) => (unquote(name), name.len() + 2),
            _ => return None,
        };
        (name.len() <= NAME_LIMIT).then(|| (name.into(), start..start + length))
    }

    /// A name, and whether it stood without quotes.
    fn name_as_written(&mut self) -> Option<(Box<[u8]>, bool)> {
        let (name, place) = self.name()?;
        let bare = self.text[place.start] != b'"';
        Some((name, bare))
    }

    fn at_end(&self) -> bool {
        matches!(self.text[self.text.len() - self.tokens.left()..].first(), None | Some(b';'))
    }

    /// Whether nothing but semicolons is left.
    fn ends(mut self) -> bool {
        loop {
            match self.tokens.next() {
                Token::Semicolon => {}
                Token::End => return true,
                _ => return false,
            }
        }
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
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Named>) {
        assert_eq!(named(text.as_bytes(), Reading::default()), expected, "{text}");
    }

    fn name(text: &str) -> Box<[u8]> {
        text.as_bytes().into()
    }

    #[test]
    fn deallocate_is_understood_as_postgres_reads_it() {
        for (text, given_up) in [
            ("DEALLOCATE s", "s"),
            ("deallocate\tprepare /* of (old) */ S1 ; -- gone", "s1"),
            ("  DEALLOCATE \"S \"\"1\"\"\";;", "S \"1\""),
            ("DEALLOCATE prepare", "prepare"),
            ("DEALLOCATE PREPARE;", "prepare"),
            ("DEALLOCATE \"all\"", "all"),
            ("DEALLOCATE PREPARE \"prepare\"", "prepare"),
            ("DEALLOCATE caf\u{e9}", "caf\u{e9}"),
        ] {
            check(text, Some(Named::Deallocate(name(given_up))));
        }
        for text in ["DEALLOCATE ALL", "DEALLOCATE PREPARE all ;"] {
            check(text, Some(Named::DeallocateAll));
        }
    }

    #[test]
    fn text_that_does_more_or_is_no_sql_is_left_alone() {
        for text in [
            "",
            "DEALLOCATE",
            "DEALLOCATE 's'",
            "DEALLOCATE a b",
            "DEALLOCATE a, b",
            "DEALLOCATE a; DEALLOCATE b",
            "DEALLOCATE a /* open",
            "DEALLOCATE \"open",
            "DEALLOCATE U&\"s\"",
            "\"DEALLOCATE\" s",
            "SELECT 1",
            "EXPLAIN SELECT 1",
            "EXPLAIN (ANALYZE SELECT",
            "EXECUTE 1",
            "CREATE TABLE t AS EXECUTE s",
        ] {
            check(text, None);
        }
        check(&format!("DEALLOCATE {}", "x".repeat(64)), None);
    }

    #[test]
    fn the_place_of_an_executed_name_is_found() {
        for (text, executed, written) in [
            ("EXECUTE s", "s", "s"),
            ("execute /* it */ \"S 1\"(1, 'a')", "S 1", "\"S 1\""),
            ("EXECUTE S(1); SELECT 2", "s", "S"),
            ("EXPLAIN EXECUTE s (1)", "s", "s"),
            ("EXPLAIN ANALYZE VERBOSE EXECUTE s", "s", "s"),
            ("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE s(1)", "s", "s"),
        ] {
            let Some(Named::Execute(found, place)) = named(text.as_bytes(), Reading::default())
            else {
                panic!("{text}: not understood");
            };
            assert_eq!((&*found, &text[place]), (executed.as_bytes(), written), "{text}");
        }
    }

    #[test]
    fn what_is_prepared_is_told() {
        for text in ["PREPARE S AS SELECT 1", "PREPARE s (int) AS SELECT $1; SELECT 2"] {
            check(text, Some(Named::Prepare(name("s"))));
        }
    }
}
