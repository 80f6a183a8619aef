//! The whole porting surface.
//!
//! The core decides; a port does. Everything that differs between ARM at EL2, AMD-V, VT-x and the in-memory machine of
//! the tests is behind [`Arch`], and nothing else is. A port is a value, so that many machines can live in one test
//! process; on hardware the value has no size.
//!
//! # What the core promises a port
//!
//! - The hypervisor runs with interrupts masked on every CPU; it takes an interrupt only inside [`Arch::run`] and
//!   [`Arch::idle`].
//! - A [`Arch::Vcpu`] is handed out by exclusive reference to one CPU at a time: between [`Arch::load`] and
//!   [`Arch::save`] to the CPU that runs it, and to any CPU while its vCPU is offline.
//!   It comes to another CPU only by [`Arch::leave_cpu`].
//! - [`Arch::Domain`] is shared; what changes in it is behind the port's own locks.

use core::sync::atomic::AtomicU64;

use xen_abi::sched::{SHUTDOWN_POWEROFF, SHUTDOWN_REBOOT, SHUTDOWN_SOFT_RESET, SHUTDOWN_SUSPEND, SHUTDOWN_WATCHDOG};
use xen_abi::shared_info::Layout;

use crate::domain::DomainId;
use crate::report::Report;
use crate::stats::ExitCounts;
use crate::time::Nanos;

/// Number of a physical CPU, counted from 0 in the order in which they came up.
pub type CpuId = u8;

/// A page of memory that a guest and the hypervisor both access, as 512 words. Only atomic accesses can be sound here.
pub type Page = [AtomicU64; 512];

/// A set of vCPUs of one domain: bit n is vCPU n.
pub type VcpuMask = u32;

/// A guest's address led nowhere that the guest may touch in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

/// Why the hypervisor got control although no guest asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The one-shot timer of [`Arch::set_timer`] ran out.
    Timer,
    /// Another CPU put something into this CPU's inbox and called [`Arch::kick`].
    Kick,
    /// Something that the port has already dealt with, or nothing.
    Other,
}

/// A guest could not be given what it asked of its physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The frame is none, or what is there is not what the change is meant for.
    Bad(BadAddress),
    /// The domain has no page-table page left.
    NoTables,
}

/// How much RAM a domain has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RamSize {
    /// Pages that it started with.
    pub pages: u64,
    /// Of those, how many it has given up.
    pub given_up: u64,
    /// Its last guest frame at the start (4 KiB units).
    pub last_frame: u64,
}

/// A place in a domain's RAM.
pub struct Place<'d, D> {
    /// Whose.
    pub domain: &'d D,
    /// Guest frame (4 KiB units).
    pub frame: u64,
    /// Byte in the page, below 4096.
    pub offset: u16,
}

/// How a domain ended, as it or its hypervisor said. The numbers are `SHUTDOWN_*` of `public/sched.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ShutdownReason {
    /// The guest switched itself off.
    PowerOff = 0,
    /// The guest asked to be started again.
    Reboot = 1,
    /// The guest asked to be suspended.
    Suspend = 2,
    /// The guest crashed, or was stopped for what it did.
    Crash = 3,
    /// The guest's watchdog ran out.
    Watchdog = 4,
}

impl ShutdownReason {
    /// The reason that a guest gives by this number. One that asks for a fresh start on its memory as it is gets a fresh
    /// start, and one that gives a number that nobody knows has crashed.
    pub const fn from_number(number: u32) -> Self {
        match number {
            SHUTDOWN_POWEROFF => Self::PowerOff,
            SHUTDOWN_REBOOT | SHUTDOWN_SOFT_RESET => Self::Reboot,
            SHUTDOWN_SUSPEND => Self::Suspend,
            SHUTDOWN_WATCHDOG => Self::Watchdog,
            _ => Self::Crash,
        }
    }
}

/// What a guest did that it will not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestFault {
    /// What happened, in a few words: "undefined instruction", "read of unmapped memory", "jump to unmapped memory".
    pub what: &'static str,
    /// Address of the guilty instruction, as the guest sees it.
    pub pc: u64,
    /// The address it touched, guest-virtual where known, else 0.
    pub address: u64,
    /// The same, guest-physical, where known, else 0.
    pub guest_physical: u64,
    /// The processor's own word on it, as its manual codes that.
    pub syndrome: u64,
}

