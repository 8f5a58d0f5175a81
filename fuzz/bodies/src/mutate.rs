//! Inputs from inputs: cut, joined, and changed where protocols are fragile. The same seed gives the same
//! inputs.

/// Numbers that lengths and counts go wrong at, as bytes.
const NUMBERS: [&[u8]; 8] = [
    b"\0\0\0\0",
    b"\0\0\0\x04",
    b"\0\0\0\x08",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff\xff",
    b"\0\x01",
];

pub struct Mutator {
    random: u64,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(seed: u64, mut corpus: Vec<Vec<u8>>) -> Mutator {
        if corpus.is_empty() {
            corpus.push(Vec::new());
        }
        Mutator { random: seed, corpus }
    }

    /// At most `most` bytes.
    pub fn next(&mut self, most: usize) -> Vec<u8> {
        let place = self.below(self.corpus.len());
        let mut input = self.corpus[place].clone();
        for _ in 0..1 + self.below(6) {
            self.change(&mut input);
        }
        input.truncate(most);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.below(256) as u8,
            2 => input.insert(at, self.below(256) as u8),
            3 => {
                let end = (at + 1 + self.below(16)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                let end = (at + number.len()).min(input.len());
                input.splice(at..end, number.iter().copied());
            }
            5 => {
                let other = self.below(self.corpus.len());
                let from = self.below(self.corpus[other].len() + 1);
                let piece = self.corpus[other][from..].to_vec();
                input.splice(at..at, piece);
            }
            _ => {
                let end = (at + 1 + self.below(64)).min(input.len());
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
        }
    }

    /// SplitMix64.
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
