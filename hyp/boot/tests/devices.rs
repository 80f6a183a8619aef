//! Devices that partial trees give to guests, and those that no guest can have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{IMAGE, PLAYER, QEMU_V2, TREE, dtc, parse, run_dtc, with_chosen};
use hyp_boot::devices::{Devices, Recipient};
use hyp_boot::partial::Partial;
use hyp_boot::plan::Plan;

const CLOCK: &str =
    "xen,reg = <0 0x9010000 0 0x1000 0 0x9010000>; xen,path = \"/pl031@9010000\"; xen,force-assign-without-iommu;";

/// A partial tree with these nodes in `/passthrough`.
fn partial(nodes: &str) -> Vec<u8> {
    let source = format!(
        "/dts-v1/; / {{ #address-cells = <2>; #size-cells = <2>; gic: gic {{ phandle = <0x77>; }}; passthrough {{
         #address-cells = <2>; #size-cells = <2>; {nodes} }}; }};"
    );
    run_dtc(source.as_bytes(), &["-I", "dts", "-O", "dtb"]).0
}

/// Registers (host, guest, size) and interrupts of each of two guests with these nodes in their partial trees, on the
/// machine that `tree` makes of the two guests.
fn on(tree: impl Fn(&str) -> Vec<u8>, guests: [&str; 2]) -> Result<[Given; 2], String> {
    let blob = tree(&format!("{PLAYER} {}", PLAYER.replace("player", "other")));
    let (machine, manifest) = parse(&blob).unwrap();
    let plan = Plan::make(&machine, &manifest, IMAGE, TREE, 4096).unwrap();
    let mut devices = Devices::default();
    for (domain, nodes) in guests.into_iter().enumerate() {
        let blob = partial(nodes);
        let spec = &manifest.domains[domain];
        let read = Partial::parse(spec.kernel.path, &blob).map_err(|error| error.to_string())?;
        let memory = &plan.guests[domain];
        let to = Recipient { machine: &machine, spec, domain, memory, fixed: &manifest.fixed };
        devices.read(&read, &to).map_err(|error| error.to_string())?;
    }
    Ok([0, 1].map(|domain| {
        let registers = devices.registers_of(domain).map(|extent| (extent.host, extent.guest, extent.size)).collect();
        (registers, devices.interrupts_of(domain).collect())
    }))
}

type Given = (Vec<(u64, u64, u64)>, Vec<u32>);

fn given(guests: [&str; 2]) -> Result<[Given; 2], String> {
    on(with_chosen, guests)
}

#[test]
fn a_guest_gets_the_registers_it_names_and_the_interrupts_of_the_loaders_node() {
    let nodes = format!("rtc {{ {CLOCK} }}; bus {{ #address-cells = <1>; #size-cells = <1>; virtio {{
        xen,reg = <0xa000000 0x1000 0x10000000>; xen,path = \"/virtio_mmio@a000200\"; xen,force-assign-without-iommu; }}; }};");
    let [player, other] = given([&nodes, "clock { compatible = \"fixed-clock\"; };"]).unwrap();
    assert_eq!(player.0, [(0x901_0000, 0x901_0000, 0x1000), (0xa00_0000, 0x1000_0000, 0x1000)]);
    assert_eq!(player.1, [32 + 2, 32 + 17]);
    assert_eq!(other, (vec![], vec![]));
}

#[test]
fn registers_are_whole_pages_and_what_touches_is_one() {
    let virtio = |number: u64| {
        let at = 0xa00_0000 + number * 0x200;
        format!(
            "v{number} {{ xen,reg = <0 {at:#x} 0 0x200 0 {at:#x}>; xen,path = \"/virtio_mmio@{at:x}\";
            xen,force-assign-without-iommu; }};"
        )
    };
    let nodes: String = [31, 0, 5, 9, 17].map(virtio).concat();
    let [(registers, interrupts), _] = given([&nodes, ""]).unwrap();
    assert_eq!(registers, [(0xa00_0000, 0xa00_0000, 0x4000)]);
    assert_eq!(interrupts, [31, 0, 5, 9, 17].map(|number| 48 + number));
    let [(registers, interrupts), _] =
        given([&format!("{} {}", virtio(3), virtio(3).replace("v3", "again")), ""]).unwrap();
    assert_eq!((registers.len(), interrupts.as_slice()), (1, [51].as_slice()));
}

