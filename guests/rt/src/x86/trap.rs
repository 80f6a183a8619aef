//! Exceptions that nobody expected are printed, readably, and end the guest; those that a test expects are caught.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use spin::Once;
use x86_64::instructions::tables::{lidt, load_tss};
use x86_64::registers::control::Cr2;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;
use x86_64::{VirtAddr, structures::DescriptorTablePointer};

use crate::arch::{interrupts, upcall};
use crate::{console, cpu, power, print, println};

/// The registers as `entry.s` keeps them.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// R15 to R8, RDI, RSI, RBP, RBX, RDX, RCX, RAX.
    general: [u64; 15],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    flags: u64,
    rsp: u64,
    ss: u64,
}

const NAMES: [&str; 15] =
    ["r15", "r14", "r13", "r12", "r11", "r10", "r9", "r8", "rdi", "rsi", "rbp", "rbx", "rdx", "rcx", "rax"];

/// Bytes of each stack for handlers.
const STACK: usize = 16 << 10;

#[repr(C, align(16))]
struct Stack([AtomicU64; STACK / 8]);

/// Numbers of the stacks in gates.
const INTERRUPTS: u64 = 1;
const EXCEPTIONS: u64 = 2;

/// Interrupts, and exceptions, which may come while an interrupt is handled.
static STACKS: [Stack; 2] = [const { Stack([const { AtomicU64::new(0) }; STACK / 8]) }; 2];

static TSS: Once<TaskStateSegment> = Once::new();
static GDT: Once<(GlobalDescriptorTable, SegmentSelector)> = Once::new();
static IDT: Once<[[u64; 2]; 256]> = Once::new();

static EXPECTED: AtomicBool = AtomicBool::new(false);
static CAUGHT: AtomicU64 = AtomicU64::new(0);
/// Where a guilty instruction that is expected goes on.
static RECOVERY: AtomicU64 = AtomicU64::new(0);
static LAST: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

unsafe extern "C" {
    /// In `entry.s`: 32 entries of 16 bytes.
    static rt_vectors: u8;
    /// In `entry.s`.
    static rt_upcall: u8;
    /// In `entry.s`: an entry of 16 bytes for each.
    static rt_lines: u8;
}

/// Bytes of an entry of `rt_vectors` and `rt_lines`.
const ENTRY: usize = 16;

/// Load tables and stacks.
pub(crate) fn init() {
    let top = |stack: &'static Stack| VirtAddr::from_ptr(stack) + STACK as u64;
    let tss = TSS.call_once(|| {
        let mut tss = TaskStateSegment::new();
        let [interrupts, exceptions] = &STACKS;
        // A gate counts from 1.
        tss.interrupt_stack_table[INTERRUPTS as usize - 1] = top(interrupts);
        tss.interrupt_stack_table[EXCEPTIONS as usize - 1] = top(exceptions);
        tss
    });
    let (gdt, selector) = GDT.call_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        // The same selectors as in `entry.s`, which stay loaded.
        gdt.append(Descriptor::kernel_code_segment());
        gdt.append(Descriptor::kernel_data_segment());
        let selector = gdt.append(Descriptor::tss_segment(tss));
        (gdt, selector)
    });
    gdt.load();
    // SAFETY: the selector is that of a task state segment that lives for ever.
    unsafe { load_tss(*selector) };
    let idt = IDT.call_once(gates);
    let pointer = DescriptorTablePointer { limit: (size_of_val(idt) - 1) as u16, base: VirtAddr::from_ptr(idt) };
    // SAFETY: the table lives for ever; its gates lead to the entries of entry.s, each on a stack that nobody else uses.
    unsafe { lidt(&pointer) };
}

