//! The virtual interrupt controller of a domain, as pure state and functions.
//!
//! The processor's virtual CPU interface acknowledges and completes interrupts for a guest without any help, but it
//! knows only the few that sit in its *list registers*. Everything else a guest sees of a GIC is this module: which
//! interrupts exist, which are enabled, pending and active, where they go, and which of them deserve a list register
//! now. Nothing here touches hardware, so the whole of it is tested on the host against a naive model.
//!
//! # How a port uses it
//!
//! A [`Vgic`] belongs to one domain and sits behind a lock; a [`ListRegisters`] belongs to one vCPU and is the image of
//! its `ICH_LR<n>_EL2`. Every function that can change what a vCPU should be shown returns a [`VcpuMask`]: the vCPUs
//! whose list registers are out of date. The port keeps these bits in an atomic word *outside* the lock (`fetch_or`)
//! and kicks the vCPUs that run elsewhere. On the way into a guest it looks at its own bit and, where it is clear, does
//! nothing at all: list registers stay in the hardware over exits that do not concern interrupts. Where the bit is set:
//!
//! 1. clear the bit; if `lists.used() != 0`, read that many list registers and `ICH_HCR_EL2.EOIcount` into `lists`;
//! 2. lock, [`Vgic::sync`], [`Vgic::flush`], unlock;
//! 3. write [`ListRegisters::to_write`] and [`ListRegisters::control`]; deactivate what [`ListRegisters::deactivate`]
//!    names at the physical redistributor.
//!
//! The same is due on a maintenance interrupt. Steps 1 and [`Vgic::sync`] alone are due before a vCPU leaves its CPU,
//! before [`Vgic::has_deliverable`] decides about WFI, and before a guest's register access is emulated (else it reads
//! the state as of the last flush; a GICv3's writes are right in any case). After a `sync`, a `flush` must come before
//! the guest runs. A vCPU that leaves its CPU leaves its list registers empty there: where they are, [`Vgic::forget_listed`]
//! does in place of `sync`; else they are emptied, and [`ListRegisters::leave`] says so. When a vCPU comes onto a CPU, a
//! `flush` is due.
//!
//! # Sources
//!
//! | kind | told by | pending until |
//! |---|---|---|
//! | level (a device's line) | [`Vgic::set_line`] both ways | the line falls (an exit follows each completion) |
//! | edge | [`Vgic::pulse`], or [`Vgic::set_line`] rising | acknowledged |
//! | quiet, [`Vgic::set_quiet`] | the same, whatever the guest configures | acknowledged, or the line falls |
//! | hardware, [`Vgic::map_hardware`] | `set_line(true)` when the physical interrupt was taken | the same as quiet |
//!
//! *Quiet* is for a source whose line the guest lowers by writing its own memory (the event channel): no exit follows
//! the completion. *Hardware* is for a physical private interrupt of the same number that stays active, and so silent,
//! until the guest is done with it (the virtual timer): the guest's completion completes it too. With a GICv2's virtual
//! CPU interface, [`v2::flush`] and [`v2::sync`] take the places of those here.

mod bank;
mod lists;
mod registers;
pub mod v2;
pub mod v3;

#[cfg(test)]
mod tests;

use bank::{Bank, ones};
pub use hyp_core::arch::VcpuMask;
pub use lists::{ListRegisters, Shown};
pub use registers::Width;

/// vCPUs that one controller can serve.
pub const MAX_VCPUS: usize = 8;
/// Shared peripheral interrupts: INTIDs 32 to 287, as many as QEMU's `virt` has and so Xen's guests there.
pub const SPIS: u32 = 256;
/// INTIDs below this are private to a vCPU: SGIs 0 to 15, PPIs 16 to 31.
const PRIVATE: u32 = 32;
/// INTIDs below this are software-generated.
const SGIS: usize = 16;
/// Words of SPI state, 32 interrupts each.
const SPI_BANKS: usize = (SPIS / 32) as usize;
/// The priority bits that exist: 5, as in the virtual CPU interface of every core we know (ICH_VTR_EL2.PRIbits).
const PRIORITY_MASK: u8 = 0xf8;

/// What is to be done to a physical SPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhysicalChange {
    /// Let it through.
    Enable {
        /// It is triggered by an edge, else by a level.
        edge: bool,
    },
    /// Hold it back.
    Disable,
    /// It is active, and may come again.
    Deactivate,
}

