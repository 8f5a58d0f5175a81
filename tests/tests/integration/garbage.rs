//! Bytes that no client should send, before and after the login. The one who sends them is turned
//! away; everybody else goes on, and no server is left in the middle of anything.

use poolwright_tests::pg::{Client, Flight, flight, message::transcript};
use poolwright_tests::postgres::Options;
use poolwright_tests::random::Random;
use poolwright_tests::site::{Site, start_postgres};
use tokio::io::AsyncWriteExt;

three_ways!(1:
    nonsense_before_the_login_ends_only_that_connection,
    a_message_of_an_unknown_kind_ends_the_connection,
    a_message_shorter_than_its_own_length_ends_the_connection,
    a_body_that_is_no_text_is_a_protocol_error,
    messages_out_of_place_do_no_harm,
    random_bytes_after_the_login_do_no_harm,
);

async fn others_go_on(site: &Site) {
    let mut client = site.connect("alice").await;
    assert_eq!(client.cell("SELECT 'unharmed'").await, "unharmed");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let sql = format!("{open} AND datname = '{}'", site.database);
    site.eventually(&sql, "0").await;
}

fn first_packets(user: &str, database: &str) -> Vec<(&'static str, Vec<u8>)> {
    let startup = |parameters: &[(&str, &str)]| flight::startup(flight::VERSION_3_0, parameters);
    let good = startup(&[("user", user), ("database", database)]);
    let long = "x".repeat(20_000);
    let mut unended = good.clone();
    unended.pop();
    let length = unended.len() as i32;
    unended[..4].copy_from_slice(&length.to_be_bytes());
    vec![
        ("nothing at all", vec![]),
        ("length 0", vec![0, 0, 0, 0, 0, 3, 0, 0]),
        ("length 4", vec![0, 0, 0, 4]),
        ("length 7", vec![0, 0, 0, 7, 0, 3, 0]),
        ("length -1", vec![0xff; 8]),
        ("length 2^31 - 1", vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]),
        ("a long value", startup(&[("user", user), ("options", &long)])),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("TLS without an SSLRequest", vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]),
        ("no user", startup(&[("database", database)])),
        ("an empty user", startup(&[("user", ""), ("database", database)])),
        ("no end", unended),
        ("half", good[..good.len() / 2].to_vec()),
        ("SSLRequest and more at once", [flight::ssl_request(), good.clone()].concat()),
        ("SSLRequest twice", [flight::ssl_request(), flight::ssl_request()].concat()),
        ("two startups", [good.clone(), good.clone()].concat()),
        ("a startup and a query", [good, b"Q\0\0\0\x0dSELECT 1\0".to_vec()].concat()),
        ("a short cancel", flight::packet(&80_877_102i32.to_be_bytes())),
        ("a long cancel", flight::cancel_request(1, &[0; 300])),
        ("a future request", flight::packet(&((1234 << 16) + 9999i32).to_be_bytes())),
    ]
}

async fn nonsense_before_the_login_ends_only_that_connection(site: &Site) {
    for (what, bytes) in first_packets("alice", &site.database) {
        let mut client = site.target("alice").dial().await.unwrap();
        let _ = client.send(&bytes).await;
        drop(client);
        assert_eq!(site.connect("alice").await.cell("SELECT 1").await, "1", "after {what}");
    }
    others_go_on(site).await;
}

/// The codes of the errors that one is told who sends this and no more.
async fn told(site: &Site, bytes: &[u8]) -> Vec<String> {
    let mut wire = site.target("scott").dial().await.unwrap().into_wire();
    let _ = wire.write_all(bytes).await;
    let _ = wire.shutdown().await;
    let mut client = Client::over(wire);
    let heard = client.until_closed().await.unwrap_or_default();
    heard.iter().filter(|it| it.tag == b'E').map(|it| it.fields().code).collect()
}

