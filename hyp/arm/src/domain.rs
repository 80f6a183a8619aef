//! What a domain is on this port: its memory, its second stage, its interrupt controller, and the images it starts from.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use aarch64_cpu::registers::{VTTBR_EL2, Writeable};
use heapless::Vec;
use hyp_boot::BootError;
use hyp_boot::entropy::SEED;
use hyp_boot::plan::GuestMemory;
use hyp_core::arch::{BadAddress, Page, VcpuMask};
use hyp_core::limits::{GRANT_FRAMES, MAX_CPUS};
use hyp_dev::timer;

use crate::devices;
use crate::entropy;
use crate::guest_memory;
use crate::kernel::PackedKernel;
use crate::layout::{self, DIRECT_MAP, PAGE_SIZE};
use crate::lock::Lock;
use crate::percpu;
use crate::stage2::Stage2;
use crate::tlb;
use crate::vgic::Vgic;
use crate::vpl011::Vpl011;

/// Bytes copied in one step of a domain's reset, so that a reset never holds a CPU for long.
const RESET_STEP: u64 = 16 * 1024;

/// Where the second kind of marks begins in [`ArmDomain::stale`].
const NEWS: u32 = 16;

/// Both marks of a vCPU.
const fn both_marks(index: u8) -> u32 {
    (1 | 1 << NEWS) << (index % NEWS as u8)
}

/// A piece of memory that a start or restart of a domain copies into it.
#[derive(Clone, Copy)]
pub struct Image {
    /// Where the pristine copy lies, physical.
    pub from: u64,
    /// Where the guest finds it, guest-physical.
    pub to: u64,
    /// Bytes.
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
        layout::image_pa(self.page.as_ptr() as u64)
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

/// One domain.
pub struct ArmDomain {
    /// How many vCPUs it has.
    pub vcpus: u8,
    /// VTTBR_EL2: root table and VMID.
    pub vttbr: u64,
    /// The second-stage tables.
    pub stage2: Lock<Stage2>,
    /// The interrupt controller that the guest sees.
    pub vgic: &'static Lock<Vgic>,
    /// vCPUs whose list registers no longer say what `vgic` says; from bit [`NEWS`] on, those for which something is to be
    /// added to them.
    pub stale: AtomicU32,
    /// The serial port that the guest sees, if it has one. Locked before `vgic` where both are.
    pub vpl011: Option<Lock<Vpl011>>,
    /// Its number, by which the log knows its console.
    pub number: usize,
    /// Ticks between the machine's counter and the domain's.
    pub clock_offset: AtomicU64,
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
    /// On each CPU, the vCPU of this domain that ran there last, plus 1.
    pub last_ran: [AtomicU8; MAX_CPUS],
    /// What it starts from: kernel, device tree, ramdisk.
    pub images: Vec<Image, 3>,
    /// Its kernel where it is packed, and so none of the images.
    pub packed: Option<PackedKernel>,
    /// Guest-physical entry point and device tree.
    pub start: (u64, u64),
    /// Where each life's random bytes belong, guest-physical: a multiple of 8.
    pub seed: Option<u64>,
}

impl ArmDomain {
    /// The hypervisor's address of a physical address that belongs to the domain.
    #[inline(always)]
    pub fn reach(&self, pa: u64) -> Result<u64, BadAddress> {
        self.reach_in_first(pa).or_else(|BadAddress| self.reach_elsewhere(pa))
    }

    /// The same in the first piece of the guest's memory; nearly every guest has it all in one.
    #[inline(always)]
    pub(crate) fn reach_in_first(&self, pa: u64) -> Result<u64, BadAddress> {
        match self.memory.extents.first() {
            Some(extent) if pa.wrapping_sub(extent.host) < extent.size => Ok(pa.wrapping_add(DIRECT_MAP)),
            _ => Err(BadAddress),
        }
    }

    #[cold]
    #[inline(never)]
    fn reach_elsewhere(&self, pa: u64) -> Result<u64, BadAddress> {
        let mine = |start: u64, size: u64| pa >= start && pa - start < size;
        let ram = self.memory.extents.iter().any(|extent| mine(extent.host, extent.size));
        let lent = self.lent().any(|lent| mine(lent.pa(), PAGE_SIZE));
        if ram || lent { Ok(layout::va(pa)) } else { Err(BadAddress) }
    }

    /// A page of the guest's RAM.
    pub fn page(&self, frame: u64) -> Result<&Page, BadAddress> {
        let ipa = frame.checked_mul(PAGE_SIZE).ok_or(BadAddress)?;
        let (pa, left) = self.memory.host(ipa).ok_or(BadAddress)?;
        if left < PAGE_SIZE {
            return Err(BadAddress);
        }
        // SAFETY: the page lies in this domain's RAM, which stays mapped in the direct map for good; any bytes are
        // valid words, and all accesses through the reference are atomic.
        Ok(unsafe { &*(pa.wrapping_add(DIRECT_MAP) as *const Page) })
    }

    pub(crate) fn lent(&self) -> impl Iterator<Item = &Lent> {
        core::iter::once(&self.shared_info).chain(&self.grants)
    }

