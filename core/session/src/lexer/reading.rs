//! Whether a text surely does nothing but read, so that it may run in vain. It sees no triggers, views,
//! operators or casts, as the lexer does not.

use super::{Reading, look};

/// The words that such a text begins with.
const HEADS: [&[u8]; 4] = [b"select", b"table", b"values", b"with"];
/// What none has in it, not even as a part of a name.
const WRITES: [&[u8]; 7] =
    [b"delete", b"insert", b"into", b"merge", b"nextval", b"notify", b"update"];

/// Answers "yes" only where it is sure.
pub fn only_reads(text: &[u8], reading: Reading) -> bool {
    let text = text.trim_ascii_start();
    let begins =
        |head: &&[u8]| text.get(..head.len()).is_some_and(|it| it.eq_ignore_ascii_case(head));
    let has = |word: &&[u8]| text.windows(word.len()).any(|it| it.eq_ignore_ascii_case(word));
    HEADS.iter().any(begins) && !WRITES.iter().any(has) && look(text, reading).doubts.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_reads_is_said_to() {
        let reads = |text: &str| only_reads(text.as_bytes(), Reading::default());
        for text in [
            "SELECT count(*) FROM a WHERE b = $1",
            " table a",
            "VALUES (1)",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "SELECT lastval()",
        ] {
            assert!(reads(text), "{text}");
        }
        for text in [
            "",
            "/* a */ SELECT 1",
            "INSERT INTO a DEFAULT VALUES RETURNING b",
            "WITH a AS (DELETE FROM b RETURNING c) SELECT * FROM a",
            "SELECT * INTO a FROM b",
            "SELECT nextval('a')",
            "SELECT own(1)",
            "SELECT pg_notify('a', 'b')",
            "SELECT * FROM a FOR UPDATE",
            "SHOW TimeZone",
        ] {
            assert!(!reads(text), "{text}");
        }
    }
}
