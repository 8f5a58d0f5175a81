//! Several poolers behind one address: a cancel request may come to any of them.

use std::time::Duration;

use poolwright_tests::pg::{CancelKey, Client, Flight, Target, flight, message::transcript};
use poolwright_tests::pooler::Pooler;
use poolwright_tests::site::Site;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Two poolers of one site, by the ids 0 and 1.
struct Two {
    site: Site,
    other: Pooler,
}

impl Two {
    /// `strangers`: further peers that both know, by id and port.
    async fn start(size: &str, strangers: &[(u32, u16)]) -> Two {
        Two::start_with(&[("pool.size", size)], strangers).await
    }

    async fn start_with(changes: &[(&str, &str)], strangers: &[(u32, u16)]) -> Two {
        let site = Site::pooled(&[changes, &[("generation", "1")]].concat()).await;
        let other = Pooler::start(site.settings.clone()).await.unwrap();
        let two = Two { site, other };
        let own = [(0, two.site.pooler().port), (1, two.other.port)];
        let peers: Vec<_> = own.iter().chain(strangers).copied().collect();
        two.introduce(two.site.pooler(), 0, &peers).await;
        two.introduce(&two.other, 1, &peers).await;
        two
    }

    async fn introduce(&self, pooler: &Pooler, own: u32, peers: &[(u32, u16)]) {
        let mut settings = self.site.settings.clone().with("generation", "2");
        settings = settings.with("peerId", &own.to_string());
        for (place, (id, port)) in peers.iter().enumerate() {
            settings = settings
                .with(&format!("peers.{place}.id"), &id.to_string())
                .with(&format!("peers.{place}.host"), "127.0.0.1")
                .with(&format!("peers.{place}.port"), &port.to_string());
        }
        pooler.write_settings(&settings).unwrap();
        pooler.signal("HUP");
        while pooler.metric("poolwright_settings_generation", "").await < 2.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn at_other(&self) -> Target {
        Target { port: self.other.port, ..self.site.target("alice") }
    }

    async fn sleeps(&self, client: &mut Client) {
        client.send(Flight::new().query("SELECT pg_sleep(60)").bytes()).await.unwrap();
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' \
             AND query LIKE 'SELECT pg_sleep%' AND datname = '{}'",
            self.site.database
        );
        self.site.eventually(&sql, "1").await;
    }

    async fn stop(self) {
        assert_eq!(self.other.complaints(&[]), Vec::<String>::new());
    }
}

async fn was_cancelled(client: &mut Client) {
    let told = transcript(&client.until_ready().await.unwrap());
    assert_eq!(told.last_chunk::<2>().unwrap(), &["Error(57014)", "Ready(I)"]);
    assert_eq!(client.cell("SELECT 'on'").await, "on");
}

/// A key that the pooler of this id might have given out.
fn key_of(id: u32) -> CancelKey {
    CancelKey { process_id: (id << 21 | 77).cast_signed(), secret: vec![1, 2, 3, 4] }
}

#[tokio::test]
async fn a_cancel_that_comes_to_another_pooler_hits_the_right_query() {
    let two = Two::start("1", &[]).await;
    for version in [flight::VERSION_3_0, flight::VERSION_3_2] {
        let mut here = two.site.connect_to(two.site.target("alice").protocol(version)).await;
        two.sleeps(&mut here).await;
        two.at_other().cancel(&here.key).await.unwrap();
        was_cancelled(&mut here).await;
        here.terminate().await.unwrap();
        let mut there = two.at_other().protocol(version).connect().await.unwrap();
        two.sleeps(&mut there).await;
        two.site.target("alice").cancel(&there.key).await.unwrap();
        was_cancelled(&mut there).await;
        two.at_other().cancel(&there.key).await.unwrap();
        there.terminate().await.unwrap();
    }
    two.stop().await;
}