#[test]
fn without_a_path_the_interrupts_are_the_nodes_own() {
    let node = |parent| {
        format!(
            "a {{ xen,reg = <0 0x9010000 0 0x1000 0 0x9010000>; xen,force-assign-without-iommu;
            interrupts = <0 40 1 0 41 4>; {parent} }};"
        )
    };
    assert_eq!(given([&node("interrupt-parent = <&gic>;"), ""]).unwrap()[0].1, [72, 73]);
    assert_eq!(given([&node("interrupt-parent = <0x99>;"), ""]).unwrap()[0].1, [], "another controller's");
    assert_eq!(given([&node(""), ""]).unwrap()[0].1, [], "nobody's");
    let inherits = format!("interrupt-parent = <&gic>; {}", node(""));
    assert_eq!(given([&inherits, ""]).unwrap()[0].1, [72, 73]);
}

/// The clock with this instead of its registers.
fn at(registers: &str) -> String {
    format!("a {{ xen,reg = <{registers}>; xen,force-assign-without-iommu; }};")
}

#[test]
fn refuses_what_no_guest_can_have() {
    let reg = "needs xen,reg = <host-address size guest-address>, as wide as its parent says, of no size 0, both addresses alike \
               below 4 KiB";
    let own = "has host addresses in xen,reg that are RAM, or a device of the hypervisor's";
    let used = "has guest addresses in xen,reg where the guest has other things, or can have none";
    let spi = "has an interrupt that is no SPI of the interrupt controller, 0 to 255";
    let path = "has an xen,path that names no node of the loader's tree";
    let with = |more: &str| {
        format!("a {{ xen,reg = <0 0x9010000 0 0x1000 0 0x9010000>; xen,force-assign-without-iommu; {more} }};")
    };
    let interrupt = |cells: &str| with(&format!("interrupt-parent = <&gic>; interrupts = <{cells}>;"));
    let cases = [
        ("a { xen,force-assign-without-iommu; };".into(), reg),
        ("a { xen,path = \"/pl031@9010000\"; };".into(), reg),
        (
            "a { xen,reg = <0 0x9010000 0 0x1000 0 0x9010000>; };".into(),
            "lacks xen,force-assign-without-iommu: nothing keeps its DMA from others' memory",
        ),
        (at("0 0x9010000 0 0x1000"), reg),
        (at("0 0x9010000 0 0x1000 0 0x9010000 0"), reg),
        (at("0 0x9010000 0 0 0 0x9010000"), reg),
        (at("0 0x9010000 0 0x1000 0 0x9010200"), reg),
        (at("0xffffffff 0xfffff000 0 0x1000 0 0x9010000"), reg),
        (at("0 0x60000000 0 0x1000 0 0x9010000"), own),
        (at("0 0x9000800 0 0x100 0 0x9010800"), own),
        (at("0 0x8000000 0 0x1000 0 0x9010000"), own),
        (at("0 0x80a0000 0 0x1000 0 0x9010000"), own),
        (at("0 0x9010000 0 0x1000 0 0x40000000"), used),
        (at("0 0x9010000 0 0x1000 0 0x3001000"), used),
        (at("0 0x9010000 0 0x1000 0 0x22000000"), used),
        (at("0 0x9010000 0 0x1000 0 0x38000000"), used),
        (at("0 0x9010000 0 0x1000 0x80 0"), used),
        (with("xen,path = \"/pl031@9010001\";"), path),
        (with("xen,path = \"pl031@9010000\";"), path),
        (with("xen,path = <0 1>;"), path),
        (interrupt("1 2 4"), spi),
        (interrupt("0 256 4"), spi),
        (interrupt("0 2"), spi),
        (interrupt("0 1 4"), "has an interrupt that is the hypervisor's, another guest's, or the guest's vpl011's"),
    ];
    for (nodes, why) in cases {
        let message = format!("/chosen/player/module@49000000: its node /passthrough/a {why}");
        assert_eq!(given([&nodes, ""]).unwrap_err(), message, "{nodes}");
    }
    let two =
        format!("{} b {{ xen,reg = <0 0xa000000 0 0x1000 0 0x9010000>; xen,force-assign-without-iommu; }};", with(""));
    let why = given([&two, ""]).unwrap_err();
    assert!(
        why.ends_with(
            "/passthrough/b has guest addresses in xen,reg where the guest has other things, or can have none"
        ),
        "{why}"
    );
}

