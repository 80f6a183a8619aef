//! Who runs next on a physical CPU.
//!
//! Each CPU has one [`RunQueue`], which it alone touches: no locks, no machine, only numbers and times, so that the whole
//! of it runs in tests and simulations on the host. It asks its classes in fixed order: [`pinned`], [`reserve`], and then
//! the one that shares out what is left, which implements [`Class`]: [`credit`], unless the machine's owner wants to
//! compare it with `stock` or `sedf`. These two are in no image that is not asked for by the feature `comparison`.

pub mod credit;
mod observe;
pub mod pinned;
pub mod reserve;
mod run_queue;
pub mod sedf;
mod share;
pub mod stock;

pub use self::run_queue::RunQueue;
pub use self::share::{BOUND, LONGEST_PERIOD, Promise, Reservation, SHORTEST_BUDGET, Scheduler, Share, WHOLE};
use crate::time::Nanos;
use crate::vcpu::VcpuId;

/// A way to share what is left of a CPU. At most one vCPU is current; the class that picked it is told what it does.
pub trait Class {
    /// A vCPU joins, blocked. `family` has the bits of all vCPUs of its domain. `credit` is what [`Class::remove`] gave it to
    /// take along, here or on another CPU; [`i64::MAX`] where it comes for the first time.
    fn add(&mut self, now: Nanos, vcpu: VcpuId, share: &Share, family: u32, credit: i64);
    /// A vCPU leaves, whatever it was doing. Returns what it takes along.
    fn remove(&mut self, now: Nanos, vcpu: VcpuId) -> i64;
    /// Its share is another from now on.
    fn set_weight(&mut self, now: Nanos, vcpu: VcpuId, weight: u16);
    /// An event arrived for a vCPU; it becomes runnable when it was blocked. Returns whether it should run at once in
    /// place of the current vCPU.
    fn wake(&mut self, now: Nanos, vcpu: VcpuId) -> bool;
    /// The current vCPU waits for an event.
    fn block(&mut self, now: Nanos);
    /// A vCPU, whether it waits or runs, gets its time from another class for now.
    fn withdraw(&mut self, now: Nanos, vcpu: VcpuId);
    /// The current vCPU lets others go first.
    fn give_way(&mut self, now: Nanos);
    /// The vCPU to run from now on, which becomes current; `None` where it has nobody to run.
    fn pick(&mut self, now: Nanos) -> Option<VcpuId>;
    /// When it wants to be asked again at the latest; `None` where the current vCPU may run on for ever.
    fn slice_end(&self) -> Option<Nanos>;
    /// The vCPU that runs.
    fn current(&self) -> Option<VcpuId>;
    /// Those that wait for the CPU.
    fn waiting(&self) -> u32;
    /// Those of them whose turn comes before that of the others.
    fn boosted(&self) -> u32;
    /// Who of those that wait, among these, has its turn next: whom another CPU should run instead.
    fn next_of(&self, among: u32) -> Option<VcpuId>;
    /// The current vCPU must not wait for work of the hypervisor that can wait.
    fn is_urgent(&self) -> bool;
    /// Accounts for the time up to now, because a higher class takes the CPU.
    fn settle(&mut self, now: Nanos);
    /// The time up to now was a higher class's: nobody pays for it, nobody earns, and slices end later by it.
    fn skip(&mut self, now: Nanos);
}