/// What one vCPU has for itself.
#[derive(Clone, Debug)]
struct Cpu {
    /// SGIs and PPIs.
    private: Bank,
    /// SPIs routed to this vCPU, by bank.
    routed: [u32; SPI_BANKS],
    /// SPIs that are active here or sit in a list register here, wherever they are routed by now.
    held: [u32; SPI_BANKS],
    /// GICv2: for each SGI, the vCPUs (bit n: vCPU n) from which it is pending. The latch is set where any is.
    sources: [u8; SGIS],
    /// GICv2: for each SGI that is active, the vCPU that sent it.
    active_source: [u8; SGIS],
    /// `GICR_WAKER.ProcessorSleep`: kept for the guest to read, never acted on.
    asleep: bool,
}

/// The virtual interrupt controller of one domain.
#[derive(Clone, Debug)]
pub struct Vgic {
    vcpus: u8,
    /// What `IGROUPR` holds after reset, and so which front end the controller has.
    reset_group: u32,
    /// All ones when group 0 (`GICD_CTLR.EnableGrp0`) is enabled.
    group0: u32,
    /// All ones when group 1 (`GICD_CTLR.EnableGrp1`) is enabled.
    group1: u32,
    cpus: [Cpu; MAX_VCPUS],
    spis: [Bank; SPI_BANKS],
    /// The banks of SPIs (bit n: `spis[n]`) in which one is tied to a physical interrupt.
    devices: u32,
    /// The banks of SPIs (bit n: `spis[n]`) in which something may be pending, active, up or in a list register. Whoever may
    /// change a bank sets its bit, and a flush that finds nothing there takes it away: most guests have one device.
    busy: u32,
    /// GICv2: `GICD_ITARGETSR<n>`, bit n for vCPU n. GICv3: affinity as the guest wrote it into `GICD_IROUTER<n>`, Aff3
    /// in bits 24 to 31, down to Aff0 in bits 0 to 7.
    routes: [u32; SPIS as usize],
}

impl Vgic {
    /// A controller after reset, for vCPUs 0 to `vcpus` - 1 with affinity 0.0.0.n. More than [`MAX_VCPUS`] count as
    /// that many.
    pub fn new(vcpus: u8) -> Self {
        Self::with_reset_group(vcpus, !0)
    }

    /// The same, with every interrupt in this group after this and every further reset.
    fn with_reset_group(vcpus: u8, reset_group: u32) -> Self {
        const CPU: Cpu = Cpu {
            private: Bank::new(0),
            routed: [0; SPI_BANKS],
            held: [0; SPI_BANKS],
            sources: [0; SGIS],
            active_source: [0; SGIS],
            asleep: false,
        };
        const SPI: Bank = Bank::new(0);
        let mut vgic = Self {
            vcpus: vcpus.min(MAX_VCPUS as u8),
            reset_group,
            group0: 0,
            group1: 0,
            cpus: [CPU; MAX_VCPUS],
            spis: [SPI; SPI_BANKS],
            devices: 0,
            busy: 0,
            routes: [0; SPIS as usize],
        };
        vgic.reset();
        vgic
    }

    /// Back to the state of [`Vgic::new`]; quiet and hardware interrupts stay so, lines fall. No vCPU may be in its
    /// guest, and list registers must be cleared with [`ListRegisters::clear`]. The caller deactivates
    /// [`Vgic::physical`] of every vCPU first, and asks for [`Vgic::next_physical`] afterwards.
    pub fn reset(&mut self) {
        let group = self.reset_group;
        (self.group0, self.group1, self.busy) = (0, 0, 0);
        for (index, cpu) in self.cpus.iter_mut().enumerate() {
            cpu.private.reset(0xffff, group);
            cpu.routed.fill(if index == 0 { !0 } else { 0 });
            cpu.held.fill(0);
            (cpu.sources, cpu.active_source, cpu.asleep) = ([0; SGIS], [0; SGIS], false);
        }
        self.spis.iter_mut().for_each(|bank| bank.reset_shared(group));
        self.routes.fill(u32::from(group == 0));
    }

    /// vCPUs that this controller serves.
    pub const fn vcpus(&self) -> u8 {
        self.vcpus
    }