#[test]
fn refuses_what_another_guest_has() {
    let clock = format!("a {{ {CLOCK} }};");
    let why = given([&clock, &at("0 0x9010800 0 0x10 0 0x10000800")]).unwrap_err();
    assert_eq!(
        why,
        "/chosen/other/module@49000000: its node /passthrough/a has a page in xen,reg that another guest has"
    );
    let same_interrupt = "a { xen,reg = <0 0xa000000 0 0x1000 0 0xa000000>; xen,force-assign-without-iommu;
        interrupt-parent = <&gic>; interrupts = <0 2 4>; };";
    let why = given([&clock, same_interrupt]).unwrap_err();
    assert!(
        why.ends_with("has an interrupt that is the hypervisor's, another guest's, or the guest's vpl011's"),
        "{why}"
    );
}

#[test]
fn a_guest_with_a_vpl011_has_spi_0_already() {
    let with_port = |guests: &str| with_chosen(&guests.replace("cpus = <1>;", "cpus = <1>; vpl011;"));
    let node = "a { xen,reg = <0 0x9010000 0 0x1000 0 0x9010000>; xen,force-assign-without-iommu;
        interrupt-parent = <&gic>; interrupts = <0 0 4>; };";
    assert_eq!(given([node, ""]).unwrap()[0].1, [32]);
    assert!(on(with_port, [node, ""]).is_err());
}

#[test]
fn a_gicv2s_four_ranges_are_the_hypervisors() {
    let v2 = |chosen: &str| dtc(&format!("{QEMU_V2}\n/ {{ chosen {{ {chosen} }}; }};"), "dts").0;
    for place in [0x800_0000, 0x801_0000, 0x803_0000, 0x804_0000] {
        assert!(on(v2, [&at(&format!("0 {place:#x} 0 0x1000 0 0x9010000")), ""]).is_err(), "{place:#x}");
    }
    assert!(on(v2, [&at("0 0x9010000 0 0x1000 0 0x9010000"), ""]).is_ok());
}

#[test]
fn there_is_room_for_sixteen_ranges_and_sixty_four_interrupts() {
    let ranges = |count: u64| -> String {
        (0..count)
            .map(|n| {
                format!(
                    "r{n} {{ xen,reg = <0 {0:#x} 0 0x1000 0 {0:#x}>; xen,force-assign-without-iommu; }};",
                    0x1000_0000 + n * 0x2000
                )
            })
            .collect()
    };
    assert_eq!(given([&ranges(16), ""]).unwrap()[0].0.len(), 16);
    assert!(given([&ranges(17), ""]).unwrap_err().ends_with("/passthrough/r16 is one more than there is room for"));
    let interrupts = |count: u32| {
        let cells: String = (2..2 + count).map(|spi| format!("0 {spi} 4 ")).collect();
        format!(
            "a {{ xen,reg = <0 0x9010000 0 0x1000 0 0x9010000>; xen,force-assign-without-iommu;
            interrupt-parent = <&gic>; interrupts = <{cells}>; }};"
        )
    };
    assert_eq!(given([&interrupts(64), ""]).unwrap()[0].1.len(), 64);
    assert!(
        given([&interrupts(65), ""])
            .unwrap_err()
            .ends_with("/passthrough/a has more interrupts than there is room for")
    );
}
