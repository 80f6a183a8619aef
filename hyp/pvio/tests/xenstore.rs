//! Xenstore: what the protocol promises in single cases, the page, quotas, and guests that keep to nothing.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod model;
mod support;

use hyp_pvio::stream::StreamError;
use hyp_pvio::xenstore::{
    Answer as Sent, Client, Event, Fault, Quota, Server, client_page, disconnect, reset, server_page, wants_reset,
};
use model::{Operation, ask, dump, run};
use proptest::prelude::*;
use support::Memory;
use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{
    XENSTORE_CONNECTION, XENSTORE_ERROR, XENSTORE_ERROR_PROTO, XENSTORE_RECONNECT, XENSTORE_REQ_PROD, XS_DIRECTORY,
    XS_DIRECTORY_PART, XS_GET_DOMAIN_PATH, XS_INTRODUCE, XS_IS_DOMAIN_INTRODUCED, XS_MKDIR, XS_READ, XS_RESET_WATCHES,
    XS_RM, XS_SET_PERMS, XS_TRANSACTION_END, XS_TRANSACTION_START, XS_WATCH, XS_WRITE,
};

/// A server with guests 1 and 2, each with a home that it owns.
fn server(quota: Quota) -> Server {
    let mut server = Server::new(0, quota);
    for guest in 1..3 {
        server.introduce(guest);
        let home = format!("/local/domain/{guest}\0");
        ask(&mut server, 0, XS_MKDIR, 0, home.as_bytes()).unwrap();
        ask(&mut server, 0, XS_SET_PERMS, 0, format!("{home}n{guest}\0").as_bytes()).unwrap();
    }
    server
}

fn refused(error: &str) -> Result<Vec<u8>, String> {
    Err(error.into())
}

#[test]
fn a_guest_names_nodes_from_its_home() {
    let mut server = server(Quota::default());
    ask(&mut server, 1, XS_WRITE, 0, b"device/vbd/0/state\x001").unwrap();
    assert_eq!(ask(&mut server, 1, XS_READ, 0, b"/local/domain/1/device/vbd/0/state\0"), Ok(b"1".to_vec()));
    assert_eq!(ask(&mut server, 2, XS_READ, 0, b"/local/domain/1/device\0"), refused("EACCES"));
    assert_eq!(ask(&mut server, 2, XS_READ, 0, b"/local/domain/1/nothing\0"), refused("EACCES"));
    assert_eq!(ask(&mut server, 1, XS_READ, 0, b"nothing\0"), refused("ENOENT"));
    assert_eq!(ask(&mut server, 1, XS_GET_DOMAIN_PATH, 0, b"7\0"), Ok(b"/local/domain/7\0".to_vec()));
    assert_eq!(ask(&mut server, 1, XS_IS_DOMAIN_INTRODUCED, 0, b"2\0"), Ok(b"T\0".to_vec()));
    assert_eq!(ask(&mut server, 1, XS_IS_DOMAIN_INTRODUCED, 0, b"3\0"), Ok(b"F\0".to_vec()));
    assert_eq!(ask(&mut server, 1, XS_INTRODUCE, 0, b"3\x001\x001\0"), refused("EACCES"));
    assert_eq!(ask(&mut server, 1, 999, 0, b""), refused("ENOSYS"));
}

#[test]
fn long_lists_come_in_parts() {
    let mut server = server(Quota::default());
    let mut expected = Vec::new();
    for number in 0..600 {
        ask(&mut server, 1, XS_MKDIR, 0, format!("list/entry-{number:04}\0").as_bytes()).unwrap();
        expected.extend_from_slice(format!("entry-{number:04}\0").as_bytes());
    }
    assert_eq!(ask(&mut server, 1, XS_DIRECTORY, 0, b"list\0"), refused("E2BIG"));
    let (mut list, mut generation) = (Vec::new(), None);
    loop {
        let part = ask(&mut server, 1, XS_DIRECTORY_PART, 0, format!("list\0{}\0", list.len()).as_bytes()).unwrap();
        let at = part.iter().position(|byte| *byte == 0).unwrap();
        assert_eq!(*generation.get_or_insert(part[..at].to_vec()), part[..at]);
        if let Some(rest) = part[at + 1..].strip_suffix(b"\0\0") {
            list.extend_from_slice(rest);
            list.push(0);
            break;
        }
        list.extend_from_slice(&part[at + 1..]);
    }
    assert_eq!(list, expected);
    assert_eq!(ask(&mut server, 1, XS_DIRECTORY_PART, 0, b"list\x003\0"), refused("EINVAL"));
    let end = ask(&mut server, 1, XS_DIRECTORY_PART, 0, format!("list\0{}\0", list.len()).as_bytes()).unwrap();
    assert!(end.ends_with(b"\0\0"));
}

