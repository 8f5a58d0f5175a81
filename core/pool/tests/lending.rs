//! Workers that share caps through a bank: random worlds in which its news comes late, one worker
//! beside the same pools without a bank, and how soon and how often slots move.

#[path = "lending/office.rs"]
mod office;
#[path = "lending/run.rs"]
mod run;
#[path = "lending/worker.rs"]
mod worker;
#[path = "lending/world.rs"]
mod world;

use std::time::Duration;

use poolwright_pool::{Cap, DatabaseId, ServerId, UserId};
use proptest::prelude::*;
use run::{GOODBYE, LOGIN, Run};
use world::{DATABASES, Op, USERS, World, op};

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

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
            if !matches!(op, Op::ServerMax(..) | Op::DatabaseMax(..) | Op::UserMax(..)) {
                world.apply(op);
                assert!(world.open(Cap::Server(ServerId(0))) <= 6);
                let databases = (0..DATABASES).map(|id| Cap::Database(DatabaseId(id)));
                let users = (0..USERS).map(|id| Cap::User(UserId(id)));
                databases.chain(users).for_each(|cap| assert!(world.open(cap) <= 4));
            }
        }
    }

    /// But for users' caps: a pool that lacks a slot of two of them asks for one after the other.
    #[test]
    fn one_worker_with_a_bank_does_what_it_does_without(
        seed in any::<u64>(),
        ops in prop::collection::vec(op(), 1..200),
    ) {
        let mut lent = World::lent(seed);
        let mut own = World::alone(seed);
        for op in ops {
            lent.apply_in_step(&mut own, op);
        }
    }
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// `Tuning::cost`.
const COST: Duration = Duration::from_millis(500);

/// Under the server's cap, and under the cap of a database that the workers share.
fn both_caps(max: u32, check: impl Fn(usize, Run)) {
    for workers in [2, 3] {
        check(workers, Run::new(workers, max, 1000));
        check(workers, Run::new(workers, 1000, max));
    }
}

#[test]
fn a_worker_that_has_none_waits_for_the_cost_and_a_transaction_at_most() {
    both_caps(4, |last, mut run| {
        run.load(0, 20, 7 * MS);
        run.run(5 * SECOND);
        run.load(last - 1, 1, 7 * MS);
        run.run(5 * SECOND);
        let most = COST + 7 * MS + GOODBYE + LOGIN + 2 * MS;
        assert!(run.waits[last - 1][0] <= most, "{:?}", run.waits[last - 1][0]);
    });
}

#[test]
fn what_rests_in_one_worker_is_closed_for_another_that_has_none() {
    both_caps(4, |last, mut run| {
        run.load(0, 4, MS);
        run.run(SECOND);
        run.load(0, 0, MS);
        run.run(SECOND);
        run.load(last - 1, 1, 7 * MS);
        run.run(SECOND);
        assert_eq!(run.waits[last - 1][0], GOODBYE + LOGIN + 2 * MS);
        assert_eq!((run.closes, run.open(0), run.open(last - 1)), (1, 3, 1));
    });
}

#[test]
fn one_connection_is_closed_for_one_that_is_lacking() {
    // With two each it is closed at once; with one each both could do it at the same moment later.
    for each in [2, 1] {
        for (server_max, database_max) in [(2 * each, 1000), (1000, 2 * each)] {
            let mut run = Run::new(3, server_max, database_max);
            for worker in 0..2 {
                run.load(worker, each, MS);
                run.run(SECOND);
                run.load(worker, 0, MS);
                run.run(SECOND);
            }
            run.load(2, 1, 7 * MS);
            run.run(SECOND);
            assert_eq!((run.closes, run.open(2)), (1, 1));
        }
    }
}

#[test]
fn busy_workers_come_to_hold_the_same_and_then_nothing_moves() {
    both_caps(12, |workers, mut run| {
        (0..workers).for_each(|worker| {
            run.load(worker, 150, 100 * MS);
            run.run(2 * SECOND);
        });
        run.run(30 * SECOND);
        let held: Vec<usize> = (0..workers).map(|worker| run.open(worker)).collect();
        let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
        println!("{workers} workers hold {held:?} after {} closes", run.closes);
        assert!(held.iter().sum::<usize>() == 12 && most - least <= 1, "{held:?}");
        let before = run.closes;
        run.run(30 * SECOND);
        assert_eq!(run.closes, before, "connections move though each has its share");
    });
}

