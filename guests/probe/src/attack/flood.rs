//! Notifications without an end, of everything that there is, with a little to do for some of them.

use hyp_pvio::block::Kind;
use rt::{Machine, hypercall, timer};
use xen_abi::io_domain::{CONSOLE_PORT, STORE_PORT};

use super::console;
use crate::check::Checks;
use crate::devices::disk::{Disk, XVDA};
use rt::front::Store;
use rt::front::Trouble;

/// How long, ns.
const TIME: u64 = 100_000_000;
/// After so many notifications, something is asked.
const IDLE: u64 = 64;

/// Sends for [`TIME`] without a pause; what is asked between is answered nevertheless.
///
/// # Errors
/// It is not.
pub(super) fn run(checks: &mut Checks, machine: &'static Machine, store: &mut Store) -> Result<(), Trouble> {
    let mut disk = Disk::connect(store, XVDA)?;
    let end = timer::now() + TIME;
    let (mut sent, mut asked) = (0_u64, 0_u64);
    while timer::now() < end {
        for port in [STORE_PORT, CONSOLE_PORT, disk.port] {
            hypercall::send(port).map_err(Trouble::Refused)?;
        }
        sent += 3;
        if sent % (3 * IDLE) == 0 {
            console::flood(machine);
            disk.operate(Kind::Read, 8)?;
            store.write("data/x", "3")?;
            asked += 1;
        }
    }
    checks.that("flood", asked > 10, alloc::format!("{sent}-{asked}"));
    rt::println!("attack: {sent} notifications, {asked} times something to do");
    disk.disconnect(store)
}
