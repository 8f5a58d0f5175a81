//! What the crate promises, against a fake PostgreSQL: by random scripts (`differential`), incident
//! by incident (`incidents`), and with bytes that mean nothing (`garbage`).

mod differential;
mod direct;
mod fake;
mod garbage;
mod incidents;
mod pair;
mod script;
mod world;
