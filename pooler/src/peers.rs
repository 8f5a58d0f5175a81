//! Other poolers behind the same address: whose a cancel key is, and the way there for a cancel
//! request that was sent here. A request that a peer has forwarded goes no further.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use poolwright_settings::{Network, Peer};
use poolwright_wire::{CancelKey, proxy, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::{debug, info};

use crate::clock::timeout;
use crate::config::Config;
use crate::worker;

/// Bits of a key's process id, below its sign, that are random; those above are the pooler's id.
const RANDOM_BITS: u32 = 21;
/// How many ids there are.
pub const PEERS: u32 = 1 << (31 - RANDOM_BITS);
/// How long a peer may take from the first packet to the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests on their way to peers at a time; more are dropped, as anybody may send them.
const AT_ONCE: u32 = 100;
/// The name of this host, which in a pod is the pod's own.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The process id of a cancel key: random but for the id of the pooler that gives it out. Never
/// negative; it may be 0.
pub fn process_id(own: Option<u32>, random: u32) -> i32 {
    let kept = if own.is_some() { RANDOM_BITS } else { 31 };
    let id = own.unwrap_or_default() << RANDOM_BITS;
    (id | random & ((1 << kept) - 1)).cast_signed()
}

/// The id of the pooler that gave such a key out, if it gave ids to any.
fn id_of(process_id: i32) -> u32 {
    process_id.cast_unsigned() >> RANDOM_BITS
}

/// The number that the name of this host ends with. Blocks on the file system.
pub fn number_of_host() -> Option<u32> {
    number_at_end(std::fs::read_to_string(HOST_NAME).ok()?.trim_end())
}

fn number_at_end(name: &str) -> Option<u32> {
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name[digits..].parse().ok()
}

/// The way to the peers, for so many requests at a time.
#[derive(Debug, Default)]
pub struct Post {
    under_way: Cell<u32>,
}

/// A request on its way.
struct Letter<'a>(&'a Post);

impl Drop for Letter<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

impl Post {
    /// Forwards a cancel request to the peer whose key it names, and waits until that has delivered
    /// it, some seconds at most. A key of nobody's opens no connection.
    pub async fn forward(&self, config: &Config, key: &worker::CancelKey) {
        let id = id_of(key.process_id);
        let Some(peer) = config.peers.get(&id).filter(|_| config.own_id != Some(id)) else {
            debug!(process_id = key.process_id, "cancel request with an unknown key");
            return;
        };
        if self.under_way.get() >= AT_ONCE {
            info!(id, "cancel request not forwarded: {AT_ONCE} are on their way");
            return;
        }
        self.under_way.set(self.under_way.get() + 1);
        let _letter = Letter(self);
        match timeout(PATIENCE, deliver(peer, key, &config.listen.proxies)).await {
            Ok(Ok(())) => debug!(id, "cancel request forwarded"),
            Ok(Err(error)) => info!(id, host = peer.host, %error, "cancel request not forwarded"),
            Err(_) => info!(id, host = peer.host, "cancel request not confirmed by its peer"),
        }
    }
}

/// Ends when the peer has closed the connection.
async fn deliver(peer: &Peer, key: &worker::CancelKey, proxies: &[Network]) -> io::Result<()> {
    let mut stream = TcpStream::connect((peer.host.as_str(), peer.port)).await?;
    let mut request = opening(stream.local_addr()?.ip(), proxies);
    let key = CancelKey { process_id: key.process_id, secret: &key.secret };
    write::forwarded_cancel(&mut request, &key);
    stream.write_all(&request).await?;
    match stream.read(&mut [0; 64]).await? {
        0 => Ok(()),
        _ => Err(io::Error::other("the peer does not know forwarded cancel requests")),
    }
}

/// Where pods are among the addresses of load balancers, a peer expects of this one what it expects of
/// those.
fn opening(own: IpAddr, proxies: &[Network]) -> Vec<u8> {
    let is_one = proxies.iter().any(|network| network.contains(own));
    if is_one { proxy::LOCAL.to_vec() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_among_balancers_begins_as_they_do() {
        let proxies = [Network::parse("10.0.0.0/8").unwrap()];
        for (own, expect) in [("10.1.2.3", true), ("192.0.2.1", false)] {
            let opening = opening(own.parse().unwrap(), &proxies);
            let header = proxy::header(&opening).unwrap();
            assert_eq!(header, expect.then_some((proxy::Source::Local, 16)), "{own}");
        }
    }

    #[test]
    fn a_key_tells_who_gave_it_out() {
        for random in [0, 1, u32::MAX] {
            for own in [0, 1, 7, 1023] {
                let process_id = process_id(Some(own), random);
                assert!(process_id >= 0);
                assert_eq!(id_of(process_id), own);
            }
            assert!(process_id(None, random) >= 0);
        }
        assert_eq!(process_id(None, u32::MAX), i32::MAX);
        assert!(id_of(-1) > 1023, "a negative process id is nobody's");
    }

    #[test]
    fn a_pod_s_number_is_at_the_end_of_its_name() {
        let cases = [("app-0", Some(0)), ("a1-12", Some(12)), ("pooler", None), ("", None)];
        for (name, number) in cases {
            assert_eq!(number_at_end(name), number, "{name}");
        }
        assert_eq!(number_at_end("app-99999999999"), None);
    }
}
