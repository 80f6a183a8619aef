//! What a domain is on this port: its memory, its second stage, how events reach it, and the images it starts from.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use heapless::Vec;
use hyp_boot::plan::GuestMemory;
use hyp_boot::pvh::MAX_SEGMENTS;
use hyp_core::arch::{BadAddress, Page};
use hyp_core::limits::{GRANT_FRAMES, MAX_VCPUS_PER_DOMAIN};

use crate::kernel::{KernelError, PackedKernel};
use crate::layout::{self, DIRECT_MAP, PAGE_SIZE};
use crate::lock::Lock;
use crate::nested::Nested;
use crate::nested::lookup::Lookup;
use crate::tlb;
use crate::uart::Uart;
use crate::vioapic::IoApic;
use crate::vlapic::{Effect, Posted};
use crate::{assigned, guest_memory};

/// Bytes copied in one step of a domain's reset, so that a reset never holds a CPU for long.
const RESET_STEP: u64 = 64 * 1024;
/// Pieces that a start copies: segments, what the guest is told, its tables, and the ramdisk.
pub const MAX_IMAGES: usize = MAX_SEGMENTS + 3;

/// A piece of memory that a start or restart of a domain fills.
#[derive(Clone, Copy)]
pub struct Image {
    /// Where the pristine copy lies, physical.
    pub from: u64,
    /// Bytes of it; behind them come zeros.
    pub file: u64,
    /// Where the guest finds it, guest-physical.
    pub to: u64,
    /// Bytes, not less than `file`.
    pub size: u64,
}

/// A page of the hypervisor's that the guest may have in its address space.
pub struct Lent {
    /// The page.
    pub page: &'static Page,
    /// Where the guest has mapped it, as a guest frame plus 1, with [`COVERS`]; 0 is nowhere. Changed under the lock of the
    /// second stage.
    frame: AtomicU64,
}

/// The guest's own page is under it.
const COVERS: u64 = 1 << 63;

impl Lent {
    /// A page that is mapped nowhere yet.
    pub const fn new(page: &'static Page) -> Self {
        Self { page, frame: AtomicU64::new(0) }
    }

    pub(crate) fn pa(&self) -> u64 {
        self.page.as_ptr() as u64
    }

    /// At which guest frame it is, and whether the guest's own page is under it.
    pub(crate) fn place(&self) -> Option<(u64, bool)> {
        let word = self.frame.load(Ordering::Relaxed);
        Some(((word & !COVERS).checked_sub(1)?, word & COVERS != 0))
    }

    pub(crate) fn set_place(&self, place: Option<(u64, bool)>) {
        let word = place.map_or(0, |(frame, covers)| (frame + 1) | if covers { COVERS } else { 0 });
        self.frame.store(word, Ordering::Relaxed);
    }
}

/// By which vectors events interrupt a domain's vCPUs; 0 is none.
pub struct EventVectors {
    /// Of all vCPUs, delivered past the local APIC (`HVM_PARAM_CALLBACK_IRQ`).
    pub callback: AtomicU8,
    /// Of each, delivered by its local APIC (`HVMOP_set_evtchn_upcall_vector`).
    pub upcalls: [AtomicU8; MAX_VCPUS_PER_DOMAIN],
}

impl EventVectors {
    /// None.
    pub const fn new() -> Self {
        Self { callback: AtomicU8::new(0), upcalls: [const { AtomicU8::new(0) }; MAX_VCPUS_PER_DOMAIN] }
    }

    fn clear(&self) {
        self.callback.store(0, Ordering::Relaxed);
        self.upcalls.iter().for_each(|vector| vector.store(0, Ordering::Relaxed));
    }
}

impl Default for EventVectors {
    fn default() -> Self {
        Self::new()
    }
}

/// One domain.
pub struct X86Domain {
    /// Its index, by which the log knows its console and [`tlb`] its translations.
    pub number: usize,
    /// Root of the second stage, physical.
    pub root: u64,
    /// Where an address leads, at a glance.
    pub lookup: Lookup,
    /// The second-stage tables.
    pub nested: Lock<Nested>,
    /// The guest's RAM.
    pub memory: GuestMemory,
    /// The shared-info page.
    pub shared_info: Lent,
    /// What it has in common with an I/O domain: its console's page and xenstore's.
    pub io_pages: Option<&'static [Page; 2]>,
    /// The grant table.
    pub grants: [Lent; GRANT_FRAMES],
    /// What pages of others lead to once those are gone: the domain's own, and worth nothing.
    pub spare: &'static Page,
    /// How events reach it.
    pub events: EventVectors,
    /// Interrupts that vCPUs have for each other.
    pub posted: [Posted; MAX_VCPUS_PER_DOMAIN],
    /// The serial port that the guest sees.
    pub uart: Lock<Uart>,
    /// It gets what is typed at the machine.
    pub listens: bool,
    /// The interrupt controller for devices that the guest sees. Locked after `uart` where both are.
    pub io_apic: Lock<IoApic>,
    /// Physical address of the map of ports that leave it, where some do not.
    pub ports: Option<u64>,
    /// It configures the machine's PCI devices.
    pub configures_pci: bool,
    /// The end of an interrupt matters to it.
    pub waits_for_end: AtomicBool,
    /// How many vCPUs it has.
    pub vcpus: u8,
    /// What it starts from.
    pub images: Vec<Image, MAX_IMAGES>,
    /// What unpacks its kernel, to where the images of it are, where it is packed.
    pub packed: Option<PackedKernel>,
    /// Guest-physical entry point, and where the guest finds what it is told.
    pub start: (u64, u64),
}