    /// Make an interrupt quiet (see the table above), on every vCPU if it is private.
    pub fn set_quiet(&mut self, intid: u32) {
        let bit = 1 << (intid % 32);
        if intid < PRIVATE {
            self.cpus.iter_mut().for_each(|cpu| cpu.private.quiet |= bit);
        } else if let Some(bank) = self.spis.get_mut(intid as usize / 32 - 1) {
            bank.quiet |= bit;
        }
    }

    /// Tie a PPI to the physical PPI of the same number, on every vCPU, or an SPI to the physical SPI. Other INTIDs are left
    /// alone.
    pub fn map_hardware(&mut self, intid: u32) {
        let bit = 1 << (intid % 32);
        match (intid / 32).checked_sub(1) {
            Some(number) => {
                if let Some(bank) = self.spis.get_mut(number as usize) {
                    bank.hardware |= bit;
                    bank.quiet |= bit;
                    self.devices |= 1 << number;
                }
            }
            None if intid >= SGIS as u32 => {
                self.set_quiet(intid);
                self.cpus.iter_mut().for_each(|cpu| cpu.private.hardware |= bit);
            }
            None => {}
        }
    }

    /// A physical SPI to which one here is tied has been taken, and is active until the guest is done with it.
    /// [`Vgic::next_physical`] is due.
    pub fn take_shared(&mut self, intid: u32) -> VcpuMask {
        if let Some(bank) = self.bank_mut(0, intid / 32) {
            bank.physical |= bank.hardware & 1 << (intid % 32);
        }
        self.pulse(0, intid)
    }

    /// Are SPIs tied to physical ones?
    #[inline(always)]
    pub fn has_devices(&self) -> bool {
        self.devices != 0
    }

    /// What the physical interrupt controller has to be told next of the SPIs that are tied, and of which of them.
    #[inline(never)]
    pub fn next_physical(&mut self) -> Option<(u32, PhysicalChange)> {
        for number in ones(self.devices) {
            let Some(bank) = self.spis.get_mut(number as usize) else { break };
            let intid = |word: u32| PRIVATE + number * 32 + word.trailing_zeros();
            let changed = (bank.enabled ^ bank.forwarded) & bank.hardware;
            if changed != 0 {
                let bit = changed & changed.wrapping_neg();
                bank.forwarded ^= bit;
                let edge = bank.edge & bit != 0;
                let change =
                    if bank.enabled & bit != 0 { PhysicalChange::Enable { edge } } else { PhysicalChange::Disable };
                return Some((intid(bit), change));
            }
            let released = bank.release();
            if released != 0 {
                bank.physical |= released & released.wrapping_sub(1);
                return Some((intid(released), PhysicalChange::Deactivate));
            }
        }
        None
    }

    /// The physical PPIs (bit n: INTID n) that have to be active while this vCPU is on a CPU, so that they stay silent
    /// until the guest completes them. A CPU that loads a vCPU sets the active state of the mapped PPIs to this. For
    /// what is in list registers it says what the last [`Vgic::flush`] saw.
    pub fn physical(&self, vcpu: u8) -> u32 {
        self.cpu(vcpu).map_or(0, |cpu| cpu.private.physical | cpu.private.tied)
    }

    /// Set the level of an interrupt's line. `vcpu` matters for private interrupts alone. For a hardware interrupt,
    /// `true` means that the physical one has just been taken, and every call counts; `false` withdraws it.
    pub fn set_line(&mut self, vcpu: u8, intid: u32, level: bool) -> VcpuMask {
        let bit = 1 << (intid % 32);
        let Some(bank) = self.bank_mut(vcpu, intid / 32) else { return 0 };
        let (latch, loaded, by_line) = (bank.latch, bank.loaded, bank.by_line());
        bank.set_line(bit, level);
        let touched = (latch ^ bank.latch | loaded ^ bank.loaded | by_line ^ bank.by_line()) & bit;
        self.affected(vcpu, intid / 32, touched)
    }

    /// Raise the line of a quiet private interrupt, which may be up: in any case it is pending anew. The vCPU has to be
    /// shown it.
    #[inline(always)]
    pub fn raise_quiet(&mut self, vcpu: u8, intid: u32) {
        if let Some(cpu) = self.cpu_mut(vcpu) {
            cpu.private.line |= 1u32.wrapping_shl(intid);
            cpu.private.latch |= 1u32.wrapping_shl(intid);
        }
    }

