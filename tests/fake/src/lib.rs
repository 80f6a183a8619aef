//! A machine in memory: the porting surface of the hypervisor, for tests on the host.
//!
//! The core decides everything that matters before a register is touched, so nearly all of it can be tried without a
//! processor. Here a guest is a closure that says what it does next, time is a number, a console is a string, and
//! several CPUs take turns in one thread; so a scenario of seconds takes milliseconds and is the same every time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test machine may fail loudly")]

mod guest;
mod machine;
mod memory;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use hyp_core::arch::{
    Arch, BadAddress, CpuId, CpuOnResult, Exit, Interrupt, MapError, Page, Parts, Place, RamSize, Running,
};
use hyp_core::domain::DomainId;
use hyp_core::limits::GRANT_FRAMES;
use hyp_core::report::Report;
use hyp_core::time::Nanos;
use xen_abi::features::{
    XENFEAT_ARM_SMCCC_SUPPORTED, XENFEAT_AUTO_TRANSLATED_PHYSMAP, XENFEAT_NOT_DIRECT_MAPPED,
    XENFEAT_WRITABLE_PAGE_TABLES,
};
use xen_abi::shared_info::Layout;

pub use guest::{ARGUMENTS, Act, FakeDomain, FakeVcpu, Guest, Maker, Program, READ_ONLY, program};
pub use machine::Machine;
pub use memory::{AddressSpace, PAGE};

/// Most CPUs of a machine.
pub const CPUS: usize = 4;
/// Steps in which a domain is reset.
pub const RESET_STEPS: u32 = 5;
/// Where a domain has the pages that it has in common with an I/O domain.
pub const IO_FRAME: u64 = 0x39000;
/// Number of the shared-info page among those that the hypervisor lends; those of the grant table come first.
const SHARED_INFO: usize = GRANT_FRAMES;
/// How far one of several CPUs moves the clock before it is another one's turn, unless a test says otherwise.
const STEP: Nanos = 1000;

/// One CPU's interrupt sources.
#[derive(Default)]
struct Lines {
    timer: Option<Nanos>,
    kicked: bool,
}

