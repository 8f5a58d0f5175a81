//! Everything that may happen around a ledger, in every order: two operators that both believe to
//! lead and stop anywhere, a StatefulSet controller and volumes that lag, grants that arrive late,
//! processes that end, die, and are started anew.

use std::collections::{BTreeSet, HashSet, VecDeque};

use proptest::prelude::*;

use super::super::*;

/// What a user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Wish {
    total: u32,
    max: u32,
    replicas: u32,
}

/// A stored object, and which write of it this is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stored<T> {
    version: u32,
    value: Option<T>,
}

impl<T> Stored<T> {
    const NONE: Stored<T> = Stored { version: 0, value: None };

    /// Over the version that was read, or not at all.
    fn store(&mut self, read: u32, value: T) -> bool {
        let fits = self.version == read;
        if fits {
            *self = Stored { version: read + 1, value: Some(value) };
        }
        fits
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    pod: u32,
    ordinal: u32,
    number: u32,
    /// The floor in its pod's volume.
    disk: u32,
    epoch: u64,
    cap: u32,
    open: u32,
    ending: bool,
    /// Its pod is no object any more: it was deleted by force.
    hidden: bool,
    /// The operator cannot reach it.
    silent: bool,
}

impl Process {
    fn uid(&self) -> String {
        format!("u{}", self.pod)
    }

    fn name(&self) -> String {
        format!("p{}", self.number)
    }
}

/// Connections that outlived their process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Orphans {
    ordinal: u32,
    pod: u32,
    number: u32,
    open: u32,
}

/// What an operator means to write, and the objects that it has read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Intent {
    ledger: Ledger,
    total: u32,
    floor: u32,
    replicas: u32,
    read: (u32, Stored<File>, Stored<Set>),
}

/// How far an operator has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Operator {
    #[default]
    Idle,
    /// It has read the ledger, and whose connections of those that had ended then were gone.
    Looked(Stored<Ledger>, BTreeSet<Who>),
    Planned(Intent),
    StoredLedger(Intent),
    WroteFile(Intent),
    /// With the processes that it has still to tell.
    Telling(Intent, u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    wish: Wish,
    ledger: Stored<Ledger>,
    file: Stored<File>,
    set: Stored<Set>,
    /// Replicas and version that the StatefulSet's controller has seen.
    seen: (u32, u32),
    processes: Vec<Process>,
    orphans: Vec<Orphans>,
    operators: [Operator; 2],
    made: u32,
    /// Uids of pods that ended.
    gone: BTreeSet<String>,
    /// Those whose only process ended in order.
    closed: BTreeSet<String>,
    /// Those that ended with nobody there to see it.
    unseen: BTreeSet<String>,
    /// The total of the last plan; of one before while more than that is held.
    allowed: u32,
    /// Floors of pods that came while a pod of the same ordinal before them still had connections:
    /// nobody decides that.
    beyond: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Operator(usize),
    /// The operator is started anew.
    Forget(usize),
    /// The StatefulSet's controller sees the newest StatefulSet.
    Observe,
    Make,
    /// A pod's volume gets the newest file.
    Mount(usize),
    End(usize),
    Die(usize),
    /// The pod is deleted by force; its process goes on.
    Hide(usize),
    /// The operator reaches the process no longer, or again.
    Hush(usize),
    /// Pods of which the server showed nothing for long are taken for ended.
    Presume,
    Open(usize),
    Close(usize),
    /// Postgres ends what no process holds.
    Reap,
    Wish(Wish),
}

