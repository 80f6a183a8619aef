//! GICv3, physical side: distributor and redistributors by the `arm-gic` crate, the CPU interface by system registers.
//!
//! The crate's CPU interface has no deactivation (ICC_DIR_EL1) and wants the one-step end of interrupts, which would
//! take interrupts from guests before they have handled them; so that half is here. Distributor and redistributors are
//! behind one lock: they are touched at boot and when a guest's interrupt is set up, never on the way to a guest.

use core::ptr::NonNull;

use arm_gic::gicv3::registers::{Gicd, GicdCtlr, GicrSgi};
use arm_gic::gicv3::{GicDistributor, GicRedistributor, GicRedistributorIterator};
use arm_gic::{IntId, UniqueMmioPointer};
use spin::mutex::TicketMutex;

use crate::affinity::Affinity;
use crate::gic::{Acknowledged, GicError, Trigger};
use crate::private_interrupts::PrivateInterrupts;
use crate::sysreg;

/// ICC_SRE_EL2: Enable (EL1 may use ICC_SRE_EL1), DIB and DFB (no legacy bypass), SRE (system registers on).
const SRE_ALL: u64 = 0xf;
/// ICC_SRE_EL2.SRE.
const SRE: u64 = 1;
/// ICC_CTLR_EL1.EOImode: ICC_EOIR1_EL1 drops the priority only, ICC_DIR_EL1 deactivates.
const EOI_MODE: u64 = 1 << 1;
/// From here on INTIDs are special (1023: nothing pending) or LPIs, none of which EL2 takes.
const FIRST_SPECIAL: u32 = 1020;
/// First shared interrupt.
const FIRST_SHARED: u32 = 32;

/// What the lock guards.
struct Registers {
    distributor: GicDistributor<'static>,
    redistributors: NonNull<GicrSgi>,
}

// SAFETY: `redistributors` is the address of device registers, as valid on one CPU as on another; the lock around this
// struct makes sure that one CPU at a time uses it.
unsafe impl Send for Registers {}

/// One GICv3.
pub struct GicV3 {
    registers: TicketMutex<Registers>,
}

impl GicV3 {
    /// The GIC whose distributor and first redistributor are mapped at these virtual addresses. `None`: one of them is
    /// 0 or not aligned to 64 KiB.
    ///
    /// # Safety
    ///
    /// Both must stay mapped as device memory, the distributor over 64 KiB, the redistributors over the whole region up
    /// to the frame that has GICR_TYPER.Last; nothing else may use these registers, but [`PrivateInterrupts`].
    pub unsafe fn new(distributor: usize, redistributors: usize) -> Option<Self> {
        let aligned = |address: usize| address & 0xffff == 0;
        if !aligned(distributor) || !aligned(redistributors) {
            return None;
        }
        let redistributors = NonNull::new(redistributors as *mut GicrSgi)?;
        let distributor = NonNull::new(distributor as *mut Gicd)?;
        // SAFETY: the caller promises a mapped distributor that nobody else uses.
        let distributor = GicDistributor::new(unsafe { UniqueMmioPointer::new(distributor) });
        Some(Self { registers: TicketMutex::new(Registers { distributor, redistributors }) })
    }

    /// See [`crate::gic::Gic::init`].
    pub fn init(&self) {
        let mut registers = self.registers.lock();
        // Affinity routing must not change while a group is on (IHI 0069, 12.9.4), as a loader may have left it.
        registers.distributor.modify_control(GicdCtlr::EnableGrp0 | GicdCtlr::EnableGrp1NS, false);
        registers.distributor.enable_all_interrupts(false);
        registers.distributor.wait_for_pending_write();
        // In the non-secure view, and where there is one security state only, bit 4 of GICD_CTLR is ARE_NS or ARE:
        // the same bit that the crate names after the secure state and sets here.
        registers.distributor.configure_default_settings();
    }

    /// See [`crate::gic::Gic::init_cpu`].
    pub fn init_cpu(&self) -> Result<(), GicError> {
        self.with_redistributor(|redistributor| {
            redistributor.power_on();
            // An error only says that the redistributor was awake already.
            let _ = redistributor.mark_core_awake();
            redistributor.configure_default_settings();
            redistributor.wait_for_pending_write();
            Ok(())
        })?;
        sysreg::write_icc_sre_el2(SRE_ALL);
        sysreg::isb();
        if sysreg::read_icc_sre_el2() & SRE == 0 {
            return Err(GicError::NoSystemRegisters);
        }
        sysreg::write_icc_pmr_el1(0xff);
        sysreg::write_icc_bpr1_el1(0);
        sysreg::write_icc_ctlr_el1(EOI_MODE);
        sysreg::isb();
        sysreg::write_icc_igrpen1_el1(1);
        sysreg::isb();
        Ok(())
    }

    /// See [`crate::gic::Gic::acknowledge`].
    #[inline]
    pub fn acknowledge(&self) -> Option<Acknowledged> {
        let intid = sysreg::read_icc_iar1_el1() as u32;
        // The acknowledgement must have reached the redistributor before interrupts open again (IHI 0069, 4.4.1).
        sysreg::dsb_sy();
        (intid < FIRST_SPECIAL).then_some(Acknowledged(intid))
    }

