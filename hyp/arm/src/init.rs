//! Boot: from the device tree to running guests, top to bottom, once.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use aarch64_cpu::registers::{MPIDR_EL1, Readable};
use heapless::Vec;
use hyp_boot::devices::{Devices, Recipient};
use hyp_boot::guest_tree::GuestTree;
use hyp_boot::image::Layout;
use hyp_boot::machine::Machine;
use hyp_boot::manifest::{EndAction, LogFormat, Manifest};
use hyp_boot::partial::Partial;
use hyp_boot::plan::{Extent, Plan};
use hyp_boot::{BootError, Region, blob_size};
use hyp_core::arch::{Arch, CpuId, Page};
use hyp_core::domain::{self, DomainConfig, EndActions};
use hyp_core::event::fixed::FixedChannel;
use hyp_core::hypervisor::Hypervisor;
use hyp_core::limits::MAX_CPUS;
use hyp_core::policy::Rights;
use hyp_dev::timer::Clock;
use hyp_log::Shown;
use spin::RelaxStrategy;
use xen_abi::io_domain::SHARED_BASE_ARM;

use crate::arch::Arm;
use crate::domain::{ArmDomain, Image, Lent};
use crate::interrupts::Own;
use crate::layout::{self, PAGE_SIZE};
use crate::lock::{Lock, Relax};
use crate::pool::PoolEmpty;
use crate::stage2::{Stage2, tables_for};
use crate::vcpu::{self, ArmVcpu};
use crate::vpl011::Vpl011;
use crate::vtimer::VIRTUAL_TIMER;
use crate::{config, console, controller, devices, entropy, firmware, interrupts, kernel, mmu, percpu, pool, stretch};

/// Bits of MPIDR_EL1 that are no affinity.
const MPIDR_AFFINITY: u64 = 0xff_00ff_ffff;
/// The largest device tree that boot.s maps wherever it lies.
const LARGEST_TREE: u64 = 2 << 20;
const STACK_PAGES: u64 = 4;
/// Context switches that each CPU remembers: 512 a page.
const TRACE_PAGES: u64 = 4;

/// The machine.
pub(crate) static HYPERVISOR: Hypervisor<Arm> = Hypervisor::new(Arm::new());
/// Where each CPU but the first finds its stack; read by boot.s.
#[unsafe(no_mangle)]
static SECONDARY_STACKS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// CPUs beside the first that have come up.
static CPUS_UP: AtomicU8 = AtomicU8::new(0);
/// Every domain is there and every CPU has come up: guests may run.
static GO: AtomicBool = AtomicBool::new(false);

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

