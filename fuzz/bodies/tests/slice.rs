//! Each target for a moment: all committed inputs, and the same few thousand made from them each time.
//! `make fuzz` does it for as long as you like.

use std::fs;
use std::path::Path;

use poolwright_fuzz_bodies::{MAX_LENGTH, TARGETS, run};

#[path = "../src/mutate.rs"]
mod mutate;

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(target);
    let files = fs::read_dir(&folder).expect("a folder of inputs");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

#[test]
fn every_committed_input_is_survived() {
    for (target, _) in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{target} has no inputs");
        inputs.iter().for_each(|input| run(target, input));
    }
}

#[test]
fn inputs_made_from_them_are_survived() {
    for (target, _) in TARGETS {
        let mut mutator = mutate::Mutator::new(1, inputs(target));
        (0..2000).for_each(|_| run(target, &mutator.next(MAX_LENGTH)));
    }
}