impl World {
    fn new(wish: Wish) -> World {
        World {
            wish,
            ledger: Stored::NONE,
            file: Stored::NONE,
            set: Stored::NONE,
            seen: (0, 0),
            processes: Vec::new(),
            orphans: Vec::new(),
            operators: [Operator::Idle, Operator::Idle],
            made: 0,
            gone: BTreeSet::new(),
            closed: BTreeSet::new(),
            unseen: BTreeSet::new(),
            allowed: wish.total,
            beyond: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Operator(index) => self.operate(index),
            Step::Forget(index) => self.operators[index] = Operator::Idle,
            Step::Observe => {
                self.seen = (self.set.value.map_or(0, |set| set.replicas), self.set.version);
            }
            Step::Make => self.make(),
            Step::Mount(index) => {
                if let (Some(it), Some(file)) = (self.processes.get_mut(index), self.file.value) {
                    it.disk = file.floor;
                }
            }
            Step::End(index) => self.end(index),
            Step::Die(index) => self.die(index),
            Step::Hide(index) => self.hide(index),
            Step::Hush(index) => {
                self.processes.get_mut(index).into_iter().for_each(|it| it.silent = !it.silent);
            }
            Step::Presume => {
                let ended = std::mem::take(&mut self.unseen);
                self.gone.extend(ended);
            }
            Step::Open(index) => self.open_all(index),
            Step::Close(index) => {
                let process = self.processes.get_mut(index);
                process.into_iter().for_each(|it| it.open = it.open.min(it.cap));
            }
            Step::Reap => self.orphans.clear(),
            Step::Wish(wish) => self.wish = wish,
        }
    }

    fn open(&self) -> u32 {
        let live: u32 = self.processes.iter().map(|it| it.open).sum();
        live + self.orphans.iter().map(|it| it.open).sum::<u32>()
    }

    /// Opens all that a process may; what others of its pod left counts as its own.
    fn open_all(&mut self, index: usize) {
        let Some(it) = self.processes.get(index) else { return };
        let may = it.cap.saturating_sub(self.left(it.pod));
        let it = &mut self.processes[index];
        it.open = it.open.max(may);
    }

    fn left(&self, pod: u32) -> u32 {
        self.orphans.iter().filter(|it| it.pod == pod).map(|it| it.open).sum()
    }

    /// The StatefulSet's controller acts on what it has seen, which may be old.
    fn make(&mut self) {
        let Some(File { floor, .. }) = self.file.value else { return };
        for ordinal in 0..self.seen.0 {
            if !self.processes.iter().any(|it| it.ordinal == ordinal && !it.hidden) {
                self.made += 1;
                let (pod, number) = (self.made, self.made);
                let is_survived = self.processes.iter().any(|it| it.ordinal == ordinal)
                    || self.orphans.iter().any(|it| it.ordinal == ordinal);
                let counted = self.ledger.value.as_ref().map_or(0, |ledger| ledger.floor);
                self.beyond += if is_survived { floor.max(counted) } else { 0 };
                self.processes.push(Process {
                    pod,
                    ordinal,
                    number,
                    disk: floor,
                    epoch: 0,
                    cap: floor,
                    open: 0,
                    ending: false,
                    hidden: false,
                    silent: false,
                });
            }
        }
        let seen = self.seen.0;
        self.processes.iter_mut().filter(|it| it.ordinal >= seen).for_each(|it| it.ending = true);
    }

    /// A process closes what it has and ends, and its pod with it.
    fn end(&mut self, index: usize) {
        if index >= self.processes.len() {
            return;
        }
        let ended = self.processes.remove(index);
        if ended.hidden {
            self.unseen.insert(ended.uid());
            return;
        }
        self.gone.insert(ended.uid());
        if ended.number == ended.pod {
            self.closed.insert(ended.uid());
        }
    }

    /// A pod that no operator has ever seen is not among them: it would be missed by nobody.
    fn hide(&mut self, index: usize) {
        let Some(it) = self.processes.get_mut(index) else { return };
        let mut entries = self.ledger.value.iter().flat_map(|ledger| &ledger.entries);
        it.hidden = entries.any(|entry| entry.pod == it.uid());
    }

    /// A process is killed and started again in its pod.
    fn die(&mut self, index: usize) {
        if let Some(it) = self.processes.get_mut(index) {
            let Process { ordinal, pod, number, open, .. } = *it;
            self.orphans.push(Orphans { ordinal, pod, number, open });
            self.made += 1;
            *it = Process { number: self.made, epoch: 0, cap: it.disk, open: 0, ..it.clone() };
        }
    }

