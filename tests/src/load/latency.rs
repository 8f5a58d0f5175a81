//! Durations counted in buckets about 3 % wide: any number of them in a fixed space.
//! Never keeps the single values.

use std::time::Duration;

const STEPS: u32 = 32;

/// A histogram of microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    buckets: Vec<u64>,
    count: u64,
}

impl Latency {
    pub(super) fn record(&mut self, time: Duration) {
        let place = place(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        if self.buckets.len() <= place {
            self.buckets.resize(place + 1, 0);
        }
        self.buckets[place] += 1;
        self.count += 1;
    }

    pub(super) fn add(&mut self, other: &Latency) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, more)| *own += more);
        self.count += other.count;
    }

    /// The value in microseconds below or at which a share of all lies; 0 if there are none.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return upper(place);
            }
        }
        0
    }
}

fn place(value: u64) -> usize {
    if value < u64::from(STEPS) {
        return value as usize;
    }
    let shift = value.ilog2() - STEPS.ilog2();
    let step = (value >> shift) as u32 - STEPS;
    ((shift + 1) * STEPS + step) as usize
}

fn upper(place: usize) -> u64 {
    let (shift, step) = (place as u32 / STEPS, u64::from(place as u32 % STEPS));
    if shift == 0 {
        return step;
    }
    (((step + u64::from(STEPS) + 1) as u128) << (shift - 1)).saturating_sub(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_four_percent_of_the_true_value() {
        let mut latency = Latency::default();
        (1..=10_000).for_each(|value| latency.record(Duration::from_micros(value)));
        for (share, exact) in [(0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0), (0.001, 10.0)] {
            let found = latency.quantile(share) as f64;
            assert!((found - exact).abs() <= exact * 0.04, "{share}: {found} for {exact}");
        }
        assert_eq!(Latency::default().quantile(0.5), 0);
    }
}
