//! The local APIC of a physical CPU: its one-shot timer, and the interrupts by which CPUs call each other.
//!
//! Driven through its page of registers (Intel SDM 3A, 11.4), which every CPU sees at the same address.

use core::ptr;

use hyp_boot::Region;

use crate::interrupts::FIRST_DEVICE;
use crate::layout::DIRECT_MAP;
use crate::processor::{IA32_APIC_BASE, cpuid, read_msr, write_msr};
use crate::{clock, mmu};

/// Where vectors.s expects it.
const BASE: u64 = 0xfee0_0000;
/// Its registers.
pub(crate) const PLACE: Region = Region::new(BASE, 0x1000);
/// IA32_APIC_BASE: enabled, x2APIC mode.
const ENABLED: u64 = 1 << 11;
const X2APIC: u64 = 1 << 10;

/// Registers, offsets in bytes.
const ID: u64 = 0x20;
const TASK_PRIORITY: u64 = 0x80;
const END: u64 = 0xb0;
const SPURIOUS: u64 = 0xf0;
const IN_SERVICE: u64 = 0x100;
const COMMAND_LOW: u64 = 0x300;
const COMMAND_HIGH: u64 = 0x310;
const LVT_TIMER: u64 = 0x320;
const LVT_LINT0: u64 = 0x350;
const LVT_LINT1: u64 = 0x360;
const INITIAL_COUNT: u64 = 0x380;
const CURRENT_COUNT: u64 = 0x390;
const DIVIDE: u64 = 0x3e0;

const MASKED: u32 = 1 << 16;
const SOFTWARE_ENABLED: u32 = 1 << 8;
/// Divide by 1.
const UNDIVIDED: u32 = 0b1011;
/// A command is on its way.
const PENDING: u32 = 1 << 12;
const ASSERT: u32 = 1 << 14;
/// Commands: INIT and SIPI.
const INIT: u32 = 5 << 8;
const START: u32 = 6 << 8;

/// Vector of the timer.
pub(crate) const TIMER: u8 = 0xf0;
/// Vector of a call from another CPU.
pub(crate) const KICK: u8 = 0xf1;
/// Vector of nothing.
pub(crate) const SPURIOUS_VECTOR: u8 = 0xff;

fn read(register: u64) -> u32 {
    // SAFETY: `init` mapped the registers, and reading one has no side effect.
    unsafe { ptr::read_volatile((BASE + DIRECT_MAP + register) as *const u32) }
}

fn write(register: u64, value: u32) {
    // SAFETY: as in `read`; nobody but this module and the handlers' end of interrupt writes them.
    unsafe { ptr::write_volatile((BASE + DIRECT_MAP + register) as *mut u32, value) };
}

/// Maps the registers.
pub(crate) fn map() -> Result<(), mmu::OutOfTables> {
    mmu::map_device(PLACE).map(|_| ())
}

/// Brings this CPU's to a known state; its identifier.
pub(crate) fn init_cpu() -> u32 {
    // SAFETY: every x86-64 processor has the register.
    let base = unsafe { read_msr(IA32_APIC_BASE) };
    if base & X2APIC != 0 {
        // The way back leads through "off", which some never leave again: only who has to goes there.
        // SAFETY: nobody uses it yet.
        unsafe { write_msr(IA32_APIC_BASE, base & !(X2APIC | ENABLED)) };
    }
    // SAFETY: this is where it lies after a reset.
    unsafe { write_msr(IA32_APIC_BASE, BASE | base & 0xfff & !X2APIC | ENABLED) };
    write(SPURIOUS, SOFTWARE_ENABLED | u32::from(SPURIOUS_VECTOR));
    write(TASK_PRIORITY, 0);
    write(LVT_LINT0, MASKED);
    write(LVT_LINT1, MASKED);
    write(DIVIDE, UNDIVIDED);
    write(LVT_TIMER, u32::from(TIMER));
    read(ID) >> 24
}

/// For [`clock::init`]: starts the timer without an interrupt, or stops it and says how far it has counted.
pub(crate) fn measure(start: bool) -> u32 {
    if start {
        write(LVT_TIMER, MASKED | u32::from(TIMER));
        write(INITIAL_COUNT, u32::MAX);
        return 0;
    }
    let counted = u32::MAX - read(CURRENT_COUNT);
    write(INITIAL_COUNT, 0);
    write(LVT_TIMER, u32::from(TIMER));
    counted
}

/// Arms the timer, or disarms it. What is farther away than it counts makes it ring early, and then it is set anew.
pub(crate) fn set_timer(at: Option<u64>) {
    let counts = at.map_or(0, |at| clock::apic_counts(at.saturating_sub(clock::now())));
    write(INITIAL_COUNT, counts);
}

/// This CPU's identifier, as CPUID tells it before the registers are mapped.
pub(crate) fn boot_id() -> u32 {
    let [_, ebx, ..] = cpuid(1, 0);
    ebx >> 24
}

fn command(apic: u32, low: u32) {
    while read(COMMAND_LOW) & PENDING != 0 {
        core::hint::spin_loop();
    }
    write(COMMAND_HIGH, apic << 24);
    write(COMMAND_LOW, low);
}

/// Resets another CPU, which then waits.
pub(crate) fn init(apic: u32) {
    command(apic, ASSERT | INIT);
}

/// Starts it in real mode, at the start of a page.
pub(crate) fn start(apic: u32, page: u8) {
    command(apic, ASSERT | START | u32::from(page));
}

/// Which interrupts of guests' devices this CPU has taken and not ended: bit n is vector [`FIRST_DEVICE`] + n.
pub(crate) fn served_devices() -> u32 {
    read(IN_SERVICE + u64::from(FIRST_DEVICE / 32 * 16)) >> (FIRST_DEVICE % 32)
}

/// Ends the interrupt that was taken last.
pub(crate) fn end() {
    write(END, 0);
}

/// Calls another CPU.
pub(crate) fn kick(apic: u32) {
    command(apic, ASSERT | u32::from(KICK));
}
