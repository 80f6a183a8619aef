//! VT-x: guests run by VMLAUNCH and VMRESUME with extended page tables.
//!
//! Everything here is about one control structure, which is loaded as long as its vCPU is; what an exit means is decided
//! elsewhere, in the architecture's own words ([`crate::exit`]). Source: Intel SDM 3C, chapters 24 to 28. A guest starts
//! without paging, so the processor has to have the "unrestricted guest".

mod controls;
mod vmcs;

use crate::decode::Mode;
use crate::exit::{Cause, Port};
use crate::guest_cpu::{Start, Virtualization};
use crate::percpu;
use crate::pool;
use crate::processor::{read_msr, write_msr};
use crate::svm::EFER_GUEST;
use crate::tlb::GENERATIONS;
use crate::vcpu::{RAX, Registers};
use crate::walk::Paging;

pub(crate) use controls::{init_cpu, obstacle, prepare};

/// EFER: long mode is enabled, is active.
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
/// Controls that change: leave the guest when it can take an interrupt; enter it in long mode.
const WINDOW: u64 = 1 << 2;
const ENTER_LONG: u64 = 1 << 9;
/// An event that is delivered: valid, with an error code; an exception; the bit that means something else on exits.
const EVENT_VALID: u64 = 1 << 31;
const EVENT_ERROR: u64 = 1 << 11;
const EVENT_EXCEPTION: u64 = 3 << 8;
const EVENT_UNKNOWN: u64 = 1 << 12;
/// RFLAGS.IF; CR0 bits.
const INTERRUPTS: u64 = 1 << 9;
const CR0_NE: u64 = 1 << 5;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
/// Rights of a segment: 64-bit code.
const LONG: u64 = 1 << 13;
/// STAR, LSTAR, CSTAR, SFMASK, kernel GS base: the guest's while its vCPU is loaded, for the hypervisor uses none of them.
const SYSTEM_CALLS: [u32; 5] = [0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0102];
const PAT_RESET: u64 = 0x0007_0406_0007_0406;

unsafe extern "C" {
    fn vmx_enter(registers: *mut Registers, launched: u64) -> u64;
}

/// One vCPU as the processor sees it.
pub(crate) struct Vmx {
    /// Physical address of its control structure.
    structure: u64,
    vpid: u64,
    /// It has been entered since its structure was cleared.
    launched: bool,
    /// What names its second stage.
    pointer: u64,
    /// The generation of its domain's translations that it knows.
    generation: u64,
    /// Its priority as CR8 has it.
    priority: u8,
    system_calls: [u64; 5],
    /// CR2 and DR6.
    fault_address: u64,
    debug_status: u64,
}

impl Vmx {
    /// A vCPU whose number in the machine is `number`.
    pub(crate) fn new(number: u64) -> Result<Self, pool::PoolEmpty> {
        let page = pool::take_words(1)?;
        if let Some(first) = page.first_mut() {
            *first = controls::revision();
        }
        Ok(Self {
            structure: page.as_ptr() as u64,
            vpid: number + 1,
            launched: false,
            pointer: 0,
            generation: 0,
            priority: 0,
            system_calls: [0; 5],
            fault_address: 0,
            debug_status: 0,
        })
    }

    /// An exit by an access to a control register, as far as those leave the guest.
    fn control_register(&mut self, registers: &mut Registers) -> Cause {
        let what = vmcs::read(vmcs::QUALIFICATION);
        let register = (what >> 8 & 15) as usize;
        let value = if register == 4 { vmcs::read(vmcs::GUEST_RSP) } else { registers.get(register) };
        match (what & 15, what >> 4 & 3) {
            (0, 0) => {
                if !self.write_cr0(value) {
                    return Cause::Unknown(28);
                }
            }
            (8, 0) => self.priority = value as u8 & 15,
            (8, 1) if register == 4 => vmcs::write(vmcs::GUEST_RSP, self.priority.into()),
            (8, 1) => registers.set(register, self.priority.into()),
            // VMX and the like are not there.
            (4, 0) => return Cause::Forbidden,
            _ => return Cause::Unknown(28),
        }
        self.skip(vmcs::read(vmcs::EXIT_LENGTH));
        Cause::Nothing
    }

    /// The guest writes CR0 with another NE than it had, which is always set in truth. `false`: it switches paging on in a
    /// way that takes more than that.
    fn write_cr0(&mut self, value: u64) -> bool {
        let efer = vmcs::read(vmcs::GUEST_EFER);
        let (pages, paged) = (value & CR0_PG != 0, vmcs::read(vmcs::GUEST_CR0) & CR0_PG != 0);
        if pages && !paged && efer & EFER_LME == 0 && vmcs::read(vmcs::GUEST_CR4) & CR4_PAE != 0 {
            return false;
        }
        if pages != paged && efer & EFER_LME != 0 {
            let entry = vmcs::read(vmcs::ENTRY_CONTROLS);
            let (efer, entry) =
                if pages { (efer | EFER_LMA, entry | ENTER_LONG) } else { (efer & !EFER_LMA, entry & !ENTER_LONG) };
            vmcs::write(vmcs::GUEST_EFER, efer);
            vmcs::write(vmcs::ENTRY_CONTROLS, entry);
        }
        vmcs::write(vmcs::CR0_SHADOW, value);
        vmcs::write(vmcs::GUEST_CR0, value | CR0_NE);
        true
    }

