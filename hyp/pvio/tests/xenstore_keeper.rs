//! What a kept xenstore server does in single cases: guests that begin anew, memory that is too small or holds something
//! else, what a commit costs; and the tree in the manager's hands.
#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod support;

use hyp_pvio::xenstore::{
    Access, Answer, Client, Event, Fault, Found, Keeper, Look, Quota, Server, TooSmall, client_page,
};
use proptest::prelude::*;
use support::{Life, Memory, Mortal};
use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{
    XENSTORE_CONNECTION, XENSTORE_ERROR, XENSTORE_ERROR_PROTO, XENSTORE_RECONNECT, XENSTORE_REQ_CONS,
    XENSTORE_REQ_PROD, XENSTORE_RSP_PROD, XS_DIRECTORY, XS_READ, XS_WATCH, XS_WRITE,
};

type Kept<'a> = Keeper<&'a Memory, &'a Memory>;

fn open<'a>(region: &'a Memory, page: &'a Memory) -> (Kept<'a>, Found) {
    let (mut keeper, found) = Keeper::open(region, 0, Quota::default());
    if keeper.attach(1, page) {
        keeper.manager().make("/local/domain/1").unwrap();
        keeper.manager().set_permissions("/local/domain/1", 1, Access::NONE, &[]).unwrap();
    }
    (keeper, found)
}

/// Asks, serves, commits and takes the first answer or event.
fn ask(keeper: &mut Kept<'_>, client: &mut Client, page: &Memory, kind: u32, payload: &[u8]) -> Option<Answer> {
    let mut end = client_page(page);
    client.ask(kind, 0, payload).unwrap();
    client.poll(&mut end, &mut false).unwrap();
    keeper.serve(1, 10).unwrap();
    let mut told = Vec::new();
    keeper.commit(&mut |domain| told.push(domain)).unwrap();
    assert_eq!(told, [1]);
    client.poll(&mut end, &mut false).unwrap()
}

#[test]
fn a_guest_that_begins_anew_has_an_empty_page_when_that_is_kept() {
    let (region, page) = (Memory::new(1 << 16), Memory::new(4096));
    let (mut keeper, found) = open(&region, &page);
    assert_eq!(found, Found::Nothing);
    let mut client = Client::default();
    assert!(ask(&mut keeper, &mut client, &page, XS_WATCH, b"a\0t\0").is_some());
    page.poke(XENSTORE_CONNECTION, XENSTORE_RECONNECT);
    assert_eq!(keeper.serve(1, 10), Ok(Look::Anew));
    // Another life begins here: it finds the guest, which asks all the same.
    let (mut keeper, found) = open(&region, &page);
    assert_eq!((found, keeper.serve(1, 10)), (Found::Everything, Ok(Look::Nothing)));
    assert_eq!(page.peek(XENSTORE_CONNECTION), XENSTORE_RECONNECT);
    assert!(page.peek(XENSTORE_REQ_CONS) > 0 && page.peek(XENSTORE_RSP_PROD) > 0);
    keeper.commit(&mut |_| ()).unwrap();
    for place in [XENSTORE_CONNECTION, XENSTORE_REQ_CONS, XENSTORE_REQ_PROD, XENSTORE_RSP_PROD] {
        assert_eq!(page.peek(place), 0);
    }
    let mut client = Client::default();
    let answer = ask(&mut keeper, &mut client, &page, XS_WRITE, b"a\0x");
    assert_eq!(answer, Some(Answer::Reply(1, Ok(b"OK\0".to_vec()))), "and no event");
    assert_eq!(client.poll(&mut client_page(&page), &mut false), Ok(None));
}

#[test]
fn who_is_released_is_not_found_again() {
    let (region, page) = (Memory::new(1 << 16), Memory::new(4096));
    let (mut keeper, _) = open(&region, &page);
    assert!(ask(&mut keeper, &mut Client::default(), &page, XS_WRITE, b"secret\0x").is_some());
    keeper.release(1);
    keeper.commit(&mut |_| ()).unwrap();
    let (mut keeper, found) = Keeper::<_, &Memory>::open(&region, 0, Quota::default());
    assert_eq!((found, keeper.manager().directory("/local/domain")), (Found::Everything, Ok(vec![])));
    assert!(keeper.attach(1, &page), "it is another guest");
}

