//! A front end whose states come in any order, with nodes that are missing or rubbish.

use alloc::format;

use hyp_pvio::xenbus::State;
use rt::hypercall;

use crate::check::Checks;
use crate::devices::disk::{Disk, XVDA};
use rt::front::{Ends, Store};
use rt::front::{Lent, Trouble, open_port};
use rt::random::Random;

/// Steps at random.
const STEPS: u32 = 300;
/// Numbers that lead nowhere, or where a front end has no business, and no numbers.
const RUBBISH: [&str; 14] =
    ["0", "1", "2", "7", "8", "9", "511", "65536", "4294967295", "4294967296", "-1", "8x", "", "\u{fffd}\u{1}\u{7f}"];
/// What is no state, beside all that are.
const NO_STATES: [&str; 6] = ["9", "44", "", "\0", "x", "-4"];
/// Nodes of a disk.
const NODES: [&str; 8] = [
    "ring-ref",
    "ring-ref0",
    "ring-ref1",
    "event-channel",
    "ring-page-order",
    "protocol",
    "multi-queue-num-queues",
    "feature-persistent",
];

/// A disk is driven at random, and then connected as it should be.
///
/// # Errors
/// The I/O domain does not answer as it has to, so that nothing more can be tried.
pub(super) fn run(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let ends = Ends::find(store, "vbd", XVDA)?;
    first(checks, store)?;
    rubbish(checks, store, &ends)?;
    at_random(store, &ends)?;
    // What front ends write is theirs: that is gone too.
    NODES.into_iter().try_for_each(|node| store.remove(&format!("{}/{node}", ends.front)))?;
    ends.begin_anew(store)?;
    again(checks, store, "after-random-states")?;
    store.remove(&ends.front)?;
    store.remove("device/vbd")?;
    store.wait_for(&ends.back, State::Closed)?;
    // The directory was made by who gave it, and can be made by who has it.
    ends.set(store, "backend", &ends.back)?;
    ends.set(store, "backend-id", format!("{}", ends.domain))?;
    ends.tell(store, State::Initialising)?;
    again(checks, store, "after-all-was-removed")
}

fn first(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    again(checks, store, "disk-as-it-should-be")
}

/// A proper connection works, and ends.
pub(super) fn again(checks: &mut Checks, store: &mut Store, name: &str) -> Result<(), Trouble> {
    let mut disk = Disk::connect(store, XVDA)?;
    let word = |at: u64| at << 32 | name.len() as u64;
    checks.same(name, disk.prove(8, word), Ok(()));
    disk.disconnect(store)
}

/// Each node of a connection is rubbish, one at a time: the back end says which, and waits for another try.
fn rubbish(checks: &mut Checks, store: &mut Store, ends: &Ends) -> Result<(), Trouble> {
    let port = open_port(ends.domain)?;
    let cases = [
        ("no-ring", "ring-ref", None, "no ring-ref"),
        ("ring-huge", "ring-ref", Some("4294967295"), "grant 4294967295"),
        ("ring-no-number", "ring-ref", Some("8x"), "ring-ref is \"8x\""),
        ("ring-of-nobody", "ring-ref", Some("500"), "grant 500"),
        ("no-port", "event-channel", None, "no event-channel"),
        ("port-zero", "event-channel", Some("0"), "event channel 0"),
        ("port-huge", "event-channel", Some("4294967295"), "event channel 4294967295"),
        ("port-of-xenstore", "event-channel", Some("1"), "event channel 1"),
        ("too-many-pages", "ring-page-order", Some("9"), "ring-page-order is \"9\""),
        ("too-many-queues", "multi-queue-num-queues", Some("1000"), "multi-queue-num-queues is \"1000\""),
        ("no-queues", "multi-queue-num-queues", Some("0"), "multi-queue-num-queues is \"0\""),
        ("other-protocol", "protocol", Some("x86_32-abi"), "protocol is \"x86_32-abi\""),
    ];
    let ring = Lent::new(ends.domain, false);
    for (name, node, value, error) in cases {
        ends.set(store, "ring-ref", format!("{}", ring.grant))?;
        ends.set(store, "event-channel", format!("{port}"))?;
        match value {
            Some(value) => ends.set(store, node, value)?,
            None => store.remove(&format!("{}/{node}", ends.front))?,
        }
        ends.tell(store, State::Initialised)?;
        store.wait_for(&ends.back, State::Closing)?;
        let told = store.read(&format!("{}/error", ends.back))?;
        checks.that(name, told.contains(error), format_args!("{told}"));
        store.remove(&format!("{}/{node}", ends.front))?;
        ends.begin_anew(store)?;
    }
    // It is ours.
    hypercall::close(port).map_err(Trouble::Refused)
}

fn at_random(store: &mut Store, ends: &Ends) -> Result<(), Trouble> {
    let mut random = Random::new(3);
    for _ in 0..STEPS {
        match random.below(8) {
            0..=3 => ends.tell(store, random.one_of(&State::ALL).unwrap_or(State::Unknown))?,
            4 => ends.set(store, "state", random.one_of(&NO_STATES).unwrap_or_default())?,
            5 => store.remove(&format!("{}/state", ends.front))?,
            6 => {
                let node = random.one_of(&NODES).unwrap_or_default();
                store.remove(&format!("{}/{node}", ends.front))?;
            }
            _ => {
                let (node, value) = (random.one_of(&NODES), random.one_of(&RUBBISH));
                ends.set(store, node.unwrap_or_default(), value.unwrap_or_default())?;
            }
        }
    }
    Ok(())
}
