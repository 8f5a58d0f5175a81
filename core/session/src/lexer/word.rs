//! Words as numbers, so that telling two apart costs an instruction or two. Case is lost on the way,
//! as Postgres folds it; nothing else is.

/// A word of up to 16 bytes, the first in the highest place; 0 for a longer one, which is no keyword.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(u128);

impl Word {
    /// `word`: bytes that [`super::token`] takes for one. Setting bit 0x20 folds A–Z to a–z and maps
    /// no other two of them to one.
    pub const fn new(word: &[u8]) -> Word {
        if word.len() > 16 {
            return Word(0);
        }
        let mut packed = 0;
        let mut at = 0;
        while at < word.len() {
            packed = packed << 8 | (word[at] | 0x20) as u128;
            at += 1;
        }
        Word(packed)
    }

    pub fn is_any<const N: usize>(self, words: &[Word; N]) -> bool {
        words.contains(&self)
    }

    pub fn within<const N: usize>(self, sorted: &[Word; N]) -> bool {
        sorted.binary_search(&self).is_ok()
    }
}

/// A list of words, sorted for [`Word::within`].
pub const fn sorted<const N: usize>(words: [&str; N]) -> [Word; N] {
    let mut list = [Word(0); N];
    let mut count = 0;
    while count < N {
        let word = Word::new(words[count].as_bytes());
        let mut place = count;
        while place > 0 && list[place - 1].0 > word.0 {
            list[place] = list[place - 1];
            place -= 1;
        }
        list[place] = word;
        count += 1;
    }
    list
}

/// First letters and lengths that a set of words has: most words of a text are none of the set, and
/// this says so without reading them.
pub struct Shapes([u32; 32]);

impl Shapes {
    pub const fn new(lists: &[&[&str]]) -> Shapes {
        let mut shapes = [0; 32];
        let mut list = 0;
        while list < lists.len() {
            let mut at = 0;
            while at < lists[list].len() {
                let word = lists[list][at].as_bytes();
                shapes[place(word[0])] |= 1 << word.len();
                at += 1;
            }
            list += 1;
        }
        Shapes(shapes)
    }

    /// False only for words outside the set.
    pub fn may_have(&self, word: &[u8]) -> bool {
        let shape = word.first().map_or(0, |first| self.0[place(*first)]);
        word.len() < 32 && shape & (1 << word.len()) != 0
    }
}

const fn place(first: u8) -> usize {
    (first & 0x1f) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_hold_every_word_of_their_lists() {
        const SHAPES: Shapes = Shapes::new(&[&["with", "SET"], &["pg_catalog"]]);
        for word in ["with", "WITH", "wide", "set", "PG_CATALOG"] {
            assert!(SHAPES.may_have(word.as_bytes()), "{word}");
        }
        let long = "s".repeat(35);
        for word in ["", "wit", "sets", "catalog", long.as_str()] {
            assert!(!SHAPES.may_have(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn words_differ_in_more_than_case_or_are_the_same() {
        assert_eq!(Word::new(b"SeLecT"), Word::new(b"select"));
        let others: [&[u8]; 6] =
            [b"selec", b"selects", b"pg_temp", b"pg\x7ftemp", b"s\xe9lect", b"sixteen_or_longer"];
        for other in others {
            assert_ne!(Word::new(other), Word::new(b"select"), "{other:?}");
        }
        assert_eq!(Word::new(b"more_than_sixteen"), Word::default());
    }

    #[test]
    fn every_word_of_a_list_is_found_and_no_other() {
        const LIST: [Word; 4] = sorted(["with", "a", "transaction", "as"]);
        for word in ["with", "A", "transaction", "as"] {
            assert!(Word::new(word.as_bytes()).within(&LIST), "{word}");
        }
        assert!(!Word::new(b"b").within(&LIST) && !Word::default().within(&LIST));
    }
}