/// The interrupt descriptor table: 32 exceptions, lines of devices, and events. An interrupt that nobody asked for is the exception "segment
/// not present".
fn gates() -> [[u64; 2]; 256] {
    let mut gates = [[0; 2]; 256];
    for (vector, gate) in gates.iter_mut().take(32).enumerate() {
        *gate = interrupt_gate(&raw const rt_vectors as u64 + (vector * ENTRY) as u64, EXCEPTIONS);
    }
    gates[usize::from(upcall::VECTOR)] = interrupt_gate(&raw const rt_upcall as u64, INTERRUPTS);
    let lines = gates.iter_mut().skip(interrupts::FIRST_VECTOR.into()).take(interrupts::MOST);
    for (number, gate) in lines.enumerate() {
        *gate = interrupt_gate(&raw const rt_lines as u64 + (number * ENTRY) as u64, INTERRUPTS);
    }
    gates
}

/// A present 64-bit interrupt gate of ring 0 (AMD APM volume 2, figure 4-24).
fn interrupt_gate(address: u64, stack: u64) -> [u64; 2] {
    const CODE: u64 = 8;
    const PRESENT_INTERRUPT: u64 = 0x8e << 40;
    [address & 0xffff | CODE << 16 | stack << 32 | PRESENT_INTERRUPT | (address >> 16 & 0xffff) << 48, address >> 32]
}

/// What the last caught exception left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// RIP.
    pub pc: u64,
    /// CR2, where the exception has an address.
    pub address: u64,
}

/// The last exception that [`catch`] caught.
pub fn last() -> Caught {
    let [pc, address] = [0, 1].map(|n: usize| LAST.get(n).map_or(0, |word| word.load(SeqCst)));
    Caught { pc, address }
}

/// Run `body`; an exception of a function of [`misbehave`](crate::misbehave) ends that function. Returns the number of the
/// vector and, above 32 bits, the error code of the last such exception. Boot vCPU only.
pub fn catch(body: impl FnOnce()) -> Option<u64> {
    CAUGHT.store(u64::MAX, SeqCst);
    EXPECTED.store(true, SeqCst);
    body();
    EXPECTED.store(false, SeqCst);
    Some(CAUGHT.load(SeqCst)).filter(|&caught| caught != u64::MAX)
}

/// Where a function that misbehaves says how it goes on; 0 when it is over.
pub(crate) fn recovery() -> *mut u64 {
    RECOVERY.as_ptr()
}

/// What an exception means, by its vector's number (AMD APM volume 2, table 8-1).
pub fn class(caught: u64) -> &'static str {
    match caught & 0xff {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint instruction",
        6 => "undefined instruction",
        7 => "float access while switched off",
        8 => "double fault",
        10 => "invalid task state",
        11 => "segment not present",
        12 => "stack fault",
        13 => "general protection fault",
        14 => "page fault",
        16 | 19 => "float exception",
        17 => "misaligned access",
        18 => "machine check",
        _ => "exception",
    }
}

/// Called by `entry.s` for every exception.
#[unsafe(no_mangle)]
extern "C" fn rt_exception(frame: &mut Frame) {
    let address = Cr2::read_raw();
    let recovery = RECOVERY.swap(0, SeqCst);
    if EXPECTED.load(SeqCst) && recovery != 0 {
        CAUGHT.store(frame.error << 32 | frame.vector, SeqCst);
        LAST.iter().zip([frame.rip, address]).for_each(|(word, value)| word.store(value, SeqCst));
        frame.rip = recovery;
        return;
    }
    console::steal();
    cpu::mask_interrupts();
    let what = class(frame.vector);
    println!("unexpected exception: {what} (vector {}) at rip {:#x} on vCPU {}", frame.vector, frame.rip, cpu::index());
    println!(
        "  error {:#x}  CR2 {address:#x}  flags {:#x}  cs {:#x}  ss {:#x}",
        frame.error, frame.flags, frame.cs, frame.ss
    );
    println!("  rsp {:016x}", frame.rsp);
    for (names, values) in NAMES.chunks(4).zip(frame.general.chunks(4)) {
        print!(" ");
        names.iter().zip(values).for_each(|(name, value)| print!(" {name:<3} {value:016x}"));
        println!("");
    }
    power::crash()
}
