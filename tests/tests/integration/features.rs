//! The table of session features in docs/compatibility.md, row by row: what it says is what happens.

use poolwright_tests::pg::Client;
use poolwright_tests::site::Site;

const MANUAL: &str = include_str!("../../../docs/compatibility.md");

/// A row of the table, and what shows that it is true.
struct Feature {
    name: &'static str,
    does: &'static str,
    shows: Shows,
}

enum Shows {
    /// Asked after another client has had the connection, this is the answer.
    Answer(&'static str, &'static str),
    /// The client is pinned for this reason.
    Pin(&'static str),
    /// This is refused with the code.
    Refusal(&'static str, &'static str),
}

use Shows::{Answer, Pin, Refusal};

const FEATURES: [Feature; 15] = [
    feature("startup parameters, `options=-c …`", "SELECT 1", Answer("SHOW work_mem", "3MB")),
    feature("`SET`, `set_config`", "SET work_mem = '5MB'", Answer("SHOW work_mem", "5MB")),
    feature("`SET search_path`", "SET search_path = a", Answer("SHOW search_path", "a")),
    feature("`SET ROLE`", "SET ROLE carol", Answer("SELECT current_user", "carol")),
    feature("`SET my.var`", "SET my.var = 'a'", Answer("SHOW my.var", "a")),
    feature(
        "`SET SESSION CHARACTERISTICS`",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        Answer("SHOW transaction_read_only", "on"),
    ),
    feature(
        "`RESET`, `SET … TO DEFAULT`, `RESET ALL`, `DISCARD ALL`",
        "SET work_mem = '5MB'; RESET work_mem",
        Answer("SHOW work_mem", "3MB"),
    ),
    feature(
        "`SET SESSION AUTHORIZATION`",
        "SET SESSION AUTHORIZATION carol",
        Pin("session_authorization"),
    ),
    feature(
        "settings that cannot be replayed",
        "SELECT set_config('my.var', repeat('x', 40000), false)",
        Pin("setting"),
    ),
    feature("session advisory locks", "SELECT pg_advisory_lock(1)", Pin("advisory_lock")),
    feature("`LISTEN`", "LISTEN a", Pin("listen")),
    feature("temporary tables", "CREATE TEMPORARY TABLE t (a int)", Pin("temporary")),
    feature(
        "cursors `WITH HOLD`",
        "DECLARE c CURSOR WITH HOLD FOR TABLE pg_class",
        Pin("with_hold_cursor"),
    ),
    feature("`PREPARE`", "PREPARE p AS SELECT 1", Pin("prepared_statement")),
    feature("`currval`, `lastval`", "SELECT 1", Refusal("SELECT lastval()", "55000")),
];

const fn feature(name: &'static str, does: &'static str, shows: Shows) -> Feature {
    Feature { name, does, shows }
}

impl Shows {
    fn behaviour(&self) -> String {
        match self {
            Answer(..) => "works".to_owned(),
            Pin(_) => "pinned".to_owned(),
            Refusal(_, code) => format!("refused with {code}"),
        }
    }
}

/// Feature, behaviour and what more is said, of each row.
fn rows() -> Vec<[&'static str; 3]> {
    let table = MANUAL.split("| feature | behaviour | more |\n").nth(1).unwrap();
    let row = |line: &'static str| {
        let mut cells = line.trim_matches('|').splitn(3, '|').map(str::trim);
        [(); 3].map(|()| cells.next().unwrap_or_default())
    };
    table.lines().skip(1).take_while(|line| line.starts_with('|')).map(row).collect()
}

#[test]
fn every_row_of_the_manual_has_its_case_and_every_case_its_row() {
    let rows = rows();
    let told: Vec<_> = rows.iter().map(|[name, what, _]| (*name, (*what).to_owned())).collect();
    let cases: Vec<_> = FEATURES.iter().map(|it| (it.name, it.shows.behaviour())).collect();
    assert_eq!(cases, told);
    for (Feature { name, shows, .. }, [_, _, more]) in FEATURES.iter().zip(rows) {
        if let Pin(reason) = shows {
            assert!(more.contains(&format!("`{reason}`")), "{name}: {reason} is not in {more}");
        }
    }
}

async fn check(site: &Site, feature: &Feature, mut client: Client) {
    let Feature { name, does, shows } = feature;
    client.run(does).await;
    site.connect("carol").await.run("SELECT 1").await;
    match shows {
        Answer(asked, answer) => {
            let mut other = site.connect("boss0").await;
            assert_ne!(other.cell(asked).await, *answer, "{name}: another client");
            assert_eq!(client.cell(asked).await, *answer, "{name}");
        }
        Pin(reason) => {
            let reason = format!("\"{reason}\"");
            site.metric_reaches("poolwright_pins_total", &reason, |count| count == 1.0).await;
        }
        Refusal(asked, code) => assert_eq!(client.fails(asked).await, *code, "{name}"),
    }
    client.terminate().await.unwrap();
}

#[tokio::test]
async fn every_feature_does_what_the_manual_says() {
    let site = Site::direct().await.with_users("boss", 1).await;
    site.superuser().await.run("ALTER ROLE boss0 SUPERUSER").await;
    let site = site.behind_a_pooler(&[("pool.size", "1")]).await;
    for feature in &FEATURES {
        let target = site.target("boss0").parameter("options", "-c work_mem=3MB");
        check(&site, feature, site.connect_to(target).await).await;
    }
}
