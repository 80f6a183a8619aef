//! What a vCPU is on this port, and its turn on a processor: in, out, and the state it starts in.

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{HCR_EL2, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, MDCR_EL2, Readable, VTCR_EL2, Writeable};
use core::arch::asm;
use core::sync::atomic::Ordering;
use hyp_boot::guest_tree;
use hyp_dev::sysreg;
use hyp_dev::timer::Clock;

use crate::debug::{self, DebugUnit};
use crate::domain::ArmDomain;
use crate::float::{self, FloatUnit};
use crate::pointer_auth::Keys;
use crate::ptimer::TimerUnit;
use crate::registers::{PSTATE_EL1H_MASKED, Registers, SystemRegisters};
use crate::vgic::ListRegisters;
use crate::virtual_interface::InterfaceState;
use crate::vtimer::VirtualTimer;
use crate::{interrupts, virtual_interface};

/// HCR_EL2 for every guest (Arm ARM D19.2.48): VM, SWIO, interrupts and aborts to EL2 and virtual ones to the guest,
/// broadcast of its maintenance, traps of WFI, WFE, SMC, identification, implementation-defined and error-record
/// registers, and limited-order regions; AArch64. Cache maintenance by set and way does not trap: ADR 0010.
const HCR: u64 = 1 << 0
    | 1 << 1
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 9
    | 1 << 10
    | 1 << 13
    | 1 << 14
    | 1 << 18
    | 1 << 19
    | 1 << 20
    | 1 << 21
    | 1 << 31
    | 1 << 35
    | 1 << 36;
/// MPIDR_EL1 bit 31 is RES1.
const MPIDR_RES1: u64 = 1 << 31;

/// One vCPU.
pub struct ArmVcpu {
    /// What travels at every exit.
    pub registers: Registers,
    system: SystemRegisters,
    /// The float unit as this vCPU sees it.
    pub float: FloatUnit,
    /// Its virtual timer.
    pub timer: VirtualTimer,
    /// Its physical timer.
    pub(crate) physical_timer: TimerUnit,
    /// Its breakpoints, watchpoints and single step.
    pub(crate) debug: DebugUnit,
    /// Its keys of pointer authentication.
    pub(crate) keys: Keys,
    /// What the interrupt controller has put into list registers.
    pub lists: ListRegisters,
    /// The rest of its virtual CPU interface.
    interface: InterfaceState,
    /// Its MPIDR_EL1.
    affinity: u64,
    /// The domain's clock offset, in ticks.
    clock_offset: u64,
    /// The timer's line was up when the vCPU left the processor, and nobody had taken the interrupt.
    timer_missed: bool,
}

impl ArmVcpu {
    /// A vCPU that is off. `number` is its number in the machine, `index` in its domain.
    pub fn new(number: u64, index: u8) -> Self {
        Self {
            registers: Registers::reset(0, 0),
            system: SystemRegisters::reset(),
            float: FloatUnit::new(number),
            timer: VirtualTimer::reset(),
            physical_timer: TimerUnit::reset(),
            debug: DebugUnit::reset(),
            keys: Keys::reset(),
            lists: ListRegisters::new(virtual_interface::list_registers() as u8),
            interface: InterfaceState::reset(),
            affinity: guest_tree::affinity(u32::from(index)) | MPIDR_RES1,
            clock_offset: 0,
            timer_missed: false,
        }
    }

    /// The state in which PSCI starts a CPU.
    pub fn reset(&mut self, entry: u64, argument: u64) {
        self.registers = Registers::reset(entry, argument);
        self.system = SystemRegisters::reset();
        self.float.reset();
        self.timer = VirtualTimer::reset();
        self.physical_timer = TimerUnit::reset();
        self.debug = DebugUnit::reset();
        self.keys = Keys::reset();
        self.lists.clear();
        self.interface = InterfaceState::reset();
        self.timer_missed = false;
    }

    /// The loaded vCPU loses its state and starts at `entry` when it goes on. What waits for it stays: its timers and
    /// its interrupts, one of which is to wake it.
    #[cold]
    #[inline(never)]
    pub(crate) fn power_down(&mut self, entry: u64, argument: u64) {
        self.registers.x = Registers::reset(entry, argument).x;
        self.registers.set_pc(entry);
        self.registers.set_pstate(PSTATE_EL1H_MASKED);
        self.system = SystemRegisters::reset();
        self.system.load();
        self.debug.save();
        self.debug = DebugUnit::reset();
    }

