//! Stories told as text: each line is a time, an event, and the effects that
//! must follow. Names of connections are their numbers in order of opening.

use std::collections::BTreeMap;
use std::time::Duration;

use poolwright_pool::{
    ClientId, ConnId, DatabaseId, DatabaseLimits, Effect, Event, Limit, PoolId, PoolLimits, Pools,
    Refusal, ServerId, ServerLimits, UserId,
};

struct Story {
    pools: Pools,
    databases: BTreeMap<String, DatabaseId>,
    names: BTreeMap<String, PoolId>,
    /// By order of opening.
    conns: Vec<ConnId>,
}

fn millis(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap());
    let number: u64 = number.parse().unwrap();
    match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        other => panic!("unit {other}"),
    }
}

fn limits<'a>(words: impl Iterator<Item = &'a str>) -> PoolLimits {
    let mut limits = PoolLimits {
        size: 5,
        min: 0,
        reserve: 0,
        reserve_timeout: Duration::from_secs(1),
        wait_timeout: Some(Duration::from_secs(120)),
        idle_timeout: Duration::from_secs(600),
        lifetime: (Duration::from_secs(3600), Duration::from_secs(3600)),
    };
    for (key, value) in words.map(|word| word.split_once('=').unwrap()) {
        match key {
            "size" => limits.size = value.parse().unwrap(),
            "min" => limits.min = value.parse().unwrap(),
            "reserve" => limits.reserve = value.parse().unwrap(),
            "wait" => limits.wait_timeout = Some(millis(value)),
            "idle" => limits.idle_timeout = millis(value),
            "life" => limits.lifetime = (millis(value), millis(value)),
            other => panic!("limit {other}"),
        }
    }
    limits
}

impl Story {
    fn new() -> Story {
        let (databases, names) = (BTreeMap::new(), BTreeMap::new());
        Story { pools: Pools::new(1), databases, names, conns: Vec::new() }
    }

    fn conn(&self, word: &str) -> ConnId {
        self.conns[word.trim_start_matches('#').parse::<usize>().unwrap()]
    }

    fn client(word: &str) -> ClientId {
        ClientId(word.trim_start_matches('c').parse().unwrap())
    }

    fn set_up(&mut self, words: &[&str]) {
        let max = |word: &str| word.parse().unwrap();
        match words {
            ["server", servermax, logins] => {
                let limits = ServerLimits { max: max(servermax), logins: max(logins) };
                self.pools.set_server(ServerId(0), limits);
            }
            ["database", name, most] => {
                let next = DatabaseId(self.databases.len() as u32);
                let id = *self.databases.entry(name.to_string()).or_insert(next);
                let limits = DatabaseLimits { server: ServerId(0), max: max(most) };
                self.pools.set_database(id, limits);
            }
            ["pool", user, database, rest @ ..] => {
                let database = self.databases[*database];
                let id = self.pools.pool(database, user, limits(rest.iter().copied()));
                self.names.insert(user.to_string(), id);
            }
            ["user", number, most, pools @ ..] => {
                let id = UserId(max(number));
                self.pools.set_user(id, max(most));
                pools.iter().for_each(|pool| self.pools.bind(self.names[*pool], id));
            }
            other => panic!("set-up {other:?}"),
        }
    }

    fn event(&self, words: &[&str]) -> Event {
        match words {
            ["request", client, pool] => {
                Event::Request { client: Self::client(client), pool: self.names[*pool] }
            }
            ["abandon", client] => Event::Abandon { client: Self::client(client) },
            ["opened", conn] => Event::Opened { conn: self.conn(conn) },
            ["failed", conn] => Event::OpenFailed {
                conn: self.conn(conn),
                retry: true,
                reason: "no route".to_owned(),
            },
            ["refused", conn] => Event::OpenFailed {
                conn: self.conn(conn),
                retry: false,
                reason: "bad password".to_owned(),
            },
            ["returned", conn] => Event::Returned { conn: self.conn(conn), reuse: true },
            ["broken", conn] => Event::Returned { conn: self.conn(conn), reuse: false },
            ["closed", conn] => Event::Closed { conn: self.conn(conn) },
            ["lingers", conn] => Event::Lingers { conn: self.conn(conn) },
            ["timer"] => Event::Timer,
            ["reconnect"] => Event::Reconnect { server: ServerId(0) },
            ["forget", pool] => Event::Forget { pool: self.names[*pool] },
            ["shutdown"] => Event::Shutdown,
            other => panic!("event {other:?}"),
        }
    }

