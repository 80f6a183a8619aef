//! The exit loop: a guest runs, traps, and either goes on at once or the core hears of it.

use hyp_boot::guest_tree::GUEST_UART;
use hyp_core::arch::{Exit, GuestFault, ShutdownReason};
use hyp_core::stats::{ExitCounts, ExitReason};
use hyp_dev::timer::Clock;
use xen_abi::hypercall::TAG;

use aarch64_cpu::registers::{ELR_EL1, ESR_EL1, ESR_EL2, FAR_EL2, HPFAR_EL2, Readable, VBAR_EL1};

use crate::domain::ArmDomain;
use crate::interrupts;
use crate::psci::{self, Call};
use crate::registers::Trap;
use crate::syndrome::{self, Abort, RegisterAccess, Syndrome};
use crate::system_register::{self, Effect};
use crate::uart;
use crate::vcpu::ArmVcpu;
use crate::vgic::{Width, v3};
use crate::virtual_interface;

/// The register that carries a hypercall's number (public/arch-arm.h).
const HYPERCALL_REGISTER: u8 = 16;
/// Bytes of vectors behind VBAR_EL1.
const VECTORS: u64 = 0x800;

/// A loaded vCPU, its domain, and where its exits are counted.
pub(crate) struct Turn<'t> {
    /// The domain.
    pub domain: &'t ArmDomain,
    /// The vCPU.
    pub vcpu: &'t mut ArmVcpu,
    /// The vCPU's number in its domain.
    pub index: u8,
    /// Its exits.
    pub counts: &'t mut ExitCounts,
    /// The machine's clock.
    pub clock: &'t Clock,
}

