//! AMD-V: guests run by VMRUN with nested paging.
//!
//! Everything here is about one control block; what an exit means is decided elsewhere, in the architecture's own words
//! ([`crate::exit`]). Source: AMD APM volume 2, chapter 15.

mod vmcb;

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::decode::Mode;
use crate::exit::{Cause, Port};
use crate::guest_cpu::{Start, Virtualization};
use crate::processor::{self, IA32_EFER, read_msr, try_read_msr, write_msr};
use crate::tlb::{GENERATIONS, address_space};
use crate::vcpu::Registers;
use crate::walk::Paging;
use crate::{percpu, pool};

use vmcb::{Segment, Vmcb};

/// EFER: AMD-V is on; bits that guests may set: system calls, long mode, no-execute.
const EFER_SVME: u64 = 1 << 12;
pub(crate) const EFER_GUEST: u64 = 1 << 0 | 1 << 8 | 1 << 11;
pub(crate) const EFER_LMA: u64 = 1 << 10;
/// VM_CR and its bit by which firmware keeps AMD-V off.
const VM_CR: u32 = 0xc001_0114;
const VM_CR_SVMDIS: u64 = 1 << 4;
/// CPUID: nested paging.
const NESTED: u32 = 1;
const VM_HSAVE_PA: u32 = 0xc001_0117;

/// Intercepted: INTR, NMI, INIT, RDPMC, CPUID, INVD, HLT, INVLPGA, ports, model-specific registers, shutdown; then VMRUN to
/// SKINIT, WBINVD, MONITOR, MWAIT, XSETBV. Exceptions: debug and alignment, which can come without end, and machine checks.
const INTERCEPT: [u32; 2] = [
    1 << 0 | 1 << 1 | 1 << 3 | 1 << 15 | 1 << 18 | 1 << 22 | 1 << 24 | 1 << 26 | 1 << 27 | 1 << 28 | 1 << 31,
    0x7f | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13,
];
/// A virtual interrupt, which tells when the guest could take one; IRET.
const INTERCEPT_WINDOW: u32 = 1 << 4;
const INTERCEPT_RETURN: u32 = 1 << 20;
const EXCEPTIONS: u32 = 1 << 1 | 1 << 17 | 1 << 18;
/// `interrupt_control`: an interrupt waits, of the highest priority whatever the guest's own priority is; interrupts are
/// masked for us and for the guest apart.
const V_PENDING: u64 = 1 << 8;
const V_IRQ: u64 = V_PENDING | 0xf << 16 | 1 << 20;
const V_VECTOR: u64 = 0xff << 32;
const V_INTR_MASKING: u64 = 1 << 24;
const V_TPR: u64 = 0xf;
/// `tlb_control`: everything of all guests goes.
const FLUSH_ALL: u32 = 1;
/// Exit codes (appendix C).
const EXIT_EXCEPTIONS: u32 = 0x40;
const EXIT_NPF: u32 = 0x400;
/// An event that is delivered: valid, with an error code; an external interrupt or an exception.
const EVENT_VALID: u64 = 1 << 31;
const EVENT_ERROR: u64 = 1 << 11;
const EVENT_EXCEPTION: u64 = 3 << 8;
/// RFLAGS.IF.
const INTERRUPTS: u64 = 1 << 9;
/// CR0 of a guest that starts: protected mode, no paging.
const CR0_START: u64 = 0x11;
const CR0_REAL: u64 = 0x10;
const PAT_RESET: u64 = 0x0007_0406_0007_0406;
const DR6_RESET: u64 = 0xffff_0ff0;
const DR7_RESET: u64 = 0x400;

/// The maps of what leaves a guest: all ports, and all model-specific registers but those that the control block holds.
#[repr(C, align(4096))]
struct Maps(UnsafeCell<[u8; 5 * 4096]>);

// SAFETY: written once, by `prepare`, before any guest runs; after that only the processor reads it.
unsafe impl Sync for Maps {}

static MAPS: Maps = Maps(UnsafeCell::new([0xff; 5 * 4096]));
/// Bytes of the first one.
const IO_MAP: u64 = 3 * 4096;

