//! What the tree says of devices: of each guest, which it is to have, and of the I/O domain, which of the machine's it gets to
//! serve them with.
//!
//! The I/O domain tells devices where its memory is, and there is no IOMMU in between: so it has one piece of memory at a known
//! place. What must outlive a crash of it is in shared memory that nobody shares, which no restart touches.

use anyhow::Result;
use dtoolkit::model::DeviceTreeNode;

use super::layout::Layout;
use super::{cells, set, strings};
use crate::board::Board;
use crate::devices;
use crate::scenario::{Disk, Guest, Nic, Scenario, Setting, Shared, StaticMemory};

/// The memory that outlives it: guest address (in what the bare guests' runtime maps, far from RAM), size, and name.
const KEPT: u64 = 0xc000_0000;
const KEPT_KIB: u64 = 2048;
const KEPT_ID: &str = "iod";

/// QEMU's `virt` has places for virtio devices 0x200 bytes apart; each has an interrupt line of its own (hw/arm/virt.c).
const TRANSPORT_BASE: u32 = 0xa00_0000;
const TRANSPORT_BYTES: u32 = 0x200;
const TRANSPORT_SPI: u32 = 16;
const PAGE: u32 = 0x1000;

/// A PC's devices, as QEMU's firmware sets them up (`hyp/docs/dom0less.md`, "Devices on x86"): the ports by which they are
/// configured, where all their registers are, and their interrupts.
const PCI_PORTS: [u32; 2] = [0xcf8, 8];
const PCI_MEMORY: [u64; 2] = [0xfe00_0000, 0xc0_0000];
const PCI_LINES: [u32; 2] = [10, 11];

/// The handle that Xen gives the guest's interrupt controller.
const GIC_HANDLE: u32 = 0xfde8;

/// A scenario's guests, the I/O domain with the memory and devices that it gets.
///
/// # Errors
/// There is no room for its memory.
pub(super) fn equipped(scenario: &Scenario, layout: &mut Layout) -> Result<Vec<Guest>> {
    let mut guests = scenario.guests.clone();
    let serves = scenario.io_domain().map(|guest| &guest.name);
    for guest in guests.iter_mut().filter(|guest| Some(&guest.name) == serves) {
        if guest.static_memory.is_empty() {
            let address = layout.take_top(guest.memory_mib << 20)?;
            guest.static_memory.push(StaticMemory { address, size_mib: guest.memory_mib });
        }
        guest.shared.push(Shared { id: KEPT_ID.into(), host: None, guest: KEPT, size_kib: KEPT_KIB });
        let count = devices::of(scenario).len();
        match scenario.machine.board {
            Board::QemuVirt => guest.device_tree.extend(transports(count)),
            Board::X86 if count > 0 => {
                guest.ioports.push(PCI_PORTS);
                guest.iomem.push(PCI_MEMORY);
                guest.irqs.extend(PCI_LINES);
            }
            Board::X86 => {}
        }
    }
    Ok(guests)
}

/// Adds a guest's devices to its node.
pub(super) fn describe(node: &mut DeviceTreeNode, guest: &Guest) -> Result<()> {
    if guest.io_domain {
        set(node, "makuhari,io-domain", cells(&[]).as_slice())?;
    }
    if !guest.disks.is_empty() {
        let disks: Vec<String> = guest.disks.iter().map(disk).collect();
        set(node, "makuhari,disk", strings(&disks).as_slice())?;
    }
    if !guest.nics.is_empty() {
        let nics: Vec<String> = guest.nics.iter().map(nic).collect();
        set(node, "makuhari,nic", strings(&nics).as_slice())?;
    }
    if guest.sound {
        set(node, "makuhari,sound", "")?;
    }
    if let Some(size) = guest.display {
        set(node, "makuhari,display", size.to_string())?;
    }
    if guest.keyboard {
        set(node, "makuhari,keyboard", "")?;
    }
    Ok(())
}

/// `mac=00:16:3e:00:00:02,rate=1000000,uplink=off`
fn nic(nic: &Nic) -> String {
    let rate = nic.rate.map(|rate| format!(",rate={rate}")).unwrap_or_default();
    let uplink = if nic.uplink { "" } else { ",uplink=off" };
    format!("mac={}{rate}{uplink}", nic.mac)
}

/// `xvda=SERIAL:PARTITION,ro`
fn disk(disk: &Disk) -> String {
    let partition = disk.partition.map(|number| format!(":{number}")).unwrap_or_default();
    let read_only = if disk.read_only { ",ro" } else { "" };
    format!("{}={}{partition}{read_only}", disk.name, disk.serial())
}

/// The partial tree of the first `count` virtio devices. What is given is whole pages, so that one is given by all who are in it.
fn transports(count: usize) -> Vec<Setting> {
    let number = |node: &str, property: &str, cells: Vec<u32>| Setting {
        node: node.into(),
        property: property.into(),
        text: None,
        cells: Some(cells),
    };
    let text = |node: &str, property: &str, text: &str| Setting {
        text: Some(text.into()),
        cells: None,
        ..number(node, property, Vec::new())
    };
    if count == 0 {
        return Vec::new();
    }
    let mut settings = vec![
        number("/gic", "phandle", vec![GIC_HANDLE]),
        text("/passthrough", "compatible", "simple-bus"),
        number("/passthrough", "#address-cells", vec![2]),
        number("/passthrough", "#size-cells", vec![2]),
        number("/passthrough", "ranges", Vec::new()),
    ];
    for place in 0..count as u32 {
        let address = TRANSPORT_BASE + place * TRANSPORT_BYTES;
        let page = address / PAGE * PAGE;
        let node = format!("/passthrough/virtio_mmio@{address:x}");
        settings.extend([
            text(&node, "compatible", "virtio,mmio"),
            number(&node, "reg", vec![0, address, 0, TRANSPORT_BYTES]),
            number(&node, "interrupt-parent", vec![GIC_HANDLE]),
            // A shared peripheral interrupt, triggered by a rising edge, as the machine's own tree has it.
            number(&node, "interrupts", vec![0, TRANSPORT_SPI + place, 1]),
            number(&node, "xen,reg", vec![0, page, 0, PAGE, 0, page]),
            text(&node, "xen,path", &format!("/virtio_mmio@{address:x}")),
            number(&node, "xen,force-assign-without-iommu", Vec::new()),
        ]);
    }
    settings
}

