//! Whatever the bytes: no reader panics, and what a writer wrote is what a reader reads.

use poolwright_wire::read::{self, Authentication, BindNames, ParseMessage};
use poolwright_wire::scram::{Channel, ClientExchange, ServerExchange, Verifier, mock_keys};
use poolwright_wire::write::{self, ErrorFields};
use poolwright_wire::{
    CancelKey, Header, MAX_LENGTH, TargetKind, TransactionStatus, WireError, client, header,
    server, startup,
};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

/// Calls every reader; the answers do not matter.
fn read_all(bytes: &[u8], length: u32) {
    let _ = header(bytes);
    let _ = startup::length(bytes);
    let _ = startup::parse(bytes);
    let _ = read::query(bytes);
    let _ = read::parse(bytes);
    let _ = read::parse_name(bytes, length);
    let _ = read::bind_names(bytes, length);
    let _ = read::describe(bytes);
    let _ = read::close(bytes);
    let _ = read::execute(bytes);
    let _ = read::command_complete(bytes);
    let _ = read::parameter_status(bytes);
    let _ = read::ready_for_query(bytes);
    let _ = read::backend_key_data(bytes);
    let _ = read::negotiate_protocol_version(bytes);
    let _ = read::report(bytes);
    let _ = read::authentication(bytes);
    let _ = read::sasl_initial_response(bytes);
    let _ = read::password(bytes);
    let _ = ClientExchange::new("", "abc", Channel::Unbound).challenge(bytes);
    if let Ok(exchange) = ServerExchange::start(bytes, Channel::Unbound, "abc", b"salt", 4096) {
        let _ = exchange.finish(bytes, &[mock_keys("ann", &[0; 32])]);
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = startup::options(text);
        let _ = Verifier::parse(text);
    }
}

