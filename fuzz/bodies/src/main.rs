//! Fuzzes one target on stable Rust, without coverage and without a sanitizer: inputs of its folder,
//! changed at random. It finds crashes, inputs that take longer than a second, and memory that grows.
//!
//!     poolwright-fuzz-bodies TARGET SECONDS FOLDER… [SEED]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use poolwright_fuzz_bodies::{MAX_LENGTH, TARGETS, run};

mod mutate;

/// One input may take so long.
const SLOW: Duration = Duration::from_secs(1);
/// The process may grow by so much after its first inputs, in KiB.
const GROWTH: u64 = 256 * 1024;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().unwrap_or_default();
    let seconds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let folders: Vec<String> = arguments.collect();
    if !TARGETS.iter().any(|(name, _)| *name == target) {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("no target {target:?}: expected one of {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let seed = std::process::id().into();
    let corpus: Vec<Vec<u8>> = folders.iter().flat_map(|folder| inputs(folder.as_ref())).collect();
    let mut mutator = mutate::Mutator::new(seed, corpus);
    let started = Instant::now();
    let mut runs = 0_u64;
    let mut first_memory = 0;
    while started.elapsed() < Duration::from_secs(seconds) {
        let input = mutator.next(MAX_LENGTH);
        let began = Instant::now();
        let survived = catch_unwind(AssertUnwindSafe(|| run(&target, &input))).is_ok();
        // On a busy machine any input may be slow once.
        let slow = began.elapsed() > SLOW && (0..3).all(|_| takes(&target, &input) > SLOW);
        if !survived || slow {
            return keep(&target, &input, if survived { "slow" } else { "crash" });
        }
        runs += 1;
        if runs.is_multiple_of(4096) {
            let memory = memory();
            first_memory = if first_memory == 0 { memory } else { first_memory };
            if memory > first_memory + GROWTH {
                return keep(&target, &input, "growth");
            }
        }
    }
    println!("{target}: {runs} executions in {seconds} s, seed {seed}, nothing found");
    ExitCode::SUCCESS
}

fn takes(target: &str, input: &[u8]) -> Duration {
    let began = Instant::now();
    let _ = catch_unwind(AssertUnwindSafe(|| run(target, input)));
    began.elapsed()
}

fn inputs(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read(file.path()).ok()).collect()
}

fn keep(target: &str, input: &[u8], what: &str) -> ExitCode {
    let path = std::env::temp_dir().join(format!("{what}-{target}-{}", std::process::id()));
    let kept = fs::write(&path, input);
    println!("{target}: {what}, the input is in {} ({kept:?})", path.display());
    ExitCode::FAILURE
}

/// Resident memory, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