/// Called by boot.s on the first CPU with the MMU on: `tree` and `loaded_at` are physical addresses, `tables` the bytes of
/// first-stage tables in use.
#[unsafe(no_mangle)]
extern "C" fn primary_main(tree: u64, loaded_at: u64, tables: u64) -> ! {
    layout::set_loaded_at(loaded_at);
    mmu::init(tables);
    percpu::init(0, MPIDR_EL1.get() & MPIDR_AFFINITY);
    if let Some(clock) = Clock::of_machine() {
        HYPERVISOR.arch().init(clock);
    }
    let blob = device_tree(tree);
    let machine = Machine::parse(blob);
    // A tree that is no machine may still say where to complain.
    let (uart, conduit) = match &machine {
        Ok(machine) => (machine.uart.clone(), machine.psci),
        Err(_) => Machine::last_words(blob),
    };
    firmware::init(conduit);
    console::init(uart.as_ref(), now_ns);
    let machine = machine.or_give_up();
    let tree = Region { start: tree, size: blob.len() as u64 };
    let mut manifest = Manifest::new();
    manifest.read(&machine, layout::image_block(), tree).or_give_up();
    if manifest.options.log != Some(LogFormat::Plain) {
        hyp_log::set_format(hyp_log::Format::Defmt);
    }
    if manifest.options.stretches {
        stretch::switch_on();
    }
    for warning in manifest.warnings.iter() {
        hyp_log::warn!("{}", Shown(warning));
    }
    HYPERVISOR.set_scheduler(manifest.options.scheduler);
    let plan = Plan::make(&machine, &manifest, layout::image_block(), tree, 0).or_give_up();
    machine.ram.iter().try_for_each(|ram| mmu::map_ram(*ram, &machine.reserved)).or_give_up();
    init_interrupts(&machine);
    interrupts::init_keyboard();
    vcpu::init_cpu();
    firmware::ask();
    let mut cpu = HYPERVISOR.cpu(0, take_trace());
    let cpus = start_cpus(&machine);
    HYPERVISOR.set_cpus(cpus);
    hyp_log::info!("Makuhari {} on {}, {} CPU(s)", env!("CARGO_PKG_VERSION"), config::board().name, cpus);
    entropy::feed(machine.seed);
    let mut starts: Vec<(domain::DomainId, u64, u64), { hyp_core::limits::MAX_DOMAINS }> = Vec::new();
    let mut devices = Devices::default();
    for (index, memory) in plan.guests.iter().enumerate() {
        let Some(spec) = manifest.domains.get(index) else { break };
        let guest = Recipient { machine: &machine, spec, domain: index, memory, fixed: &manifest.fixed };
        let partial = read_partial(&guest, &mut devices);
        // Cannot fail: as many as the manifest has room for.
        let _ = starts.push(add_domain(&guest, &plan.views(&manifest, index), &devices, partial.as_ref()));
    }
    let ends = manifest.fixed.links.iter().map(|link| FixedChannel {
        domain: domain::DomainId::from_index(link.domain.into()),
        port: link.port,
        remote: domain::DomainId::from_index(link.remote.into()),
        remote_port: link.remote_port,
    });
    HYPERVISOR.fix_channels(ends.collect());
    hyp_log::event!(
        "@boot cpus={} image_bytes={} ram_bytes={} entered_ns={}",
        cpus,
        layout::file_bytes(),
        pool::hypervisor_bytes(),
        now_ns()
    );
    for (id, entry, argument) in starts {
        HYPERVISOR
            .start(id, entry, argument)
            .map_err(|_| "a domain that was just built cannot be started")
            .or_give_up();
    }
    GO.store(true, Ordering::Release);
    HYPERVISOR.run_cpu(&mut cpu);
    firmware::halt()
}

/// Called by boot.s on every other CPU.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(cpu: u64) -> ! {
    percpu::init(cpu as CpuId, MPIDR_EL1.get() & MPIDR_AFFINITY);
    interrupts::init_cpu().or_give_up();
    vcpu::init_cpu();
    firmware::ask();
    // The first CPU waits meanwhile, so that the pool is this one's.
    let mut local = HYPERVISOR.cpu(cpu as CpuId, take_trace());
    CPUS_UP.fetch_add(1, Ordering::Release);
    while !GO.load(Ordering::Acquire) {
        Relax::relax();
    }
    HYPERVISOR.run_cpu(&mut local);
    firmware::halt()
}

/// Sets memory aside where a CPU writes down whom it runs.
fn take_trace() -> &'static [AtomicU64] {
    pool::take(TRACE_PAGES).or_give_up().as_flattened()
}

fn now_ns() -> u64 {
    HYPERVISOR.arch().now()
}

/// The loader's tree, where boot.s has mapped it.
fn device_tree(tree: u64) -> &'static [u8] {
    const HEAD: usize = 40;
    let va = layout::va(tree);
    // SAFETY: boot.s mapped 4 MiB around the address for reading, and nobody writes there.
    let head = unsafe { core::slice::from_raw_parts(va as *const u8, HEAD) };
    let size = blob_size(head).unwrap_or(0).min(LARGEST_TREE as usize);
    // SAFETY: as above; the tree ends at most 2 MiB behind its start, inside what is mapped.
    unsafe { core::slice::from_raw_parts(va as *const u8, size) }
}

