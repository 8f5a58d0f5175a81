//! What else this machine did meanwhile: work of others, time taken away by whoever runs it.
//! Never decides what is too much; `result` does.

use std::fs;

use crate::cpu::{TICK_NS, Used};

/// Counters of the whole machine, and what of them is ours.
pub struct Machine {
    busy_ns: u64,
    stolen_ns: u64,
    all_ns: u64,
    ours_ns: u64,
    throttled: u64,
}

/// What disturbed a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disturbance {
    /// Part of the machine's CPU that programs had that are not ours.
    pub foreign: f64,
    /// Part that the machine was not given.
    pub stolen: f64,
    /// How often the control group was throttled.
    pub throttled: u64,
}

impl Machine {
    /// Reads them; all processes below these are ours.
    pub fn read(ours: &[u32]) -> Machine {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            first.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is part of user. Interrupts
        // belong to nobody: on the loopback they are our own traffic's.
        let sum = |places: &[usize]| -> u64 {
            places.iter().filter_map(|place| ticks.get(*place)).sum::<u64>() * TICK_NS
        };
        Machine {
            busy_ns: sum(&[0, 1, 2]),
            stolen_ns: sum(&[7]),
            all_ns: sum(&[0, 1, 2, 3, 4, 5, 6, 7]),
            ours_ns: Used::by(ours).cpu_ns,
            throttled: throttled(),
        }
    }

    pub fn since(&self, before: &Machine) -> Disturbance {
        let all = (self.all_ns - before.all_ns).max(1) as f64;
        let ours = self.ours_ns.saturating_sub(before.ours_ns);
        let foreign = (self.busy_ns - before.busy_ns).saturating_sub(ours);
        Disturbance {
            foreign: foreign as f64 / all,
            stolen: self.stolen_ns.saturating_sub(before.stolen_ns) as f64 / all,
            throttled: self.throttled - before.throttled,
        }
    }
}

/// The niceness of this session's processes as a group, if it is not the usual one: the kernel lets
/// groups compete before processes (sched(7), autogroup).
pub fn unusual_niceness() -> Option<i32> {
    niceness_in(&fs::read_to_string("/proc/self/autogroup").unwrap_or_default())
        .filter(|niceness| *niceness != 0)
}

fn niceness_in(text: &str) -> Option<i32> {
    text.split_once(" nice ")?.1.trim().parse().ok()
}

/// How often our control group ran out of its share of CPU, in version 1 and 2 of the interface.
fn throttled() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let places = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_end_matches('/'));
        match controllers {
            "" => Some(format!("/sys/fs/cgroup{path}/cpu.stat")),
            "cpu" | "cpu,cpuacct" => Some(format!("/sys/fs/cgroup/{controllers}{path}/cpu.stat")),
            _ => None,
        }
    });
    places.map(|place| throttled_in(&fs::read_to_string(place).unwrap_or_default())).sum()
}

fn throttled_in(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_not_foreign() {
        let before =
            Machine { busy_ns: 100, stolen_ns: 0, all_ns: 1_000, ours_ns: 50, throttled: 1 };
        let after =
            Machine { busy_ns: 500, stolen_ns: 20, all_ns: 2_000, ours_ns: 350, throttled: 3 };
        let disturbance = after.since(&before);
        assert_eq!(disturbance.foreign, 0.1);
        assert_eq!(disturbance.stolen, 0.02);
        assert_eq!(disturbance.throttled, 2);
    }

    #[test]
    fn throttling_is_read_from_its_line() {
        assert_eq!(throttled_in("nr_periods 9\nnr_throttled 4\nthrottled_time 1\n"), 4);
        assert_eq!(throttled_in(""), 0);
    }

    #[test]
    fn the_groups_niceness_is_read_where_there_is_one() {
        assert_eq!(niceness_in("/autogroup-77 nice -15\n"), Some(-15));
        assert_eq!(niceness_in(""), None);
    }
}