    /// Lower the line of a quiet private interrupt. Returns whether the vCPU may be shown it without reason now.
    #[inline(always)]
    pub fn lower_quiet(&mut self, vcpu: u8, intid: u32) -> bool {
        let Some(cpu) = self.cpu_mut(vcpu) else { return false };
        let (bank, bit) = (&mut cpu.private, 1u32.wrapping_shl(intid));
        let shown = (bank.latch | bank.loaded) & bit != 0;
        bank.line &= !bit;
        bank.latch &= !bit;
        bank.loaded &= !bit;
        shown
    }

    /// Make an interrupt pending until it is acknowledged, whatever its line does. In line, because for an SGI, which is known
    /// to be private, next to nothing of it is left.
    #[inline(always)]
    pub fn pulse(&mut self, vcpu: u8, intid: u32) -> VcpuMask {
        let bit = 1 << (intid % 32);
        let Some(bank) = self.bank_mut(vcpu, intid / 32) else { return 0 };
        let new = bit & !bank.latch;
        bank.latch |= bit;
        self.affected(vcpu, intid / 32, new)
    }

    /// Is there an interrupt that this vCPU would take if it masked none, at whatever priority? What sits in its list
    /// registers is not looked at: [`Vgic::sync`] first.
    pub fn has_deliverable(&self, vcpu: u8) -> bool {
        let Some(cpu) = self.cpu(vcpu) else { return false };
        let enabled = |bank: &Bank| bank.ready(self.group0, self.group1) & !bank.active;
        let spi = |number: u32| {
            let bank = self.spis.get(number as usize).zip(cpu.routed.get(number as usize));
            bank.is_some_and(|(bank, routed)| enabled(bank) & routed != 0)
        };
        enabled(&cpu.private) != 0 || ones(self.busy).any(spi)
    }

    fn cpu(&self, vcpu: u8) -> Option<&Cpu> {
        self.cpus.get(usize::from(vcpu))
    }

    fn cpu_mut(&mut self, vcpu: u8) -> Option<&mut Cpu> {
        self.cpus.get_mut(usize::from(vcpu))
    }

    /// The state of INTIDs 32 * `number` to 32 * `number` + 31 as `vcpu` sees them.
    fn bank(&self, vcpu: u8, number: u32) -> Option<&Bank> {
        match (number as usize).checked_sub(1) {
            None => self.cpu(vcpu).map(|cpu| &cpu.private),
            Some(spi) => self.spis.get(spi),
        }
    }

    fn bank_mut(&mut self, vcpu: u8, number: u32) -> Option<&mut Bank> {
        match (number as usize).checked_sub(1) {
            None => self.cpu_mut(vcpu).map(|cpu| &mut cpu.private),
            Some(spi) => {
                let bank = self.spis.get_mut(spi)?;
                self.busy |= 1u32.wrapping_shl(spi as u32);
                Some(bank)
            }
        }
    }

    /// Route an SPI, counted from INTID 32, to the vCPU that `here` says, or to none.
    fn move_spi(&mut self, spi: u32, here: impl Fn(u8) -> bool) -> VcpuMask {
        let (number, bit) = (spi / 32 + 1, 1 << (spi % 32));
        let alive = self.bank(0, number).map_or(0, Bank::alive) & bit;
        let mut mask = self.affected(0, number, alive);
        for (vcpu, cpu) in (0..self.vcpus).zip(&mut self.cpus) {
            if let Some(word) = cpu.routed.get_mut(spi as usize / 32) {
                *word = if here(vcpu) { *word | bit } else { *word & !bit };
            }
        }
        mask |= self.affected(0, number, alive);
        mask
    }

    /// The vCPUs that are shown, or should be shown, one of these interrupts of a bank.
    fn affected(&self, vcpu: u8, number: u32, touched: u32) -> VcpuMask {
        if touched == 0 {
            return 0;
        }
        let Some(spi) = (number as usize).checked_sub(1) else { return 1 << (vcpu % 32) };
        let mut mask = 0;
        for (index, cpu) in self.cpus.iter().take(usize::from(self.vcpus)).enumerate() {
            let here = cpu.routed.get(spi).copied().unwrap_or(0) | cpu.held.get(spi).copied().unwrap_or(0);
            if here & touched != 0 {
                mask |= 1 << index;
            }
        }
        mask
    }

    /// Every vCPU of the domain.
    const fn everyone(&self) -> VcpuMask {
        !VcpuMask::MAX.wrapping_shl(self.vcpus as u32)
    }
}
