//! Two domains that share pages, one of which starts again while the other has its pages mapped.
//!
//! The lender is domain 1, the borrower domain 2. They talk through the first words of the first granted page.

use core::sync::atomic::Ordering::SeqCst;

use rt::{Machine, grants, memory, power, timer};
use xen_abi::domid::DOMID_SELF;
use xen_abi::grant_table::{
    Copy, CopyPtr, GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF, GNTMAP_HOST_MAP, GNTMAP_READONLY, GNTST_BAD_COPY_ARG,
    GNTST_GENERAL_ERROR, GNTST_OKAY,
};

use crate::check::Checks;

const LENDER: u16 = 1;
const BORROWER: u16 = 2;
const PAGE: u64 = grants::PAGE as u64;
const BLOCK: u64 = 2 << 20;
/// Entries: a page to write, a page to read.
const SHARED: u32 = 8;
const READABLE: u32 = 9;
/// What the lender has in its pages, in its first and in its second life.
const FIRST_LIFE: u64 = 0x6c65_6e64_6572_2031;
const SECOND_LIFE: u64 = 0x6c65_6e64_6572_2032;
const TO_READ: u64 = 0x726f_2064_6174_6121;
/// What the borrower says: in the second word that it is there, in the third what the lender is to do.
const HELLO: u64 = 0x6865_6c6c_6f21_2121;
const START_AGAIN: u64 = 1;
const END: u64 = 2;
/// What the borrower writes to where the lender's page was.
const AFTER_ALL: u64 = 0xdead_dead_dead_dead;
/// How long the lender's second life looks for that, ns.
const WATCH: u64 = 20_000_000;

fn pause() {
    timer::wait_until(timer::now() + 200_000);
}

fn wait_for(address: u64, value: u64) {
    while grants::peek(address) != value {
        pause();
    }
}

/// The side that grants; it lives twice.
pub(crate) fn lend(checks: &mut Checks, machine: &Machine) {
    let Some(mailbox) = memory::mailbox(machine) else { return checks.that("mailbox", false, "no-room") };
    let (page, readable) = (machine.middle(), machine.middle() + PAGE);
    let again = mailbox.load(SeqCst) == SECOND_LIFE;
    checks.same("grant-table-map", grants::connect(), Ok(()));
    checks.that("grant-table-empty", (0..512).all(|entry| grants::entry(entry).load(SeqCst) == 0), "it-is-not");
    (0..4).for_each(|word| grants::poke(page + 8 * word, 0));
    if again {
        grants::poke(page, SECOND_LIFE);
        timer::wait_until(timer::now() + WATCH);
        let after = grants::peek(page + 8);
        checks.that("next-life-is-its-own", after != AFTER_ALL, format_args!("{after:#x}"));
        grants::grant(SHARED, BORROWER, page / PAGE, false);
        wait_for(page + 16, END);
        return;
    }
    mailbox.store(SECOND_LIFE, SeqCst);
    grants::poke(page, FIRST_LIFE);
    grants::poke(readable + 2048, TO_READ);
    grants::grant(READABLE, BORROWER, readable / PAGE, true);
    grants::grant(SHARED, BORROWER, page / PAGE, false);
    wait_for(page + 8, HELLO);
    checks.that("grant-in-use", grants::in_use(SHARED), "it-is-not");
    wait_for(page + 16, START_AGAIN);
    checks.same("copied-from-there", grants::peek(page + 1024), TO_READ);
    checks.print_sum();
    power::reboot();
}

/// Maps the shared page when it is granted; the handle.
fn map_shared(address: u64) -> u32 {
    loop {
        match grants::map(LENDER, SHARED, address, GNTMAP_HOST_MAP) {
            Ok(answer) if answer.status == GNTST_OKAY => return answer.handle,
            _ => pause(),
        }
    }
}

