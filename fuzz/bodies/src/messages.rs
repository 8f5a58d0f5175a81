//! Any bytes as a stream of messages, each body given to every reader. Names read from a part of a
//! body must be those of the whole, and heads written anew must keep the rest. The last two bytes say
//! where the parts end.

use poolwright_wire::{header, read, write};

pub fn run(bytes: &[u8]) {
    let Some((mut bytes, cut)) = bytes.split_last_chunk::<2>() else { return };
    let cut = u16::from_be_bytes(*cut);
    while let Ok(Some(header)) = header(bytes) {
        let end = header.total().min(bytes.len());
        let (message, rest) = bytes.split_at(end);
        let body = &message[5..];
        names(body, header.length, usize::from(cut));
        bodies(body);
        bytes = rest;
    }
}

fn names(body: &[u8], length: u32, cut: usize) {
    let whole = read::bind_names(body, length);
    let part = read::bind_names(&body[..cut.min(body.len())], length);
    if let Ok(Some(names)) = part {
        assert_eq!(whole, part);
        let rest = length - u32::try_from(names.consumed).unwrap();
        let mut again = Vec::new();
        write::bind_head(&mut again, names.portal, names.statement, rest);
        assert_eq!(again[1..5], (length + 4).to_be_bytes());
        assert_eq!(again[5..], body[..names.consumed]);
    }
    let whole = read::parse_name(body, length);
    let part = read::parse_name(&body[..cut.min(body.len())], length);
    if let Ok(Some(_)) = part {
        assert_eq!(whole, part);
    }
}

fn bodies(body: &[u8]) {
    if let Ok(parse) = read::parse(body) {
        let mut again = Vec::new();
        write::parse(&mut again, parse.name, parse.query, parse.types);
        assert_eq!(&again[5..], body);
    }
    if let Ok(target) = read::describe(body) {
        let mut again = Vec::new();
        write::describe(&mut again, target.kind, target.name);
        assert_eq!(&again[5..], body);
        assert_eq!(read::close(body), Ok(target));
    }
    if let Ok((name, value)) = read::parameter_status(body) {
        let mut again = Vec::new();
        write::parameter_status(&mut again, name, value);
        assert_eq!(&again[5..], body);
    }
    let _ = read::query(body);
    let _ = read::execute(body);
    let _ = read::command_complete(body);
    let _ = read::ready_for_query(body);
    let _ = read::backend_key_data(body);
    let _ = read::negotiate_protocol_version(body);
    let _ = read::report(body);
    let _ = read::authentication(body);
    let _ = read::sasl_initial_response(body);
    let _ = read::password(body);
}