impl X86Domain {
    /// The hypervisor's address of a guest-physical one that leads to memory of the domain's own now, and whether the guest
    /// may write there.
    #[inline(always)]
    pub fn resolve(&self, guest: u64) -> Result<(u64, bool), BadAddress> {
        let first = self.memory.extents.first();
        if let (Some((pa, writable)), Some(extent)) = (self.lookup.find(guest), first)
            && pa.wrapping_sub(extent.host) < extent.size
        {
            return Ok((pa.wrapping_add(DIRECT_MAP), writable));
        }
        self.resolve_again(guest)
    }

    /// The same in memory that lies elsewhere, and when nobody is changing the second stage.
    #[cold]
    #[inline(never)]
    fn resolve_again(&self, guest: u64) -> Result<(u64, bool), BadAddress> {
        let _unchanging = self.nested.lock();
        let (pa, writable) = self.lookup.find(guest).ok_or(BadAddress)?;
        let mine = |start: u64, size: u64| pa.wrapping_sub(start) < size;
        let ram = self.memory.extents.iter().any(|extent| mine(extent.host, extent.size));
        let lent = || self.lent().any(|lent| mine(lent.pa(), PAGE_SIZE));
        if ram || lent() { Ok((layout::va(pa), writable)) } else { Err(BadAddress) }
    }

    /// A page of the guest's RAM.
    pub fn page(&self, frame: u64) -> Result<&Page, BadAddress> {
        let guest = frame.checked_mul(PAGE_SIZE).ok_or(BadAddress)?;
        let (pa, left) = self.memory.host(guest).ok_or(BadAddress)?;
        if left < PAGE_SIZE {
            return Err(BadAddress);
        }
        // SAFETY: the page lies in this domain's RAM, which stays mapped in the direct map for good; any bytes are
        // valid words, and all accesses through the reference are atomic.
        Ok(unsafe { &*((pa + DIRECT_MAP) as *const Page) })
    }

    pub(crate) fn lent(&self) -> impl Iterator<Item = &Lent> {
        core::iter::once(&self.shared_info).chain(&self.grants)
    }

    /// Leaves an interrupt for vCPUs.
    pub(crate) fn post(&self, targets: u32, vector: u8) {
        let posted = (0u32..).zip(&self.posted).filter(|(index, _)| targets & 1 << index != 0);
        posted.for_each(|(_, posted)| posted.post(vector));
    }

    /// A vCPU has ended an interrupt of this vector; what follows.
    pub(crate) fn end_interrupt(&self, vector: u8) -> Effect {
        // One look, because nearly every interrupt is of somebody who does not want to know.
        if !self.waits_for_end.load(Ordering::Relaxed) {
            return Effect::None;
        }
        self.drive_io_apic(|io_apic| io_apic.end(vector))
    }

    /// Has the interrupt controller for devices do something.
    pub(crate) fn drive_io_apic(&self, act: impl FnOnce(&mut IoApic) -> Effect) -> Effect {
        let mut io_apic = self.io_apic.lock();
        let effect = act(&mut io_apic);
        let changes = io_apic.changes();
        if changes != (0, 0) {
            assigned::change(self.number, changes);
        }
        self.waits_for_end.store(io_apic.waits_for_end(), Ordering::Relaxed);
        effect
    }

    /// Takes a step of the reset. Step 0 is everything but unpacking and copying. `None` while there is more to do.
    ///
    /// # Errors
    ///
    /// A packed kernel that cannot be unpacked.
    pub fn reset(&self, step: u32) -> Result<Option<(u64, u64)>, KernelError> {
        if step == 0 {
            self.events.clear();
            self.posted.iter().for_each(Posted::clear);
            *self.uart.lock() = Uart::new();
            self.drive_io_apic(|io_apic| {
                io_apic.reset();
                Effect::None
            });
            self.forget_translations();
        }
        let Some(mut before) = self.change(|nested| nested.restore(&self.memory)) else { return Ok(None) };
        if let Some(kernel) = &self.packed {
            let unpacked = kernel.step(step.saturating_sub(before));
            let unpacked = unpacked.map_err(|damage| KernelError::Damaged { path: kernel.path(), damage })?;
            let Some(steps) = unpacked else { return Ok(None) };
            before += steps;
        }
        let mut skip = u64::from(step.saturating_sub(before)) * RESET_STEP;
        for image in &self.images {
            if skip < image.size {
                self.fill(image, skip);
                return Ok(None);
            }
            skip -= image.size.next_multiple_of(RESET_STEP);
        }
        Ok(Some(self.start))
    }

    /// Takes the hypervisor's pages out of the guest's memory and forgets every translation of the life that ended.
    fn forget_translations(&self) {
        self.change(|nested| {
            self.lent().for_each(|lent| self.take_lent(nested, lent));
            nested.begin_restoration();
        });
        tlb::invalidate(self.number);
        self.grants.iter().flat_map(|lent| lent.page).for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Fills one step's worth of an image, piece by piece where the guest's memory is in pieces.
    fn fill(&self, image: &Image, skip: u64) {
        let mut at = skip;
        let end = image.size.min(skip + RESET_STEP);
        while at < end {
            // The boot plan put every image into the guest's memory.
            let Some((pa, left)) = self.memory.host(image.to + at) else { return };
            let (size, from_file) = (left.min(end - at), image.file.saturating_sub(at));
            let size = if from_file == 0 { size } else { size.min(from_file) };
            if from_file == 0 {
                guest_memory::clear(pa, size);
            } else {
                guest_memory::load(image.from + at, pa, size);
            }
            at += size;
        }
    }
}