/// Interrupts are delivered as virtual interrupts: QEMU's TCG delivers one that is given as an event, as processors and Bochs
/// want it, a second time now and then. Bochs for its part forgets virtual interrupts when it enters a guest that listens.
static AS_VIRTUAL: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn svm_enter(registers: *mut Registers, block: u64, host: u64);
}

/// Why AMD-V cannot be used.
pub(crate) fn obstacle() -> Option<&'static str> {
    let [_, _, ecx, _] = processor::cpuid(0x8000_0001, 0);
    if ecx & 1 << 2 == 0 {
        return Some("the processor has no AMD-V");
    }
    // Bochs has AMD-V without the register.
    if try_read_msr(VM_CR).is_some_and(|control| control & VM_CR_SVMDIS != 0) {
        return Some("firmware keeps AMD-V off: switch SVM on in its set-up");
    }
    let [_, _, _, edx] = processor::cpuid(0x8000_000a, 0);
    (edx & NESTED == 0).then_some("the processor has no nested paging")
}

/// The emulator is QEMU's TCG, by what it says where hypervisors say who they are.
fn is_tcg() -> bool {
    const UNDER_HYPERVISOR: u32 = 1 << 31;
    let [_, _, features, _] = processor::cpuid(1, 0);
    let [_, name @ ..] = processor::cpuid(0x4000_0000, 0);
    features & UNDER_HYPERVISOR != 0 && name.map(u32::to_le_bytes) == [*b"TCGT", *b"CGTC", *b"GTCG"]
}

/// Makes the maps; called once.
pub(crate) fn prepare() {
    AS_VIRTUAL.store(is_tcg(), Ordering::Relaxed);
    /// Those from 0xc0000000 on have their two bits each from this byte on.
    const HIGH: usize = IO_MAP as usize + 0x800;
    // SAFETY: no guest runs yet, and only the booting CPU is here.
    let maps = unsafe { &mut *MAPS.0.get() };
    let mut pass = |first: usize, register: u32| {
        if let Some(byte) = maps.get_mut(first + register as usize / 4) {
            *byte &= !(3 << (register % 4 * 2));
        }
    };
    [0x174, 0x175, 0x176].into_iter().for_each(|sysenter| pass(IO_MAP as usize, sysenter));
    [0x81, 0x82, 0x83, 0x84, 0x100, 0x101, 0x102].into_iter().for_each(|register| pass(HIGH, register));
}

/// Switches AMD-V on, on this CPU, whose share has the pages for it.
pub(crate) fn init_cpu() {
    let share = percpu::this();
    // SAFETY: every x86-64 processor has the register.
    let features = unsafe { read_msr(IA32_EFER) };
    // SAFETY: `obstacle` has found AMD-V; the bit allows its instructions, no more.
    unsafe { write_msr(IA32_EFER, features | EFER_SVME) };
    // SAFETY: the page is this CPU's alone, for good.
    unsafe { write_msr(VM_HSAVE_PA, share.save_area.load(Ordering::Relaxed)) };
    let host = share.host_state.load(Ordering::Relaxed);
    // SAFETY: as above; the processor writes there what `svm_enter` loads again.
    unsafe { core::arch::asm!("vmsave rax", in("rax") host, options(nostack, preserves_flags)) };
}

/// One vCPU as the processor sees it.
pub(crate) struct Svm {
    block: &'static mut Vmcb,
    /// Its address space number is another vCPU's too.
    shares_number: bool,
    /// The generation of its domain's translations that it knows.
    generation: u64,
}

impl Svm {
    /// A vCPU whose number in the machine is `number`.
    pub(crate) fn new(number: u64) -> Result<Self, pool::PoolEmpty> {
        let page = pool::take_words(1)?.as_mut_ptr().cast::<Vmcb>();
        // SAFETY: a fresh page of the pool, aligned and zeroed, which is a valid block; nobody else has it.
        let block = unsafe { &mut *page };
        let [_, count, _, _] = processor::cpuid(0x8000_000a, 0);
        let (asid, shares_number) = address_space(number, count);
        block.asid = asid;
        Ok(Self { block, shares_number, generation: 0 })
    }

    /// A virtual interrupt waits for the next entry, where the guest takes it before anything else.
    fn is_on_its_way(&self) -> bool {
        self.block.interrupt_control & V_PENDING != 0 && self.block.intercept[0] & INTERCEPT_WINDOW == 0
    }