/// The machine.
pub struct Fake {
    clock: AtomicU64,
    /// When whoever drives the machine wants to be asked again: a guest that computes for ever must not keep it.
    limit: AtomicU64,
    /// How far one of several CPUs moves the clock in its turn.
    step: AtomicU64,
    /// The CPU whose turn it is, and how many there are.
    turn: AtomicU8,
    cpus: AtomicU8,
    lines: Mutex<[Lines; CPUS]>,
    /// It was switched off.
    pub off: AtomicBool,
    /// What the hypervisor reported, printed.
    pub reports: Mutex<Vec<String>>,
    /// What each domain printed, by its number.
    pub consoles: Mutex<[String; 9]>,
    /// How many bytes the console takes at a time.
    pub console_room: AtomicUsize,
    /// How often a cache was cleaned.
    pub cleaned: AtomicUsize,
    /// How often a vCPU went to another CPU.
    pub moves: AtomicUsize,
    /// How often a CPU interrupted another.
    pub kicks: AtomicUsize,
    /// A CPU slept although nothing could wake it.
    pub stuck: AtomicBool,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Fake {
    /// A machine of `cpus` CPUs that has just been switched on.
    pub fn new(cpus: u8) -> Self {
        Self {
            clock: AtomicU64::new(0),
            limit: AtomicU64::new(Nanos::MAX),
            step: AtomicU64::new(STEP),
            turn: AtomicU8::new(0),
            cpus: AtomicU8::new(cpus),
            lines: Mutex::default(),
            off: AtomicBool::new(false),
            reports: Mutex::default(),
            consoles: Mutex::default(),
            console_room: AtomicUsize::new(usize::MAX),
            cleaned: AtomicUsize::new(0),
            moves: AtomicUsize::new(0),
            kicks: AtomicUsize::new(0),
            stuck: AtomicBool::new(false),
        }
    }

    /// From now on this CPU runs.
    pub fn set_turn(&self, cpu: CpuId) {
        self.turn.store(cpu, Ordering::Relaxed);
    }

    /// From this time on each CPU stops as soon as it can, as by an interrupt that means nothing.
    pub fn set_limit(&self, limit: Nanos) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// CPUs take turns less often: what takes long in the machine is over sooner.
    pub fn set_step(&self, step: Nanos) {
        self.step.store(step, Ordering::Relaxed);
    }

    fn limit(&self) -> Nanos {
        self.limit.load(Ordering::Relaxed)
    }

    fn with_lines<T>(&self, look: impl FnOnce(&mut Lines) -> T) -> T {
        look(&mut self.lines.lock().unwrap()[usize::from(self.turn.load(Ordering::Relaxed))])
    }

    fn move_clock(&self, to: Nanos) {
        self.clock.fetch_max(to, Ordering::Relaxed);
    }

    /// An interrupt of the CPU whose turn it is.
    fn interrupt(&self) -> Option<Interrupt> {
        let now = self.now();
        self.with_lines(|lines| {
            if std::mem::take(&mut lines.kicked) {
                Some(Interrupt::Kick)
            } else if lines.timer.is_some_and(|at| at <= now) {
                lines.timer = None;
                Some(Interrupt::Timer)
            } else {
                None
            }
        })
    }

    fn run_to_exit<R: Running<Self>>(&self, running: &mut R) -> Exit {
        loop {
            let Parts { domain, vcpu, index, .. } = running.parts();
            assert!(vcpu.loaded, "run without having been loaded");
            match self.interrupt() {
                Some(Interrupt::Kick) => {
                    // Always left, as after a hypercall.
                    running.kicked();
                    return Exit::LookAround;
                }
                Some(interrupt) => return Exit::Interrupt(interrupt),
                None => {}
            }
            let now = self.now();
            if now >= self.limit() {
                return Exit::Interrupt(Interrupt::Other);
            }
            if vcpu.timer.is_some_and(|at| at <= now) {
                vcpu.timer = None;
                vcpu.timer_fired = true;
            }
            if vcpu.left > 0 {
                let timer = self.with_lines(|lines| lines.timer);
                let first = [timer, vcpu.timer, Some(self.limit())].into_iter().flatten().min().unwrap_or(now);
                let mut until = first.min(now + vcpu.left);
                let shared = self.cpus.load(Ordering::Relaxed) > 1;
                if shared {
                    until = until.min(now + self.step.load(Ordering::Relaxed));
                }
                vcpu.left -= until - now;
                self.move_clock(until);
                if shared {
                    // The other CPUs want their turn.
                    return Exit::Interrupt(Interrupt::Other);
                }
                continue;
            }
            self.move_clock(now + 1);
            let act = match std::mem::take(&mut vcpu.repeats) {
                true => Act::Hypercall(vcpu.call.0, vcpu.call.1),
                false => vcpu.act(domain, index, now),
            };
            match act {
                Act::Compute(time) => vcpu.left = time,
                Act::Hypercall(number, args) => {
                    vcpu.call = (number, args);
                    // Always left, so that machines with several CPUs take turns at every call.
                    running.hypercall(number, args);
                    return Exit::LookAround;
                }
                Act::Exit(exit) => {
                    vcpu.last = Some(exit);
                    return exit;
                }
            }
        }
    }
}

impl Arch for Fake {
    type Relax = spin::relax::Spin;
    type Vcpu = FakeVcpu;
    type Domain = FakeDomain;
    const SHARED_INFO: Layout = Layout::ARM;
    const IO_FRAME: u64 = IO_FRAME;
    const FEATURES: u32 = 1 << XENFEAT_WRITABLE_PAGE_TABLES
        | 1 << XENFEAT_AUTO_TRANSLATED_PHYSMAP
        | 1 << XENFEAT_ARM_SMCCC_SUPPORTED
        | 1 << XENFEAT_NOT_DIRECT_MAPPED;
    const CAPABILITIES: &'static str = "xen-3.0-aarch64 ";

    fn now(&self) -> Nanos {
        self.clock.load(Ordering::Relaxed)
    }

    fn set_timer(&self, at: Option<Nanos>) {
        self.with_lines(|lines| lines.timer = at);
    }

    fn kick(&self, cpu: CpuId) {
        self.kicks.fetch_add(1, Ordering::Relaxed);
        self.lines.lock().unwrap()[usize::from(cpu)].kicked = true;
    }

