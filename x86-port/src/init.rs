//! Boot: from what the loader brought to running guests, top to bottom, once.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heapless::Vec;
use hyp_boot::assigned::{Assigned, Kind, MAX_PIECES};
use hyp_boot::guest_tables::{TABLES, Tables};
use hyp_boot::machine::Host;
use hyp_boot::manifest::{DomainSpec, EndAction, LogFormat, Manifest};
use hyp_boot::plan::{Banks, Extent, GuestMemory, Plan};
use hyp_boot::pvh::{Layout, StartInfo};
use hyp_boot::{BootError, Region, blob_size};
use hyp_core::arch::{CpuId, Page};
use hyp_core::domain::{self, DomainConfig, DomainId, EndActions};
use hyp_core::event::fixed::FixedChannel;
use hyp_core::hypervisor::Hypervisor;
use hyp_core::limits::{MAX_CPUS, MAX_DOMAINS};
use hyp_core::policy::Rights;
use hyp_log::Shown;
use spin::{Once, RelaxStrategy};
use xen_abi::io_domain::SHARED_BASE_X86;

use crate::arch::X86;
use crate::domain::{EventVectors, Image, Lent, X86Domain};
use crate::firmware_tables::Line;
use crate::kernel::{Kernel, KernelError};
use crate::layout::PAGE_SIZE;
use crate::lock::{Lock, Relax};
use crate::multiboot::Loader;
use crate::nested::lookup::Lookup;
use crate::nested::{Nested, tables_for};
use crate::pool::PoolEmpty;
use crate::uart::Uart;
use crate::vcpu::{self, X86Vcpu};
use crate::vioapic::IoApic;
use crate::vlapic::Posted;
use crate::{
    assigned, clock, config, console, firmware, firmware_tables, guest_cpu, interrupts, io_apic, kernel, layout,
    local_apic, mmu, percpu, pool, processor, secondary,
};

/// Context switches that each CPU remembers: 512 a page.
const TRACE_PAGES: u64 = 8;

const STACK_PAGES: u64 = 8;

/// Where each CPU writes down whom it runs.
static TRACES: [Once<&'static [AtomicU64]>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];
/// Every domain is there and every CPU has come up: guests may run.
static GO: AtomicBool = AtomicBool::new(false);
/// The machine.
pub(crate) static HYPERVISOR: Hypervisor<X86> = Hypervisor::new(X86);

/// Says why there is nothing to run, and switches the machine off.
fn give_up(why: &dyn core::fmt::Display) -> ! {
    hyp_log::error!("{}", Shown(why));
    hyp_log::flush();
    firmware::system_off()
}

/// Unwraps what boot cannot go on without.
trait OrGiveUp<T> {
    fn or_give_up(self) -> T;
}

impl<T, E: core::fmt::Display> OrGiveUp<T> for Result<T, E> {
    fn or_give_up(self) -> T {
        self.unwrap_or_else(|why| give_up(&why))
    }
}

/// Called by boot.s on the first CPU: `info` is what the loader passed, `tables` the bytes of page tables in use.
#[unsafe(no_mangle)]
extern "C" fn primary_main(info: u64, tables: u64) -> ! {
    percpu::init(0);
    console::init();
    let loader = Loader::read(info).or_give_up();
    let (cpus, firmware) = init_processor(&loader, tables);
    let (tree, files) = loader.files.split_first().unwrap_or_else(|| {
        give_up(&"the loader brings no device tree: it is the first module, and the guests' files follow")
    });
    let blob = device_tree(*tree);
    let host = Host::described(blob, &loader.ram, cpus, files.iter().copied().collect()).or_give_up();
    let mut manifest = Manifest::new();
    manifest.read(&host, layout::image_block(), *tree).or_give_up();
    if manifest.options.log != Some(LogFormat::Plain) {
        hyp_log::set_format(hyp_log::Format::Defmt);
    }
    for warning in manifest.warnings.iter() {
        hyp_log::warn!("{}", Shown(warning));
    }
    HYPERVISOR.set_scheduler(manifest.options.scheduler);
    let plan = Plan::make(&host, &manifest, layout::image_block(), *tree, 0).or_give_up();
    let assigned = Assigned::read(&host, &manifest, &plan, &assigned::own(&firmware)).or_give_up();
    give_trace(0);
    let cpus = start_cpus(&host, firmware.left_out);
    HYPERVISOR.set_cpus(cpus);
    hyp_log::info!("Makuhari {} on {}, {} CPU(s)", env!("CARGO_PKG_VERSION"), config::board().name, cpus);
    let starts = add_domains(&manifest, &plan, &assigned);
    hyp_log::event!(
        "@boot cpus={} image_bytes={} ram_bytes={} entered_ns={}",
        cpus,
        layout::file_bytes(),
        pool::hypervisor_bytes(),
        clock::now()
    );
    for (id, entry, argument) in starts {
        HYPERVISOR
            .start(id, entry, argument)
            .map_err(|_| "a domain that was just built cannot be started")
            .or_give_up();
    }
    connect(&manifest, &assigned, &firmware);
    listen(firmware.line(firmware.serial_line));
    let mut cpu = HYPERVISOR.cpu(0, trace_of(0));
    GO.store(true, Ordering::Release);
    HYPERVISOR.run_cpu(&mut cpu);
    processor::halt()
}

/// Called by secondary.s on every other CPU.
#[unsafe(no_mangle)]
extern "C" fn secondary_main() -> ! {
    let number = secondary::number();
    mmu::switch();
    interrupts::init_cpu();
    percpu::init(number);
    percpu::this().apic.store(local_apic::init_cpu().into(), Ordering::Relaxed);
    vcpu::init_cpu();
    let mut cpu = HYPERVISOR.cpu(number, trace_of(number));
    secondary::arrived();
    while !GO.load(Ordering::Acquire) {
        Relax::relax();
    }
    HYPERVISOR.run_cpu(&mut cpu);
    processor::halt()
}

/// Sets memory aside for a CPU's trace.
fn give_trace(cpu: CpuId) {
    let trace = pool::take(TRACE_PAGES).or_give_up();
    if let Some(slot) = TRACES.get(usize::from(cpu)) {
        slot.call_once(|| trace.as_flattened());
    }
}

fn trace_of(cpu: CpuId) -> &'static [AtomicU64] {
    TRACES.get(usize::from(cpu)).and_then(Once::get).copied().unwrap_or(&[])
}