impl Turn<'_> {
    /// Runs the vCPU until something needs the core.
    pub(crate) fn run(&mut self) -> Exit {
        loop {
            let others = interrupts::refresh(self.domain, self.vcpu, self.index);
            if others != 0 {
                return Exit::Notify(others);
            }
            let exit = match self.vcpu.registers.enter() {
                Trap::Synchronous => {
                    // The commonest exit goes its own way, because it is built where the core reads it, not copied.
                    if Syndrome::is_hypercall(ESR_EL2.get(), TAG) {
                        return self.hypercall();
                    }
                    self.synchronous()
                }
                Trap::Interrupt => self.interrupt(),
                Trap::SystemError => Some(self.fault("asynchronous-abort")),
            };
            if let Some(exit) = exit {
                return exit;
            }
        }
    }

    #[inline(always)]
    fn hypercall(&self) -> Exit {
        let registers = &self.vcpu.registers;
        let [a, b, c, d, e, ..] = registers.x;
        Exit::Hypercall { number: registers.get(HYPERCALL_REGISTER), args: [a, b, c, d, e] }
    }

    fn synchronous(&mut self) -> Option<Exit> {
        let esr = ESR_EL2.get();
        match Syndrome::decode(esr) {
            Syndrome::Hypercall(TAG) => Some(self.hypercall()),
            Syndrome::WaitFor { event } => {
                self.skip(esr);
                Some(if event { Exit::Yield } else { self.idle() })
            }
            Syndrome::DataAbort(abort) => self.data_abort(abort),
            Syndrome::SystemRegister(access) => self.system_register(access, esr as u32),
            Syndrome::Float => {
                self.counts.count(ExitReason::Float);
                self.vcpu.float.acquire();
                None
            }
            Syndrome::Hypercall(0) => self.firmware(),
            Syndrome::SecureCall(_) => {
                self.skip(esr);
                self.firmware()
            }
            Syndrome::InstructionAbort(abort) => self.bad_fetch(&abort),
            Syndrome::Hypercall(_) => {
                // ELR is behind an HVC already.
                self.vcpu.registers.pc = self.vcpu.registers.pc.wrapping_sub(4);
                self.undefined()
            }
            Syndrome::Other(_) => self.undefined(),
        }
    }

    /// Goes on behind the instruction that trapped; 32-bit code has instructions of two bytes.
    fn skip(&mut self, esr: u64) {
        self.vcpu.registers.skip_instruction(syndrome::instruction_bytes(esr));
    }

    fn interrupt(&mut self) -> Option<Exit> {
        let exit = interrupts::take(self.domain, self.index, self.clock);
        if exit.is_none() {
            self.counts.count(ExitReason::Interrupt);
        }
        exit
    }

    fn idle(&mut self) -> Exit {
        self.vcpu.timer.observe();
        if self.vcpu.timer.is_asserted() {
            interrupts::take_timer(self.domain, self.index);
        }
        Exit::Idle
    }

    fn undefined(&mut self) -> Option<Exit> {
        self.counts.count(ExitReason::Register);
        system_register::inject_undefined(&mut self.vcpu.registers);
        None
    }

    /// PSCI and SMCCC, by either conduit.
    fn firmware(&mut self) -> Option<Exit> {
        let [function, a, b, c, ..] = self.vcpu.registers.x;
        Some(match psci::decode(function, [a, b, c]) {
            Call::Answer(value) => {
                self.counts.count(ExitReason::Firmware);
                self.vcpu.registers.set(0, value);
                return None;
            }
            Call::Suspend => {
                self.vcpu.registers.set(0, 0);
                self.idle()
            }
            Call::CpuOn { target, entry, argument } => Exit::CpuOn { target, entry, argument },
            Call::AffinityInfo { target } => Exit::AffinityInfo { target },
            Call::CpuOff => Exit::CpuOff,
            Call::SystemOff => Exit::Shutdown(ShutdownReason::PowerOff),
            Call::SystemReset => Exit::Shutdown(ShutdownReason::Reboot),
        })
    }

    fn system_register(&mut self, access: RegisterAccess, iss: u32) -> Option<Exit> {
        self.counts.count(ExitReason::Register);
        if let Some(register) = virtual_interface::sgi_register(iss) {
            self.skip(ESR_EL2.get());
            let value = self.vcpu.registers.get(access.transfer);
            let stale = v3::send_sgi(&mut self.domain.vgic.lock(), self.index, register, value);
            return self.notify(stale);
        }
        match system_register::effect(access.register, access.read) {
            Effect::Value(value) => {
                self.vcpu.registers.set(access.transfer, value);
                self.skip(ESR_EL2.get());
            }
            Effect::Ignored => self.skip(ESR_EL2.get()),
            Effect::Undefined => system_register::inject_undefined(&mut self.vcpu.registers),
        }
        None
    }

    /// Interrupts became pending for some vCPUs. The core need not hear of it if the caller is the only one.
    fn notify(&self, stale: u32) -> Option<Exit> {
        self.domain.mark_stale(stale);
        let others = stale & !(1 << self.index);
        (others != 0).then_some(Exit::Notify(others))
    }

    fn data_abort(&mut self, abort: Abort) -> Option<Exit> {
        let ipa = (HPFAR_EL2.get() & !0xf) << 8 | FAR_EL2.get() & 0xfff;
        if self.domain.vpl011.is_some()
            && abort.is_translation()
            && ipa.wrapping_sub(GUEST_UART.start) < GUEST_UART.size
        {
            return self.uart(&abort, ipa);
        }
        let Some((region, offset)) =
            abort.is_translation().then(|| virtual_interface::register(ipa, self.domain.vcpus)).flatten()
        else {
            let again = abort.is_translation() && self.domain.stage2.lock().is_mapped(ipa);
            return (!again).then(|| self.data_fault(&abort, ipa));
        };
        let Some(access) = abort.access else {
            return Some(self.fault_at("device-access-by-an-instruction-without-syndrome", FAR_EL2.get(), ipa));
        };
        self.counts.count(ExitReason::Mmio);
        self.skip(ESR_EL2.get());
        let width = Width::from_sas(access.size.trailing_zeros() as u8);
        let others = interrupts::look(self.domain, self.vcpu, self.index);
        if abort.write {
            let value = self.vcpu.registers.get(access.transfer);
            let stale = virtual_interface::write_register(
                &mut self.domain.vgic.lock(),
                self.index,
                (region, offset),
                width,
                value,
            );
            return self.notify(stale | others);
        }
        let value = virtual_interface::read_register(&self.domain.vgic.lock(), self.index, (region, offset), width);
        self.vcpu.registers.set(access.transfer, access.extend(value));
        self.notify(others)
    }

    /// An access to the emulated serial port.
    fn uart(&mut self, abort: &Abort, ipa: u64) -> Option<Exit> {
        let Some(access) = abort.access else {
            return Some(self.fault_at("device-access-by-an-instruction-without-syndrome", FAR_EL2.get(), ipa));
        };
        self.counts.count(ExitReason::Mmio);
        let offset = (ipa - GUEST_UART.start) as u32;
        let value = abort.write.then(|| self.vcpu.registers.get(access.transfer) as u32);
        let Some(answer) = uart::access(self.domain, offset, value) else {
            // The output is full: the same instruction again when others had their turn.
            return Some(Exit::Yield);
        };
        self.skip(ESR_EL2.get());
        if !abort.write {
            self.vcpu.registers.set(access.transfer, access.extend(answer.value.into()));
        }
        self.notify(answer.stale)
    }

    fn data_fault(&self, abort: &Abort, ipa: u64) -> Exit {
        let what = match (abort.walk, abort.is_translation(), abort.write) {
            (true, ..) => "translation-tables-in-unmapped-memory",
            (_, true, false) => "read-of-unmapped-memory",
            (_, true, true) => "write-to-unmapped-memory",
            (_, false, _) => "access-to-protected-memory",
        };
        self.fault_at(what, if abort.no_address { 0 } else { FAR_EL2.get() }, ipa)
    }

    /// The guest jumped out of its memory. When it jumped to its own vectors, an exception before it is the true cause.
    fn bad_fetch(&self, abort: &Abort) -> Option<Exit> {
        let pc = self.vcpu.registers.pc;
        let ipa = (HPFAR_EL2.get() & !0xf) << 8 | pc & 0xfff;
        let again = abort.is_translation() && self.domain.stage2.lock().is_mapped(ipa);
        (!again).then(|| self.fetch_fault(pc, ipa))
    }

    fn fetch_fault(&self, pc: u64, ipa: u64) -> Exit {
        if pc.wrapping_sub(VBAR_EL1.get()) >= VECTORS {
            return self.fault_at("jump-to-unmapped-memory", pc, ipa);
        }
        let what = match ESR_EL1.get() >> 26 & 0x3f {
            0x00 => "undefined-instruction",
            0x20 | 0x21 => "fetch-abort-without-a-handler",
            0x24 | 0x25 => "data-abort-without-a-handler",
            _ => "exception-without-a-handler",
        };
        let (guilty, cause) = (ELR_EL1.get(), ESR_EL1.get());
        Exit::Fault(GuestFault { what, pc: guilty, address: pc, guest_physical: ipa, syndrome: cause })
    }

    fn fault(&self, what: &'static str) -> Exit {
        self.fault_at(what, 0, 0)
    }

    fn fault_at(&self, what: &'static str, address: u64, guest_physical: u64) -> Exit {
        let (pc, syndrome) = (self.vcpu.registers.pc, ESR_EL2.get());
        Exit::Fault(GuestFault { what, pc, address, guest_physical, syndrome })
    }
}
