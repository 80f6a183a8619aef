//! A device that the guest is given: QEMU's PL031, whose line stays up until the guest lowers it.
//!
//! The first life leaves its alarm set, and the second one must hear nothing of it until it says so itself.

use core::cell::Cell;
use core::sync::atomic::Ordering::SeqCst;

use rt::rtc::Rtc;
use rt::{Machine, cpu, gic, memory, power, timer};

use crate::check::Checks;

/// What the mailbox holds in the second life.
const AGAIN: u64 = 0x6465_7669_6365_2121;
/// A second on the device's clock, ns.
const SECOND: u64 = 1_000_000_000;
/// How long an interrupt may take, ns.
const SOON: u64 = 1_000_000;

/// The node of the device: first address of its registers, and INTID.
fn find(machine: &Machine) -> Option<(Rtc, u32)> {
    let node = "/passthrough/rtc";
    let cell = |bytes: &[u8], at: usize| Some(u32::from_be_bytes(*bytes.get(4 * at..)?.first_chunk()?));
    let base = cell(machine.property(node, "reg")?, 1)?;
    let spi = cell(machine.property(node, "interrupts")?, 1)?;
    Some((Rtc(base as usize), spi + 32))
}

/// How often the device's interrupt comes in this time, ns, after `begin`. `lower`: its line falls in the handler, or not.
/// The guest looks every millisecond: QEMU's GICv2 tells of a line that is still up after a completion only when something
/// else happens to it.
fn heard(time: u64, intid: u32, begin: impl FnOnce(), lower: impl Fn()) -> u64 {
    let mut count = 0;
    cpu::mask_interrupts();
    let end = timer::now() + time;
    begin();
    while timer::now() < end {
        timer::set(timer::to_ticks(timer::now() + SOON / 10));
        cpu::wait_for_interrupt();
        gic::handle_pending(|taken| {
            if taken == intid {
                count += 1;
                lower();
            } else {
                timer::cancel();
            }
        });
    }
    gic::disable_shared(intid);
    cpu::unmask_interrupts();
    count
}

pub(crate) fn run(checks: &mut Checks, machine: &Machine) {
    let (Some((rtc, intid)), Some(mailbox)) = (find(machine), memory::mailbox(machine)) else {
        return checks.that("device-node", false, "no-reg-or-no-interrupts");
    };
    let ours = ["xen,reg", "xen,path", "xen,force-assign-without-iommu"];
    let left = ours.iter().filter(|name| machine.property("/passthrough/rtc", name).is_some()).count();
    checks.same("device-node-has-nothing-of-ours", left, 0);
    checks.that("device-is-there", rtc.is_there(), "another-part-number");
    let again = mailbox.swap(AGAIN, SeqCst) == AGAIN;
    let level = || gic::enable_shared(intid, false);
    if again {
        checks.same("alarm-of-the-last-life", rtc.has_rung(), true);
        checks.same("alarm-of-the-last-life-is-not-heard", heard(SOON, intid, || (), || ()), 0);
        checks.same("line-that-is-up-is-heard", heard(SOON, intid, level, || rtc.clear()), 1);
    }
    alarms(checks, rtc, intid);
    disabled(checks, rtc, intid);
    if !again {
        let begin = || {
            rtc.set_alarm(rtc.now() + 1);
            level();
        };
        checks.same("alarm-left", heard(2 * SECOND, intid, begin, || power::reboot()), 1);
    }
}

/// One alarm is one interrupt. A line that stays up interrupts again and again; as an edge, once.
fn alarms(checks: &mut Checks, rtc: Rtc, intid: u32) {
    let begin = |edge| {
        rtc.set_alarm(rtc.now() + 1);
        gic::enable_shared(intid, edge);
    };
    let before = rtc.now();
    checks.same("alarm-once", heard(2 * SECOND, intid, || begin(false), || rtc.clear()), 1);
    checks.that("clock-goes", rtc.now() > before, before);
    let left = Cell::new(3);
    let lower = || {
        left.set(left.get() - 1);
        if left.get() == 0 {
            rtc.clear();
        }
    };
    checks.same("alarm-until-lowered", heard(2 * SECOND, intid, || begin(false), lower), 3);
    checks.same("edge-once", heard(2 * SECOND, intid, || begin(true), || ()), 1);
    rtc.clear();
}

/// What comes while it is disabled is heard when it is enabled, if the line is still up.
fn disabled(checks: &mut Checks, rtc: Rtc, intid: u32) {
    let level = || gic::enable_shared(intid, false);
    let begin = || rtc.set_alarm(rtc.now() + 1);
    checks.same("disabled-is-silent", heard(2 * SECOND, intid, begin, || ()), 0);
    checks.same("enabled-is-heard", heard(SOON, intid, level, || rtc.clear()), 1);
    checks.same("disabled-is-silent-again", heard(2 * SECOND, intid, begin, || ()), 0);
    rtc.clear();
    checks.same("fallen-line-is-forgotten", heard(SOON, intid, level, || ()), 0);
}
