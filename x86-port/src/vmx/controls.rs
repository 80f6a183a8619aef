//! What VT-x needs before a guest runs: whether it is there, how it is switched on, and the fields of a control structure
//! that say what leaves a guest.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering;

use super::vmcs;
use crate::guest_cpu::Start;
use crate::processor::{self, IA32_EFER, read_msr, write_msr};
use crate::{interrupts, percpu};

/// Registers (Intel SDM 3D, appendix A): who may use VMX, and what there is of it.
const FEATURE_CONTROL: u32 = 0x3a;
const LOCKED: u64 = 1;
const ALLOWED: u64 = 1 << 2;
const BASIC: u32 = 0x480;
const HAS_TRUE: u64 = 1 << 55;
const MORE: u32 = 0x48b;
const IA32_PAT: u32 = 0x277;
/// Pin-based, processor-based, exit and entry controls, and how much farther their newer registers are.
const PIN: u32 = 0x481;
const PROCESSOR: u32 = 0x482;
const EXIT: u32 = 0x483;
const ENTRY: u32 = 0x484;
const TRUE: u32 = 0xc;

/// Leave the guest for: interrupts, NMIs.
const PIN_WANTED: u64 = 1 << 0 | 1 << 3;
/// HLT, MWAIT, RDPMC, CR8 both ways, ports, listed registers, MONITOR; and there are more controls.
const PROCESSOR_WANTED: u64 = 1 << 7 | 1 << 10 | 1 << 11 | 1 << 19 | 1 << 20 | 1 << 24 | 1 << 28 | 1 << 29 | 1 << 31;
/// And only those ports that a map says.
const BY_PORT_MAP: u64 = 1 << 25;
/// EPT, VPID, WBINVD, unrestricted guest; and what a guest may use where there is such a thing: INVPCID.
const MORE_WANTED: u64 = 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7;
const MORE_OFFERED: u64 = 1 << 12;
/// Keep debug controls, 64-bit host, save and load PAT and EFER; the same ways in.
const EXIT_WANTED: u64 = 1 << 2 | 1 << 9 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21;
const ENTRY_WANTED: u64 = 1 << 2 | 1 << 14 | 1 << 15;
/// Exceptions that can come without end, and machine checks.
const EXCEPTIONS: u64 = 1 << 1 | 1 << 17 | 1 << 18;
/// CR4.VMXE.
const CR4_VMXE: u64 = 1 << 13;
/// CR4 bits that no guest may set: VMX, SMX.
const CR4_HIDDEN: u64 = CR4_VMXE | 1 << 14;
const CR0_NE: u64 = 1 << 5;
/// CR0 of a guest that starts: protected mode or real mode, no paging.
const CR0_PROTECTED: u64 = 0x31;
const CR0_REAL: u64 = 0x30;

/// The map of registers that leave a guest: reads of low ones, of high ones, writes of both.
#[repr(C, align(4096))]
struct Map(UnsafeCell<[u8; 4096]>);

// SAFETY: written once, by `prepare`, before any guest runs; after that only the processor reads it.
unsafe impl Sync for Map {}

static MAP: Map = Map(UnsafeCell::new([0xff; 4096]));

/// The word that begins each structure.
pub(super) fn revision() -> u64 {
    // SAFETY: the port is in use, so the processor has VMX.
    unsafe { read_msr(BASIC) & 0x7fff_ffff }
}

/// What a register of controls leaves of what is wanted, with what it demands; `None` where it does not allow all of it.
fn allowed(register: u32, wanted: u64) -> Option<u64> {
    // SAFETY: as in `revision`, of whose registers this is one.
    let bits = unsafe { read_msr(register) };
    let value = (wanted | bits) & bits >> 32;
    (value & wanted == wanted).then_some(value & 0xffff_ffff)
}

/// The number of the newer register for these controls, where there is one.
fn newer(register: u32) -> u32 {
    // SAFETY: as in `revision`.
    if unsafe { read_msr(BASIC) } & HAS_TRUE != 0 { register + TRUE } else { register }
}

