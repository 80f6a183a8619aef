//! An I/O domain, domain 1, and a guest of its, domain 2: what both find without asking, and what outlives whom.
//!
//! The guest lives twice, by its own reboot. Then the I/O domain crashes and lives again, which the guest must not notice but
//! by the answers. They talk through xenstore's page, not in xenstore's words: a word of the guest's in the ring of requests,
//! a word back in that of responses.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use rt::{Machine, events, grants, hypercall, memory, power};
use xen_abi::event_channel::EVTCHNSTAT_INTERDOMAIN;
use xen_abi::hvm::{
    HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN, HVMOP_GET_PARAM,
    HvmParam,
};
use xen_abi::hypercall::HVM_OP;
use xen_abi::io_domain::{self, CONSOLE_PORT, STORE_CONNECTION, STORE_PORT, STORE_RECONNECT, console_page, store_page};

use crate::check::{Checks, comes};

const SERVER: u16 = 1;
const GUEST: u16 = 2;
/// Words of xenstore's page: the guest's request, the number of a port of its, and the answer.
const REQUEST: u64 = 0;
const PORT: u64 = 8;
const ANSWER: u64 = 1024;
/// The word of the console's page that the guest writes, and what.
const PRINTED: (u64, u64) = (0, 0x636f_6e73_6f6c_6521);
/// What the mailbox holds in the second life of either.
const AGAIN: u64 = 0x696f_2d61_6761_696e;
/// The requests: one of each life of the guest, and a second one of its second life.
const REQUESTS: [u64; 3] = [0x6865_6c6c_6f20_3031, 0x6865_6c6c_6f20_3032, 0x6865_6c6c_6f20_3033];

/// Is the page's mark there that says that nobody is connected?
fn is_marked(store: u64) -> bool {
    grants::peek(store + STORE_CONNECTION / 8 * 8) >> 32 == u64::from(STORE_RECONNECT)
}

/// A parameter of a domain.
fn param(domid: u16, index: u32) -> Option<u64> {
    let mut argument = HvmParam { domid, index, ..Default::default() };
    hypercall::operate(HVM_OP, HVMOP_GET_PARAM, &mut argument).ok().map(|_| argument.value)
}

/// A domain finds its own, or another's, by parameters.
fn parameters(checks: &mut Checks, domid: u16) {
    let indexes = [HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_PFN, HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_STORE_EVTCHN];
    let frames = [console_page, store_page].map(|page| page(memory::SHARED_BASE, 0) / grants::PAGE as u64);
    let expected = [frames[0], frames[1], CONSOLE_PORT.into(), STORE_PORT.into()];
    checks.same("parameters", indexes.map(|index| param(domid, index)), expected.map(Some));
}

/// A fixed channel, and its other end.
fn channel(checks: &mut Checks, name: &str, port: u32, other: (u16, u32)) {
    let status = hypercall::status(port).map(|status| (status.status, status.detail, status.detail_port));
    checks.same(name, status, Ok((EVTCHNSTAT_INTERDOMAIN, u32::from(other.0), other.1)));
    checks.same("unmask", hypercall::unmask(port), Ok(()));
}

/// The guest.
pub(crate) fn guest(checks: &mut Checks, machine: &Machine) {
    let Some(mailbox) = memory::mailbox(machine) else { return checks.that("mailbox", false, "no-room") };
    let again = mailbox.load(SeqCst) == AGAIN;
    mailbox.store(AGAIN, SeqCst);
    let (console, store) = (console_page(memory::SHARED_AS_MEMORY, 0), store_page(memory::SHARED_AS_MEMORY, 0));
    checks.same("shared-info-map", events::connect(), Ok(()));
    parameters(checks, xen_abi::domid::DOMID_SELF);
    channel(checks, "store-channel", STORE_PORT, (SERVER, io_domain::store_port(GUEST)));
    channel(checks, "console-channel", CONSOLE_PORT, (SERVER, io_domain::console_port(GUEST)));
    checks.same("nothing-of-another-life", [store + REQUEST, store + ANSWER, console].map(grants::peek), [0; 3]);
    grants::poke(console + PRINTED.0, PRINTED.1);
    checks.that("connected", comes(|| !is_marked(store) && events::count(STORE_PORT) > 0), "it-is-not");
    let open = hypercall::alloc_unbound(SERVER);
    grants::poke(store + PORT, open.map_or(0, u64::from));
    ask(checks, store, REQUESTS[usize::from(again)]);
    if !again {
        checks.print_sum();
        power::reboot();
    }
    ask(checks, store, REQUESTS[2]);
}

