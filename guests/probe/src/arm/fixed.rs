//! What a manifest fixes before guests run, seen from two guests that know by their arguments what it says: where RAM is,
//! what a partial device tree adds, pages that both have, and an event channel that is there without anybody's asking.
//!
//! The first guest lives twice, because all of this must outlive it. Only a word that the loader put at a host address
//! can show that a guest's RAM, or a shared page, is at that address: a guest sees its own addresses alone.

use rt::{Machine, events, grants, hypercall, power};
use xen_abi::domid::DOMID_SELF;
use xen_abi::errno::Errno;
use xen_abi::event_channel::EVTCHNSTAT_INTERDOMAIN;

use crate::check::{Checks, comes};

/// What both guests call their shared memory: the tree says of the first where it is, of the second not.
const SHARED: [&str; 2] = ["placed", "anywhere"];
/// Words of the shared memory: the loader's (of the first), each guest's, and how often the first guest has started.
const LOADED: u64 = 0;
const FROM_FIRST: u64 = 8;
const FROM_SECOND: u64 = 16;
const STARTS: u64 = 24;
const HELLO: u64 = 0x6865_6c6c_6f20_6f6e;
const ANSWER: u64 = 0x616e_7377_6572_2074;

/// What a guest is told.
pub(crate) struct Arguments {
    /// It is the first of the two.
    first: bool,
    /// Where its RAM is to begin.
    ram: u64,
    /// What the loader left in the middle of its RAM, and at the start of what it shares.
    word: u64,
    /// Its port and the other guest's.
    ports: (u32, u32),
    /// What `/passthrough/clock` is compatible with, if it has such a node.
    clock: Option<&'static str>,
    /// The interrupt controller's handle.
    gic: u64,
}

impl Arguments {
    /// `side=first|second ram=HEX word=HEX port=HEX remote=HEX gic=HEX`, and `clock=WORD` with a partial tree.
    pub(crate) fn read(machine: &Machine) -> Option<Self> {
        let number = |name| u64::from_str_radix(machine.argument(name)?, 16).ok();
        Some(Self {
            first: machine.argument("side")? == "first",
            ram: number("ram")?,
            word: number("word")?,
            ports: (number("port")? as u32, number("remote")? as u32),
            clock: machine.argument("clock"),
            gic: number("gic")?,
        })
    }
}

pub(crate) fn run(checks: &mut Checks, machine: &Machine, arguments: &Arguments) {
    let (start, end) = (machine.memory.0 as u64, machine.memory.1 as u64);
    checks.same("ram-starts", start, arguments.ram);
    checks.same("ram-is-the-hosts", grants::peek(start.midpoint(end)), arguments.word);
    partial_tree(checks, machine, arguments);
    let views = SHARED.map(|id| machine.shared_memory(id).map_or(0, |(start, _)| start as u64));
    let [placed, _] = views;
    if views.contains(&0) {
        return checks.that("shared-memory", false, format_args!("{views:x?}"));
    }
    checks.same("shared-memory-is-the-hosts", grants::peek(placed + LOADED), arguments.word);
    let again = grants::peek(placed + STARTS) != 0;
    if !arguments.first {
        greet(checks, views, FROM_FIRST, FROM_SECOND);
    } else if again {
        checks.same("shared-memory-outlives", grants::peek(placed + FROM_FIRST), HELLO);
    } else {
        views.iter().for_each(|view| grants::poke(view + FROM_FIRST, HELLO));
        greeted(checks, views);
    }
    channel(checks, arguments);
    if arguments.first && !again {
        grants::poke(placed + STARTS, 1);
        checks.print_sum();
        power::reboot();
    }
}

/// What the guest's own tree has of the partial one.
fn partial_tree(checks: &mut Checks, machine: &Machine, arguments: &Arguments) {
    let compatible = machine.property("/passthrough/clock", "compatible");
    let found = compatible.and_then(|bytes| bytes.strip_suffix(&[0]));
    checks.same("partial-tree-node", found, arguments.clock.map(str::as_bytes));
    let alias = machine.property("/aliases", "clock0");
    let path: &[u8] = b"/passthrough/clock\0";
    checks.same("partial-tree-alias", alias, arguments.clock.map(|_| path));
    let parent = machine.property("/", "interrupt-parent").and_then(|bytes| bytes.try_into().ok());
    checks.same("interrupt-parent", parent.map(u32::from_be_bytes).map(u64::from), Some(arguments.gic));
}

/// The second guest's half of [`greeted`].
fn greet(checks: &mut Checks, views: [u64; 2], from: u64, to: u64) {
    for (id, view) in SHARED.iter().zip(views) {
        let seen = comes(|| grants::peek(view + from) == HELLO);
        checks.that("shared-memory-read", seen, id);
        grants::poke(view + to, ANSWER);
    }
}

/// Each page shows what the other guest has written there, and only there.
fn greeted(checks: &mut Checks, views: [u64; 2]) {
    for (id, view) in SHARED.iter().zip(views) {
        let seen = comes(|| grants::peek(view + FROM_SECOND) == ANSWER);
        checks.that("shared-memory-answered", seen, id);
        checks.same("shared-memory-kept", grants::peek(view + FROM_FIRST), HELLO);
    }
}

/// The channel is connected without a call, and what is sent on it comes: in both lives of the first guest.
fn channel(checks: &mut Checks, arguments: &Arguments) {
    let (port, remote) = arguments.ports;
    let status = hypercall::status(port).map(|status| (status.status, status.detail, status.detail_port));
    let domain = if arguments.first { 2 } else { 1 };
    checks.same("channel-is-there", status, Ok((EVTCHNSTAT_INTERDOMAIN, domain, remote)));
    checks.same("channel-stays", hypercall::close(port), Err(Errno::EINVAL));
    checks.same("channel-beside-others", hypercall::alloc_unbound(DOMID_SELF), Ok(1));
    checks.same("shared-info-map", events::connect(), Ok(()));
    checks.same("channel-unmask", hypercall::unmask(port), Ok(()));
    let turns = if arguments.first { 1 } else { 2 };
    for turn in 1..=turns {
        let sent = if arguments.first { hypercall::send(port) } else { Ok(()) };
        let came = comes(|| events::count(port) >= turn);
        let answered = if arguments.first { Ok(()) } else { hypercall::send(port) };
        checks.that("channel-delivers", came, format_args!("turn-{turn}"));
        checks.same("channel-sends", (sent, answered), (Ok(()), Ok(())));
    }
}