/// Why [`Arch::run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A physical interrupt for the hypervisor, already acknowledged.
    Interrupt(Interrupt),
    /// The core itself wants to look around: [`Running::hypercall`] said so.
    LookAround,
    /// The vCPU waits for an interrupt (WFI, HLT); the instruction is already skipped.
    Idle,
    /// The vCPU spins and would let others go first (WFE, PAUSE).
    Yield,
    /// Interrupts became pending for these vCPUs of the same domain; the caller may be among them.
    Notify(VcpuMask),
    /// Start another vCPU of the same domain (PSCI CPU_ON, INIT/SIPI). The core answers through [`Arch::set_result`]
    /// with a [`CpuOnResult`] as the port's own firmware interface codes it: see [`Arch::cpu_on_result`].
    CpuOn {
        /// Index of the vCPU in its domain; may be out of range.
        target: u32,
        /// Where it starts, guest-physical.
        entry: u64,
        /// What it finds in its first argument register.
        argument: u64,
    },
    /// The calling vCPU switches itself off.
    CpuOff,
    /// Is that vCPU on? Answered like [`Exit::CpuOn`]: `Done` is on, `AlreadyOff` is off, `NoSuchVcpu` neither.
    AffinityInfo {
        /// Index of the vCPU in its domain; may be out of range.
        target: u32,
    },
    /// The whole domain ends.
    Shutdown(ShutdownReason),
    /// The vCPU did that, and the port gave it the exception that bare hardware raises.
    Aborted(GuestFault),
    /// The vCPU cannot go on, and its domain with it.
    Fault(GuestFault),
}

/// The answer to [`Exit::CpuOn`] and [`Exit::AffinityInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuOnResult {
    /// Done; for a question: it is on.
    Done,
    /// It was on already.
    AlreadyOn,
    /// Somebody is switching it on at this moment.
    Pending,
    /// It is off.
    AlreadyOff,
    /// The domain has no such vCPU.
    NoSuchVcpu,
}

/// What [`Arch::run`] works on.
pub struct Parts<'p, A: Arch> {
    /// The vCPU's domain.
    pub domain: &'p A::Domain,
    /// The loaded vCPU.
    pub vcpu: &'p mut A::Vcpu,
    /// Its number in its domain.
    pub index: u8,
    /// Its exits so far.
    pub counts: &'p mut ExitCounts,
}

/// How it goes on after a hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// The guest goes on at once.
    Same,
    /// The guest goes on; [`Arch::set_event_line`] was called meanwhile.
    Changed,
    /// [`Arch::run`] has to end with [`Exit::LookAround`].
    Leave,
}

/// A running vCPU as its port sees it: its own parts, and the core, which answers hypercalls without the vCPU being
/// left. That is what makes a hypercall cheap.
pub trait Running<A: Arch> {
    /// The vCPU's parts.
    fn parts(&mut self) -> Parts<'_, A>;
    /// Makes Xen's hypercall `number` (`__HYPERVISOR_*` of `public/xen.h`) with arguments of which unused ones are
    /// undefined. The result has been set by [`Arch::set_result`] when this returns.
    fn hypercall(&mut self, number: u64, args: [u64; 5]) -> Onward;
    /// Interrupts became pending for these vCPUs of the same domain, the running one not among them.
    fn notify(&mut self, vcpus: VcpuMask) -> Onward;
    /// Another CPU called [`Arch::kick`] for this one, and it has been acknowledged.
    fn kicked(&mut self) -> Onward;
}