    fn pods(&self) -> Vec<Pod> {
        let pod = |it: &Process| Pod {
            uid: it.uid(),
            ordinal: it.ordinal,
            ended: false,
            report: (!it.silent).then(|| Report {
                process: it.name(),
                epoch: it.epoch,
                cap: it.cap,
                open: it.open,
                floor: it.disk,
                follows_none: self.left(it.pod) == 0,
            }),
        };
        self.processes.iter().filter(|it| !it.hidden).map(pod).collect()
    }

    /// Whose connections a look at the server shows to be gone.
    fn cleared(&self) -> BTreeSet<Who> {
        let has_left = |who: &Who| {
            let may_be = |it: &Orphans| {
                let is_named =
                    who.process.as_ref().is_none_or(|it_is| *it_is == format!("p{}", it.number));
                is_named && who.pod == format!("u{}", it.pod)
            };
            self.orphans.iter().any(may_be)
        };
        let entries = self.ledger.value.iter().flat_map(|ledger| &ledger.entries);
        entries.filter(|it| it.ended).map(Entry::who).filter(|it| !has_left(it)).collect()
    }

    /// One step of an operator, which may be its last for a long time.
    fn operate(&mut self, index: usize) {
        let now = std::mem::take(&mut self.operators[index]);
        self.operators[index] = match now {
            Operator::Idle => Operator::Looked(self.ledger.clone(), self.cleared()),
            Operator::Looked(ledger, cleared) => Operator::Planned(self.plan(ledger, &cleared)),
            Operator::Planned(intent) => self.store_ledger(intent),
            Operator::StoredLedger(intent) => self.write_file(intent),
            Operator::WroteFile(intent) => {
                self.write_set(&intent);
                Operator::Telling(intent, 0)
            }
            Operator::Telling(intent, told) => self.tell(intent, told),
        };
    }

    fn plan(&self, ledger: Stored<Ledger>, cleared: &BTreeSet<Who>) -> Intent {
        let pods = self.pods();
        let mut set = self.set.clone();
        let caught_up = self.seen.1 == set.version;
        set.value = set.value.map(|it| Set { caught_up, ..it });
        let Wish { total, max, replicas } = self.wish;
        let existing = pods.iter().map(|it| it.ordinal + 1).max().unwrap_or(0);
        let coming = ledger.value.as_ref().map_or(0, |it| it.replicas);
        let floor = total / max.max(existing).max(coming);
        let view = View {
            total,
            floor,
            replicas: replicas.min(max),
            set: set.value,
            file: self.file.value,
            pods: &pods,
            gone: &self.gone,
            closed: &self.closed,
            cleared,
        };
        let planned = next(ledger.value.as_ref(), &view);
        let replicas = view.replicas;
        let read = (ledger.version, self.file.clone(), set);
        Intent { ledger: planned, total, floor, replicas, read }
    }

    fn store_ledger(&mut self, intent: Intent) -> Operator {
        let version = intent.read.0;
        let is_stored =
            self.ledger.version == version && self.ledger.value.as_ref() == Some(&intent.ledger);
        if !is_stored {
            if !self.ledger.store(version, intent.ledger.clone()) {
                return Operator::Idle;
            }
            let is_held = intent.ledger.held() > u64::from(intent.total);
            self.allowed = intent.total.max(if is_held { self.allowed } else { 0 });
        }
        Operator::StoredLedger(intent)
    }

    fn write_file(&mut self, intent: Intent) -> Operator {
        let Intent { ledger, floor, .. } = &intent;
        let file = File { floor: ledger.floor.min(*floor), fence: ledger.fence };
        let read = &intent.read.1;
        if read.value != Some(file) && !self.file.store(read.version, file) {
            return Operator::Idle;
        }
        Operator::WroteFile(intent)
    }

    fn write_set(&mut self, intent: &Intent) {
        let Ledger { replicas, fence, .. } = intent.ledger;
        let replicas = replicas.min(intent.replicas);
        let read = &intent.read.2;
        if read.value.is_none_or(|it| (it.replicas, it.fence) != (replicas, fence)) {
            self.set.store(read.version, Set { replicas, fence, caught_up: false });
        }
    }