    fn spell(&self, effect: &Effect) -> String {
        let user = |pool: &PoolId| self.names.iter().find(|(_, id)| *id == pool).unwrap().0;
        match effect {
            Effect::Open { conn, pool } => format!("open #{} {}", conn.serial(), user(pool)),
            Effect::Assign { client, conn } => format!("assign c{} #{}", client.0, conn.serial()),
            Effect::Close { conn, why } => format!("close #{} {}", conn.serial(), why.label()),
            Effect::Refuse { client, why } => format!("refuse c{} {}", client.0, why.label()),
        }
    }
}

/// Runs a story. A line without a time is set-up; a line without `=>` expects no effect.
fn check(story: &str) {
    let mut world = Story::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (input, expected) = line.split_once("=>").unwrap_or((line, ""));
        let words: Vec<&str> = input.split_whitespace().collect();
        if !words[0].starts_with(|c: char| c.is_ascii_digit()) {
            world.set_up(&words);
            continue;
        }
        let mut effects = Vec::new();
        world.pools.handle(millis(words[0]), world.event(&words[1..]), &mut effects);
        world.conns.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Open { conn, .. } => Some(*conn),
            _ => None,
        }));
        let got: Vec<String> = effects.iter().map(|effect| world.spell(effect)).collect();
        assert_eq!(got.join(", "), expected.trim(), "at: {line}");
    }
}

#[test]
fn a_returned_server_goes_to_the_longest_waiter() {
    check(
        "server 10 8
         database a 10
         pool ann a size=1
         0ms request c1 ann => open #0 ann
         5ms opened #0      => assign c1 #0
         6ms request c2 ann
         7ms request c3 ann
         8ms returned #0    => assign c2 #0
         9ms returned #0    => assign c3 #0
         9ms returned #0
         9ms request c4 ann => assign c4 #0",
    );
}

#[test]
fn the_connection_used_last_is_used_again() {
    check(
        "server 10 8
         database a 10
         pool ann a
         0ms request c1 ann => open #0 ann
         0ms request c2 ann => open #1 ann
         5ms opened #0      => assign c1 #0
         5ms opened #1      => assign c2 #1
         6ms returned #1
         7ms returned #0
         8ms request c3 ann => assign c3 #0",
    );
}

#[test]
fn a_waiter_takes_what_is_returned_before_its_own_login_ends() {
    check(
        "server 10 8
         database a 10
         pool ann a
         0ms request c1 ann => open #0 ann
         5ms opened #0      => assign c1 #0
         6ms request c2 ann => open #1 ann
         7ms returned #0    => assign c2 #0
         9ms opened #1",
    );
}

#[test]
fn logins_in_parallel_are_bounded_and_go_to_those_with_least() {
    check(
        "server 10 1
         database a 10
         pool ann a
         pool bob a
         0ms request c1 ann => open #0 ann
         0ms request c2 ann
         0ms request c3 bob
         5ms opened #0      => assign c1 #0, open #1 bob
         9ms opened #1      => assign c3 #1, open #2 ann",
    );
}

#[test]
fn a_closing_connection_holds_its_slot_until_the_servers_eof() {
    check(
        "server 1 8
         database a 1
         pool ann a
         pool bob a
         0ms request c1 ann => open #0 ann
         5ms opened #0      => assign c1 #0
         6ms broken #0
         7ms request c2 bob
         9ms closed #0      => open #1 bob",
    );
}