    /// Why the guest was left.
    #[inline(always)]
    fn cause(&mut self, registers: &mut Registers) -> Cause {
        let reason = vmcs::read(vmcs::EXIT_REASON);
        match reason {
            18 => Cause::Hypercall,
            1 => Cause::Interrupt,
            7 => Cause::Window,
            10 => Cause::Cpuid,
            12 => Cause::Halt,
            31 => Cause::ReadMsr,
            32 => Cause::WriteMsr,
            _ => self.rare(reason, registers),
        }
    }

    #[inline(never)]
    fn rare(&mut self, reason: u64, registers: &mut Registers) -> Cause {
        let qualification = vmcs::read(vmcs::QUALIFICATION);
        match reason {
            0 => exception(),
            2 => Cause::TripleFault,
            30 => Cause::Port(Port {
                port: (qualification >> 16) as u16,
                size: (qualification & 7) as u8 + 1,
                input: qualification & 8 != 0,
                string: qualification & 16 != 0,
                next: self.rip().wrapping_add(vmcs::read(vmcs::EXIT_LENGTH)),
            }),
            48 => Cause::Memory {
                address: vmcs::read(vmcs::GUEST_PHYSICAL),
                write: qualification & 2 != 0,
                fetch: qualification & 4 != 0,
            },
            28 => self.control_register(registers),
            13 | 54 => Cause::CacheControl,
            15 | 55 => Cause::Forbidden,
            19..=27 | 36 | 39 | 50 | 53 | 58 => Cause::Undefined,
            // Entering failed: the state, or what it loads, is refused.
            _ if reason & 1 << 31 != 0 => Cause::Invalid,
            _ => Cause::Unknown(reason),
        }
    }
}

/// An exception of the guest's, or an NMI of ours, which the hypervisor gets when it lets it in.
fn exception() -> Cause {
    let what = vmcs::read(vmcs::EXIT_EXCEPTION);
    if what >> 8 & 7 == 2 {
        return Cause::Interrupt;
    }
    let error = (what & EVENT_ERROR != 0).then(|| vmcs::read(vmcs::EXIT_ERROR) as u32);
    Cause::Exception { vector: what as u8, error }
}

impl Virtualization for Vmx {
    fn reset(&mut self, root: u64, ports: Option<u64>, start: Start) {
        vmcs::clear(self.structure);
        vmcs::load(self.structure);
        self.pointer = controls::ept_pointer(root);
        controls::fill(self.pointer, self.vpid, ports, start);
        (self.launched, self.generation, self.priority) = (false, 0, 0);
        self.system_calls = [0; 5];
        (self.fault_address, self.debug_status) = (0, 0xffff_0ff0);
        vmcs::write(vmcs::GUEST_PAT, PAT_RESET);
    }

    fn load(&mut self) {
        vmcs::load(self.structure);
        if !self.launched {
            // It may have been filled in by another CPU.
            controls::set_own_host();
        }
        for (register, value) in SYSTEM_CALLS.into_iter().zip(self.system_calls) {
            // SAFETY: registers of every x86-64 processor that the hypervisor does not use; the values were read there.
            unsafe { write_msr(register, value) };
        }
        // SAFETY: the address of a fault and the state of breakpoints, which only tell what was.
        unsafe {
            core::arch::asm!("mov cr2, {}", "mov dr6, {}", in(reg) self.fault_address, in(reg) self.debug_status,
                options(nomem, nostack, preserves_flags));
        }
    }

    fn save(&mut self) {
        for (register, value) in SYSTEM_CALLS.into_iter().zip(&mut self.system_calls) {
            // SAFETY: registers of every x86-64 processor.
            *value = unsafe { read_msr(register) };
        }
        // SAFETY: reads only.
        unsafe {
            core::arch::asm!("mov {}, cr2", "mov {}, dr6", out(reg) self.fault_address, out(reg) self.debug_status,
                options(nomem, nostack, preserves_flags));
        }
    }

    fn leave(&mut self) {
        // The processor may keep any part of the structure to itself until it is cleared (Intel SDM 3C, 25.11.1).
        vmcs::clear(self.structure);
        (self.launched, self.generation) = (false, 0);
    }

    fn rip(&self) -> u64 {
        vmcs::read(vmcs::GUEST_RIP)
    }