    fn tell(&mut self, intent: Intent, told: u32) -> Operator {
        let Some(it) = self.processes.get_mut(told as usize) else { return Operator::Idle };
        let grant = intent.ledger.grant(&it.uid(), &it.name());
        let grant = grant.filter(|(epoch, _)| *epoch > it.epoch && !it.hidden && !it.silent);
        if let Some((epoch, cap)) = grant {
            (it.epoch, it.cap) = (epoch, cap);
        }
        Operator::Telling(intent, told + 1)
    }

    #[track_caller]
    fn check(&mut self) {
        if self.orphans.is_empty() && !self.processes.iter().any(|it| it.hidden) {
            self.beyond = 0;
        }
        let allowed = self.allowed + self.beyond;
        assert!(self.open() <= allowed, "{} open of {allowed}: {self:#?}", self.open());
    }

    /// Everybody gets a turn until nothing changes.
    #[track_caller]
    fn settle(&mut self) {
        self.operators = [Operator::Idle, Operator::Idle];
        self.processes.iter_mut().for_each(|it| it.silent = false);
        for _ in 0..60 {
            let state =
                |it: &World| World { gone: BTreeSet::new(), closed: BTreeSet::new(), ..it.clone() };
            let before = state(self);
            for _ in 0..12 {
                self.take_checked(Step::Operator(0));
            }
            self.take(Step::Forget(0));
            for step in [Step::Observe, Step::Make, Step::Reap, Step::Presume] {
                self.take_checked(step);
            }
            for index in (0..self.processes.len()).rev() {
                for step in [Step::Mount(index), Step::Close(index), Step::Open(index)] {
                    self.take_checked(step);
                }
                if self.processes[index].ending || self.processes[index].hidden {
                    self.take_checked(Step::End(index));
                }
            }
            if before == state(self) {
                return;
            }
        }
        panic!("does not come to rest: {self:#?}");
    }

    #[track_caller]
    fn take_checked(&mut self, step: Step) {
        self.take(step);
        self.check();
    }