#[test]
fn the_manager_sees_guests_come_and_go_and_they_do_not() {
    let mut server = server(Quota::default());
    assert_eq!(ask(&mut server, 1, XS_WATCH, 0, b"@releaseDomain\0t\0"), refused("EACCES"));
    for special in ["@releaseDomain", "@introduceDomain"] {
        ask(&mut server, 0, XS_WATCH, 0, format!("{special}\0t\0").as_bytes()).unwrap();
        assert_eq!(server.next_event(0).unwrap().path, special);
    }
    assert_eq!(ask(&mut server, 0, XS_WATCH, 0, b"@other\0t\0"), refused("EINVAL"));
    server.introduce(3);
    server.release(3);
    let paths: Vec<_> = std::iter::from_fn(|| server.next_event(0)).map(|event| event.path).collect();
    assert_eq!(paths, ["@introduceDomain", "@releaseDomain"]);
}

#[test]
fn nothing_is_left_of_a_guest_for_the_next_of_its_number() {
    let mut server = server(Quota::default());
    ask(&mut server, 2, XS_WRITE, 0, b"secret\0x").unwrap();
    ask(&mut server, 2, XS_SET_PERMS, 0, b"secret\0n2\0b1\0").unwrap();
    ask(&mut server, 1, XS_WRITE, 0, b"mine/deep\0x").unwrap();
    server.release(1);
    server.introduce(1);
    assert_eq!(ask(&mut server, 1, XS_READ, 0, b"/local/domain/2/secret\0"), refused("EACCES"));
    assert!(dump(&mut server).keys().all(|path| !path.starts_with("/local/domain/1")));
    server.release(0);
    assert!(ask(&mut server, 0, XS_READ, 0, b"/\0").is_ok(), "the manager stays");
}

#[test]
fn watches_from_home_are_told_from_home() {
    let mut server = server(Quota::default());
    ask(&mut server, 1, XS_WATCH, 0, b"device\0tok\0").unwrap();
    ask(&mut server, 1, XS_WRITE, 0, b"device/a/b\0x").unwrap();
    let paths: Vec<_> = std::iter::from_fn(|| server.next_event(1)).map(|event| event.path).collect();
    assert_eq!(paths, ["device", "device/a", "device/a/b"]);
    ask(&mut server, 1, XS_RM, 0, b"device\0").unwrap();
    assert_eq!(server.next_event(1), Some(Event { path: "device".into(), token: b"tok".to_vec() }));
    assert_eq!(server.next_event(1), None);
    ask(&mut server, 1, XS_RESET_WATCHES, 0, b"\0").unwrap();
    ask(&mut server, 1, XS_MKDIR, 0, b"device\0").unwrap();
    assert_eq!(server.next_event(1), None);
}

#[test]
fn a_flood_of_events_becomes_one_for_each_watch() {
    let quota = Quota { events: 8, ..Quota::default() };
    let mut server = server(quota);
    ask(&mut server, 1, XS_WATCH, 0, b"a\0t\0").unwrap();
    ask(&mut server, 1, XS_WATCH, 0, b"b\0t\0").unwrap();
    for number in 0..8 {
        ask(&mut server, 1, XS_WRITE, 0, format!("a/{number}\0x").as_bytes()).unwrap();
        ask(&mut server, 1, XS_WRITE, 0, format!("a/{number}\0y").as_bytes()).unwrap();
    }
    let paths: Vec<_> = std::iter::from_fn(|| server.next_event(1)).map(|event| event.path).collect();
    assert!(paths.len() <= 8 && paths[..2] == ["a", "b"], "{paths:?}");
}

