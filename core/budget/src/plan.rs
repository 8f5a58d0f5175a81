//! The whole sum for one server: demands, the budget, the shares of the databases, and the
//! part of all that one pod holds. It never knows which pods exist.

use crate::{
    demand::Demand,
    formula,
    ratio::Ratio,
    share::{Claim, divide},
};

/// What one server's budget gives to its databases and to each pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub tenants: u64,
    /// Connections that all databases want together.
    pub wanted: u64,
    /// Connections that the server can give.
    pub budget: u32,
    /// Connections that are given out: min(budget, wanted), but one for each share.
    pub granted: u32,
    /// Into how many equal parts the grant is cut: the pods that may exist at once.
    pub shares: u32,
    /// Connections that a pod begins with, its floor: ⌊granted ÷ shares⌋. A grant may raise that.
    pub per_pod: u32,
    pub databases: Vec<DatabaseShare>,
    /// The sum in words: `20 tenants × 2.5 = 50 ≤ 103 budget`.
    pub formula: String,
}

/// One database's part, in the order of the demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseShare {
    /// Connections of all pods together.
    pub granted: u32,
    /// Connections of one pod; at least 1, at most the pod's own part.
    pub per_pod: u32,
}

/// A budget that does not reach for one connection per pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "found a budget of {budget}, expected at least one connection for each of {shares} pods: \
     raise the server's budget or lower maxReplicas"
)]
pub struct BudgetTooSmall {
    pub budget: u32,
    pub shares: u32,
}

impl Plan {
    /// How many connections are wanted beyond the budget.
    pub fn missing(&self) -> u64 {
        self.wanted.saturating_sub(u64::from(self.budget))
    }
}

/// Divides `budget` connections among databases, and that among `shares` pods.
///
/// # Errors
/// If there are fewer connections than pods, or no pods at all.
pub fn plan(
    budget: u32,
    shares: u32,
    ratio: Ratio,
    demands: &[Demand],
) -> Result<Plan, BudgetTooSmall> {
    if budget < shares || shares == 0 {
        return Err(BudgetTooSmall { budget, shares });
    }
    let wanted = Demand::total(demands);
    let granted = u32::try_from(wanted).unwrap_or(u32::MAX).min(budget).max(shares);
    let per_pod = granted / shares;
    Ok(Plan {
        tenants: demands.iter().map(|demand| u64::from(demand.tenants)).sum(),
        wanted,
        budget,
        granted,
        shares,
        per_pod,
        databases: databases(granted, shares, demands),
        formula: formula::text(ratio, demands, budget),
    })
}

fn databases(granted: u32, shares: u32, demands: &[Demand]) -> Vec<DatabaseShare> {
    let claims: Vec<_> =
        demands.iter().map(|demand| Claim { min: demand.min, wanted: demand.wanted }).collect();
    let part = |granted: u32| DatabaseShare { granted, per_pod: (granted / shares).max(1) };
    divide(granted, &claims).into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::Bounds;

    fn planned(budget: u32, shares: u32, tenants: &[u32]) -> Plan {
        let ratio = "2.5".parse().unwrap();
        let demands: Vec<_> =
            tenants.iter().map(|&count| Demand::of(count, ratio, Bounds::NONE)).collect();
        plan(budget, shares, ratio, &demands).unwrap()
    }

    #[test]
    fn twenty_tenants_at_two_and_a_half_get_fifty_cut_for_three_pods() {
        let plan = planned(103, 3, &[10, 10]);
        assert_eq!((plan.tenants, plan.wanted, plan.granted, plan.per_pod), (20, 50, 50, 16));
        assert_eq!(plan.databases, [DatabaseShare { granted: 25, per_pod: 8 }; 2]);
        assert_eq!(plan.missing(), 0);
    }

    #[test]
    fn over_asking_shrinks_every_share_and_says_by_how_much() {
        let plan = planned(400, 4, &[100, 90]);
        assert_eq!((plan.wanted, plan.granted, plan.per_pod, plan.missing()), (475, 400, 100, 75));
        assert_eq!(plan.databases.iter().map(|share| share.granted).sum::<u32>(), 400);
    }

    #[test]
    fn nobody_asking_for_anything_leaves_each_pod_one_connection() {
        let plan = planned(10, 3, &[0]);
        assert_eq!((plan.wanted, plan.granted, plan.per_pod), (0, 3, 1));
        assert_eq!(plan.databases, [DatabaseShare { granted: 0, per_pod: 1 }]);
    }

    #[test]
    fn a_budget_below_one_connection_per_pod_is_refused() {
        let ratio = "1".parse().unwrap();
        let error = plan(2, 3, ratio, &[]).unwrap_err();
        assert_eq!(error, BudgetTooSmall { budget: 2, shares: 3 });
        assert!(error.to_string().contains("raise the server's budget"), "{error}");
    }
}
