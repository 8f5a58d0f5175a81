//! The functions that leave a session as it was, by name. It never says so of a name it does not
//! hold.

use std::ops::Range;
use std::sync::LazyLock;

use super::word::Key;
use crate::doubts::Doubts;

static HARMLESS: LazyLock<Functions> =
    LazyLock::new(|| Functions::new(include_str!("harmless_functions.txt")));

/// Whether `name`, in any case, is on the list.
pub fn is_harmless(name: &[u8]) -> bool {
    HARMLESS.has(name)
}

/// What a function of PostgreSQL's own, which is not on the list, or any other, may change.
pub fn doubts(name: &[u8]) -> Doubts {
    match &*name.to_ascii_lowercase() {
        b"set_config" => Doubts::SET_CONFIG,
        b"pg_advisory_lock"
        | b"pg_advisory_lock_shared"
        | b"pg_try_advisory_lock"
        | b"pg_try_advisory_lock_shared" => Doubts::LOCKS,
        b"pg_advisory_unlock" | b"pg_advisory_unlock_shared" | b"pg_advisory_unlock_all" => {
            Doubts::ENDS
        }
        _ => Doubts::ANYTHING,
    }
}

/// Names in lower case, those of one hash together.
struct Functions {
    names: Vec<(Key, &'static str)>,
    /// Where the names of each hash are.
    places: Vec<Range<u16>>,
}

/// Twice the names or so: a hash has one of them or none, mostly.
const HASHES: usize = 1 << HASH_BITS;
const HASH_BITS: u32 = 11;

impl Functions {
    fn new(list: &'static str) -> Functions {
        let keyed = |name: &'static str| (Key::new(name.as_bytes()), name);
        let mut names: Vec<_> = list.lines().map(keyed).collect();
        names.sort_by_key(|(key, _)| hash(*key));
        let start = |least| names.partition_point(|(key, _)| hash(*key) < least) as u16;
        let places = (0..HASHES).map(|hash| start(hash)..start(hash + 1)).collect();
        Functions { names, places }
    }

    fn has(&self, name: &[u8]) -> bool {
        let key = Key::new(name);
        let place = &self.places[hash(key)];
        let alike = &self.names[usize::from(place.start)..usize::from(place.end)];
        alike.iter().any(|(known, text)| {
            *known == key
                && (name.len() <= Key::LONGEST || text.as_bytes().eq_ignore_ascii_case(name))
        })
    }
}

fn hash(key: Key) -> usize {
    (key.hash(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_list_is_found_in_any_case() {
        for name in include_str!("harmless_functions.txt").lines() {
            assert!(is_harmless(name.as_bytes()), "{name}");
            assert!(is_harmless(name.to_uppercase().as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_list_of_functions_is_sorted_and_in_lower_case_for_those_who_read_it() {
        let list = include_str!("harmless_functions.txt");
        assert!(list.lines().is_sorted());
        assert!(!list.bytes().any(|byte| byte.is_ascii_uppercase()));
    }

    #[test]
    fn no_other_name_is_harmless() {
        let long = "a".repeat(300);
        for name in ["", "set_config", "low", "lowers", "l\x7fwer", "\u{e9}lower", &long] {
            assert!(!is_harmless(name.as_bytes()), "{name}");
        }
    }
}
