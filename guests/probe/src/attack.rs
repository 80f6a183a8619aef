//! A guest that attacks the I/O domain which serves it (`mode=attack neighbour=N`), by everything that both share.
//!
//! Each attack is answered by the error that the protocol has for it, or by the end of that one connection; after each, a
//! connection made anew works. What the neighbour, which does its work meanwhile, sees of it is its own matter.

mod block;
mod console;
mod flood;
mod network;
pub(crate) mod wire;
mod xenbus;
mod xenstore;

use rt::{Machine, events, grants, hypercall};
use xen_abi::io_domain::{CONSOLE_PORT, STORE_PORT};

use crate::check::Checks;
use crate::neighbour::DONE;
use rt::front::Store;
use rt::front::Trouble;

/// Who we are and who else is there.
struct Scene {
    own: u16,
    neighbour: u16,
}

/// All attacks, one after the other.
pub(crate) fn run(checks: &mut Checks, machine: &'static Machine) {
    checks.same("events", events::connect(), Ok(()));
    checks.same("grants", grants::connect(), Ok(()));
    checks.same("unmask", [STORE_PORT, CONSOLE_PORT].map(hypercall::unmask), [Ok(()); 2]);
    let result = attack(checks, machine);
    checks.that("all-attacks-made", result.is_ok(), format_args!("{result:?}"));
}

fn attack(checks: &mut Checks, machine: &'static Machine) -> Result<(), Trouble> {
    let mut store = Store::open(machine)?;
    let own = store.number("domid")?;
    let neighbour = machine.argument("neighbour").and_then(|number| number.parse().ok()).unwrap_or(own);
    let scene = Scene { own, neighbour };
    xenstore::run(checks, &scene, &mut store)?;
    xenbus::run(checks, &mut store)?;
    block::run(checks, &mut store)?;
    network::run(checks, &mut store)?;
    console::run(checks, machine, &mut store)?;
    flood::run(checks, machine, &mut store)?;
    store.write(DONE, "1")?;
    store.show(DONE, own, neighbour)
}
