//! An I/O domain that lies to its guest (`mode=liar`, domain 1), and the guest that is lied to (`mode=lied-to`, domain 2).
//!
//! The guest has the front halves of `hyp_pvio`, which our own guests are to trust their back ends with. It goes through the
//! list below by beginning anew with xenstore for each lie, so that both sides know which one it is; each ends in an error
//! that says what was wrong, and nothing of it is left for the next one.

mod card;
mod disk;
mod liar;
mod store;

use alloc::format;
use alloc::string::String;

use hyp_pvio::block::Kind;
use rt::window::Window;
use rt::{Machine, events, grants, hypercall, println};
use xen_abi::io::xs_wire::Sockmsg;
use xen_abi::io_domain::STORE_PORT;

use crate::attack::wire::Wire;
use crate::check::Checks;
use crate::devices::card::Card;
use crate::devices::disk::{Disk, XVDA};
use rt::front::Store;
use rt::front::{Trouble, wait};

pub(crate) use liar::run as lie;

/// What is lied about.
#[derive(Clone, Copy)]
enum Lie {
    /// The answer to a request to xenstore.
    Store(fn(Window, Sockmsg)),
    /// What a disk's back end writes into its ring after the first request, and what it says of its sectors.
    Disk(fn(Window), &'static str),
    /// The same of a card's rings, on which the guest sends and receives.
    Card(fn(Window, Window)),
    /// Where the back end of a disk goes instead of connecting.
    State(&'static str),
}

/// A name, the lie, and what the guest says of it.
type Trial = (&'static str, Lie, &'static str);

/// All lies, in this order on both sides. The first is none.
const TRIALS: [Trial; 28] = [
    ("store-truth", Lie::Store(store::truth), "fine"),
    ("store-number", Lie::Store(store::number), "message 77 of type 2 is no answer"),
    ("store-type", Lie::Store(store::kind), "of type 11 is no answer"),
    ("store-length", Lie::Store(store::length), "a message of 4097 bytes"),
    ("store-error-unknown", Lie::Store(store::error), "EIO"),
    ("store-event-without-end", Lie::Store(store::event), "of type 15 is no answer"),
    ("store-answers-run-ahead", Lie::Store(store::answers_ahead), "does not fit consumer index"),
    ("store-requests-run-ahead", Lie::Store(store::requests_ahead), "silence"),
    ("store-half-an-answer", Lie::Store(store::half), "silence"),
    ("disk-truth", Lie::Disk(disk::truth, "64"), "fine"),
    ("disk-number", Lie::Disk(disk::number, "64"), "Id(99)"),
    ("disk-operation", Lie::Disk(disk::operation, "64"), "Id("),
    ("disk-twice", Lie::Disk(disk::twice, "64"), "Producer { producer: 2, least: 0, most: 1 }"),
    ("disk-runs-ahead", Lie::Disk(disk::ahead, "64"), "Producer { producer: 2147483648"),
    ("disk-runs-back", Lie::Disk(disk::back, "64"), "Producer { producer: 4294967295"),
    ("disk-status", Lie::Disk(disk::status, "64"), "Failed"),
    ("disk-sectors", Lie::Disk(disk::truth, "-1"), "sectors is \"-1\""),
    ("state-closed", Lie::State("6"), "silence"),
    ("state-none", Lie::State(""), "silence"),
    ("state-rubbish", Lie::State("4 and more"), "silence"),
    ("card-silent", Lie::Card(card::nothing), "silence"),
    ("card-sent-number", Lie::Card(card::sent_number), "Answer { id: 999 }"),
    ("card-sent-twice", Lie::Card(card::sent_twice), "Producer"),
    ("card-received-number", Lie::Card(card::received_number), "Answer { id: 7 }"),
    ("card-received-past-page", Lie::Card(card::received_past_page), "Answer { id: 0 }"),
    ("card-received-without-end", Lie::Card(card::received_without_end), "Cut { slots: 1 }"),
    ("card-received-extra", Lie::Card(card::received_extra), "Answer { id: 1 }"),
    ("card-received-ahead", Lie::Card(card::received_ahead), "Producer"),
];

/// The guest that is lied to.
pub(crate) fn believe(checks: &mut Checks, machine: &'static Machine) {
    checks.same("events", events::connect(), Ok(()));
    checks.same("grants", grants::connect(), Ok(()));
    checks.same("unmask", hypercall::unmask(STORE_PORT), Ok(()));
    let result = Store::open(machine).and_then(|store| {
        TRIALS.into_iter().try_for_each(|(name, lie, expected)| {
            let mut store = Store::anew(store.memory);
            let told = match tried(&mut store, lie) {
                Ok(()) => String::from("fine"),
                Err(trouble) => format!("{trouble}"),
            };
            println!("lied-to: {name}: {told}");
            checks.that(name, told.contains(expected), expected.replace(' ', "-"));
            Wire(store.memory).reconnect()
        })
    });
    checks.that("all-lies-told", result.is_ok(), format_args!("{result:?}"));
}

/// Does what is lied about.
fn tried(store: &mut Store, lie: Lie) -> Result<(), Trouble> {
    match lie {
        Lie::Store(_) => store.read("x").map(drop),
        Lie::Disk(..) | Lie::State(_) => Disk::connect(store, XVDA)?.operate(Kind::Read, 8),
        Lie::Card(_) => {
            let mut card = Card::connect(store)?;
            card.send(1)?;
            wait(|| card.receive()).map(drop)
        }
    }
}