    /// Makes this domain's second stage the processor's, for one of its vCPUs. Two vCPUs of a domain may use one address
    /// space number for different tables, and TLBs know only domains: when another one ran here last, what it left is
    /// forgotten.
    pub fn load_translations(&self, index: u8) {
        VTTBR_EL2.set(self.vttbr);
        let (ran, mine) = (self.last_ran.get(usize::from(percpu::number())), index.wrapping_add(1));
        // Only this CPU touches it.
        if let Some(ran) = ran.filter(|ran| ran.load(Ordering::Relaxed) != mine) {
            ran.store(mine, Ordering::Relaxed);
            tlb::invalidate_guest_here();
        }
    }

    /// Must this vCPU's list registers be made anew?
    #[inline(always)]
    pub fn is_stale(&self, index: u8) -> bool {
        self.stale.load(Ordering::Acquire) & both_marks(index) != 0
    }

    /// Marks vCPUs that have new interrupts to be shown, and none that is shown without reason.
    pub fn mark_news(&self, vcpus: VcpuMask) {
        self.stale.fetch_or(vcpus << NEWS, Ordering::Release);
    }

    /// Takes a vCPU's marks away. Returns whether its list registers must be made anew.
    pub fn take_marks(&self, index: u8) -> bool {
        self.stale.fetch_and(!both_marks(index), Ordering::AcqRel) & 1u32.wrapping_shl(index.into()) != 0
    }

    /// Marks vCPUs whose list registers must be made anew.
    pub fn mark_stale(&self, vcpus: VcpuMask) {
        self.stale.fetch_or(vcpus, Ordering::Release);
    }

    /// The same for one vCPU.
    pub fn mark_one_stale(&self, index: u8) {
        self.mark_stale(1u32.wrapping_shl(index.into()));
    }

    /// Takes a step of the reset. Step 0 is everything but unpacking and copying. `None` while there is more to do.
    ///
    /// # Errors
    ///
    /// A packed kernel that cannot be unpacked.
    pub fn reset(&self, step: u32) -> Result<Option<(u64, u64)>, BootError<'static>> {
        if step == 0 {
            self.silence();
            if let Some(port) = &self.vpl011 {
                *port.lock() = Vpl011::new();
            }
            self.stale.store(0, Ordering::Relaxed);
            self.forget_translations();
            self.clock_offset.store(timer::counter(), Ordering::Relaxed);
            return Ok(None);
        }
        let step = step - 1;
        // One with each step.
        if let Some(page) = self.grants.get(step as usize).map(|lent| lent.page) {
            page.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        let Some(mut before) = self.change(|stage2| stage2.restore(&self.memory)) else { return Ok(None) };
        if let Some(kernel) = &self.packed {
            let unpacked = kernel.step(step.saturating_sub(before));
            let unpacked = unpacked.map_err(|what| BootError::NotAnImage { path: kernel.path(), what })?;
            let Some(steps) = unpacked else { return Ok(None) };
            before += steps;
        }
        let mut skip = u64::from(step.saturating_sub(before)) * RESET_STEP;
        for image in &self.images {
            if skip < image.size {
                self.copy(image, skip);
                return Ok(None);
            }
            skip -= image.size.next_multiple_of(RESET_STEP);
        }
        // The first step behind the last image's is for this alone.
        if skip == 0 {
            self.plant_seed();
            return Ok(None);
        }
        Ok((step as usize >= self.grants.len()).then_some(self.start))
    }

    /// Resets its interrupt controller while none of its vCPUs runs, so that its devices are silent too.
    pub(crate) fn silence(&self) {
        let mut vgic = self.vgic.lock();
        vgic.reset();
        devices::settle(&mut vgic);
    }

    /// Puts new random bytes into the guest's device tree.
    fn plant_seed(&self) {
        let Some((at, seed)) = self.seed.zip(entropy::draw()) else { return };
        let Ok(page) = self.page(at / PAGE_SIZE) else { return };
        let (words, _) = seed.as_chunks();
        let places = page.iter().skip((at % PAGE_SIZE / 8) as usize);
        places.zip(words).for_each(|(place, word)| place.store(u64::from_ne_bytes(*word), Ordering::Relaxed));
        guest_memory::publish(page.as_ptr() as u64 + at % PAGE_SIZE, SEED as u64);
    }

    /// Takes the hypervisor's pages out of the guest's memory and forgets every translation of the life that ended.
    fn forget_translations(&self) {
        self.change(|stage2| {
            self.lent().for_each(|lent| self.take_lent(stage2, lent));
            stage2.begin_restoration();
            tlb::invalidate_guest();
        });
    }

    /// Copies one step's worth of an image, piece by piece where the guest's memory is in pieces.
    fn copy(&self, image: &Image, skip: u64) {
        let mut at = skip;
        let end = image.size.min(skip + RESET_STEP);
        while at < end {
            // The boot plan put every image into the guest's memory.
            let Some((pa, left)) = self.memory.host(image.to + at) else { return };
            let size = left.min(end - at);
            guest_memory::load(image.from + at, pa, size);
            at += size;
        }
    }
}
