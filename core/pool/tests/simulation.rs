//! Many workspaces on two databases, in simulated time: how often connections
//! are closed at which ratio, and whether a hot tenant slows the others.
//! `cargo test -p poolwright-pool --test simulation -- --nocapture` prints the figures.

#[path = "simulation/world.rs"]
mod world;

use std::time::Duration;

use poolwright_pool::PoolLimits;
use world::{Outcome, Plan, Tenant, World};

fn limits() -> PoolLimits {
    PoolLimits {
        size: 5,
        min: 1,
        reserve: 20,
        reserve_timeout: Duration::from_secs(1),
        wait_timeout: Some(Duration::from_secs(120)),
        idle_timeout: Duration::from_secs(600),
        lifetime: (Duration::from_secs(300), Duration::from_secs(600)),
    }
}

/// Twenty workspaces, ten on each database; a post is a burst of queries.
fn workspaces(ratio_per_mille: u32, pods: u32, measured: Duration) -> Plan {
    let tenants = (0..20).map(|index| Tenant {
        database: index % 2,
        every: Duration::from_millis(500),
        burst: 3,
        clients: 50,
        length: Duration::from_millis(5),
    });
    Plan {
        tenants: tenants.collect(),
        pods,
        database_max: 10 * ratio_per_mille / 1000 / pods,
        limits: limits(),
        warm_up: Duration::from_secs(20),
        measured,
        seed: 1,
    }
}

/// Disconnections for each workspace and minute.
fn churn(outcome: &Outcome, plan: &Plan) -> f64 {
    let minutes = plan.measured.as_secs_f64() / 60.0;
    outcome.disconnects as f64 / plan.tenants.len() as f64 / minutes
}

#[test]
fn at_two_and_a_half_connections_each_almost_nothing_is_closed() {
    println!("ratio  pods  disconnections per workspace and minute  p99 wait");
    for (ratio, pods, most) in [
        (1000, 1, 1.0),
        (1500, 1, 1.0),
        (2000, 1, 0.5),
        (2500, 1, 0.5),
        (3000, 1, 0.5),
        (1000, 3, f64::MAX),
        (2500, 3, f64::MAX),
        (3000, 3, f64::MAX),
    ] {
        let plan = workspaces(ratio, pods, Duration::from_secs(40));
        let outcome = World::run(plan.clone());
        let churn = churn(&outcome, &plan);
        let mut waits: Vec<Duration> = outcome.waits.concat();
        waits.sort();
        let p99 = waits[waits.len() * 99 / 100];
        println!("{:>5}  {pods:>4}  {churn:>40.2}  {p99:?}", f64::from(ratio) / 1000.0);
        assert!(churn <= most, "{churn} at {ratio} with {pods} pods");
    }
}

#[test]
fn a_tenant_fifty_times_hotter_does_not_slow_the_others() {
    // The hot one alone could keep nearly all its database's connections busy.
    let mut even = workspaces(1500, 1, Duration::from_secs(20));
    even.limits.size = 20;
    let mut hot = even.clone();
    hot.tenants[0].every /= 50;
    hot.tenants[0].burst = 25;
    let worst = |outcome: &Outcome| (1..20).map(|tenant| outcome.wait(tenant, 990)).max().unwrap();
    let (before, after) = (worst(&World::run(even)), worst(&World::run(hot)));
    println!("worst p99 wait of the others: {before:?} alone, {after:?} beside a hot tenant");
    let most = (before * 3).max(Duration::from_millis(50));
    assert!(after <= most, "{after:?} beside a hot tenant, {before:?} without");
}

#[test]
fn tenants_that_come_back_get_in_beside_a_hot_one() {
    // The others lose their connections between bursts and find them all in the hot one's hands.
    let mut plan = workspaces(1000, 1, Duration::from_secs(30));
    plan.limits = PoolLimits { size: 20, min: 0, idle_timeout: Duration::from_secs(1), ..limits() };
    plan.tenants.iter_mut().for_each(|tenant| tenant.every = Duration::from_secs(3));
    plan.tenants[0].every = Duration::from_millis(10);
    plan.tenants[0].burst = 50;
    let outcome = World::run(plan);
    let neighbours = (2..20).step_by(2).map(|tenant| outcome.wait(tenant, 990));
    let worst = neighbours.max().unwrap();
    println!("worst p99 wait of tenants that come back: {worst:?}");
    assert!(worst <= Duration::from_millis(200), "{worst:?}");
}