#[test]
fn a_queue_that_moves_is_no_reason_to_move_a_slot() {
    both_caps(12, |last, mut run| {
        run.load(0, 30, 5 * MS);
        run.run(5 * SECOND);
        // Its first has its turn soon, though the bank's word of it is old at times.
        run.load(last - 1, 8, 5 * MS);
        run.run(20 * SECOND);
        assert_eq!((run.closes, run.open(0), run.open(last - 1)), (1, 11, 1));
    });
}

#[test]
fn with_less_than_one_slot_each_workers_take_turns() {
    both_caps(1, |workers, mut run| {
        (0..workers).for_each(|worker| run.load(worker, 1, 3 * MS));
        run.run(60 * SECOND);
        for waits in &run.waits {
            let turn = COST + 3 * MS + GOODBYE + LOGIN + 2 * MS;
            let longest = *waits.iter().max().unwrap();
            println!("{workers} workers: {longest:?}, {} closes", run.closes);
            assert!(longest <= turn * workers as u32, "{longest:?} for {workers} workers");
        }
        // A turn is worth its cost.
        assert!(run.closes <= 120, "{} turns in a minute", run.closes);
    });
}

#[test]
fn a_transaction_says_nothing_to_the_bank() {
    both_caps(12, |workers, run| stay_silent(workers, run, 50));
}

#[test]
fn a_queue_that_comes_and_goes_with_each_transaction_says_nothing_to_the_bank() {
    both_caps(12, |workers, run| stay_silent(workers, run, 12 / workers as u32 + 1));
}

fn stay_silent(workers: usize, mut run: Run, clients: u32) {
    (0..workers).for_each(|worker| run.load(worker, clients, 5 * MS));
    run.run(4 * SECOND);
    let served = |run: &Run| run.waits.iter().map(Vec::len).sum::<usize>();
    let (words, before) = (run.office.words, served(&run));
    run.run(4 * SECOND);
    let (words, served) = (run.office.words - words, served(&run) - before);
    println!("{workers} workers: {words} words for {served} transactions");
    assert!(served >= 8_000, "{served} transactions");
    // In each `cost` a worker is content, asks and lacks, and the others read it: never more.
    let most = 8 * workers * (3 + 2 * (workers - 1));
    assert!(words <= most as u64, "{words} words for {served} transactions");
}

#[test]
fn an_idle_worker_keeps_no_slot_and_says_nothing() {
    both_caps(4, |workers, mut run| {
        (0..workers).for_each(|worker| run.load(worker, 3, 5 * MS));
        run.run(5 * SECOND);
        (0..workers).for_each(|worker| run.load(worker, 0, 5 * MS));
        run.run(5 * SECOND);
        let before = (run.office.words, run.closes);
        run.run(60 * SECOND);
        assert_eq!((run.office.words, run.closes), before);
        for cap in [Cap::Server(ServerId(0)), Cap::Database(DatabaseId(0))] {
            let open: usize = (0..workers).map(|worker| run.open(worker)).sum();
            assert_eq!(run.office.bank.counts(cap).1 as usize, open);
        }
    });
}

#[test]
fn a_users_cap_that_comes_late_closes_no_more_idle_connections_than_it_asks_for() {
    for workers in [1, 2, 3] {
        let mut run = Run::new(workers, 1000, 1000);
        (0..workers).for_each(|worker| run.load(worker, 4, MS));
        run.run(SECOND);
        (0..workers).for_each(|worker| run.load(worker, 0, MS));
        run.run(SECOND);
        run.cap_user(3 * workers as u32);
        run.run(SECOND);
        let open: Vec<usize> = (0..workers).map(|worker| run.open(worker)).collect();
        assert_eq!((run.closes as usize, open), (workers, vec![3; workers]));
    }
}

#[test]
fn a_transaction_that_ends_before_a_users_new_cap_is_looked_at_closes_nothing_for_it() {
    let mut run = Run::new(1, 1000, 1000);
    run.load(0, 4, 7 * MS);
    run.run(SECOND);
    run.cap_user(4);
    run.end_transaction(0);
    run.run(SECOND);
    assert_eq!((run.closes, run.open(0)), (0, 4));
}