/// Why VT-x cannot be used.
pub(crate) fn obstacle() -> Option<&'static str> {
    let [_, _, ecx, _] = processor::cpuid(1, 0);
    if ecx & 1 << 5 == 0 {
        return Some("the processor has no VT-x");
    }
    // SAFETY: a processor with VMX has the register.
    let control = unsafe { read_msr(FEATURE_CONTROL) };
    if control & LOCKED != 0 && control & ALLOWED == 0 {
        return Some("firmware keeps VT-x off: switch virtualization on in its set-up");
    }
    let all = [(newer(PIN), PIN_WANTED), (newer(PROCESSOR), PROCESSOR_WANTED), (newer(EXIT), EXIT_WANTED)];
    if all.into_iter().any(|(register, wanted)| allowed(register, wanted).is_none())
        || allowed(newer(ENTRY), ENTRY_WANTED).is_none()
    {
        return Some("the processor's VT-x lacks what is needed to confine guests");
    }
    if allowed(MORE, MORE_WANTED).is_none() {
        return Some("the processor's VT-x has no extended page tables, VPIDs or unrestricted guests");
    }
    None
}

/// Makes the map; called once.
pub(crate) fn prepare() {
    /// Where reads of high registers, and writes of either, begin.
    const HIGH: usize = 1024;
    const WRITES: usize = 2048;
    // SAFETY: no guest runs yet, and only the booting CPU is here.
    let map = unsafe { &mut *MAP.0.get() };
    let mut pass = |first: usize, register: usize| {
        for at in [first, first + WRITES] {
            if let Some(byte) = map.get_mut(at + register / 8) {
                *byte &= !(1 << (register % 8));
            }
        }
    };
    [0x174, 0x175, 0x176].into_iter().for_each(|sysenter| pass(0, sysenter));
    [0x81, 0x82, 0x83, 0x84, 0x100, 0x101, 0x102].into_iter().for_each(|register| pass(HIGH, register));
}

/// Switches VT-x on, on this CPU, whose share has the page for it.
pub(crate) fn init_cpu() {
    let area = percpu::this().save_area.load(Ordering::Relaxed);
    // SAFETY: the register exists; `obstacle` has looked at it.
    let control = unsafe { read_msr(FEATURE_CONTROL) };
    if control & LOCKED == 0 {
        // SAFETY: it is open, and this is what firmware writes that lets VMX be used.
        unsafe { write_msr(FEATURE_CONTROL, control | LOCKED | ALLOWED) };
    }
    // SAFETY: the page is this CPU's alone, for good, and mapped where it is.
    unsafe { core::ptr::write_volatile(area as *mut u64, revision()) };
    // SAFETY: allows VMX.
    unsafe {
        asm!("mov {t}, cr4", "or {t}, {b}", "mov cr4, {t}", t = out(reg) _, b = in(reg) CR4_VMXE, options(nostack))
    };
    // SAFETY: the page begins with the revision, as the instruction wants it.
    unsafe { asm!("vmxon [{}]", in(reg) &raw const area, options(nostack)) };
}

/// What names a second stage with this root: write-back, four levels.
pub(super) fn ept_pointer(root: u64) -> u64 {
    root | 6 | 3 << 3
}

/// Fills the structure that is loaded for a guest that starts.
pub(super) fn fill(pointer: u64, vpid: u64, ports: Option<u64>, start: Start) {
    controls(pointer, vpid, ports);
    host();
    guest(start);
}

fn controls(pointer: u64, vpid: u64, ports: Option<u64>) {
    // SAFETY: `obstacle` has found more controls.
    let more = unsafe { read_msr(MORE) } >> 32 & MORE_OFFERED | MORE_WANTED;
    let by_map = if ports.is_some() { BY_PORT_MAP } else { 0 };
    let fields = [
        (vmcs::PIN_CONTROLS, allowed(newer(PIN), PIN_WANTED)),
        (vmcs::CONTROLS, allowed(newer(PROCESSOR), PROCESSOR_WANTED | by_map)),
        (vmcs::MORE_CONTROLS, allowed(MORE, more)),
        (vmcs::EXIT_CONTROLS, allowed(newer(EXIT), EXIT_WANTED)),
        (vmcs::ENTRY_CONTROLS, allowed(newer(ENTRY), ENTRY_WANTED)),
    ];
    for (field, value) in fields {
        vmcs::write(field, value.unwrap_or(0));
    }
    // Each map has half of the ports.
    for (field, map) in vmcs::PORT_MAPS.into_iter().zip((ports.unwrap_or(0)..).step_by(4096)) {
        vmcs::write(field, map);
    }
    vmcs::write(vmcs::EXCEPTIONS, EXCEPTIONS);
    vmcs::write(vmcs::MSR_MAP, MAP.0.get() as u64);
    vmcs::write(vmcs::TSC_OFFSET, 0);
    vmcs::write(vmcs::EPT_POINTER, pointer);
    vmcs::write(vmcs::VPID, vpid);
    vmcs::write(vmcs::LINK_POINTER, u64::MAX);
    vmcs::write(vmcs::CR0_MASK, CR0_NE);
    vmcs::write(vmcs::CR4_MASK, CR4_HIDDEN);
}

