//! What a text that sets something sets: which customized settings, whose names no server lists, and
//! whether a call of set_config goes beyond its transaction. It is asked only of text that sets.

use super::Reading;
use super::token::{Token, Tokens};
use crate::doubts::Doubts;
use crate::parameters::is_name;

/// What calls for this look.
pub(super) const IN_QUESTION: Doubts = Doubts::SETTINGS.and(Doubts::SET_CONFIG);

/// The customized settings that a text sets or resets, in lower case.
pub fn customs(text: &[u8], reading: Reading) -> Vec<Box<str>> {
    read(text, reading).customs
}

/// The doubts of a text with its calls of set_config looked at.
pub(super) fn settle(doubts: Doubts, text: &[u8], reading: Reading) -> Doubts {
    let found = read(text, reading);
    let mut doubts = doubts.without(Doubts::SET_CONFIG);
    if found.unknown {
        doubts |= Doubts::ANYTHING;
    }
    if found.locally {
        doubts |= Doubts::LOCALLY;
    }
    if found.lasts {
        doubts |= Doubts::SETTINGS;
    }
    if !found.customs.is_empty() {
        doubts |= Doubts::CUSTOMS;
    }
    doubts
}

#[derive(Default)]
struct Assignments {
    customs: Vec<Box<str>>,
    /// A call of set_config may set something for longer than its transaction.
    lasts: bool,
    /// One sets something for its transaction.
    locally: bool,
    /// A call of set_config whose first argument is no plain literal, or a name that nobody may ask
    /// for.
    unknown: bool,
}

fn read(text: &[u8], reading: Reading) -> Assignments {
    let mut tokens = Tokens::new(text, reading.conforming);
    let mut found = Assignments::default();
    let mut first = true;
    loop {
        let begins = std::mem::take(&mut first);
        match tokens.next() {
            Token::End | Token::Undecidable => return found,
            Token::Semicolon => first = true,
            Token::Word(word) if begins && is_any(word, &["set", "reset"]) => {
                first = found.name(&mut tokens);
            }
            Token::Word(word) if is_any(word, &["set_config"]) && tokens.at_parenthesis() => {
                found.call(&mut tokens);
            }
            _ => {}
        }
    }
}

impl Assignments {
    /// `[SESSION | LOCAL] a.b`; answers whether the statement ended there.
    fn name(&mut self, tokens: &mut Tokens<'_>) -> bool {
        let mut name = Vec::new();
        let mut parts = 0;
        loop {
            match tokens.next() {
                Token::Word(word) if parts == 0 && is_any(word, &["session", "local"]) => {}
                Token::Word(part) | Token::Quoted(part) => {
                    parts += 1;
                    name.extend_from_slice(part);
                }
                Token::Dot => name.push(b'.'),
                Token::Semicolon => {
                    self.keep(&name);
                    return true;
                }
                _ => {
                    self.keep(&name);
                    return false;
                }
            }
            if parts > 0 && !name.ends_with(b".") && !tokens.at_dot() {
                self.keep(&name);
                return false;
            }
        }
    }

    /// `('name', value, is_local)`
    fn call(&mut self, tokens: &mut Tokens<'_>) {
        tokens.next();
        let literal = tokens.rest();
        tokens.next();
        let behind = tokens.rest();
        let literal = &literal[..literal.len() - behind.len()];
        let name = literal.trim_ascii_end().strip_prefix(b"'").and_then(|it| it.strip_suffix(b"'"));
        let Some(name) = name.filter(|name| behind.starts_with(b",") && is_plain(name)) else {
            self.unknown = true;
            return;
        };
        tokens.next();
        if ends_locally(tokens) {
            self.locally = true;
            return;
        }
        self.lasts = true;
        self.keep(name);
    }

    fn keep(&mut self, name: &[u8]) {
        if name.contains(&b'.') {
            let name = String::from_utf8_lossy(name).to_lowercase();
            match is_name(&name) {
                true => self.customs.push(name.into()),
                false => self.unknown = true,
            }
        }
    }
}