fn init_interrupts(machine: &Machine<'_>) {
    let (gic, maintenance) = controller::find(&machine.gic).or_give_up();
    let keyboard = machine.uart.as_ref().and_then(|uart| uart.interrupt);
    interrupts::init(Own { gic, timer: machine.timer.hypervisor, maintenance, keyboard });
    interrupts::init_cpu().or_give_up();
}

/// Starts every other CPU of the tree and waits until it is up; returns how many there are.
fn start_cpus(machine: &Machine<'_>) -> u8 {
    /// Longest that firmware may take for one CPU, nanoseconds.
    const PATIENCE: u64 = 1_000_000_000;
    if machine.cpus_left_out != 0 {
        hyp_log::warn!("{} CPU(s) are left out: {} is the most", machine.cpus_left_out, MAX_CPUS as u64);
    }
    let own = percpu::this().affinity.load(Ordering::Relaxed);
    let mut up = 1;
    for affinity in machine.cpus.iter().filter(|affinity| **affinity != own) {
        let stack = pool::take_stack(STACK_PAGES).or_give_up();
        let Some(slot) = SECONDARY_STACKS.get(usize::from(up)) else { break };
        slot.store(stack, Ordering::Release);
        if let Err(why) = firmware::cpu_on(*affinity, layout::secondary_entry_pa(), u64::from(up)) {
            hyp_log::warn!("CPU {:#x} does not start: {}", *affinity, Shown(&why));
            continue;
        }
        let deadline = now_ns() + PATIENCE;
        while CPUS_UP.load(Ordering::Acquire) < up {
            if now_ns() > deadline {
                give_up(&"a CPU that firmware says it has started does not come up");
            }
            Relax::relax();
        }
        up += 1;
    }
    up
}

/// Reads a guest's partial tree, if it has one, and the devices that it gives.
#[inline(never)]
fn read_partial(guest: &Recipient<'_, 'static>, devices: &mut Devices) -> Option<Partial<'static>> {
    let tree = guest.spec.tree.as_ref()?;
    let partial = Partial::parse(tree.path, kernel::module(tree.place)).or_give_up();
    if let Some(warning) = partial.warning() {
        hyp_log::warn!("{}", Shown(&warning));
    }
    devices.read(&partial, guest).or_give_up();
    Some(partial)
}

