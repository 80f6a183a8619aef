//! The device tree: what the machine is made of, read once into a [`Machine`].

use core::str;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::standard::NodeStandard;
use dtoolkit::{Node, Property};
use spin::Once;

use crate::console;
use crate::cpu::MAX;
use crate::gic::Gic;

/// What the tree says of this machine.
#[derive(Debug)]
pub struct Machine {
    /// RAM: first address, first address behind.
    pub memory: (usize, usize),
    /// The tree itself: first address, first address behind.
    pub device_tree: (usize, usize),
    /// `/chosen/bootargs`, empty where absent.
    pub bootargs: &'static str,
    /// The RAM disk.
    pub initrd: Option<&'static [u8]>,
    /// Interrupt controller.
    pub gic: Option<Gic>,
    /// Is there a `hypervisor` node compatible with `xen,xen`?
    pub hypervisor: bool,
    /// The PL011 of `/chosen/stdout-path`, or else the SBSA UART, which Xen gives without such a path.
    pub uart: Option<usize>,
    /// Its INTID; 0 where it has none.
    pub uart_intid: u32,
    /// INTID of the virtual timer.
    pub timer_intid: u32,
    /// INTID of the event-channel interrupt.
    pub event_intid: u32,
    mpidrs: [u64; MAX],
    cpu_count: usize,
    tree: Fdt<'static>,
}

static MACHINE: Once<Machine> = Once::new();

impl Machine {
    /// MPIDR affinities of the vCPUs, in the tree's order.
    pub fn cpus(&self) -> &[u64] {
        self.mpidrs.get(..self.cpu_count).unwrap_or_default()
    }

    /// The value of a property of the node with this full path.
    pub fn property(&self, path: &str, name: &str) -> Option<&'static [u8]> {
        bytes(self.tree.find_node(path)?, name)
    }

    /// Memory that other guests share, by what they call it (Linux' binding `xen,shared-memory-v1`): first address, first
    /// address behind.
    pub fn shared_memory(&self, id: &str) -> Option<(usize, usize)> {
        let mut nodes = self.tree.find_node("/reserved-memory")?.children();
        let node =
            nodes.find(|node| node.is_compatible("xen,shared-memory-v1") && text(*node, "xen,id") == Some(id))?;
        reg(node, 0).map(|(start, size)| (start, start + size))
    }

    /// Where this machine's RAM begins.
    pub const fn ram_start(&self) -> usize {
        self.memory.0
    }

    /// Devices of this kind, of the root or of a bus there: first address, bytes, and INTID. A node with several interrupts
    /// has as many devices, one behind the other.
    pub fn devices(&self, compatible: &'static str) -> impl Iterator<Item = (usize, usize, u32)> {
        let root = self.tree.root();
        let nodes = root.children().flat_map(|node| core::iter::once(node).chain(node.children()));
        let nodes = nodes.filter(move |node| node.is_compatible(compatible));
        nodes.flat_map(|node| {
            let (start, size) = reg(node, 0).unwrap_or_default();
            let count = (0..).map_while(|index| intid(node, index)).count();
            let each = size / count.max(1);
            (0..count).filter_map(move |index| Some((start + index * each, each, intid(node, index)?)))
        })
    }

    /// Where what the loader tells has to stay.
    pub(crate) fn told(&self) -> (usize, usize) {
        self.device_tree
    }
}

/// Read the tree at `address`. Without a readable tree there is nobody to tell but a hypervisor.
pub(crate) fn read(address: usize) -> &'static Machine {
    // SAFETY: the boot protocol puts the tree's address into x0; the loader wrote it into RAM that is mapped and that
    // nothing here writes. The header's size field is checked by from_raw before the rest is read.
    let tree = match unsafe { Fdt::from_raw(address as *const u8) } {
        Ok(tree) => tree,
        Err(error) => {
            console::assume_hypervisor();
            crate::println!("device tree at {address:#x} (x0 at entry): {error}");
            crate::power::crash()
        }
    };
    MACHINE.call_once(|| describe(tree, address))
}

/// The machine; [`crate::entry!`]'s function has been given it before anybody can ask.
pub fn machine() -> Option<&'static Machine> {
    MACHINE.get()
}

fn describe(tree: Fdt<'static>, address: usize) -> Machine {
    let root = tree.root();
    let chosen = tree.find_node("/chosen");
    let hypervisor = root.child("hypervisor").filter(|node| node.is_compatible("xen,xen"));
    let (mpidrs, cpu_count) = cpus(&tree);
    let mut machine = Machine {
        memory: memory(root),
        device_tree: (address, address + tree.data().len()),
        bootargs: chosen.and_then(|node| text(node, "bootargs")).unwrap_or_default(),
        initrd: None,
        gic: gic(root),
        hypervisor: hypervisor.is_some(),
        uart: chosen
            .and_then(|node| text(node, "stdout-path"))
            .and_then(|path| uart(&tree, path))
            .or_else(|| sbsa(root)),
        uart_intid: 0,
        // The timer's interrupts: secure, non-secure, virtual, hypervisor.
        timer_intid: root.find_compatible("arm,armv8-timer").next().and_then(|node| intid(node, 2)).unwrap_or(27),
        event_intid: hypervisor.and_then(|node| intid(node, 0)).unwrap_or(31),
        mpidrs,
        cpu_count,
        tree,
    };
    machine.uart_intid = ["arm,sbsa-uart", "arm,pl011"]
        .into_iter()
        .filter_map(|kind| root.find_compatible(kind).find(|node| reg(*node, 0).map(|reg| reg.0) == machine.uart))
        .find_map(|node| intid(node, 0))
        .unwrap_or(0);
    machine.initrd = chosen.and_then(|node| initrd(node, machine.memory));
    machine
}