#[test]
fn who_holds_most_and_idles_longest_makes_room_for_who_has_none() {
    check(
        "server 3 8
         database a 3
         pool ann a
         pool bob a
         pool eve a
         0ms request c1 ann   => open #0 ann
         0ms request c2 ann   => open #1 ann
         0ms request c3 bob   => open #2 bob
         5ms opened #0        => assign c1 #0
         5ms opened #1        => assign c2 #1
         5ms opened #2        => assign c3 #2
         6ms returned #2
         7ms returned #0
         8ms returned #1
         900ms request c4 eve => close #0 evicted
         905ms closed #0      => open #3 eve
         910ms opened #3      => assign c4 #3",
    );
}

#[test]
fn a_connection_that_does_not_close_keeps_its_heir_from_no_other_slot() {
    check(
        "server 2 8
         database a 10
         pool ann a
         pool bob a
         0ms request c1 ann   => open #0 ann
         0ms request c2 ann   => open #1 ann
         5ms opened #0        => assign c1 #0
         5ms opened #1        => assign c2 #1
         600ms returned #0
         601ms returned #1
         700ms request c3 bob => close #0 evicted
         2700ms lingers #0    => close #1 evicted
         2705ms closed #1     => open #2 bob
         2710ms opened #2     => assign c3 #2
         2711ms lingers #0
         9000ms closed #0",
    );
}

#[test]
fn a_connection_younger_than_its_cost_is_left_alone_until_it_has_paid() {
    check(
        "server 1 8
         database a 1
         pool ann a
         pool bob a
         0ms request c1 ann   => open #0 ann
         5ms opened #0        => assign c1 #0
         6ms returned #0
         100ms request c2 bob
         504ms timer
         505ms timer          => close #0 evicted
         509ms closed #0      => open #1 bob",
    );
}

#[test]
fn a_tenant_with_a_connection_waits_for_its_own_and_evicts_nobodys_last() {
    check(
        "server 2 8
         database a 2
         pool ann a
         pool bob a
         0ms request c1 ann   => open #0 ann
         0ms request c2 bob   => open #1 bob
         5ms opened #0        => assign c1 #0
         5ms opened #1        => assign c2 #1
         6ms returned #0
         90s request c3 bob
         99s timer
         100s returned #1     => assign c3 #1",
    );
}

#[test]
fn a_hot_tenant_gives_up_a_slot_to_one_that_has_none() {
    check(
        "server 2 8
         database a 2
         pool hot a
         pool bob a
         0ms request c1 hot   => open #0 hot
         0ms request c2 hot   => open #1 hot
         5ms opened #0        => assign c1 #0
         5ms opened #1        => assign c2 #1
         6ms request c3 hot
         7ms request c4 hot
         600ms request c5 bob
         601ms returned #1    => close #1 yielded
         602ms returned #0    => assign c3 #0
         610ms closed #1      => open #2 bob
         620ms opened #2      => assign c5 #2",
    );
}

#[test]
fn below_one_connection_each_tenants_take_turns() {
    check(
        "server 1 8
         database a 1
         pool ann a
         pool bob a
         0ms request c1 ann   => open #0 ann
         5ms opened #0        => assign c1 #0
         6ms request c2 bob
         7ms request c3 ann
         8ms returned #0      => assign c3 #0
         9ms request c4 ann
         600ms returned #0    => close #0 yielded
         609ms closed #0      => open #1 bob",
    );
}

#[test]
fn an_unused_connection_moves_to_a_busy_tenant_once_it_has_settled() {
    check(
        "server 3 8
         database a 3
         pool ann a
         pool bob a
         0ms request c1 ann   => open #0 ann
         0ms request c2 ann   => open #1 ann
         0ms request c3 bob   => open #2 bob
         5ms opened #0        => assign c1 #0
         5ms opened #1        => assign c2 #1
         5ms opened #2        => assign c3 #2
         6ms returned #0
         7ms returned #1
         8ms request c4 bob
         10006ms timer        => close #0 evicted
         10010ms closed #0    => open #3 bob
         10020ms opened #3    => assign c4 #3",
    );
}

