//! Properties of the division that hold for any claims: nothing is given twice, nothing is
//! lost, and nobody is treated worse than another of the same size.

use poolwright_budget::{
    Bounds, Demand, Ratio, plan,
    share::{Claim, divide},
};
use proptest::prelude::*;

fn claims() -> impl Strategy<Value = Vec<Claim>> {
    let small = (0u32..40, 0u32..200);
    let large = (any::<u32>(), any::<u32>());
    let claim = prop_oneof![9 => small, 1 => large]
        .prop_map(|(min, wanted)| Claim { min: min.min(wanted), wanted });
    prop::collection::vec(claim, 0..12)
}

fn total() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..4000, 1 => any::<u32>()]
}

/// The property speaks of what lies above the floors, so they must fit.
fn with_room_for_floors(total: u32, claims: &[Claim]) -> u32 {
    let floors = sum(claims.iter().map(|claim| claim.min));
    total.max(u32::try_from(floors).unwrap_or(u32::MAX))
}

fn sum(values: impl IntoIterator<Item = u32>) -> u64 {
    values.into_iter().map(u64::from).sum()
}

proptest! {
    #[test]
    fn all_that_is_wanted_and_there_is_given_and_no_more(total in total(), claims in claims()) {
        let wanted = sum(claims.iter().map(|claim| claim.wanted));
        prop_assert_eq!(sum(divide(total, &claims)), wanted.min(u64::from(total)));
    }

    #[test]
    fn nobody_gets_more_than_wanted_or_less_than_a_floor_that_fits(
        total in total(), claims in claims(),
    ) {
        let floors_fit = sum(claims.iter().map(|claim| claim.min)) <= u64::from(total);
        for (share, claim) in divide(total, &claims).into_iter().zip(&claims) {
            prop_assert!(share <= claim.wanted);
            prop_assert!(!floors_fit || share >= claim.min);
        }
    }

    #[test]
    fn equal_claims_differ_by_one_connection_at_most(total in total(), claims in claims()) {
        let shares = divide(total, &claims);
        for (a, left) in claims.iter().enumerate() {
            for (b, right) in claims.iter().enumerate() {
                prop_assert!(left != right || shares[a].abs_diff(shares[b]) <= 1);
            }
        }
    }

    #[test]
    fn who_stands_above_the_floor_is_nowhere_filled_higher_than_another(
        total in total(), claims in claims(),
    ) {
        let total = with_room_for_floors(total, &claims);
        let shares = divide(total, &claims);
        for (a, left) in claims.iter().enumerate().filter(|&(a, left)| shares[a] > left.min + 1) {
            for (b, right) in claims.iter().enumerate().filter(|(_, claim)| claim.wanted > 0) {
                // left's level without its rounding ≤ right's level with a rounding of its own
                let (low, high) = (u128::from(shares[a] - 1), u128::from(shares[b]) + 1);
                prop_assert!(
                    low * u128::from(right.wanted) <= high * u128::from(left.wanted),
                    "{left:?} has {}, {right:?} has {}", shares[a], shares[b]
                );
            }
        }
    }

    #[test]
    fn a_larger_budget_costs_nobody_more_than_the_rounded_connection(
        total in 0u32..4000, more in 0u32..100, claims in claims(),
    ) {
        let total = with_room_for_floors(total, &claims);
        let more = total.saturating_add(more);
        let (before, after) = (divide(total, &claims), divide(more, &claims));
        for (less, more) in before.iter().zip(&after) {
            prop_assert!(*more + 1 >= *less);
        }
    }

    #[test]
    fn all_pods_together_never_exceed_the_budget(
        budget in 1u32..5000, shares in 1u32..64, thousandths in 1u32..=9_999_999,
        tenants in prop::collection::vec(prop_oneof![0u32..500, any::<u32>()], 0..20),
        (min, max) in (0u32..20, 20u32..500),
    ) {
        prop_assume!(shares <= budget);
        let ratio = Ratio::from_thousandths(thousandths).unwrap();
        let bounds = Bounds::new(min, max).unwrap();
        let demands: Vec<_> = tenants.iter().map(|&n| Demand::of(n, ratio, bounds)).collect();
        let plan = plan(budget, shares, ratio, &demands).unwrap();
        prop_assert!(plan.per_pod >= 1);
        prop_assert!(plan.per_pod * shares <= plan.granted && plan.granted <= budget);
        prop_assert!(plan.databases.iter().all(|share| share.per_pod <= plan.per_pod));
    }
}