/// Whether the arguments that are left are a value and `true`.
fn ends_locally(tokens: &mut Tokens<'_>) -> bool {
    let mut depth = 0;
    let mut last = false;
    loop {
        let opens = tokens.at_parenthesis();
        let comma = depth == 0 && tokens.rest().starts_with(b",");
        match tokens.next() {
            Token::End | Token::Undecidable | Token::Semicolon => return false,
            Token::Close if depth == 0 => return last,
            Token::Close => depth -= 1,
            Token::Word(word) if last => {
                return is_any(word, &["true"]) && tokens.rest().starts_with(b")");
            }
            _ if last => return false,
            _ if comma => last = true,
            _ if opens => depth += 1,
            _ => {}
        }
    }
}

/// A literal that means what it spells.
fn is_plain(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

fn is_any(word: &[u8], words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::look;

    #[track_caller]
    fn check(text: &str, expected: Doubts, names: &[&str]) {
        assert_eq!(look(text.as_bytes(), Reading::default()).doubts, expected, "{text}");
        let found = customs(text.as_bytes(), Reading::default());
        assert_eq!(found.iter().map(|name| &**name).collect::<Vec<_>>(), names, "{text}");
    }

    #[test]
    fn names_of_customized_settings_are_read() {
        let both = Doubts::SETTINGS.and(Doubts::CUSTOMS);
        check("SET my.var = 'a'", both, &["my.var"]);
        check("set session MY . /* a */ Var to 1; RESET b.c;SET x=1", both, &["my.var", "b.c"]);
        check("SET \"My\".\"var\" = 'a.b'", both, &["my.var"]);
        check("SELECT set_config('My.var', lower('A'), false)", both, &["my.var"]);
        check("SET search_path = a, b; SELECT x.y FROM a.b", Doubts::SETTINGS, &[]);
        check("SET a.b.c = 1", both, &["a.b.c"]);
        check("RESET", Doubts::SETTINGS, &[]);
    }

    #[test]
    fn an_odd_name_may_be_any() {
        check("SET \"it's\".b = 1", Doubts::SETTINGS.and(Doubts::ANYTHING), &[]);
    }

    #[test]
    fn a_local_set_config_changes_nothing() {
        for text in [
            "SELECT set_config('role', $1, true), pg_catalog.set_config('my.var', f.a, TRUE) FROM f",
            "SELECT set_config('a.b', lower((concat('a', 'b'))), true)",
        ] {
            check(text, Doubts::NONE, &[]);
        }
    }

    #[test]
    fn what_holds_until_the_transaction_ends_is_told_apart() {
        let locally = |text: &str| look(text.as_bytes(), Reading::default()).locally;
        for text in [
            "SET LOCAL search_path = a",
            "BEGIN; set local a.b = 1; SELECT 1",
            "SELECT set_config('role', $1, true)",
            "SELECT set_config('a', 'b', false), set_config('role', $1, true)",
        ] {
            assert!(locally(text), "{text}");
        }
        for text in ["SET a = 1", "SELECT set_config('a', 'b', false)", "SELECT 'SET LOCAL a'"] {
            assert!(!locally(text), "{text}");
        }
    }

    #[test]
    fn a_set_config_that_may_last_is_in_doubt() {
        for text in [
            "SELECT set_config('work_mem', '1', false)",
            "SELECT set_config('work_mem', '1', $1)",
            "SELECT set_config('work_mem', '1', not true)",
            "SELECT set_config('work_mem', '1', true and false)",
            "SELECT set_config('work_mem', '1', 'true')",
            "SELECT set_config('work_mem', '1'",
        ] {
            check(text, Doubts::SETTINGS, &[]);
        }
    }

    #[test]
    fn a_set_config_of_nobody_knows_what_may_change_anything() {
        for text in [
            "SELECT set_config($1, '1', false)",
            "SELECT set_config('my' || '.var', '1', true)",
            "SELECT set_config(E'my\\x2evar', '1', false)",
            "SELECT set_config(name => 'my.var', value => '1')",
            "SELECT set_config(",
        ] {
            check(text, Doubts::ANYTHING, &[]);
        }
    }
}