/// The body of the one message in `out`, after its header was checked.
fn body(out: &[u8], tag: u8) -> &[u8] {
    let found = header(out).unwrap().unwrap();
    assert_eq!((found.tag, found.total()), (tag, out.len()));
    &out[5..]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=u8::MAX, 0..20)
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200), length in any::<u32>()) {
        read_all(&bytes, length);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "[-=\\\\ ,nrsicpv:$0-9AQ+/\0\u{e9}]{0,60}", length: u8) {
        read_all(text.as_bytes(), u32::from(length));
    }

    #[test]
    fn a_parse_is_read_back(
        name in name(),
        query in name(),
        types in vec(any::<[u8; 4]>(), 0..5),
    ) {
        let mut out = Vec::new();
        write::parse(&mut out, &name, &query, types.as_flattened());
        let expect = ParseMessage { name: &name, query: &query, types: types.as_flattened() };
        prop_assert_eq!(read::parse(body(&out, client::PARSE)), Ok(expect));
    }

    #[test]
    fn a_renamed_parse_or_bind_keeps_its_rest(
        old in name(),
        new in name(),
        portal in name(),
        rest in vec(any::<u8>(), 0..50),
    ) {
        let rest_length = u32::try_from(rest.len()).unwrap();
        let mut out = Vec::new();
        write::bind_head(&mut out, &portal, &old, rest_length);
        out.extend_from_slice(&rest);
        let length = u32::try_from(body(&out, client::BIND).len()).unwrap();
        let names = read::bind_names(&out[5..], length).unwrap().unwrap();
        prop_assert_eq!((names.portal, names.statement), (&portal[..], &old[..]));
        prop_assert_eq!(&out[5 + names.consumed..], &rest[..]);

        let mut out = Vec::new();
        write::parse_head(&mut out, &new, rest_length);
        out.extend_from_slice(&rest);
        let length = u32::try_from(body(&out, client::PARSE).len()).unwrap();
        let found = read::parse_name(&out[5..], length).unwrap().unwrap();
        prop_assert_eq!(found.name, &new[..]);
        prop_assert_eq!(&out[5 + found.consumed..], &rest[..]);
    }

    #[test]
    fn an_error_is_read_back(message in "[^\0]{0,40}", detail in "[^\0]{0,40}") {
        let mut out = Vec::new();
        let fields = ErrorFields {
            severity: "FATAL",
            sqlstate: "28P01",
            message: &message,
            detail: Some(&detail),
            routine: Some("elog"),
            ..ErrorFields::default()
        };
        write::error_response(&mut out, &fields);
        let found = read::report(body(&out, server::ERROR_RESPONSE)).unwrap();
        prop_assert_eq!((found.severity, found.sqlstate), (&b"FATAL"[..], &b"28P01"[..]));
        prop_assert_eq!(found.message, message.as_bytes());
        prop_assert_eq!((found.detail, found.hint), (detail.as_bytes(), &b""[..]));
        prop_assert_eq!(found.routine, b"elog");
    }

    #[test]
    fn columns_are_read_whatever_table_and_format_they_have(name in name(), noise in any::<[u8; 6]>()) {
        let mut body = vec![0, 1];
        body.extend_from_slice(&name);
        body.push(0);
        body.extend_from_slice(&noise);
        body.extend_from_slice(&[0, 0, 0, 25, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, noise[0]]);
        let column = read::Column { name: &name, type_oid: 25, length: 4, modifier: -1 };
        prop_assert_eq!(read::columns(&body), Ok(vec![column]));
        prop_assert!(read::columns(&body[..body.len() - 1]).is_err());
    }

    #[test]
    fn a_nul_in_a_text_cannot_forge_a_field(before in name(), after in name()) {
        let mut text = before.clone();
        text.push(0);
        text.extend_from_slice(&after);
        let mut out = Vec::new();
        write::command_complete(&mut out, &text);
        let expect = [before, after].concat();
        prop_assert_eq!(read::command_complete(body(&out, server::COMMAND_COMPLETE)), Ok(&expect[..]));
    }

    #[test]
    fn names_split_anywhere_ask_for_more(portal in name(), statement in name()) {
        let mut out = Vec::new();
        write::bind_head(&mut out, &portal, &statement, 10);
        let length = header(&out).unwrap().unwrap().length;
        let consumed = out.len() - 5;
        for end in 0..consumed {
            prop_assert_eq!(read::bind_names(&out[5..5 + end], length), Ok(None));
        }
        let expect = BindNames { portal: &portal, statement: &statement, consumed };
        prop_assert_eq!(read::bind_names(&out[5..], length), Ok(Some(expect)));
    }

    #[test]
    fn a_startup_message_is_read_back(
        minor in 0..4,
        parameters in vec((vec(1..=u8::MAX, 1..9), name()), 0..6),
    ) {
        let protocol = startup::PROTOCOL_3_0 + minor;
        let borrowed: Vec<_> = parameters.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let mut out = Vec::new();
        write::startup(&mut out, protocol, &borrowed);
        let Ok(startup::Startup::Start(found)) = startup::parse(&out) else {
            panic!("{out:?}");
        };
        prop_assert_eq!((found.protocol, found.parameters), (protocol, borrowed));
        for end in 0..out.len() {
            prop_assert!(startup::parse(&out[..end]).is_err());
        }
    }
}

