//! The sums: tenants → wanted connections → shares under a budget → one pod's part.
//!
//! Integers only, so that every sum comes out the same everywhere. This crate never reads
//! a clock, a file or a socket, and never uses a floating point number.
//!
//! Reading order: [`ratio`] (a decimal in thousandths), [`demand`] (what databases want),
//! [`share`] (max-min fair division), [`plan`](mod@plan) (all of it for one server), [`formula`]
//! (the same in words); [`ledger`] (what each process may hold, as it is written down), [`grants`]
//! (how that changes).

#![forbid(unsafe_code)]

pub mod demand;
pub mod formula;
pub mod grants;
pub mod ledger;
pub mod plan;
pub mod ratio;
pub mod share;

pub use demand::{Bounds, Demand};
pub use grants::next;
pub use ledger::{Entry, Ledger, Who};
pub use plan::{DatabaseShare, Plan, plan};
pub use ratio::{Ratio, RatioError};
