//! Buffers that clients have emptied, kept for the next ones: an idle client holds none.

use std::cell::RefCell;

/// Buffers kept at most.
const MOST: usize = 64;
/// The longest that is kept, in bytes.
const LONGEST: usize = 16 * 1024;

#[derive(Default)]
pub struct Spares(RefCell<Vec<Vec<u8>>>);

impl Spares {
    /// An empty buffer.
    pub fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes an empty buffer back.
    pub fn give(&self, buffer: Vec<u8>) {
        debug_assert!(buffer.is_empty());
        let mut spares = self.0.borrow_mut();
        if (1..=LONGEST).contains(&buffer.capacity()) && spares.len() < MOST {
            spares.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_memory() {
        let spares = Spares::default();
        assert_eq!(spares.take().capacity(), 0);
        spares.give(Vec::with_capacity(100));
        assert!(spares.take().capacity() >= 100);
    }

    #[test]
    fn what_is_long_or_too_many_is_let_go() {
        let spares = Spares::default();
        spares.give(Vec::with_capacity(LONGEST + 1));
        spares.give(Vec::new());
        assert_eq!(spares.take().capacity(), 0);
        (0..MOST + 10).for_each(|_| spares.give(Vec::with_capacity(1)));
        assert_eq!((0..MOST + 10).filter(|_| spares.take().capacity() > 0).count(), MOST);
    }
}
