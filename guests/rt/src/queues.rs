//! Event channels, the FIFO kind (public/event_channel.h): vCPU 0's queues.
//!
//! The hypervisor links the words of pending ports into queues, one for each of 16 priorities; the handler here takes
//! them out at the head, the highest priority first, and counts them as [`crate::events`] does.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};

use xen_abi::errno::Errno;
use xen_abi::event_channel::{
    EVTCHN_FIFO_LINK_MASK, EVTCHN_FIFO_LINKED, EVTCHN_FIFO_MASKED, EVTCHN_FIFO_MAX_QUEUES, EVTCHN_FIFO_PENDING,
};

use crate::hypercall;

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;

/// 32-bit words of a page.
const WORDS: usize = 1024;
/// Word of the control block where the heads begin.
const HEADS: usize = 2;

#[repr(C, align(4096))]
struct Page([AtomicU32; WORDS]);

static CONTROL: Page = Page([const { AtomicU32::new(0) }; WORDS]);
static EVENTS: Page = Page([const { AtomicU32::new(0) }; WORDS]);
static ON: AtomicBool = AtomicBool::new(false);
/// The next port of each queue that is being emptied.
static NEXT: [AtomicU32; EVTCHN_FIFO_MAX_QUEUES] = [const { AtomicU32::new(0) }; EVTCHN_FIFO_MAX_QUEUES];

/// Go over to queues. What is open and pending stays so; masks are gone.
pub fn begin() -> Result<(), Errno> {
    for word in CONTROL.0.iter().chain(&EVENTS.0).chain(&NEXT) {
        word.store(0, SeqCst);
    }
    let links = hypercall::init_control(&raw const CONTROL as u64 >> 12, 0, 0)?;
    ON.store(links >= 10, SeqCst);
    hypercall::expand_array(&raw const EVENTS as u64 >> 12)
}

/// Close every port and go back to the 2-level kind.
pub fn end() -> Result<(), Errno> {
    hypercall::reset()?;
    ON.store(false, SeqCst);
    Ok(())
}

/// Are events in queues now?
pub fn are_on() -> bool {
    ON.load(Relaxed)
}

fn word(port: u32) -> &'static AtomicU32 {
    // The mask keeps a port that is none in range.
    &EVENTS.0[port as usize % WORDS]
}

/// A port's word, for checks.
pub fn event_word(port: u32) -> u32 {
    word(port).load(SeqCst)
}

pub(crate) fn mask(port: u32) {
    word(port).fetch_or(MASKED, SeqCst);
}

pub(crate) fn is_pending(port: u32) -> bool {
    event_word(port) & PENDING != 0
}

pub(crate) fn take(port: u32) -> bool {
    word(port).fetch_and(!PENDING, SeqCst) & PENDING != 0
}

/// Empty the queues; `note` hears of every event that is taken.
pub(crate) fn empty(note: impl Fn(u32)) {
    let mut ready = 0;
    loop {
        ready |= CONTROL.0[0].swap(0, SeqCst);
        if ready == 0 {
            return;
        }
        let priority = ready.trailing_zeros() as usize % EVTCHN_FIFO_MAX_QUEUES;
        let next = NEXT[priority].load(SeqCst);
        let port = if next == 0 { CONTROL.0[HEADS + priority].load(SeqCst) } else { next };
        let next = word(port).fetch_and(!(LINKED | EVTCHN_FIFO_LINK_MASK), SeqCst) & EVTCHN_FIFO_LINK_MASK;
        NEXT[priority].store(next, SeqCst);
        if next == 0 {
            ready &= !(1 << priority);
        }
        if event_word(port) & MASKED == 0 && take(port) {
            note(port);
        }
    }
}
