//! The operator's plan against everything that may happen around it, in random orders: a
//! StatefulSet controller that lags, pods that read their settings late, users who change
//! their minds. What must hold: all pods together never hold more than the budget, somebody
//! serves through every roll, and all comes to rest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use poolwright_budget::Bounds;

use crate::{
    live::Live,
    roll::{self, Phase},
    size::size,
    testing,
    validate::{Database, Validated},
};

#[derive(Clone, Debug)]
struct SimulatedPod {
    uid: u32,
    ordinal: u32,
    template: u32,
    ready: bool,
    ending: bool,
    /// Connections that it may hold: what its settings said when it last read them.
    held: u32,
}

/// The cluster around one PoolerCluster.
#[derive(Clone, Debug)]
struct World {
    // what the user asked for
    replicas: u32,
    max: u32,
    budget: u32,
    template: u32,
    // what the operator wrote
    settings: u32,
    shares: u32,
    set: Option<(u32, u32)>,
    generation: i64,
    // what the StatefulSet's controller has seen, and made
    seen: u32,
    observed: i64,
    pods: Vec<SimulatedPod>,
    /// Pods that were ever made.
    made: u32,
}

/// What one reconcile read: it writes later, from this.
struct Snapshot {
    checked: Validated,
    live: Live,
    last: u32,
    template: u32,
}

impl World {
    fn new(replicas: u32, max: u32, budget: u32) -> World {
        World {
            replicas,
            max,
            budget,
            template: 0,
            settings: 0,
            shares: 0,
            set: None,
            generation: 0,
            seen: 0,
            observed: 0,
            pods: Vec::new(),
            made: 0,
        }
    }

    fn read(&self) -> Snapshot {
        let checked = Validated {
            replicas: self.replicas,
            max_replicas: self.max,
            budget: self.budget,
            bounds: Bounds::NONE,
            databases: vec![Database { name: "a".into(), tenants: 1000 }],
            ..testing::validated()
        };
        Snapshot { checked, live: self.live(), last: self.shares, template: self.template }
    }

    fn live(&self) -> Live {
        let Some((replicas, template)) = self.set else { return Live::default() };
        let names: Vec<_> = self.pods.iter().map(|pod| format!("w-{}", pod.ordinal)).collect();
        let hashes: Vec<_> = self.pods.iter().map(|pod| pod.template.to_string()).collect();
        let pods = names.iter().zip(&hashes).zip(&self.pods);
        let states: Vec<_> =
            pods.map(|((name, hash), pod)| (name.as_str(), hash.as_str(), pod.ready)).collect();
        let mut live = testing::live_of(&template.to_string(), &states);
        for (pod, simulated) in live.pods.iter_mut().zip(&self.pods) {
            pod.metadata.uid = Some(simulated.uid.to_string());
            pod.metadata.deletion_timestamp = simulated.ending.then(|| Time(testing::now()));
        }
        testing::set_replicas(&mut live, i32::try_from(replicas).unwrap());
        let set = live.stateful_set.as_mut().unwrap();
        set.metadata.generation = Some(self.generation);
        set.status.as_mut().unwrap().observed_generation = Some(self.observed);
        live
    }

    /// The second half of a reconcile: what apply and status would write.
    fn write(&mut self, read: &Snapshot) -> Phase {
        let Snapshot { checked, live, last, template } = read;
        let plan = size(checked, live, *last).unwrap();
        let wanted = checked.replicas.min(checked.max_replicas);
        let roll = roll::plan(live, &template.to_string(), wanted, checked.max_replicas);
        self.settings = plan.per_pod;
        if self.set != Some((roll.replicas, *template)) {
            self.set = Some((roll.replicas, *template));
            self.generation += 1;
        }
        let doomed = roll.delete.and_then(|doomed| doomed.uid);
        for pod in self.pods.iter_mut().filter(|pod| Some(pod.uid.to_string()) == doomed) {
            pod.ending = true;
        }
        self.shares = plan.shares;
        roll.phase
    }

