//! A statement that a server does not hold, once its client's settings are no longer those with which
//! it was parsed. PostgreSQL reads it again where only the names in it may mean something else, and
//! keeps what it has made of literals; where those may come out otherwise now, the client is told.

use std::cell::RefCell;

use super::refuse::Refusal;
use crate::mutation::{self, Mutation};
use crate::parameters::Wanted;
use crate::server::Server;
use crate::statements::{Named, Scope, Shape, Statements};
use crate::survey::Pins;

/// What decides how dates and times are read.
const OF_TIME: [&str; 4] = ["datestyle", "intervalstyle", "timezone", "timezone_abbreviations"];
/// What decides how other literals, and comparisons with NULL, are read.
const OF_TEXT: [&str; 6] = [
    "array_nulls",
    "backslash_quote",
    "lc_monetary",
    "standard_conforming_strings",
    "transform_null_equals",
    "xmloption",
];
/// Words that a time may be spelled by, as PostgreSQL's table of date tokens has them.
const TIMES: [&[u8]; 33] = [
    b"now",
    b"today",
    b"tomorrow",
    b"yesterday",
    b"epoch",
    b"allballs",
    b"jan",
    b"january",
    b"feb",
    b"february",
    b"mar",
    b"march",
    b"apr",
    b"april",
    b"may",
    b"jun",
    b"june",
    b"jul",
    b"july",
    b"aug",
    b"august",
    b"sep",
    b"sept",
    b"september",
    b"oct",
    b"october",
    b"nov",
    b"november",
    b"dec",
    b"december",
    b"j",
    b"jd",
    b"julian",
];

/// Takes for a name what its text means with these settings; answers why it cannot be used any more.
pub fn adopt(
    named: &mut Named,
    (wanted, pool): (&Wanted, u32),
    statements: &RefCell<Statements>,
    server: &Server,
) -> Option<Refusal> {
    let mut settings = wanted.meaning();
    let doubted = is_doubtful(&named.statement.body, server);
    if mutation::is(Mutation::StatementsKeyedByText)
        || of_names(&named.statement.settings) == settings && !doubted
    {
        return None;
    }
    let statement = &named.statement;
    if let Some(setting) = spoilt_by(&statement.settings, &settings, &statement.body) {
        return Some(Refusal::other_settings(setting));
    }
    let mut statements = statements.borrow_mut();
    if doubted {
        settings = alone(&settings, &mut statements);
    }
    let scope = Scope { pool, settings: settings.into() };
    let new = statements.intern(&scope, &statement.body, || statement.look);
    let (before, shape) = (statement.shape.get(), new.shape.get());
    if shape == Shape::Unknown {
        // What the server says of it will show whether that is so.
        new.shape.set(before);
    } else if named.told && before != Shape::Unknown && before != shape {
        return Some(Refusal::changed());
    }
    named.statement = new;
    named.renew();
    None
}

/// Whether a text, a Parse message's body behind the name, may mean here what it means nowhere else
/// (I10). What is set until the transaction ends is known when it was answered; a text without literals
/// does not depend on it, since PostgreSQL looks its names up whenever it runs.
pub fn is_doubtful(body: &[u8], server: &Server) -> bool {
    server.settings_in_doubt()
        || server.pins().has(Pins::AUTHORIZATION.and(Pins::SETTING))
        || server.sets_locally && has_literal(text_of(body))
}

/// Settings that nobody else has, since it is not known what they are.
pub fn alone(settings: &str, statements: &mut Statements) -> String {
    format!("{settings}#{}", statements.next_unnamed())
}

/// Whether a statement may be prepared with these settings.
pub fn fits(settings: &str, wanted: &Wanted) -> bool {
    of_names(settings) == wanted.meaning()
}

/// As far as they are known.
fn of_names(settings: &str) -> &str {
    settings.rsplit_once('#').map_or(settings, |(known, _)| known)
}

/// The setting by which the literals of a text, a Parse message's body behind the name, mean
/// something else now.
pub fn spoilt_by(then: &str, now: &str, body: &[u8]) -> Option<&'static str> {
    let text = text_of(body);
    let value = |settings: &str, name: &str| {
        let found = settings.split('\0').find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned)
    };
    let then = of_names(then);
    let differs = |name: &&&str| value(then, name) != value(now, name);
    let spoils = |of: &'static [&str], may: bool| of.iter().filter(|_| may).find(differs).copied();
    spoils(&OF_TIME, has_time(text)).or_else(|| spoils(&OF_TEXT, has_literal(text)))
}

/// The text in a Parse message's body behind the name.
pub fn text_of(body: &[u8]) -> &[u8] {
    body.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn has_literal(text: &[u8]) -> bool {
    let quoted = text.contains(&b'\'') || text.windows(2).any(|it| it == b"$$");
    quoted || text.windows(4).any(|it| it.eq_ignore_ascii_case(b"null"))
}

/// Whether something quoted in it may be a date or a time.
fn has_time(text: &[u8]) -> bool {
    let dollars = text.windows(2).any(|it| it[0] == b'$' && !it[1].is_ascii_digit());
    let quoted = text.split(|byte| *byte == b'\'').skip(1).step_by(2);
    dollars || quoted.into_iter().any(may_be_time)
}

fn may_be_time(literal: &[u8]) -> bool {
    let separated = |it: &[u8]| {
        it[0].is_ascii_digit()
            && match it[1] {
                b'-' | b'/' | b':' | b'.' => it[2] != b' ',
                b' ' => it[2].is_ascii_digit(),
                _ => false,
            }
    };
    let many = literal.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() >= 6);
    let is_time = |word: &[u8]| TIMES.iter().any(|time| word.eq_ignore_ascii_case(time));
    let mut words = literal.split(|byte| !byte.is_ascii_alphabetic());
    many || literal.windows(3).any(separated) || words.any(is_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, then: &str, now: &str, expected: Option<&str>) {
        let body = [text.as_bytes(), b"\0\0\0"].concat();
        assert_eq!(spoilt_by(then, now, &body), expected, "{text}");
    }

    #[test]
    fn literals_of_times_are_spoilt_by_settings_of_times_only() {
        let (utc, rome) = ("search_path=a\0timezone=UTC\0", "timezone=Europe/Rome\0");
        for text in [
            "SELECT '2020-01-01'::timestamptz",
            "SELECT timestamptz 'now'",
            "SELECT a FROM t WHERE b > 'Jan 2 2020'",
            "SELECT a FROM t WHERE b > '2march20' AND c = 'Mark'",
            "SELECT '20200101'",
            "SELECT '2020 1 2'",
            "SELECT $$10:00$$",
        ] {
            check(text, utc, rome, Some("timezone"));
            check(text, "timezone=UTC\0#7", rome, Some("timezone"));
            check(text, utc, "timezone=UTC\0", None);
        }
        for text in [
            "SELECT 2020-01-01, $1",
            "SELECT now() - interval '1 day', 'active'",
            "SELECT a FROM t WHERE b IN ('Mark', 'unknown', 'decided', 'mayor 1')",
        ] {
            check(text, utc, rome, None);
        }
    }

    #[test]
    fn other_literals_are_spoilt_by_how_they_are_read() {
        let off = "standard_conforming_strings=off\0";
        check("SELECT 'a'", "", off, Some("standard_conforming_strings"));
        check("SELECT a", "", off, None);
        check("SELECT a = NULL", "", "transform_null_equals=on\0", Some("transform_null_equals"));
        check("SELECT 'a'", "work_mem=1MB\0", "", None);
    }
}
