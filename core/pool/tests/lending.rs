//! Workers that share caps through a bank: random worlds in which its news comes late, one worker
//! beside the same pools without a bank, and how soon and how often slots move.

#[path = "lending/office.rs"]
mod office;
#[path = "lending/worker.rs"]
mod worker;
#[path = "lending/world.rs"]
mod world;

use poolwright_pool::{Cap, DatabaseId, ServerId};
use proptest::prelude::*;
use world::{DATABASES, Op, World, op};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn caps_hold_for_all_workers_together_and_nobody_is_forgotten(
        seed in any::<u64>(),
        workers in 1usize..4,
        ops in prop::collection::vec(op(), 1..250),
    ) {
        let mut world = World::new(workers, seed);
        for op in ops {
            world.apply(op);
        }
        world.settle();
        world.rest();
    }

    #[test]
    fn a_constant_cap_holds_at_every_moment(
        seed in any::<u64>(),
        workers in 2usize..4,
        ops in prop::collection::vec(op(), 1..250),
    ) {
        let mut world = World::new(workers, seed);
        for op in ops {
            if !matches!(op, Op::ServerMax(..) | Op::DatabaseMax(..)) {
                world.apply(op);
                assert!(world.open(Cap::Server(ServerId(0))) <= 6);
                let databases = (0..DATABASES).map(|id| Cap::Database(DatabaseId(id)));
                databases.for_each(|cap| assert!(world.open(cap) <= 4));
            }
        }
    }

    #[test]
    fn one_worker_with_a_bank_does_what_it_does_without(
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut lent = World::new(1, seed);
        let mut own = World::alone(seed);
        for op in ops {
            lent.apply_in_step(&mut own, op);
        }
    }
}
