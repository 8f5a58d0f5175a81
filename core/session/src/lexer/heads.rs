//! Statements that are not harmless by their first word, and what they may leave. It sees words one
//! by one and no calls.

use crate::doubts::Doubts;

/// A statement that is being read.
pub struct Odd {
    doubts: Doubts,
    /// What decides about it is the second word.
    decided: bool,
    creates: bool,
    temporary: bool,
    /// How much of `ON COMMIT DROP` the last words were.
    drop: u8,
}

impl Odd {
    /// `text`: the first word.
    pub fn begin(text: &[u8]) -> Odd {
        let word = text.to_ascii_lowercase();
        let doubts = match &*word {
            b"reset" => Doubts::SETTINGS,
            b"listen" => Doubts::CHANNELS,
            b"prepare" => Doubts::STATEMENTS,
            b"close" | b"deallocate" | b"discard" | b"unlisten" => Doubts::ENDS,
            _ => Doubts::ANYTHING,
        };
        let (creates, decided) = (word == b"create", word != b"prepare");
        Odd { doubts, decided, creates, temporary: false, drop: 0 }
    }

    /// A word behind the first.
    pub fn word(&mut self, text: &[u8]) {
        if !std::mem::replace(&mut self.decided, true) && text.eq_ignore_ascii_case(b"transaction")
        {
            self.doubts = Doubts::NONE;
        }
        if !self.creates {
            return;
        }
        self.temporary |= ["temp", "temporary"].iter().any(|word| is(text, word));
        self.drop = match self.drop {
            _ if is(text, "on") => 1,
            1 if is(text, "commit") => 2,
            2 if is(text, "drop") => 3,
            3 => 3,
            _ => 0,
        };
    }

    /// What the whole statement may leave. A temporary table that ends with its transaction is
    /// left to the server to tell.
    pub fn doubts(&self) -> Doubts {
        let stays = self.temporary && self.drop < 3;
        if stays { self.doubts.and(Doubts::TEMPORARY) } else { self.doubts }
    }
}

fn is(text: &[u8], word: &str) -> bool {
    text.eq_ignore_ascii_case(word.as_bytes())
}