#[test]
fn a_failed_login_delays_its_own_pool_and_tells_the_reason() {
    check(
        "server 10 8
         database a 10
         pool ann a wait=2s
         pool bob a
         0ms request c1 ann    => open #0 ann
         5ms failed #0
         6ms request c2 ann
         7ms request c3 bob    => open #1 bob
         106ms timer           => open #2 ann
         107ms failed #2
         2000ms timer          => refuse c1 backend_down, open #3 ann
         2001ms opened #3      => assign c2 #3",
    );
}

#[test]
fn a_request_after_the_pause_and_before_the_timer_finds_room_for_those_who_waited() {
    check(
        "server 2 8
         database a 2
         pool ann a
         pool bob a
         0ms request c1 ann    => open #0 ann
         5ms opened #0         => assign c1 #0
         6ms returned #0
         590ms request c2 bob  => open #1 bob
         600ms failed #1
         601ms request c3 ann  => assign c3 #0
         602ms request c4 ann  => open #2 ann
         603ms opened #2       => assign c4 #2
         604ms returned #0
         605ms returned #2
         800ms request c5 bob  => close #0 evicted",
    );
}

#[test]
fn refused_credentials_answer_at_once_and_for_a_second() {
    check(
        "server 10 8
         database a 10
         pool ann a
         0ms request c1 ann    => open #0 ann
         1ms request c2 ann    => open #1 ann
         5ms refused #0        => refuse c1 login_refused, refuse c2 login_refused
         6ms refused #1
         900ms request c3 ann  => refuse c3 login_refused
         1100ms request c4 ann => open #2 ann
         1101ms request c5 ann
         1105ms opened #2      => assign c4 #2, open #3 ann",
    );
}

#[test]
fn the_reserve_opens_for_a_long_wait_only() {
    check(
        "server 10 8
         database a 10
         pool ann a size=1 reserve=1
         0ms request c1 ann    => open #0 ann
         5ms opened #0         => assign c1 #0
         6ms request c2 ann
         1005ms timer
         1006ms timer          => open #1 ann
         1010ms opened #1      => assign c2 #1",
    );
}

#[test]
fn a_wait_ends_with_its_timeout_in_the_order_of_arrival() {
    check(
        "server 1 8
         database a 1
         pool ann a wait=1s
         0ms request c1 ann    => open #0 ann
         5ms opened #0         => assign c1 #0
         6ms request c2 ann
         500ms request c3 ann
         1006ms timer          => refuse c2 wait_timeout
         1007ms abandon c3
         1008ms returned #0",
    );
}

#[test]
fn idle_connections_go_after_their_timeout_down_to_min() {
    check(
        "server 10 8
         database a 10
         pool ann a min=1 idle=60s
         0ms request c1 ann    => open #0 ann
         0ms request c2 ann    => open #1 ann
         5ms opened #0         => assign c1 #0
         5ms opened #1         => assign c2 #1
         1s returned #0
         2s returned #1
         61s timer             => close #0 idle_timeout
         200s timer",
    );
}

#[test]
fn min_is_kept_once_the_pool_has_been_used() {
    check(
        "server 10 8
         database a 10
         pool ann a min=2
         0ms timer
         1ms request c1 ann    => open #0 ann, open #1 ann
         5ms opened #0         => assign c1 #0
         6ms opened #1
         7ms closed #1         => open #2 ann",
    );
}

#[test]
fn an_expired_connection_in_use_is_replaced_before_it_is_closed() {
    check(
        "server 10 8
         database a 10
         pool ann a life=60s
         0ms request c1 ann    => open #0 ann
         0ms opened #0         => assign c1 #0
         61s returned #0       => open #1 ann
         61s request c2 ann    => assign c2 #0
         62s returned #0
         62s opened #1         => close #0 lifetime",
    );
}

