//! Physical interrupts as the hypervisor takes them: rarely, at known places, and only to note that they came.
//!
//! Interrupts are masked while the hypervisor runs. A guest is left when one comes, and then [`take`] lets the processor
//! deliver it, whose handler notes it in the CPU's share.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::size_of;
use core::sync::atomic::Ordering;

use hyp_boot::assigned::MAX_PIECES;
use hyp_core::arch::Interrupt;

use crate::local_apic::{self, KICK, SPURIOUS_VECTOR, TIMER};
use crate::processor::{self, write_port};
use crate::{assigned, fault, keyboard, percpu, timer};

/// Selectors of boot.s's table.
const CODE: u64 = 0x8;
pub(crate) const TASK_STATE: u16 = 0x18;
/// Descriptor types: interrupt gate, available 64-bit task state; present.
const GATE: u64 = 0x8e;
const AVAILABLE_TASK_STATE: u64 = 0x89;
/// Vector of the machine's serial port.
pub(crate) const KEYBOARD: u8 = 0x40;
/// The first vector of devices that guests have: the lowest ones, so that one which nobody has looked at yet holds up none of
/// the others.
pub(crate) const FIRST_DEVICE: u8 = 0x30;
const DEVICES_END: u8 = FIRST_DEVICE + MAX_PIECES as u8;
/// Entries of the table of vectors.
const VECTORS: usize = 256;
/// The legacy controllers' ports, first and how many, and of those the mask registers.
pub(crate) const LEGACY_PORTS: &[(u16, u64)] = &[(0x20, 2), (0xa0, 2)];
const LEGACY_MASKS: [u16; 2] = [0x21, 0xa1];

unsafe extern "C" {
    static exception_vectors: u8;
    static timer_interrupt: u8;
    static kick_interrupt: u8;
    static other_interrupt: u8;
    static keyboard_interrupt: u8;
    static device_interrupt: u8;
    static spurious_interrupt: u8;
    static gdt: UnsafeCell<[u64; 6]>;
}

/// Bytes from one exception's entry to the next, in vectors.s.
const EXCEPTION_STRIDE: u64 = 16;
const EXCEPTIONS: usize = 32;

/// What the processor reads, and we write once on the first CPU.
#[repr(C, align(16))]
struct Table<T>(UnsafeCell<T>);

// SAFETY: written by `init` on the first CPU before another one runs, and only read by processors after that.
unsafe impl<T> Sync for Table<T> {}

static VECTOR_TABLE: Table<[[u64; 2]; VECTORS]> = Table(UnsafeCell::new([[0; 2]; VECTORS]));
/// The task state (Intel SDM 3A, 8.7) in 32-bit words: it only says where the fault stack is.
static TASK: Table<[u32; 26]> = Table(UnsafeCell::new([0; 26]));

/// Makes the tables, and silences the legacy interrupt controllers.
pub(crate) fn init() {
    /// Word of the first of the stacks that gates may name.
    const FIRST_STACK: usize = 9;
    /// Gate: that stack.
    const ON_FAULT_STACK: u64 = 1;
    let mut gates = [[0; 2]; VECTORS];
    let gate = |address: u64, stack: u64| {
        let low = address & 0xffff | CODE << 16 | stack << 32 | GATE << 40 | (address >> 16 & 0xffff) << 48;
        [low, address >> 32]
    };
    let exceptions = &raw const exception_vectors as u64;
    let other = gate(&raw const other_interrupt as u64, 0);
    for (vector, entry) in gates.iter_mut().enumerate() {
        *entry = match vector {
            0..EXCEPTIONS => gate(exceptions + vector as u64 * EXCEPTION_STRIDE, ON_FAULT_STACK),
            _ if vector == usize::from(TIMER) => gate(&raw const timer_interrupt as u64, 0),
            _ if vector == usize::from(KICK) => gate(&raw const kick_interrupt as u64, 0),
            _ if vector == usize::from(KEYBOARD) => gate(&raw const keyboard_interrupt as u64, 0),
            _ if (FIRST_DEVICE..DEVICES_END).contains(&(vector as u8)) => gate(&raw const device_interrupt as u64, 0),
            _ if vector == usize::from(SPURIOUS_VECTOR) => gate(&raw const spurious_interrupt as u64, 0),
            _ => other,
        };
    }
    // SAFETY: the first CPU alone runs, and uses no vector before `init_cpu`.
    unsafe { *VECTOR_TABLE.0.get() = gates };
    let mut task = [0; 26];
    let stack = fault::stack_end();
    task[FIRST_STACK] = stack as u32;
    task[FIRST_STACK + 1] = (stack >> 32) as u32;
    // The port permission map lies behind the end: there is none.
    task[25] = (size_of::<[u32; 26]>() as u32) << 16;
    // SAFETY: as above.
    unsafe { *TASK.0.get() = task };
    for mask in LEGACY_MASKS {
        // SAFETY: nobody uses the legacy controllers.
        unsafe { write_port(mask, 0xff) };
    }
}

/// Where the tables are: of segments, of vectors, and the task state.
pub(crate) struct Tables {
    pub(crate) segments: u64,
    pub(crate) vectors: u64,
    pub(crate) task: u64,
}

/// Where they are.
pub(crate) fn tables() -> Tables {
    Tables { segments: &raw const gdt as u64, vectors: VECTOR_TABLE.0.get() as u64, task: TASK.0.get() as u64 }
}

/// Makes this CPU use them.
pub(crate) fn init_cpu() {
    let task = TASK.0.get() as u64;
    let limit = size_of::<[u32; 26]>() as u64 - 1;
    let low = limit | (task & 0xff_ffff) << 16 | AVAILABLE_TASK_STATE << 40 | (task >> 24 & 0xff) << 56;
    // SAFETY: CPUs come here one after the other; loading the task register marks the entry busy, and each makes it anew.
    let table = unsafe { &mut *gdt.get() };
    [table[3], table[4]] = [low, task >> 32];
    // SAFETY: the entry has just been made, and leads to a task state for good.
    unsafe { asm!("ltr {:x}", in(reg) TASK_STATE, options(nostack, preserves_flags)) };
    #[repr(C, packed)]
    struct Pointer(u16, u64);
    let vectors = Pointer((size_of::<[[u64; 2]; VECTORS]>() - 1) as u16, VECTOR_TABLE.0.get() as u64);
    // SAFETY: the table stays where it is and leads to the handlers of vectors.s.
    unsafe { asm!("lidt [{}]", in(reg) &raw const vectors, options(nostack, preserves_flags)) };
}

/// Takes what is pending; waits for something where `wait` says so and nothing is.
pub(crate) fn take(wait: bool) -> Interrupt {
    processor::take_interrupts(wait);
    let came = percpu::this().came.swap(0, Ordering::Relaxed);
    if came & percpu::KEYBOARD != 0 {
        keyboard::poll();
    }
    if came & percpu::DEVICE != 0 {
        assigned::poll();
    }
    // A timer makes the core look at its inbox too, a kick does not make it look at its timers.
    if came & percpu::TIMER != 0 && timer::rang() {
        Interrupt::Timer
    } else if came & percpu::KICK != 0 {
        Interrupt::Kick
    } else {
        Interrupt::Other
    }
}

/// Makes another CPU leave its guest or its idle state.
pub(crate) fn kick(apic: u64) {
    local_apic::kick(apic as u32);
}
