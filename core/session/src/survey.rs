//! What a server is asked about its session once a client's transaction may have changed it, and
//! what the answer means. All names and operators are qualified: the client may have a search_path
//! of its own.
//!
//! The answer is one cell: a dot, then entries with commas between. `s` a setting of the session,
//! `d` a customized one that is defined and not set, `c` a customized one that the server lists to
//! nobody, each with name and value in hexadecimal; `r` the role; `o` that somebody begins with
//! another role than its own; `!` and a letter what pins.

use std::fmt::Write;

use crate::doubts::Doubts;
use crate::mutation::{self, Mutation};
use crate::parameters::is_name;

/// What all settings of one client may weigh, names and values, in bytes; with more it is pinned.
pub const SETTINGS_LIMIT: usize = 32 * 1024;

/// Why a client keeps its server connection: what only that connection has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins(u8);

impl Pins {
    pub const NONE: Pins = Pins(0);
    /// The client may have used a sequence, and its pool keeps such clients.
    pub const SEQUENCE: Pins = Pins(64);
    pub(crate) const STATEMENT: Pins = Pins(4);
    /// SET SESSION AUTHORIZATION, which is not replayed.
    pub(crate) const AUTHORIZATION: Pins = Pins(32);
    /// A setting that cannot be replayed: its value is no UTF-8, or there are too many.
    pub(crate) const SETTING: Pins = Pins(128);

    /// Metric labels, the least bit first.
    pub const LABELS: [&str; 8] = [
        "advisory_lock",
        "with_hold_cursor",
        "prepared_statement",
        "listen",
        "temporary",
        "session_authorization",
        "sequence",
        "setting",
    ];

    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub const fn and(self, other: Pins) -> Pins {
        Pins(self.0 | other.0)
    }

    pub(crate) const fn has(self, pin: Pins) -> bool {
        self.0 & pin.0 != 0
    }

    pub const fn without(self, other: Pins) -> Pins {
        Pins(self.0 & !other.0)
    }

    /// Places in [`Pins::LABELS`].
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..Pins::LABELS.len()).filter(move |place| self.0 & 1 << place != 0)
    }

    /// For people: the labels with commas between.
    pub fn labels(self) -> String {
        self.places().map(|place| Pins::LABELS[place]).collect::<Vec<_>>().join(", ")
    }
}

/// What is asked where, and what it would pin: a letter of the answer, the doubt, a condition.
struct Question {
    letter: char,
    doubt: Doubts,
    pin: Pins,
    /// That the answer counts for nothing.
    leak: Mutation,
    sql: &'static str,
}

const QUESTIONS: [Question; 5] = [
    Question {
        letter: 'l',
        doubt: Doubts::LOCKS,
        pin: Pins(1),
        leak: Mutation::LocksLeak,
        sql: "EXISTS(SELECT 1 FROM pg_catalog.pg_locks \
              WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
              AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())",
    },
    Question {
        letter: 'h',
        doubt: Doubts::CURSORS,
        pin: Pins(2),
        leak: Mutation::CursorsLeak,
        sql: "EXISTS(SELECT 1 FROM pg_catalog.pg_cursors WHERE is_holdable)",
    },
    Question {
        letter: 'p',
        doubt: Doubts::STATEMENTS,
        pin: Pins::STATEMENT,
        leak: Mutation::PreparedLeaks,
        sql: "EXISTS(SELECT 1 FROM pg_catalog.pg_prepared_statements WHERE from_sql)",
    },
    Question {
        letter: 'n',
        doubt: Doubts::CHANNELS,
        pin: Pins(8),
        leak: Mutation::ChannelsLeak,
        sql: "EXISTS(SELECT 1 FROM pg_catalog.pg_listening_channels())",
    },
    Question {
        letter: 't',
        doubt: Doubts::TEMPORARY,
        pin: Pins(16),
        leak: Mutation::TemporaryLeaks,
        sql: "EXISTS(SELECT 1 FROM pg_catalog.pg_depend WHERE refclassid \
              OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid \
              AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())",
    },
];

/// What these doubts may pin.
pub(crate) fn pins_of(doubts: Doubts) -> Pins {
    let all = doubts.is_any(Doubts::ANYTHING);
    let asked = QUESTIONS.iter().filter(|it| all || doubts.is_any(it.doubt));
    asked.fold(Pins::NONE, |pins, question| pins.and(question.pin))
}

