//! Any bytes as the two sides of one conversation, piece by piece: a byte says whose piece comes and how
//! long it is. Nothing a client sends makes the model of its server free while replies are owed, and
//! what is sent on is never more than a few times what came in.

use std::cell::RefCell;
use std::rc::Rc;

use poolwright_session::parameters::Wanted;
use poolwright_session::{Output, Pause, Server, Session, Statements};

/// What the pooler may add to what a client sends: its own statements, prepared anew.
const ADDED: usize = 64 * 1024;

pub fn run(bytes: &[u8]) {
    let known = Rc::new(RefCell::new(Statements::default()));
    let mut session = Session::new(1, Wanted::default(), known);
    let mut server = Server::new([], 2);
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    let mut out = Output::default();
    let mut attached = false;
    let mut rest = bytes;
    while let Some((&what, more)) = rest.split_first() {
        let (piece, more) = more.split_at(usize::from(what & 63).min(more.len()));
        rest = more;
        if what & 64 == 0 {
            from_client.extend_from_slice(piece);
        } else if attached {
            from_server.extend_from_slice(piece);
            let Ok(used) = server.receive(Some(&mut session), &from_server, &mut out.to_client)
            else {
                return;
            };
            from_server.drain(..used);
        }
        let before = if attached { usize::MAX } else { out.to_server.len() };
        let model = attached.then_some(&mut server);
        let taken = session.send(model, &from_client, &mut out);
        assert!(taken.consumed <= from_client.len());
        from_client.drain(..taken.consumed);
        assert!(out.to_server.len() <= before, "bytes for no server");
        match taken.pause {
            Pause::NeedServer => attached = true,
            Pause::Terminate | Pause::Fatal(_) => return,
            Pause::More(_) | Pause::Hold | Pause::Crowd => {}
        }
        if attached && what & 128 > 0 && server.is_free() && session.at_boundary() {
            attached = false;
        }
    }
    let most = 8 * bytes.len() + ADDED;
    assert!(out.to_server.len() <= most, "{} bytes for {}", out.to_server.len(), bytes.len());
    server.finish_flight(&mut Vec::new());
}
