//! What databases want: tenants × ratio, rounded up to whole connections, inside the bounds
//! that hold for each database. It never looks at the budget.

use crate::ratio::Ratio;

/// The least and most connections of one database, all pods together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub min: u32,
    pub max: u32,
}

/// What one database wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    pub tenants: u32,
    /// Connections: ⌈tenants × ratio⌉ inside the bounds.
    pub wanted: u32,
    /// The same before it is rounded, in thousandths of a connection.
    pub exact: u64,
    /// The part of `wanted` that comes before the others' fair share: the lower bound.
    pub min: u32,
}

impl Bounds {
    pub const NONE: Bounds = Bounds { min: 0, max: u32::MAX };

    /// Bounds from `min` to `max`; `None` where `min > max`.
    pub fn new(min: u32, max: u32) -> Option<Bounds> {
        (min <= max).then_some(Bounds { min, max })
    }

    fn clamp(self, wanted: u32) -> u32 {
        wanted.clamp(self.min, self.max.max(self.min))
    }
}

impl Demand {
    /// The demand of a database with so many tenants. A sum beyond `u32::MAX` stays there.
    pub fn of(tenants: u32, ratio: Ratio, bounds: Bounds) -> Demand {
        let raw = ratio.times(tenants);
        let whole = u32::try_from(raw.div_ceil(1000)).unwrap_or(u32::MAX);
        let wanted = bounds.clamp(whole);
        let exact = if wanted == whole { raw } else { u64::from(wanted) * 1000 };
        Demand { tenants, wanted, exact, min: bounds.min.min(wanted) }
    }

    /// What all want together, in whole connections: rounded once, not for each.
    pub fn total(demands: &[Demand]) -> u64 {
        let exact = demands.iter().map(|demand| demand.exact);
        exact.fold(0, u64::saturating_add).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tenants: u32, ratio: &str, (min, max): (u32, u32), expect: u32) {
        let bounds = Bounds::new(min, max).unwrap();
        assert_eq!(Demand::of(tenants, ratio.parse().unwrap(), bounds).wanted, expect);
    }

    #[test]
    fn a_database_wants_its_tenants_times_the_ratio_rounded_up() {
        check(20, "2.5", (0, 100), 50);
        check(3, "2.5", (0, 100), 8);
        check(1, "0.001", (0, 100), 1);
        check(0, "2.5", (0, 100), 0);
    }

    #[test]
    fn bounds_hold_whatever_the_tenants_ask() {
        check(0, "2.5", (2, 100), 2);
        check(1000, "2.5", (2, 100), 100);
        check(1000, "2.5", (7, 7), 7);
    }

    #[test]
    fn an_absurd_number_of_tenants_does_not_overflow() {
        check(u32::MAX, "9999.999", (0, u32::MAX), u32::MAX);
    }

    #[test]
    fn what_all_want_is_rounded_once() {
        let demand = |tenants| Demand::of(tenants, "2.5".parse().unwrap(), Bounds::NONE);
        assert_eq!(Demand::total(&[demand(25), demand(25)]), 125);
        assert_eq!(Demand::total(&[demand(25), demand(24)]), 123);
    }

    #[test]
    fn bounds_in_the_wrong_order_are_no_bounds() {
        assert_eq!(Bounds::new(3, 2), None);
    }
}
