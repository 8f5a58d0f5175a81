//! A Prometheus histogram as text, the difference of two, and its quantiles. A quantile is known as
//! well as its bucket is narrow.

/// Upper bound in seconds, and how many took no longer.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Vec<(f64, f64)>);

const BUCKET: &str = "poolwright_operator_reconcile_seconds_bucket{le=\"";

impl Histogram {
    pub fn of(body: &str) -> Histogram {
        let lines = body.lines().filter_map(|line| line.strip_prefix(BUCKET)?.split_once("\"} "));
        let pairs = lines.filter_map(|(bound, count)| {
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.parse().ok()?))
        });
        Histogram(pairs.collect())
    }

    /// What came after `before`; an empty one is the beginning.
    pub fn since(&self, before: &Histogram) -> Histogram {
        let then = |at: usize| before.0.get(at).map_or(0.0, |bucket| bucket.1);
        let buckets = self.0.iter().enumerate();
        Histogram(buckets.map(|(at, (bound, count))| (*bound, count - then(at))).collect())
    }

    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |bucket| bucket.1)
    }

    /// The upper bound of the bucket with this quantile, in milliseconds.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let wanted = self.count() * quantile;
        let found = self.0.iter().find(|(_, count)| *count >= wanted && *count > 0.0);
        found.map_or(0.0, |(bound, _)| bound * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_difference() {
        let text = |counts: [u32; 3]| {
            let bounds = ["0.01", "0.1", "+Inf"];
            let lines = bounds.iter().zip(counts);
            lines.map(|(bound, count)| format!("{BUCKET}{bound}\"}} {count}\n")).collect::<String>()
        };
        let before = Histogram::of(&text([10, 10, 10]));
        let took = Histogram::of(&text([10, 30, 30])).since(&before);
        assert_eq!((took.count(), took.quantile(0.5)), (20.0, 100.0));
        let took = Histogram::of(&text([109, 110, 110])).since(&before);
        assert_eq!((took.quantile(0.5), took.quantile(0.995)), (10.0, 100.0));
    }
}