    /// All of the total is given out, in equal parts, and the floors are as they shall be.
    #[track_caller]
    fn check_rest(&self) {
        let Wish { total, max, replicas } = self.wish;
        let ledger = self.ledger.value.as_ref().unwrap();
        let wanted = replicas.min(max);
        assert_eq!(self.processes.len(), wanted as usize, "{self:#?}");
        assert_eq!(ledger.floor, total / max, "{self:#?}");
        assert!(self.processes.iter().all(|it| it.cap == total / wanted), "{self:#?}");
        assert_eq!(ledger.replicas, wanted, "{self:#?}");
        let acknowledged = |it: &Entry| !it.ended && it.granted == Some(it.held);
        assert!(ledger.entries.iter().all(acknowledged), "{self:#?}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => (0..2_usize).prop_map(Step::Operator),
        1 => (0..2_usize).prop_map(Step::Forget),
        3 => Just(Step::Observe),
        3 => Just(Step::Make),
        2 => (0..4_usize).prop_map(Step::Mount),
        1 => (0..4_usize).prop_map(Step::End),
        1 => (0..4_usize).prop_map(Step::Die),
        1 => (0..4_usize).prop_map(Step::Hide),
        1 => (0..4_usize).prop_map(Step::Hush),
        1 => Just(Step::Presume),
        4 => (0..4_usize).prop_map(Step::Open),
        3 => (0..4_usize).prop_map(Step::Close),
        1 => Just(Step::Reap),
        1 => wish().prop_map(Step::Wish),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    (1..=4_u32).prop_flat_map(|max| {
        (max..max + 20, 1..=max + 1).prop_map(move |(total, replicas)| Wish {
            total,
            max,
            replicas,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_opens_more_than_the_total(
        first in wish(),
        steps in prop::collection::vec(step(), 0..400),
    ) {
        let mut world = World::new(first);
        steps.into_iter().for_each(|step| world.take_checked(step));
        world.settle();
        world.check_rest();
    }
}

/// Visits all states within so many steps of a start, each once; how many there are.
#[track_caller]
fn explore(start: World, steps: &[Step], depth: usize) -> usize {
    let mut known = HashSet::from([start.clone()]);
    let mut front = VecDeque::from([(start, 0)]);
    while let Some((world, at)) = front.pop_front() {
        for &step in steps.iter().filter(|_| at < depth) {
            let mut after = world.clone();
            after.take_checked(step);
            if known.insert(after.clone()) {
                front.push_back((after, at + 1));
            }
        }
    }
    known.len()
}

/// Visits all states around a start.
#[track_caller]
fn check_orders(start: World, steps: &[Step], depth: usize) {
    let states = explore(start, steps, depth);
    println!("{states} states");
    assert!(states > 1000, "{states}");
}

const LEADERS: [Step; 4] = [Step::Operator(0), Step::Operator(1), Step::Observe, Step::Make];
const PROCESSES: [Step; 3] = [Step::Open(0), Step::Open(1), Step::Close(0)];

impl World {
    fn settled(wish: Wish) -> World {
        let mut world = World::new(wish);
        world.settle();
        world
    }

    /// The first leader goes on until it stops at such a point.
    #[track_caller]
    fn pause_where(&mut self, stops: impl Fn(&Operator) -> bool) {
        for _ in 0..100 {
            if stops(&self.operators[0]) {
                return;
            }
            self.take_checked(Step::Operator(0));
            self.take_checked(Step::Close(0));
            self.take_checked(Step::Observe);
        }
        panic!("does not come there: {self:#?}");
    }
}

#[test]
fn every_order_of_a_scale_up_keeps_the_total() {
    let wish = Wish { total: 5, max: 2, replicas: 1 };
    let start = World { wish: Wish { replicas: 2, ..wish }, ..World::settled(wish) };
    check_orders(start, &[&LEADERS[..], &PROCESSES, &[Step::Die(0)]].concat(), 13);
}

#[test]
fn every_order_of_changed_minds_keeps_the_total() {
    let wish = Wish { total: 4, max: 2, replicas: 2 };
    let wishes = [
        Step::Wish(Wish { replicas: 1, ..wish }),
        Step::Wish(wish),
        Step::Wish(Wish { max: 1, replicas: 1, ..wish }),
    ];
    let lives = [Step::Mount(0), Step::End(1)];
    let steps = [&LEADERS[..], &PROCESSES, &wishes, &lives].concat();
    check_orders(World::settled(wish), &steps, 10);
}

#[test]
fn a_leader_that_stopped_before_it_wrote_more_replicas_writes_none_later() {
    let wish = Wish { total: 4, max: 2, replicas: 1 };
    let mut start = World { wish: Wish { replicas: 2, ..wish }, ..World::settled(wish) };
    start.pause_where(|it| matches!(it, Operator::WroteFile(it) if it.ledger.replicas == 2));
    start.wish = wish;
    check_orders(start, &[&LEADERS[..], &PROCESSES].concat(), 18);
}

#[test]
fn a_leader_that_stopped_before_it_wrote_a_higher_floor_writes_none_later() {
    let wish = Wish { total: 4, max: 2, replicas: 1 };
    let mut start = World { wish: Wish { max: 1, ..wish }, ..World::settled(wish) };
    start.pause_where(|it| matches!(it, Operator::StoredLedger(it) if it.ledger.floor == 4));
    start.wish = Wish { replicas: 2, ..wish };
    let steps = [&LEADERS[..], &PROCESSES, &[Step::Die(0)]].concat();
    check_orders(start, &steps, 14);
}

#[test]
fn a_leader_that_stopped_before_it_sent_a_grant_undoes_no_later_one() {
    let wish = Wish { total: 4, max: 2, replicas: 2 };
    let mut start = World { wish: Wish { replicas: 1, ..wish }, ..World::settled(wish) };
    start.take_checked(Step::End(1));
    start
        .pause_where(|it| matches!(it, Operator::Telling(it, 0) if it.ledger.entries[0].held == 4));
    start.wish = wish;
    check_orders(start, &[&LEADERS[..], &PROCESSES, &[Step::Forget(1)]].concat(), 18);
}