#[cfg(test)]
mod tests {
    use dtoolkit::model::{DeviceTree, DeviceTreeNode};

    use super::{describe, equipped, transports};
    use crate::compose::fixed;
    use crate::compose::layout::Layout;
    use crate::report::tests::scenario;
    use crate::scenario::Guest;

    const TEXT: &str = r#"
        about = ""
        limit_ns = 1
        [[guest]]
        name = "iod"
        program = "probe"
        memory_mib = 16
        io_domain = true
        [[guest]]
        name = "linux"
        program = "probe"
        memory_mib = 64
        [[guest.disk]]
        name = "xvda"
        image = "empty"
        size_mib = 1
        [[guest.disk]]
        name = "xvdb"
        serial = "disk-1"
        image = "empty"
        size_mib = 1
        partition = 2
        read_only = true
        [[guest.nic]]
        mac = "00:16:3E:00:00:02"
        rate = 1_000_000
        [[guest]]
        name = "other"
        program = "probe"
        memory_mib = 64
        nic = [{ mac = "00:16:3e:00:00:03", uplink = false }, { mac = "00:16:3e:00:00:04" }]
        sound = true
        display = "800x600"
        keyboard = true
    "#;

    const NODES: &str = r#"/dts-v1/;

/ {
    iod {
        #xen,static-mem-address-cells = <0x02>;
        #xen,static-mem-size-cells = <0x02>;
        xen,static-mem = <0x00 0x7f000000 0x00 0x1000000>;
        makuhari,io-domain;

        shared-memory@c0000000 {
            compatible = "xen,domain-shared-memory-v1";
            xen,shm-id = "iod";
            xen,shared-mem = <0x00 0xc0000000 0x00 0x200000>;
        };
    };

    linux {
        makuhari,disk = "xvda=xvda", "xvdb=disk-1:2,ro";
        makuhari,nic = "mac=00:16:3e:00:00:02,rate=1000000";
    };

    other {
        makuhari,nic = "mac=00:16:3e:00:00:03,uplink=off", "mac=00:16:3e:00:00:04";
        makuhari,sound = "";
        makuhari,display = "800x600";
        makuhari,keyboard = "";
    };
};
"#;

    const PARTIAL: &str = r#"/dts-v1/;

/ {
    gic {
        phandle = <0xfde8>;
    };

    passthrough {
        compatible = "simple-bus";
        #address-cells = <0x02>;
        #size-cells = <0x02>;
        ranges;

        virtio_mmio@a000000 {
            compatible = "virtio,mmio";
            reg = <0x00 0xa000000 0x00 0x200>;
            interrupt-parent = <0xfde8>;
            interrupts = <0x00 0x10 0x01>;
            xen,reg = <0x00 0xa000000 0x00 0x1000 0x00 0xa000000>;
            xen,path = "/virtio_mmio@a000000";
            xen,force-assign-without-iommu;
        };

        virtio_mmio@a000200 {
            compatible = "virtio,mmio";
            reg = <0x00 0xa000200 0x00 0x200>;
            interrupt-parent = <0xfde8>;
            interrupts = <0x00 0x11 0x01>;
            xen,reg = <0x00 0xa000000 0x00 0x1000 0x00 0xa000000>;
            xen,path = "/virtio_mmio@a000200";
            xen,force-assign-without-iommu;
        };
    };
};
"#;

    #[test]
    fn on_a_pc_the_io_domain_has_what_pci_has() {
        let scenario = scenario(&TEXT.replace("limit_ns", "machine.board = \"x86\"\nlimit_ns"));
        let guests = equipped(&scenario, &mut Layout::in_order(1 << 30)).unwrap();
        let has = |guest: &Guest| (guest.ioports.clone(), guest.iomem.clone(), guest.irqs.clone());
        assert_eq!(has(&guests[0]), (vec![[0xcf8, 8]], vec![[0xfe00_0000, 0xc0_0000]], vec![10, 11]));
        assert_eq!(has(&guests[1]), Default::default());
        assert_eq!((guests[0].device_tree.len(), guests[0].static_memory[0].address), (0, 0x3e00_0000));
    }

    #[test]
    fn guests_have_their_devices_and_the_io_domain_all_it_serves_them_with() {
        let scenario = scenario(TEXT);
        let mut tree = DeviceTree::new();
        let guests = equipped(&scenario, &mut Layout::new(1 << 30)).unwrap();
        for guest in &guests {
            let mut node = DeviceTreeNode::new(guest.name.as_str()).unwrap();
            fixed::describe(&mut node, &scenario, guest).unwrap();
            describe(&mut node, guest).unwrap();
            tree.root.add_child(node);
        }
        assert_eq!(tree.to_string(), NODES);
        // Two disks, network, sound, display, keyboard.
        assert_eq!(guests[0].device_tree.iter().filter(|set| set.property == "xen,reg").count(), 6);
        assert_eq!(fixed::tree_of(&transports(2)).unwrap().to_string(), PARTIAL);
    }
}
