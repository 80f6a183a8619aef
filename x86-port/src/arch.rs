//! The port, as the core sees it.

use core::sync::atomic::{AtomicU64, Ordering};

use hyp_core::arch::{Arch, BadAddress, CpuId, CpuOnResult, Exit, Interrupt, MapError, Page, Place, RamSize, Running};
use hyp_core::domain::DomainId;
use hyp_core::report::Report;
use hyp_core::time::Nanos;
use hyp_log::Shown;
use xen_abi::features::{
    XENFEAT_AUTO_TRANSLATED_PHYSMAP, XENFEAT_HVM_CALLBACK_VECTOR, XENFEAT_HVM_SAFE_PVCLOCK, XENFEAT_NOT_DIRECT_MAPPED,
    XENFEAT_WRITABLE_PAGE_TABLES,
};
use xen_abi::hvm::{HVM_PARAM_CALLBACK_TYPE_GSI, HVM_PARAM_CALLBACK_TYPE_SHIFT, HVM_PARAM_CALLBACK_TYPE_VECTOR};
use xen_abi::io_domain::SHARED_BASE_X86;
use xen_abi::shared_info::Layout;

use crate::domain::X86Domain;
use crate::exit_loop::{self, HYPERCALL_BYTES};
use crate::guest_cpu::Virtualization;
use crate::layout::PAGE_SIZE;
use crate::lock::Relax;
use crate::vcpu::{ARGUMENTS, RAX, X86Vcpu};
use crate::{clock, firmware, guest_memory, interrupts, percpu, timer};

/// x86-64 with AMD-V or VT-x.
pub struct X86;

/// The lowest vector that is an interrupt.
const FIRST_VECTOR: u64 = 16;

impl Arch for X86 {
    type Relax = Relax;
    type Vcpu = X86Vcpu;
    type Domain = X86Domain;
    const SHARED_INFO: Layout = Layout::X86;
    const IO_FRAME: u64 = SHARED_BASE_X86 / PAGE_SIZE;
    const FEATURES: u32 = 1 << XENFEAT_WRITABLE_PAGE_TABLES
        | 1 << XENFEAT_AUTO_TRANSLATED_PHYSMAP
        | 1 << XENFEAT_HVM_CALLBACK_VECTOR
        | 1 << XENFEAT_HVM_SAFE_PVCLOCK
        | 1 << XENFEAT_NOT_DIRECT_MAPPED;
    const CAPABILITIES: &'static str = "hvm-3.0-x86_64 ";

    fn now(&self) -> Nanos {
        clock::now()
    }

    fn set_timer(&self, at: Option<Nanos>) {
        timer::set_core(at);
    }

    fn kick(&self, cpu: CpuId) {
        interrupts::kick(percpu::of(cpu).apic.load(Ordering::Relaxed));
    }

    fn idle(&self, wait: bool) -> Interrupt {
        interrupts::take(wait && !hyp_log::pump())
    }

    fn machine_off(&self, restart: bool) {
        hyp_log::flush();
        if restart { firmware::system_reset() } else { firmware::system_off() }
    }

    fn load(&self, domain: &X86Domain, vcpu: &mut X86Vcpu, index: u8, event: Option<bool>) {
        vcpu.load();
        if let Some(level) = event {
            self.set_event_line(domain, vcpu, index, level);
        }
    }

    fn save(&self, _domain: &X86Domain, vcpu: &mut X86Vcpu, _index: u8) {
        vcpu.save();
    }

    fn leave_cpu(&self, vcpu: &mut X86Vcpu) {
        vcpu.processor.leave();
    }

    fn run<R: Running<Self>>(&self, running: &mut R, exit: &mut Exit) {
        exit_loop::run(running, exit);
    }

    fn set_result(&self, vcpu: &mut X86Vcpu, value: u64) {
        vcpu.registers.set(RAX, value);
    }

    fn set_arguments(&self, vcpu: &mut X86Vcpu, arguments: [u64; 2]) {
        ARGUMENTS.into_iter().zip(arguments).for_each(|(register, value)| vcpu.registers.set(register, value));
    }

