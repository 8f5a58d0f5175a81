//! What the process costs, from /proc, under the names that Prometheus users know.

use std::fs;

/// Linux counts processor time in hundredths of a second and says so to every program.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory and processor time of this process; what cannot be read is left out.
pub fn text() -> String {
    let memory = fs::read_to_string("/proc/self/status").ok().and_then(|text| resident(&text));
    let time = fs::read_to_string("/proc/self/stat").ok().and_then(|text| ticks(&text));
    let memory = memory.map(|bytes| {
        let name = "process_resident_memory_bytes";
        format!("# HELP {name} Memory that is in use.\n# TYPE {name} gauge\n{name} {bytes}\n")
    });
    let time = time.map(|ticks| {
        let name = "process_cpu_seconds_total";
        let seconds = ticks / TICKS_PER_SECOND;
        format!("# HELP {name} Processor time.\n# TYPE {name} counter\n{name} {seconds}\n")
    });
    memory.into_iter().chain(time).collect()
}

/// Bytes, from /proc/self/status.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Of user and system together, from /proc/self/stat. The second field may hold anything, in
/// parentheses.
fn ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_read() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t  2048 kB\n"), Some(2 * 1024 * 1024));
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0";
        assert_eq!(ticks(stat), Some(300.0));
        assert!(text().contains("process_cpu_seconds_total"));
    }
}
