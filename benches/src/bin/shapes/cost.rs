//! What a process has used, as the kernel counts it, and how much of the machine went elsewhere.
//! Never samples: each figure is a difference of counters.

use std::fs;

/// CPU time of the threads of a process in nanoseconds, and its context switches.
#[derive(Clone, Debug, Default)]
pub struct Used {
    pub threads: Vec<u64>,
    pub switches: u64,
}

impl Used {
    pub fn by(id: u32) -> Used {
        let mut used = Used::default();
        let mut threads: Vec<_> =
            fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten().collect();
        threads.sort_by_key(|thread| thread.file_name());
        for thread in threads {
            let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            let nanoseconds = read("schedstat");
            let nanoseconds = nanoseconds.split(' ').next().and_then(|text| text.parse().ok());
            used.threads.push(nanoseconds.unwrap_or(0));
            used.switches += switches(&read("status"));
        }
        used
    }

    /// The threads must be the same ones: subjects start all of theirs before they listen.
    pub fn since(&self, before: &Used) -> Used {
        let threads = self.threads.iter().zip(&before.threads);
        Used {
            threads: threads.map(|(after, before)| after - before).collect(),
            switches: self.switches - before.switches,
        }
    }

    pub fn cpu_us(&self) -> f64 {
        self.threads.iter().sum::<u64>() as f64 / 1_000.0
    }

    /// The part of the thread that had most to do.
    pub fn busiest(&self) -> f64 {
        let most = self.threads.iter().max().copied().unwrap_or(0);
        most as f64 / 1_000.0 / self.cpu_us().max(1.0)
    }
}

fn switches(status: &str) -> u64 {
    let lines = status.lines().filter(|line| line.contains("voluntary_ctxt_switches:"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

/// Clock ticks of the whole machine that were not idle, and those of these processes with their
/// children, living and ended.
pub fn ticks(families: &[u32]) -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let all: Vec<u64> = first.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user. Interrupts belong
    // to nobody: on the loopback they are our own traffic's.
    let busy = [0, 1, 2, 7].iter().filter_map(|place| all.get(*place)).sum();
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    (busy, ids.map(|id| of_families(id, families)).sum())
}

fn of_families(id: u32, families: &[u32]) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces; the fields are counted behind it.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = rest.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
    let [_, parent, _, _, _, _, _, _, _, _, _, user, system, gone_user, gone_system, ..] =
        fields[..]
    else {
        return 0;
    };
    let head = families.contains(&id);
    let child = families.iter().any(|family| u64::from(*family) == parent);
    let own = if head || child { user + system } else { 0 };
    own + if head { gone_user + gone_system } else { 0 }
}
