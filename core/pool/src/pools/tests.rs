//! What the outside cannot see: how much work an event is.

use std::time::Duration;

use super::Pools;
use crate::event::{Effect, Event};
use crate::ids::{ClientId, ConnId, DatabaseId, PoolId, ServerId};
use crate::limits::{DatabaseLimits, PoolLimits, ServerLimits};

fn limits() -> PoolLimits {
    PoolLimits {
        size: 2,
        min: 0,
        reserve: 1,
        reserve_timeout: Duration::from_secs(1),
        wait_timeout: Some(Duration::from_secs(120)),
        idle_timeout: Duration::from_secs(10),
        lifetime: (Duration::from_secs(300), Duration::from_secs(600)),
    }
}

/// So many pools, ten to a database.
fn with_pools(count: u32, server_max: u32) -> Pools {
    let mut pools = Pools::new(1);
    pools.set_server(ServerId(0), ServerLimits { max: server_max, logins: 100 });
    for database in (0..count.div_ceil(10)).map(DatabaseId) {
        pools.set_database(database, DatabaseLimits { server: ServerId(0), max: 10 });
    }
    for pool in 0..count {
        pools.pool(DatabaseId(pool / 10), &format!("user{pool}"), limits());
    }
    // The whole check after every event would make the tests slow.
    pools.run(Duration::ZERO, Event::Timer);
    pools
}

impl Pools {
    /// `handle` without the check of everything.
    fn run(&mut self, now: Duration, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let lender = &mut crate::lending::Nobody;
        let turn = &mut super::Turn { now, effects: &mut effects, lender, moved: false };
        self.dispatch(turn, event);
        effects
    }

    /// One client's whole use of a pool without connections, and the end of that connection.
    fn use_once(&mut self, now: Duration, client: u32, pool: PoolId) {
        let client = ClientId(client);
        let Some(Effect::Open { conn, .. }) = self.run(now, Event::Request { client, pool }).pop()
        else {
            panic!("{pool:?} opens nothing")
        };
        self.run(now, Event::Opened { conn });
        self.run(now, Event::Returned { conn, reuse: true });
        self.run(now, Event::Closed { conn });
    }
}

#[test]
fn ten_thousand_idle_pools_make_no_request_slower() {
    let steps = |count: u32| {
        let mut pools = with_pools(count, 100);
        for pool in 0..count {
            pools.use_once(Duration::from_secs(1), pool, PoolId(pool));
        }
        pools.run(Duration::from_secs(3600), Event::Timer);
        pools.check();
        assert_eq!(pools.next_deadline(), None, "an idle pool costs no timer");
        let before = pools.steps;
        pools.use_once(Duration::from_secs(3601), 20_000, PoolId(count / 2));
        pools.steps - before
    };
    assert_eq!(steps(10), steps(10_000));
}

#[test]
fn ten_thousand_waiting_pools_make_no_request_slower() {
    let steps = |count: u32| {
        let mut pools = with_pools(count, 4);
        for pool in 0..count {
            let client = ClientId(pool);
            pools.run(Duration::from_secs(1), Event::Request { client, pool: PoolId(pool) });
        }
        pools.check();
        let before = pools.steps;
        let client = ClientId(20_000);
        pools.run(Duration::from_secs(2), Event::Request { client, pool: PoolId(count - 1) });
        pools.steps - before
    };
    assert_eq!(steps(20), steps(10_000));
}

#[test]
fn ten_thousand_resting_connections_make_no_wait_and_no_return_slower() {
    let steps = |count: u32| {
        let mut pools = with_pools(count, count);
        for pool in (0..count).map(PoolId) {
            let client = ClientId(pool.0);
            let request = Event::Request { client, pool };
            let Some(Effect::Open { conn, .. }) = pools.run(Duration::ZERO, request).pop() else {
                panic!("{pool:?} opens nothing")
            };
            pools.run(Duration::ZERO, Event::Opened { conn });
            pools.run(Duration::from_secs(1), Event::Returned { conn, reuse: true });
        }
        let ask = |pools: &mut Pools, now, client| {
            let request = Event::Request { client: ClientId(client), pool: PoolId(0) };
            pools.run(Duration::from_secs(now), request).pop()
        };
        let Some(Effect::Assign { conn, .. }) = ask(&mut pools, 2, 20_000) else {
            panic!("nothing rests")
        };
        // The first holds its connection and finds that it can take no other.
        ask(&mut pools, 2, 20_001);
        pools.check();
        let before = pools.steps;
        ask(&mut pools, 3, 20_002);
        for _ in 0..2 {
            let returned = Event::Returned { conn, reuse: true };
            pools.run(Duration::from_secs(3), returned);
        }
        pools.steps - before
    };
    assert_eq!(steps(20), steps(10_000));
}

#[test]
fn use_leaves_no_deadlines_behind() {
    let mut pools = with_pools(10, 100);
    let client = ClientId;
    pools.run(Duration::ZERO, Event::Request { client: client(0), pool: PoolId(0) });
    let mut held = vec![ConnId::new(0, 0)];
    pools.run(Duration::ZERO, Event::Opened { conn: held[0] });
    for round in 1..1000 {
        let now = Duration::from_millis(u64::from(round) * 700);
        pools.run(now, Event::Timer);
        let request = Event::Request { client: client(round), pool: PoolId(0) };
        for effect in pools.run(now, request) {
            if let Effect::Open { conn, .. } = effect {
                pools.run(now, Event::Opened { conn });
                held.push(conn);
            }
        }
        pools.run(now, Event::Abandon { client: client(round) });
        assert!(pools.deadlines.len() <= 2, "{} deadlines", pools.deadlines.len());
    }
}