/// What of [`host`]'s differs from CPU to CPU, in the structure that is loaded.
pub(super) fn set_own_host() {
    vmcs::write(vmcs::HOST_GS_BASE, core::ptr::from_ref(percpu::this()) as u64);
}

/// The hypervisor's own state on this CPU, which the exit loads.
fn host() {
    unsafe extern "C" {
        static vmx_exit: u8;
    }
    let (cr0, cr3, cr4): (u64, u64, u64);
    // SAFETY: reads only.
    unsafe {
        asm!("mov {}, cr0", "mov {}, cr3", "mov {}, cr4", out(reg) cr0, out(reg) cr3, out(reg) cr4,
            options(nomem, nostack, preserves_flags));
    }
    vmcs::write(vmcs::HOST_CR0, cr0);
    vmcs::write(vmcs::HOST_CR3, cr3);
    vmcs::write(vmcs::HOST_CR4, cr4);
    for (segment, selector) in (0..).step_by(2).zip([0x10, 0x8, 0x10, 0x10, 0, 0]) {
        vmcs::write(vmcs::HOST_SELECTOR + segment, selector);
    }
    vmcs::write(vmcs::HOST_TR_SELECTOR, interrupts::TASK_STATE.into());
    let tables = interrupts::tables();
    vmcs::write(vmcs::HOST_TR_BASE, tables.task);
    vmcs::write(vmcs::HOST_GDTR_BASE, tables.segments);
    vmcs::write(vmcs::HOST_IDTR_BASE, tables.vectors);
    set_own_host();
    // SAFETY: registers of every x86-64 processor.
    vmcs::write(vmcs::HOST_EFER, unsafe { read_msr(IA32_EFER) });
    // SAFETY: as above.
    vmcs::write(vmcs::HOST_PAT, unsafe { read_msr(IA32_PAT) });
    vmcs::write(vmcs::HOST_RIP, &raw const vmx_exit as u64);
}

fn guest(start: Start) {
    const UNUSABLE: u64 = 1 << 16;
    const TASK: u64 = 0x8b;
    let (code, data, limit, cr0) = match start {
        Start::Protected(_) => (0xc09b, 0xc093, 0xffff_ffff, CR0_PROTECTED),
        Start::Real(_) => (0x9b, 0x93, 0xffff, CR0_REAL),
    };
    let rights = [data, code, data, data, data, data, UNUSABLE, TASK];
    for (segment, rights) in (0..).step_by(2).zip(rights) {
        vmcs::write(vmcs::GUEST_SELECTOR + segment, 0);
        vmcs::write(vmcs::GUEST_LIMIT + segment, if rights == TASK { 0x67 } else { limit });
        vmcs::write(vmcs::GUEST_RIGHTS + segment, rights);
        vmcs::write(vmcs::GUEST_BASE + segment, 0);
    }
    let entry = match start {
        Start::Protected(entry) => entry,
        Start::Real(page) => {
            vmcs::write(vmcs::GUEST_SELECTOR + 2, page >> 4);
            vmcs::write(vmcs::GUEST_BASE + 2, page);
            0
        }
    };
    let zero = [
        vmcs::GUEST_GDTR_BASE,
        vmcs::GUEST_IDTR_BASE,
        vmcs::GUEST_CR3,
        vmcs::GUEST_EFER,
        vmcs::GUEST_RSP,
        vmcs::GUEST_DEBUGCTL,
        vmcs::INTERRUPTIBILITY,
        vmcs::ACTIVITY,
        vmcs::ENTRY_EVENT,
        vmcs::CR4_SHADOW,
    ];
    zero.into_iter().for_each(|field| vmcs::write(field, 0));
    let values = [
        (vmcs::GUEST_GDTR_LIMIT, 0xffff),
        (vmcs::GUEST_IDTR_LIMIT, 0xffff),
        (vmcs::GUEST_CR0, cr0),
        // The guest is shown what it starts with, and finds it when it writes it back.
        (vmcs::CR0_SHADOW, cr0),
        (vmcs::GUEST_CR4, CR4_VMXE),
        (vmcs::GUEST_DR7, 0x400),
        (vmcs::GUEST_RFLAGS, 2),
        (vmcs::GUEST_RIP, entry),
    ];
    values.into_iter().for_each(|(field, value)| vmcs::write(field, value));
}
