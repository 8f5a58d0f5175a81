//! Max-min fair division by size with largest remainder. It never gives out more than the
//! total, and never more to anybody than it asked for.
//!
//! Everybody is filled to the same level, measured in parts of what each asked for; a
//! claim's floor comes first. With room for all everybody has all of it. Whole connections
//! that the division leaves over go to the largest fractions, the earlier claim first.

/// What one party asks of a shared total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Connections that come before anybody's fair share; at most `wanted`.
    pub min: u32,
    /// Connections asked for; also the weight of the claim.
    pub wanted: u32,
}

/// Divides `total` among the claims; the answer has one share for each, in their order.
///
/// The sum of the shares is min(total, Σ wanted). If not even the floors fit, the floors
/// themselves are divided in the same way.
pub fn divide(total: u32, claims: &[Claim]) -> Vec<u32> {
    let sum =
        |part: fn(&Claim) -> u32| claims.iter().map(|claim| u64::from(part(claim))).sum::<u64>();
    if sum(|claim| claim.wanted) <= u64::from(total) {
        return claims.iter().map(|claim| claim.wanted).collect();
    }
    if sum(|claim| claim.min.min(claim.wanted)) <= u64::from(total) {
        return fill(total, claims);
    }
    let floors: Vec<_> =
        claims.iter().map(|claim| Claim { min: 0, wanted: claim.min.min(claim.wanted) }).collect();
    fill(total, &floors)
}

/// Finds the level at which claims above their floor share what the floors leave.
/// Since less is there than is wanted, the level is below 1 and no claim meets its ceiling.
fn fill(total: u32, claims: &[Claim]) -> Vec<u32> {
    let mut shares: Vec<Option<u32>> = vec![None; claims.len()];
    loop {
        let level = Level::of(total, claims, &shares);
        let mut raised = false;
        for (share, claim) in shares.iter_mut().zip(claims) {
            if share.is_none() && level.is_below(claim) {
                *share = Some(claim.min);
                raised = true;
            }
        }
        if !raised {
            return level.round(claims, &shares);
        }
    }
}

/// `left ÷ weight`: what the claims that stand on no floor get for each connection wanted.
struct Level {
    left: u64,
    weight: u64,
}

impl Level {
    fn of(total: u32, claims: &[Claim], shares: &[Option<u32>]) -> Level {
        let fixed: u64 = shares.iter().flatten().map(|share| u64::from(*share)).sum();
        let open = claims.iter().zip(shares).filter(|(_, share)| share.is_none());
        let weight = open.map(|(claim, _)| u64::from(claim.wanted)).sum();
        Level { left: u64::from(total).saturating_sub(fixed), weight }
    }

    /// Whether the claim's floor is above this level.
    fn is_below(&self, claim: &Claim) -> bool {
        let fair = u128::from(self.left) * u128::from(claim.wanted);
        u128::from(claim.min) * u128::from(self.weight) > fair
    }

    /// The whole part and the remainder (in `1 ÷ weight`) of one claim's fair share.
    fn part(&self, claim: &Claim) -> (u32, u64) {
        if self.weight == 0 {
            return (0, 0);
        }
        let fair = u128::from(self.left) * u128::from(claim.wanted);
        let weight = u128::from(self.weight);
        (u32::try_from(fair / weight).unwrap_or(claim.wanted), (fair % weight) as u64)
    }

    fn round(&self, claims: &[Claim], shares: &[Option<u32>]) -> Vec<u32> {
        let parts: Vec<_> = claims
            .iter()
            .zip(shares)
            .map(|(claim, share)| share.map_or_else(|| self.part(claim), |fixed| (fixed, 0)))
            .collect();
        let given: u64 = open(&parts, shares).map(|(_, part)| u64::from(part.0)).sum();
        let mut order: Vec<_> = open(&parts, shares).collect();
        order.sort_by_key(|(index, part)| (std::cmp::Reverse(part.1), *index));
        let mut whole: Vec<u32> = parts.iter().map(|part| part.0).collect();
        let over = usize::try_from(self.left - given).unwrap_or(0);
        for (index, _) in order.iter().take(over).filter(|(_, part)| part.1 > 0) {
            whole[*index] += 1;
        }
        whole
    }
}

type Part = (u32, u64);

fn open<'a>(
    parts: &'a [Part],
    shares: &'a [Option<u32>],
) -> impl Iterator<Item = (usize, &'a Part)> {
    parts.iter().enumerate().filter(|(index, _)| shares[*index].is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(total: u32, claims: &[(u32, u32)], expect: &[u32]) {
        let claims: Vec<_> = claims.iter().map(|&(min, wanted)| Claim { min, wanted }).collect();
        assert_eq!(divide(total, &claims), expect);
    }

    #[test]
    fn everybody_gets_what_they_want_where_there_is_room() {
        check(100, &[(0, 25), (0, 25)], &[25, 25]);
        check(50, &[(0, 25), (0, 25)], &[25, 25]);
        check(10, &[], &[]);
        check(0, &[(0, 0)], &[0]);
    }

    #[test]
    fn under_a_tight_budget_shares_follow_the_wanted_size() {
        check(400, &[(0, 100), (0, 200), (0, 175)], &[84, 169, 147]);
        check(3, &[(0, 10), (0, 10)], &[2, 1]);
        check(0, &[(0, 10), (0, 10)], &[0, 0]);
    }

    #[test]
    fn a_floor_comes_before_the_others_fair_share() {
        check(20, &[(5, 5), (0, 100)], &[5, 15]);
        check(20, &[(10, 20), (0, 30)], &[10, 10]);
        check(10, &[(0, 100), (4, 4), (4, 4)], &[2, 4, 4]);
    }

    #[test]
    fn floors_beyond_the_total_are_divided_like_anything_else() {
        check(6, &[(4, 100), (8, 100), (0, 100)], &[2, 4, 0]);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let half = u32::MAX / 2 + 1;
        check(u32::MAX, &[(0, u32::MAX), (0, u32::MAX)], &[half, half - 1]);
    }
}