    /// Why it was left.
    #[inline(always)]
    fn cause(&self) -> Cause {
        let [info, more] = self.block.exit_info;
        match self.block.exit_code as u32 {
            0x81 => Cause::Hypercall,
            // SMI and INIT are physical too, and NMI: what they want the hypervisor gets when it lets them in.
            0x60..=0x63 => Cause::Interrupt,
            0x64 | 0x74 => Cause::Window,
            0x72 => Cause::Cpuid,
            0x78 => Cause::Halt,
            0x7b => Cause::Port(Port {
                port: (info >> 16) as u16,
                size: (info >> 4 & 7) as u8,
                input: info & 1 != 0,
                string: info & 4 != 0,
                next: more,
            }),
            0x7c if info & 1 != 0 => Cause::WriteMsr,
            0x7c => Cause::ReadMsr,
            EXIT_NPF => Cause::Memory { address: more, write: info & 2 != 0, fetch: info & 1 << 4 != 0 },
            0x7f => Cause::TripleFault,
            0x76 | 0x89 => Cause::CacheControl,
            code @ (0x41 | 0x51) => {
                let vector = (code - EXIT_EXCEPTIONS) as u8;
                Cause::Exception { vector, error: (vector == 17).then_some(info as u32) }
            }
            0x8d | 0x6f => Cause::Forbidden,
            0x7a | 0x80..=0x8c => Cause::Undefined,
            // The upper half of the code reads as 0 on some processors and as ones on others.
            u32::MAX => Cause::Invalid,
            code => Cause::Unknown(code.into()),
        }
    }
}

impl Virtualization for Svm {
    fn reset(&mut self, root: u64, ports: Option<u64>, start: Start) {
        let asid = self.block.asid;
        const CODE: u16 = 0xc9b;
        const DATA: u16 = 0xc93;
        let flat = |attributes| Segment { selector: 0, attributes, limit: u32::MAX, base: 0 };
        let table = |attributes| Segment { selector: 0, attributes, limit: 0xffff, base: 0 };
        let maps = MAPS.0.get() as u64;
        // SAFETY: any bytes make a valid block.
        *self.block = unsafe { core::mem::zeroed() };
        let block = &mut *self.block;
        block.intercept = [INTERCEPT[0], INTERCEPT[1], 0];
        block.intercept_exceptions = EXCEPTIONS;
        (block.io_map, block.msr_map) = (ports.unwrap_or(maps), maps + IO_MAP);
        block.asid = asid;
        block.interrupt_control = V_INTR_MASKING;
        (block.nested_control, block.nested_root) = (1, root);
        block.segments = [flat(DATA), flat(CODE), flat(DATA), flat(DATA), flat(DATA), flat(DATA)];
        (block.gdtr, block.idtr) = (table(0), table(0));
        (block.ldtr, block.tr) = (table(0x82), Segment { limit: 0x67, ..table(0x8b) });
        block.efer = EFER_SVME;
        block.cr0 = CR0_START;
        (block.dr6, block.dr7) = (DR6_RESET, DR7_RESET);
        block.rflags = 2;
        match start {
            Start::Protected(entry) => block.rip = entry,
            Start::Real(page) => {
                block.segments = [table(0x93); 6];
                block.segments[1] = Segment { selector: (page >> 4) as u16, base: page, ..table(0x9b) };
                block.cr0 = CR0_REAL;
            }
        }
        block.pat = PAT_RESET;
        self.generation = 0;
    }

    fn load(&mut self) {
        // The entry does.
    }

    fn save(&mut self) {
        // The exit did.
    }

    fn leave(&mut self) {
        // The block is memory like any other.
        self.generation = 0;
    }

    fn rip(&self) -> u64 {
        self.block.rip
    }

    fn set_rip(&mut self, rip: u64) {
        self.block.rip = if self.is_long() { rip } else { rip & 0xffff_ffff };
        self.block.interrupt_shadow = 0;
    }

    fn is_long(&self) -> bool {
        const LONG: u16 = 1 << 9;
        self.block.efer & EFER_LMA != 0 && self.block.segments[1].attributes & LONG != 0
    }

