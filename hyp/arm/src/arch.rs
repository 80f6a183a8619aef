//! The port, as the core sees it.

use core::sync::atomic::{AtomicU64, Ordering};

use hyp_core::arch::{Arch, BadAddress, CpuId, CpuOnResult, Exit, Interrupt, MapError, Page, Place, RamSize, Running};
use hyp_core::domain::DomainId;
use hyp_core::report::Report;
use hyp_core::time::Nanos;
use hyp_dev::sysreg;
use hyp_dev::timer::{Clock, SharedClock};
use hyp_log::Shown;
use smccc::psci;
use xen_abi::features::{
    XENFEAT_ARM_SMCCC_SUPPORTED, XENFEAT_AUTO_TRANSLATED_PHYSMAP, XENFEAT_NOT_DIRECT_MAPPED,
    XENFEAT_WRITABLE_PAGE_TABLES,
};
use xen_abi::io_domain::SHARED_BASE_ARM;
use xen_abi::shared_info::Layout;

use crate::domain::ArmDomain;
use crate::layout::PAGE_SIZE;
use crate::lock::Relax;
use crate::vcpu::ArmVcpu;
use crate::{exit_loop, firmware, guest_memory, interrupts, percpu, stretch};

/// ARMv8-A at EL2.
pub struct Arm {
    clock: SharedClock,
}

impl Arm {
    /// A machine whose clock is not known yet.
    pub const fn new() -> Self {
        Self { clock: SharedClock::new() }
    }

    /// Notes the machine's clock.
    pub fn init(&self, clock: Clock) {
        self.clock.set(clock);
    }

    /// The machine's clock.
    pub fn clock(&self) -> Clock {
        self.clock.get()
    }
}

impl Default for Arm {
    fn default() -> Self {
        Self::new()
    }
}

impl Arch for Arm {
    type Relax = Relax;
    type Vcpu = ArmVcpu;
    type Domain = ArmDomain;
    const SHARED_INFO: Layout = Layout::ARM;
    const IO_FRAME: u64 = SHARED_BASE_ARM / PAGE_SIZE;
    const FEATURES: u32 = 1 << XENFEAT_WRITABLE_PAGE_TABLES
        | 1 << XENFEAT_AUTO_TRANSLATED_PHYSMAP
        | 1 << XENFEAT_ARM_SMCCC_SUPPORTED
        | 1 << XENFEAT_NOT_DIRECT_MAPPED;
    const CAPABILITIES: &'static str = "xen-3.0-aarch64 ";

    fn now(&self) -> Nanos {
        self.clock.now()
    }

    fn set_timer(&self, at: Option<Nanos>) {
        self.clock().set_alarm(at);
    }

    fn kick(&self, cpu: CpuId) {
        interrupts::kick(percpu::of(cpu).affinity.load(Ordering::Relaxed));
    }

    fn idle(&self, wait: bool) -> Interrupt {
        stretch::end();
        if wait && !hyp_log::pump() {
            aarch64_cpu::asm::wfi();
        }
        stretch::begin_idle();
        interrupts::idle()
    }

    fn machine_off(&self, restart: bool) {
        hyp_log::flush();
        if restart { firmware::system_reset() } else { firmware::system_off() }
    }

    fn load(&self, domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8, event: Option<bool>) {
        vcpu.load(domain, index, event);
    }

    fn save(&self, domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8) {
        vcpu.save(domain, index);
    }

    fn leave_cpu(&self, _vcpu: &mut ArmVcpu) {
        // All that is saved lazily says on which CPU it was left, and TLB maintenance goes to all CPUs anyway (HCR_EL2.FB);
        // but the guest's barrier after it will be executed by another CPU.
        sysreg::dsb_sy();
    }

    fn run<R: Running<Self>>(&self, running: &mut R, exit: &mut Exit) {
        exit_loop::run(running, exit);
    }

    fn set_result(&self, vcpu: &mut ArmVcpu, value: u64) {
        vcpu.registers.set(0, value);
    }

    fn set_arguments(&self, vcpu: &mut ArmVcpu, arguments: [u64; 2]) {
        let [first, second] = arguments;
        vcpu.registers.set(0, first);
        vcpu.registers.set(1, second);
    }

    fn cpu_on_result(&self, vcpu: &mut ArmVcpu, question: &Exit, result: CpuOnResult) {
        use psci::error::{ALREADY_ON, INVALID_PARAMETERS, ON_PENDING};
        let value = match (question, result) {
            (Exit::AffinityInfo { .. }, CpuOnResult::Done | CpuOnResult::AlreadyOn) => 0,
            (Exit::AffinityInfo { .. }, CpuOnResult::AlreadyOff) => 1,
            (Exit::AffinityInfo { .. }, CpuOnResult::Pending) => 2,
            (_, CpuOnResult::Done) => 0,
            (_, CpuOnResult::AlreadyOn) => ALREADY_ON,
            (_, CpuOnResult::Pending) => ON_PENDING,
            (_, CpuOnResult::AlreadyOff | CpuOnResult::NoSuchVcpu) => INVALID_PARAMETERS,
        };
        vcpu.registers.set(0, i64::from(value) as u64);
    }

    fn set_argument(&self, vcpu: &mut ArmVcpu, index: u8, value: u64) {
        vcpu.registers.set(index, value);
    }

    fn repeat_hypercall(&self, vcpu: &mut ArmVcpu) {
        let pc = vcpu.registers.pc();
        vcpu.registers.set_pc(pc.wrapping_sub(4));
    }

