//! Pages that come and go: given up and taken back by one domain, mapped and unmapped by another.

use rt::hypercall::xen_abi::grant_table::{GNTMAP_HOST_MAP, GNTST_OKAY};
use rt::{Machine, grants, timer};

use crate::{failed, print};

/// Numbers of the two domains of the grants: their order in the tree, from 1.
const USER: u16 = 1;
const GRANTER: u16 = 2;
/// Pages of what is measured in one sweep.
const PAGES: u64 = 2048;
/// Grants that are mapped at the same time, and how often.
const GRANTS: u64 = 200;
const SWEEPS: u64 = 10;
/// Entries below are reserved by the ABI.
const FIRST_ENTRY: u32 = 8;

/// One domain gives up pages, one call each, and takes them back.
pub(crate) fn reservations(machine: &Machine) {
    let first = machine.middle() >> 12;
    let sweep = |name, change: fn(&[u64], u32) -> u64| {
        let start = timer::counter();
        let done: u64 = (first..first + PAGES).map(|frame| change(&[frame], 0)).sum();
        let ticks = timer::counter() - start;
        if done == PAGES { print(name, ticks, PAGES) } else { failed(name, format_args!("{done} of {PAGES} pages")) }
    };
    sweep("decrease_reservation", grants::give_up);
    sweep("populate_physmap", grants::take_back);
}

/// The side that maps, where it has given up pages.
pub(crate) fn user(machine: &Machine) {
    let first = machine.middle();
    let address = |grant: u64| first + grant * grants::PAGE as u64;
    let given_up: u64 = (0..GRANTS).map(|grant| grants::give_up(&[address(grant) >> 12], 0)).sum();
    if given_up != GRANTS {
        return failed("grant_map", format_args!("{given_up} of {GRANTS} pages given up"));
    }
    let map = |grant: u64| grants::map(GRANTER, FIRST_ENTRY + grant as u32, address(grant), GNTMAP_HOST_MAP);
    // The other side has not granted its last page yet.
    while !map(GRANTS - 1).is_ok_and(|answer| {
        answer.status == GNTST_OKAY && grants::unmap(answer.handle, address(GRANTS - 1)) == Ok(GNTST_OKAY)
    }) {
        timer::wait_until(timer::now() + 100_000);
    }
    let (mut mapping, mut unmapping, mut done) = (0, 0, 0);
    for _ in 0..SWEEPS {
        let mut handles = [0; GRANTS as usize];
        let start = timer::counter();
        for (handle, grant) in handles.iter_mut().zip(0..) {
            let answer = map(grant);
            done += u64::from(answer.is_ok_and(|answer| answer.status == GNTST_OKAY));
            *handle = answer.map_or(0, |answer| answer.handle);
        }
        let mapped = timer::counter();
        for (handle, grant) in handles.iter().zip(0..) {
            done += u64::from(grants::unmap(*handle, address(grant)) == Ok(GNTST_OKAY));
        }
        unmapping += timer::counter() - mapped;
        mapping += mapped - start;
    }
    if done == 2 * GRANTS * SWEEPS {
        print("grant_map", mapping, GRANTS * SWEEPS);
        print("grant_unmap", unmapping, GRANTS * SWEEPS);
    } else {
        failed("grant_map", format_args!("{done} of {} worked", 2 * GRANTS * SWEEPS));
    }
}

/// The side that grants.
pub(crate) fn granter(machine: &Machine) {
    if let Err(error) = grants::connect() {
        return failed("grant_map", format_args!("{error:?}"));
    }
    let first = machine.middle() >> 12;
    (0..GRANTS).for_each(|grant| grants::grant(FIRST_ENTRY + grant as u32, USER, first + grant, false));
    loop {
        timer::wait_until(timer::now() + 1_000_000_000);
    }
}
