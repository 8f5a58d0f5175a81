//! A table of words and the roles they play, searched in any case, as Postgres folds it. It knows
//! nothing of what the roles mean.

use super::roles::{Role, Roles};

/// A hash table without collisions: looking up a word is one comparison.
pub struct Table<const N: usize> {
    seed: u64,
    /// For each hash the place in `words` of the one word that may be there.
    slots: [u8; SLOTS],
    words: [(Key, Roles); N],
}

const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 10;

impl<const N: usize> Table<N> {
    /// `lists` have fewer than `N` different words.
    pub const fn new(lists: &[(Role, &[&str])]) -> Table<N> {
        assert!(N <= 256, "slots are bytes");
        let mut words = [(Key::NONE, Roles::NONE); N];
        let mut list = 0;
        while list < lists.len() {
            let mut at = 0;
            while at < lists[list].1.len() {
                add(&mut words, lists[list].1[at].as_bytes(), lists[list].0);
                at += 1;
            }
            list += 1;
        }
        let mut seed = 1;
        loop {
            if let Some(slots) = slots(&words, seed) {
                return Table { seed, slots, words };
            }
            seed = next_seed(seed);
        }
    }

    /// The roles of `word`: bytes that [`super::token`] takes for one.
    pub fn roles(&self, word: &[u8]) -> Roles {
        let key = Key::new(word);
        let (known, roles) = self.words[self.slots[key.slot(self.seed)] as usize % N];
        if known == key { roles } else { Roles::NONE }
    }
}

/// Adds `role` to those of `word`.
const fn add<const N: usize>(words: &mut [(Key, Roles); N], word: &[u8], role: Role) {
    assert!(!word.is_empty() && word.len() <= Key::LONGEST, "a key tells it from all others");
    let key = Key::new(word);
    let mut at = 1;
    while words[at].0.length != 0 && !words[at].0.is(key) {
        at += 1;
    }
    words[at] = (key, words[at].1.with(role));
}

/// `None` if two words would share a slot.
const fn slots<const N: usize>(words: &[(Key, Roles); N], seed: u64) -> Option<[u8; SLOTS]> {
    let mut slots = [0; SLOTS];
    let mut at = 1;
    while at < N && words[at].0.length != 0 {
        let slot = words[at].0.slot(seed);
        if slots[slot] != 0 {
            return None;
        }
        slots[slot] = at as u8;
        at += 1;
    }
    Some(slots)
}

const fn next_seed(seed: u64) -> u64 {
    seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407) | 1
}

/// What two words of up to [`Key::LONGEST`] bytes share only if they differ in nothing but case:
/// their ends, which meet or overlap in the middle, so that no loop is needed, and their length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    first: u64,
    last: u64,
    length: usize,
}

impl Key {
    pub const LONGEST: usize = 16;
    /// Of no word.
    const NONE: Key = Key { first: 0, last: 0, length: 0 };

    pub const fn new(word: &[u8]) -> Key {
        let (first, last) =
            if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
                (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
            } else if let (Some(first), Some(last)) = (word.first_chunk(), word.last_chunk()) {
                (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64)
            } else {
                (short(word), 0)
            };
        Key { first: fold(first), last: fold(last), length: word.len() }
    }

    const fn is(self, other: Key) -> bool {
        self.first == other.first && self.last == other.last && self.length == other.length
    }

    /// The top bits are the best mixed.
    pub const fn hash(self, seed: u64) -> u64 {
        let mixed = self.first.wrapping_add(self.last.rotate_left(20));
        mixed.wrapping_add(self.length as u64).wrapping_mul(seed)
    }

    const fn slot(self, seed: u64) -> usize {
        (self.hash(seed) >> (64 - SLOT_BITS)) as usize
    }
}

/// Up to three bytes.
const fn short(word: &[u8]) -> u64 {
    match *word {
        [a, b, c] => a as u64 | (b as u64) << 8 | (c as u64) << 16,
        [a, b] => a as u64 | (b as u64) << 8,
        [a] => a as u64,
        _ => 0,
    }
}

/// Setting bit 0x20 folds A–Z to a–z. Of the bytes in words it maps no other two to one, but for
/// some outside ASCII, which no word of a table has.
const fn fold(bytes: u64) -> u64 {
    bytes | 0x2020_2020_2020_2020
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTS: [(Role, &[&str]); 3] = [
        (Role::Keyword, &["as", "with", "select", "array_agg", "fifteen_letters"]),
        (Role::With, &["with"]),
        (Role::As, &["as", "a", "all"]),
    ];
    const TABLE: Table<10> = Table::new(&LISTS);

    #[test]
    fn a_word_has_the_roles_of_every_list_it_is_on_in_any_case() {
        for (role, words) in LISTS {
            for word in words {
                assert!(TABLE.roles(word.as_bytes()).has(role), "{word}");
                assert!(TABLE.roles(word.to_uppercase().as_bytes()).has(role), "{word}");
            }
        }
        let with = Roles::NONE.with(Role::Keyword).with(Role::With);
        assert_eq!(TABLE.roles(b"WiTh"), with);
    }

    #[test]
    fn a_word_that_differs_in_one_byte_has_no_roles() {
        for word in LISTS.iter().flat_map(|list| list.1) {
            for at in 0..word.len() {
                for other in [b'0', b'$', b'z', b'Z', b'\x80', b'\xff'] {
                    let mut near = word.as_bytes().to_vec();
                    near[at] = other;
                    assert_eq!(TABLE.roles(&near), Roles::NONE, "{near:?}");
                }
            }
        }
    }

    #[test]
    fn a_word_of_another_length_has_no_roles() {
        let long = "a".repeat(300);
        for word in ["", "wit", "swith", "selects", "array__agg", "fifteen_letterss", &long] {
            assert_eq!(TABLE.roles(word.as_bytes()), Roles::NONE, "{word}");
        }
    }
}
