//! The table of goals. Ratios are to PgBouncer in the same cell of the same call, unless another
//! base is named. Never loosened here to make a run look better: a missed goal is printed.

use super::Base::{Itself, Subject};
use super::Figure::{Busiest, Cpu, KibEach, P50, P99, P99ToP50, Tps};
use super::Limit::{AtLeast, AtMost};
use super::{Base, Figure, Goal, Limit};

pub const OURS: &str = "poolwright";
const PGBOUNCER: Base = Subject("pgbouncer");
const RELAY: Base = Subject("relay");

const fn goal(
    cell: &'static str,
    subject: &'static str,
    figure: Figure,
    limit: Limit,
    base: Base,
) -> Goal {
    Goal { cell, subject, figure, limit, base }
}

pub const GOALS: &[Goal] = &[
    goal("simple-16", OURS, Cpu, AtMost(0.85), PGBOUNCER),
    goal("simple-16", OURS, Cpu, AtMost(1.05), RELAY),
    goal("simple-64", OURS, Cpu, AtMost(0.75), PGBOUNCER),
    goal("simple-64", OURS, Cpu, AtMost(0.95), RELAY),
    goal("simple-200", OURS, Cpu, AtMost(0.75), PGBOUNCER),
    goal("simple-200", OURS, Cpu, AtMost(0.95), RELAY),
    goal("extended-16", OURS, Cpu, AtMost(0.85), PGBOUNCER),
    goal("extended-16", OURS, Cpu, AtMost(1.05), RELAY),
    goal("extended-64", OURS, Cpu, AtMost(0.75), PGBOUNCER),
    goal("extended-64", OURS, Cpu, AtMost(0.95), RELAY),
    goal("extended-200", OURS, Cpu, AtMost(0.75), PGBOUNCER),
    goal("extended-200", OURS, Cpu, AtMost(0.95), RELAY),
    goal("prepared-16", OURS, Cpu, AtMost(0.85), PGBOUNCER),
    goal("prepared-16", OURS, Cpu, AtMost(1.05), RELAY),
    goal("prepared-64", OURS, Cpu, AtMost(0.75), PGBOUNCER),
    goal("prepared-64", OURS, Cpu, AtMost(0.95), RELAY),
    goal("prepared-200", OURS, Cpu, AtMost(0.75), PGBOUNCER),
    goal("prepared-200", OURS, Cpu, AtMost(0.95), RELAY),
    goal("parameters-64", "poolwright own parameters", Cpu, AtMost(1.1), Subject(OURS)),
    goal("ceiling-simple", OURS, Tps, AtLeast(1.2), PGBOUNCER),
    goal("ceiling-prepared", OURS, Tps, AtLeast(1.2), PGBOUNCER),
    goal("latency-1", OURS, P50, AtMost(1.0), PGBOUNCER),
    goal("workers-64", "poolwright 2 workers", Tps, AtLeast(1.0), Subject("pgbouncer 2 processes")),
    goal(
        "workers-200",
        "poolwright 2 workers",
        Tps,
        AtLeast(1.0),
        Subject("pgbouncer 2 processes"),
    ),
    goal("workers-64", "poolwright 2 workers", Cpu, AtMost(1.1), Subject("poolwright 1 worker")),
    goal("workers-200", "poolwright 2 workers", Cpu, AtMost(1.1), Subject("poolwright 1 worker")),
    goal("workers-64", "poolwright 2 workers", Busiest, AtMost(0.55), Itself),
    goal("workers-200", "poolwright 2 workers", Busiest, AtMost(0.55), Itself),
    goal("workers-64", "poolwright 2 workers, 1 database", Busiest, AtMost(0.55), Itself),
    goal("tail-200", OURS, P99ToP50, AtMost(2.0), Itself),
    goal("tail-200", OURS, P99, AtMost(1.0), PGBOUNCER),
    goal("tail-200", OURS, P99, AtMost(1.0), Subject("odyssey")),
    goal("tail-200", OURS, P99, AtMost(1.0), Subject("pgagroal")),
    goal("tail-2000", OURS, P99ToP50, AtMost(2.0), Itself),
    goal("tail-2000", OURS, P99, AtMost(1.0), PGBOUNCER),
    goal("tail-2000", OURS, P99, AtMost(1.0), Subject("odyssey")),
    goal("tail-2000", OURS, P99, AtMost(1.0), Subject("pgagroal")),
    goal("rows", OURS, Cpu, AtMost(0.5), PGBOUNCER),
    goal("rows-tls", OURS, Cpu, AtMost(0.6), PGBOUNCER),
    goal("connect-trust", OURS, Tps, AtLeast(1.5), PGBOUNCER),
    goal("connect-trust", OURS, Cpu, AtMost(0.8), PGBOUNCER),
    goal("connect-scram", OURS, Tps, AtLeast(1.5), PGBOUNCER),
    goal("connect-scram", OURS, Cpu, AtMost(0.8), PGBOUNCER),
    goal("connect-tls", OURS, Tps, AtLeast(1.5), PGBOUNCER),
    goal("connect-tls", OURS, Cpu, AtMost(0.8), PGBOUNCER),
    goal("prepared-tls-64", OURS, Cpu, AtMost(0.85), PGBOUNCER),
    goal("idle", OURS, KibEach, AtMost(2.0), Itself),
    goal("idle", OURS, Tps, AtLeast(0.97), Subject("poolwright alone")),
    goal("idle-tls", OURS, KibEach, AtMost(12.0), Itself),
    goal("idle-tls", OURS, Tps, AtLeast(0.97), Subject("poolwright alone")),
    goal("pools-10000", OURS, Cpu, AtMost(1.05), Subject("poolwright 100 pools")),
    goal("pools-10000", OURS, Cpu, AtMost(0.7), PGBOUNCER),
];