/// Sets memory aside for what the processor keeps of the hypervisor while a guest runs.
fn give_state(cpu: CpuId) {
    let share = percpu::of(cpu);
    for slot in [&share.save_area, &share.host_state] {
        slot.store(pool::take(1).or_give_up().as_ptr() as u64, Ordering::Relaxed);
    }
}

/// Starts every other CPU and waits until it is up; returns how many there are.
fn start_cpus(host: &Host<'_>, left_out: u32) -> u8 {
    if left_out != 0 {
        hyp_log::warn!("{} CPU(s) are left out: {} is the most", left_out, MAX_CPUS as u64);
    }
    let mut up = 1;
    for apic in host.cpus.iter().skip(1) {
        let stack = pool::take_stack(STACK_PAGES).or_give_up();
        give_trace(up);
        give_state(up);
        if secondary::start(up, *apic as u32, stack) {
            up += 1;
        } else {
            hyp_log::warn!("the CPU with APIC identifier {} does not start", *apic);
        }
    }
    up
}

/// Has the interrupts of guests' devices come to the first CPU on which the guest may run.
fn connect(manifest: &Manifest<'static>, assigned: &Assigned, machine: &firmware_tables::Machine) {
    let apic = |guest: usize| {
        let cpu = manifest.domains.get(guest).map_or(0, |spec| spec.affinity.trailing_zeros());
        percpu::of(cpu as CpuId).apic.load(Ordering::Relaxed) as u32
    };
    assigned::connect(assigned, machine, apic).or_give_up();
}

/// Lets people type, where there is somebody who listens.
fn listen(line: Option<Line>) {
    let apic = percpu::this().apic.load(Ordering::Relaxed) as u32;
    if line.is_none_or(|line| io_apic::listen(&line, apic).is_err()) {
        hyp_log::warn!("nothing can be typed: the firmware names no interrupt controller for the serial port");
    }
}