/// Where Postgres closes without a word, the pooler may say what is wrong.
#[tokio::test]
async fn before_the_login_errors_are_those_of_postgres() {
    let (direct, pooled) = (Site::direct().await, Site::pooled(&[]).await);
    let packets = |site: &Site| first_packets("scott", &site.database);
    let mut told_of = 0;
    for ((what, bytes), (_, same)) in packets(&direct).iter().zip(packets(&pooled)) {
        let (expected, seen) = (told(&direct, bytes).await, told(&pooled, &same).await);
        match expected.is_empty() {
            true => assert!(seen.iter().all(|code| code == "08P01"), "{what}: {seen:?}"),
            false => assert_eq!(seen, expected, "{what}"),
        }
        told_of += usize::from(!expected.is_empty());
    }
    assert!(told_of >= 6, "Postgres says something of {told_of} packets only");
}

/// Of a user from whom Postgres wants no password: it reads options behind that.
#[tokio::test]
async fn options_that_are_none_are_refused_as_by_postgres() {
    let (direct, pooled) = (Site::direct().await, Site::pooled(&[]).await);
    for options in
        ["-z", "-z 1", "word", "-c", "-c geqo=on -c", "-c geqo", "--geqo", "-c =x", "--=x", "-c="]
    {
        let start = |site: &Site| {
            let parameters =
                [("user", "alice"), ("database", &*site.database), ("options", options)];
            flight::startup(flight::VERSION_3_0, &parameters)
        };
        let expected = told(&direct, &start(&direct)).await;
        println!("{options}: {expected:?}");
        assert_eq!(expected.len(), 1, "{options}");
        assert_eq!(told(&pooled, &start(&pooled)).await, expected, "{options}");
    }
}

#[tokio::test]
async fn an_ssl_request_that_was_declined_comes_again_as_little_as_to_postgres() {
    let options = Options { settings: vec!["ssl = off".to_owned()], ..Options::default() };
    let direct = Site::on(start_postgres(options).await.unwrap()).await;
    let pooled = Site::pooled(&[]).await;
    let mut codes = Vec::new();
    for site in [&direct, &pooled] {
        let mut client = site.target("alice").dial().await.unwrap();
        client.send(&flight::ssl_request()).await.unwrap();
        assert_eq!(client.byte().await.unwrap(), b'N');
        client.send(&flight::ssl_request()).await.unwrap();
        codes.push(client.receive().await.unwrap().fields().code);
    }
    assert_eq!(codes, ["0A000", "0A000"]);
}

async fn ends_with(site: &Site, client: &mut Client, bytes: &[u8], codes: &[&str]) {
    let _ = client.send(bytes).await;
    let messages = client.until_closed().await.unwrap_or_default();
    let errors: Vec<_> =
        messages.iter().filter(|m| m.tag == b'E').map(|m| m.fields().code).collect();
    assert!(
        errors.iter().any(|code| codes.contains(&code.as_str())),
        "{errors:?} not of {codes:?}"
    );
    others_go_on(site).await;
}

async fn a_message_of_an_unknown_kind_ends_the_connection(site: &Site) {
    for bytes in [&b"!\0\0\0\x04"[..], b"Z\0\0\0\x05I", b"\0\0\0\0\x04"] {
        let mut client = site.connect("alice").await;
        client.run("SELECT 1").await;
        ends_with(site, &mut client, bytes, &["08P01"]).await;
    }
}

/// Postgres closes such a connection without a word.
async fn a_message_shorter_than_its_own_length_ends_the_connection(site: &Site) {
    for bytes in [b"Q\0\0\0\x03", b"Q\xff\xff\xff\xff", b"P\0\0\0\0"] {
        let mut client = site.connect("alice").await;
        client.run("SELECT 1").await;
        client.send(bytes).await.unwrap();
        client.end_of_stream().await.unwrap();
        others_go_on(site).await;
    }
}