#[test]
fn who_breaks_the_protocol_is_left_alone() {
    let (region, page) = (Memory::new(1 << 16), Memory::new(4096));
    let (mut keeper, _) = open(&region, &page);
    page.poke(12, 4097);
    page.poke(XENSTORE_REQ_PROD, 16);
    assert_eq!(keeper.serve(1, 10), Err(Fault::Length { length: 4097 }));
    assert_eq!((keeper.serve(1, 10), page.peek(XENSTORE_ERROR)), (Ok(Look::Nothing), XENSTORE_ERROR_PROTO));
    page.poke(XENSTORE_CONNECTION, XENSTORE_RECONNECT);
    assert_eq!(keeper.serve(1, 10), Ok(Look::Anew));
    assert!(keeper.attach(1, &page));
    keeper.commit(&mut |_| ()).unwrap();
    assert_eq!((keeper.serve(1, 10), page.peek(XENSTORE_ERROR)), (Ok(Look::Nothing), 0));
}

#[test]
fn memory_that_is_too_small_is_as_none() {
    let (region, page) = (Memory::new(1000), Memory::new(4096));
    let (mut keeper, _) = open(&region, &page);
    assert_eq!(keeper.commit(&mut |_| ()), Ok(()));
    keeper.manager().write("/large", &[7; 600]).unwrap();
    assert_eq!(keeper.commit(&mut |_| ()), Err(TooSmall));
    assert_eq!(open(&region, &page).1, Found::Nothing, "what is there would not be true");
    keeper.manager().remove("/large").unwrap();
    assert_eq!(keeper.commit(&mut |_| ()), Ok(()));
    let (mut keeper, found) = open(&region, &page);
    assert_eq!((found, keeper.manager().read("/large")), (Found::Everything, Err(Errno::ENOENT)));
    let none = Memory::new(7);
    let (mut keeper, _) = open(&none, &page);
    assert_eq!(keeper.commit(&mut |_| ()), Err(TooSmall));
}

#[test]
fn a_quota_says_how_much_memory_it_takes() {
    let quota = Quota { nodes: 40, bytes: 9000, watches: 9, watch_bytes: 200, ..Quota::default() };
    let region = Memory::new(quota.memory(2, 2000));
    fill(&region, quota, 200);
}

#[test]
fn a_quota_that_fits_memory_leaves_room_there() {
    for size in [300_000, 600_000, 1 << 20] {
        let (region, quota) = (Memory::new(size), Quota::fitting(size, 2, 2000));
        assert!(2 * quota.memory(2, 2000) <= size && quota.bytes >= size / 32, "{quota:?}");
        fill(&region, quota, 1000);
    }
    assert_eq!(Quota::fitting(64 << 20, 8, 1 << 16), Quota::default());
    assert!(Quota::fitting(4096, 8, 1 << 16).memory(8, 1 << 16) > 4096);
}

/// Two guests ask for more of everything than they may have, so many times: all that they got is kept.
fn fill(region: &Memory, quota: Quota, times: u32) {
    let pages = [Memory::new(4096), Memory::new(4096)];
    let (mut keeper, _) = Keeper::<_, &Memory>::open(region, 0, quota);
    for (guest, page) in (1..).zip(&pages) {
        keeper.attach(guest, page);
        let home = format!("/local/domain/{guest}");
        keeper.manager().make(&home).unwrap();
        keeper.manager().set_permissions(&home, guest, Access::BOTH, &[]).unwrap();
        let (mut client, mut end) = (Client::default(), client_page(page));
        for number in 0..times {
            let value = [format!("n{number}\0").as_bytes(), &[1; 90]].concat();
            let (kind, payload) =
                if number % 2 == 0 { (XS_WRITE, value) } else { (XS_WATCH, format!("n{number}\0\0").into_bytes()) };
            client.ask(kind, 0, &payload).unwrap();
            for _ in 0..8 {
                while client.poll(&mut end, &mut false).unwrap().is_some() {}
                keeper.serve(guest, 9).unwrap();
                keeper.commit(&mut |_| ()).unwrap();
            }
        }
    }
    assert_eq!(Keeper::<_, &Memory>::open(region, 0, quota).1, Found::Everything);
}

