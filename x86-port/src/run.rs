//! What an exit means: most are dealt with here, the others the core hears of.

use core::sync::atomic::Ordering;

use hyp_boot::guest_tables::{RESET, SLEEP, SLEEP_CONTROL, SLEEP_STATUS};
use hyp_core::arch::{Exit, GuestFault, Interrupt, ShutdownReason};
use hyp_core::stats::{ExitCounts, ExitReason};

use crate::assigned::{self, PCI_ADDRESS};
use crate::cpuid::{self, Asker};
use crate::domain::X86Domain;
use crate::exit::{Cause, Port};
use crate::guest_cpu::Virtualization;
use crate::vcpu::{RAX, RBX, RCX, RDX, X86Vcpu};
use crate::vlapic::Effect;
use crate::{clock, interrupts, mmio, msr, processor, serial, timer, uart};

/// Exceptions.
const UNDEFINED: u8 = 6;
const PROTECTION: u8 = 13;
/// Where HVM guests of Xen print before they have anything else: the debug port.
const DEBUG_PORT: u16 = 0xe9;
/// What an instruction takes of bytes: without prefixes, for processors that do not say where the next one is.
const HALT_BYTES: u64 = 1;
const SHORT_BYTES: u64 = 2;

/// A loaded vCPU, its domain, and where its exits are counted.
pub(crate) struct Turn<'t> {
    /// The domain.
    pub domain: &'t X86Domain,
    /// The vCPU.
    pub vcpu: &'t mut X86Vcpu,
    /// The vCPU's number in its domain.
    pub index: u8,
    /// Its exits.
    pub counts: &'t mut ExitCounts,
}