#[test]
fn small_messages_are_read_back() {
    let mut out = Vec::new();
    write::query(&mut out, b"select 1");
    assert_eq!(read::query(body(&out, client::QUERY)), Ok(&b"select 1"[..]));

    for kind in [TargetKind::Statement, TargetKind::Portal] {
        let mut out = Vec::new();
        write::close(&mut out, kind, b"s1");
        let found = read::close(body(&out, client::CLOSE)).unwrap();
        assert_eq!((found.kind, found.name), (kind, &b"s1"[..]));
        let mut out = Vec::new();
        write::describe(&mut out, kind, b"");
        let found = read::describe(body(&out, client::DESCRIBE)).unwrap();
        assert_eq!((found.kind, found.name), (kind, &b""[..]));
    }

    let mut out = Vec::new();
    write::execute(&mut out, b"p", -1);
    let found = read::execute(body(&out, client::EXECUTE)).unwrap();
    assert_eq!((found.portal, found.max_rows), (&b"p"[..], -1));

    for status in [TransactionStatus::Idle, TransactionStatus::Open, TransactionStatus::Failed] {
        let mut out = Vec::new();
        write::ready_for_query(&mut out, status);
        assert_eq!(read::ready_for_query(body(&out, server::READY_FOR_QUERY)), Ok(status));
    }

    for secret in [&[9; 4][..], &[9; 32], &[9; 256]] {
        let key = CancelKey { process_id: 42, secret };
        let mut out = Vec::new();
        write::backend_key_data(&mut out, &key);
        assert_eq!(read::backend_key_data(body(&out, server::BACKEND_KEY_DATA)), Ok(key));
        let mut out = Vec::new();
        write::cancel_request(&mut out, &key);
        assert_eq!(startup::parse(&out), Ok(startup::Startup::Cancel(key)));
    }
    for length in [3, 257] {
        assert!(read::backend_key_data(&vec![0; 4 + length]).is_err(), "{length}");
    }

    let mut out = Vec::new();
    write::negotiate_protocol_version(&mut out, startup::PROTOCOL_3_2, &[b"_pq_.a", b"_pq_.b"]);
    let told = body(&out, server::NEGOTIATE_PROTOCOL_VERSION);
    assert_eq!(read::negotiate_protocol_version(told), Ok((startup::PROTOCOL_3_2, 2)));
    for end in 0..told.len() {
        assert!(read::negotiate_protocol_version(&told[..end]).is_err(), "{end}");
    }
    assert!(read::negotiate_protocol_version(b"\0\x03\0\0\xff\xff\xff\xff").is_err());

    let mut out = Vec::new();
    write::parameter_status(&mut out, b"TimeZone", b"UTC");
    let found = read::parameter_status(body(&out, server::PARAMETER_STATUS));
    assert_eq!(found, Ok((&b"TimeZone"[..], &b"UTC"[..])));
}

#[test]
fn each_step_of_authentication_is_read_back() {
    let check = |write: &dyn Fn(&mut Vec<u8>), expect: Authentication<'_>| {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(read::authentication(body(&out, server::AUTHENTICATION)), Ok(expect));
    };
    check(&write::authentication_ok, Authentication::Ok);
    check(&write::authentication_cleartext_password, Authentication::CleartextPassword);
    check(
        &|out| write::authentication_sasl(out, &["A", "B"]),
        Authentication::Sasl(vec![b"A", b"B"]),
    );
    check(
        &|out| write::authentication_sasl_continue(out, b"x"),
        Authentication::SaslContinue(b"x"),
    );
    check(&|out| write::authentication_sasl_final(out, b"y"), Authentication::SaslFinal(b"y"));
    check(
        &|out| write::authentication_md5_password(out, *b"salt"),
        Authentication::Md5Password(*b"salt"),
    );
    assert_eq!(read::authentication(b"\0\0\0\x07"), Ok(Authentication::Other(7)));

    let mut out = Vec::new();
    write::sasl_initial_response(&mut out, "SCRAM-SHA-256", b"n,,");
    let found = read::sasl_initial_response(body(&out, client::PASSWORD)).unwrap();
    assert_eq!((found.mechanism, found.response), (&b"SCRAM-SHA-256"[..], Some(&b"n,,"[..])));
    let absent = read::sasl_initial_response(b"X\0\xff\xff\xff\xff").unwrap();
    assert_eq!(absent.response, None);

    let mut out = Vec::new();
    write::password(&mut out, b"secret");
    assert_eq!(read::password(body(&out, client::PASSWORD)), Ok(&b"secret"[..]));
}

#[test]
fn a_header_is_there_after_five_bytes_and_has_a_sane_length() {
    assert_eq!(header(b"Q\0\0\0"), Ok(None));
    assert_eq!(header(b"Q\0\0\0\x04"), Ok(Some(Header { tag: b'Q', length: 0 })));
    for bad in [0, 3, MAX_LENGTH + 1, 0x8000_0000, u32::MAX] {
        let mut bytes = vec![b'Q'];
        bytes.extend_from_slice(&bad.to_be_bytes());
        assert!(matches!(header(&bytes), Err(WireError::Length { .. })), "{bad}");
    }
}

#[test]
fn a_sasl_length_that_lies_is_refused() {
    for bad in [&b"X\0\xff\xff\xff\xfe"[..], b"X\0\x7f\xff\xff\xffabc", b"X\0\0\0\0\x02a"] {
        assert!(read::sasl_initial_response(bad).is_err(), "{bad:?}");
    }
    assert!(read::sasl_initial_response(b"X\0\0\0\0\x01ab").is_err());
}