    fn cpu_on_result(&self, _vcpu: &mut X86Vcpu, _question: &Exit, _result: CpuOnResult) {
        // Whoever starts another vCPU by its local APIC hears nothing of it.
    }

    fn set_argument(&self, vcpu: &mut X86Vcpu, index: u8, value: u64) {
        if let Some(register) = ARGUMENTS.get(usize::from(index)) {
            vcpu.registers.set(*register, value);
        }
    }

    fn repeat_hypercall(&self, vcpu: &mut X86Vcpu) {
        let rip = vcpu.processor.rip();
        vcpu.processor.set_rip(rip.wrapping_sub(HYPERCALL_BYTES));
    }

    fn reset_vcpu(&self, domain: &X86Domain, vcpu: &mut X86Vcpu, index: u8, entry: u64, argument: u64) {
        vcpu.reset(domain, index, entry, argument);
    }

    fn timer_deadline(&self, vcpu: &X86Vcpu) -> Option<Nanos> {
        vcpu.timer_deadline()
    }

    fn set_event_line(&self, domain: &X86Domain, vcpu: &mut X86Vcpu, index: u8, level: bool) {
        let upcall = domain.events.upcalls.get(usize::from(index)).map_or(0, |vector| vector.load(Ordering::Relaxed));
        // By the local APIC it comes as an edge: what it was told stays told.
        if upcall == 0 {
            vcpu.event.raised = level;
        } else if level {
            vcpu.apic.request(upcall);
        }
    }

    fn set_event_vector(&self, domain: &X86Domain, index: Option<u32>, value: u64) -> bool {
        let kind = value >> HVM_PARAM_CALLBACK_TYPE_SHIFT;
        let vector = value & 0xff;
        let slot = match index {
            None if kind == HVM_PARAM_CALLBACK_TYPE_VECTOR => &domain.events.callback,
            // Lines of an interrupt controller: 0 is no way, and Linux names another when each vCPU has a vector, which
            // comes before a line on Xen too. Other ways there are none here.
            None => {
                let first = domain.events.upcalls.first().is_some_and(|vector| vector.load(Ordering::Relaxed) != 0);
                return value == 0 || kind == HVM_PARAM_CALLBACK_TYPE_GSI && first;
            }
            Some(index) => match domain.events.upcalls.get(index as usize) {
                Some(slot) => slot,
                None => return false,
            },
        };
        let fits = vector >= FIRST_VECTOR;
        if fits {
            slot.store(vector as u8, Ordering::Relaxed);
        }
        fits
    }

    fn publish_clock(&self, _domain: &X86Domain, _vcpu: &X86Vcpu, record: &[AtomicU64]) {
        // The counter that the guest reads is the machine's, whose rate never changes: one record is right for ever.
        const VERSION: u64 = 2;
        /// `XEN_PVCLOCK_TSC_STABLE_BIT`: the counters of all vCPUs are one.
        const STABLE: u64 = 1;
        let scale = clock::scale();
        let last = u64::from(scale.factor) | u64::from(scale.shift as u8) << 32 | STABLE << 40;
        record.iter().zip([VERSION, 0, 0, last]).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
    }

    fn has_interrupt(&self, domain: &X86Domain, vcpu: &X86Vcpu, index: u8) -> bool {
        let posted = || domain.posted.get(usize::from(index)).is_some_and(crate::vlapic::Posted::any);
        let event = || vcpu.event.raised && domain.events.callback.load(Ordering::Relaxed) != 0;
        vcpu.apic.deliverable().is_some() || event() || posted() || vcpu.is_ringing(clock::now())
    }

    fn read_guest(&self, domain: &X86Domain, vcpu: &X86Vcpu, from: u64, to: &mut [u8]) -> Result<(), BadAddress> {
        guest_memory::read(domain, vcpu, from, to)
    }

    fn write_guest(&self, domain: &X86Domain, vcpu: &X86Vcpu, to: u64, from: &[u8]) -> Result<(), BadAddress> {
        guest_memory::write(domain, vcpu, to, from)
    }

