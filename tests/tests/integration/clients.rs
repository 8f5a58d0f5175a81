//! How many clients there may be, of a database and of a user, and how long a login may take.

use std::time::{Duration, Instant};

use poolwright_tests::pg::{Client, Fields, Target, flight};
use poolwright_tests::site::Site;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn refusal(target: Target) -> Fields {
    match target.connect().await {
        Ok(_) => panic!("{} was let in", target.user),
        Err(error) => error.downcast().expect("an ErrorResponse"),
    }
}

async fn check_full(target: Target, limit: &str) {
    let error = refusal(target).await;
    assert_eq!(error.code, "53300", "{error}");
    assert!(error.message.contains(limit), "{error}");
}

/// The place of a client that left is free a moment later.
async fn admitted(target: &Target) -> Client {
    for _ in 0..1500 {
        if let Ok(client) = target.connect().await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} was not let in within 30 s", target.user);
}

#[tokio::test]
async fn no_more_logins_are_under_way_than_there_may_be_clients() {
    check_logins("120", 200, 80).await;
}

#[tokio::test]
async fn a_hundred_logins_are_under_way_where_fewer_clients_may_be() {
    check_logins("1", 120, 20).await;
}

/// Of so many that come and say nothing, so many are told at once that there are too many.
async fn check_logins(max: &str, come: usize, told: usize) {
    let mut site = Site::pooled(&[("maxClients", max)]).await;
    site.expect_complaint("login failed");
    let mut silent = Vec::new();
    for _ in 0..come {
        silent.push(TcpStream::connect(("127.0.0.1", site.pooler().port)).await.unwrap());
    }
    let mut closed = 0;
    for stream in &mut silent {
        let mut heard = Vec::new();
        if timeout(Duration::from_millis(20), stream.read_to_end(&mut heard)).await.is_ok() {
            let heard = String::from_utf8_lossy(&heard);
            assert!(heard.starts_with('E'), "{heard:?}");
            assert!(heard.contains("\0C53300\0Msorry, too many clients already\0"), "{heard:?}");
            assert!(heard.contains("maxClients"), "{heard:?}");
            closed += 1;
        }
    }
    assert_eq!(closed, told);
    drop(silent);
    admitted(&site.target("alice")).await.run("SELECT 1").await;
}

#[tokio::test]
async fn a_user_has_no_more_clients_than_its_limit_in_all_databases() {
    let site = Site::direct().await;
    let other = Site::on(site.postgres.clone()).await;
    let changes = [
        ("maxUserClientConnections", "2"),
        ("users.1.maxUserClientConnections", "0"),
        ("databases.1.name", &*other.database),
    ];
    let site = site.behind_a_pooler(&changes).await;
    let elsewhere = |user: &str| Target { database: other.database.clone(), ..site.target(user) };
    let first = site.connect("alice").await;
    let _second = site.connect_to(elsewhere("alice")).await;
    check_full(site.target("alice"), "user \"alice\": 2 clients are in (maxUserClientConnections)")
        .await;
    check_full(elsewhere("alice"), "maxUserClientConnections").await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(site.connect("bob").await);
    }
    first.terminate().await.unwrap();
    let mut third = admitted(&elsewhere("alice")).await;
    assert_eq!(third.cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_database_has_no_more_clients_than_its_limit() {
    let site = Site::direct().await;
    let other = Site::on(site.postgres.clone()).await;
    let changes =
        [("databases.0.maxDbClientConnections", "2"), ("databases.1.name", &*other.database)];
    let site = site.behind_a_pooler(&changes).await;
    let first = site.connect("alice").await;
    let _second = site.connect("bob").await;
    check_full(site.target("carol"), "2 clients are in (maxDbClientConnections)").await;
    let elsewhere = Target { database: other.database.clone(), ..site.target("carol") };
    let _carol = site.connect_to(elsewhere).await;
    drop(first);
    admitted(&site.target("carol")).await;
}

#[tokio::test]
async fn a_login_that_takes_too_long_is_told_so() {
    let site = Site::pooled(&[("clientLoginTimeout", "300ms")]).await;
    let target = site.target("alice");
    let since = Instant::now();
    let mut client = target.dial().await.unwrap();
    let start =
        flight::startup(flight::VERSION_3_0, &[("user", "alice"), ("database", &site.database)]);
    client.send(&start).await.unwrap();
    let told = client.until_closed().await.unwrap();
    let error = told.last().expect("an error").fields();
    println!("after {:?}: {error}", since.elapsed());
    assert_eq!(error.code, "57014");
    assert!(error.message.starts_with("client_login_timeout"));
    let mut silent = target.dial().await.unwrap();
    silent.end_of_stream().await.unwrap();
}