    fn code(&self) -> (u64, Mode) {
        const BIG: u16 = 1 << 10;
        let Segment { attributes, base, .. } = self.block.segments[1];
        if self.is_long() {
            return (self.block.rip, Mode::Bits64);
        }
        let mode = if attributes & BIG != 0 { Mode::Bits32 } else { Mode::Bits16 };
        (base.wrapping_add(self.block.rip) & 0xffff_ffff, mode)
    }

    fn takes_interrupts(&self) -> bool {
        self.block.rflags & INTERRUPTS != 0
    }

    fn paging(&self) -> Paging {
        let Vmcb { cr0, cr3, cr4, efer, .. } = *self.block;
        Paging { cr0, cr3, cr4, efer, user: self.is_user() }
    }

    fn is_user(&self) -> bool {
        self.block.cpl == 3
    }

    fn efer(&self) -> u64 {
        self.block.efer & !EFER_SVME
    }

    fn set_efer(&mut self, efer: u64) {
        self.block.efer = efer & EFER_GUEST | self.block.efer & EFER_LMA | EFER_SVME;
        self.generation = 0;
    }

    fn pat(&self) -> u64 {
        self.block.pat
    }

    fn set_pat(&mut self, pat: u64) {
        self.block.pat = pat;
    }

    fn task_priority(&self) -> u8 {
        (self.block.interrupt_control & V_TPR) as u8
    }

    fn set_task_priority(&mut self, priority: u8) {
        self.block.interrupt_control = self.block.interrupt_control & !V_TPR | u64::from(priority) & V_TPR;
    }

    fn is_open(&self) -> bool {
        let Vmcb { rflags, interrupt_shadow, event, .. } = *self.block;
        let listens = rflags & INTERRUPTS != 0 && interrupt_shadow & 1 == 0;
        listens && event & EVENT_VALID == 0 && !self.is_on_its_way()
    }

    fn want_window(&mut self, wanted: bool) {
        let on_its_way = self.is_on_its_way();
        let block = &mut *self.block;
        block.intercept[0] &= !(INTERCEPT_WINDOW | INTERCEPT_RETURN);
        if on_its_way {
            // The next one has to wait until the handler of this one is over.
            block.intercept[0] |= if wanted { INTERCEPT_RETURN } else { 0 };
        } else if wanted {
            block.interrupt_control |= V_IRQ;
            block.intercept[0] |= INTERCEPT_WINDOW;
        } else {
            block.interrupt_control &= !V_IRQ;
        }
    }

    fn interrupt(&mut self, vector: u8) {
        if !AS_VIRTUAL.load(Ordering::Relaxed) {
            self.block.event = EVENT_VALID | u64::from(vector);
            return;
        }
        let control = self.block.interrupt_control & !V_VECTOR;
        self.block.interrupt_control = control | V_IRQ | u64::from(vector) << V_VECTOR.trailing_zeros();
        self.block.intercept[0] &= !INTERCEPT_WINDOW;
    }

    fn exception(&mut self, vector: u8, error: Option<u32>) {
        let error = error.map_or(0, |error| EVENT_ERROR | u64::from(error) << 32);
        self.block.event = EVENT_VALID | EVENT_EXCEPTION | u64::from(vector) | error;
    }

    /// Runs the guest until it is left. `registers` are its general registers, but for rsp.
    #[inline(always)]
    fn enter(&mut self, registers: &mut Registers, domain: usize) -> Cause {
        let share = percpu::this();
        let cpu = percpu::number();
        self.block.rax = registers.get(0);
        let generation = GENERATIONS.enter(cpu, domain);
        let forget = generation != self.generation || self.shares_number;
        self.generation = generation;
        self.block.tlb_control = if forget { FLUSH_ALL } else { 0 };
        let block = &raw mut *self.block as u64;
        // SAFETY: the block is a guest's that confines it: its memory by its nested page tables, all ports but
        // those that it was given, and all registers that the block does not hold. AMD-V is on, and the host page is this CPU's.
        unsafe { svm_enter(registers, block, share.host_state.load(Ordering::Relaxed)) };
        GENERATIONS.leave(cpu);
        registers.set(0, self.block.rax);
        // What was under way goes on at the next entry, if nothing else does.
        self.block.event = if self.block.exit_event & EVENT_VALID != 0 { self.block.exit_event } else { 0 };
        self.cause()
    }
}
