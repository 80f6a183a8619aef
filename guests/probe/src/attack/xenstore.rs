//! Requests to xenstore of every malformed shape, others' nodes, quotas, and a page whose indices cannot be true.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use rt::println;
use xen_abi::errno::Errno;
use xen_abi::io::xs_wire::{
    Sockmsg, XENSTORE_ERROR_PROTO, XENSTORE_ERROR_RINGIDX, XENSTORE_REQ_CONS, XENSTORE_REQ_PROD, XENSTORE_RSP_CONS,
    XENSTORE_RSP_PROD, XS_CONTROL, XS_DIRECTORY, XS_DIRECTORY_PART, XS_ERROR, XS_GET_DOMAIN_PATH, XS_GET_PERMS,
    XS_INTRODUCE, XS_IS_DOMAIN_INTRODUCED, XS_MKDIR, XS_READ, XS_RELEASE, XS_RESET_WATCHES, XS_RESUME, XS_RM,
    XS_SET_PERMS, XS_SET_TARGET, XS_TRANSACTION_END, XS_TRANSACTION_START, XS_UNWATCH, XS_WATCH, XS_WATCH_EVENT,
    XS_WRITE,
};

use super::Scene;
use super::wire::Wire;
use crate::check::Checks;
use rt::front::Store;
use rt::front::Trouble;
use rt::random::Random;

/// A name, a type, a payload, and the error that it gets.
type Shape<'a> = (&'a str, u32, &'a [u8], Errno);

/// Payloads that are not as the protocol has them.
const MALFORMED: [Shape<'static>; 26] = [
    ("no-payload", XS_READ, b"", Errno::EINVAL),
    ("no-nul", XS_READ, b"data", Errno::EINVAL),
    ("two-strings", XS_READ, b"data\0data\0", Errno::EINVAL),
    ("empty-path", XS_READ, b"\0", Errno::EINVAL),
    ("empty-part", XS_READ, b"data//x\0", Errno::EINVAL),
    ("slash-at-end", XS_WRITE, b"data/\0x", Errno::EINVAL),
    ("no-text", XS_WRITE, b"data/\xff\xfe\0x", Errno::EINVAL),
    ("dots", XS_READ, b"data/../../1\0", Errno::EINVAL),
    ("special-as-node", XS_WRITE, b"@releaseDomain\0x", Errno::EINVAL),
    ("value-without-path", XS_WRITE, b"data", Errno::EINVAL),
    ("permissions-none", XS_SET_PERMS, b"data\0", Errno::EINVAL),
    ("permissions-no-nul", XS_SET_PERMS, b"data\0n2", Errno::EINVAL),
    ("permissions-letter", XS_SET_PERMS, b"data\0x2\0", Errno::EINVAL),
    ("permissions-number", XS_SET_PERMS, b"data\0n99999\0", Errno::EINVAL),
    ("watch-no-token", XS_WATCH, b"data\0", Errno::EINVAL),
    ("watch-special", XS_WATCH, b"@introduceDomain\0t\0", Errno::EACCES),
    ("watch-unknown-special", XS_WATCH, b"@other\0t\0", Errno::EINVAL),
    ("unwatch-nothing", XS_UNWATCH, b"data\0none\0", Errno::ENOENT),
    ("end-of-nothing", XS_TRANSACTION_END, b"T\0", Errno::ENOENT),
    ("end-undecided", XS_TRANSACTION_END, b"X\0", Errno::EINVAL),
    ("part-no-offset", XS_DIRECTORY_PART, b"data\0", Errno::EINVAL),
    ("part-offset", XS_DIRECTORY_PART, b"data\0-1\0", Errno::EINVAL),
    ("part-beyond", XS_DIRECTORY_PART, b"data\x004000000000\0", Errno::EINVAL),
    ("domain-number", XS_GET_DOMAIN_PATH, b"65536\0", Errno::EINVAL),
    ("domain-sign", XS_IS_DOMAIN_INTRODUCED, b"+1\0", Errno::EINVAL),
    ("root-removed", XS_RM, b"/\0", Errno::EINVAL),
];

/// What only tools may ask, and what nobody knows.
const FORBIDDEN: [Shape<'static>; 9] = [
    ("control", XS_CONTROL, b"check\0", Errno::EACCES),
    ("introduce", XS_INTRODUCE, b"1\x001\x001\0", Errno::EACCES),
    ("release", XS_RELEASE, b"1\0", Errno::EACCES),
    ("resume", XS_RESUME, b"1\0", Errno::EACCES),
    ("set-target", XS_SET_TARGET, b"1\x002\0", Errno::EACCES),
    ("type-unused", 20, b"data\0", Errno::ENOSYS),
    ("type-event", XS_WATCH_EVENT, b"data\0t\0", Errno::ENOSYS),
    ("type-error", XS_ERROR, b"EIO\0", Errno::ENOSYS),
    ("type-huge", u32::MAX, b"data\0", Errno::ENOSYS),
];