fn bytes(node: FdtNode<'static>, name: &str) -> Option<&'static [u8]> {
    node.property(name)?.value_as().ok()
}

fn text(node: FdtNode<'static>, name: &str) -> Option<&'static str> {
    str::from_utf8(bytes(node, name)?.strip_suffix(&[0])?).ok()
}

/// A property of 4 or 8 bytes.
fn number(node: FdtNode<'static>, name: &str) -> Option<u64> {
    let value = bytes(node, name)?;
    match value.len() {
        4 => Some(u64::from(u32::from_be_bytes(value.try_into().ok()?))),
        8 => Some(u64::from_be_bytes(value.try_into().ok()?)),
        _ => None,
    }
}

/// Entry `index` of a node's `reg`: address and size.
fn reg(node: FdtNode<'static>, index: usize) -> Option<(usize, usize)> {
    let entry = node.reg().ok()??.nth(index)?;
    Some((entry.address::<u64>().ok()? as usize, entry.size::<u64>().unwrap_or(0) as usize))
}

/// The first bank of RAM.
fn memory(root: FdtNode<'static>) -> (usize, usize) {
    let node = root.children().find(|node| node.name_without_address() == "memory");
    node.and_then(|node| reg(node, 0)).map_or((0, 0), |(start, size)| (start, start + size))
}

fn gic(root: FdtNode<'static>) -> Option<Gic> {
    let find = |names: [&str; 2]| names.iter().find_map(|name| root.find_compatible(name).next());
    if let Some(node) = find(["arm,gic-v3", "arm,gic-v3"]) {
        let ((distributor, _), (redistributors, redistributor_bytes)) = (reg(node, 0)?, reg(node, 1)?);
        return Some(Gic::V3 { distributor, redistributors, redistributor_bytes });
    }
    let node = find(["arm,gic-400", "arm,cortex-a15-gic"])?;
    Some(Gic::V2 { distributor: reg(node, 0)?.0, interface: reg(node, 1)?.0 })
}

/// INTID of entry `index` of `interrupts`, three cells each: 0 shared or 1 private, number, flags.
fn intid(node: FdtNode<'static>, index: usize) -> Option<u32> {
    let entry = bytes(node, "interrupts")?.chunks_exact(12).nth(index)?;
    let cell = |at: usize| Some(u32::from_be_bytes(entry.get(at..at + 4)?.try_into().ok()?));
    match cell(0)? {
        0 => Some(32 + cell(4)?),
        1 => Some(16 + cell(4)?),
        _ => None,
    }
}

fn uart(tree: &Fdt<'static>, path: &'static str) -> Option<usize> {
    let path = path.split(':').next()?;
    let path = if path.starts_with('/') { path } else { text(tree.find_node("/aliases")?, path)? };
    let node = tree.find_node(path)?;
    if node.is_compatible("arm,pl011") || node.is_compatible("arm,sbsa-uart") {
        reg(node, 0).map(|reg| reg.0)
    } else {
        None
    }
}

fn sbsa(root: FdtNode<'static>) -> Option<usize> {
    reg(root.find_compatible("arm,sbsa-uart").next()?, 0).map(|reg| reg.0)
}

fn cpus(tree: &Fdt<'static>) -> ([u64; MAX], usize) {
    let mut mpidrs = [0; MAX];
    let mut count = 0;
    let nodes = tree.find_node("/cpus").into_iter().flat_map(|node| node.children());
    for node in nodes.filter(|node| node.name_without_address() == "cpu") {
        if let (Some(slot), Some((mpidr, _))) = (mpidrs.get_mut(count), reg(node, 0)) {
            *slot = mpidr as u64;
            count += 1;
        }
    }
    (mpidrs, count)
}

fn initrd(chosen: FdtNode<'static>, memory: (usize, usize)) -> Option<&'static [u8]> {
    let start = number(chosen, "linux,initrd-start")? as usize;
    let end = number(chosen, "linux,initrd-end")? as usize;
    if start < memory.0 || end > memory.1 || start >= end {
        return None;
    }
    // SAFETY: inside RAM as just checked, written by the loader before the start, and left alone by the heap; the image
    // does not overlap it, or the loader would have destroyed one of them.
    Some(unsafe { core::slice::from_raw_parts(start as *const u8, end - start) })
}