#[test]
fn an_expired_connection_without_room_closes_first() {
    check(
        "server 1 8
         database a 1
         pool ann a life=60s
         0ms request c1 ann    => open #0 ann
         0ms opened #0         => assign c1 #0
         1s request c2 ann
         61s returned #0       => close #0 lifetime
         62s closed #0         => open #1 ann",
    );
}

#[test]
fn a_lowered_cap_closes_idle_ones_at_once_and_busy_ones_at_their_boundary() {
    check(
        "server 4 8
         database a 4
         pool ann a
         0ms request c1 ann    => open #0 ann
         0ms request c2 ann    => open #1 ann
         0ms request c3 ann    => open #2 ann
         5ms opened #0         => assign c1 #0
         5ms opened #1         => assign c2 #1
         5ms opened #2         => assign c3 #2
         6ms returned #0
         server 1 8
         7ms timer             => close #0 excess
         8ms returned #1       => close #1 excess
         9ms returned #2
         9ms request c4 ann    => assign c4 #2
         9ms request c5 ann
         10ms closed #0
         11ms closed #1
         server 2 8
         12ms timer            => open #3 ann",
    );
}

#[test]
fn a_reconnect_retires_every_connection_once() {
    check(
        "server 4 8
         database a 4
         pool ann a
         0ms request c1 ann    => open #0 ann
         0ms request c2 ann    => open #1 ann
         5ms opened #0         => assign c1 #0
         5ms opened #1         => assign c2 #1
         6ms returned #0
         7ms reconnect         => close #0 reconnect
         8ms returned #1       => close #1 reconnect
         9ms request c3 ann    => open #2 ann
         10ms opened #2        => assign c3 #2
         11ms returned #2",
    );
}

#[test]
fn a_forgotten_pool_refuses_and_a_renamed_one_serves_again() {
    check(
        "server 1 8
         database a 1
         pool ann a
         0ms request c1 ann    => open #0 ann
         5ms opened #0         => assign c1 #0
         6ms request c2 ann
         7ms forget ann        => refuse c2 forgotten
         8ms request c3 ann    => refuse c3 forgotten
         9ms returned #0       => close #0 forgotten
         pool ann a
         10ms request c4 ann
         11ms closed #0        => open #1 ann",
    );
}

#[test]
fn a_shutdown_refuses_waiters_and_closes_at_the_boundary() {
    check(
        "server 1 8
         database a 1
         pool ann a
         0ms request c1 ann    => open #0 ann
         5ms opened #0         => assign c1 #0
         6ms request c2 ann
         7ms shutdown          => refuse c2 shutting_down
         8ms returned #0       => close #0 shutdown
         9ms closed #0
         9ms request c3 ann    => refuse c3 shutting_down",
    );
}

#[test]
fn a_server_cap_is_shared_by_its_databases() {
    check(
        "server 2 8
         database a 2
         database b 2
         pool ann a
         pool bob b
         0ms request c1 ann    => open #0 ann
         0ms request c2 ann    => open #1 ann
         5ms opened #0         => assign c1 #0
         5ms opened #1         => assign c2 #1
         6ms returned #0
         7ms request c3 bob
         505ms timer           => close #0 evicted
         506ms closed #0       => open #2 bob",
    );
}

#[test]
fn a_slot_promised_across_databases_is_not_lost_when_its_heir_is_full_by_then() {
    check(
        "server 2 8
         database a 2
         database b 1
         pool ann a
         pool bob b
         pool eve b
         0ms request c1 ann    => open #0 ann
         0ms request c2 ann    => open #1 ann
         5ms opened #0         => assign c1 #0
         5ms opened #1         => assign c2 #1
         6ms returned #0
         6ms returned #1
         900ms request c3 bob  => close #0 evicted
         901ms request c4 eve
         1401ms timer          => close #1 evicted
         1402ms closed #1      => open #2 eve
         1410ms opened #2      => assign c4 #2
         1420ms returned #2
         2s closed #0          => close #2 evicted
         3s closed #2          => open #3 bob",
    );
}

