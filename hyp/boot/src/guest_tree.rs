//! The device tree that a guest reads: the machine as the hypervisor shows it.
//!
//! Addresses and interrupts are those that Xen gives its guests (`public/arch-arm.h`), so that kernels, recipes and
//! expectations made for Xen's guests hold here.

use crate::Region;
use crate::entropy::SEED;
use crate::manifest::{Fixed, SharedMemory};
use crate::partial::Partial;
use crate::writer::Writer;

/// The virtual distributor, 64 KiB.
pub const GUEST_GICD: Region = Region::new(0x0300_1000, 0x1_0000);
/// The virtual redistributors: 128 KiB for each vCPU in 16 MiB.
pub const GUEST_GICR: Region = Region::new(0x0302_0000, 0x100_0000);
/// A virtual GICv2's distributor.
pub const GUEST_GICD_V2: Region = Region::new(0x0300_1000, 0x1000);
/// A virtual GICv2's CPU interface.
pub const GUEST_GICC: Region = Region::new(0x0300_2000, 0x2000);
/// The emulated PL011.
pub const GUEST_UART: Region = Region::new(0x2200_0000, 0x1000);
/// Where a guest may map grant tables and other pages of the hypervisor.
pub const GUEST_GRANTS: Region = Region::new(0x3800_0000, 0x100_0000);
/// What the guest-physical addresses below RAM are used for: nothing else may be put there.
pub(crate) const DEVICES: [Region; 3] =
    [Region::new(GUEST_GICD.start, 0x101_f000), GUEST_UART, Region::new(GUEST_GRANTS.start, 0x200_0000)];
/// PPI of the event channels; its INTID is 31.
pub const EVENT_PPI: u32 = 15;
/// PPIs of the timers: secure and non-secure physical, virtual.
pub const TIMER_PPIS: [u32; 3] = [13, 14, 11];
/// SPI of the emulated PL011; its INTID is 32.
pub const UART_SPI: u32 = 0;

/// Interrupt cells: shared, private.
const SPI: u32 = 0;
const PPI: u32 = 1;
/// Flags of a level interrupt, low and high; the upper byte names the CPUs of a PPI.
const LEVEL_LOW: u32 = 0xf08;
const LEVEL_HIGH: u32 = 0xf04;
/// The interrupt controller's handle, where no partial tree has another (`GUEST_PHANDLE_GIC` of
/// `public/device_tree_defs.h`).
const GIC_HANDLE: u32 = 65_000;

/// Which interrupt controller the guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtualGic {
    /// GICv2.
    V2,
    /// GICv3.
    V3,
}

/// The buffer was too small for the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeFull;

/// Affinity of a vCPU: 16 to a cluster, because that is what an SGI's target list reaches.
pub const fn affinity(vcpu: u32) -> u64 {
    ((vcpu & 15) | (vcpu >> 4) << 8) as u64
}

/// What a guest's tree tells.
#[derive(Clone, Copy, Debug)]
pub struct GuestTree<'t> {
    /// Ranges of RAM, guest-physical.
    pub banks: &'t [Region],
    /// Number of vCPUs.
    pub cpus: u8,
    /// The interrupt controller.
    pub gic: VirtualGic,
    /// Are there random bytes for it?
    pub seeded: bool,
    /// The command line.
    pub bootargs: &'t str,
    /// Where the ramdisk is, guest-physical.
    pub ramdisk: Option<Region>,
    /// Has it an emulated PL011?
    pub vpl011: bool,
    /// Has it a hypervisor node?
    pub enhanced: bool,
    /// Guest-physical addresses that nothing uses, at most 2 ranges: there a guest may map other guests' pages.
    pub extended: &'t [Region],
    /// Memory that it shares with other guests, and which guest it is.
    pub shared: (&'t Fixed<'t>, usize),
    /// What a tree of its own adds.
    pub partial: Option<&'t Partial<'t>>,
}

