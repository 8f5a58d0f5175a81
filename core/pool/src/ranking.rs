//! Who lacks a connection most: a heap that always knows its first. Whoever is in it remembers
//! its own place. It compares and never decides.

use std::time::Duration;

use crate::ids::PoolId;

/// The order in which pools that lack a connection are served: fewest
/// connections first, then the longest wait.
pub(crate) type Hunger = (u32, Duration, PoolId);

#[derive(Debug, Default)]
pub(crate) struct Ranking(Vec<Hunger>);

impl Ranking {
    pub(crate) fn first(&self) -> Option<Hunger> {
        self.0.first().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hunger> {
        self.0.iter()
    }

    /// What stood at `place` (`None`: nothing yet) becomes `new` (`None`: nothing any more).
    /// `moved` is told the new place of each one that has one.
    pub(crate) fn change(
        &mut self,
        place: Option<u32>,
        new: Option<Hunger>,
        mut moved: impl FnMut(PoolId, u32),
    ) {
        let place = match (place, new) {
            (None, None) => return,
            (None, Some(new)) => {
                self.0.push(new);
                self.0.len() - 1
            }
            (Some(place), Some(new)) => {
                self.0[place as usize] = new;
                place as usize
            }
            (Some(place), None) => {
                self.0.swap_remove(place as usize);
                place as usize
            }
        };
        if place < self.0.len() {
            let place = self.rise(place, &mut moved);
            self.sink(place, &mut moved);
        }
    }

    /// Towards the first, past those that come later in the order.
    fn rise(&mut self, mut place: usize, moved: &mut impl FnMut(PoolId, u32)) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.0[parent] <= self.0[place] {
                break;
            }
            self.0.swap(parent, place);
            moved(self.0[place].2, place as u32);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize, moved: &mut impl FnMut(PoolId, u32)) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let children = [left, right].into_iter().filter(|child| *child < self.0.len());
            match children.min_by_key(|child| self.0[*child]) {
                Some(child) if self.0[child] < self.0[place] => {
                    self.0.swap(child, place);
                    moved(self.0[place].2, place as u32);
                    place = child;
                }
                _ => return moved(self.0[place].2, place as u32),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::Random;

    #[test]
    fn the_first_is_the_least_and_everybody_knows_its_place() {
        let mut ranking = Ranking::default();
        let mut places: BTreeMap<PoolId, u32> = BTreeMap::new();
        let mut known: BTreeMap<PoolId, Hunger> = BTreeMap::new();
        let mut random = Random::new(3);
        let mut draw = |most| random.between(Duration::ZERO, Duration::from_micros(most));
        for _ in 0..10_000 {
            let pool = PoolId(draw(40).as_micros() as u32);
            let new =
                (draw(2) > Duration::ZERO).then(|| (draw(3).as_micros() as u32, draw(5), pool));
            let old = known.get(&pool).and_then(|_| places.get(&pool)).copied();
            ranking.change(old, new, |pool, place| {
                places.insert(pool, place);
            });
            match new {
                Some(new) => known.insert(pool, new),
                None => known.remove(&pool),
            };
            assert_eq!(ranking.first(), known.values().min().copied());
            assert_eq!(ranking.iter().count(), known.len());
            for (pool, hunger) in &known {
                assert_eq!(ranking.0[places[pool] as usize], *hunger);
            }
        }
    }
}
