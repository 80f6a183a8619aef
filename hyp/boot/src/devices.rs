//! Devices that guests are given: registers in their address space, and interrupts.
//!
//! A guest's partial tree says which, in Xen's words (`docs/misc/arm/passthrough.txt`): below `/passthrough`, a node with
//! `xen,reg = <host-address size guest-address>` has these registers, and the interrupts of the node that `xen,path` names in
//! the loader's tree, or without one its own. Nothing keeps such a device from memory that is not its guest's, which
//! `xen,force-assign-without-iommu` admits.

use heapless::Vec;

use crate::guest_tree::{DEVICES, UART_SPI};
use crate::limits::{MAX_DEVICE_INTERRUPTS, MAX_DEVICE_REGISTERS};
use crate::machine::{Gic, Machine};
use crate::manifest::fixed::GUEST_END;
use crate::manifest::{DomainSpec, Fixed};
use crate::partial::{DEPTH, Partial};
use crate::plan::{Extent, GuestMemory};
use crate::region::{align_down, align_up};
use crate::tree::{self, Device, Spot, number};
use crate::{BootError, Region};

const PAGE: u64 = 4096;
/// Properties by which a node gives a device; they are for us alone.
pub(crate) const PROPERTIES: [&str; 3] = ["xen,reg", "xen,path", "xen,force-assign-without-iommu"];
/// The first SPI, and how many a guest can have.
const SPIS: core::ops::Range<u32> = 32..288;

/// All devices that guests are given, each thing with the index of its guest.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    registers: Vec<(u8, Extent), MAX_DEVICE_REGISTERS>,
    interrupts: Vec<(u8, u32), MAX_DEVICE_INTERRUPTS>,
}

/// Who gets a device, and what else it and the machine have.
pub struct Recipient<'r, 'a> {
    /// The machine.
    pub machine: &'r Machine<'a>,
    /// The guest.
    pub spec: &'r DomainSpec<'a>,
    /// Its index.
    pub domain: usize,
    /// Its memory.
    pub memory: &'r GuestMemory,
    /// What is fixed before it runs.
    pub fixed: &'r Fixed<'a>,
}

impl Devices {
    /// Registers of a guest's devices, whole pages.
    pub fn registers_of(&self, domain: usize) -> impl Iterator<Item = &Extent> + Clone {
        self.registers.iter().filter(move |(owner, _)| usize::from(*owner) == domain).map(|(_, extent)| extent)
    }

    /// INTIDs of a guest's devices, all of them SPIs.
    pub fn interrupts_of(&self, domain: usize) -> impl Iterator<Item = u32> {
        self.interrupts.iter().filter(move |(owner, _)| usize::from(*owner) == domain).map(|(_, intid)| *intid)
    }