    fn idle(&self, wait: bool) -> Interrupt {
        if let Some(interrupt) = self.interrupt() {
            return interrupt;
        }
        if !wait {
            return Interrupt::Other;
        }
        let timer = self.with_lines(|lines| lines.timer);
        if self.cpus.load(Ordering::Relaxed) > 1 {
            self.move_clock(timer.unwrap_or(Nanos::MAX).min(self.now() + self.step.load(Ordering::Relaxed)));
            return self.interrupt().unwrap_or(Interrupt::Other);
        }
        match timer {
            Some(at) => self.move_clock(at.min(self.limit())),
            None => self.stuck.store(true, Ordering::Relaxed),
        }
        self.interrupt().unwrap_or(Interrupt::Other)
    }

    fn machine_off(&self, _: bool) {
        self.off.store(true, Ordering::Relaxed);
    }

    fn load(&self, domain: &FakeDomain, vcpu: &mut FakeVcpu, index: u8, event: Option<bool>) {
        assert!(!std::mem::replace(&mut vcpu.loaded, true), "loaded twice");
        let cpu = self.turn.load(Ordering::Relaxed);
        assert!(vcpu.cpu.replace(cpu).is_none_or(|last| last == cpu), "it never left the other CPU");
        if let Some(level) = event {
            self.set_event_line(domain, vcpu, index, level);
        }
    }

    fn save(&self, _: &FakeDomain, vcpu: &mut FakeVcpu, _: u8) {
        assert!(std::mem::replace(&mut vcpu.loaded, false), "saved without having been loaded");
    }

    fn leave_cpu(&self, vcpu: &mut FakeVcpu) {
        assert!(!vcpu.loaded, "given away while it was loaded");
        let cpu = vcpu.cpu.take();
        assert!(cpu.is_none_or(|cpu| cpu == self.turn.load(Ordering::Relaxed)), "given away by another CPU");
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    fn run<R: Running<Self>>(&self, running: &mut R, exit: &mut Exit) {
        *exit = self.run_to_exit(running);
    }

    fn set_result(&self, vcpu: &mut FakeVcpu, value: u64) {
        vcpu.result = value;
    }

    fn set_arguments(&self, vcpu: &mut FakeVcpu, arguments: [u64; 2]) {
        vcpu.call.1[..2].copy_from_slice(&arguments);
    }

    fn cpu_on_result(&self, vcpu: &mut FakeVcpu, question: &Exit, result: CpuOnResult) {
        assert_eq!(vcpu.last.as_ref(), Some(question));
        vcpu.result = result as u64;
    }

    fn set_argument(&self, vcpu: &mut FakeVcpu, index: u8, value: u64) {
        vcpu.call.1[usize::from(index)] = value;
    }

    fn repeat_hypercall(&self, vcpu: &mut FakeVcpu) {
        vcpu.repeats = true;
    }

    fn reset_vcpu(&self, _: &FakeDomain, vcpu: &mut FakeVcpu, index: u8, entry: u64, argument: u64) {
        assert!(!vcpu.loaded, "reset while loaded");
        vcpu.reset(index, entry, argument);
    }

    fn timer_deadline(&self, vcpu: &FakeVcpu) -> Option<Nanos> {
        vcpu.timer
    }

    fn set_event_line(&self, _: &FakeDomain, vcpu: &mut FakeVcpu, _: u8, level: bool) {
        assert!(vcpu.loaded, "event line of a vCPU that is not loaded");
        assert!(vcpu.line != level || level, "the line is told of changes only");
        vcpu.line = level;
    }

    fn has_interrupt(&self, _: &FakeDomain, vcpu: &FakeVcpu, _: u8) -> bool {
        vcpu.line || vcpu.timer_fired || vcpu.timer.is_some_and(|at| at <= self.now())
    }

    fn read_guest(&self, domain: &FakeDomain, _: &FakeVcpu, from: u64, to: &mut [u8]) -> Result<(), BadAddress> {
        domain.with_range(from, to.len(), |memory| to.copy_from_slice(memory))
    }

    fn write_guest(&self, domain: &FakeDomain, _: &FakeVcpu, to: u64, from: &[u8]) -> Result<(), BadAddress> {
        if to.saturating_add(from.len() as u64) > READ_ONLY {
            return Err(BadAddress);
        }
        domain.with_range(to, from.len(), |memory| memory.copy_from_slice(from))
    }

    fn guest_words<'d>(
        &self,
        domain: &'d FakeDomain,
        _: &FakeVcpu,
        address: u64,
        count: usize,
    ) -> Option<&'d [AtomicU64]> {
        domain.words(address, count)
    }

