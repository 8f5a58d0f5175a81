//! Tests of the settings through the crate's public door.

mod changes;
mod hints;
mod pgbouncer;
mod problems;
mod properties;
mod reference;
mod resolved;
mod table;