    /// Notes the devices that a partial tree gives to its guest.
    ///
    /// # Errors
    ///
    /// [`BootError::Device`] for one that it cannot have.
    #[inline(never)]
    pub fn read<'a>(&mut self, partial: &Partial<'a>, to: &Recipient<'_, 'a>) -> Result<(), BootError<'a>> {
        let Some(passthrough) = partial.passthrough else { return Ok(()) };
        self.read_below(partial, passthrough, to, DEPTH)
    }

    fn read_below<'a>(
        &mut self,
        partial: &Partial<'a>,
        node: Spot<'a>,
        to: &Recipient<'_, 'a>,
        levels: usize,
    ) -> Result<(), BootError<'a>> {
        self.read_device(partial, &node, to).map_err(|what| BootError::Device {
            path: partial.module,
            node: node.path,
            what,
        })?;
        // The tree has no more levels than that.
        let Some(levels) = levels.checked_sub(1) else { return Ok(()) };
        node.children()?.try_for_each(|child| self.read_below(partial, child, to, levels))
    }

    /// Out of line, because what is around it is on the stack once for each level.
    #[inline(never)]
    fn read_device<'a>(
        &mut self,
        partial: &Partial<'a>,
        node: &Spot<'a>,
        to: &Recipient<'_, 'a>,
    ) -> Result<(), &'static str> {
        if PROPERTIES.iter().all(|name| node.value(name).is_none()) {
            return Ok(());
        }
        let registers = node.value("xen,reg").ok_or(WANT_REGISTERS)?;
        if node.value(PROPERTIES[2]).is_none() {
            return Err("lacks xen,force-assign-without-iommu: nothing keeps its DMA from others' memory");
        }
        let (address, size) = (usize::from(node.cells.address) * 4, usize::from(node.cells.size) * 4);
        let mut entries = registers.chunks_exact((2 * address + size).max(1));
        for entry in &mut entries {
            let extent = extent(entry, address, size).ok_or(WANT_REGISTERS)?;
            self.add_registers(extent, to)?;
        }
        if !entries.remainder().is_empty() {
            return Err(WANT_REGISTERS);
        }
        let Some(path) = node.value("xen,path") else {
            let parent = node.value("interrupt-parent").or(partial.interrupt_parent).and_then(number);
            return match parent == partial.gic.map(u64::from) {
                true => self.add_interrupts(&Device::alone(*node), to),
                false => Ok(()),
            };
        };
        let device = host_device(to.machine, path).ok_or("has an xen,path that names no node of the loader's tree")?;
        self.add_interrupts(&device, to)
    }

    fn add_registers(&mut self, extent: Extent, to: &Recipient<'_, '_>) -> Result<(), &'static str> {
        let Recipient { machine, domain, memory, fixed, .. } = *to;
        let (host, guest) = sides(&extent);
        if is_own(machine, &host) {
            return Err("has host addresses in xen,reg that are RAM, or a device of the hypervisor's");
        }
        let ram = memory.extents.iter().map(|extent| sides(extent).1);
        let mut used = ram.chain(fixed.shared_of(domain).map(|view| view.guest)).chain(DEVICES);
        if used.any(|used| used.overlaps(&guest)) || guest.end() > GUEST_END {
            return Err(WANT_FREE);
        }
        let is_own = |owner: u8| usize::from(owner) == domain;
        for (owner, other) in &self.registers {
            let (others_host, others_guest) = sides(other);
            if !is_own(*owner) && others_host.overlaps(&host) {
                return Err("has a page in xen,reg that another guest has");
            }
            if is_own(*owner) && !are_alike(other, &extent) && others_guest.overlaps(&guest) {
                return Err(WANT_FREE);
            }
        }
        // What a guest is given twice, or piece by piece, is one.
        let (mut start, mut end) = (host.start, host.end());
        let joins = |(owner, other): &(u8, Extent), start, end| {
            is_own(*owner) && are_alike(other, &extent) && other.host <= end && start <= sides(other).0.end()
        };
        while let Some(index) = self.registers.iter().position(|entry| joins(entry, start, end)) {
            let (_, other) = self.registers.swap_remove(index);
            (start, end) = (start.min(other.host), end.max(sides(&other).0.end()));
        }
        let guest = guest.start.wrapping_sub(host.start.wrapping_sub(start));
        let all = Extent { guest, host: start, size: end.saturating_sub(start) };
        self.registers.push((domain as u8, all)).map_err(|_| "is one more than there is room for")
    }

    fn add_interrupts(&mut self, device: &Device<'_>, to: &Recipient<'_, '_>) -> Result<(), &'static str> {
        const CELLS: usize = 12;
        let own = to.machine.uart.as_ref().and_then(|uart| uart.interrupt);
        let bytes = device.spot.value("interrupts").map_or(0, <[u8]>::len);
        for index in 0..bytes.div_ceil(CELLS) {
            let is_spi = |intid: &u32| SPIS.contains(intid) && bytes.is_multiple_of(CELLS);
            let intid = device.interrupt(index).filter(is_spi);
            let intid = intid.ok_or("has an interrupt that is no SPI of the interrupt controller, 0 to 255")?;
            let taken = self.interrupts.iter().find(|(_, other)| *other == intid).map(|(owner, _)| usize::from(*owner));
            if Some(intid) == own || to.spec.vpl011 && intid == 32 + UART_SPI || taken.is_some_and(|by| by != to.domain)
            {
                return Err("has an interrupt that is the hypervisor's, another guest's, or the guest's vpl011's");
            }
            if taken.is_none() {
                let full = "has more interrupts than there is room for";
                self.interrupts.push((to.domain as u8, intid)).map_err(|_| full)?;
            }
        }
        Ok(())
    }
}

const WANT_REGISTERS: &str = "needs xen,reg = <host-address size guest-address>, as wide as its parent says, of no size 0, both \
                              addresses alike below 4 KiB";

/// Host and guest addresses.
const fn sides(extent: &Extent) -> (Region, Region) {
    (Region::new(extent.host, extent.size), Region::new(extent.guest, extent.size))
}

/// Are host and guest addresses as far apart?
const fn are_alike(one: &Extent, other: &Extent) -> bool {
    one.host.wrapping_sub(one.guest) == other.host.wrapping_sub(other.guest)
}

const WANT_FREE: &str = "has guest addresses in xen,reg where the guest has other things, or can have none";

/// The pages that an entry of `xen,reg` is about.
fn extent(entry: &[u8], address: usize, size: usize) -> Option<Extent> {
    let (host, rest) = entry.split_at_checked(address)?;
    let (size, guest) = rest.split_at_checked(size)?;
    let (host, size, guest) = (number(host)?, number(size)?, number(guest)?);
    let end = align_up(host.checked_add(size)?, PAGE)?;
    if size == 0 || host % PAGE != guest % PAGE {
        return None;
    }
    let (host, guest) = (align_down(host, PAGE), align_down(guest, PAGE));
    Some(Extent { guest, host, size: end.checked_sub(host)? })
}

/// The node that `xen,path` names.
fn host_device<'a>(machine: &Machine<'a>, path: &'a [u8]) -> Option<Device<'a>> {
    let path = tree::text(path).filter(|path| path.starts_with('/'))?;
    Device::at_path(machine.chosen?.root(), path).ok()?
}

/// Is there something that nobody can be given: RAM, or registers of a device that the hypervisor drives itself?
fn is_own(machine: &Machine<'_>, host: &Region) -> bool {
    let among = |regions: &[Region]| regions.iter().any(|region| region.overlaps(host));
    let of_gic = match &machine.gic {
        Gic::V3(gic) => gic.distributor.overlaps(host) || among(&gic.redistributors),
        Gic::V2(gic) => among(&[gic.distributor, gic.cpu, gic.hypervisor, gic.virtual_cpu]),
    };
    of_gic || among(&machine.ram) || machine.uart.as_ref().is_some_and(|uart| uart.registers.overlaps(host))
}