#[test]
fn a_request_that_changes_no_node_costs_some_bytes() {
    let (region, page) = (Memory::new(1 << 16), Memory::new(4096));
    let (mut first, _) = open(&region, &page);
    let wide = (0..200).map(|number| format!("/local/domain/1/entry-{number}"));
    wide.for_each(|path| first.manager().write(&path, &[1; 80]).unwrap());
    first.commit(&mut |_| ()).unwrap();
    for (kind, payload, most) in [(XS_READ, &b"entry-7\0"[..], 70), (XS_WRITE, b"entry-7\0new", 140)] {
        let life = Life::new(u32::MAX);
        let (mut keeper, found) = Keeper::open(Mortal { memory: &region, life: &life }, 0, Quota::default());
        assert_eq!(found, Found::Everything);
        assert!(!keeper.attach(1, &page));
        let (mut client, mut end) = (Client::default(), client_page(&page));
        client.ask(kind, 0, payload).unwrap();
        client.poll(&mut end, &mut false).unwrap();
        let before = life.spent();
        keeper.serve(1, 10).unwrap();
        keeper.commit(&mut |_| ()).unwrap();
        assert!(matches!(client.poll(&mut end, &mut false), Ok(Some(Answer::Reply(1, Ok(_))))));
        let spent = life.spent() - before;
        assert!((20..most).contains(&spent), "{kind}: {spent} bytes and words");
        let before = life.spent();
        keeper.commit(&mut |_| ()).unwrap();
        assert_eq!(life.spent(), before, "nothing changed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn memory_with_something_else_in_it_is_as_none(
        size in 0_usize..900, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (region, page) = (Memory::new(size), Memory::new(4096));
        if open(&region, &page).0.commit(&mut |_| ()).is_ok() {
            let mut bytes = vec![0; size];
            hyp_pvio::memory::SharedMemory::read(&region, 0, &mut bytes);
            changes.iter().for_each(|(at, byte)| bytes[at.index(size)] = *byte);
            region.fill(&bytes);
        }
        let (mut keeper, found) = open(&region, &page);
        let there = keeper.manager().directory("/local/domain").is_ok();
        prop_assert!(there && (found != Found::Everything || size > 200));
        let _ = keeper.commit(&mut |_| ());
    }
}

#[test]
fn the_manager_has_the_tree_in_its_hands() {
    let mut server = Server::new(0, Quota::default());
    server.introduce(1);
    let mut manager = server.manager();
    manager.watch("/a", b"mine").unwrap();
    assert_eq!(manager.watch("/a", b"mine"), Err(Errno::EEXIST));
    manager.write("/a/b", b"\0x").unwrap();
    manager.make("/a/c").unwrap();
    assert_eq!(
        (manager.read("/a/b"), manager.directory("/a")),
        (Ok(b"\0x".to_vec()), Ok(vec!["b".into(), "c".into()]))
    );
    let paths: Vec<String> = std::iter::from_fn(|| manager.next_event()).map(|Event { path, .. }| path).collect();
    assert_eq!(paths, ["/a", "/a/b", "/a/c"]);
    manager.set_permissions("/a/b", 0, Access::NONE, &[(1, Access::READ)]).unwrap();
    let mut read = |path: &[u8]| {
        let payload = [path, &[0]].concat();
        let header =
            xen_abi::io::xs_wire::Sockmsg { kind: XS_DIRECTORY, req_id: 1, tx_id: 0, len: payload.len() as u32 };
        server.handle(1, &hyp_pvio::xenstore::Message { header, payload }).unwrap().header.kind
    };
    assert_eq!(read(b"/a/b"), XS_DIRECTORY);
    assert_ne!(read(b"/a/c"), XS_DIRECTORY);
    let mut manager = server.manager();
    manager.unwatch("/a", b"mine").unwrap();
    while manager.next_event().is_some() {}
    manager.remove("/a").unwrap();
    assert_eq!((manager.read("/a"), manager.next_event()), (Err(Errno::ENOENT), None));
    assert_eq!((manager.write("a//b", b""), manager.remove("/")), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
}
