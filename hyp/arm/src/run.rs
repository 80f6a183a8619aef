//! What an exit means: most are dealt with here, the others the core hears of.

use hyp_boot::guest_tree::GUEST_UART;
use hyp_core::arch::{Exit, ShutdownReason, VcpuMask};
use hyp_core::stats::{ExitCounts, ExitReason};

use aarch64_cpu::registers::{ESR_EL2, FAR_EL2, HPFAR_EL2, Readable};

use crate::domain::ArmDomain;
use crate::psci::{self, Call};
use crate::syndrome::{self, Abort, RegisterAccess, class};
use crate::uart;
use crate::vcpu::ArmVcpu;
use crate::vgic::Width;
use crate::vgic::v3::SgiRegister;
use crate::{devices, firmware, inject, interrupts, virtual_interface, vtimer};

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
}

impl Turn<'_> {
    /// A synchronous exception that seldom comes.
    pub(crate) fn rare(&mut self, esr: u64) -> Option<Exit> {
        match syndrome::class(esr) {
            class::FLOAT => {
                self.counts.count(ExitReason::Float);
                self.vcpu.float.acquire();
                None
            }
            class::POINTER_AUTHENTICATION => {
                self.vcpu.keys.acquire();
                None
            }
            class::INSTRUCTION_ABORT => self.bad_fetch(&Abort::of_fetch(esr)),
            class::HVC => {
                // ELR is behind an HVC already.
                let pc = self.vcpu.registers.pc();
                self.vcpu.registers.set_pc(pc.wrapping_sub(4));
                self.undefined()
            }
            _ => self.undefined(),
        }
    }

    /// Goes on behind the instruction that trapped; 32-bit code has instructions of two bytes.
    #[inline(always)]
    pub(crate) fn skip(&mut self, esr: u64) {
        self.skip_bytes(syndrome::instruction_bytes(esr));
    }

    /// Goes on behind the access to a system register that trapped, which no instruction of two bytes makes.
    #[inline(always)]
    pub(crate) fn skip_access(&mut self) {
        self.skip_bytes(4);
    }

    #[inline(always)]
    fn skip_bytes(&mut self, bytes: u64) {
        if self.vcpu.debug.is_live() {
            self.vcpu.registers.end_step();
        }
        self.vcpu.registers.skip_instruction(bytes);
    }

    /// An interrupt of the hypervisor's.
    pub(crate) fn interrupt(&mut self) -> Option<Exit> {
        let exit = interrupts::take(self.domain, self.vcpu, self.index);
        if exit.is_none() {
            self.counts.count(ExitReason::Interrupt);
            self.look_at_physical_timer();
        }
        exit
    }

    /// The vCPU waits for an interrupt: those of its timers that have come are looked for, before the core asks.
    #[inline(always)]
    pub(crate) fn idle(&mut self) {
        if vtimer::is_line_up() {
            interrupts::take_timer(self.domain, &mut self.vcpu.lists, self.index);
        }
        self.look_at_physical_timer();
    }

    #[inline(always)]
    fn look_at_physical_timer(&mut self) {
        if self.vcpu.physical_timer.is_on() {
            self.vcpu.physical_timer.update(self.domain, self.index);
        }
    }

    fn undefined(&mut self) -> Option<Exit> {
        self.counts.count(ExitReason::Register);
        inject::undefined(&mut self.vcpu.registers);
        None
    }

    /// A firmware call that asks for nothing but a value. `false`: it was another, and nothing was done.
    #[inline(always)]
    pub(crate) fn quick_firmware(&mut self) -> bool {
        let [function, argument, ..] = self.vcpu.registers.x;
        let Some(value) = psci::answer(function as u32, argument as u32, firmware::offers) else { return false };
        self.counts.count(ExitReason::Firmware);
        self.vcpu.registers.set(0, value);
        true
    }

    /// PSCI and SMCCC, by either conduit.
    #[inline(always)]
    pub(crate) fn firmware(&mut self) -> Option<Exit> {
        let [function, a, b, c, ..] = self.vcpu.registers.x;
        Some(match psci::decode(function, [a, b, c]) {
            Call::Answer(value) => {
                self.counts.count(ExitReason::Firmware);
                self.vcpu.registers.set(0, value);
                return None;
            }
            Call::PowerDown { entry, .. } | Call::CpuOn { entry, .. } if !self.is_entry(entry) => {
                self.vcpu.registers.set(0, psci::INVALID_ADDRESS);
                return None;
            }
            Call::WorkAround { function } => {
                self.counts.count(ExitReason::Firmware);
                self.vcpu.registers.set(0, firmware::work_around(function));
                return None;
            }
            Call::Standby => {
                self.vcpu.registers.set(0, 0);
                self.idle();
                Exit::Idle
            }
            Call::PowerDown { entry, argument } => {
                self.vcpu.power_down(entry, argument);
                self.idle();
                Exit::Idle
            }
            Call::CpuOn { target, entry, argument } => Exit::CpuOn { target, entry, argument },
            Call::AffinityInfo { target } => Exit::AffinityInfo { target },
            Call::CpuOff => Exit::CpuOff,
            Call::SystemOff => Exit::Shutdown(ShutdownReason::PowerOff),
            Call::SystemReset => Exit::Shutdown(ShutdownReason::Reboot),
        })
    }

    /// A write to one of the registers that send SGIs. Returns the other vCPUs that have to be told.
    #[inline(always)]
    pub(crate) fn send_sgi(&mut self, esr: u64, register: SgiRegister) -> VcpuMask {
        self.counts.count(ExitReason::Register);
        self.skip_access();
        let value = self.vcpu.registers.get(RegisterAccess::decode(esr).transfer);
        interrupts::send_sgi(self.domain, &mut self.vcpu.lists, self.index, register, value)
    }

    /// A vCPU can start there.
    fn is_entry(&self, address: u64) -> bool {
        address.is_multiple_of(4) && self.domain.memory.host(address).is_some()
    }

    /// Interrupts became pending for some vCPUs. The core need not hear of it if the caller is the only one.
    #[inline(always)]
    fn notify(&self, stale: u32) -> Option<Exit> {
        if stale == 0 {
            return None;
        }
        self.domain.mark_stale(stale);
        let others = stale & !1u32.wrapping_shl(self.index.into());
        (others != 0).then_some(Exit::Notify(others))
    }

    /// Deals with a load of a register of the virtual interrupt controller while nothing is in its list registers, which
    /// is what a driver does most, and with one of the serial port that takes no byte. `false`: it was something else, and
    /// nothing was done.
    #[inline(always)]
    pub(crate) fn quick_load(&mut self, esr: u64) -> bool {
        let Some((width, transfer)) = syndrome::plain_load(esr) else { return false };
        let ipa = (HPFAR_EL2.get() & !0xf) << 8 | FAR_EL2.get() & 0xfff;
        let (lists, width) = (&self.vcpu.lists, Width::from_sas(width));
        let value = match virtual_interface::quick_read(self.domain.vgic, lists, self.index, ipa, width) {
            Some(value) => value,
            None => match uart::quick_read(self.domain, ipa, width) {
                Some(value) => value,
                None => return false,
            },
        };
        self.counts.count(ExitReason::Mmio);
        self.vcpu.registers.set(transfer, value);
        self.skip(esr);
        true
    }

    /// A load or store that the second stage refused: a device, or nothing that the guest has.
    #[inline(always)]
    pub(crate) fn data_abort(&mut self, esr: u64) -> Option<Exit> {
        let ipa = (HPFAR_EL2.get() & !0xf) << 8 | FAR_EL2.get() & 0xfff;
        self.device(esr, &Abort::of_data(esr), ipa)
    }

    /// An access to a device at a guest-physical address, if there is one.
    #[inline]
    pub(crate) fn device(&mut self, esr: u64, abort: &Abort, ipa: u64) -> Option<Exit> {
        if self.domain.vpl011.is_some()
            && abort.is_translation()
            && ipa.wrapping_sub(GUEST_UART.start) < GUEST_UART.size
        {
            return self.uart(abort, ipa);
        }
        let Some((region, offset)) = abort.is_translation().then(|| virtual_interface::register(ipa)).flatten() else {
            return self.bad_access(abort, ipa);
        };
        let Some(access) = abort.access else { return self.undescribed(abort, ipa) };
        self.counts.count(ExitReason::Mmio);
        self.skip(esr);
        let width = Width::from_sas(access.size.trailing_zeros() as u8);
        let others = interrupts::look(self.domain, self.vcpu, self.index);
        if abort.write {
            let value = self.vcpu.registers.get(access.transfer);
            let mut vgic = self.domain.vgic.lock();
            let stale = virtual_interface::write_register(&mut vgic, self.index, (region, offset), width, value);
            devices::settle(&mut vgic);
            drop(vgic);
            return self.notify(stale | others);
        }
        let value = virtual_interface::read_register(&self.domain.vgic.lock(), self.index, (region, offset), width);
        self.vcpu.registers.set(access.transfer, access.extend(value));
        self.notify(others)
    }

    /// An access to the emulated serial port.
    #[inline(never)]
    fn uart(&mut self, abort: &Abort, ipa: u64) -> Option<Exit> {
        let Some(access) = abort.access else { return self.undescribed(abort, ipa) };
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

    /// The guest cannot go on.
    pub(crate) fn fault(&self, what: &'static str) -> Exit {
        Exit::Fault(self.fault_of(what, 0, 0))
    }
}