#[test]
fn what_rests_behind_a_broken_connection_is_seen_in_time() {
    check(
        "server 3 8
         database a 3
         pool ann a
         pool bob a
         pool eve a
         0ms request c1 ann    => open #0 ann
         0ms request c2 ann    => open #1 ann
         0ms request c3 ann    => open #2 ann
         5ms opened #0         => assign c1 #0
         5ms opened #1         => assign c2 #1
         400ms opened #2       => assign c3 #2
         410ms returned #2
         420ms returned #0
         421ms returned #1
         430ms request c4 bob
         431ms request c5 eve
         440ms broken #2
         505ms timer           => close #0 evicted",
    );
}

#[test]
fn a_users_cap_holds_in_all_databases_and_what_rests_in_one_serves_another() {
    check(
        "server 9 8
         database a 9
         database b 9
         pool ann_a a
         pool ann_b b
         pool bob b
         user 0 2 ann_a ann_b
         0ms request c1 ann_a  => open #0 ann_a
         0ms request c2 ann_a  => open #1 ann_a
         1ms request c3 ann_b
         1ms request c4 bob    => open #2 bob
         5ms opened #0         => assign c1 #0
         5ms opened #1         => assign c2 #1
         5ms opened #2         => assign c4 #2
         600ms returned #0     => close #0 yielded
         605ms closed #0       => open #3 ann_b
         610ms opened #3       => assign c3 #3",
    );
}

#[test]
fn who_is_kept_waiting_by_two_caps_takes_nothing_in_vain() {
    check(
        "server 9 8
         database a 9
         database b 1
         pool ann_a a
         pool ann_b b
         pool bob b
         user 0 1 ann_a ann_b
         0ms request c1 ann_a  => open #0 ann_a
         0ms request c2 bob    => open #1 bob
         5ms opened #0         => assign c1 #0
         5ms opened #1         => assign c2 #1
         6ms request c3 ann_b
         700ms returned #0
         3000ms timer
         3001ms returned #1
         3600ms timer          => close #0 evicted
         3605ms closed #0      => close #1 evicted
         3610ms closed #1      => open #2 ann_b",
    );
}

#[test]
fn who_waits_in_vain_reads_which_limit_it_hit() {
    for (caps, limit) in [
        ("server 9 8\ndatabase a 9\npool ann a size=1 wait=1s", Limit::Pool(1)),
        ("server 9 8\ndatabase a 1\npool ann a wait=1s", Limit::Database),
        ("server 1 8\ndatabase a 9\npool ann a wait=1s", Limit::Server),
        ("server 9 8\ndatabase a 9\npool ann a wait=1s\nuser 0 1 ann", Limit::User),
        ("server 9 1\ndatabase a 9\npool ann a wait=1s", Limit::Logins),
    ] {
        let mut story = Story::new();
        for line in caps.lines() {
            story.set_up(&line.split_whitespace().collect::<Vec<_>>());
        }
        let mut effects = Vec::new();
        for client in [1, 2].map(ClientId) {
            let event = Event::Request { client, pool: story.names["ann"] };
            story.pools.handle(Duration::ZERO, event, &mut effects);
        }
        effects.clear();
        story.pools.handle(Duration::from_secs(2), Event::Timer, &mut effects);
        let why = Refusal::WaitTimeout(limit);
        let refused = |client| Effect::Refuse { client: ClientId(client), why: why.clone() };
        assert!(effects.contains(&refused(2)), "{caps}: {effects:?}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let down = Refusal::BackendDown { reason: "no route".into(), since: Duration::ZERO };
    assert!(down.to_string().contains("no route"));
    let limits = [
        (Limit::Pool(3), "pool.size"),
        (Limit::User, "maxUserConnections"),
        (Limit::Database, "databases[].maxConnections"),
        (Limit::Server, "servers[].maxConnections"),
        (Limit::Logins, "logins"),
    ];
    for (limit, named) in limits {
        let told = Refusal::WaitTimeout(limit).to_string();
        assert!(told.starts_with("query_wait_timeout") && told.contains(named), "{told}");
    }
}
