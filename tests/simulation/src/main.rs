//! Sessions, pools and fake servers under one fake clock, with seeded faults; what must hold is checked
//! after each step. It has no socket, no thread and no time of its own, so a seed repeats a run.
//!
//!     poolwright-simulation STEPS [SEED]
//!
//! In reading order: what clients send (`script`), a client (`client`), a server connection (`link`),
//! both and the pools in one world (`world`), what goes wrong in it (`faults`).

mod client;
#[allow(dead_code, reason = "it is a link to the fake server of core/session's own tests")]
mod fake;
mod faults;
mod link;
mod script;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use world::World;

/// Steps of one world, after which all that was begun must end.
const EPISODE: u64 = 20_000;

fn main() -> ExitCode {
    #[cfg(feature = "mutations")]
    if let Ok(name) = std::env::var("POOLWRIGHT_MUTATION") {
        poolwright_session::mutation::choose(name.parse().expect("POOLWRIGHT_MUTATION"));
    }
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let steps = arguments.next().and_then(Result::ok).unwrap_or(1_000_000);
    let first = arguments.next().and_then(Result::ok).unwrap_or(1);
    let mut total = world::Counts::default();
    for seed in first..first + steps.div_ceil(EPISODE) {
        let mut world = World::new(seed);
        let lived = catch_unwind(AssertUnwindSafe(|| world.live(EPISODE)));
        if lived.is_err() {
            println!("seed {seed}, step {}: see above", world.counts.steps);
            println!("again: poolwright-simulation {EPISODE} {seed}");
            return ExitCode::FAILURE;
        }
        total.add(&world.counts);
    }
    println!("{total} from seed {first}");
    ExitCode::SUCCESS
}
