//! Latencies in buckets: 64 to each doubling, so that a figure is off by 1.6 % at most.
//! Never allocates after its start, and never forgets an outlier: the greatest is kept exactly.

/// Buckets of one doubling.
const STEPS: u64 = 64;
/// Doublings above the first `STEPS` nanoseconds: up to 18 minutes.
const DOUBLINGS: u64 = 34;

/// Counts of latencies in nanoseconds.
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    greatest: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        let buckets = vec![0; (STEPS * (DOUBLINGS + 1)) as usize];
        Histogram { buckets, count: 0, greatest: 0 }
    }
}

impl Histogram {
    pub fn add(&mut self, nanoseconds: u64) {
        let place = bucket(nanoseconds).min(self.buckets.len() - 1);
        self.buckets[place] += 1;
        self.count += 1;
        self.greatest = self.greatest.max(nanoseconds);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn greatest(&self) -> u64 {
        self.greatest
    }

    /// The latency that this part (0 to 1) of all did not exceed; 0 if there are none.
    pub fn quantile(&self, part: f64) -> u64 {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted && seen > 0 {
                return upper_end(place as u64).min(self.greatest);
            }
        }
        self.greatest
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let doubling = u64::from(value.ilog2() - STEPS.ilog2());
    let step = (value >> doubling) - STEPS;
    (STEPS * (doubling + 1) + step) as usize
}

fn upper_end(bucket: u64) -> u64 {
    if bucket < STEPS {
        return bucket;
    }
    let (doubling, step) = (bucket / STEPS - 1, bucket % STEPS);
    ((STEPS + step + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_one_bucket_above_the_truth() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|n| histogram.add(n * 100));
        for part in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let (truth, told) = (part * 10_000_000.0, histogram.quantile(part) as f64);
            assert!(told >= truth && told <= truth * 1.016, "{part}: {told}, not {truth}");
        }
        assert_eq!(histogram.quantile(1.0), histogram.greatest());
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for bucket_number in 0..STEPS * (DOUBLINGS + 1) - 1 {
            let end = upper_end(bucket_number);
            assert_eq!(bucket(end) as u64, bucket_number);
            assert_eq!(bucket(end + 1) as u64, bucket_number + 1);
        }
    }
}