    fn reset_vcpu(&self, domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8, entry: u64, argument: u64) {
        interrupts::reset(domain, index);
        vcpu.reset(entry, argument);
    }

    #[inline(always)]
    fn timer_deadline(&self, vcpu: &ArmVcpu) -> Option<Nanos> {
        vcpu.timer_deadline(&self.clock())
    }

    fn set_event_line(&self, domain: &ArmDomain, vcpu: &mut ArmVcpu, index: u8, level: bool) {
        interrupts::set_event_line(domain, vcpu, index, level);
    }

    #[inline(always)]
    fn has_interrupt(&self, domain: &ArmDomain, vcpu: &ArmVcpu, index: u8) -> bool {
        interrupts::any_deliverable(domain, vcpu, index)
    }

    #[inline(always)]
    fn read_guest(&self, domain: &ArmDomain, _vcpu: &ArmVcpu, from: u64, to: &mut [u8]) -> Result<(), BadAddress> {
        guest_memory::read(domain, from, to)
    }

    fn write_guest(&self, domain: &ArmDomain, _vcpu: &ArmVcpu, to: u64, from: &[u8]) -> Result<(), BadAddress> {
        guest_memory::write(domain, to, from)
    }

    #[inline(always)]
    fn guest_words<'d>(
        &self,
        domain: &'d ArmDomain,
        _vcpu: &ArmVcpu,
        address: u64,
        count: usize,
    ) -> Option<&'d [AtomicU64]> {
        guest_memory::words(domain, address, count)
    }

    fn guest_frame(&self, _domain: &ArmDomain, _vcpu: &ArmVcpu, address: u64) -> Result<u64, BadAddress> {
        guest_memory::frame(address)
    }

    fn shared_info<'d>(&self, domain: &'d ArmDomain) -> &'d Page {
        domain.shared_info.page
    }

    fn map_shared_info(&self, domain: &ArmDomain, frame: u64) -> Result<(), MapError> {
        domain.map_lent(&domain.shared_info, frame)
    }

    fn map_grant_table(&self, domain: &ArmDomain, index: u64, frame: u64) -> Result<(), MapError> {
        domain.map_lent(domain.grants.get(index as usize).ok_or(MapError::Bad(BadAddress))?, frame)
    }

    fn grant_table<'d>(&self, domain: &'d ArmDomain, index: usize) -> Option<&'d Page> {
        Some(domain.grants.get(index)?.page)
    }

    fn grant_table_frame(&self, domain: &ArmDomain, index: usize) -> Option<u64> {
        Some(domain.grants.get(index)?.place()?.0)
    }

    fn io_pages<'d>(&self, domain: &'d ArmDomain) -> Option<&'d [Page; 2]> {
        domain.io_pages
    }

    fn has_ram(&self, domain: &ArmDomain, frame: u64) -> bool {
        domain.has_ram(frame)
    }

    fn ram_size(&self, domain: &ArmDomain) -> RamSize {
        domain.ram_size()
    }

    fn give_up_ram(&self, domain: &ArmDomain, frame: u64, pages: u64) -> Result<u64, MapError> {
        domain.give_up_ram(frame, pages)
    }

    fn take_back_ram(&self, domain: &ArmDomain, frame: u64, pages: u64) -> Result<u64, MapError> {
        domain.take_back_ram(frame, pages)
    }

    fn unmap(&self, domain: &ArmDomain, frame: u64) -> Result<(), MapError> {
        domain.unmap(frame)
    }

    fn map_foreign(
        &self,
        domain: &ArmDomain,
        frame: u64,
        owner: (&ArmDomain, u64),
        write: bool,
    ) -> Result<bool, MapError> {
        domain.map_foreign(frame, owner, write)
    }

    fn unmap_foreign(&self, domain: &ArmDomain, frame: u64, covers: bool) -> Result<(), MapError> {
        domain.unmap_foreign(frame, covers)
    }

    fn revoke_foreign(&self, domain: &ArmDomain, frame: u64) -> Result<(), MapError> {
        domain.revoke_foreign(frame)
    }

    fn copy(&self, from: &Place<'_, ArmDomain>, to: &Place<'_, ArmDomain>, length: u16) {
        if let (Ok(source), Ok(dest)) = (from.domain.page(from.frame), to.domain.page(to.frame)) {
            guest_memory::copy(source, from.offset, dest, to.offset, length);
        }
    }

    fn clean_cache(&self, place: &Place<'_, ArmDomain>, length: u16, discard: bool) {
        if let Ok(page) = place.domain.page(place.frame) {
            guest_memory::clean(page, place.offset, length, discard);
        }
    }

    fn guest_page<'d>(&self, domain: &'d ArmDomain, frame: u64) -> Result<&'d Page, BadAddress> {
        domain.page(frame)
    }

    fn silence(&self, domain: &ArmDomain) {
        domain.silence();
    }

    fn reset_domain(&self, domain: &ArmDomain, step: u32) -> Option<(u64, u64)> {
        domain.reset(step).unwrap_or_else(|why| {
            // It worked at the first start, so its file has been changed since. The guest starts where nothing is, which is a
            // crash like any other.
            hyp_log::error!("{}", Shown(&why));
            Some((0, 0))
        })
    }

    fn console_write(&self, domain: DomainId, bytes: &[u8]) -> usize {
        let taken = hyp_log::write_guest(domain.index(), bytes);
        hyp_log::pump();
        taken
    }

    fn report(&self, report: Report<'_>) {
        hyp_log::event!("{}", Shown(&report));
        if matches!(report, Report::Elapsed { .. }) {
            stretch::report();
        }
    }
}
