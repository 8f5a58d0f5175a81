//! Which version of the protocol the pooler speaks with the server, seen on the wire between them.

use poolwright_tests::pg::{Flight, message::transcript};
use poolwright_tests::site::Site;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The first packet of each connection, without its length.
type Packets = UnboundedReceiver<Vec<u8>>;

const PROTOCOL_3_0: i32 = 0x0003_0000;
const PROTOCOL_3_2: i32 = 0x0003_0002;
const CANCEL: i32 = 80_877_102;

/// A way to the site's PostgreSQL that tells how each connection begins.
async fn overheard(site: &Site) -> (u16, Packets) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, packets) = unbounded_channel();
    let server = site.postgres.port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, server, tell.clone()));
        }
    });
    (port, packets)
}

async fn pass(mut client: TcpStream, server: u16, tell: UnboundedSender<Vec<u8>>) {
    let Ok(length) = client.read_u32().await else { return };
    let mut packet = vec![0; length as usize - 4];
    client.read_exact(&mut packet).await.unwrap();
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    server.write_u32(length).await.unwrap();
    server.write_all(&packet).await.unwrap();
    tell.send(packet).unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

async fn next(packets: &mut Packets) -> (i32, usize) {
    let packet = packets.recv().await.expect("the way is open");
    (i32::from_be_bytes(packet[..4].try_into().unwrap()), packet.len())
}

#[tokio::test]
async fn a_server_that_knows_protocol_3_2_is_spoken_to_in_it_and_gives_long_cancel_keys() {
    let site = Site::direct().await;
    let (port, mut packets) = overheard(&site).await;
    let port = port.to_string();
    let changes =
        [("servers.0.port", &*port), ("servers.0.tls.mode", "disable"), ("pool.size", "2")];
    let site = site.behind_a_pooler(&changes).await;
    // The first connection shows which version the server has.
    let mut first = site.connect("alice").await;
    first.run("BEGIN").await;
    assert_eq!(next(&mut packets).await.0, PROTOCOL_3_0);
    let mut second = site.connect("alice").await;
    second.run("BEGIN").await;
    let knows_it = site.postgres.version() >= 18;
    let expected = if knows_it { PROTOCOL_3_2 } else { PROTOCOL_3_0 };
    assert_eq!(next(&mut packets).await.0, expected);
    second.send(Flight::new().query("SELECT pg_sleep(60) AS slept").bytes()).await.unwrap();
    let sleeping = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = '{}'",
        site.database
    );
    site.eventually(&sleeping, "1").await;
    site.target("alice").cancel(&second.key).await.unwrap();
    let told = transcript(&second.until_ready().await.unwrap());
    assert_eq!(told.last_chunk::<2>().unwrap(), &["Error(57014)", "Ready(E)"]);
    let secret = if knows_it { 32 } else { 4 };
    assert_eq!(next(&mut packets).await, (CANCEL, 4 + 4 + secret));
    drop(first);
}