/// All of it.
///
/// # Errors
/// The server does not answer as it has to, so that nothing more can be tried.
pub(super) fn run(checks: &mut Checks, scene: &Scene, store: &mut Store) -> Result<(), Trouble> {
    each(checks, store, &MALFORMED);
    each(checks, store, &FORBIDDEN);
    others(checks, scene, store);
    large(checks, store)?;
    watches(checks, store)?;
    transactions(checks, store)?;
    nodes(checks, store)?;
    let wire = Wire(store.memory);
    in_pieces(checks, wire)?;
    unread(checks, wire)?;
    anything(checks, wire)?;
    *store = Store::anew(store.memory);
    checks.same("store-good-request", store.write("data/x", "1"), Ok(()));
    broken(checks, store)
}

fn each(checks: &mut Checks, store: &mut Store, shapes: &[Shape<'_>]) {
    for (name, kind, payload, errno) in shapes {
        checks.same(name, store.ask(*kind, 0, payload), Err(Trouble::Refused(*errno)));
    }
}

/// Nodes that are not ours, and our own that we may not give away.
fn others(checks: &mut Checks, scene: &Scene, store: &mut Store) {
    let Scene { own, neighbour, .. } = scene;
    let (home, theirs) = (format!("/local/domain/{own}"), format!("/local/domain/{neighbour}"));
    let shapes = [
        ("root-listed", XS_DIRECTORY, "/\0".into(), Errno::EACCES),
        ("root-written", XS_WRITE, "/x\0x".into(), Errno::EACCES),
        ("theirs-read", XS_READ, format!("{theirs}/data\0"), Errno::EACCES),
        ("theirs-not-there", XS_READ, format!("{theirs}/data/none\0"), Errno::EACCES),
        ("theirs-listed", XS_DIRECTORY, format!("{theirs}/device\0"), Errno::EACCES),
        ("theirs-written", XS_WRITE, format!("{theirs}/data/x\0x"), Errno::EACCES),
        ("theirs-made", XS_MKDIR, format!("{theirs}/device/x\0"), Errno::EACCES),
        ("theirs-removed", XS_RM, format!("{theirs}\0"), Errno::EACCES),
        ("theirs-permissions", XS_GET_PERMS, format!("{theirs}/data\0"), Errno::EACCES),
        ("theirs-taken", XS_SET_PERMS, format!("{theirs}/data\0n{own}\0"), Errno::EACCES),
        ("home-taken", XS_SET_PERMS, format!("{home}\0n{own}\0"), Errno::EACCES),
        ("home-removed", XS_RM, format!("{home}\0"), Errno::EACCES),
        ("given-away", XS_SET_PERMS, format!("data\0n{neighbour}\0"), Errno::EPERM),
        ("too-many-permissions", XS_SET_PERMS, format!("data\0n{own}\0r1\0r1\0r1\0r1\0r1\0"), Errno::ENOSPC),
        ("back-end-written", XS_WRITE, format!("/local/domain/1/backend/vbd/{own}/51712/state\x006"), Errno::EACCES),
        ("back-end-of-theirs", XS_DIRECTORY, format!("/local/domain/1/backend/vbd/{neighbour}/51712\0"), Errno::EACCES),
    ];
    for (name, kind, payload, errno) in shapes {
        checks.same(name, store.ask(kind, 0, payload.as_bytes()), Err(Trouble::Refused(errno)));
    }
}

/// Paths, values and tokens at their limits and beyond.
fn large(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let path = |bytes: usize| [b"data/".as_slice(), &vec![b'a'; bytes - 5], b"\0"].concat();
    let value = |bytes: usize| [b"data/large\0".as_slice(), &vec![0xff; bytes]].concat();
    let token = |bytes: usize| [b"data\0".as_slice(), &vec![b't'; bytes], b"\0"].concat();
    checks.same("longest-path", store.ask(XS_MKDIR, 0, &path(2048)), Ok(b"OK\0".into()));
    store.ask(XS_RM, 0, &path(2048))?;
    checks.same("longest-value", store.ask(XS_WRITE, 0, &value(2048)), Ok(b"OK\0".into()));
    store.remove("data/large")?;
    let full = [b"/".as_slice(), &[b'a'; 4094], b"\0"].concat();
    let shapes: [Shape<'_>; 5] = [
        ("path-too-long", XS_MKDIR, &path(2049), Errno::EINVAL),
        ("path-of-a-whole-message", XS_READ, &full, Errno::EINVAL),
        ("node-too-large", XS_WRITE, &value(2049), Errno::ENOSPC),
        ("node-as-large-as-a-message", XS_WRITE, &value(4085), Errno::ENOSPC),
        ("token-too-long", XS_WATCH, &token(4000), Errno::EINVAL),
    ];
    each(checks, store, &shapes);
    // Each part is a node: that would be a thousand of them by one request.
    let deep = |names: usize| ["data", &"/a".repeat(names - 1), "\0"].concat();
    checks.same("too-deep", store.ask(XS_MKDIR, 0, deep(1020).as_bytes()), Err(Trouble::Refused(Errno::EINVAL)));
    checks.same("nothing-of-it", store.read("data/a"), Err(Trouble::Refused(Errno::ENOENT)));
    checks.same("deepest", store.ask(XS_MKDIR, 0, deep(32).as_bytes()), Ok(b"OK\0".into()));
    store.remove("data/a")
}

/// More watches than there may be.
fn watches(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let mut made = 0;
    let refused = loop {
        match store.ask(XS_WATCH, 0, format!("data\0{made}\0").as_bytes()) {
            Ok(_) if made < 1000 => made += 1,
            other => break other,
        }
    };
    checks.same("watches", (made > 32, refused), (true, Err(Trouble::Refused(Errno::E2BIG))));
    checks.same("watch-twice", store.ask(XS_WATCH, 0, b"data\x007\0"), Err(Trouble::Refused(Errno::EEXIST)));
    // Each of these writes is told by all of them.
    for number in 0..20 {
        store.write(&format!("data/w{number}"), "1")?;
        store.remove(&format!("data/w{number}"))?;
    }
    checks.same("watches-reset", store.ask(XS_RESET_WATCHES, 0, b"\0"), Ok(b"OK\0".into()));
    Ok(())
}

/// More transactions than there may be, ones that clash, one that looks at too much.
fn transactions(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let begin = |store: &mut Store| {
        let text = store.ask(XS_TRANSACTION_START, 0, b"\0")?;
        let digits = core::str::from_utf8(&text).unwrap_or_default().trim_end_matches('\0');
        digits.parse::<u32>().map_err(|_| Trouble::Device("no number of a transaction".into()))
    };
    let going: Vec<u32> = (0..10).map(|_| begin(store)).collect::<Result<_, _>>()?;
    checks.same("transactions", begin(store), Err(Trouble::Refused(Errno::ENOSPC)));
    checks.same("transaction-unknown", store.ask(XS_READ, 4711, b"data\0"), Err(Trouble::Refused(Errno::ENOENT)));
    let [first, second, ..] = going[..] else { return Ok(()) };
    let nested = store.ask(XS_TRANSACTION_START, first, b"\0");
    checks.same("transaction-in-another", nested, Err(Trouble::Refused(Errno::EBUSY)));
    store.ask(XS_WRITE, first, b"data/t\x001")?;
    store.write("data/t", "2")?;
    let clash = store.ask(XS_TRANSACTION_END, first, b"T\0");
    checks.same("transactions-clash", clash, Err(Trouble::Refused(Errno::EAGAIN)));
    let mut refused = Ok(Vec::new());
    for number in 0..200 {
        let value = [format!("data/t{number}\0").as_bytes(), &[0; 2000]].concat();
        refused = store.ask(XS_WRITE, second, &value);
        if refused.is_err() {
            break;
        }
    }
    checks.same("transaction-too-large", refused, Err(Trouble::Refused(Errno::ENOSPC)));
    let commit = store.ask(XS_TRANSACTION_END, second, b"T\0");
    checks.same("transaction-overdrawn", commit, Err(Trouble::Refused(Errno::ENOSPC)));
    checks.same("transaction-left-nothing", store.read("data/t0"), Err(Trouble::Refused(Errno::ENOENT)));
    for number in going.into_iter().skip(2) {
        store.ask(XS_TRANSACTION_END, number, b"F\0")?;
    }
    store.remove("data/t")
}

/// All nodes, and all bytes, that there may be, and then they are there again.
fn nodes(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    for (name, value) in [("nodes", &[0; 0][..]), ("bytes", &[b'x'; 2000][..])] {
        let mut made = 0;
        let refused = loop {
            match store.write(&format!("data/{name}/{made}"), value) {
                Ok(()) if made < 2000 => made += 1,
                other => break other,
            }
        };
        checks.same(name, refused, Err(Trouble::Refused(Errno::ENOSPC)));
        checks.that(name, (32..=1000).contains(&made), format_args!("{made}"));
        println!("attack: {made} nodes of {} bytes", value.len());
        store.remove(&format!("data/{name}"))?;
    }
    checks.same("nodes-again", store.write("data/x", "1"), Ok(()));
    Ok(())
}

/// A message that comes a byte at a time, with a notification for each.
fn in_pieces(checks: &mut Checks, wire: Wire) -> Result<(), Trouble> {
    let payload = b"data/x\0";
    let header = Sockmsg { kind: XS_READ, req_id: 0x1234_5678, tx_id: 0, len: payload.len() as u32 };
    for byte in [zerocopy::IntoBytes::as_bytes(&header), payload].concat() {
        wire.put(&[byte])?;
    }
    let (answer, value) = wire.receive()?;
    checks.same("in-pieces", (answer.kind, answer.req_id, &value[..]), (XS_READ, 0x1234_5678, &b"1"[..]));
    Ok(())
}

/// Requests whose answers nobody takes: the server waits with the others, and none is lost.
fn unread(checks: &mut Checks, wire: Wire) -> Result<(), Trouble> {
    const COUNT: u32 = 40;
    for number in 0..COUNT {
        let payload = b"/local/domain/2/data/x\0";
        wire.send(Sockmsg { kind: XS_READ, req_id: number, tx_id: 0, len: payload.len() as u32 }, payload)?;
    }
    let mut right = 0;
    for number in 0..COUNT {
        right += u32::from(wire.receive()?.0.req_id == number);
    }
    checks.same("answers-in-order", right, COUNT);
    Ok(())
}

/// Messages of any type with any payload: each has one answer, of its type or an error.
fn anything(checks: &mut Checks, wire: Wire) -> Result<(), Trouble> {
    const COUNT: u32 = 300;
    const LETTERS: [u8; 16] = *b"ab/d1@\0\0\xff-nrw0T.";
    let mut random = Random::new(1);
    let (mut right, mut refused) = (0, 0);
    for number in 0..COUNT {
        let mut payload: Vec<u8> = if random.below(3) == 0 { b"data/".into() } else { Vec::new() };
        for _ in 0..random.below(40) {
            payload.push(random.one_of(&LETTERS).unwrap_or(0));
        }
        let kind = random.below(24) as u32;
        let tx_id = if random.below(8) == 0 { random.below(20) as u32 } else { 0 };
        wire.send(Sockmsg { kind, req_id: number, tx_id, len: payload.len() as u32 }, &payload)?;
        let (answer, _) = wire.receive()?;
        let is_error = answer.kind == XS_ERROR;
        right += u32::from(answer.req_id == number && (answer.kind == kind || is_error));
        refused += u32::from(is_error);
    }
    checks.same("each-has-an-answer", right, COUNT);
    checks.that("most-are-refused", refused > COUNT / 2 && refused < COUNT, format_args!("{refused}"));
    Ok(())
}

/// What ends the connection: the page says why, nothing more is heard, and a new connection works.
fn broken(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let wire = Wire(store.memory);
    type Deed = fn(Wire) -> Result<(), Trouble>;
    let deeds: [(&str, u32, Deed); 5] = [
        ("message-too-long", XENSTORE_ERROR_PROTO, |wire| {
            wire.send(Sockmsg { kind: XS_READ, req_id: 1, tx_id: 0, len: 4097 }, &[])
        }),
        ("message-huge", XENSTORE_ERROR_PROTO, |wire| {
            wire.send(Sockmsg { kind: XS_WRITE, req_id: 1, tx_id: 0, len: u32::MAX }, &[])
        }),
        ("requests-run-ahead", XENSTORE_ERROR_RINGIDX, |wire| {
            wire.set(XENSTORE_REQ_PROD, wire.word(XENSTORE_REQ_CONS).wrapping_add(1025));
            Ok(())
        }),
        ("requests-run-back", XENSTORE_ERROR_RINGIDX, |wire| {
            wire.set(XENSTORE_REQ_PROD, wire.word(XENSTORE_REQ_CONS).wrapping_sub(1));
            Ok(())
        }),
        ("answers-run-ahead", XENSTORE_ERROR_RINGIDX, |wire| {
            wire.set(XENSTORE_RSP_CONS, wire.word(XENSTORE_RSP_PROD).wrapping_add(1));
            wire.send(Sockmsg { kind: XS_READ, req_id: 1, tx_id: 0, len: 7 }, b"data/x\0")
        }),
    ];
    for (name, error, deed) in deeds {
        deed(wire)?;
        checks.same(name, wire.error(), Ok(error));
        let silent = Store::anew(store.memory).read("data/x");
        checks.that(name, silent.is_err(), format_args!("{silent:?}"));
        wire.reconnect()?;
        *store = Store::anew(store.memory);
        checks.same(name, store.write("data/x", "2"), Ok(()));
    }
    for _ in 0..20 {
        wire.reconnect()?;
    }
    *store = Store::anew(store.memory);
    checks.same("begun-anew-often", store.write("data/x", "2"), Ok(()));
    Ok(())
}