    fn guest_words<'d>(
        &self,
        domain: &'d X86Domain,
        vcpu: &X86Vcpu,
        address: u64,
        count: usize,
    ) -> Option<&'d [AtomicU64]> {
        guest_memory::words(domain, vcpu, address, count)
    }

    fn guest_frame(&self, domain: &X86Domain, vcpu: &X86Vcpu, address: u64) -> Result<u64, BadAddress> {
        guest_memory::frame(domain, vcpu, address)
    }

    fn shared_info<'d>(&self, domain: &'d X86Domain) -> &'d Page {
        domain.shared_info.page
    }

    fn map_shared_info(&self, domain: &X86Domain, frame: u64) -> Result<(), MapError> {
        domain.map_lent(&domain.shared_info, frame)
    }

    fn map_grant_table(&self, domain: &X86Domain, index: u64, frame: u64) -> Result<(), MapError> {
        domain.map_lent(domain.grants.get(index as usize).ok_or(MapError::Bad(BadAddress))?, frame)
    }

    fn grant_table<'d>(&self, domain: &'d X86Domain, index: usize) -> Option<&'d Page> {
        Some(domain.grants.get(index)?.page)
    }

    fn grant_table_frame(&self, domain: &X86Domain, index: usize) -> Option<u64> {
        Some(domain.grants.get(index)?.place()?.0)
    }

    fn io_pages<'d>(&self, domain: &'d X86Domain) -> Option<&'d [Page; 2]> {
        domain.io_pages
    }

    fn has_ram(&self, domain: &X86Domain, frame: u64) -> bool {
        domain.has_ram(frame)
    }

    fn ram_size(&self, domain: &X86Domain) -> RamSize {
        domain.ram_size()
    }

    fn give_up_ram(&self, domain: &X86Domain, frame: u64, pages: u64) -> Result<u64, MapError> {
        domain.give_up_ram(frame, pages)
    }

    fn take_back_ram(&self, domain: &X86Domain, frame: u64, pages: u64) -> Result<u64, MapError> {
        domain.take_back_ram(frame, pages)
    }

    fn unmap(&self, domain: &X86Domain, frame: u64) -> Result<(), MapError> {
        domain.unmap(frame)
    }

    fn map_foreign(
        &self,
        domain: &X86Domain,
        frame: u64,
        owner: (&X86Domain, u64),
        write: bool,
    ) -> Result<bool, MapError> {
        domain.map_foreign(frame, owner, write)
    }

    fn unmap_foreign(&self, domain: &X86Domain, frame: u64, covers: bool) -> Result<(), MapError> {
        domain.unmap_foreign(frame, covers)
    }

    fn revoke_foreign(&self, domain: &X86Domain, frame: u64) -> Result<(), MapError> {
        domain.revoke_foreign(frame)
    }

    fn copy(&self, from: &Place<'_, X86Domain>, to: &Place<'_, X86Domain>, length: u16) {
        if let (Ok(source), Ok(dest)) = (from.domain.page(from.frame), to.domain.page(to.frame)) {
            guest_memory::copy(source, from.offset, dest, to.offset, length);
        }
    }

    fn clean_cache(&self, _place: &Place<'_, X86Domain>, _length: u16, _discard: bool) {
        // Devices see this architecture's caches.
    }

    fn guest_page<'d>(&self, domain: &'d X86Domain, frame: u64) -> Result<&'d Page, BadAddress> {
        domain.page(frame)
    }

    fn reset_domain(&self, domain: &X86Domain, step: u32) -> Option<(u64, u64)> {
        /// Where a PC has its firmware, and a guest nothing.
        const NOWHERE: u64 = 0xffff_fff0;
        domain.reset(step).unwrap_or_else(|why| {
            // It worked at the first start, so its file has been changed since. The guest starts where nothing is, which is a
            // crash like any other.
            hyp_log::error!("{}", Shown(&why));
            Some((NOWHERE, 0))
        })
    }

    fn console_write(&self, domain: DomainId, bytes: &[u8]) -> usize {
        let taken = hyp_log::write_guest(domain.index(), bytes);
        hyp_log::pump();
        taken
    }

    fn report(&self, report: Report<'_>) {
        hyp_log::event!("{}", Shown(&report));
    }
}
