//! Clients, connections and the pools' rules, moved step by step. It does what the pooler's shell does,
//! in the same order, and checks what must hold after each step.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use poolwright_pool::{
    ClientId, ConnId, DatabaseId, DatabaseLimits, Effect, Event, PoolId, PoolLimits, Pools,
    ServerId, ServerLimits,
};
use poolwright_random::Random;
use poolwright_session::parameters::Wanted;
use poolwright_session::{Output, Pause, Session, Statements};
use poolwright_wire::write::ErrorFields;

use crate::client::{Client, Standing};
use crate::link::{Fit, Link, Phase};
use crate::script;

pub const SERVER: ServerId = ServerId(0);
pub const DATABASES: u32 = 2;
const POOLS: u32 = 6;
const CLIENTS: usize = 12;
/// How often the pools look at all of themselves.
const CHECK_EVERY: u64 = 64;
/// Steps within which everything that was begun must end once nothing goes wrong any more.
const PATIENCE: u64 = 400_000;

/// What happened, for the figures at the end.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub steps: u64,
    pub assigned: u64,
    pub opened: u64,
    pub refused: u64,
    pub faults: u64,
    pub clients: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.steps += other.steps;
        self.assigned += other.assigned;
        self.opened += other.opened;
        self.refused += other.refused;
        self.faults += other.faults;
        self.clients += other.clients;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { steps, assigned, opened, refused, faults, clients } = self;
        write!(
            f,
            "{steps} steps: {clients} clients, {assigned} times a server, {opened} opened, \
             {refused} refused, {faults} faults"
        )
    }
}

pub struct World {
    pub random: Random,
    pub now: Duration,
    pub pools: Pools,
    pub clients: Vec<Client>,
    pub links: BTreeMap<ConnId, (PoolId, Link)>,
    pub counts: Counts,
    pub cap: u32,
    /// Open connections may not rise above this: the cap, or what was open when it was lowered.
    allowed: u32,
    known: Rc<RefCell<Statements>>,
    last_mark: usize,
    pub calm: bool,
    effects: Vec<Effect>,
}

pub fn limits(size: u32, wait: Option<Duration>) -> PoolLimits {
    PoolLimits {
        size,
        min: 0,
        reserve: 1,
        reserve_timeout: Duration::from_secs(1),
        wait_timeout: wait,
        idle_timeout: Duration::from_secs(30),
        lifetime: (Duration::from_secs(20), Duration::from_secs(60)),
    }
}