#[tokio::test]
async fn a_cancel_hits_the_query_of_a_pooler_that_lets_nobody_in_any_more() {
    let two = Two::start("1", &[]).await;
    let mut client = two.site.connect("alice").await;
    two.sleeps(&mut client).await;
    two.site.pooler().signal("TERM");
    while !two.site.pooler().log().contains("no more clients are let in") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    two.at_other().cancel(&client.key).await.unwrap();
    let told = transcript(&client.until_closed().await.unwrap());
    assert_eq!(told.last_chunk::<3>().unwrap(), &["Error(57014)", "Ready(I)", "Error(57P01)"]);
    two.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_or_id_spares_the_query_and_opens_nothing() {
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let two = Two::start("1", &[(5, stranger.local_addr().unwrap().port())]).await;
    let mut client = two.site.connect("alice").await;
    two.sleeps(&mut client).await;
    let mut wrong = client.key.clone();
    wrong.secret[0] ^= 1;
    let negative = CancelKey { process_id: -1, secret: vec![1, 2, 3, 4] };
    for key in [wrong, key_of(6), key_of(1023), key_of(0), negative] {
        two.site.target("alice").cancel(&key).await.unwrap();
        two.at_other().cancel(&key).await.unwrap();
    }
    // The first that the stranger hears of is what was meant for it.
    two.site.target("alice").dial().await.unwrap().send(&request(&key_of(5))).await.unwrap();
    let (mut asked, _) = stranger.accept().await.unwrap();
    let mut came = vec![0; 16];
    asked.read_exact(&mut came).await.unwrap();
    assert_eq!(came[..8], [0, 0, 0, 16, 0x04, 0xd2, 0x3d, 0x3e], "not as a client sends it");
    assert_eq!(came[8..], request(&key_of(5))[8..]);
    two.at_other().cancel(&client.key).await.unwrap();
    was_cancelled(&mut client).await;
    two.stop().await;
}

fn request(key: &CancelKey) -> Vec<u8> {
    flight::cancel_request(key.process_id, &key.secret)
}

#[tokio::test]
async fn a_peer_that_is_gone_or_silent_holds_nobody_up_for_long() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let two = Two::start("1", &[(5, port(&silent)), (6, port(&gone))]).await;
    drop(gone);
    two.site.target("alice").cancel(&key_of(6)).await.unwrap();
    two.site.target("alice").cancel(&key_of(5)).await.unwrap();
    // What an older pooler would answer.
    let answer = async {
        let (_unanswered, _) = silent.accept().await.unwrap();
        let (mut asked, _) = silent.accept().await.unwrap();
        asked.write_all(b"E").await.unwrap();
    };
    let target = two.site.target("alice");
    let key = key_of(5);
    let (cancelled, ()) = tokio::join!(target.cancel(&key), answer);
    cancelled.unwrap();
    two.stop().await;
}

/// Each takes the other for the owner of keys that neither has given out.
#[tokio::test]
async fn two_poolers_that_point_at_each_other_do_not_send_in_circles() {
    let two = Two::start("1", &[]).await;
    let (here, there) = (two.site.pooler(), &two.other);
    for (pooler, own, port) in [(here, 0, there.port), (there, 1, here.port)] {
        two.introduce(pooler, own, &[(own, pooler.port), (7, port)]).await;
    }
    for _ in 0..5 {
        two.site.target("alice").cancel(&key_of(7)).await.unwrap();
        two.at_other().cancel(&key_of(7)).await.unwrap();
    }
    for pooler in [here, there] {
        assert!(!pooler.log().contains("not forwarded"), "{}", pooler.log());
        assert!(!pooler.log().contains("not confirmed"), "{}", pooler.log());
    }
    two.stop().await;
}

/// How a balancer begins on its own account, by the PROXY protocol.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[tokio::test]
async fn poolers_that_expect_a_proxy_where_they_are_themselves_reach_each_other() {
    let changes = [("listen.proxyProtocol.from", "[127.0.0.1]"), ("listen.auth", "trust")];
    let two = Two::start_with(&changes, &[]).await;
    let parameters = [("user", "alice"), ("database", two.site.database.as_str())];
    let startup = flight::startup(flight::VERSION_3_0, &parameters);
    let mut client = two.site.target("alice").dial().await.unwrap();
    client.send(&[LOCAL, &startup].concat()).await.unwrap();
    client.until_ready().await.unwrap();
    two.sleeps(&mut client).await;
    let mut asks = two.at_other().dial().await.unwrap();
    asks.send(&[LOCAL, &request(&client.key)].concat()).await.unwrap();
    asks.end_of_stream().await.unwrap();
    was_cancelled(&mut client).await;
    two.stop().await;
}

#[tokio::test]
async fn a_hundred_cancels_by_way_of_a_peer_never_hit_the_next_client() {
    let two = Two::start("1", &[]).await;
    let mut victim = two.site.connect("alice").await;
    let mut next = two.site.connect("alice").await;
    two.sleeps(&mut victim).await;
    let cancels: Vec<_> = (0..100)
        .map(|_| {
            let (target, key) = (two.at_other(), victim.key.clone());
            tokio::spawn(async move { target.cancel(&key).await })
        })
        .collect();
    let told = transcript(&victim.until_ready().await.unwrap());
    assert_eq!(told.last_chunk::<2>().unwrap(), &["Error(57014)", "Ready(I)"]);
    for round in 0..200 {
        let sql = format!("SELECT {round}, pg_sleep(0.002)");
        assert_eq!(next.cell(&sql).await, round.to_string());
    }
    for cancel in cancels {
        cancel.await.unwrap().unwrap();
    }
    assert_eq!(victim.cell("SELECT 'on'").await, "on");
    two.stop().await;
}