/// The side that maps.
pub(crate) fn borrow(checks: &mut Checks, machine: &Machine) {
    let own = machine.middle();
    reservations(checks, own + BLOCK);
    // Over its own RAM, which nobody gave up.
    let (page, readable) = (own, own + PAGE);
    grants::poke(page, AFTER_ALL ^ 1);
    let handle = map_shared(page);
    checks.same("grant-read", grants::peek(page), FIRST_LIFE);
    grants::poke(page + 8, HELLO);
    let read_only = grants::map(LENDER, READABLE, readable, GNTMAP_HOST_MAP);
    checks.same("grant-write-refused", read_only.map(|answer| answer.status), Ok(GNTST_GENERAL_ERROR));
    let read_only = grants::map(LENDER, READABLE, readable, GNTMAP_HOST_MAP | GNTMAP_READONLY);
    checks.same("grant-read-only", read_only.map(|answer| answer.status), Ok(GNTST_OKAY));
    checks.same("grant-read-only-data", grants::peek(readable + 2048), TO_READ);
    if let Ok(answer) = read_only {
        checks.same("grant-unmap", grants::unmap(answer.handle, readable), Ok(GNTST_OKAY));
    }
    copies(checks, own + 2 * PAGE);
    grants::poke(page + 16, START_AGAIN);
    // The lender goes; what was its page is a page of ours then, and we do not notice otherwise.
    while grants::peek(page) == FIRST_LIFE {
        pause();
    }
    let until = timer::now() + 2 * WATCH;
    while timer::now() < until {
        grants::poke(page, AFTER_ALL);
        grants::poke(page + 8, AFTER_ALL);
        pause();
    }
    checks.same("revoked-page-is-there", grants::peek(page), AFTER_ALL);
    checks.same("revoked-unmap", grants::unmap(handle, page), Ok(GNTST_OKAY));
    checks.same("own-page-again", grants::peek(page), AFTER_ALL ^ 1);
    let handle = map_shared(page);
    checks.same("grant-of-the-next-life", grants::peek(page), SECOND_LIFE);
    grants::poke(page + 16, END);
    checks.same("grant-unmap-again", grants::unmap(handle, page), Ok(GNTST_OKAY));
}

/// From the page that may be read to one of ours, from there to the page that may be written.
fn copies(checks: &mut Checks, own: u64) {
    let here = |offset| CopyPtr { u: own / PAGE, domid: DOMID_SELF, offset, pad0: 0 };
    let there = |reference: u32, offset| CopyPtr { u: reference.into(), domid: LENDER, offset, pad0: 0 };
    let copy = |source, dest, flags| Copy { source, dest, len: 8, flags, ..Default::default() };
    let mut list = [
        copy(there(READABLE, 2048), here(64), GNTCOPY_SOURCE_GREF),
        copy(here(4090), there(SHARED, 0), GNTCOPY_DEST_GREF),
        copy(here(64), there(READABLE, 0), GNTCOPY_DEST_GREF),
        copy(here(64), there(SHARED, 1024), GNTCOPY_DEST_GREF),
    ];
    checks.same("grant-copy", grants::copy(&mut list), Ok(()));
    let expected = [GNTST_OKAY, GNTST_BAD_COPY_ARG, GNTST_GENERAL_ERROR, GNTST_OKAY];
    checks.same("grant-copy-each", list.map(|copy| copy.status), expected);
    checks.same("grant-copy-data", grants::peek(own + 64), TO_READ);
}

/// Pages given up and taken back, single ones and a block.
fn reservations(checks: &mut Checks, start: u64) {
    let all = grants::pages_left();
    let frames: [u64; 24] = core::array::from_fn(|n| start / PAGE + 3 * n as u64);
    frames.iter().for_each(|frame| grants::poke(frame * PAGE, !frame));
    checks.same("give-up", grants::give_up(&frames, 0), 24);
    checks.same("give-up-counted", grants::pages_left(), all.map(|pages| pages - 24));
    checks.same("give-up-twice", grants::give_up(&frames, 0), 0);
    checks.same("take-back", grants::take_back(&frames, 0), 24);
    checks.that("take-back-data", frames.iter().all(|frame| grants::peek(frame * PAGE) == !frame), "it-is-not");
    let block = [(start + BLOCK) / PAGE];
    checks.same("give-up-block", grants::give_up(&block, 9), 1);
    checks.same("give-up-block-counted", grants::pages_left(), all.map(|pages| pages - 512));
    checks.same("take-back-block", grants::take_back(&block, 9), 1);
    checks.same("remove", grants::remove_from_physmap(frames[0]), Ok(()));
    checks.same("take-back-removed", grants::take_back(&frames[..1], 0), 1);
    checks.same("take-back-all", grants::pages_left(), all);
}
