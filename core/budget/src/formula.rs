//! The sum in words, with its numbers. It never decides anything.

use crate::{
    demand::Demand,
    ratio::{Ratio, decimal},
};

/// `20 tenants × 2.5 = 50 ≤ 103 budget`; beyond the budget
/// `190 tenants × 2.5 = 475 > 400 budget → 2.1 each`. Where rounding or a database's bounds
/// change the sum, it says so: `3 tenants × 2.5 = 7.5, 8 within bounds ≤ 10 budget`.
pub fn text(ratio: Ratio, demands: &[Demand], budget: u32) -> String {
    let tenants: u64 = demands.iter().map(|demand| u64::from(demand.tenants)).sum();
    let wanted = Demand::total(demands);
    let raw: u64 = demands.iter().map(|demand| ratio.times(demand.tenants)).sum();
    let noun = if tenants == 1 { "tenant" } else { "tenants" };
    let mut text = format!("{tenants} {noun} × {ratio} = {}", decimal(raw));
    if raw != wanted.saturating_mul(1000) {
        text += &format!(", {wanted} within bounds");
    }
    if wanted <= u64::from(budget) {
        return text + &format!(" ≤ {budget} budget");
    }
    text += &format!(" > {budget} budget");
    match each(budget, tenants) {
        Some(each) => text + &format!(" → {each} each"),
        None => text,
    }
}

/// The budget for each tenant, rounded down to one decimal, or to three below 0.1.
fn each(budget: u32, tenants: u64) -> Option<String> {
    let thousandths = (u64::from(budget) * 1000).checked_div(tenants)?;
    let shown = if thousandths >= 100 { thousandths / 100 * 100 } else { thousandths };
    Some(decimal(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Bounds;

    #[track_caller]
    fn check(tenants: &[u32], ratio: &str, max: u32, budget: u32, expect: &str) {
        let ratio = ratio.parse().unwrap();
        let bounds = Bounds { min: 0, max };
        let demands: Vec<_> = tenants.iter().map(|&n| Demand::of(n, ratio, bounds)).collect();
        assert_eq!(text(ratio, &demands, budget), expect);
    }

    #[test]
    fn the_formula_shows_its_numbers() {
        check(&[10, 10], "2.5", 100, 103, "20 tenants × 2.5 = 50 ≤ 103 budget");
        check(&[1], "2", 100, 2, "1 tenant × 2 = 2 ≤ 2 budget");
        check(&[], "2", 100, 5, "0 tenants × 2 = 0 ≤ 5 budget");
    }

    #[test]
    fn over_asking_shows_what_is_left_for_each() {
        check(&[100, 90], "2.5", 900, 400, "190 tenants × 2.5 = 475 > 400 budget → 2.1 each");
        check(&[5000], "1", 9000, 100, "5000 tenants × 1 = 5000 > 100 budget → 0.02 each");
    }

    #[test]
    fn rounding_and_bounds_are_said() {
        check(&[3], "2.5", 100, 10, "3 tenants × 2.5 = 7.5, 8 within bounds ≤ 10 budget");
        check(&[100], "2.5", 100, 103, "100 tenants × 2.5 = 250, 100 within bounds ≤ 103 budget");
    }
}