    fn observe(&mut self) {
        self.seen = self.set.map_or(0, |(replicas, _)| replicas);
        self.observed = self.generation;
    }

    /// The StatefulSet's controller acts on what it has seen, which may be old.
    fn make_or_end_pods(&mut self) {
        let Some((_, template)) = self.set else { return };
        for ordinal in 0..self.seen {
            if !self.pods.iter().any(|pod| pod.ordinal == ordinal) {
                let (uid, ready, ending, held) = (self.made, false, false, self.settings);
                self.made += 1;
                self.pods.push(SimulatedPod { uid, ordinal, template, ready, ending, held });
            }
        }
        for pod in self.pods.iter_mut().filter(|pod| pod.ordinal >= self.seen) {
            pod.ending = true;
        }
    }

    fn end_pods(&mut self) {
        self.pods.retain(|pod| !pod.ending);
    }

    #[track_caller]
    fn check_budget(&self) {
        let held: u32 = self.pods.iter().map(|pod| pod.held).sum();
        assert!(held <= self.budget, "{held} held: {self:#?}");
    }

    fn serving(&self) -> u32 {
        let serving = self.pods.iter().filter(|pod| pod.ready && !pod.ending).count();
        u32::try_from(serving).unwrap()
    }

    /// Everybody gets a turn until nothing is left to do.
    #[track_caller]
    fn settle(&mut self, mut check: impl FnMut(&World)) {
        for _ in 0..100 {
            let read = self.read();
            let phase = self.write(&read);
            check(self);
            if phase == Phase::Settled {
                return;
            }
            self.observe();
            self.make_or_end_pods();
            check(self);
            self.end_pods();
            self.make_or_end_pods();
            self.pods.iter_mut().for_each(|pod| pod.ready = true);
            check(self);
        }
        panic!("does not come to rest: {self:#?}");
    }
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(bound)).unwrap()
    }
}

fn happen(world: &mut World, read: &mut Option<Snapshot>, random: &mut Random) {
    let count = u32::try_from(world.pods.len()).unwrap().max(1);
    let any = random.below(count) as usize;
    match random.below(12) {
        0..3 => match read.take() {
            Some(snapshot) => drop(world.write(&snapshot)),
            None => *read = Some(world.read()),
        },
        3 => world.observe(),
        4 => world.make_or_end_pods(),
        5 => world.end_pods(),
        6 | 7 => {
            let settings = world.settings;
            world.pods.get_mut(any).into_iter().for_each(|pod| pod.held = settings);
        }
        8 => world.pods.get_mut(any).into_iter().for_each(|pod| pod.ready = !pod.ready),
        9 => world.replicas = random.below(7),
        10 => match random.below(4) {
            0 => world.max = (world.max - 1).max(1),
            1 => world.budget += random.below(9),
            _ => (),
        },
        _ => world.template += random.below(2),
    }
}

#[test]
fn all_pods_together_never_hold_more_than_the_budget() {
    for seed in 1..=1000 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let max = 1 + random.below(6);
        let mut world = World::new(random.below(7), max, max + random.below(50));
        let mut read = None;
        for _ in 0..150 {
            happen(&mut world, &mut read, &mut random);
            world.check_budget();
        }
        world.settle(World::check_budget);
        assert_eq!(world.shares, world.max, "{world:#?}");
    }
}

#[test]
fn somebody_serves_through_every_roll() {
    for wanted in 1..=4 {
        for max in wanted..=5 {
            let mut world = World::new(wanted, max, 50);
            world.settle(|_| ());
            world.template += 1;
            let least = if max == 1 { 0 } else { (wanted - 1).max(1) };
            world.settle(|world| assert!(world.serving() >= least, "{world:#?}"));
            let current = world.pods.iter().filter(|pod| pod.template == world.template).count();
            assert_eq!((world.serving(), current), (wanted, wanted as usize));
        }
    }
}
