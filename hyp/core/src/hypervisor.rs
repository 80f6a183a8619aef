//! The whole machine: every domain, every vCPU, and what CPUs tell each other.
//!
//! One value, of a size that is known when the image is linked: a port keeps it in a static, a test in a box. Domains are
//! added before CPUs run; after that everything goes on through shared references.

use core::fmt::{self, Display, Formatter};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use heapless::{String, Vec};
use spin::mutex::TicketMutex;
use spin::once::Once;

use crate::arch::{Arch, CpuId, VcpuMask};
use crate::cpu::{Cpu, Local};
use crate::domain::{Domain, DomainConfig, DomainId};
use crate::event::Table;
use crate::event::fifo::Fifo;
use crate::event::fixed::FixedChannels;
use crate::grant::Grants;
use crate::lifecycle::{self, Event, Todo};
use crate::limits::{MAX_CPUS, MAX_DOMAINS, MAX_NAME, MAX_VCPUS, MAX_VCPUS_PER_DOMAIN};
use crate::placement::{Placement, Refusal};
use crate::report::{DomainChange, Report};
use crate::sched::{Promise, Scheduler};
use crate::sync::{Held, Lock, rank};
use crate::trace::Trace;
use crate::vcpu::{RunState, Vcpu, VcpuId};

/// Why a domain could not be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddError {
    /// There are [`MAX_DOMAINS`] already.
    TooManyDomains,
    /// It has no vCPU, or more than [`MAX_VCPUS_PER_DOMAIN`], or there would be more than [`MAX_VCPUS`] in all.
    Vcpus(u8),
    /// Its name has more than [`MAX_NAME`] bytes.
    NameTooLong,
    /// Its affinity names no CPU of this machine.
    NoCpu(u32),
    /// The domain with this name cannot be promised what it is to get.
    Refused(String<MAX_NAME>, Refusal),
}

impl Display for AddError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyDomains => write!(f, "more than {MAX_DOMAINS} domains; leave some out"),
            Self::Vcpus(count) => write!(
                f,
                "{count} vCPUs: a domain has 1 to {MAX_VCPUS_PER_DOMAIN}, all domains together at most {MAX_VCPUS}"
            ),
            Self::NameTooLong => write!(f, "a name is at most {MAX_NAME} bytes long"),
            Self::NoCpu(affinity) => {
                write!(f, "CPU affinity {affinity:#x} names no CPU of this machine; CPUs count from 0")
            }
            Self::Refused(name, why) => write!(f, "{name}: {why}"),
        }
    }
}

/// A domain could not be started: there is no such domain, or it has been started before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStarted;

/// How many there are so far.
pub(crate) struct Numbers {
    domains: u8,
    vcpus: u8,
    pub(crate) placement: Placement,
}

/// The machine.
pub struct Hypervisor<A: Arch> {
    pub(crate) arch: A,
    domains: [Once<Domain<A>, A::Relax>; MAX_DOMAINS],
    vcpus: [Once<Vcpu<A>, A::Relax>; MAX_VCPUS],
    pub(crate) events: [Lock<Table, A::Relax, { rank::EVENT }>; MAX_DOMAINS],
    pub(crate) queues: [Lock<Fifo, A::Relax, { rank::QUEUE }>; MAX_DOMAINS],
    pub(crate) grants: [Lock<Grants, A::Relax, { rank::GRANT }>; MAX_DOMAINS],
    /// Event channels that are there before guests run.
    pub(crate) fixed: Once<FixedChannels, A::Relax>,
    pub(crate) traces: [Once<Trace, A::Relax>; MAX_CPUS],
    /// For each CPU, the vCPUs that it has to look at.
    inboxes: [AtomicU32; MAX_CPUS],
    /// For each CPU, the vCPUs that want to run there, as it said last.
    pub(crate) runnable: [AtomicU32; MAX_CPUS],
    /// For each CPU, the vCPUs that may run there.
    pub(crate) allowed: [AtomicU32; MAX_CPUS],
    pub(crate) numbers: TicketMutex<Numbers, A::Relax>,
    /// How many CPUs there are beside the first.
    other_cpus: AtomicU8,
    /// Number of the [`Scheduler`].
    scheduler: AtomicU8,
    /// CPUs that run guests.
    pub(crate) joined: AtomicU32,
    /// CPUs that will not run guests again.
    pub(crate) parked: AtomicU32,
    pub(crate) machine_off: AtomicBool,
    pub(crate) first_guest: AtomicBool,
}