#[test]
fn a_transaction_that_looks_at_too_much_cannot_be_committed() {
    let quota = Quota { transaction_nodes: 8, transactions: 2, ..Quota::default() };
    let mut server = server(quota);
    let number =
        |answer: Vec<u8>| -> u32 { String::from_utf8(answer).unwrap().trim_end_matches('\0').parse().unwrap() };
    let first = number(ask(&mut server, 1, XS_TRANSACTION_START, 0, b"\0").unwrap());
    assert_eq!(ask(&mut server, 1, XS_TRANSACTION_START, first, b"\0"), refused("EBUSY"));
    ask(&mut server, 1, XS_TRANSACTION_START, 0, b"\0").unwrap();
    assert_eq!(ask(&mut server, 1, XS_TRANSACTION_START, 0, b"\0"), refused("ENOSPC"));
    assert_eq!(ask(&mut server, 1, XS_WRITE, first, b"a/b/c/d/e/f/g\0x"), refused("ENOSPC"));
    assert_eq!(ask(&mut server, 1, XS_TRANSACTION_END, first, b"T\0"), refused("ENOSPC"));
    assert_eq!(ask(&mut server, 1, XS_READ, 0, b"a\0"), refused("ENOENT"));
    assert_eq!(ask(&mut server, 2, XS_READ, first, b"a\0"), refused("ENOENT"));
}

/// Moves messages until neither side has anything to do, and returns what the client got.
fn exchange(server: &mut Server, memory: &Memory, client: &mut Client, budget: u32) -> Result<Vec<Sent>, Fault> {
    let (mut here, mut there) = (server_page(memory), client_page(memory));
    let (mut got, mut idle) = (Vec::new(), 0);
    while idle < 3 {
        let mut notify = false;
        let answer = client.poll(&mut there, &mut notify)?;
        let served = server.serve(1, &mut here, budget)?;
        idle = if answer.is_none() && !notify && !served.notify { idle + 1 } else { 0 };
        got.extend(answer);
    }
    Ok(got)
}

proptest! {
    #[test]
    fn what_goes_through_the_page_is_as_what_does_not(
        values in prop::collection::vec((0_u8..4, prop::collection::vec(any::<u8>(), 0..1800)), 1..19),
        budget in 1_u32..9,
    ) {
        let (mut server, memory, mut client) = (server(Quota::default()), Memory::new(4096), Client::default());
        let mut nodes = dump(&mut server);
        client.ask(XS_WATCH, 0, b"n1\0token\0").unwrap();
        let mut expected = vec![Ok(b"OK\0".to_vec())];
        for (name, value) in values {
            let operation = match name {
                3 => Operation::Read("/local/domain/1/n1".into()),
                _ => Operation::Write(format!("/local/domain/1/n{name}"), value),
            };
            let (kind, payload) = operation.message();
            client.ask(kind, 0, &payload).unwrap();
            expected.push(run(&mut nodes, 1, &operation));
        }
        let got = exchange(&mut server, &memory, &mut client, budget).unwrap();
        let replies = got.iter().filter_map(|sent| match sent {
            Sent::Reply(number, result) => Some((*number, result.clone().map_err(|errno| format!("{errno:?}")))),
            Sent::Event(event) => {
                assert_eq!(event, &Event { path: "n1".into(), token: b"token".to_vec() });
                None
            }
        });
        prop_assert_eq!(replies.collect::<Vec<_>>(), (1..).zip(expected).collect::<Vec<_>>());
        prop_assert!(got.iter().any(|sent| matches!(sent, Sent::Event(_))));
        prop_assert_eq!(dump(&mut server), nodes);
    }

    #[test]
    fn a_hostile_guest_costs_no_more_than_its_quota(
        requests in prop::collection::vec((0_u32..25, 0_u32..4, payload()), 1..150),
    ) {
        let quota = Quota { nodes: 12, bytes: 2600, value: 40, watches: 3, watch_bytes: 60, ..Quota::default() };
        let mut server = server(quota);
        let others = dump(&mut server);
        for (kind, transaction, payload) in requests {
            let _ = ask(&mut server, 1, kind, transaction, &payload);
            while server.next_event(1).is_some() {}
            prop_assert_eq!(server.next_event(2), None);
        }
        let nodes = dump(&mut server);
        let owned: Vec<_> = nodes.iter().filter(|(_, (_, entries))| entries[0].1 == 1).collect();
        let bytes = |(path, (value, entries)): &(&String, &model::Node)| {
            Quota::NODE + path.len() + value.len() + 4 * (entries.len() - 1)
        };
        prop_assert!(owned.len() <= 12 && owned.iter().map(bytes).sum::<usize>() <= 2600);
        prop_assert!(owned.iter().all(|(_, (value, _))| value.len() <= 40));
        for (path, node) in others.iter().filter(|(path, _)| !path.starts_with("/local/domain/1")) {
            prop_assert_eq!(nodes.get(path), Some(node));
        }
    }
}