/// Whether settings are to be asked for.
pub(crate) fn asks_settings(doubts: Doubts) -> bool {
    doubts.is_any(Doubts::SETTINGS.and(Doubts::CUSTOMS).and(Doubts::ANYTHING))
}

/// The question: `settings` too, with these customized ones; and what of `pins` is there. It is in no
/// hurry for a snapshot, whatever the client made the default of its transactions.
pub(crate) fn question<'a>(
    settings: bool,
    customs: impl Iterator<Item = &'a str> + Clone,
    pins: Pins,
) -> String {
    let mut sql = String::with_capacity(1024);
    sql.push_str(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;SELECT pg_catalog.concat_ws(',','.'",
    );
    if settings {
        ask_settings(&mut sql, customs);
    }
    for question in QUESTIONS.iter().filter(|it| pins.has(it.pin)) {
        let Question { letter, sql: condition, .. } = question;
        let _ = write!(sql, ",CASE WHEN {condition} THEN '!{letter}' END");
    }
    sql.push(')');
    sql
}

const HEX: &str = "pg_catalog.encode(pg_catalog.convert_to(";
const END_HEX: &str = ",pg_catalog.getdatabaseencoding()),'hex')";

fn ask_settings<'a>(sql: &mut String, customs: impl Iterator<Item = &'a str> + Clone) {
    let names = customs.collect::<Vec<_>>().join(",");
    let _ = write!(
        sql,
        ",(SELECT pg_catalog.string_agg(pg_catalog.concat(\
         CASE WHEN source OPERATOR(pg_catalog.=) 'session' THEN 's' ELSE 'd' END,{HEX}name{END_HEX},'=',{HEX}setting{END_HEX}),',') \
         FROM pg_catalog.pg_settings WHERE (source OPERATOR(pg_catalog.=) 'session' \
         OR pg_catalog.lower(name) OPERATOR(pg_catalog.=) ANY ('{{{names}}}'::pg_catalog.text[])) \
         AND name OPERATOR(pg_catalog.<>) ALL \
         ('{{transaction_isolation,transaction_read_only,transaction_deferrable}}'::pg_catalog.text[]))\
         ,pg_catalog.concat('r',{HEX}pg_catalog.current_setting('role'){END_HEX}),\
         CASE WHEN EXISTS(SELECT 1 FROM pg_catalog.pg_db_role_setting WHERE \
         pg_catalog.array_to_string(setconfig,',') OPERATOR(pg_catalog.~~) '%role=%') THEN 'o' END"
    );
    if !names.is_empty() {
        let _ = write!(
            sql,
            ",(SELECT pg_catalog.string_agg(pg_catalog.concat('c',{HEX}name{END_HEX},'=',\
             {HEX}pg_catalog.current_setting(name,true){END_HEX}),',') \
             FROM pg_catalog.unnest('{{{names}}}'::pg_catalog.text[]) AS n(name))"
        );
    }
}

/// What a server answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Set for the session: name in lower case, value.
    pub settings: Vec<(String, String)>,
    /// Names of others that are set, whose values cannot be replayed.
    pub unsaid: Vec<String>,
    /// `none`, or a name; `None`: not asked.
    pub role: Option<String>,
    /// `ALTER ROLE … SET role` or its like is used on the server: a role `none` may have been chosen.
    pub has_default_roles: bool,
    pub pins: Pins,
}

/// Reads an answer; `None` for one that is no answer to [`question`].
pub(crate) fn read(answer: &[u8]) -> Option<Found> {
    let answer = std::str::from_utf8(answer).ok()?.strip_prefix('.')?;
    let mut found = Found::default();
    let mut defined = Vec::new();
    let mut hidden = Vec::new();
    for entry in answer.split(',').filter(|entry| !entry.is_empty()) {
        let (kind, rest) = entry.split_at_checked(1)?;
        match kind {
            "!" => found.pins = found.pins.and(pin(rest)?),
            "r" => found.role = Some(found.text(rest)?),
            "o" => found.has_default_roles = true,
            _ => {
                let (name, value) = rest.split_once('=')?;
                let setting = (found.text(name)?.to_ascii_lowercase(), found.text(value)?);
                match kind {
                    "s" => found.settings.push(setting),
                    "d" => defined.push(setting.0),
                    "c" => hidden.push(setting),
                    _ => return None,
                }
            }
        }
    }
    hidden.retain(|(name, _)| {
        !defined.contains(name) && !found.settings.iter().any(|(other, _)| other == name)
    });
    found.settings.append(&mut hidden);
    found.settings.retain(|(name, _)| !name.is_empty());
    found.weigh();
    Some(found)
}