impl<A: Arch> Hypervisor<A> {
    /// A machine without domains and with one CPU.
    pub const fn new(arch: A) -> Self {
        Self {
            arch,
            domains: [const { Once::new() }; MAX_DOMAINS],
            vcpus: [const { Once::new() }; MAX_VCPUS],
            events: [const { Lock::new(Table::new()) }; MAX_DOMAINS],
            queues: [const { Lock::new(Fifo::new()) }; MAX_DOMAINS],
            grants: [const { Lock::new(Grants::new()) }; MAX_DOMAINS],
            fixed: Once::new(),
            traces: [const { Once::new() }; MAX_CPUS],
            inboxes: [const { AtomicU32::new(0) }; MAX_CPUS],
            runnable: [const { AtomicU32::new(0) }; MAX_CPUS],
            allowed: [const { AtomicU32::new(0) }; MAX_CPUS],
            numbers: TicketMutex::new(Numbers { domains: 0, vcpus: 0, placement: Placement::new() }),
            other_cpus: AtomicU8::new(0),
            scheduler: AtomicU8::new(Scheduler::Client as u8),
            joined: AtomicU32::new(0),
            parked: AtomicU32::new(0),
            machine_off: AtomicBool::new(false),
            first_guest: AtomicBool::new(false),
        }
    }

    /// The port.
    pub fn arch(&self) -> &A {
        &self.arch
    }

    /// Says that the machine has CPUs 0 to `count` - 1, at most [`MAX_CPUS`]. Domains that are added later may use them.
    pub fn set_cpus(&self, count: u8) {
        self.other_cpus.store(count.clamp(1, MAX_CPUS as u8).saturating_sub(1), Ordering::Relaxed);
    }

    /// Says who shares out CPU time that is not promised. Call it before [`Hypervisor::cpu`].
    pub fn set_scheduler(&self, scheduler: Scheduler) {
        self.scheduler.store(scheduler as u8, Ordering::Relaxed);
    }

    /// How many CPUs there are.
    pub(crate) fn cpus(&self) -> u8 {
        self.other_cpus.load(Ordering::Relaxed).saturating_add(1)
    }

    /// A domain by its number.
    #[inline]
    pub fn domain(&self, id: DomainId) -> Option<&Domain<A>> {
        self.domains.get(id.index()).and_then(Once::get)
    }

    /// All domains, by rising number.
    pub fn domains(&self) -> impl Iterator<Item = &Domain<A>> {
        self.domains.iter().map_while(Once::get)
    }

    /// A vCPU by its number in the machine.
    #[inline]
    pub fn vcpu(&self, id: VcpuId) -> Option<&Vcpu<A>> {
        self.vcpus.get(id.index()).and_then(Once::get)
    }

    /// Adds a domain, which does not run yet. `make` makes the port's part of each of its vCPUs.
    ///
    /// # Errors
    /// See [`AddError`]; nothing is changed then.
    pub fn add_domain(
        &self,
        config: &DomainConfig<'_>,
        arch: A::Domain,
        mut make: impl FnMut(u8) -> A::Vcpu,
    ) -> Result<DomainId, AddError> {
        let mut numbers = self.numbers.lock();
        let index = usize::from(numbers.domains);
        let (Some(slot), id) = (self.domains.get(index), DomainId::from_index(index)) else {
            return Err(AddError::TooManyDomains);
        };
        let first = numbers.vcpus;
        let last = first.saturating_add(config.vcpus);
        if config.vcpus == 0 || usize::from(config.vcpus) > MAX_VCPUS_PER_DOMAIN || usize::from(last) > MAX_VCPUS {
            return Err(AddError::Vcpus(config.vcpus));
        }
        let name = String::try_from(config.name).map_err(|_| AddError::NameTooLong)?;
        let allowed = config.affinity & 1u32.checked_shl(self.cpus().into()).map_or(!0, |x| x - 1);
        if allowed == 0 {
            return Err(AddError::NoCpu(config.affinity));
        }
        let mut placement = numbers.placement;
        let mut homes = Vec::<CpuId, MAX_VCPUS_PER_DOMAIN>::new();
        for vcpu in (first..last).filter_map(VcpuId::new) {
            let refused = |why| AddError::Refused(name.clone(), why);
            // There is room: see above.
            let _ = homes.push(placement.place(vcpu, allowed, &config.share.promise).map_err(refused)?);
        }
        numbers.placement = placement;
        for ((number, index), home) in (first..last).zip(0..).zip(homes) {
            if let (Some(vcpu), Some(id_of_vcpu)) = (self.vcpus.get(usize::from(number)), VcpuId::new(number)) {
                vcpu.call_once(|| Vcpu::new(id_of_vcpu, index, id, home, make(index)));
                match config.share.promise {
                    Promise::None => self.allow(id_of_vcpu, allowed & !numbers.placement.owned()),
                    Promise::Pinned => self.give_cpu(id_of_vcpu, home),
                    _ => self.allow(id_of_vcpu, cpu_bit(home)),
                }
            }
        }
        numbers.vcpus = last;
        numbers.domains = numbers.domains.saturating_add(1);
        let domain = slot.call_once(|| Domain::new(id, config, name, first, arch));
        self.report_domain(domain, DomainChange::Created);
        Ok(id)
    }

    /// How much of a CPU is promised, of [`crate::sched::WHOLE`].
    pub(crate) fn promised(&self, cpu: CpuId) -> u32 {
        self.numbers.lock().placement.promised(cpu)
    }

