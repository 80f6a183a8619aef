//! Guests' trees: read back by two other readers, and by `dtc` without a complaint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::run_dtc;
use dtoolkit::{Node, Property};
use hyp_boot::Region;
use hyp_boot::guest_tree::{GuestTree, TreeFull, VirtualGic, affinity};

const BANKS: [Region; 2] = [Region::new(0x4000_0000, 0xc000_0000), Region::new(0x2_0000_0000, 0x1000_0000)];

fn full() -> GuestTree<'static> {
    GuestTree {
        banks: &BANKS,
        cpus: 8,
        gic: VirtualGic::V3,
        bootargs: "console=ttyAMA0 mode=play",
        ramdisk: Some(Region::new(0x4800_0000, 0x12_3456)),
        vpl011: true,
        enhanced: true,
    }
}

fn small() -> GuestTree<'static> {
    let (gic, banks) = (VirtualGic::V2, BANKS.get(..1).unwrap());
    GuestTree { banks, cpus: 1, gic, bootargs: "", ramdisk: None, vpl011: false, enhanced: false }
}

fn written(tree: &GuestTree<'_>) -> Vec<u8> {
    let mut buffer = vec![0xaa; 8192];
    let size = tree.write(&mut buffer).unwrap();
    buffer.truncate(size);
    buffer
}

#[test]
fn dtc_complains_of_nothing_but_the_name_that_linux_looks_for() {
    for tree in [full(), small()] {
        let (source, complaints) = run_dtc(&written(&tree), &["-I", "dtb", "-O", "dts"]);
        let known = "/hypervisor: node has a reg or ranges property, but no unit name";
        let others: Vec<_> = complaints.lines().filter(|line| !line.ends_with(known)).collect();
        assert!(others.is_empty(), "{others:?}\n{}", String::from_utf8(source).unwrap());
    }
}

#[test]
fn another_reader_finds_everything() {
    let blob = written(&full());
    let tree = fdt::Fdt::new(&blob).unwrap();
    assert_eq!(tree.chosen().bootargs(), Some("console=ttyAMA0 mode=play"));
    assert_eq!(tree.chosen().stdout().unwrap().name, "sbsa-uart@22000000");
    assert_eq!(tree.cpus().map(|cpu| cpu.ids().first()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    let memory: Vec<_> = tree
        .find_all_nodes("/memory")
        .flat_map(|node| node.reg().unwrap())
        .map(|region| Region::new(region.starting_address as u64, region.size.unwrap() as u64))
        .collect();
    assert_eq!(memory, BANKS);
    let hypervisor = tree.find_compatible(&["xen,xen"]).unwrap();
    assert_eq!(hypervisor.compatible().unwrap().first(), "xen,xen-4.17");
    let interrupts = hypervisor.property("interrupts").unwrap().value;
    assert_eq!(interrupts, [0, 0, 0, 1, 0, 0, 0, 15, 0, 0, 0xf, 8]);
}

#[test]
fn dtoolkit_finds_what_the_peers_guests_expect() {
    let blob = written(&full());
    let tree = dtoolkit::fdt::Fdt::new(&blob).unwrap();
    let cells = |path: &str, name: &str| -> Vec<u32> {
        let node = tree.find_node(path).unwrap();
        let value = node.property(name).unwrap_or_else(|| panic!("{path} has no {name}")).value().to_vec();
        value.chunks(4).map(|cell| u32::from_be_bytes(cell.try_into().unwrap())).collect()
    };
    let text = |path: &str, name: &str| {
        String::from_utf8(tree.find_node(path).unwrap().property(name).unwrap().value().to_vec()).unwrap()
    };
    assert_eq!(text("/psci", "compatible"), "arm,psci-1.0\0arm,psci-0.2\0");
    assert_eq!(text("/psci", "method"), "hvc\0");
    assert_eq!(cells("/interrupt-controller", "reg"), [0, 0x300_1000, 0, 0x1_0000, 0, 0x302_0000, 0, 0x100_0000]);
    assert_eq!(cells("/timer", "interrupts"), [1, 13, 0xf08, 1, 14, 0xf08, 1, 11, 0xf08]);
    assert_eq!(cells("/hypervisor", "interrupts"), [1, 15, 0xf08]);
    assert_eq!(cells("/hypervisor", "reg"), [0, 0x3800_0000, 0, 0x100_0000]);
    assert_eq!(cells("/sbsa-uart", "interrupts"), [0, 0, 0xf04]);
    assert_eq!(cells("/chosen", "linux,initrd-end"), [0, 0x4812_3456]);
    assert_eq!(cells("/cpus/cpu@7", "reg"), [7]);
}

#[test]
fn the_smaller_shape_has_a_gicv2_and_nothing_else() {
    let blob = written(&small());
    let tree = dtoolkit::fdt::Fdt::new(&blob).unwrap();
    let gic = tree.find_node("/interrupt-controller").unwrap();
    assert_eq!(gic.property("compatible").unwrap().value(), b"arm,gic-400\0");
    assert!(tree.find_node("/hypervisor").is_none() && tree.find_node("/sbsa-uart").is_none());
}

#[test]
fn clusters_hold_sixteen() {
    assert_eq!([0, 15, 16, 33].map(affinity), [0, 15, 0x100, 0x201]);
}

#[test]
fn a_small_buffer_is_an_error_at_every_size() {
    let tree = full();
    let size = written(&tree).len();
    assert!(size < 4096, "{size}");
    for room in 0..size {
        assert_eq!(tree.write(&mut vec![0; room]), Err(TreeFull), "{room}");
    }
    assert_eq!(tree.write(&mut vec![0; size]), Ok(size));
}
