//! The header of the PROXY protocol, version 2: with it a load balancer says whose connection it
//! brings. It is read strictly, and never copied; what a balancer adds beside the addresses is passed
//! over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header begins with; nothing else that is spoken to a database does.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// A whole header, of a connection of the sender's own.
pub const LOCAL: [u8; 16] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
/// Signature, version and command, family, length.
const HEAD: usize = 16;
/// The most bytes behind that: some balancers add certificates.
pub const MAX_REST: usize = 4096;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The balancer's own, such as a health check.
    Local,
    /// A client's, from this address.
    Client(SocketAddr),
    /// A client's, without an address of the network.
    Unknown,
}

/// What is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error("expected a header of the PROXY protocol, version 2")]
    Signature,
    #[error("PROXY protocol: version and command 0x{0:02x}, expected 0x20 (LOCAL) or 0x21 (PROXY)")]
    Command(u8),
    #[error("PROXY protocol: family 0x{0:02x}, expected TCP over IPv4 or IPv6, or none")]
    Family(u8),
    #[error("PROXY protocol: {found} bytes of addresses, expected {expected} or more")]
    Short { found: usize, expected: usize },
    #[error("PROXY protocol: a header of {0} bytes, at most {MAX_REST} are accepted")]
    Long(usize),
}

/// Reads a header, and tells how many bytes it has; `None`: it has not come whole.
///
/// # Errors
/// What came is no header, which is told as soon as it can be.
pub fn header(input: &[u8]) -> Result<Option<(Source, usize)>, ProxyError> {
    let common = input.len().min(SIGNATURE.len());
    if input[..common] != SIGNATURE[..common] {
        return Err(ProxyError::Signature);
    }
    let Some(head) = input.first_chunk::<HEAD>() else { return Ok(None) };
    let [.., command, family, high, low] = *head;
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > MAX_REST {
        return Err(ProxyError::Long(rest));
    }
    if !matches!(command, 0x20 | 0x21) {
        return Err(ProxyError::Command(command));
    }
    let Some(body) = input.get(HEAD..HEAD + rest) else { return Ok(None) };
    let source = if command == 0x20 { Source::Local } else { source(family, body)? };
    Ok(Some((source, HEAD + rest)))
}

fn source(family: u8, body: &[u8]) -> Result<Source, ProxyError> {
    match family {
        // Unspecified, and a stream of the local machine.
        0x00 => Ok(Source::Unknown),
        0x31 => long_enough(body, 216).map(|()| Source::Unknown),
        0x11 => {
            long_enough(body, 12)?;
            let address = body.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes));
            Ok(client(address.map(IpAddr::V4), &body[8..]))
        }
        0x21 => {
            long_enough(body, 36)?;
            let address = body.first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes));
            Ok(client(address.map(IpAddr::V6), &body[32..]))
        }
        _ => Err(ProxyError::Family(family)),
    }
}

/// `ports`: the client's, and what follows it.
fn client(address: Option<IpAddr>, ports: &[u8]) -> Source {
    match address.zip(ports.first_chunk::<2>()) {
        Some((address, port)) => Source::Client((address, u16::from_be_bytes(*port)).into()),
        None => Source::Unknown,
    }
}

fn long_enough(body: &[u8], expected: usize) -> Result<(), ProxyError> {
    let found = body.len();
    if found < expected { Err(ProxyError::Short { found, expected }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{ProxyError, SIGNATURE, Source, header};

    fn made(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn a_header_tells_whose_connection_it_is() {
        let four = [192, 0, 2, 7, 10, 0, 0, 1, 0xd4, 0x31, 0x19, 0x20];
        let mut six = [0; 36];
        (six[0], six[15], six[32], six[33]) = (0xfd, 7, 0xd4, 0x31);
        let with_more = [&four[..], &[4, 0, 1, 0]].concat();
        let client = |text: &str| Source::Client(text.parse().unwrap());
        for (bytes, expect) in [
            (made(0x21, 0x11, &four), client("192.0.2.7:54321")),
            (made(0x21, 0x11, &with_more), client("192.0.2.7:54321")),
            (made(0x21, 0x21, &six), client("[fd00::7]:54321")),
            (made(0x21, 0x00, b""), Source::Unknown),
            (made(0x21, 0x31, &[0; 216]), Source::Unknown),
            (made(0x20, 0x00, b""), Source::Local),
            (made(0x20, 0x11, &four), Source::Local),
        ] {
            let more = [&bytes[..], b"more"].concat();
            assert_eq!(header(&more), Ok(Some((expect, bytes.len()))), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert_eq!(header(&bytes[..end]), Ok(None), "{end} of {bytes:02x?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_told_at_its_first_wrong_byte() {
        let mut long = made(0x21, 0x11, b"");
        long[14] = 0x20;
        for (bytes, expect) in [
            (b"PROXY TCP4 192.0.2.7".to_vec(), ProxyError::Signature),
            (b"\0\0\0\x08".to_vec(), ProxyError::Signature),
            (b"\r\n\r\nX".to_vec(), ProxyError::Signature),
            (made(0x11, 0x11, &[0; 12]), ProxyError::Command(0x11)),
            (made(0x22, 0x11, &[0; 12]), ProxyError::Command(0x22)),
            (made(0x21, 0x12, &[0; 12]), ProxyError::Family(0x12)),
            (made(0x21, 0x41, &[0; 12]), ProxyError::Family(0x41)),
            (made(0x21, 0x11, &[0; 11]), ProxyError::Short { found: 11, expected: 12 }),
            (made(0x21, 0x21, &[0; 35]), ProxyError::Short { found: 35, expected: 36 }),
            (long, ProxyError::Long(0x2000)),
        ] {
            assert_eq!(header(&bytes), Err(expect), "{bytes:02x?}");
        }
    }
}