impl Turn<'_> {
    /// Runs the guest.
    #[inline(always)]
    pub(crate) fn enter(&mut self) -> Cause {
        let cause = self.vcpu.processor.enter(&mut self.vcpu.registers, self.domain.number);
        let priority = self.vcpu.processor.task_priority();
        self.vcpu.apic.set_task_priority(priority);
        cause
    }

    /// Delivers what waits, or asks to hear when it can be.
    #[inline(always)]
    pub(crate) fn show_interrupts(&mut self) {
        if let Some(posted) = self.domain.posted.get(usize::from(self.index)) {
            self.vcpu.apic.take(posted);
        }
        if self.vcpu.event.raised || self.vcpu.apic.deliverable().is_some() {
            self.deliver();
        }
    }

    /// The vector by which the event interrupt comes past the local APIC, if it is to come.
    fn event(&self) -> Option<u8> {
        let callback = self.domain.events.callback.load(Ordering::Relaxed);
        (self.vcpu.event.raised && callback != 0).then_some(callback)
    }

    #[inline(never)]
    fn deliver(&mut self) {
        if self.vcpu.processor.is_open() {
            if let Some(vector) = self.event() {
                self.vcpu.event.raised = false;
                self.vcpu.processor.interrupt(vector);
            } else if let Some(vector) = self.vcpu.apic.deliverable() {
                self.vcpu.apic.accept(vector);
                self.vcpu.processor.interrupt(vector);
            }
        }
        let more = self.event().is_some() || self.vcpu.apic.deliverable().is_some();
        self.vcpu.processor.want_window(more);
    }

    /// A physical interrupt came.
    pub(crate) fn interrupt(&mut self) -> Interrupt {
        if self.vcpu.apic.deadline().is_some() {
            self.ring();
        }
        let interrupt = interrupts::take(false);
        if interrupt == Interrupt::Other {
            self.counts.count(ExitReason::Interrupt);
        }
        interrupt
    }

    /// Lets the guest's timer ring if it is time.
    pub(crate) fn ring(&mut self) {
        self.vcpu.apic.ring(clock::now());
        timer::set_guest(self.vcpu.apic.deadline());
    }

    /// Any other exit.
    pub(crate) fn handle(&mut self, cause: Cause) -> Option<Exit> {
        match cause {
            Cause::Halt => {
                self.vcpu.processor.skip(HALT_BYTES);
                // Nothing would ever wake it: it has switched itself off.
                Some(if self.vcpu.processor.takes_interrupts() { Exit::Idle } else { Exit::CpuOff })
            }
            Cause::Window => {
                self.vcpu.processor.want_window(false);
                None
            }
            Cause::Cpuid => self.cpuid(),
            Cause::ReadMsr => self.read_msr(),
            Cause::WriteMsr => self.write_msr(),
            Cause::Port(port) => self.port(port),
            Cause::Memory { address, write, fetch } => self.memory(address, write, fetch),
            Cause::Exception { vector, error } => {
                self.vcpu.processor.exception(vector, error);
                None
            }
            Cause::CacheControl => {
                self.vcpu.processor.skip(SHORT_BYTES);
                None
            }
            Cause::Undefined => self.refuse(UNDEFINED, None),
            Cause::Forbidden => self.refuse(PROTECTION, Some(0)),
            Cause::TripleFault => Some(self.fault("triple fault", 0, 0)),
            Cause::Invalid => Some(self.fault("impossible processor state", 0, 0)),
            Cause::Unknown(code) => Some(self.fault("unknown exit", 0, code)),
            // The loop deals with these.
            Cause::Hypercall | Cause::Interrupt | Cause::Nothing => None,
        }
    }

    fn refuse(&mut self, vector: u8, error: Option<u32>) -> Option<Exit> {
        self.counts.count(ExitReason::Register);
        self.vcpu.processor.exception(vector, error);
        None
    }

    fn cpuid(&mut self) -> Option<Exit> {
        self.counts.count(ExitReason::Register);
        let asker = Asker {
            vcpu: self.index,
            vcpus: self.vcpu.count(),
            domain: self.domain.number as u16 + 1,
            tsc_khz: clock::tsc_khz(),
        };
        let (leaf, subleaf) = (self.vcpu.registers.get(RAX) as u32, self.vcpu.registers.get(RCX) as u32);
        let answer = cpuid::answer(&asker, leaf, subleaf, processor::cpuid);
        for (register, value) in [RAX, RBX, RCX, RDX].into_iter().zip(answer) {
            self.vcpu.registers.set32(register, value);
        }
        self.vcpu.processor.skip(SHORT_BYTES);
        None
    }

    fn read_msr(&mut self) -> Option<Exit> {
        self.counts.count(ExitReason::Register);
        let register = self.vcpu.registers.get(RCX) as u32;
        let Some(value) = msr::read(self, register) else { return self.refuse(PROTECTION, Some(0)) };
        self.vcpu.registers.set_pair(value);
        self.vcpu.processor.skip(SHORT_BYTES);
        None
    }

    fn write_msr(&mut self) -> Option<Exit> {
        self.counts.count(ExitReason::Register);
        let (register, value) = (self.vcpu.registers.get(RCX) as u32, self.vcpu.registers.pair());
        let Some(effect) = msr::write(self, register, value) else { return self.refuse(PROTECTION, Some(0)) };
        self.vcpu.processor.skip(SHORT_BYTES);
        self.take_effect(effect)
    }

    /// What an interrupt controller has for vCPUs.
    fn take_effect(&mut self, effect: Effect) -> Option<Exit> {
        match effect {
            Effect::None => None,
            Effect::Ended(vector) => {
                let again = self.domain.end_interrupt(vector);
                if again == Effect::None { None } else { self.take_effect(again) }
            }
            Effect::Interrupt { targets, vector } => {
                let own = 1u32 << self.index;
                if targets & own != 0 {
                    self.vcpu.apic.request(vector);
                }
                let others = targets & !own;
                self.domain.post(others, vector);
                (others != 0).then_some(Exit::Notify(others))
            }
            // One that is on already stays as it is, and the core says so.
            Effect::Start { targets: 0, .. } => None,
            Effect::Start { targets, page } => Some(Exit::CpuOn {
                target: targets.trailing_zeros(),
                entry: u64::from(page) << 12,
                argument: crate::vcpu::REAL_MODE,
            }),
        }
    }

    fn port(&mut self, access: Port) -> Option<Exit> {
        self.counts.count(ExitReason::Mmio);
        if access.string {
            return self.refuse(PROTECTION, Some(0));
        }
        let effect = if access.input {
            let (value, effect) = if self.is_pci_address(&access) {
                (assigned::pci_address(), Effect::None)
            } else {
                self.input(access.port)
            };
            let rax = self.vcpu.registers.get(RAX);
            self.vcpu.registers.set(RAX, merge(rax, value, access.size));
            effect
        } else if self.is_pci_address(&access) {
            assigned::set_pci_address(self.vcpu.registers.get(RAX) as u32);
            Effect::None
        } else {
            match self.output(access.port, self.vcpu.registers.get(RAX) as u8) {
                Ok(effect) => effect,
                Err(exit) => return Some(exit),
            }
        };
        self.vcpu.processor.set_rip(access.next);
        self.take_effect(effect)
    }

    /// Does the guest choose a register of the machine's PCI devices, and may it? Only 32 bits at once do that.
    fn is_pci_address(&self, access: &Port) -> bool {
        self.domain.configures_pci && (access.port, access.size) == (PCI_ADDRESS, 4)
    }

    /// What a port has.
    fn input(&self, port: u16) -> (u32, Effect) {
        let offset = port.wrapping_sub(uart::FIRST);
        match port {
            _ if offset < uart::COUNT => serial::read(self.domain, offset),
            DEBUG_PORT => (DEBUG_PORT.into(), Effect::None),
            // Whoever could read it has not slept.
            SLEEP_STATUS => (0, Effect::None),
            // Nobody is there.
            _ => (u32::MAX, Effect::None),
        }
    }

    /// Writes to a port.
    fn output(&self, port: u16, value: u8) -> Result<Effect, Exit> {
        let offset = port.wrapping_sub(uart::FIRST);
        // The console is full: the same instruction again when others had their turn.
        let done = |effect: Option<Effect>| effect.ok_or(Exit::Yield);
        match (port, value) {
            _ if offset < uart::COUNT => done(serial::write(self.domain, offset, value)),
            (DEBUG_PORT, _) => done(serial::print(self.domain, value).then_some(Effect::None)),
            (SLEEP_CONTROL, SLEEP) => Err(Exit::Shutdown(ShutdownReason::PowerOff)),
            RESET => Err(Exit::Shutdown(ShutdownReason::Reboot)),
            _ => Ok(Effect::None),
        }
    }

    /// The guest touched memory that is not RAM, or not in this way.
    fn memory(&mut self, address: u64, write: bool, fetch: bool) -> Option<Exit> {
        if !fetch && mmio::is_device(address) {
            self.counts.count(ExitReason::Mmio);
            return match mmio::access(self.domain, self.vcpu, address) {
                Ok(effect) => self.take_effect(effect),
                Err(what) => Some(self.fault(what, address, 0)),
            };
        }
        // What bare hardware does, to answer with ones, hides a guest's mistakes from who could repair them.
        let what = match (fetch, write) {
            (true, _) => "jump to unmapped memory",
            (_, true) => "write to unmapped memory",
            _ => "read of unmapped memory",
        };
        Some(self.fault(what, address, 0))
    }

    fn fault(&self, what: &'static str, guest_physical: u64, syndrome: u64) -> Exit {
        Exit::Fault(GuestFault { what, pc: self.vcpu.processor.rip(), address: 0, guest_physical, syndrome })
    }
}

/// A register after an input of so many bytes: 32-bit values fill all of it with zeros, smaller ones leave the rest.
fn merge(register: u64, value: u32, size: u8) -> u64 {
    match size {
        1 => register & !0xff | u64::from(value as u8),
        2 => register & !0xffff | u64::from(value as u16),
        _ => value.into(),
    }
}
