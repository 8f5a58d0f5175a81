//! The operator's plan against everything that may happen around it, in random orders: a
//! StatefulSet controller that lags, pods that are told late, users who change their minds. What
//! must hold: all pods together never hold more than the budget, somebody serves through every
//! roll, and all comes to rest. (The ledger alone meets worse: see `poolwright_budget`.)

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use poolwright_budget::{
    Bounds, Entry, Ledger, Plan,
    grants::{self, File, Report, Set, View},
};

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
    /// Connections that it would begin with.
    disk: u32,
    /// What it was granted, and when.
    epoch: u64,
    cap: u32,
}

impl SimulatedPod {
    fn report(&self) -> grants::Pod {
        let SimulatedPod { uid, ordinal, disk, epoch, cap, .. } = *self;
        let process = uid.to_string();
        let report = Report { process, epoch, cap, open: cap, floor: disk, follows_none: false };
        grants::Pod { uid: uid.to_string(), ordinal, ended: false, report: Some(report) }
    }
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
    ledger: Option<Ledger>,
    file: Option<File>,
    set: Option<(u32, u32)>,
    fence: u64,
    generation: i64,
    /// Reconciles that wrote: a plan from before another's fails.
    writes: u32,
    // what the StatefulSet's controller has seen, and made
    seen: u32,
    observed: i64,
    pods: Vec<SimulatedPod>,
    /// Pods that were ever made.
    made: u32,
    /// Uids of pods that ended.
    gone: BTreeSet<String>,
}

/// What one reconcile read: it writes later, from this.
struct Snapshot {
    checked: Validated,
    live: Live,
    template: u32,
    pods: Vec<grants::Pod>,
    set: Option<Set>,
    writes: u32,
}

impl World {
    fn new(replicas: u32, max: u32, budget: u32) -> World {
        World {
            replicas,
            max,
            budget,
            template: 0,
            ledger: None,
            file: None,
            set: None,
            fence: 0,
            generation: 0,
            writes: 0,
            seen: 0,
            observed: 0,
            pods: Vec::new(),
            made: 0,
            gone: BTreeSet::new(),
        }
    }

    fn read(&self) -> Snapshot {
        let checked = Validated {
            replicas: self.replicas,
            max_replicas: self.max,
            budget: self.budget,
            bounds: Bounds::NONE,
            databases: vec![Database { name: "a".into(), tenants: 1000, own: Default::default() }],
            ..testing::validated()
        };
        let (fence, caught_up) = (self.fence, self.observed == self.generation);
        Snapshot {
            checked,
            live: self.live(),
            template: self.template,
            pods: self.pods.iter().map(SimulatedPod::report).collect(),
            set: self.set.map(|(replicas, _)| Set { replicas, fence, caught_up }),
            writes: self.writes,
        }
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

    /// The second half of a reconcile: what is stored, applied and told. `None`: somebody else has
    /// written since.
    fn write(&mut self, read: &Snapshot) -> Option<Phase> {
        if read.writes != self.writes {
            return None;
        }
        let Snapshot { checked, live, template, .. } = read;
        let coming = self.ledger.as_ref().map_or(0, |ledger| ledger.replicas);
        let plan = size(checked, live, coming).unwrap();
        let wanted = checked.replicas.min(checked.max_replicas);
        let roll = roll::plan(live, &template.to_string(), wanted, checked.max_replicas);
        let ledger = self.next(read, &plan, roll.replicas);
        let news = (
            Some(ledger.clone()),
            Some(File { floor: plan.per_pod.min(ledger.floor), fence: ledger.fence }),
            Some((roll.replicas.min(ledger.replicas), *template)),
        );
        let before = (self.ledger.take(), self.file.take(), self.set.take());
        self.writes += u32::from(news != before);
        self.generation += i64::from((news.2, ledger.fence) != (before.2, self.fence));
        self.fence = ledger.fence;
        (self.ledger, self.file, self.set) = news;
        let doomed = roll.delete.and_then(|doomed| doomed.uid);
        for pod in self.pods.iter_mut().filter(|pod| Some(pod.uid.to_string()) == doomed) {
            pod.ending = true;
        }
        Some(roll.phase)
    }

    fn next(&self, read: &Snapshot, plan: &Plan, replicas: u32) -> Ledger {
        let entries = self.ledger.iter().flat_map(|ledger| &ledger.entries);
        let cleared = entries.filter(|it| it.ended).map(Entry::who).collect();
        let view = View {
            total: plan.granted,
            floor: plan.per_pod,
            replicas,
            set: read.set,
            file: self.file,
            pods: &read.pods,
            gone: &self.gone,
            closed: &self.gone,
            cleared: &cleared,
        };
        grants::next(self.ledger.as_ref(), &view)
    }

    /// A pod's volume gets the newest file.
    fn mount(&mut self, index: usize) {
        if let (Some(pod), Some(file)) = (self.pods.get_mut(index), self.file) {
            pod.disk = file.floor;
        }
    }

    /// A pod hears what it was granted.
    fn tell(&mut self, index: usize) {
        let Some((pod, ledger)) = self.pods.get_mut(index).zip(self.ledger.as_ref()) else {
            return;
        };
        let grant = ledger.grant(&pod.uid.to_string(), &pod.uid.to_string());
        if let Some((epoch, cap)) = grant.filter(|(epoch, _)| *epoch > pod.epoch) {
            (pod.epoch, pod.cap) = (epoch, cap);
        }
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
                let floor = self.file.map_or(0, |file| file.floor);
                self.pods.push(SimulatedPod {
                    uid: self.made,
                    ordinal,
                    template,
                    ready: false,
                    ending: false,
                    disk: floor,
                    epoch: 0,
                    cap: floor,
                });
                self.made += 1;
            }
        }
        for pod in self.pods.iter_mut().filter(|pod| pod.ordinal >= self.seen) {
            pod.ending = true;
        }
    }

    fn end_pods(&mut self) {
        let ended = self.pods.extract_if(.., |pod| pod.ending);
        self.gone.extend(ended.map(|pod| pod.uid.to_string()));
    }

    #[track_caller]
    fn check_budget(&self) {
        let held: u32 = self.pods.iter().map(|pod| pod.cap).sum();
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
            let (read, before) = (self.read(), self.writes);
            let phase = self.write(&read);
            check(self);
            if phase == Some(Phase::Settled) && self.writes == before {
                return;
            }
            for index in 0..self.pods.len() {
                self.tell(index);
                self.mount(index);
                check(self);
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
        6 => world.tell(any),
        7 => world.mount(any),
        8 => world.pods.get_mut(any).into_iter().for_each(|pod| pod.ready = !pod.ready),
        9 => world.replicas = random.below(7),
        10 => match random.below(4) {
            0 => world.max = 1 + random.below(6).min(world.budget - 1),
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
        let ledger = world.ledger.as_ref().unwrap();
        assert_eq!(ledger.floor, world.budget / world.max, "{world:#?}");
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
