//! GICv2, physical side: distributor and CPU interface, both in memory.
//!
//! By hand, as `arm-gic` has neither deactivation nor targets for this version. Non-secure software sees its interrupts
//! as the only group there is, so groups are left alone: where the security extensions exist they are firmware's, and
//! where they do not, everything is group 0 and arrives as IRQ.
//!
//! A GICv2 knows its up to eight CPUs by the number of their interface only, which a CPU can ask for itself alone. So
//! each CPU enters its number in a table when it comes up, and senders look there.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::mutex::TicketMutex;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};

use crate::affinity::Affinity;
use crate::gic::{Acknowledged, GicError, Trigger};

register_structs! {
    /// Distributor, IHI 0048, table 4-1.
    Distributor {
        (0x000 => control: ReadWrite<u32>),
        (0x004 => kind: ReadOnly<u32>),
        (0x008 => _identification),
        (0x100 => set_enable: [ReadWrite<u32>; 32]),
        (0x180 => clear_enable: [ReadWrite<u32>; 32]),
        (0x200 => _pending),
        (0x380 => clear_active: [ReadWrite<u32>; 32]),
        (0x400 => priority: [ReadWrite<u8>; 1024]),
        (0x800 => targets: [ReadWrite<u8>; 1024]),
        (0xc00 => configuration: [ReadWrite<u32>; 64]),
        (0xd00 => _implementation),
        (0xf00 => software_interrupt: WriteOnly<u32>),
        (0xf04 => @END),
    }
}

register_structs! {
    /// CPU interface, IHI 0048, table 4-2.
    CpuInterface {
        (0x0000 => control: ReadWrite<u32>),
        (0x0004 => priority_mask: ReadWrite<u32>),
        (0x0008 => binary_point: ReadWrite<u32>),
        (0x000c => acknowledge: ReadOnly<u32>),
        (0x0010 => end: WriteOnly<u32>),
        (0x0014 => _running),
        (0x1000 => deactivate: WriteOnly<u32>),
        (0x1004 => @END),
    }
}

/// GICD_CTLR and GICC_CTLR: the one group that we see is on.
const ENABLE: u32 = 1;
/// GICC_CTLR.EOImodeNS, or EOImode without security extensions: GICC_EOIR drops the priority only.
const EOI_MODE: u32 = 1 << 9;
/// GICC_CTLR bits 8:5: how interrupts bypass the interface when it is off; firmware's choice, kept.
const BYPASS: u32 = 0xf << 5;
/// Middle priority, leaving room on both sides.
const PRIORITY: u8 = 0x80;
/// From here on INTIDs are special; 1023: nothing pending.
const FIRST_SPECIAL: u32 = 1020;
/// First shared interrupt.
const FIRST_SHARED: u32 = 32;
/// An entry of the table of CPUs that is taken; the affinity is below.
const PRESENT: u64 = 1 << 32;

/// One GICv2.
pub struct GicV2 {
    distributor: usize,
    interface: usize,
    /// By interface number: [`PRESENT`] and the affinity of its CPU.
    cpus: [AtomicU64; 8],
    /// Held while a register that several interrupts share is changed.
    change: TicketMutex<()>,
}

impl GicV2 {
    /// The GIC whose distributor and CPU interface are mapped at these virtual addresses. `None`: one of them is 0 or
    /// not aligned to 4 KiB.
    ///
    /// # Safety
    ///
    /// Both must stay mapped as device memory, the distributor over 4 KiB, the CPU interface over 8 KiB; nothing else
    /// may use these registers.
    pub const unsafe fn new(distributor: usize, interface: usize) -> Option<Self> {
        if distributor == 0 || interface == 0 || (distributor | interface) & 0xfff != 0 {
            return None;
        }
        Some(Self { distributor, interface, cpus: [const { AtomicU64::new(0) }; 8], change: TicketMutex::new(()) })
    }

