//! How long the longest tests take: whole, or shorter where `POOLWRIGHT_SHORT=1` asks for it, as
//! `make test` does. Never decides what a test proves, only how often or how long.

/// Whether the longest tests are to be shortened.
pub fn is_short() -> bool {
    std::env::var("POOLWRIGHT_SHORT").is_ok_and(|it| it == "1")
}

/// `whole`, or `short` where that is asked for, which the test's output then says.
pub fn of(what: &str, whole: u32, short: u32) -> u32 {
    if !is_short() {
        return whole;
    }
    println!("    shortened: {short} of {whole} {what}; make cluster has all of them");
    short
}