    /// See [`crate::gic::Gic::drop_priority`].
    #[inline]
    pub fn drop_priority(&self, interrupt: Acknowledged) {
        sysreg::write_icc_eoir1_el1(u64::from(interrupt.intid()));
        sysreg::isb();
    }

    /// See [`crate::gic::Gic::deactivate`].
    #[inline]
    pub fn deactivate(&self, interrupt: Acknowledged) {
        sysreg::write_icc_dir_el1(u64::from(interrupt.intid()));
        sysreg::isb();
    }

    /// See [`crate::gic::Gic::send_sgi`].
    #[inline]
    pub fn send_sgi(&self, mpidr: u64, sgi: u32) -> Result<(), GicError> {
        let value = Affinity::from_mpidr(mpidr).sgi1r(sgi).ok_or(GicError::BadInterrupt(sgi))?;
        sysreg::write_icc_sgi1r_el1(value);
        sysreg::isb();
        Ok(())
    }

    /// See [`crate::gic::Gic::enable`].
    pub fn enable(&self, intid: u32, enable: bool) -> Result<(), GicError> {
        self.configure(intid, |r, id| r.enable_interrupt(id, enable), |d, id| d.enable_interrupt(id, enable))
    }

    /// See [`crate::gic::Gic::set_priority`].
    pub fn set_priority(&self, intid: u32, priority: u8) -> Result<(), GicError> {
        self.configure(
            intid,
            |r, id| r.set_interrupt_priority(id, priority),
            |d, id| d.set_interrupt_priority(id, priority),
        )
    }

    /// See [`crate::gic::Gic::set_trigger`].
    pub fn set_trigger(&self, intid: u32, trigger: Trigger) -> Result<(), GicError> {
        let trigger = match trigger {
            Trigger::Level => arm_gic::Trigger::Level,
            Trigger::Edge => arm_gic::Trigger::Edge,
        };
        self.configure(intid, |r, id| r.set_trigger(id, trigger), |d, id| d.set_trigger(id, trigger))
    }

    /// See [`crate::gic::Gic::route`].
    pub fn route(&self, intid: u32, mpidr: u64) -> Result<(), GicError> {
        let id = shared(intid)?;
        let mut registers = self.registers.lock();
        registers.distributor.set_routing(id, Some(mpidr)).map_err(|_| GicError::BadInterrupt(intid))
    }

    /// See [`crate::gic::Gic::private_interrupts`].
    pub fn private_interrupts(&self) -> Result<PrivateInterrupts, GicError> {
        let base = self.registers.lock().redistributors.addr().get();
        // SAFETY: `GicV3::new` was promised that the region stays mapped up to its last frame.
        unsafe { PrivateInterrupts::of_this_cpu(base) }
            .ok_or(GicError::NoRedistributor(Affinity::from_mpidr(sysreg::read_mpidr_el1()).bits()))
    }

    /// Changes a private interrupt in this CPU's redistributor, a shared one in the distributor.
    fn configure(
        &self,
        intid: u32,
        private: impl FnOnce(&mut GicRedistributor<'_>, IntId) -> Result<(), arm_gic::gicv3::GicError>,
        common: impl FnOnce(&mut GicDistributor<'_>, IntId) -> Result<(), arm_gic::gicv3::GicError>,
    ) -> Result<(), GicError> {
        let refused = |_| GicError::BadInterrupt(intid);
        if intid < 16 {
            return self.with_redistributor(|r| private(r, IntId::sgi(intid)).map_err(refused));
        }
        if intid < FIRST_SHARED {
            return self.with_redistributor(|r| private(r, IntId::ppi(intid - 16)).map_err(refused));
        }
        let id = shared(intid)?;
        common(&mut self.registers.lock().distributor, id).map_err(refused)
    }

    /// Finds the frame of this CPU by walking all frames to the one whose GICR_TYPER has this CPU's affinity.
    fn with_redistributor<T>(
        &self,
        act: impl FnOnce(&mut GicRedistributor<'_>) -> Result<T, GicError>,
    ) -> Result<T, GicError> {
        let wanted = Affinity::from_mpidr(sysreg::read_mpidr_el1());
        let registers = self.registers.lock();
        // SAFETY: `GicV3::new` was promised that the region is mapped up to its last frame and is ours alone; the lock
        // is held while the iterator and what it yields live, so there is no second reference.
        let frames = unsafe { GicRedistributorIterator::new(registers.redistributors) };
        let mut frames = frames.map_err(|_| GicError::UnknownLayout)?;
        let mut frame = frames
            .find(|frame| Affinity::from_mpidr(frame.typer().core_mpidr()) == wanted)
            .ok_or(GicError::NoRedistributor(wanted.bits()))?;
        act(&mut frame)
    }
}

/// The shared interrupt `intid`, or an error.
fn shared(intid: u32) -> Result<IntId, GicError> {
    match intid.checked_sub(FIRST_SHARED) {
        Some(index) if intid < FIRST_SPECIAL => Ok(IntId::spi(index)),
        _ => Err(GicError::BadInterrupt(intid)),
    }
}