    fn distributor(&self) -> &'static Distributor {
        // SAFETY: the caller of `new` promised a mapped distributor for ever; the struct holds only integers in
        // volatile cells, for which every bit pattern is valid and shared writes are allowed.
        unsafe { &*(self.distributor as *const Distributor) }
    }

    fn interface(&self) -> &'static CpuInterface {
        // SAFETY: as for the distributor; the hardware banks this address by CPU.
        unsafe { &*(self.interface as *const CpuInterface) }
    }

    /// See `Gic::init`.
    pub fn init(&self) {
        let distributor = self.distributor();
        distributor.control.set(0);
        // GICD_TYPER.ITLinesNumber: blocks of 32 interrupts, minus one; block 0 belongs to the CPUs.
        let blocks = (distributor.kind.get() & 0x1f) as usize;
        for block in 1..=blocks {
            self.disable_block(block);
        }
        for intid in FIRST_SHARED as usize..(blocks.saturating_add(1)) * 32 {
            if let Some(priority) = distributor.priority.get(intid) {
                priority.set(PRIORITY);
            }
        }
        distributor.control.set(ENABLE);
    }

    /// Disables and deactivates 32 interrupts.
    fn disable_block(&self, block: usize) {
        let distributor = self.distributor();
        for registers in [&distributor.clear_enable, &distributor.clear_active] {
            if let Some(register) = registers.get(block) {
                register.set(u32::MAX);
            }
        }
    }

    /// See `Gic::init_cpu`. Fails with [`GicError::UnknownLayout`] when the hardware does not say which interface this
    /// is.
    pub fn init_cpu(&self, mpidr: u64) -> Result<(), GicError> {
        let (distributor, interface) = (self.distributor(), self.interface());
        // The targets of private interrupts read as this CPU alone; some implementations leave some of them 0. On a
        // machine with one CPU all of them read as 0.
        let own = distributor.targets.iter().take(32).fold(0, |mask, target| mask | target.get()).max(1);
        let number = own.trailing_zeros() as usize;
        let entry = self.cpus.get(number).filter(|_| own.is_power_of_two()).ok_or(GicError::UnknownLayout)?;
        self.disable_block(0);
        for priority in distributor.priority.iter().take(32) {
            priority.set(PRIORITY);
        }
        interface.priority_mask.set(0xff);
        interface.binary_point.set(0);
        interface.control.set((interface.control.get() & BYPASS) | EOI_MODE | ENABLE);
        entry.store(PRESENT | u64::from(Affinity::from_mpidr(mpidr).bits()), Ordering::Release);
        Ok(())
    }

    /// See `Gic::acknowledge`.
    #[inline]
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        let value = Acknowledged(self.interface().acknowledge.get());
        (value.intid() < FIRST_SPECIAL).then_some(value)
    }

    /// See `Gic::drop_priority`.
    #[inline]
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        self.interface().end.set(interrupt.0);
    }

    /// See `Gic::deactivate`.
    #[inline]
    pub fn deactivate(&self, interrupt: Acknowledged) {
        self.interface().deactivate.set(interrupt.0);
    }

    /// See `Gic::send_sgi`.
    pub fn send_sgi(&self, mpidr: u64, sgi: u32) -> Result<(), GicError> {
        if sgi > 15 {
            return Err(GicError::BadInterrupt(sgi));
        }
        let mask = self.mask_of(mpidr)?;
        self.distributor().software_interrupt.set(u32::from(mask) << 16 | sgi);
        Ok(())
    }

    /// See `Gic::enable`.
    pub fn enable(&self, intid: u32, enable: bool) -> Result<(), GicError> {
        check(intid, 0)?;
        let distributor = self.distributor();
        let registers = if enable { &distributor.set_enable } else { &distributor.clear_enable };
        let register = registers.get((intid / 32) as usize).ok_or(GicError::BadInterrupt(intid))?;
        register.set(1 << (intid % 32));
        Ok(())
    }

    /// See `Gic::set_priority`.
    pub fn set_priority(&self, intid: u32, priority: u8) -> Result<(), GicError> {
        check(intid, 0)?;
        let register = self.distributor().priority.get(intid as usize).ok_or(GicError::BadInterrupt(intid))?;
        register.set(priority);
        Ok(())
    }

    /// See `Gic::set_trigger`.
    pub fn set_trigger(&self, intid: u32, trigger: Trigger) -> Result<(), GicError> {
        check(intid, 16)?;
        let register =
            self.distributor().configuration.get((intid / 16) as usize).ok_or(GicError::BadInterrupt(intid))?;
        // Two bits each; the upper one is the edge.
        let bit = 2 << ((intid % 16) * 2);
        let _change = self.change.lock();
        register.set(match trigger {
            Trigger::Edge => register.get() | bit,
            Trigger::Level => register.get() & !bit,
        });
        Ok(())
    }

    /// See `Gic::route`.
    pub fn route(&self, intid: u32, mpidr: u64) -> Result<(), GicError> {
        check(intid, FIRST_SHARED)?;
        let mask = self.mask_of(mpidr)?;
        let register = self.distributor().targets.get(intid as usize).ok_or(GicError::BadInterrupt(intid))?;
        register.set(mask);
        Ok(())
    }

    /// See `Gic::private_interrupts`.
    #[cfg(target_arch = "aarch64")]
    pub fn private_interrupts(&self) -> crate::private_interrupts::PrivateInterrupts {
        // SAFETY: the caller of `new` promised a mapped distributor for ever.
        unsafe { crate::private_interrupts::PrivateInterrupts::of_distributor(self.distributor) }
    }

    /// The bit of a CPU that has come up.
    fn mask_of(&self, mpidr: u64) -> Result<u8, GicError> {
        let wanted = PRESENT | u64::from(Affinity::from_mpidr(mpidr).bits());
        let number = self.cpus.iter().position(|cpu| cpu.load(Ordering::Acquire) == wanted);
        number.map(|number| 1 << number).ok_or(GicError::NoSuchCpu(mpidr))
    }
}

/// Is this an interrupt from `first` on?
fn check(intid: u32, first: u32) -> Result<(), GicError> {
    if (first..FIRST_SPECIAL).contains(&intid) { Ok(()) } else { Err(GicError::BadInterrupt(intid)) }
}

#[cfg(test)]
mod tests;