/// Asks, and waits for the answer.
fn ask(checks: &mut Checks, store: u64, request: u64) {
    grants::poke(store + REQUEST, request);
    checks.same("ask", hypercall::send(STORE_PORT), Ok(()));
    checks.that("answered", comes(|| grants::peek(store + ANSWER) == !request), format_args!("{request:#x}"));
}

/// Does the tree that the loader left hold this word?
fn has(tree: &[u8], word: &str) -> bool {
    tree.windows(word.len()).any(|bytes| bytes == word.as_bytes())
}

/// The I/O domain.
pub(crate) fn server(checks: &mut Checks, machine: &Machine) {
    let Some(mailbox) = memory::mailbox(machine) else { return checks.that("mailbox", false, "no-room") };
    let tree = machine.initrd.unwrap_or_default();
    checks.same("tree", tree.get(..4), Some(&[0xd0, 0x0d, 0xfe, 0xed][..]));
    checks.that("tree-is-the-loaders", has(tree, "makuhari,io-domain") && has(tree, "xen,domain"), "it-is-not");
    checks.same("shared-info-map", events::connect(), Ok(()));
    parameters(checks, GUEST);
    let port = io_domain::store_port(GUEST);
    channel(checks, "store-channel", port, (GUEST, STORE_PORT));
    channel(checks, "console-channel", io_domain::console_port(GUEST), (GUEST, CONSOLE_PORT));
    if mailbox.load(SeqCst) == AGAIN {
        return second_life(checks);
    }
    let store = store_page(memory::SHARED_AS_MEMORY, GUEST);
    checks.that("marked", is_marked(store), "it-is-not");
    serve(checks, REQUESTS[0]);
    checks.that("marked-again", comes(|| is_marked(store)), "it-is-not");
    checks.that("told", events::count(port) >= 2, format_args!("{}", events::count(port)));
    serve(checks, REQUESTS[1]);
    crash(checks, mailbox)
}

fn crash(checks: &Checks, mailbox: &AtomicU64) -> ! {
    checks.print_sum();
    mailbox.store(AGAIN, SeqCst);
    power::crash()
}

/// Takes away the mark, as often as it comes, until a request is there; binds the guest's port, and answers.
fn serve(checks: &mut Checks, request: u64) {
    let (console, store) = (console_page(memory::SHARED_AS_MEMORY, GUEST), store_page(memory::SHARED_AS_MEMORY, GUEST));
    let port = io_domain::store_port(GUEST);
    let came = comes(|| {
        if is_marked(store) {
            grants::poke(store + STORE_CONNECTION / 8 * 8, 0);
            let _ = hypercall::send(port);
        }
        grants::peek(store + REQUEST) == request
    });
    checks.that("request", came, format_args!("{:#x}", grants::peek(store + REQUEST)));
    checks.same("printed", grants::peek(console + PRINTED.0), PRINTED.1);
    checks.that("bound", hypercall::bind_interdomain(GUEST, grants::peek(store + PORT) as u32).is_ok(), "it-is-not");
    grants::poke(store + ANSWER, !request);
    checks.same("answer", hypercall::send(port), Ok(()));
}

/// The guest has gone on meanwhile: what is in the page is its, the mark is not there, and its port can be bound again.
fn second_life(checks: &mut Checks) {
    let store = store_page(memory::SHARED_AS_MEMORY, GUEST);
    checks.that("unmarked", !is_marked(store), "it-is-not");
    serve(checks, REQUESTS[2]);
}
