//! A machine that its firmware describes: the tree names the guests alone, and modules lie where the loader put them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use hyp_boot::Region;
use hyp_boot::machine::Host;
use hyp_boot::manifest::Manifest;
use hyp_boot::plan::Plan;

const MIB: u64 = 1 << 20;
const IMAGE: Region = Region::new(2 * MIB, 2 * MIB);
const TREE: Region = Region::new(4 * MIB, 0x1000);
/// Kernel, ramdisk, kernel, as the loader put them.
const MODULES: [Region; 3] = [Region::new(5 * MIB, 0x3000), Region::new(6 * MIB, 0x5000), Region::new(7 * MIB, 0x1000)];

fn tree(first: &str) -> Vec<u8> {
    let kernel = "compatible = \"multiboot,kernel\", \"multiboot,module\";";
    let ramdisk = "compatible = \"multiboot,ramdisk\", \"multiboot,module\";";
    common::dtc(
        &format!(
            "/dts-v1/; / {{ #address-cells = <2>; #size-cells = <2>; chosen {{
                one {{ compatible = \"xen,domain\"; memory = <0 0x10000>; cpus = <1>;
                    kernel {{ {kernel} {first} }}; initrd {{ {ramdisk} }}; }};
                two {{ compatible = \"xen,domain\"; memory = <0 0x8000>; cpus = <1>; kernel {{ {kernel} }}; }};
            }}; }};"
        ),
        "dts",
    )
    .0
}

fn host<'a>(blob: &'a [u8], modules: &[Region]) -> Result<Host<'a>, String> {
    let ram = [Region::new(1024 * MIB, 64 * MIB), Region::new(MIB, 255 * MIB)];
    let cpus = [0].into_iter().collect();
    Host::described(blob, &ram, cpus, modules.iter().copied().collect()).map_err(|error| error.to_string())
}

#[test]
fn modules_without_a_place_are_the_loaders_in_the_trees_order() {
    let blob = tree("");
    let host = host(&blob, &MODULES).unwrap();
    let manifest = Manifest::parse(&host, IMAGE, TREE).unwrap();
    let [one, two] = manifest.domains.as_slice() else { panic!("two guests") };
    assert_eq!((one.kernel.place, one.ramdisk.unwrap().place), (MODULES[0], MODULES[1]));
    assert_eq!((two.kernel.place, two.ramdisk), (MODULES[2], None));
    let plan = Plan::make(&host, &manifest, IMAGE, TREE, 0).unwrap();
    let guests: Vec<_> = plan.guests.iter().map(|guest| guest.banks()).collect();
    assert_eq!(guests[0].as_slice(), [Region::new(0, 64 * MIB)], "guests of a PC have RAM from address 0 on");
    for extent in plan.guests.iter().flat_map(|guest| &guest.extents) {
        let place = Region::new(extent.host, extent.size);
        assert!(!MODULES.iter().chain([&IMAGE, &TREE]).any(|taken| taken.overlaps(&place)), "{place:?}");
    }
}

#[test]
fn a_module_with_a_place_takes_none_of_the_loaders() {
    let blob = tree("reg = <0 0x800000 0 0x1000>;");
    let host = host(&blob, &MODULES[..2]).unwrap();
    let manifest = Manifest::parse(&host, IMAGE, TREE).unwrap();
    assert_eq!(manifest.domains[0].kernel.place, Region::new(8 * MIB, 0x1000));
    assert_eq!(manifest.domains[0].ramdisk.unwrap().place, MODULES[0]);
    assert_eq!(manifest.domains[1].kernel.place, MODULES[1]);
}

#[test]
fn a_module_that_the_loader_did_not_bring_is_named() {
    let blob = tree("");
    let host = host(&blob, &MODULES[..2]).unwrap();
    let error = Manifest::parse(&host, IMAGE, TREE).unwrap_err().to_string();
    assert!(error.contains("/chosen/two/kernel") && error.contains("reg"), "{error}");
}

#[test]
fn a_machine_without_memory_is_refused() {
    let blob = tree("");
    let error = Host::described(&blob, &[], [0].into_iter().collect(), heapless::Vec::new()).unwrap_err().to_string();
    assert!(error.contains("memory"), "{error}");
}