/// Builds one domain; returns what to start it with. `views` is the memory that it shares.
#[inline(never)]
fn add_domain(
    guest: &Recipient<'_, 'static>,
    views: &[Extent],
    devices: &Devices,
    partial: Option<&Partial<'static>>,
) -> (domain::DomainId, u64, u64) {
    let spec = guest.spec;
    let tree = guest_tree(guest, devices, partial);
    let arm = build(guest, views, devices, tree);
    let mut step = 0;
    let (entry, argument) = loop {
        match arm.reset(step).or_give_up() {
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
    let vcpu = |index| ArmVcpu::new(VCPUS.fetch_add(1, Ordering::Relaxed), index);
    let id = HYPERVISOR.add_domain(&config, arm, vcpu).or_give_up();
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
    guest: &Recipient<'_, 'static>,
    views: &[Extent],
    devices: &Devices,
    tree: impl FnOnce(Option<Region>) -> Result<(Region, Option<usize>), BootError<'static>>,
) -> ArmDomain {
    static DOMAINS: AtomicU64 = AtomicU64::new(0);
    let Recipient { spec, memory, domain, .. } = *guest;
    let extents = || memory.extents.iter().chain(views);
    let registers = || devices.registers_of(domain);
    let tables = pool::take_as_is(tables_for(extents().chain(registers()))).or_give_up();
    let mut stage2 = Stage2::new(tables);
    extents().try_for_each(|extent| stage2.map_ram(extent)).or_give_up();
    controller::map_for_guest(&mut stage2).or_give_up();
    registers().try_for_each(|device| stage2.map_device(device)).or_give_up();
    let banks = memory.banks();
    let first = banks.first().copied().unwrap_or_default();
    let file = kernel::module(spec.kernel.place);
    let kernel = kernel::open(spec.kernel.path, file, first.size).or_give_up();
    let layout = Layout::make(spec, &kernel.head, kernel.size, first).or_give_up();
    let packed = kernel.packed(spec.kernel.path, file, memory, layout.kernel.start).or_give_up();
    let (tree, seed) = tree(layout.ramdisk).or_give_up();
    let mut images = Vec::new();
    // Cannot fail: there is room for all three.
    let mut add = |from: u64, to: u64, size: u64| {
        let _ = images.push(Image { from, to, size });
    };
    if packed.is_none() {
        add(spec.kernel.place.start, layout.kernel.start, spec.kernel.place.size);
    }
    add(tree.start, layout.tree.start, tree.size);
    if let (Some(module), Some(place)) = (&spec.ramdisk, layout.ramdisk) {
        add(module.place.start, place.start, module.place.size);
    }
    let vgic = pool::place(Lock::new(controller::guest_controller(spec.cpus))).or_give_up();
    vgic.lock().set_quiet(interrupts::EVENT_CHANNEL);
    vgic.lock().map_hardware(VIRTUAL_TIMER);
    devices.interrupts_of(domain).for_each(|intid| devices::give(intid, domain, &mut vgic.lock()));
    let lend = |page: Result<&'static [Page], PoolEmpty>| {
        page.or_give_up().first().map_or_else(|| give_up(&PoolEmpty), Lent::new)
    };
    let io_pages = views.iter().find(|view| view.guest == SHARED_BASE_ARM).map(|view| {
        // SAFETY: the plan gives this place, two pages at least, to nobody but guests as shared memory; it is RAM, which the
        // direct map has for good. Any bytes are valid words, and all accesses through the reference are atomic.
        unsafe { &*(layout::va(view.host) as *const [Page; 2]) }
    });
    let number = DOMAINS.fetch_add(1, Ordering::Relaxed);
    ArmDomain {
        vcpus: spec.cpus,
        vttbr: stage2.root() | (number + 1) << 48,
        stage2: Lock::new(stage2),
        vgic,
        stale: 0.into(),
        vpl011: spec.vpl011.then(|| Lock::new(Vpl011::new())),
        number: number as usize,
        clock_offset: 0.into(),
        memory: memory.clone(),
        shared_info: lend(pool::take(1)),
        io_pages,
        // The first reset zeroes them.
        grants: core::array::from_fn(|_| lend(pool::take_as_is(1))),
        spare: lend(pool::take(1)).page,
        last_ran: [const { AtomicU8::new(0) }; MAX_CPUS],
        images,
        packed,
        start: (layout.entry, layout.tree.start),
        seed: seed.map(|offset| layout.tree.start + offset as u64),
    }
}

/// Writes the guest's device tree into pages of the pool, where it stays for restarts; returns where, physical, and at
/// which byte the seed belongs.
fn guest_tree<'g>(
    guest: &'g Recipient<'g, 'static>,
    devices: &'g Devices,
    partial: Option<&'g Partial<'static>>,
) -> impl FnOnce(Option<Region>) -> Result<(Region, Option<usize>), BootError<'static>> {
    move |ramdisk| {
        let Recipient { spec, domain, memory, fixed, .. } = *guest;
        let tree = GuestTree {
            banks: &memory.banks(),
            cpus: spec.cpus,
            gic: controller::guest_version(),
            seeded: entropy::is_ready(),
            bootargs: spec.bootargs,
            ramdisk,
            vpl011: spec.vpl011,
            enhanced: spec.enhanced,
            extended: &memory.extended(fixed, devices, domain),
            shared: (fixed, domain),
            partial,
        };
        let words = pool::take_words((tree.room() as u64).div_ceil(PAGE_SIZE)).or_give_up();
        let start = layout::image_pa(words.as_ptr() as u64);
        // SAFETY: the words are this function's alone and any byte is a valid byte.
        let bytes = unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), words.len() * 8) };
        let what =
            ": its device tree has more names of properties than there is room for: make the partial tree smaller";
        let (size, seed) = tree.write(bytes).map_err(|_| BootError::BadNode { path: spec.path, what })?;
        Ok((Region { start, size: size as u64 }, seed))
    }
}
