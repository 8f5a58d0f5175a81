//! CPU time, context switches and memory of processes, as the kernel counts them in /proc.
//! Never samples: each figure is a difference of counters.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Nanoseconds in one tick of the counters in /proc; USER_HZ is 100 on every Linux port.
pub const TICK_NS: u64 = 10_000_000;

/// What some processes, with all that they started, have used so far.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// User and system time of all threads, in nanoseconds.
    pub cpu_ns: u64,
    /// Voluntary and other context switches of all threads.
    pub switches: u64,
    /// The time of each thread that lives, by its id.
    threads: BTreeMap<u32, u64>,
}

impl Used {
    /// By these processes and their descendants; nothing if they are gone.
    pub fn by(ids: &[u32]) -> Used {
        let mut used = Used::default();
        for id in family(ids) {
            used.add(id);
        }
        used
    }

    fn add(&mut self, id: u32) {
        let Some(stat) = Stat::of(id) else { return };
        let mut living = 0;
        for thread in numbers_in(&format!("/proc/{id}/task")) {
            let place = format!("/proc/{id}/task/{thread}");
            let spent = first_number(&format!("{place}/schedstat"));
            living += spent;
            self.threads.insert(thread, spent);
            self.switches += switches(&format!("{place}/status"));
        }
        // Exact to the nanosecond, but without the threads that have ended; ticks have those too.
        self.cpu_ns += living.max(stat.own_ns.saturating_sub(2 * TICK_NS));
        self.cpu_ns += stat.ended_children_ns;
    }

    pub fn since(&self, before: &Used) -> Used {
        let earlier = |thread| before.threads.get(thread).copied().unwrap_or(0);
        let threads = self.threads.iter();
        Used {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            switches: self.switches.saturating_sub(before.switches),
            threads: threads.map(|(id, ns)| (*id, ns.saturating_sub(earlier(id)))).collect(),
        }
    }

    /// Names of the busiest threads that still live, and their parts of the whole in per cent.
    pub fn split(&self) -> String {
        let all = self.threads.values().sum::<u64>().max(1);
        let mut threads: Vec<_> = self.threads.iter().collect();
        threads.sort_unstable_by_key(|(_, spent)| std::cmp::Reverse(**spent));
        let part = |(id, spent): (&u32, &u64)| {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            format!("{} {:.0} %", name.trim(), *spent as f64 * 100.0 / all as f64)
        };
        threads.into_iter().take(4).map(part).collect::<Vec<_>>().join(", ")
    }

    /// The part of the work of the `count` busiest threads that the busiest of them did.
    pub fn busiest_share(&self, count: usize) -> f64 {
        let mut spent: Vec<u64> = self.threads.values().copied().collect();
        spent.sort_unstable_by(|left, right| right.cmp(left));
        spent.truncate(count);
        let all: u64 = spent.iter().sum();
        spent.first().map_or(0.0, |first| *first as f64 / all.max(1) as f64)
    }
}

/// Resident memory of these processes and their descendants, in KiB.
pub fn resident_kib(ids: &[u32]) -> u64 {
    let of = |id| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        number_after(&status, "VmRSS:")
    };
    family(ids).into_iter().map(of).sum()
}

/// Files and sockets that these processes hold.
pub fn open_files(ids: &[u32]) -> usize {
    ids.iter().map(|id| numbers_in(&format!("/proc/{id}/fd")).len()).sum()
}

/// These processes and all that descend from them.
fn family(ids: &[u32]) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for id in numbers_in("/proc") {
        if let Some(stat) = Stat::of(id) {
            children.entry(stat.parent).or_default().push(id);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = ids.to_vec();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(children.get(&id).into_iter().flatten());
        }
    }
    found
}

struct Stat {
    parent: u32,
    own_ns: u64,
    ended_children_ns: u64,
}

impl Stat {
    fn of(id: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in parentheses may hold spaces; the fields are counted behind it.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok());
        Some(Stat {
            parent: fields.get(1)?.parse().ok()?,
            own_ns: (ticks(11)? + ticks(12)?) * TICK_NS,
            ended_children_ns: (ticks(13)? + ticks(14)?) * TICK_NS,
        })
    }
}

fn switches(file: &str) -> u64 {
    let status = fs::read_to_string(file).unwrap_or_default();
    number_after(&status, "voluntary_ctxt_switches:")
        + number_after(&status, "nonvoluntary_ctxt_switches:")
}

fn numbers_in(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn first_number(file: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn number_after(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() {
        let sum = (0..5_000_000u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        std::hint::black_box(sum);
    }

    #[test]
    fn work_of_this_process_is_seen_in_its_own_counters() {
        let own = [std::process::id()];
        let before = Used::by(&own);
        while Used::by(&own).since(&before).cpu_ns < 50_000_000 {
            work();
        }
        assert!(resident_kib(&own) > 0);
    }

    #[test]
    fn a_thread_that_has_ended_still_counts() {
        let own = [std::process::id()];
        let before = Used::by(&own);
        while Used::by(&own).since(&before).cpu_ns < 200_000_000 {
            std::thread::spawn(work).join().unwrap();
        }
    }

    #[test]
    fn the_busiest_of_two_equal_threads_did_half() {
        let threads = [(1, 40), (2, 40), (3, 1)].into();
        assert_eq!(Used { threads, ..Used::default() }.busiest_share(2), 0.5);
        assert_eq!(Used::default().busiest_share(2), 0.0);
    }
}
