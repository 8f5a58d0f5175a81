//! The load client itself: it must see what goes wrong, or its silence is worth nothing.

use std::time::Duration;

use poolwright_tests::load::{self, Account, Plan, Progress, Report};
use poolwright_tests::marks::Protocol;
use poolwright_tests::pg::Client;
use poolwright_tests::postgres::password_of;
use poolwright_tests::site::Site;
use tokio::net::TcpListener;

three_ways!(4: a_load_without_faults_reports_none);

/// A load ends by then even if it never gets a processor.
const LONGEST: Duration = Duration::from_secs(60);

fn plan(port: u16, site: &Site) -> Plan {
    let account = |user: &str| Account {
        user: user.to_owned(),
        password: password_of(user),
        database: site.database.clone(),
    };
    Plan {
        host: "127.0.0.1".to_owned(),
        port,
        clients: 6,
        protocols: Protocol::ALL.to_vec(),
        accounts: vec![account("alice")],
        duration: Duration::from_millis(700),
        pause: Duration::ZERO,
        per_connection: 20,
        setup: true,
        progress: Duration::ZERO,
    }
}

async fn a_load_without_faults_reports_none(site: &Site) {
    let plan = Plan { duration: LONGEST, ..plan(site.target("alice").port, site) };
    let enough = |seen: &Progress| seen.transactions() >= 1000;
    let report = load::run_until_enough(plan, enough).await.unwrap();
    assert_eq!(report.errors(), 0, "{report}");
    assert!(report.transactions >= 1000 && report.p99_us >= report.p50_us, "{report}");
}

/// A stand-in that lets clients in and then does `fault` to each of them.
async fn faulty(fault: &'static [u8]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut client = Client::over(Box::new(stream));
            tokio::spawn(async move {
                let mut length = [0; 4];
                client.take(&mut length).await?;
                client.take(&mut vec![0; u32::from_be_bytes(length) as usize - 4]).await?;
                client.send(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await?;
                client.byte().await?;
                client.send(fault).await
            });
        }
    });
    port
}

async fn report_on(fault: &'static [u8]) -> Report {
    let site = Site::direct().await;
    load::run(Plan { setup: false, ..plan(faulty(fault).await, &site) }).await.unwrap()
}

#[tokio::test]
async fn a_close_without_a_word_is_a_cut_request() {
    let report = report_on(b"").await;
    assert!(report.cut > 0 && report.errors() > 0, "{report}");
}

#[tokio::test]
async fn a_goodbye_in_place_of_an_answer_is_no_error() {
    let report = report_on(b"E\0\0\0\x18SFATAL\0C57P01\0Mbye\0\0").await;
    assert!(report.reconnects > 0 && report.errors() == 0, "{report}");
}

#[tokio::test]
async fn a_goodbye_after_half_an_answer_is_a_cut_request() {
    let report = report_on(b"1\0\0\0\x04E\0\0\0\x18SFATAL\0C57P01\0Mbye\0\0").await;
    assert!(report.cut > 0, "{report}");
}

#[tokio::test]
async fn an_answer_of_somebody_else_is_a_wrong_mark() {
    let row = b"D\0\0\0\x15\0\x03\0\0\0\x01x\0\0\0\x011\0\0\0\x01yZ\0\0\0\x05I";
    let report = report_on(row).await;
    assert!(report.wrong > 0, "{report}");
}

#[tokio::test]
async fn a_refused_connect_is_counted() {
    let site = Site::direct().await;
    let port = poolwright_tests::postgres::free_port().unwrap();
    let report = load::run(Plan { setup: false, ..plan(port, &site) }).await.unwrap();
    assert!(report.refused >= 6, "{report}");
}