    fn set_rip(&mut self, rip: u64) {
        const SHADOWS: u64 = 3;
        vmcs::write(vmcs::GUEST_RIP, if self.is_long() { rip } else { rip & 0xffff_ffff });
        let shadow = vmcs::read(vmcs::INTERRUPTIBILITY);
        if shadow & SHADOWS != 0 {
            vmcs::write(vmcs::INTERRUPTIBILITY, shadow & !SHADOWS);
        }
    }

    fn is_long(&self) -> bool {
        vmcs::read(vmcs::GUEST_RIGHTS + 2) & LONG != 0 && vmcs::read(vmcs::GUEST_EFER) & EFER_LMA != 0
    }

    fn code(&self) -> (u64, Mode) {
        const BIG: u64 = 1 << 14;
        if self.is_long() {
            return (self.rip(), Mode::Bits64);
        }
        let mode = if vmcs::read(vmcs::GUEST_RIGHTS + 2) & BIG != 0 { Mode::Bits32 } else { Mode::Bits16 };
        (vmcs::read(vmcs::GUEST_BASE + 2).wrapping_add(self.rip()) & 0xffff_ffff, mode)
    }

    fn takes_interrupts(&self) -> bool {
        vmcs::read(vmcs::GUEST_RFLAGS) & INTERRUPTS != 0
    }

    fn paging(&self) -> Paging {
        let cr0 = vmcs::read(vmcs::GUEST_CR0);
        let (cr3, cr4) = (vmcs::read(vmcs::GUEST_CR3), vmcs::read(vmcs::GUEST_CR4));
        Paging { cr0, cr3, cr4, efer: vmcs::read(vmcs::GUEST_EFER), user: self.is_user() }
    }

    fn is_user(&self) -> bool {
        // The privilege level is that of the stack segment.
        vmcs::read(vmcs::GUEST_RIGHTS + 4) >> 5 & 3 == 3
    }

    fn efer(&self) -> u64 {
        vmcs::read(vmcs::GUEST_EFER)
    }

    fn set_efer(&mut self, efer: u64) {
        vmcs::write(vmcs::GUEST_EFER, efer & EFER_GUEST | self.efer() & EFER_LMA);
    }

    fn pat(&self) -> u64 {
        vmcs::read(vmcs::GUEST_PAT)
    }

    fn set_pat(&mut self, pat: u64) {
        vmcs::write(vmcs::GUEST_PAT, pat);
    }

    fn task_priority(&self) -> u8 {
        self.priority
    }

    fn set_task_priority(&mut self, priority: u8) {
        self.priority = priority;
    }

    fn is_open(&self) -> bool {
        vmcs::read(vmcs::GUEST_RFLAGS) & INTERRUPTS != 0
            && vmcs::read(vmcs::INTERRUPTIBILITY) & 3 == 0
            && vmcs::read(vmcs::ENTRY_EVENT) & EVENT_VALID == 0
    }

    fn want_window(&mut self, wanted: bool) {
        let controls = vmcs::read(vmcs::CONTROLS);
        vmcs::write(vmcs::CONTROLS, if wanted { controls | WINDOW } else { controls & !WINDOW });
    }

    fn interrupt(&mut self, vector: u8) {
        vmcs::write(vmcs::ENTRY_EVENT, EVENT_VALID | u64::from(vector));
    }

    fn exception(&mut self, vector: u8, error: Option<u32>) {
        let with_error = error.map_or(0, |error| {
            vmcs::write(vmcs::ENTRY_ERROR, error.into());
            EVENT_ERROR
        });
        vmcs::write(vmcs::ENTRY_EVENT, EVENT_VALID | EVENT_EXCEPTION | with_error | u64::from(vector));
    }

    #[inline(always)]
    fn enter(&mut self, registers: &mut Registers, domain: usize) -> Cause {
        let cpu = percpu::number();
        let generation = GENERATIONS.enter(cpu, domain);
        if generation != self.generation {
            self.generation = generation;
            vmcs::invalidate(self.pointer);
        }
        // SAFETY: the structure that is loaded is this guest's and confines it: its memory by its extended page tables, all
        // ports, and all registers that the structure does not hold. VMX is on.
        let failed = unsafe { vmx_enter(registers, self.launched.into()) };
        GENERATIONS.leave(cpu);
        if failed != 0 {
            return Cause::Invalid;
        }
        self.launched = true;
        let event = vmcs::read(vmcs::EXIT_EVENT);
        if event & EVENT_VALID != 0 {
            // What was under way goes on at the next entry, if nothing else does.
            vmcs::write(vmcs::ENTRY_ERROR, vmcs::read(vmcs::EXIT_EVENT_ERROR));
            vmcs::write(vmcs::ENTRY_LENGTH, vmcs::read(vmcs::EXIT_LENGTH));
            vmcs::write(vmcs::ENTRY_EVENT, event & !EVENT_UNKNOWN);
        }
        self.cause(registers)
    }
}

const _: () = assert!(RAX == 0, "vmx.s has the registers by their numbers");
