//! The counts of one moment and their OpenMetrics text.
//! Never touches the counters that a worker is using.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use poolwright_session::Pins;

use super::{Count, DatabaseCounts, Gauges};

/// A copy of all counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub databases: BTreeMap<String, Counts>,
    pub server_disconnects: BTreeMap<&'static str, u64>,
    pub login_failures: BTreeMap<&'static str, u64>,
    pub settings_rejected: u64,
    pub settings_generation: Option<u64>,
    pub accepting: bool,
    pub gauges: Gauges,
}

/// A copy of one database's counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    transactions: u64,
    queries: u64,
    client_wait_seconds: f64,
    server_connects: u64,
    requests_cut: u64,
    resets: u64,
    /// By reason, where there was one.
    pins: BTreeMap<&'static str, u64>,
}

pub(super) fn copy((name, counts): (&String, &Rc<DatabaseCounts>)) -> (String, Counts) {
    let copied = Counts {
        transactions: counts.transactions.get(),
        queries: counts.queries.get(),
        client_wait_seconds: counts.client_wait.get().as_secs_f64(),
        server_connects: counts.server_connects.get(),
        requests_cut: counts.requests_cut.get(),
        resets: counts.resets.get(),
        pins: Pins::LABELS
            .into_iter()
            .zip(counts.pins.iter().map(Count::get))
            .filter(|(_, count)| *count > 0)
            .collect(),
    };
    (name.clone(), copied)
}

impl Snapshot {
    /// Takes another part of the process in.
    pub fn add(&mut self, other: Snapshot) {
        for (name, counts) in other.databases {
            self.databases.entry(name).or_default().add(counts);
        }
        add_all(&mut self.server_disconnects, other.server_disconnects);
        add_all(&mut self.login_failures, other.login_failures);
        self.settings_rejected += other.settings_rejected;
        self.settings_generation = self.settings_generation.max(other.settings_generation);
        self.accepting |= other.accepting;
        add_all(&mut self.gauges.client_connections, other.gauges.client_connections);
        add_all(&mut self.gauges.pinned_connections, other.gauges.pinned_connections);
        add_all(&mut self.gauges.server_connections, other.gauges.server_connections);
        add_all(&mut self.gauges.server_connections_max, other.gauges.server_connections_max);
        add_all(&mut self.gauges.replication_connections, other.gauges.replication_connections);
    }

    /// OpenMetrics text, ended by its `# EOF`.
    pub fn text(self) -> String {
        let mut registry = Registry::with_prefix("poolwright");
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing to a String does not fail");
        text
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.transactions += other.transactions;
        self.queries += other.queries;
        self.client_wait_seconds += other.client_wait_seconds;
        self.server_connects += other.server_connects;
        self.requests_cut += other.requests_cut;
        self.resets += other.resets;
        add_all(&mut self.pins, other.pins);
    }
}

fn add_all<K: Ord>(to: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(key).or_default() += count;
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut to = Writer(encoder);
        let Self { databases, gauges, .. } = self;
        let Gauges { client_connections, server_connections, .. } = gauges;
        to.states("client_connections", "Clients by state", client_connections)?;
        to.states("server_connections", "Server connections by state", server_connections)?;
        let pinned = "Server connections that a client keeps between its transactions";
        to.gauges("pinned_connections", pinned, "database", &gauges.pinned_connections)?;
        let max = "Server connections this process may hold";
        to.gauges("server_connections_max", max, "server", &gauges.server_connections_max)?;
        let replication = "Replication connections";
        let counts = &gauges.replication_connections;
        to.gauges("replication_connections", replication, "server", counts)?;
        to.databases("transactions", "Transactions ended", databases, |it| it.transactions)?;
        to.databases("queries", "Queries answered", databases, |it| it.queries)?;
        let wait = "Time that clients waited for a server connection";
        to.databases("client_wait_seconds", wait, databases, |it| it.client_wait_seconds)?;
        let connects = "Logins at the server that succeeded";
        to.databases("server_connects", connects, databases, |it| it.server_connects)?;
        let cut = "Requests cut after a byte had been forwarded";
        to.databases("requests_cut", cut, databases, |it| it.requests_cut)?;
        let resets = "Server connections reset by DISCARD ALL";
        to.databases("resets", resets, databases, |it| it.resets)?;
        to.pins("pins", "Clients that kept their server connection, by reason", databases)?;
        let ended = "Server connections ended, by reason";
        to.reasons("server_disconnects", ended, &self.server_disconnects)?;
        let failed = "Client logins that failed, by reason";
        to.reasons("login_failures", failed, &self.login_failures)?;
        let refused = "Changes of the settings files that were refused";
        to.metric("settings_rejected", refused, &ConstCounter::new(self.settings_rejected))?;
        if let Some(generation) = self.settings_generation {
            let about = "Generation of the settings in use";
            to.metric("settings_generation", about, &ConstGauge::new(generation))?;
        }
        let accepting = ConstGauge::new(u64::from(self.accepting));
        to.metric("accepting", "1 while new clients are let in", &accepting)
    }
}

/// Writes whole metrics, each with its rows.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn metric(&mut self, name: &str, about: &str, metric: &impl EncodeMetric) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, about, None, metric.metric_type())?;
        metric.encode(encoder)
    }

    fn family<const N: usize, M: EncodeMetric>(
        &mut self,
        name: &str,
        about: &str,
        rows: impl Iterator<Item = ([(&'static str, String); N], M)>,
    ) -> fmt::Result {
        let mut rows = rows.peekable();
        let Some((_, first)) = rows.peek() else { return Ok(()) };
        let mut encoder = self.0.encode_descriptor(name, about, None, first.metric_type())?;
        for (labels, metric) in rows {
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn databases<N>(
        &mut self,
        name: &str,
        about: &str,
        databases: &BTreeMap<String, Counts>,
        count: impl Fn(&Counts) -> N,
    ) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        let row = |(database, counts): (&String, &Counts)| {
            ([("database", database.clone())], ConstCounter::new(count(counts)))
        };
        self.family(name, about, databases.iter().map(row))
    }

    fn pins(&mut self, name: &str, about: &str, of: &BTreeMap<String, Counts>) -> fmt::Result {
        let rows = of.iter().flat_map(|(database, counts)| {
            counts.pins.iter().map(|(reason, count)| {
                let labels = [("database", database.clone()), ("reason", (*reason).to_owned())];
                (labels, ConstCounter::new(*count))
            })
        });
        self.family(name, about, rows)
    }

    fn states(
        &mut self,
        name: &str,
        about: &str,
        states: &BTreeMap<(String, &'static str), u64>,
    ) -> fmt::Result {
        let row = |((database, state), count): (&(String, &'static str), &u64)| {
            let labels = [("database", database.clone()), ("state", (*state).to_owned())];
            (labels, ConstGauge::new(*count))
        };
        self.family(name, about, states.iter().map(row))
    }

    fn gauges(
        &mut self,
        name: &str,
        about: &str,
        label: &'static str,
        values: &BTreeMap<String, u64>,
    ) -> fmt::Result {
        let row =
            |(value, count): (&String, &u64)| ([(label, value.clone())], ConstGauge::new(*count));
        self.family(name, about, values.iter().map(row))
    }

    fn reasons(
        &mut self,
        name: &str,
        about: &str,
        reasons: &BTreeMap<&'static str, u64>,
    ) -> fmt::Result {
        let row = |(reason, count): (&&'static str, &u64)| {
            ([("reason", (*reason).to_owned())], ConstCounter::new(*count))
        };
        self.family(name, about, reasons.iter().map(row))
    }
}