impl Found {
    /// What hexadecimal digits spell. Text that is no UTF-8 pins, and is kept as none.
    fn text(&mut self, digits: &str) -> Option<String> {
        let digits = digits.as_bytes();
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |pair: &[u8; 2]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
        let bytes = pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?;
        Some(String::from_utf8(bytes).unwrap_or_else(|_| {
            self.pins = self.pins.and(Pins::SETTING);
            String::new()
        }))
    }

    /// Settings that cannot be replayed pin; the longest are those that do not fit.
    fn weigh(&mut self) {
        let weight = |(name, value): &(String, String)| name.len() + value.len();
        self.settings.sort_by_key(weight);
        let mut sum = 0;
        let mut fits = |setting: &mut (String, String)| {
            sum += weight(setting);
            sum <= SETTINGS_LIMIT && is_name(&setting.0)
        };
        let unfit: Vec<_> = self.settings.extract_if(.., |setting| !fits(setting)).collect();
        if !unfit.is_empty() {
            self.pins = self.pins.and(Pins::SETTING);
        }
        self.unsaid = unfit.into_iter().map(|(name, _)| name).collect();
    }
}

fn pin(letter: &str) -> Option<Pins> {
    let asked = |question: &&Question| letter.chars().eq([question.letter]);
    let pin = |question: &Question| match mutation::is(question.leak) {
        true => Pins::NONE,
        false => question.pin,
    };
    QUESTIONS.iter().find(asked).map(pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &[u8]) -> String {
        text.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn entry(kind: char, name: &str, value: &[u8]) -> String {
        format!("{kind}{}={}", hex(name.as_bytes()), hex(value))
    }

    fn answer(entries: &[String]) -> Option<Found> {
        read(format!(".,{}", entries.join(",")).as_bytes())
    }

    fn setting(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn settings_role_and_pins_are_read() {
        let role = format!("r{}", hex(b"carol"));
        let found = answer(&[entry('s', "TimeZone", b"UTC"), role, "!l".into(), "!t".into()]);
        let settings = vec![setting("timezone", "UTC")];
        let pins = Pins(1).and(Pins(16));
        let role = Some("carol".into());
        assert_eq!(found, Some(Found { settings, role, pins, ..Found::default() }));
        assert_eq!(read(b"."), Some(Found::default()));
    }

    #[test]
    fn a_customized_setting_that_the_server_lists_counts_as_listed() {
        let found = answer(&[
            entry('s', "a.Set", b"1"),
            entry('d', "a.default", b"2"),
            entry('c', "a.set", b"1"),
            entry('c', "a.default", b"2"),
            entry('c', "a.hidden", b"3"),
        ]);
        let settings = vec![setting("a.set", "1"), setting("a.hidden", "3")];
        assert_eq!(found.map(|found| found.settings), Some(settings));
    }

    #[test]
    fn what_cannot_be_replayed_pins() {
        for entry in [
            entry('s', "a.b", b"\xe4"),
            entry('s', "it's", b"a"),
            entry('s', "a.b", &vec![b'x'; SETTINGS_LIMIT]),
        ] {
            assert_eq!(answer(&[entry]).map(|found| found.pins), Some(Pins::SETTING));
        }
    }

    #[test]
    fn of_too_many_settings_the_longest_are_not_kept() {
        let long = entry('s', "a.b", &vec![b'x'; SETTINGS_LIMIT]);
        let found = answer(&[long, entry('s', "work_mem", b"5MB")]).unwrap();
        assert_eq!(found.settings, [setting("work_mem", "5MB")]);
        assert_eq!((found.unsaid, found.pins), (vec!["a.b".to_owned()], Pins::SETTING));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in
            [&b""[..], b"s61=62", b".,s61", b".,!x", b".,x61=62", b".,s6=6", b".,szz=62", b"\xff"]
        {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn only_what_is_in_doubt_is_asked() {
        let none = std::iter::empty::<&str>();
        let listens = question(false, none.clone(), pins_of(Doubts::CHANNELS));
        assert!(listens.contains("pg_listening_channels") && !listens.contains("pg_locks"));
        assert!(!listens.contains("pg_settings"));
        let all = question(true, ["my.var"].into_iter(), pins_of(Doubts::ANYTHING));
        assert!(QUESTIONS.iter().all(|question| all.contains(question.sql)));
        assert!(all.contains("'{my.var}'") && all.contains("pg_settings"));
        assert!(!question(true, none, Pins::NONE).contains("unnest"));
    }
}