    /// Lets a domain run: its vCPU 0 starts at `entry`, guest-physical, with `argument` in its first argument register.
    ///
    /// # Errors
    /// [`NotStarted`] when there is no such domain, or it was started before.
    pub fn start(&self, id: DomainId, entry: u64, argument: u64) -> Result<(), NotStarted> {
        let domain = self.domain(id).ok_or(NotStarted)?;
        let held = Held::new();
        {
            let mut state = domain.state.lock(&held, id.index());
            let Some((next, Todo::Run)) = lifecycle::next(*state, Event::Start, domain.actions) else {
                return Err(NotStarted);
            };
            *state = next;
        }
        self.connect_anew(domain);
        self.report_domain(domain, DomainChange::Running);
        self.switch_on(domain, 0, entry, argument).then_some(()).ok_or(NotStarted)
    }

    /// Switches on a vCPU that is off. Returns whether it was off and is there.
    pub(crate) fn switch_on(&self, domain: &Domain<A>, index: u32, entry: u64, argument: u64) -> bool {
        let Some(vcpu) = domain.vcpu(index).and_then(|id| self.vcpu(id)).filter(|vcpu| vcpu.begin_start()) else {
            return false;
        };
        // Counted before its home CPU can see it, so that the count never falls to zero too early.
        domain.live.fetch_add(1, Ordering::AcqRel);
        vcpu.entry.store(entry, Ordering::Relaxed);
        vcpu.argument.store(argument, Ordering::Relaxed);
        vcpu.set_state(RunState::Starting);
        self.expect(vcpu, vcpu.home());
        self.post(vcpu);
        true
    }

    /// Makes this the CPU with this number, which from now on runs guests by [`Hypervisor::run_cpu`]. `trace` is
    /// where its context switches are recorded. Call it once for each CPU.
    pub fn cpu(&self, id: CpuId, trace: &'static [AtomicU64]) -> Cpu<'_, A> {
        if let Some(slot) = self.traces.get(usize::from(id)) {
            slot.call_once(|| Trace::new(trace));
        }
        self.joined.fetch_or(cpu_bit(id), Ordering::AcqRel);
        Cpu { local: Local::new(id, Scheduler::from_number(self.scheduler.load(Ordering::Relaxed))), current: None }
    }

    /// Tells a vCPU's home CPU, whichever CPU this is, to look at it. If it has another home by then, that one hears of it.
    pub(crate) fn post(&self, vcpu: &Vcpu<A>) {
        let home = vcpu.home();
        let Some(inbox) = self.inboxes.get(usize::from(home)) else { return };
        if inbox.fetch_or(vcpu.id().bit(), Ordering::AcqRel) == 0 {
            self.arch.kick(home);
        }
    }

    /// A device of the port has something for these vCPUs of a domain; any CPU may say so.
    pub fn device_interrupts(&self, id: DomainId, vcpus: VcpuMask) {
        let Some(domain) = self.domain(id) else { return };
        let wanted = domain.vcpu_ids().zip(0u32..).filter(|(_, index)| vcpus & 1u32.wrapping_shl(*index) != 0);
        wanted.filter_map(|(vcpu, _)| self.vcpu(vcpu)).for_each(|vcpu| self.post(vcpu));
    }

    /// Takes what is in a CPU's inbox.
    pub(crate) fn take_inbox(&self, cpu: CpuId) -> u32 {
        let inbox = self.inboxes.get(usize::from(cpu));
        // A plain read first: the inbox is mostly empty, and a swap takes the line from the other CPUs.
        inbox.filter(|inbox| inbox.load(Ordering::Acquire) != 0).map_or(0, |inbox| inbox.swap(0, Ordering::AcqRel))
    }

    /// Takes what is in a CPU's inbox if that is this vCPU alone.
    #[inline(always)]
    pub(crate) fn take_only(&self, cpu: CpuId, vcpu: VcpuId) -> bool {
        let (all, none, order) = (vcpu.bit(), 0, Ordering::AcqRel);
        let inbox = self.inboxes.get(usize::from(cpu));
        inbox.is_some_and(|inbox| inbox.compare_exchange(all, none, order, Ordering::Relaxed).is_ok())
    }

    /// Makes every CPU that runs guests look around.
    pub(crate) fn kick_all(&self, but: CpuId) {
        let joined = self.joined.load(Ordering::Acquire);
        (0..MAX_CPUS as CpuId)
            .filter(|cpu| *cpu != but && joined & cpu_bit(*cpu) != 0)
            .for_each(|cpu| self.arch.kick(cpu));
    }

    pub(crate) fn report_domain(&self, domain: &Domain<A>, change: DomainChange) {
        self.arch.report(Report::Domain { id: domain.id(), name: domain.name(), change });
    }
}

/// The set that holds only this CPU.
pub(crate) const fn cpu_bit(cpu: CpuId) -> u32 {
    1u32.wrapping_shl(cpu as u32)
}