/// Pieces that requests are made of, in any order.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let names =
        ["a", "a/b", "a/b/c/d/e", "b", "/local/domain/2", "/local/domain/2/x", "/", "/local", "T", "F", "n1", "b2"];
    let piece = prop_oneof![
        6 => prop::sample::select(names.to_vec()).prop_map(|name| [name.as_bytes(), &[0]].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
        1 => (0_u32..5).prop_map(|number| format!("{number}\0").into_bytes()),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

#[test]
fn quotas_are_refused_by_the_protocols_errors() {
    let quota = Quota { nodes: 3, value: 4, watches: 1, permissions: 2, ..Quota::default() };
    let mut server = server(quota);
    assert_eq!(ask(&mut server, 1, XS_WRITE, 0, b"a\0toolong"), refused("ENOSPC"));
    assert_eq!(ask(&mut server, 1, XS_MKDIR, 0, b"a/b/c\0"), refused("ENOSPC"));
    assert_eq!(ask(&mut server, 1, XS_READ, 0, b"a\0"), refused("ENOENT"), "nothing is left of it");
    assert!(ask(&mut server, 1, XS_MKDIR, 0, b"a/b\0").is_ok());
    assert_eq!(ask(&mut server, 1, XS_MKDIR, 0, b"c\0"), refused("ENOSPC"));
    assert!(ask(&mut server, 1, XS_RM, 0, b"a/b\0").is_ok() && ask(&mut server, 1, XS_MKDIR, 0, b"c\0").is_ok());
    assert!(ask(&mut server, 1, XS_WATCH, 0, b"a\0t\0").is_ok());
    assert_eq!(ask(&mut server, 1, XS_WATCH, 0, b"b\0t\0"), refused("E2BIG"));
    assert_eq!(ask(&mut server, 1, XS_SET_PERMS, 0, b"a\0n1\0r2\0r3\0"), refused("ENOSPC"));
    assert_eq!(ask(&mut server, 1, XS_SET_PERMS, 0, b"a\0n2\0"), refused("EPERM"));
}

#[test]
fn who_breaks_the_protocol_is_disconnected() {
    let (mut server, memory) = (server(Quota::default()), Memory::new(4096));
    let mut page = server_page(&memory);
    memory.poke(XENSTORE_REQ_PROD, 1025);
    let error = StreamError { producer: 1025, consumer: 0, size: 1024 };
    assert_eq!(server.serve(1, &mut page, 9), Err(Fault::Stream(error)));

    memory.poke(XENSTORE_CONNECTION, XENSTORE_RECONNECT);
    assert!(wants_reset(&memory));
    reset(&memory);
    server.introduce(1);
    assert!(!wants_reset(&memory));
    let mut page = server_page(&memory);
    memory.poke(12, 4097);
    memory.poke(XENSTORE_REQ_PROD, 16);
    let fault = server.serve(1, &mut page, 9).unwrap_err();
    assert_eq!(fault, Fault::Length { length: 4097 });
    disconnect(&memory, fault);
    assert_eq!(memory.peek(XENSTORE_ERROR), XENSTORE_ERROR_PROTO);
}

#[test]
fn a_client_believes_no_answer_that_it_did_not_ask_for() {
    let (mut client, memory) = (Client::default(), Memory::new(4096));
    let mut bytes = vec![0; 4096];
    // The answer to request 5 of type READ, which was never made.
    bytes[1024..1040].copy_from_slice(&[2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes[2060] = 16;
    memory.fill(&bytes);
    let fault = client.poll(&mut client_page(&memory), &mut false).unwrap_err();
    assert_eq!(fault, Fault::Answer { kind: 2, number: 5 });
    let mut client = Client::default();
    assert!((0..20).all(|_| client.ask(XS_READ, 0, b"a\0").is_ok()));
    assert_eq!(client.ask(XS_READ, 0, b"a\0"), Err(Errno::EBUSY));
}
