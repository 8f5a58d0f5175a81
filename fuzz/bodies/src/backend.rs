//! Any bytes as what a server sends to a connection that owes replies: they are taken in or refused, in
//! any pieces with the same result. The first byte says what is owed, the last one where it is cut.

use std::cell::RefCell;
use std::rc::Rc;

use poolwright_session::parameters::Wanted;
use poolwright_session::{Output, Server, Session, Statements};
use poolwright_wire::write;

pub fn run(bytes: &[u8]) {
    let Some((&owed, bytes)) = bytes.split_first() else { return };
    let Some((&cut, bytes)) = bytes.split_last() else { return };
    let whole = receive(owed, &[bytes]);
    let (first, rest) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let parts = receive(owed, &[first, rest]);
    assert_eq!(whole, parts, "in pieces the same bytes mean something else");
}

/// What the client gets, how much was dealt with, and whether the connection is free then; `None`: the
/// server is given up.
fn receive(owed: u8, pieces: &[&[u8]]) -> Option<(Vec<u8>, usize, bool)> {
    let known = Rc::new(RefCell::new(Statements::default()));
    let mut session = Session::new(1, Wanted::default(), known);
    let mut server = Server::new([("TimeZone".to_owned(), "UTC".to_owned())], 2);
    let mut sent = Output::default();
    session.send(Some(&mut server), &requests(owed), &mut sent);
    let (mut input, mut to_client, mut used) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        input.extend_from_slice(piece);
        let session = (owed < 128).then_some(&mut session);
        let count = server.receive(session, &input, &mut to_client).ok()?;
        assert!(count <= input.len());
        input.drain(..count);
        used += count;
    }
    assert!(!server.is_free() || server.is_quiet());
    Some((to_client, used, server.is_free()))
}

fn requests(owed: u8) -> Vec<u8> {
    let mut out = Vec::new();
    if owed & 1 > 0 {
        write::query(&mut out, b"SELECT 1");
    }
    if owed & 2 > 0 {
        write::parse(&mut out, b"a", b"SELECT 2", &[]);
        write::bind_head(&mut out, b"", b"a", 6);
        out.extend_from_slice(&[0; 6]);
        write::execute(&mut out, b"", 0);
        write::sync(&mut out);
    }
    if owed & 4 > 0 {
        write::query(&mut out, b"COPY sink FROM STDIN");
    }
    if owed & 8 > 0 {
        write::parse(&mut out, b"", b"DISCARD ALL", &[]);
    }
    out
}
