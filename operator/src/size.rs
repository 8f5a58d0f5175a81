//! Third step: tenants and budget to the connections with which a pod begins. It sums and never
//! reads.

use poolwright_budget::{Demand, Plan};
use poolwright_settings::Problem;

use crate::{
    live::Live,
    pods,
    validate::{Problems, Validated},
};

/// Divides the budget among the pods that may exist.
///
/// # Errors
/// If the budget has fewer connections than pods exist.
pub fn size(checked: &Validated, live: &Live, coming: u32) -> Result<Plan, Problems> {
    let demand = |tenants| Demand::of(tenants, checked.ratio, checked.bounds);
    let demands: Vec<_> = checked.databases.iter().map(|it| demand(it.tenants)).collect();
    // With less than one connection for each that is there, some have to end first: the ledger lets
    // no other begin.
    let most = checked.budget.max(checked.max_replicas);
    let shares = shares(checked.max_replicas, live, coming).min(most);
    poolwright_budget::plan(checked.budget, shares, checked.ratio, &demands).map_err(|error| {
        let found = format!("{} connections for {} pods", error.budget, error.shares);
        let remedy = "wait until pods have ended, raise the budget or lower maxReplicas";
        Problems::of_spec(Problem::new(
            "spec.server.budget",
            found,
            "at least one connection for each pod",
            remedy,
        ))
    })
}

/// How many pods may hold connections at once. After maxReplicas was lowered, the pods beyond it
/// count until they are gone and none can come: `coming` ordinals may have a pod at any moment.
fn shares(max_replicas: u32, live: &Live, coming: u32) -> u32 {
    let existing = live.pods.iter().filter_map(pods::ordinal).map(|ordinal| ordinal + 1).max();
    max_replicas.max(existing.unwrap_or(0)).max(coming)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[track_caller]
    fn check(max: u32, live: &Live, coming: u32, expect: u32) {
        assert_eq!(shares(max, live, coming), expect);
    }

    #[test]
    fn the_budget_is_cut_for_the_pods_that_may_run() {
        let checked = testing::validated();
        let plan = size(&checked, &Live::default(), 0).unwrap();
        assert_eq!(plan.formula, "20 tenants × 2.5 = 50 ≤ 103 budget");
        assert_eq!((plan.granted, plan.shares, plan.per_pod), (50, 3, 16));
        assert_eq!(plan.databases.iter().map(|it| it.per_pod).collect::<Vec<_>>(), [8, 8]);
    }

    #[test]
    fn a_pod_beyond_a_lowered_maximum_counts_until_it_is_gone_and_cannot_come() {
        let mut live = testing::live(&[("workspaces-0", "h", true), ("workspaces-2", "h", true)]);
        check(2, &live, 2, 3);
        live.pods.pop();
        check(2, &live, 2, 2);
        check(2, &live, 3, 3);
    }

    #[test]
    fn more_pods_than_connections_is_a_problem_that_says_so() {
        let checked = Validated { budget: 2, ..testing::validated() };
        let problems = size(&checked, &Live::default(), 0).unwrap_err();
        assert!(problems.spec[0].to_string().contains("2 connections for 3 pods"));
    }
}
