//! Event channels: the 2-level kind (public/event_channel.h), or that of [`queues`] once a guest has asked for it.
//!
//! The hypervisor sets bits in a page that it and the guest share, and interrupts. The handler here clears them and
//! counts: enough to test with, and to wait on. Ports from 0 to 63 are counted, which is more than a bare guest opens.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use xen_abi::errno::Errno;
use xen_abi::shared_info::{EVTCHN_PENDING_SEL, EVTCHN_UPCALL_PENDING, Layout};

use crate::arch::{SHARED_INFO, upcall};
use crate::{cpu, hypercall, queues, timer};

/// Where the shared page has what.
pub const LAYOUT: Layout = SHARED_INFO;

/// A page of its own, which the hypervisor replaces by the shared one.
#[repr(C, align(4096))]
struct Page([AtomicU64; 512]);

static SHARED: Page = Page([const { AtomicU64::new(0) }; 512]);
static COUNTS: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
/// The last ports that the handler has seen, and how many those were.
static ARRIVALS: [AtomicU32; 16] = [const { AtomicU32::new(0) }; 16];
static ARRIVED: AtomicU32 = AtomicU32::new(0);
static LAST: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Ports that the handler has seen since they were last asked for, a bit each.
static RAISED: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Have the shared page mapped and the interrupt enabled.
pub fn connect() -> Result<(), Errno> {
    hypercall::map_shared_info(&raw const SHARED as u64 >> 12)?;
    upcall::enable()
}

/// Connect to a port of another domain, which it may open only later: asks ten times a millisecond until then. The new port
/// is not masked, and interrupts are, so that it is the caller who sees its first event.
pub fn bind_once_open(remote: u16, remote_port: u32) -> Result<u32, Errno> {
    loop {
        // Else the handler takes the first event.
        cpu::mask_interrupts();
        match hypercall::bind_interdomain(remote, remote_port) {
            Ok(port) => return hypercall::unmask(port).map(|()| port),
            // The other side has not opened its port yet.
            Err(Errno::EINVAL) => {}
            Err(error) => return Err(error),
        }
        cpu::unmask_interrupts();
        timer::wait_until(timer::now() + 100_000);
    }
}

fn word(offset: usize) -> &'static AtomicU64 {
    // A constant offset inside the page in every call; the mask keeps the index in range for all others.
    &SHARED.0[(offset / 8) & 511]
}

/// Word `offset / 8` of the shared page, for checks of its layout.
pub fn shared_word(offset: usize) -> u64 {
    word(offset).load(SeqCst)
}

fn bit(base: usize, port: u32) -> (&'static AtomicU64, u64) {
    (word(base + 8 * (port as usize / 64)), 1 << (port % 64))
}

/// Keep a port from interrupting.
pub fn mask(port: u32) {
    if queues::are_on() {
        return queues::mask(port);
    }
    let (word, bit) = bit(LAYOUT.mask, port);
    word.fetch_or(bit, SeqCst);
}

/// Is the port's pending bit set?
pub fn is_pending(port: u32) -> bool {
    if queues::are_on() {
        return queues::is_pending(port);
    }
    let (word, bit) = bit(LAYOUT.pending, port);
    word.load(SeqCst) & bit != 0
}

/// Clear the port's pending bit; was it set?
pub fn take(port: u32) -> bool {
    if queues::are_on() {
        return queues::take(port);
    }
    let (word, bit) = bit(LAYOUT.pending, port);
    word.fetch_and(!bit, SeqCst) & bit != 0
}

/// What the handler would do for this one port, without a handler; was it pending? Interrupts must be masked.
pub fn take_silently(port: u32) -> bool {
    word(EVTCHN_UPCALL_PENDING).fetch_and(!0xff, SeqCst);
    word(EVTCHN_PENDING_SEL).swap(0, SeqCst);
    take(port)
}

/// How often the handler has seen this port (0 to 63).
pub fn count(port: u32) -> u64 {
    COUNTS.get(port as usize).map_or(0, |count| count.load(SeqCst))
}

/// The last `N` ports (0 to 63) that the handler has seen, in order; at most 16, the first ones 0 where there were fewer.
pub fn arrivals<const N: usize>() -> [u32; N] {
    let end = ARRIVED.load(SeqCst) as usize + ARRIVALS.len() - N;
    core::array::from_fn(|at| ARRIVALS[(end + at) % ARRIVALS.len()].load(SeqCst))
}

/// Counter value at which the handler last began for this port (0 to 63).
pub fn last(port: u32) -> u64 {
    LAST.get(port as usize).map_or(0, |last| last.load(SeqCst))
}

/// The interrupt's handler: take every port that is pending and not masked.
pub(crate) fn upcall(counter: u64) {
    // The flag is one byte of a word whose other bytes nobody uses.
    word(EVTCHN_UPCALL_PENDING).fetch_and(!0xff, SeqCst);
    if queues::are_on() {
        return queues::empty(|port| note(port, counter));
    }
    let mut groups = word(EVTCHN_PENDING_SEL).swap(0, SeqCst);
    while groups != 0 {
        let group = groups.trailing_zeros();
        groups &= groups - 1;
        let offset = 8 * group as usize;
        let mut ports = word(LAYOUT.pending + offset).load(SeqCst) & !word(LAYOUT.mask + offset).load(SeqCst);
        while ports != 0 {
            let port = 64 * group + ports.trailing_zeros();
            ports &= ports - 1;
            if take(port) {
                note(port, counter);
            }
        }
    }
}

/// Goes through the ports (0 to 1023) that the handler has seen since this was last called.
pub fn take_raised(mut each: impl FnMut(u32)) {
    for (word, base) in RAISED.iter().zip((0..).step_by(64)) {
        let mut ports = if word.load(SeqCst) == 0 { 0 } else { word.swap(0, SeqCst) };
        while ports != 0 {
            each(base + ports.trailing_zeros());
            ports &= ports - 1;
        }
    }
}

/// Is there a port for [`take_raised`]?
pub fn any_raised() -> bool {
    RAISED.iter().any(|word| word.load(SeqCst) != 0)
}

fn note(port: u32, counter: u64) {
    if let Some(word) = RAISED.get(port as usize / 64) {
        word.fetch_or(1 << (port % 64), SeqCst);
    }
    if let (Some(count), Some(last)) = (COUNTS.get(port as usize), LAST.get(port as usize)) {
        last.store(counter, SeqCst);
        count.fetch_add(1, SeqCst);
        let at = ARRIVED.fetch_add(1, SeqCst) as usize;
        ARRIVALS[at % ARRIVALS.len()].store(port, SeqCst);
    }
}