pub fn database_of(pool: u32) -> DatabaseId {
    DatabaseId(pool % DATABASES)
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut world = World {
            random: Random::new(seed),
            now: Duration::ZERO,
            pools: Pools::new(seed),
            clients: Vec::new(),
            links: BTreeMap::new(),
            counts: Counts::default(),
            cap: 5,
            allowed: 5,
            known: Rc::default(),
            last_mark: 0,
            calm: false,
            effects: Vec::new(),
        };
        world.pools.set_server(SERVER, ServerLimits { max: 5, logins: 2 });
        for database in (0..DATABASES).map(DatabaseId) {
            world.pools.set_database(database, DatabaseLimits { server: SERVER, max: 4 });
        }
        for pool in 0..POOLS {
            let size = limits(2, Some(Duration::from_secs(10)));
            world.pools.pool(database_of(pool), &format!("user{pool}"), size);
        }
        for _ in 0..CLIENTS {
            let client = world.newcomer();
            world.clients.push(client);
        }
        world
    }

    /// Steps with faults, then as many without as it takes to end all that was begun.
    pub fn live(&mut self, steps: u64) {
        while self.counts.steps < steps {
            self.step();
        }
        self.calm_down();
        let until = self.counts.steps + PATIENCE;
        while !self.is_at_rest() {
            assert!(self.counts.steps < until, "not at rest: {}", self.told());
            self.step();
        }
        self.pools.check();
    }

    fn is_at_rest(&self) -> bool {
        let done = |client: &Client| client.is_done() && client.standing == Standing::Idle;
        self.clients.iter().all(done)
            && self.links.values().all(|(_, link)| matches!(link.phase, Phase::Idle))
    }

    fn told(&self) -> String {
        let clients = self.clients.iter().map(|client| {
            let Client { standing, input, units, .. } = client;
            format!("{standing:?} {units} {}", input.escape_ascii())
        });
        let links =
            self.links.values().map(|(_, link)| format!("{:?} {:?}", link.phase, link.model));
        clients.chain(links).collect::<Vec<_>>().join("\n")
    }

    fn step(&mut self) {
        self.counts.steps += 1;
        match self.random.below(if self.calm { 90 } else { 93 }) {
            0..=34 => {
                let client = self.random.below(self.clients.len());
                self.act(client);
            }
            35..=54 => self.with_link(World::feed),
            55..=74 => self.with_link(World::drain),
            75..=84 => self.with_link(World::advance),
            85..=89 => self.pass_time(),
            _ => self.fault(),
        }
        self.check();
    }

    fn with_link(&mut self, act: impl Fn(&mut World, ConnId)) {
        if self.links.is_empty() {
            return;
        }
        let place = self.random.below(self.links.len());
        let id = self.links.keys().nth(place).copied();
        act(self, id.expect("a place among the links"));
    }

    fn piece(&mut self) -> usize {
        match self.random.below(3) {
            0 => 1 + self.random.below(12),
            _ => usize::MAX,
        }
    }

    /// A client sends a piece more.
    fn act(&mut self, index: usize) {
        let count = self.piece();
        let client = &mut self.clients[index];
        if client.script.is_empty() && client.units > 0 {
            client.units -= 1;
            client.script = match client.units {
                0 => script::ending(),
                _ => script::unit(client.mark, &mut self.random),
            };
        }
        let count = count.min(client.script.len());
        client.input.extend(client.script.drain(..count));
        self.digest(index);
        self.release(index);
        if self.clients[index].is_done()
            && self.clients[index].standing == Standing::Idle
            && !self.calm
        {
            self.clients[index] = self.newcomer();
        }
    }

    /// Deals with what a client has sent, as far as it may.
    pub fn digest(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let mut link = match client.standing {
            Standing::Waiting => return,
            Standing::Idle => None,
            Standing::Served(id) => self.links.get_mut(&id).map(|(_, link)| link),
        };
        if link.as_ref().is_some_and(|link| link.applying) {
            return;
        }
        let mut out = Output::default();
        let model = link.as_mut().map(|link| &mut link.model);
        let taken = client.session.send(model, &client.input, &mut out);
        client.input.drain(..taken.consumed);
        client.receive(&out.to_client);
        match link {
            Some(link) => link.to_fake.extend_from_slice(&out.to_server),
            None => assert!(out.to_server.is_empty(), "bytes for no server"),
        }
        match taken.pause {
            Pause::NeedServer => {
                client.standing = Standing::Waiting;
                let (client, pool) = (ClientId(index as u32), client.pool);
                self.tell(Event::Request { client, pool });
            }
            Pause::More(_) | Pause::Hold | Pause::Crowd => {}
            other => panic!("client {index} is refused: {other:?}"),
        }
    }

    /// Takes back the connection of a client whose transaction is over.
    fn release(&mut self, index: usize) {
        let Standing::Served(id) = self.clients[index].standing else { return };
        let link = &mut self.links.get_mut(&id).expect("a served client's connection").1;
        if link.applying || !link.is_free() {
            return;
        }
        self.clients[index].standing = Standing::Idle;
        if !link.model.is_tainted() && link.cancels == 0 {
            self.give_back(id);
        } else {
            link.phase = Phase::Cleaning;
        }
        self.digest(index);
    }

    fn give_back(&mut self, id: ConnId) {
        let link = &mut self.links.get_mut(&id).expect("a connection").1;
        link.phase = Phase::Idle;
        link.check_rest();
        self.tell(Event::Returned { conn: id, reuse: true });
    }

    /// Closes a connection that nobody may use again.
    pub fn discard(&mut self, id: ConnId) {
        self.links.get_mut(&id).expect("a connection").1.phase = Phase::Closing;
        self.tell(Event::Returned { conn: id, reuse: false });
    }

    fn feed(&mut self, id: ConnId) {
        let count = self.piece();
        self.links.get_mut(&id).expect("a connection").1.feed(count);
    }

    fn drain(&mut self, id: ConnId) {
        let count = self.piece();
        let link = &mut self.links.get_mut(&id).expect("a connection").1;
        let holder = match link.phase {
            Phase::Held(index) => Some(index),
            Phase::Cleaning | Phase::Idle => None,
            Phase::Opening | Phase::Closing => return,
        };
        let mut to_client = Vec::new();
        let session =
            holder.filter(|_| !link.applying).map(|index| &mut self.clients[index].session);
        if link.drain(count, session, &mut to_client).is_err() {
            assert!(link.orphan, "a server that nobody left in the lurch is confused");
            return self.discard(id);
        }
        let Some(index) = holder else { return };
        self.clients[index].receive(&to_client);
        if self.settle(index, id) {
            self.digest(index);
            self.release(index);
        }
    }

    /// The client's settings went through, or it is sent away (I3b).
    fn settle(&mut self, index: usize, id: ConnId) -> bool {
        let link = &mut self.links.get_mut(&id).expect("a connection").1;
        if !link.applying {
            return true;
        }
        if !link.model.is_quiet() {
            return false;
        }
        link.applying = false;
        if link.model.injected().is_ok() {
            link.model.set_applied(&self.clients[index].session.wanted);
            return true;
        }
        self.counts.refused += 1;
        self.clients[index] = self.newcomer();
        self.links.get_mut(&id).expect("a connection").1.phase = Phase::Cleaning;
        false
    }

    /// Whatever a connection waits for comes about.
    fn advance(&mut self, id: ConnId) {
        let link = &mut self.links.get_mut(&id).expect("a connection").1;
        match link.phase {
            Phase::Opening if !self.calm && self.random.one_in(6) => self.fail_login(id),
            Phase::Opening => {
                link.phase = Phase::Idle;
                self.counts.opened += 1;
                self.tell(Event::Opened { conn: id });
            }
            Phase::Closing => {
                self.links.remove(&id);
                self.tell(Event::Closed { conn: id });
            }
            Phase::Cleaning => match link.clean() {
                Fit::Yes => self.give_back(id),
                Fit::Never => self.discard(id),
                Fit::NotYet => self.confirm(id),
            },
            Phase::Held(_) => self.confirm(id),
            Phase::Idle => {}
        }
    }

    fn fail_login(&mut self, id: ConnId) {
        self.links.remove(&id);
        let retry = self.random.one_in(2);
        self.counts.faults += 1;
        self.tell(Event::OpenFailed { conn: id, retry, reason: "no".to_owned() });
    }

    /// Postgres has closed a cancel's connection.
    fn confirm(&mut self, id: ConnId) {
        let link = &mut self.links.get_mut(&id).expect("a connection").1;
        link.cancels = link.cancels.saturating_sub(1);
    }

    fn pass_time(&mut self) {
        let due = self.pools.next_deadline();
        self.now += Duration::from_millis(self.random.below(40) as u64);
        if let Some(due) = due.filter(|_| self.random.one_in(4)) {
            self.now = self.now.max(due);
        }
        if due.is_some_and(|due| due <= self.now) {
            self.tell(Event::Timer);
        }
    }

    /// Gives an event to the pools and carries out what they say.
    pub fn tell(&mut self, event: Event) {
        let mut effects = std::mem::take(&mut self.effects);
        self.pools.handle(self.now, event, &mut effects);
        let orders: Vec<Effect> = std::mem::take(&mut effects);
        self.effects = effects;
        for effect in orders {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Open { conn, pool } => {
                assert!(self.links.len() < self.cap as usize, "opened beyond the cap (B)");
                self.links.insert(conn, (pool, Link::new(1 + self.random.below(3))));
            }
            Effect::Assign { client, conn } => self.assign(client.0 as usize, conn),
            Effect::Close { conn, .. } => {
                let link = &mut self.links.get_mut(&conn).expect("a connection to close").1;
                assert_eq!(link.phase, Phase::Idle, "closed in somebody's hands");
                link.phase = Phase::Closing;
            }
            Effect::Refuse { client, .. } => {
                self.counts.refused += 1;
                self.clients[client.0 as usize] = self.newcomer();
            }
        }
    }

    fn assign(&mut self, index: usize, id: ConnId) {
        let (pool, link) = self.links.get_mut(&id).expect("a connection to assign");
        let client = &mut self.clients[index];
        assert_eq!(client.standing, Standing::Waiting, "assigned to one who does not wait");
        assert_eq!(*pool, client.pool, "assigned across pools (I9)");
        assert_eq!(link.phase, Phase::Idle, "assigned in somebody's hands");
        link.check_rest();
        link.phase = Phase::Held(index);
        link.model.begin_stay(false);
        link.apply(&client.session.wanted);
        client.standing = Standing::Served(id);
        self.counts.assigned += 1;
        self.digest(index);
    }

    /// A client that has just come.
    pub fn newcomer(&mut self) -> Client {
        self.last_mark += 1;
        self.counts.clients += 1;
        let startup: &[(&str, &str)] = match self.random.below(if self.calm { 6 } else { 8 }) {
            0..=3 => &[],
            4..=5 => &[("TimeZone", "Asia/Tokyo")],
            6 => &[("application_name", "mine")],
            // The server knows no such parameter.
            _ => &[("nonsense", "1")],
        };
        let wanted = Wanted::new(startup.iter().copied()).expect("names of settings");
        let pool = PoolId(self.random.below(POOLS as usize) as u32);
        let session = Session::new(pool.0, wanted, Rc::clone(&self.known));
        let units = if self.calm { 0 } else { 2 + self.random.below(6) };
        Client::new(session, pool, self.last_mark, units)
    }

    /// The client has asked for a cancel while it waits.
    pub fn refuse(&mut self, index: usize) {
        self.tell(Event::Abandon { client: ClientId(index as u32) });
        let client = &mut self.clients[index];
        client.standing = Standing::Idle;
        let error = ErrorFields { severity: "ERROR", sqlstate: "57014", ..ErrorFields::default() };
        let mut out = Output::default();
        client.session.refuse_request(&client.input, &error, &mut out);
        client.receive(&out.to_client);
        self.digest(index);
    }

    /// More is never open than was ever allowed to be (B).
    fn check(&mut self) {
        let open = self.links.len() as u32;
        self.allowed = self.cap.max(self.allowed.min(open));
        assert!(open <= self.allowed, "{open} are open, {} are allowed", self.allowed);
        if self.counts.steps.is_multiple_of(CHECK_EVERY) {
            self.pools.check();
            for (index, client) in self.clients.iter().enumerate() {
                if let Standing::Served(id) = client.standing {
                    assert_eq!(self.links[&id].1.phase, Phase::Held(index), "two have one");
                }
            }
        }
    }
}
