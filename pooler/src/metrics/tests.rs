//! The text that a scrape gets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Metrics;

/// Reads OpenMetrics text: every sample by its name and labels; the frame is checked on the way.
pub fn samples(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut types = BTreeMap::new();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# TYPE ") {
            let (name, kind) = about.split_once(' ').expect("a name and a type");
            assert!(types.insert(name, kind).is_none(), "{name} is declared twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            let name = series.split('{').next().unwrap_or(series);
            let family = name.strip_suffix("_total").unwrap_or(name);
            let kind = if name == family { "gauge" } else { "counter" };
            assert_eq!(types.get(family), Some(&kind), "{line}");
            let value = value.parse().expect("a number");
            assert!(found.insert(series.to_owned(), value).is_none(), "{series} is there twice");
        }
    }
    found
}

fn counted() -> Metrics {
    let metrics = Metrics::default();
    let cloud = metrics.database("cloud_01");
    cloud.transactions.add(3);
    cloud.queries.add(5);
    cloud.client_wait.add(Duration::from_millis(1500));
    cloud.client_wait.add(Duration::from_millis(250));
    metrics.database("cloud_01").server_connects.add(1);
    cloud.requests_cut.add(2);
    cloud.resets.add(6);
    cloud.pins[3].add(2);
    cloud.pinned.rise();
    (0..11).for_each(|_| cloud.clients_waiting.rise());
    metrics.server_disconnected("lifetime");
    metrics.server_disconnected("lifetime");
    metrics.login_failed("password");
    metrics.settings_rejected.add(4);
    metrics.settings_generation.set(Some(7));
    metrics.accepting.set(true);
    metrics.gauges_from(|gauges| {
        gauges.server_connections.insert(("cloud_01".to_owned(), "idle"), 12);
        gauges.server_connections_max.insert("main".to_owned(), 50);
    });
    metrics
}

#[test]
fn every_count_reaches_the_text_under_its_name() {
    let expect = [
        ("poolwright_accepting", 1.0),
        ("poolwright_client_connections{database=\"cloud_01\",state=\"active\"}", 0.0),
        ("poolwright_client_connections{database=\"cloud_01\",state=\"idle\"}", 0.0),
        ("poolwright_client_connections{database=\"cloud_01\",state=\"waiting\"}", 11.0),
        ("poolwright_client_wait_seconds_total{database=\"cloud_01\"}", 1.75),
        ("poolwright_login_failures_total{reason=\"password\"}", 1.0),
        ("poolwright_pinned_connections{database=\"cloud_01\"}", 1.0),
        ("poolwright_pins_total{database=\"cloud_01\",reason=\"listen\"}", 2.0),
        ("poolwright_queries_total{database=\"cloud_01\"}", 5.0),
        ("poolwright_requests_cut_total{database=\"cloud_01\"}", 2.0),
        ("poolwright_resets_total{database=\"cloud_01\"}", 6.0),
        ("poolwright_server_connections_max{server=\"main\"}", 50.0),
        ("poolwright_server_connections{database=\"cloud_01\",state=\"idle\"}", 12.0),
        ("poolwright_server_connects_total{database=\"cloud_01\"}", 1.0),
        ("poolwright_server_disconnects_total{reason=\"lifetime\"}", 2.0),
        ("poolwright_settings_generation", 7.0),
        ("poolwright_settings_rejected_total", 4.0),
        ("poolwright_transactions_total{database=\"cloud_01\"}", 3.0),
    ];
    let expect: BTreeMap<String, f64> =
        expect.into_iter().map(|(series, value)| (series.to_owned(), value)).collect();
    assert_eq!(samples(&counted().snapshot().text()), expect);
}

#[test]
fn a_process_that_has_counted_nothing_still_answers() {
    let found = samples(&Metrics::default().snapshot().text());
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["poolwright_accepting", "poolwright_settings_rejected_total"]);
}

#[test]
fn a_name_cannot_break_out_of_its_label() {
    let metrics = Metrics::default();
    metrics.database("a\"} 1\nb\\").transactions.add(1);
    let found = samples(&metrics.snapshot().text());
    assert_eq!(found["poolwright_transactions_total{database=\"a\\\"} 1\\nb\\\\\"}"], 1.0);
}

#[test]
fn gauges_are_asked_for_at_each_scrape() {
    let metrics = Metrics::default();
    let asked = std::rc::Rc::new(super::Count::default());
    let count = std::rc::Rc::clone(&asked);
    metrics.gauges_from(move |_| count.add(1));
    metrics.snapshot();
    metrics.snapshot();
    assert_eq!(asked.get(), 2);
}

#[test]
fn every_metric_is_in_the_manual() {
    let manual = include_str!("../../../docs/settings.md");
    for series in samples(&counted().snapshot().text()).keys() {
        let name = series.split('{').next().unwrap_or(series);
        assert!(manual.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn the_parts_of_a_process_add_up() {
    let mut whole = counted().snapshot();
    whole.add(counted().snapshot());
    let twice = samples(&whole.text());
    for (series, count) in samples(&counted().snapshot().text()) {
        let settled = ["poolwright_accepting", "poolwright_settings_generation"];
        let factor = if settled.contains(&series.as_str()) { 1.0 } else { 2.0 };
        assert_eq!(twice[&series], factor * count, "{series}");
    }
}