/// Brings the first CPU from the loader's state to one in which it can run guests. Returns the APIC identifiers of all CPUs,
/// its own first, and what the firmware's tables say.
fn init_processor(loader: &Loader, tables: u64) -> (Vec<u64, MAX_CPUS>, firmware_tables::Machine) {
    secondary::prepare();
    let own = u64::from(local_apic::boot_id());
    let mut machine = firmware_tables::read(own);
    mmu::init(tables).or_give_up();
    loader.ram.iter().try_for_each(|ram| mmu::map_ram(*ram)).or_give_up();
    local_apic::map().or_give_up();
    mmu::switch();
    interrupts::init();
    interrupts::init_cpu();
    percpu::init(0);
    let share = percpu::this();
    share.apic.store(local_apic::init_cpu().into(), Ordering::Relaxed);
    clock::init(local_apic::measure);
    if let Err([amd, intel]) = guest_cpu::choose() {
        hyp_log::error!("no AMD-V: {}; no VT-x: {}", amd, intel);
        give_up(&"there is nothing to run guests with");
    }
    give_state(0);
    vcpu::init_cpu();
    let others = core::mem::take(&mut machine.others);
    (core::iter::once(own).chain(others).collect(), machine)
}

/// The loader's tree.
fn device_tree(place: Region) -> &'static [u8] {
    let bytes = kernel::module(place);
    let size = blob_size(bytes).unwrap_or(0);
    bytes.get(..size).unwrap_or(bytes)
}

type Starts = Vec<(DomainId, u64, u64), MAX_DOMAINS>;

/// Builds all domains; returns what to start them with.
fn add_domains(manifest: &Manifest<'static>, plan: &Plan, assigned: &Assigned) -> Starts {
    let mut starts = Starts::new();
    for (index, memory) in plan.guests.iter().enumerate() {
        // Cannot fail: as many as the manifest has room for.
        let _ = starts.push(add_domain(manifest, (index, memory), &plan.views(manifest, index), assigned));
    }
    let ends = manifest.fixed.links.iter().map(|link| FixedChannel {
        domain: DomainId::from_index(link.domain.into()),
        port: link.port,
        remote: DomainId::from_index(link.remote.into()),
        remote_port: link.remote_port,
    });
    HYPERVISOR.fix_channels(ends.collect());
    starts
}

/// Builds one domain; returns what to start it with. `views` is the memory that it shares.
fn add_domain(
    manifest: &Manifest<'static>,
    (index, memory): (usize, &GuestMemory),
    views: &[Extent],
    assigned: &Assigned,
) -> (DomainId, u64, u64) {
    let spec = manifest.domains.get(index).unwrap_or_else(|| give_up(&"the plan has more guests than the manifest"));
    let arch = build(spec, (index, memory), views, assigned).or_give_up();
    let mut step = 0;
    let (entry, argument) = loop {
        match arch.reset(step).or_give_up() {
            Some(start) => break start,
            None => step += 1,
        }
    };
    let config = DomainConfig {
        name: spec.name,
        vcpus: spec.cpus,
        affinity: spec.affinity,
        share: spec.share,
        actions: EndActions {
            poweroff: action(spec.on_poweroff),
            reboot: action(spec.on_reboot),
            crash: action(spec.on_crash),
            watchdog: action(spec.on_watchdog),
        },
        rights: Rights::from_bits_truncate(spec.allow.bits()),
        peers: u32::from(spec.peers),
    };
    static VCPUS: AtomicU64 = AtomicU64::new(0);
    let vcpu = |index| X86Vcpu::new(VCPUS.fetch_add(1, Ordering::Relaxed), index, spec.cpus).or_give_up();
    let id = HYPERVISOR.add_domain(&config, arch, vcpu).or_give_up();
    hyp_log::name_domain(id.index(), spec.name);
    (id, entry, argument)
}

fn action(action: EndAction) -> domain::EndAction {
    match action {
        EndAction::Destroy => domain::EndAction::Destroy,
        EndAction::Restart => domain::EndAction::Restart,
        EndAction::MachineOff => domain::EndAction::MachineOff,
    }
}

