//! CPU time, context switches and memory as the kernel counts them in /proc.
//! Never samples: each figure is a difference of counters.

use std::fs;

/// Microseconds in one tick of the counters in /proc; USER_HZ is 100 on every Linux port.
const TICK_US: u64 = 10_000;

/// What one process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// User and system time of all its threads.
    pub cpu_us: u64,
    /// Voluntary and other context switches of all its threads.
    pub switches: u64,
}

impl Used {
    /// Of the process with this id; nothing if it is gone.
    pub fn by(id: u32) -> Used {
        let cpu_us = stat(id).map_or(0, |stat| stat.own_us);
        Used { cpu_us, switches: switches(id) }
    }

    pub fn since(self, before: Used) -> Used {
        Used {
            cpu_us: self.cpu_us.saturating_sub(before.cpu_us),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}

/// Resident memory of a process, in KiB.
pub fn resident_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    number_after(&status, "VmRSS:")
}

/// CPU time of the whole machine that was not idle, in microseconds.
pub fn machine_us() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|place| ticks.get(*place)).sum::<u64>();
    busy * TICK_US
}

/// CPU time of a process, its children and those of its children that have ended, in microseconds.
pub fn family_us(id: u32) -> u64 {
    let children = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = children.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let living = ids.filter_map(stat).filter(|stat| stat.parent == id).map(|stat| stat.own_us);
    let own = stat(id).map_or(0, |stat| stat.own_us + stat.ended_children_us);
    own + living.sum::<u64>()
}

struct Stat {
    parent: u32,
    own_us: u64,
    ended_children_us: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold spaces; the fields are counted behind it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok());
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own_us: (ticks(11)? + ticks(12)?) * TICK_US,
        ended_children_us: (ticks(13)? + ticks(14)?) * TICK_US,
    })
}

fn switches(id: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let counts = threads.map(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        number_after(&status, "voluntary_ctxt_switches:")
            + number_after(&status, "nonvoluntary_ctxt_switches:")
    });
    counts.sum()
}

fn number_after(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_is_seen_in_its_own_and_the_machines_counters() {
        let id = std::process::id();
        let (before, machine) = (Used::by(id), machine_us());
        let mut sum = 0u64;
        while Used::by(id).since(before).cpu_us < 50_000 {
            sum = (0..100_000u64).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(machine_us() > machine);
        assert!(family_us(id) >= Used::by(id).since(before).cpu_us);
        assert!(resident_kib(id) > 0);
    }
}