/// A machine that runs vCPUs.
pub trait Arch: Sized + Sync + 'static {
    /// How a CPU waits for a lock. Must let other CPUs proceed: emulators need a real yield here.
    type Relax: spin::RelaxStrategy;
    /// What one vCPU owns: registers, saved float state, list registers.
    type Vcpu: Send + 'static;
    /// What one domain owns: its second-stage tables, interrupt controller, memory map, kernel image to start from.
    type Domain: Send + Sync + 'static;
    /// Where the page that a domain shares with us has what.
    const SHARED_INFO: Layout;
    /// What guests hear that they may use: bit n is the feature `XENFEAT_*` of number n.
    const FEATURES: u32;
    /// At which guest frame (4 KiB units) a domain has the first of [`Arch::io_pages`].
    const IO_FRAME: u64;
    /// Which kinds of guests there are, in the words of `XENVER_capabilities`.
    const CAPABILITIES: &'static str;

    /// Nanoseconds since the machine was switched on; the same clock on every CPU.
    fn now(&self) -> Nanos;
    /// Arm this CPU's one-shot timer, or disarm it. A time in the past fires at once.
    fn set_timer(&self, at: Option<Nanos>);
    /// Make another CPU leave its guest or its idle state and look into its inbox.
    fn kick(&self, cpu: CpuId);
    /// Take an interrupt of this CPU, with no vCPU in it. `wait`: if none is pending, wait for one.
    fn idle(&self, wait: bool) -> Interrupt;
    /// Switch the machine off (or restart it). On hardware this does not return.
    fn machine_off(&self, restart: bool);

    /// Put a vCPU's state into the CPU: system registers, second stage, virtual timer and interrupt controller.
    /// `index` is the vCPU's number in its domain.
    /// `event` is what [`Arch::set_event_line`] would be told, or `None` where the line stays as it is.
    fn load(&self, domain: &Self::Domain, vcpu: &mut Self::Vcpu, index: u8, event: Option<bool>);
    /// Take it out again.
    fn save(&self, domain: &Self::Domain, vcpu: &mut Self::Vcpu, index: u8);
    /// A vCPU that is not loaded, and was last loaded on this CPU if anywhere, is loaded on another one from now on: what
    /// this CPU still holds of it, and what it is still doing for it, comes to its end here.
    fn leave_cpu(&self, vcpu: &mut Self::Vcpu);
    /// Run the loaded vCPU until something needs the core. Traps that are the port's own business (virtual interrupt
    /// controller, system registers, float) are handled inside and only counted.
    /// Why it stopped goes to `exit`, which is too large to be handed on by value from hand to hand.
    fn run<R: Running<Self>>(&self, running: &mut R, exit: &mut Exit);
    /// Put a hypercall's result into the loaded vCPU.
    fn set_result(&self, vcpu: &mut Self::Vcpu, value: u64);
    /// Change the first two arguments of the hypercall that the loaded vCPU has just made, for when it repeats the call.
    fn set_arguments(&self, vcpu: &mut Self::Vcpu, arguments: [u64; 2]);
    /// Put an answer to [`Exit::CpuOn`] or [`Exit::AffinityInfo`] into the loaded vCPU; `question` says which.
    fn cpu_on_result(&self, vcpu: &mut Self::Vcpu, question: &Exit, result: CpuOnResult);
    /// Make the vCPU repeat the hypercall it has just made when it runs next.
    fn repeat_hypercall(&self, vcpu: &mut Self::Vcpu);
    /// Changes an argument, below 5, of the hypercall that the loaded vCPU has just made, for when it is repeated.
    fn set_argument(&self, vcpu: &mut Self::Vcpu, index: u8, value: u64);
    /// Give a vCPU the state in which the architecture starts one: at `entry`, with `argument`.
    fn reset_vcpu(&self, domain: &Self::Domain, vcpu: &mut Self::Vcpu, index: u8, entry: u64, argument: u64);
    /// When the vCPU's own timer will want to interrupt it; `None` when it is off or masked. Valid from [`Arch::save`]
    /// on, and for the loaded vCPU.
    fn timer_deadline(&self, vcpu: &Self::Vcpu) -> Option<Nanos>;
    /// Set the level of the event-channel interrupt of a vCPU that is loaded on this CPU. It may be told `true` again: then
    /// the guest lowered the line unseen, and it went up anew.
    fn set_event_line(&self, domain: &Self::Domain, vcpu: &mut Self::Vcpu, index: u8, level: bool);
    /// How the event interrupt reaches the guest, where guests can say so: `value` of `HVM_PARAM_CALLBACK_IRQ` for all
    /// vCPUs, or the vector of vCPU `index`. Returns whether that is possible.
    fn set_event_vector(&self, _domain: &Self::Domain, index: Option<u32>, _value: u64) -> bool {
        index.is_none()
    }
    /// Write a `vcpu_time_info` for the vCPU, where guests tell the time by one: `record` is its four words.
    fn publish_clock(&self, _domain: &Self::Domain, _vcpu: &Self::Vcpu, _record: &[AtomicU64]) {}
    /// Has this vCPU, loaded on this CPU, an interrupt that it could take if it had none masked at the core? Decides
    /// whether [`Exit::Idle`] blocks.
    fn has_interrupt(&self, domain: &Self::Domain, vcpu: &Self::Vcpu, index: u8) -> bool;

    /// Copy out of the loaded vCPU's virtual address space, at its own privilege. All or nothing.
    fn read_guest(&self, domain: &Self::Domain, vcpu: &Self::Vcpu, from: u64, to: &mut [u8]) -> Result<(), BadAddress>;
    /// Copy into the loaded vCPU's virtual address space, at its own privilege. All or nothing.
    fn write_guest(&self, domain: &Self::Domain, vcpu: &Self::Vcpu, to: u64, from: &[u8]) -> Result<(), BadAddress>;
    /// So many words of memory that belongs to the domain, behind an aligned virtual address that the loaded vCPU can write at
    /// its own privilege; they lie in one page. `None` is no error, but means that they have to be read and written by the
    /// two above.
    fn guest_words<'d>(
        &self,
        domain: &'d Self::Domain,
        vcpu: &Self::Vcpu,
        address: u64,
        count: usize,
    ) -> Option<&'d [AtomicU64]>;
    /// The guest frame (4 KiB units) behind a virtual address that the loaded vCPU can write at its own privilege.
    fn guest_frame(&self, domain: &Self::Domain, vcpu: &Self::Vcpu, address: u64) -> Result<u64, BadAddress>;
    /// The domain's shared-info page, which the hypervisor owns.
    fn shared_info<'d>(&self, domain: &'d Self::Domain) -> &'d Page;
    /// Map the shared-info page at a guest frame (4 KiB units) instead of the RAM or nothing that is there. Where it was
    /// before, that appears again.
    fn map_shared_info(&self, domain: &Self::Domain, frame: u64) -> Result<(), MapError>;
    /// The same with page `index` of the domain's grant table.
    fn map_grant_table(&self, domain: &Self::Domain, index: u64, frame: u64) -> Result<(), MapError>;
    /// Page `index`, below [`crate::limits::GRANT_FRAMES`], of the domain's grant table, which the hypervisor owns.
    fn grant_table<'d>(&self, domain: &'d Self::Domain, index: usize) -> Option<&'d Page>;
    /// At which guest frame that page is mapped.
    fn grant_table_frame(&self, domain: &Self::Domain, index: usize) -> Option<u64>;
    /// A page of the guest's own RAM by its guest frame.
    fn guest_page<'d>(&self, domain: &'d Self::Domain, frame: u64) -> Result<&'d Page, BadAddress>;

    /// The two pages that the domain has in common with an I/O domain, if there is one: its console's and xenstore's.
    fn io_pages<'d>(&self, _domain: &'d Self::Domain) -> Option<&'d [Page; 2]> {
        None
    }

    /// Does a guest frame lead to the page of the domain's own RAM that was there at the start?
    fn has_ram(&self, domain: &Self::Domain, frame: u64) -> bool;
    /// How much RAM the domain has.
    fn ram_size(&self, domain: &Self::Domain) -> RamSize;
    /// The domain gives up RAM that is where it was at the start, from a guest frame on: at most so many pages, at least
    /// one, in bounded time. Returns how many. No CPU reaches it through the domain's address space any more.
    fn give_up_ram(&self, domain: &Self::Domain, frame: u64, pages: u64) -> Result<u64, MapError>;
    /// The domain gets back RAM that it gave up, where it was, in the same way.
    fn take_back_ram(&self, domain: &Self::Domain, frame: u64, pages: u64) -> Result<u64, MapError>;
    /// Takes away what is mapped at a guest frame: RAM is given up, a page of the hypervisor's goes. Not another domain's.
    fn unmap(&self, domain: &Self::Domain, frame: u64) -> Result<(), MapError>;

    /// Maps a page of another domain's RAM (a frame of which [`Arch::has_ram`] was once true, for reading or also for
    /// writing) at a guest frame, instead of the RAM or nothing that is there. Returns whether there is RAM under it.
    fn map_foreign(
        &self,
        domain: &Self::Domain,
        frame: u64,
        owner: (&Self::Domain, u64),
        write: bool,
    ) -> Result<bool, MapError>;
    /// Takes away what [`Arch::map_foreign`] mapped; the RAM under it appears where there is one. No CPU reaches the page
    /// through the domain's address space any more.
    fn unmap_foreign(&self, domain: &Self::Domain, frame: u64, covers: bool) -> Result<(), MapError>;
    /// Lets the frame of such a mapping lead to a page that is the mapping domain's own and used for nothing else.
    fn revoke_foreign(&self, domain: &Self::Domain, frame: u64) -> Result<(), MapError>;
    /// Copies between pages of RAM, which may be one page; the range leaves neither.
    fn copy(&self, from: &Place<'_, Self::Domain>, to: &Place<'_, Self::Domain>, length: u16);
    /// Writes back what caches hold of a range of a page of RAM; with `discard` also makes them forget it.
    fn clean_cache(&self, place: &Place<'_, Self::Domain>, length: u16, discard: bool);

    /// The last vCPU of a domain that ends is off: its devices interrupt nobody any more.
    fn silence(&self, _domain: &Self::Domain) {}
    /// Bring a stopped domain's memory and devices back to the state of its first start, a bounded step at a time.
    /// Returns the entry point and argument of vCPU 0 when done. `step` counts from 0.
    fn reset_domain(&self, domain: &Self::Domain, step: u32) -> Option<(u64, u64)>;

    /// Append a guest's console output. Returns how many bytes fitted; the core makes the guest retry the rest.
    fn console_write(&self, domain: DomainId, bytes: &[u8]) -> usize;
    /// Say something to whoever reads the log.
    fn report(&self, report: Report<'_>);
}