    fn guest_frame(&self, _: &FakeDomain, _: &FakeVcpu, address: u64) -> Result<u64, BadAddress> {
        Ok(address >> 12)
    }

    fn shared_info<'d>(&self, domain: &'d FakeDomain) -> &'d Page {
        &domain.shared
    }

    fn map_shared_info(&self, domain: &FakeDomain, frame: u64) -> Result<(), MapError> {
        domain.space.lock().unwrap().lend(SHARED_INFO, frame)
    }

    fn map_grant_table(&self, domain: &FakeDomain, index: u64, frame: u64) -> Result<(), MapError> {
        assert!(index < GRANT_FRAMES as u64);
        domain.space.lock().unwrap().lend(index as usize, frame)
    }

    fn grant_table<'d>(&self, domain: &'d FakeDomain, index: usize) -> Option<&'d Page> {
        domain.grants.get(index)
    }

    fn grant_table_frame(&self, domain: &FakeDomain, index: usize) -> Option<u64> {
        domain.space.lock().unwrap().lent_frame(index)
    }

    fn io_pages<'d>(&self, domain: &'d FakeDomain) -> Option<&'d [Page; 2]> {
        domain.io_pages.as_deref()
    }

    fn has_ram(&self, domain: &FakeDomain, frame: u64) -> bool {
        domain.space.lock().unwrap().has_ram(frame)
    }

    fn ram_size(&self, domain: &FakeDomain) -> RamSize {
        let (pages, given_up) = domain.space.lock().unwrap().ram();
        RamSize { pages, given_up, last_frame: pages - 1 }
    }

    fn give_up_ram(&self, domain: &FakeDomain, frame: u64, pages: u64) -> Result<u64, MapError> {
        domain.space.lock().unwrap().give_up(frame, pages)
    }

    fn take_back_ram(&self, domain: &FakeDomain, frame: u64, pages: u64) -> Result<u64, MapError> {
        domain.space.lock().unwrap().take_back(frame, pages)
    }

    fn unmap(&self, domain: &FakeDomain, frame: u64) -> Result<(), MapError> {
        domain.space.lock().unwrap().unmap(frame)
    }

    fn map_foreign(
        &self,
        domain: &FakeDomain,
        frame: u64,
        owner: (&FakeDomain, u64),
        write: bool,
    ) -> Result<bool, MapError> {
        let pa = owner.0.space.lock().unwrap().home_of(owner.1);
        domain.space.lock().unwrap().map_foreign(frame, pa, write)
    }

    fn unmap_foreign(&self, domain: &FakeDomain, frame: u64, covers: bool) -> Result<(), MapError> {
        domain.space.lock().unwrap().unmap_foreign(frame, covers)
    }

    fn revoke_foreign(&self, domain: &FakeDomain, frame: u64) -> Result<(), MapError> {
        domain.space.lock().unwrap().revoke_foreign(frame)
    }

    fn copy(&self, from: &Place<'_, FakeDomain>, to: &Place<'_, FakeDomain>, length: u16) {
        let bytes = from.domain.get(from.frame * PAGE + u64::from(from.offset), length.into());
        to.domain.put(to.frame * PAGE + u64::from(to.offset), &bytes);
    }

    fn clean_cache(&self, _: &Place<'_, FakeDomain>, _: u16, _: bool) {
        self.cleaned.fetch_add(1, Ordering::Relaxed);
    }

    fn guest_page<'d>(&self, domain: &'d FakeDomain, frame: u64) -> Result<&'d Page, BadAddress> {
        domain.pages.get(frame as usize).ok_or(BadAddress)
    }

    fn reset_domain(&self, domain: &FakeDomain, step: u32) -> Option<(u64, u64)> {
        self.move_clock(self.now() + 1000);
        domain.reset(step)
    }

    fn console_write(&self, domain: DomainId, bytes: &[u8]) -> usize {
        let size = bytes.len().min(self.console_room.load(Ordering::Relaxed));
        self.consoles.lock().unwrap()[usize::from(domain.number())].push_str(&String::from_utf8_lossy(&bytes[..size]));
        size
    }

    fn report(&self, report: Report<'_>) {
        self.reports.lock().unwrap().push(report.to_string());
    }
}