async fn a_body_that_is_no_text_is_a_protocol_error(site: &Site) {
    let bodies: [(u8, &[u8]); 15] = [
        (b'Q', b"SELECT 1"),
        (b'Q', b""),
        (b'Q', b"SELECT 1\0SELECT 2\0"),
        (b'P', b"name without end"),
        (b'P', b"s\0SELECT 1\0"),
        (b'P', b"\0SELECT 1\0\0"),
        (b'P', b"\0SELECT 1\0\0\0x"),
        (b'B', b"\0"),
        (b'D', b"X\0"),
        (b'D', b"S"),
        (b'C', b""),
        (b'C', b"Sname\0x"),
        (b'E', b"\0\0"),
        (b'F', b"\0\0"),
        (b'F', b"\0\0\0\x26\0\0\0\0\0\0"),
    ];
    for status in ["Ready(I)", "Ready(E)"] {
        let mut client = site.connect("alice").await;
        for (tag, body) in bodies {
            if status == "Ready(E)" {
                client.run("BEGIN").await;
            }
            let alone = matches!(tag, b'Q' | b'F');
            let flight = Flight::new().message(tag, body);
            let flight = if alone { flight } else { flight.execute("", 0).sync() };
            client.send(flight.bytes()).await.unwrap();
            let told = transcript(&client.until_ready().await.unwrap());
            assert_eq!(told, ["Error(08P01)", status], "{} {body:?}", char::from(tag));
            client.run("ROLLBACK").await;
        }
    }
    others_go_on(site).await;
}

async fn messages_out_of_place_do_no_harm(site: &Site) {
    let strays = [
        Flight::new().copy_data(b"1\n"),
        Flight::new().copy_done(),
        Flight::new().copy_fail("why"),
        Flight::new().copy_data(b"1\n").copy_data(b"2\n").copy_done(),
    ];
    let mut client = site.connect("alice").await;
    for stray in strays {
        client.send(stray.bytes()).await.unwrap();
        assert_eq!(client.cell("SELECT 'after'").await, "after");
    }
    let mut client = site.connect("alice").await;
    ends_with(site, &mut client, Flight::new().message(b'p', b"password\0").bytes(), &["08P01"])
        .await;
}

async fn random_bytes_after_the_login_do_no_harm(site: &Site) {
    let seed = Random::seed_or(11);
    let mut random = Random::new(seed);
    for _ in 0..60 {
        let mut client = site.connect("alice").await;
        if random.one_in(2) {
            client.run("BEGIN").await;
        }
        let mut bytes = valid_or_not(&mut random);
        for _ in 0..random.below(4) {
            let place = random.below(bytes.len());
            bytes[place] = random.draw() as u8;
        }
        let _ = client.send(&bytes).await;
        drop(client);
    }
    others_go_on(site).await;
}

fn valid_or_not(random: &mut Random) -> Vec<u8> {
    let flight = Flight::new().unnamed("SELECT $1::int", &["1"]).query("SELECT 2").sync();
    let mut bytes = flight.bytes().to_vec();
    bytes.truncate(1 + random.below(bytes.len()));
    if random.one_in(3) {
        bytes = (0..1 + random.below(50)).map(|_| random.draw() as u8).collect();
    }
    bytes
}

#[tokio::test]
async fn a_stalled_login_does_not_hold_up_the_others() {
    let site = Site::pooled(&[]).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut client = site.target("alice").dial().await.unwrap();
        client.send(&[0, 0, 0]).await.unwrap();
        stalled.push(client);
    }
    assert_eq!(site.connect("alice").await.cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_message_that_claims_two_gigabytes_takes_no_memory() {
    let site = Site::pooled(&[]).await;
    let mut client = site.connect("alice").await;
    let before = poolwright_tests::process::peak_memory_kib(site.pooler().id()).unwrap();
    for tag in [b'Q', b'P', b'B', b'd'] {
        let mut claimer = site.connect("alice").await;
        claimer.send(&[tag, 0x7f, 0xff, 0xff, 0xff, b'x', b'y']).await.unwrap();
        client.run("SELECT 1").await;
    }
    let after = poolwright_tests::process::peak_memory_kib(site.pooler().id()).unwrap();
    assert!(after < before + 50_000, "{before} KiB before, {after} KiB after");
}
