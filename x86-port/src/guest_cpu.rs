//! A vCPU as the processor's virtualization sees it: what AMD-V and VT-x have in common, and which of them this machine has.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::decode::Mode;
use crate::exit::Cause;
use crate::pool::PoolEmpty;
use crate::svm::{self, Svm};
use crate::vcpu::Registers;
use crate::vmx::{self, Vmx};
use crate::walk::Paging;

/// How a vCPU starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// As a PVH guest: flat 32-bit segments without paging, at this address.
    Protected(u64),
    /// Woken by another vCPU: real mode, at the start of a page below 1 MiB.
    Real(u64),
}

/// What the port needs of a maker's virtualization, for one vCPU. All but [`Virtualization::reset`] wants it loaded.
pub(crate) trait Virtualization {
    /// The state in which it starts; `root` is that of its second stage, `ports` the map of ports that leave it if some do not.
    /// No vCPU is loaded on this CPU.
    fn reset(&mut self, root: u64, ports: Option<u64>, start: Start);
    /// Puts into the CPU what entering the guest does not.
    fn load(&mut self);
    /// Takes it out.
    fn save(&mut self);
    /// It will be loaded on another CPU, and is not loaded: nothing of it stays in this one, and nothing that another one
    /// remembers of an earlier stay counts.
    fn leave(&mut self);
    /// The instruction that runs, or is next.
    fn rip(&self) -> u64;
    /// Goes on elsewhere; the shadow of the last instruction ends.
    fn set_rip(&mut self, rip: u64);
    /// Goes on behind an instruction of so many bytes.
    fn skip(&mut self, bytes: u64) {
        self.set_rip(self.rip().wrapping_add(bytes));
    }
    /// It runs 64-bit code.
    fn is_long(&self) -> bool;
    /// The guest-virtual address of the instruction that runs, or is next, and how it is coded.
    fn code(&self) -> (u64, Mode);
    /// It takes interrupts at all.
    fn takes_interrupts(&self) -> bool;
    /// How it translates.
    fn paging(&self) -> Paging;
    /// It runs a user's code.
    fn is_user(&self) -> bool;
    /// Extended features, as the guest sees them.
    fn efer(&self) -> u64;
    /// Sets those of them that are the guest's to set.
    fn set_efer(&mut self, efer: u64);
    /// The page attribute table.
    fn pat(&self) -> u64;
    /// Sets it.
    fn set_pat(&mut self, pat: u64);
    /// Its priority as CR8 has it.
    fn task_priority(&self) -> u8;
    /// Sets it.
    fn set_task_priority(&mut self, priority: u8);
    /// It can take an interrupt at once.
    fn is_open(&self) -> bool;
    /// Wants to hear when it can, or no more.
    fn want_window(&mut self, wanted: bool);
    /// Delivers an external interrupt at the next entry.
    fn interrupt(&mut self, vector: u8);
    /// Delivers an exception at the next entry.
    fn exception(&mut self, vector: u8, error: Option<u32>);
    /// Runs the guest until it is left. `registers` are its general registers, but for rsp; `domain` is its domain's index.
    fn enter(&mut self, registers: &mut Registers, domain: usize) -> Cause;
}

/// The machine has VT-x.
static INTEL: AtomicBool = AtomicBool::new(false);

/// Finds out what the machine has.
///
/// # Errors
/// Why neither can be used.
pub(crate) fn choose() -> Result<(), [&'static str; 2]> {
    let Some(amd) = svm::obstacle() else {
        svm::prepare();
        return Ok(());
    };
    let Some(intel) = vmx::obstacle() else {
        INTEL.store(true, Ordering::Relaxed);
        vmx::prepare();
        return Ok(());
    };
    Err([amd, intel])
}

/// The machine has VT-x, and not AMD-V.
pub(crate) fn is_intel() -> bool {
    INTEL.load(Ordering::Relaxed)
}

/// Switches it on, on this CPU.
pub(crate) fn init_cpu() {
    if is_intel() { vmx::init_cpu() } else { svm::init_cpu() }
}

/// One vCPU on either.
pub(crate) enum GuestCpu {
    /// By AMD-V.
    Amd(Svm),
    /// By VT-x.
    Intel(Vmx),
}

impl GuestCpu {
    /// A vCPU whose number in the machine is `number`.
    pub(crate) fn new(number: u64) -> Result<Self, PoolEmpty> {
        if is_intel() { Vmx::new(number).map(Self::Intel) } else { Svm::new(number).map(Self::Amd) }
    }
}

/// Hands a call on.
macro_rules! either {
    ($self:ident.$name:ident($($argument:expr),*)) => {
        match $self {
            Self::Amd(cpu) => cpu.$name($($argument),*),
            Self::Intel(cpu) => cpu.$name($($argument),*),
        }
    };
}

impl Virtualization for GuestCpu {
    fn reset(&mut self, root: u64, ports: Option<u64>, start: Start) {
        either!(self.reset(root, ports, start))
    }

    fn load(&mut self) {
        either!(self.load())
    }

    fn save(&mut self) {
        either!(self.save())
    }

    fn leave(&mut self) {
        either!(self.leave())
    }

    fn rip(&self) -> u64 {
        either!(self.rip())
    }

    fn set_rip(&mut self, rip: u64) {
        either!(self.set_rip(rip))
    }

    fn skip(&mut self, bytes: u64) {
        either!(self.skip(bytes))
    }

    fn is_long(&self) -> bool {
        either!(self.is_long())
    }

    fn code(&self) -> (u64, Mode) {
        either!(self.code())
    }

    fn takes_interrupts(&self) -> bool {
        either!(self.takes_interrupts())
    }

    fn paging(&self) -> Paging {
        either!(self.paging())
    }

    fn is_user(&self) -> bool {
        either!(self.is_user())
    }

    fn efer(&self) -> u64 {
        either!(self.efer())
    }

    fn set_efer(&mut self, efer: u64) {
        either!(self.set_efer(efer))
    }

    fn pat(&self) -> u64 {
        either!(self.pat())
    }

    fn set_pat(&mut self, pat: u64) {
        either!(self.set_pat(pat))
    }

    fn task_priority(&self) -> u8 {
        either!(self.task_priority())
    }

    fn set_task_priority(&mut self, priority: u8) {
        either!(self.set_task_priority(priority))
    }

    fn is_open(&self) -> bool {
        either!(self.is_open())
    }

    fn want_window(&mut self, wanted: bool) {
        either!(self.want_window(wanted))
    }

    fn interrupt(&mut self, vector: u8) {
        either!(self.interrupt(vector))
    }

    fn exception(&mut self, vector: u8, error: Option<u32>) {
        either!(self.exception(vector, error))
    }

    #[inline(always)]
    fn enter(&mut self, registers: &mut Registers, domain: usize) -> Cause {
        either!(self.enter(registers, domain))
    }
}
