//! A small seeded generator for jitter. Not for secrets.

use std::time::Duration;

/// SplitMix64: one word of state, good enough to spread deadlines.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Uniform in `low..=high`, in whole microseconds; `low` if the two are not in order.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_micros().min(u64::MAX as u128 - 1) as u64;
        low + Duration::from_micros(self.next() % (span + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_range_and_spreads() {
        let (low, high) = (Duration::from_secs(300), Duration::from_secs(600));
        let mut random = Random::new(7);
        let drawn: Vec<Duration> = (0..1000).map(|_| random.between(low, high)).collect();
        assert!(drawn.iter().all(|at| (low..=high).contains(at)));
        let early = drawn.iter().filter(|at| **at < Duration::from_secs(450)).count();
        assert!((400..600).contains(&early), "{early} of 1000 in the first half");
    }

    #[test]
    fn an_empty_range_gives_its_start() {
        let five = Duration::from_secs(5);
        assert_eq!(Random::new(1).between(five, five), five);
        assert_eq!(Random::new(1).between(five, Duration::ZERO), five);
    }
}