    /// When its timer wants the vCPU to run; 0 where that time has come. Valid while it is not loaded.
    #[inline(always)]
    pub fn timer_deadline(&self, clock: &Clock) -> Option<u64> {
        let own = if self.timer_missed { Some(0) } else { self.timer.deadline(self.clock_offset, clock) };
        match self.physical_timer.deadline(clock) {
            None => own,
            Some(at) => Some(own.map_or(at, |own| own.min(at))),
        }
    }

    /// Puts it into the processor.
    pub fn load(&mut self, domain: &ArmDomain, index: u8, event: Option<bool>) {
        domain.load_translations(index);
        HCR_EL2.set(HCR | self.keys.control());
        sysreg::write_vmpidr_el2(self.affinity);
        self.registers.load();
        self.system.load();
        self.interface.load();
        self.clock_offset = domain.clock_offset.load(Ordering::Relaxed);
        self.timer_missed = false;
        // The physical interrupt must be active before the line goes up, or it comes a second time.
        let timer_is_up = self.timer.is_due(self.clock_offset);
        if self.physical_timer.is_on() {
            self.physical_timer.update(domain, index);
        }
        interrupts::load(domain, self, index, timer_is_up, event);
        self.timer.load(self.clock_offset);
        self.keys.load();
        self.debug.load();
        barrier::isb(barrier::SY);
    }

    /// Takes it out.
    pub fn save(&mut self, domain: &ArmDomain, index: u8) {
        self.float.release();
        self.debug.save();
        self.keys.save();
        self.physical_timer.save();
        self.timer.save();
        let timer_was_taken = interrupts::save(domain, self, index);
        self.timer_missed = self.timer.is_asserted() && !timer_was_taken;
        self.interface.save();
        self.registers.save();
        self.system.save();
    }
}

/// What a CPU needs once before it runs guests: traps of debug and performance registers, clock access, no guest
/// translations of earlier lives.
pub fn init_cpu() {
    /// TDA, TDOSA, TDRA, TPM, TPMCR, TPMS, TTRF of MDCR_EL2.
    const DEBUG_TRAPS: u64 = 1 << 9 | 1 << 10 | 1 << 11 | 1 << 6 | 1 << 5 | 1 << 14 | 1 << 19;
    /// HPMN of MDCR_EL2: all event counters, as at reset.
    const COUNTERS: u64 = 0x1f;
    /// EL1PCTEN of CNTHCTL_EL2: guests may read the physical counter; its timer traps.
    const COUNTER_ACCESS: u64 = 1;
    HCR_EL2.set(HCR);
    clear_newer_controls();
    MDCR_EL2.set(MDCR_EL2.get() & COUNTERS | DEBUG_TRAPS);
    debug::unlock();
    debug::init_cpu();
    sysreg::write_cnthctl_el2(COUNTER_ACCESS);
    sysreg::write_vpidr_el2(sysreg::read_midr_el1());
    sysreg::write_hstr_el2(0);
    VTCR_EL2.set(crate::stage2::vtcr());
    virtual_interface::init_cpu();
    float::trap();
    crate::tlb::invalidate_all_guests();
}

/// Controls of later architectures, which are unknown after a reset: no fine-grained traps, no extensions.
fn clear_newer_controls() {
    /// A field of an identification register says that there is something.
    const fn has(value: u64, low: u32) -> bool {
        value >> low & 0xf != 0
    }
    if has(ID_AA64MMFR0_EL1.get(), 56) {
        // SAFETY: HFGRTR, HFGWTR, HFGITR, HDFGRTR and HDFGWTR exist; they decide what of a guest traps, no more.
        unsafe {
            asm!(
                "msr S3_4_C1_C1_4, xzr",
                "msr S3_4_C1_C1_5, xzr",
                "msr S3_4_C1_C1_6, xzr",
                "msr S3_4_C3_C1_4, xzr",
                "msr S3_4_C3_C1_5, xzr",
                options(nomem, nostack, preserves_flags)
            )
        };
    }
    if has(ID_AA64MMFR1_EL1.get(), 40) {
        // SAFETY: HCRX_EL2 exists; it decides what guests may do, no more.
        unsafe { asm!("msr S3_4_C1_C2_2, xzr", options(nomem, nostack, preserves_flags)) };
    }
}