impl GuestTree<'_> {
    /// Writes the tree. Returns its size in bytes, and at which byte the seed belongs, if it has one: [`SEED`] bytes, zeros
    /// so far, at a multiple of 8.
    ///
    /// # Errors
    ///
    /// [`TreeFull`] when the buffer is too small (see [`GuestTree::room`]), or a partial tree has too many names.
    #[inline(never)]
    pub fn write(&self, buffer: &mut [u8]) -> Result<(usize, Option<usize>), TreeFull> {
        let mut tree = Writer::new(buffer);
        tree.begin("");
        tree.text("model", "Makuhari virtual machine");
        tree.text("compatible", "xen,xenvm-4.17\0xen,xenvm");
        tree.cells("#address-cells", &[2]);
        tree.cells("#size-cells", &[2]);
        tree.cells("interrupt-parent", &[self.gic_handle()]);
        let seed = self.chosen(&mut tree);
        self.cpus(&mut tree);
        for bank in self.banks {
            tree.begin_at("memory", bank.start);
            tree.text("device_type", "memory");
            registers(&mut tree, &[*bank]);
            tree.end();
        }
        self.reserved_memory(&mut tree);
        psci(&mut tree);
        self.interrupt_controller(&mut tree);
        timer(&mut tree);
        if self.vpl011 {
            uart(&mut tree);
        }
        if self.enhanced {
            self.hypervisor(&mut tree);
        }
        if let Some(partial) = self.partial {
            partial.write(&mut tree);
        }
        tree.end();
        Ok((tree.finish().ok_or(TreeFull)?, seed))
    }

    /// Bytes that are enough for it.
    pub fn room(&self) -> usize {
        let own =
            2048usize.saturating_add(self.bootargs.len()).saturating_add(usize::from(self.cpus).saturating_mul(128));
        let shared = self.shared().count().saturating_mul(192);
        own.saturating_add(shared).saturating_add(self.partial.map_or(0, |partial| partial.size))
    }

    fn shared(&self) -> impl Iterator<Item = &SharedMemory<'_>> {
        let (fixed, domain) = self.shared;
        // The I/O domain's is found by parameters, as on Xen.
        fixed.shared_of(domain).filter(|view| !view.id.is_empty())
    }

    fn gic_handle(&self) -> u32 {
        self.partial.and_then(|partial| partial.gic).unwrap_or(GIC_HANDLE)
    }

    /// Returns where the seed belongs.
    fn chosen(&self, tree: &mut Writer<'_>) -> Option<usize> {
        tree.begin("chosen");
        let seed = self.seeded.then(|| tree.aligned_property("rng-seed", &[0; SEED]));
        tree.text("bootargs", self.bootargs);
        if let Some(ramdisk) = self.ramdisk {
            tree.property("linux,initrd-start", &ramdisk.start.to_be_bytes());
            tree.property("linux,initrd-end", &ramdisk.end().to_be_bytes());
        }
        if self.vpl011 {
            tree.text("stdout-path", "/sbsa-uart@22000000");
        }
        tree.end();
        seed
    }

    fn cpus(&self, tree: &mut Writer<'_>) {
        tree.begin("cpus");
        tree.cells("#address-cells", &[1]);
        tree.cells("#size-cells", &[0]);
        for cpu in 0..u32::from(self.cpus) {
            tree.begin_at("cpu", affinity(cpu));
            tree.text("device_type", "cpu");
            tree.text("compatible", "arm,armv8");
            tree.cells("reg", &[affinity(cpu) as u32]);
            tree.text("enable-method", "psci");
            tree.end();
        }
        tree.end();
    }

    /// Shared memory, as Linux's binding `xen,shared-memory-v1` has it.
    fn reserved_memory(&self, tree: &mut Writer<'_>) {
        if self.shared().next().is_none() {
            return;
        }
        tree.begin("reserved-memory");
        tree.cells("#address-cells", &[2]);
        tree.cells("#size-cells", &[2]);
        tree.property("ranges", &[]);
        for view in self.shared() {
            tree.begin_at("xen-shmem", view.guest.start);
            tree.text("compatible", "xen,shared-memory-v1");
            registers(tree, &[view.guest]);
            tree.text("xen,id", view.id);
            tree.end();
        }
        tree.end();
    }

    fn hypervisor(&self, tree: &mut Writer<'_>) {
        // Without an address in its name, as Linux looks for it.
        tree.begin("hypervisor");
        tree.text("compatible", "xen,xen-4.17\0xen,xen");
        let mut regions: heapless::Vec<Region, 3> = heapless::Vec::new();
        // Cannot fail: there are no more than two of the others.
        let _ = regions.push(GUEST_GRANTS);
        let _ = regions.extend_from_slice(self.extended);
        registers(tree, &regions);
        tree.cells("interrupts", &[PPI, EVENT_PPI, LEVEL_LOW]);
        tree.end();
    }

    fn interrupt_controller(&self, tree: &mut Writer<'_>) {
        tree.begin_at("interrupt-controller", GUEST_GICD.start);
        match self.gic {
            VirtualGic::V3 => {
                tree.text("compatible", "arm,gic-v3");
                registers(tree, &[GUEST_GICD, GUEST_GICR]);
            }
            VirtualGic::V2 => {
                tree.text("compatible", "arm,gic-400");
                registers(tree, &[GUEST_GICD_V2, GUEST_GICC]);
            }
        }
        tree.property("interrupt-controller", &[]);
        tree.cells("#interrupt-cells", &[3]);
        tree.cells("#address-cells", &[0]);
        tree.cells("phandle", &[self.gic_handle()]);
        tree.end();
    }
}

fn psci(tree: &mut Writer<'_>) {
    tree.begin("psci");
    tree.text("compatible", "arm,psci-1.0\0arm,psci-0.2");
    tree.text("method", "hvc");
    tree.end();
}

fn timer(tree: &mut Writer<'_>) {
    let [secure, physical, virtual_] = TIMER_PPIS;
    tree.begin("timer");
    tree.text("compatible", "arm,armv8-timer");
    tree.cells("interrupts", &[PPI, secure, LEVEL_LOW, PPI, physical, LEVEL_LOW, PPI, virtual_, LEVEL_LOW]);
    tree.property("always-on", &[]);
    tree.end();
}

fn uart(tree: &mut Writer<'_>) {
    tree.begin_at("sbsa-uart", GUEST_UART.start);
    tree.text("compatible", "arm,sbsa-uart");
    registers(tree, &[GUEST_UART]);
    tree.cells("interrupts", &[SPI, UART_SPI, LEVEL_HIGH]);
    tree.cells("current-speed", &[115_200]);
    tree.end();
}

/// A `reg` of addresses and sizes of two cells each.
fn registers(tree: &mut Writer<'_>, regions: &[Region]) {
    let mut value: heapless::Vec<u8, 48> = heapless::Vec::new();
    for number in regions.iter().flat_map(|region| [region.start, region.size]) {
        // No node has more than three ranges, which is 48 bytes.
        let _ = value.extend_from_slice(&number.to_be_bytes());
    }
    tree.property("reg", &value);
}
