//! A small world in simulated time: pods with pools, a server whose logins and
//! goodbyes take their time, tenants that send bursts of short transactions.
//! It measures and asserts nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use poolwright_pool::{
    ClientId, ConnId, DatabaseId, DatabaseLimits, Effect, Event, PoolId, PoolLimits, Pools,
    ServerId, ServerLimits,
};

/// What one tenant does.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub database: u32,
    /// Mean time from one burst to the next.
    pub every: Duration,
    /// Clients that ask at the same moment, each for one transaction.
    pub burst: u32,
    /// No more than so many wait at once: the others send nothing.
    pub clients: u32,
    /// Mean length of a transaction.
    pub length: Duration,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub tenants: Vec<Tenant>,
    pub pods: u32,
    /// For each pod.
    pub database_max: u32,
    pub limits: PoolLimits,
    /// Not measured.
    pub warm_up: Duration,
    pub measured: Duration,
    pub seed: u64,
}

/// What came of it, after the warm-up.
#[derive(Debug, Default)]
pub struct Outcome {
    pub disconnects: u64,
    pub served: u64,
    /// By tenant, sorted.
    pub waits: Vec<Vec<Duration>>,
}

impl Outcome {
    /// The wait that this per mille of a tenant's requests did not exceed.
    pub fn wait(&self, tenant: usize, per_mille: usize) -> Duration {
        let waits = &self.waits[tenant];
        waits[(waits.len() - 1) * per_mille / 1000]
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Burst(usize),
    Tell(usize, Telling),
    Timer(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Telling {
    Opened(ConnId),
    Closed(ConnId),
    Returned(ConnId),
}

const LOGIN: Duration = Duration::from_millis(20);
const GOODBYE: Duration = Duration::from_millis(5);

struct Pod {
    pools: Pools,
    tenants: Vec<PoolId>,
}

pub struct World {
    plan: Plan,
    pods: Vec<Pod>,
    agenda: BinaryHeap<Reverse<(Duration, u64, Next)>>,
    order: u64,
    random: u64,
    now: Duration,
    clients: BTreeMap<ClientId, (usize, Duration)>,
    /// Free to be used anew.
    numbers: Vec<ClientId>,
    next_client: u32,
    /// By tenant.
    waiting: Vec<u32>,
    outcome: Outcome,
}

fn pod(plan: &Plan, index: u32) -> Pod {
    let mut pools = Pools::new(plan.seed + u64::from(index));
    pools.set_server(ServerId(0), ServerLimits { max: 10_000, logins: 8 });
    let databases = plan.tenants.iter().map(|tenant| tenant.database).max().unwrap_or(0) + 1;
    for database in (0..databases).map(DatabaseId) {
        let limits = DatabaseLimits { server: ServerId(0), max: plan.database_max };
        pools.set_database(database, limits);
    }
    let named = plan.tenants.iter().enumerate();
    let tenants = named.map(|(index, tenant)| {
        let database = DatabaseId(tenant.database);
        pools.pool(database, &format!("ws_{index:03}"), plan.limits.clone())
    });
    let tenants = tenants.collect();
    Pod { pools, tenants }
}

impl World {
    pub fn run(plan: Plan) -> Outcome {
        let pods = (0..plan.pods).map(|index| pod(&plan, index)).collect();
        let tenants = plan.tenants.len();
        let random = plan.seed;
        let mut world = World {
            plan,
            pods,
            agenda: BinaryHeap::new(),
            order: 0,
            random,
            now: Duration::ZERO,
            clients: BTreeMap::new(),
            numbers: Vec::new(),
            next_client: 0,
            waiting: vec![0; tenants],
            outcome: Outcome { waits: vec![Vec::new(); tenants], ..Outcome::default() },
        };
        for tenant in 0..tenants {
            let wait = world.about(world.plan.tenants[tenant].every);
            world.later(wait, Next::Burst(tenant));
        }
        world.live();
        world.outcome.waits.iter_mut().for_each(|waits| waits.sort());
        world.outcome
    }

    fn live(&mut self) {
        let end = self.plan.warm_up + self.plan.measured;
        while let Some(Reverse((at, _, next))) = self.agenda.pop() {
            if at > end {
                return;
            }
            self.now = at;
            match next {
                Next::Burst(tenant) => self.burst(tenant),
                Next::Timer(pod) => {
                    if self.pods[pod].pools.next_deadline().is_some_and(|due| due <= at) {
                        self.tell(pod, Event::Timer);
                    }
                }
                Next::Tell(pod, Telling::Opened(conn)) => self.tell(pod, Event::Opened { conn }),
                Next::Tell(pod, Telling::Closed(conn)) => self.tell(pod, Event::Closed { conn }),
                Next::Tell(pod, Telling::Returned(conn)) => {
                    self.tell(pod, Event::Returned { conn, reuse: true });
                }
            }
        }
    }

    fn burst(&mut self, tenant: usize) {
        let Tenant { every, burst, clients, .. } = self.plan.tenants[tenant];
        for _ in 0..burst.min(clients.saturating_sub(self.waiting[tenant])) {
            self.waiting[tenant] += 1;
            let pod = (self.draw() % u64::from(self.plan.pods)) as usize;
            let client = self.number();
            self.clients.insert(client, (tenant, self.now));
            let pool = self.pods[pod].tenants[tenant];
            self.tell(pod, Event::Request { client, pool });
        }
        let wait = self.about(every);
        self.later(wait, Next::Burst(tenant));
    }

    fn number(&mut self) -> ClientId {
        self.numbers.pop().unwrap_or_else(|| {
            self.next_client += 1;
            ClientId(self.next_client - 1)
        })
    }

    fn tell(&mut self, pod: usize, event: Event) {
        let mut effects = Vec::new();
        self.pods[pod].pools.handle(self.now, event, &mut effects);
        for effect in effects {
            self.obey(pod, effect);
        }
        if let Some(due) = self.pods[pod].pools.next_deadline() {
            self.later(due.saturating_sub(self.now), Next::Timer(pod));
        }
    }

    fn obey(&mut self, pod: usize, effect: Effect) {
        let measured = self.now >= self.plan.warm_up;
        match effect {
            Effect::Open { conn, .. } => {
                self.later(LOGIN, Next::Tell(pod, Telling::Opened(conn)));
            }
            Effect::Close { conn, .. } => {
                self.outcome.disconnects += u64::from(measured);
                self.later(GOODBYE, Next::Tell(pod, Telling::Closed(conn)));
            }
            Effect::Assign { client, conn } => {
                let (tenant, since) = self.clients.remove(&client).unwrap();
                self.numbers.push(client);
                self.waiting[tenant] -= 1;
                if measured {
                    self.outcome.served += 1;
                    self.outcome.waits[tenant].push(self.now - since);
                }
                let length = self.about(self.plan.tenants[tenant].length);
                self.later(length, Next::Tell(pod, Telling::Returned(conn)));
            }
            Effect::Refuse { client, why } => panic!("{client:?} refused: {why}"),
        }
    }

    fn later(&mut self, wait: Duration, next: Next) {
        self.order += 1;
        self.agenda.push(Reverse((self.now + wait, self.order, next)));
    }

    /// Exponential with this mean.
    fn about(&mut self, mean: Duration) -> Duration {
        let unit = (self.draw() >> 11) as f64 / (1u64 << 53) as f64;
        mean.mul_f64(-(1.0 - unit).ln())
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let word = self.random ^ (self.random >> 33);
        word.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ (word >> 29)
    }
}
