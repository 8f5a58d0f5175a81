//! Requests as bytes, made once; only the digits of the account change from one to the next.
//! Never allocates for a request.

use poolwright_wire::{TargetKind, write};

use crate::job::Work;

/// Accounts have five digits, so that one fits where another was.
const FIRST: u32 = 10_000;
const ACCOUNTS: u32 = 90_000;
const STATEMENT: &[u8] = b"P_0";
const WITH_NUMBER: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = 10000;";
const WITH_PARAMETER: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = $1;";
const BIG: &[u8] = b"SELECT repeat('x', 10000) FROM generate_series(1, 1000)";

/// The requests of one client.
pub struct Request {
    bytes: Vec<u8>,
    /// Where the digits of the account are, if they are.
    digits: Option<usize>,
    prepared: bool,
    seed: u32,
}

impl Request {
    pub fn new(work: Work) -> Request {
        let mut bytes = Vec::new();
        match work {
            Work::Simple | Work::Connect => {
                write::query(&mut bytes, WITH_NUMBER);
            }
            Work::Rows => write::query(&mut bytes, BIG),
            Work::Extended => {
                write::parse(&mut bytes, b"", WITH_PARAMETER, &[]);
                run(&mut bytes, b"");
            }
            Work::Prepared => run(&mut bytes, STATEMENT),
        }
        let digits = bytes.windows(5).position(|window| window == b"10000");
        let digits = digits.filter(|_| work != Work::Rows);
        Request { bytes, digits, prepared: work == Work::Prepared, seed: 0x9E37_79B9 }
    }

    /// What has to be sent once before the first request.
    pub fn preparation(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        write::parse(&mut bytes, STATEMENT, WITH_PARAMETER, &[]);
        write::sync(&mut bytes);
        self.prepared.then_some(bytes)
    }

    /// The next request, for another account.
    pub fn next(&mut self) -> &[u8] {
        if let Some(place) = self.digits {
            let mut account = FIRST + self.draw() % ACCOUNTS;
            for digit in self.bytes[place..place + 5].iter_mut().rev() {
                *digit = b'0' + (account % 10) as u8;
                account /= 10;
            }
        }
        &self.bytes
    }

    fn draw(&mut self) -> u32 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 17;
        self.seed ^= self.seed << 5;
        self.seed
    }
}

/// Bind, Describe, Execute and Sync, as libpq sends them.
fn run(bytes: &mut Vec<u8>, statement: &[u8]) {
    let account = [b"\0\x01".as_slice(), b"\0\0\0\x05", b"10000"].concat();
    let values = [b"\0\0".as_slice(), &account, b"\0\0"].concat();
    write::bind_head(bytes, b"", statement, values.len() as u32);
    bytes.extend_from_slice(&values);
    write::describe(bytes, TargetKind::Portal, b"");
    write::execute(bytes, b"", 0);
    write::sync(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_asks_for_another_account_in_as_many_bytes() {
        for work in [Work::Simple, Work::Extended, Work::Prepared] {
            let mut request = Request::new(work);
            let first = request.next().to_vec();
            let second = request.next().to_vec();
            assert_eq!(first.len(), second.len(), "{work:?}");
            assert_ne!(first, second, "{work:?}");
        }
    }

    #[test]
    fn the_big_query_stays_as_it_is() {
        let mut request = Request::new(Work::Rows);
        assert_eq!(request.next().to_vec(), request.next());
    }
}
