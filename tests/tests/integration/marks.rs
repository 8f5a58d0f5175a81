//! Many clients on few servers, each checking that all it reads is its own.

use poolwright_tests::marks::{Marks, Protocol, TABLE};
use poolwright_tests::random::Random;
use poolwright_tests::site::Site;

async fn each_sees_its_own(protocols: &[Protocol]) {
    let changes = [("pool.size", "3"), ("preparedStatements.max", "10")];
    let site = Site::pooled(&changes).await;
    site.superuser().await.run(&format!("{TABLE}; GRANT ALL ON marks TO PUBLIC")).await;
    let seed = Random::seed_or(3);
    let mut tasks = Vec::new();
    for number in 0..100u64 {
        let user = ["alice", "bob"][number as usize % 2];
        let protocol = protocols[number as usize / 2 % protocols.len()];
        let marks = Marks::new(&format!("client {number}"), user, protocol);
        tasks.push(tokio::spawn(live(site.target(user), marks, Random::new(seed + number))));
    }
    for task in tasks {
        task.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(site.server_connections().await <= 6);
}

async fn live(target: poolwright_tests::pg::Target, mut marks: Marks, mut random: Random) {
    let mut client = target.connect().await.unwrap();
    for _ in 0..25 {
        match random.below(12) {
            0 => {
                let next = target.connect().await.unwrap();
                drop(std::mem::replace(&mut client, next));
                marks.reconnected();
            }
            1 => {
                let mut vanishing = target.connect().await.unwrap();
                vanishing.send(marks.again().bytes()).await.unwrap();
                vanishing.send(b"Q\0\0").await.unwrap();
            }
            2 => assert_eq!(client.fails("SELECT 1/0").await, "22012"),
            3 => {
                client.run("BEGIN").await;
                marks.step(&mut client).await.unwrap();
                client.run("COMMIT").await;
            }
            4 => target.cancel(&client.key).await.unwrap(),
            _ => marks.step(&mut client).await.unwrap(),
        }
    }
    marks.step(&mut client).await.unwrap();
}

#[tokio::test]
async fn each_client_sees_only_its_own_marks_in_simple() {
    each_sees_its_own(&[Protocol::Simple]).await;
}

#[tokio::test]
async fn each_client_sees_only_its_own_marks_in_extended() {
    each_sees_its_own(&[Protocol::Extended]).await;
}

#[tokio::test]
async fn each_client_sees_only_its_own_marks_in_prepared() {
    each_sees_its_own(&[Protocol::Prepared]).await;
}

#[tokio::test]
async fn each_client_sees_only_its_own_marks_in_all_protocols_at_once() {
    each_sees_its_own(&Protocol::ALL).await;
}
