//! See `poolwright_fuzz_bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| poolwright_fuzz_bodies::run("messages", bytes));