/// Gives a domain its memory, its tables and the images it starts from.
fn build(
    spec: &DomainSpec<'static>,
    (index, memory): (usize, &GuestMemory),
    views: &[Extent],
    assigned: &Assigned,
) -> Result<X86Domain, KernelError> {
    let extents = || memory.extents.iter().chain(views);
    let registers = assigned.of(index, Kind::Memory);
    let registers: Vec<Extent, MAX_PIECES> =
        registers.map(|place| Extent { guest: place.start, host: place.start, size: place.size }).collect();
    let tables = pool::take_as_is(tables_for(extents().chain(&registers))).or_give_up();
    let mut nested = Nested::new(tables, index);
    extents().try_for_each(|extent| nested.map_ram(extent)).or_give_up();
    registers.iter().try_for_each(|extent| nested.map_device(extent)).or_give_up();
    let banks = memory.banks();
    let first = banks.first().copied().unwrap_or_default();
    let Kernel { elf, from, packed } = kernel::open(spec, memory, first)?;
    let layout = Layout::make(spec, elf, first, packed.as_ref().map(|(room, _)| *room))?;
    let place = |view: &Extent| Region::new(view.guest, view.size);
    let shared = views.iter().find(|view| Banks::PC.io_domain.contains(&place(view)));
    let [info, told] = start_info(spec, &banks, layout.ramdisk, shared.map(place), layout.info)?;
    let mut images = Vec::new();
    // Cannot fail: there is room for all.
    let mut add = |from: u64, file: u64, place: Region| {
        let _ = images.push(Image { from, file, to: place.start, size: place.size });
    };
    for segment in &layout.kernel.segments {
        add(from + segment.offset, segment.file, segment.place);
    }
    add(info.start, info.size, Region::new(layout.info.start, info.size));
    add(told.start, told.size, Region::new(TABLES.start, told.size));
    if let (Some(module), Some(place)) = (&spec.ramdisk, layout.ramdisk) {
        add(module.place.start, module.place.size, place);
    }
    let lend = |page: Result<&'static [Page], PoolEmpty>| {
        page.or_give_up().first().map_or_else(|| give_up(&PoolEmpty), Lent::new)
    };
    let io_pages = shared.filter(|view| view.guest == SHARED_BASE_X86).map(|view| {
        // SAFETY: the plan gives this place, two pages at least, to nobody but guests as shared memory; it is RAM, which the
        // direct map has for good. Any bytes are valid words, and all accesses through the reference are atomic.
        unsafe { &*(layout::va(view.host) as *const [Page; 2]) }
    });
    Ok(X86Domain {
        number: index,
        root: nested.root(),
        lookup: Lookup::new(tables, nested.root()),
        nested: Lock::new(nested),
        memory: memory.clone(),
        shared_info: lend(pool::take(1)),
        io_pages,
        // The first reset zeroes them.
        grants: core::array::from_fn(|_| lend(pool::take_as_is(1))),
        spare: lend(pool::take(1)).page,
        events: EventVectors::new(),
        posted: [const { Posted::new() }; hyp_core::limits::MAX_VCPUS_PER_DOMAIN],
        uart: Lock::new(Uart::new()),
        listens: spec.vpl011,
        io_apic: Lock::new(IoApic::new(spec.cpus, assigned::lines(assigned, index))),
        ports: assigned::port_map(assigned, index).or_give_up(),
        configures_pci: assigned::configures(assigned, index),
        waits_for_end: AtomicBool::new(false),
        vcpus: spec.cpus,
        images,
        packed: packed.map(|(_, kernel)| kernel),
        start: (layout.kernel.entry, layout.info.start),
    })
}

/// Writes what the guest is told, and its tables, into pages of the pool, where they stay for restarts; returns where,
/// physical. `room` is where the guest finds what it is told.
fn start_info(
    spec: &DomainSpec<'static>,
    banks: &[Region],
    ramdisk: Option<Region>,
    shared: Option<Region>,
    room: Region,
) -> Result<[Region; 2], BootError<'static>> {
    let pages = (spec.bootargs.len() as u64 + PAGE_SIZE / 2).div_ceil(PAGE_SIZE);
    let words = pool::take_words(pages).or_give_up();
    let start = words.as_ptr() as u64;
    // SAFETY: the words are this function's alone and any byte is a valid byte.
    let bytes = unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), words.len() * 8) };
    let what = ": there is no room for what the guest is told: shorten its bootargs";
    let error = BootError::BadNode { path: spec.path, what };
    let size = StartInfo { banks, bootargs: spec.bootargs, ramdisk, shared }.write(bytes, room.start).ok_or(error)?;
    let tables = Tables::new(spec.cpus);
    let place = bytes.get_mut(size..size + tables.bytes().len()).ok_or(error)?;
    place.copy_from_slice(tables.bytes());
    let size = size as u64;
    Ok([Region::new(start, size), Region::new(start + size, tables.bytes().len() as u64)])
}
