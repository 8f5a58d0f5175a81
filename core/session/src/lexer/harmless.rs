//! Functions of the users' own that leave a session as it was, as the settings name them. It believes
//! what it is told.

use std::cell::RefCell;
use std::collections::HashSet;

use super::functions;
use crate::doubts::Doubts;

/// `name` for calls without a schema, `schema.name` for calls with it.
#[derive(Debug, Default)]
pub struct Harmless(RefCell<HashSet<Box<[u8]>>>);

/// A name in a text.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    /// Postgres folds it.
    Word(&'a [u8]),
    /// Without its outer quotes.
    Quoted(&'a [u8]),
}

impl Harmless {
    pub fn new(names: &[String]) -> Harmless {
        let harmless = Harmless::default();
        harmless.set(names);
        harmless
    }

    /// These are harmless from now on, and no others.
    pub fn set(&self, names: &[String]) {
        self.0.replace(names.iter().map(|name| name.as_bytes().into()).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn has(&self, schema: Option<Part<'_>>, name: Part<'_>) -> bool {
        if let Part::Word(word) = name
            && functions::doubts(word) != Doubts::ANYTHING
        {
            // PostgreSQL's own, of which it is known what they do.
            return false;
        }
        let mut key = Vec::with_capacity(64);
        if let Some(schema) = schema {
            schema.write(&mut key);
            key.push(b'.');
        }
        name.write(&mut key);
        self.0.borrow().contains(&key[..])
    }
}

impl Part<'_> {
    fn write(self, key: &mut Vec<u8>) {
        match self {
            Part::Word(word) => key.extend(word.iter().map(u8::to_ascii_lowercase)),
            Part::Quoted(name) => key.extend_from_slice(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::{Look, Reading, look_with};

    #[test]
    fn calls_of_what_is_named_leave_no_doubt() {
        let names = ["own.f", "g", "Odd", "set_config"].map(str::to_owned);
        let harmless = Harmless::new(&names);
        let look = |text: &str| look_with(text.as_bytes(), Reading::default(), &harmless).doubts;
        for text in [
            "SELECT own.f(1), OWN.F(2), \"own\".\"f\"(3), lower('a')",
            "SELECT g(own . f ('set_config('))",
            "SELECT \"Odd\"()",
        ] {
            assert_eq!(look(text), Doubts::NONE, "{text}");
        }
        for text in [
            "SELECT f(1)",
            "SELECT other.f(1)",
            "SELECT own.g(1)",
            "SELECT Odd()",
            "SELECT \"G\"()",
            "SELECT g(1), f(2)",
            "DO 'a'",
            "CALL g()",
        ] {
            assert_eq!(look(text), Doubts::ANYTHING, "{text}");
        }
        assert!(look("SELECT f(1), set_config('a', 'b', false)").is_any(Doubts::SETTINGS));
        harmless.set(&[]);
        assert_eq!(look("SELECT g(1)"), Doubts::ANYTHING);
        let none = look_with(b"SELECT 1", Reading::default(), &harmless);
        assert_eq!(none, Look::default());
    }
}
