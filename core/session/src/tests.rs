//! What the crate promises, against a fake PostgreSQL, by random scripts.

mod differential;
mod direct;
mod fake;
mod script;
mod world;
