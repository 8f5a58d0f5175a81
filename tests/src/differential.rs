//! Clients through the pooler must see what they see straight on PostgreSQL. A seed makes a script
//! (`script`, `chance`, `cells`); the script runs on a server of its own for each client, which says what
//! to expect (`direct`), then through the pooler, clients interleaved at message grain (`pooled`);
//! what may differ is listed in one place (`words`). A script that fails is made smaller (`shrink`).
//! It never takes a wrong row for late: every row carries its client's mark.

pub mod bites;
pub mod cells;
pub mod chance;
pub mod direct;
pub mod line;
pub mod pooled;
pub mod script;
pub mod shrink;
pub mod stage;
pub mod table;
pub mod trials;
pub mod words;

pub use stage::{Stage, Worker};
