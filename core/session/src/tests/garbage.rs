//! Bytes that mean nothing: they are refused or passed on, never a reason to panic.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::parameters::Wanted;
use crate::{Output, Pause, Server, Session, Statements};

/// Messages with tags that exist and bodies that need not, or anything at all.
fn stream(tags: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => prop::sample::select(b"\0\0SPaI".to_vec()), 1 => any::<u8>()];
    let message = (prop::sample::select(tags), vec(byte, 0..12)).prop_map(|(tag, body)| {
        let mut message = vec![tag];
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        message
    });
    let messages = vec(message, 0..12).prop_map(|messages| messages.concat());
    prop_oneof![9 => messages, 1 => vec(any::<u8>(), 0..64)]
}

fn feed(session: &mut Session, server: Option<&mut Server>, input: &[u8]) {
    let mut server = server;
    let mut at = 0;
    loop {
        let taken = session.send(server.as_deref_mut(), &input[at..], &mut Output::default());
        assert!(taken.consumed <= input.len() - at);
        at += taken.consumed;
        if taken.consumed == 0 || taken.pause != Pause::More(0) {
            return;
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_of_clients_and_servers_are_taken(
        client in stream(b"BCDEFHPQSXcdfz"),
        replies in stream(b"123ACDEGHINSTVWZdcnst"),
        more in stream(b"BCDEFHPQSXcdf"),
        attached in any::<bool>(),
        present in any::<bool>(),
    ) {
        let known = Rc::new(RefCell::new(Statements::default()));
        let mut session = Session::new(1, Wanted::default(), known);
        let mut server = Server::new([], 2);
        feed(&mut session, attached.then_some(&mut server), &client);
        let listener = present.then_some(&mut session);
        if let Ok(taken) = server.receive(listener, &replies, &mut Vec::new()) {
            prop_assert!(taken <= replies.len());
            feed(&mut session, Some(&mut server), &more);
        }
        prop_assert!(!server.is_free() || server.is_quiet());
        server.finish_flight(&mut Vec::new());
    }
}
