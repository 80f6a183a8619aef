//! What guests are given of a PC's devices, and every reason why they are not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use hyp_boot::Region;
use hyp_boot::assigned::{Assigned, Kind, Piece};
use hyp_boot::machine::Host;
use hyp_boot::manifest::Manifest;
use hyp_boot::plan::Plan;

const MIB: u64 = 1 << 20;
const IMAGE: Region = Region::new(2 * MIB, 2 * MIB);
const TREE: Region = Region::new(4 * MIB, 0x1000);
const MODULES: [Region; 2] = [Region::new(5 * MIB, 0x1000), Region::new(6 * MIB, 0x1000)];
/// What the hypervisor needs itself in these tests.
const OWN: [Piece; 3] = [
    Piece { kind: Kind::Ports, place: Region::new(0x3f8, 8) },
    Piece { kind: Kind::Memory, place: Region::new(0xfec8_0000, 0x1000) },
    Piece { kind: Kind::Interrupts, place: Region::new(4, 1) },
];

/// The tree of a PC with two guests, `one` and `two`, each with more in its node.
fn tree(one: &str, two: &str) -> Vec<u8> {
    let guest = |name: &str, more: &str| {
        format!(
            "{name} {{ compatible = \"xen,domain\"; memory = <0 0x10000>; cpus = <1>; {more}
                kernel {{ compatible = \"multiboot,kernel\", \"multiboot,module\"; }}; }};"
        )
    };
    let guests = format!("{} {}", guest("one", one), guest("two", two));
    let source = format!("/dts-v1/; / {{ #address-cells = <2>; #size-cells = <2>; chosen {{ {guests} }}; }};");
    common::dtc(&source, "dts").0
}

/// What guests get; the error as text.
fn read(blob: &[u8]) -> Result<Assigned, String> {
    let ram = [Region::new(MIB, 255 * MIB)];
    let host = Host::described(blob, &ram, [0].into_iter().collect(), MODULES.into_iter().collect());
    let host = host.map_err(|error| error.to_string())?;
    let manifest = Manifest::parse(&host, IMAGE, TREE).map_err(|error| error.to_string())?;
    let plan = Plan::make(&host, &manifest, IMAGE, TREE, 0).map_err(|error| error.to_string())?;
    Assigned::read(&host, &manifest, &plan, &OWN).map_err(|error| error.to_string())
}

#[test]
fn each_guest_has_what_its_node_says() {
    let one = "makuhari,ioports = <0xcf8 8 0xc000 0x80>; makuhari,irqs = <10 11>;";
    let two = "makuhari,iomem = <0 0xfe000000 0 0xc00000 0x38 0 0 0x4000>; makuhari,irqs = <23>;";
    let assigned = read(&tree(one, two)).unwrap();
    let of = |guest, kind| assigned.of(guest, kind).map(|place| (place.start, place.size)).collect::<Vec<_>>();
    assert_eq!(of(0, Kind::Ports), [(0xcf8, 8), (0xc000, 0x80)]);
    assert_eq!((of(0, Kind::Memory), of(0, Kind::Interrupts)), (vec![], vec![(10, 1), (11, 1)]));
    assert_eq!(of(1, Kind::Ports), []);
    assert_eq!(of(1, Kind::Memory), [(0xfe00_0000, 0xc0_0000), (0x38_0000_0000, 0x4000)]);
    let lines: Vec<_> = assigned.all(Kind::Interrupts).map(|(guest, line)| (guest, line.start)).collect();
    assert_eq!(lines, [(0, 10), (0, 11), (1, 23)]);
    assert_eq!(read(&tree("", "")).unwrap(), Assigned::default());
}

#[test]
fn refuses_what_cannot_be_given() {
    let ports =
        "/chosen/one: makuhari,ioports must be ranges <first count> of ports, which are numbered from 0 to 0xffff";
    let memory = "/chosen/one: makuhari,iomem must be ranges <address size> of whole pages of 4 KiB from 1 MiB to \
                  0x1000000000000, as wide as #address-cells and #size-cells of /chosen say";
    let lines = "/chosen/one: makuhari,irqs must be numbers of interrupts from 0 to 23";
    let needed = "some of which the hypervisor needs itself: take it out";
    let ram = "where the machine or the guest has RAM, or the guest shared memory: take it out";
    let view = "view@c0000000 { compatible = \"xen,domain-shared-memory-v1\"; xen,shm-id = \"it\";
                xen,shared-mem = <0 0xc0000000 0 0x1000>; };";
    let cases = [
        ("makuhari,ioports = <0xcf8>;", ports.into()),
        ("makuhari,ioports = <0xcf8 0>;", ports.into()),
        ("makuhari,ioports = <0xffff 2>;", ports.into()),
        ("makuhari,ioports = <0xffffffff 1>;", ports.into()),
        ("makuhari,ioports = <0x3ff 1>;", format!("/chosen/one: makuhari,ioports has 0x3ff..0x400, {needed}")),
        ("makuhari,iomem = <0xfe000000 0x1000>;", memory.into()),
        ("makuhari,iomem = <0 0xfe000000 0 0>;", memory.into()),
        ("makuhari,iomem = <0 0xfe000800 0 0x1000>;", memory.into()),
        ("makuhari,iomem = <0 0xfe000000 0 0x800>;", memory.into()),
        ("makuhari,iomem = <0 0xa0000 0 0x20000>;", memory.into()),
        ("makuhari,iomem = <0xffffffff 0xfffff000 0 0x1000>;", memory.into()),
        ("makuhari,iomem = <0x10000 0 0 0x1000>;", memory.into()),
        (
            "makuhari,iomem = <0 0xfec80000 0 0x1000>;",
            format!("/chosen/one: makuhari,iomem has 0xfec80000..0xfec81000, {needed}"),
        ),
        // The guest's own, which the machine of this test has elsewhere.
        (
            "makuhari,iomem = <0 0xfe000000 0 0xd00000>;",
            format!("/chosen/one: makuhari,iomem has 0xfe000000..0xfed00000, {needed}"),
        ),
        (
            "makuhari,iomem = <0 0xfee00000 0 0x1000>;",
            format!("/chosen/one: makuhari,iomem has 0xfee00000..0xfee01000, {needed}"),
        ),
        // The last page of the machine's.
        (
            "makuhari,iomem = <0 0xffff000 0 0x2000>;",
            format!("/chosen/one: makuhari,iomem has 0xffff000..0x10001000, {ram}"),
        ),
        (
            &format!("makuhari,iomem = <0 0xc0000000 0 0x1000>; {view}"),
            format!("/chosen/one: makuhari,iomem has 0xc0000000..0xc0001000, {ram}"),
        ),
        ("makuhari,irqs = <24>;", lines.into()),
        ("makuhari,irqs = [0a];", lines.into()),
        ("makuhari,irqs = <4>;", format!("/chosen/one: makuhari,irqs has 0x4..0x5, {needed}")),
        (
            "makuhari,ioport = <0xcf8 8>;",
            "/chosen/one: makuhari,ioport is not a property of this hypervisor (did you mean makuhari,ioports?)".into(),
        ),
    ];
    for (property, message) in cases {
        assert_eq!(read(&tree(property, "")).unwrap_err(), message, "{property}");
    }
}

#[test]
fn a_guests_own_ram_is_no_place_for_a_device() {
    // The machine has its RAM elsewhere, and this guest 64 MiB from address 0 on.
    let ram = [Region::new(1024 * MIB, 256 * MIB)];
    let modules = MODULES.map(|module| Region::new(module.start + 1024 * MIB, module.size));
    let place = |blob: &[u8]| {
        let host = Host::described(blob, &ram, [0].into_iter().collect(), modules.into_iter().collect()).unwrap();
        let [image, tree] = [IMAGE, TREE].map(|place| Region::new(place.start + 1024 * MIB, place.size));
        let manifest = Manifest::parse(&host, image, tree).unwrap();
        let plan = Plan::make(&host, &manifest, image, tree, 0).unwrap();
        Assigned::read(&host, &manifest, &plan, &OWN).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(place(&tree("makuhari,iomem = <0 0x4000000 0 0x1000>;", "")), Ok(()));
    let error = place(&tree("makuhari,iomem = <0 0x3fff000 0 0x1000>;", "")).unwrap_err();
    assert!(error.contains("has 0x3fff000..0x4000000, where the machine or the guest has RAM"), "{error}");
}

#[test]
fn nothing_is_given_twice() {
    for (kind, one, two) in [
        ("ioports", "<0xcf8 8>", "<0xcff 1>"),
        ("iomem", "<0 0xfe000000 0 0x2000>", "<0 0xfe001000 0 0x1000>"),
        ("irqs", "<10>", "<11 10>"),
    ] {
        let property = |value: &str| format!("makuhari,{kind} = {value};");
        let error = read(&tree(&property(one), &property(two))).unwrap_err();
        assert!(error.starts_with(&format!("/chosen/two: makuhari,{kind} has 0x")), "{error}");
        assert!(error.ends_with("some of which /chosen/one has: give it once"), "{error}");
    }
    let error = read(&tree("makuhari,irqs = <10 10>;", "")).unwrap_err();
    assert!(error.ends_with("some of which /chosen/one has: give it once"), "{error}");
}

#[test]
fn more_than_there_is_room_for_is_refused() {
    let ports: String = (0..17).map(|port| format!("{} 1 ", 0xc000 + 2 * port)).collect();
    let error = read(&tree(&format!("makuhari,ioports = <{ports}>;"), "")).unwrap_err();
    assert!(error.contains("/chosen/one") && error.contains("16"), "{error}");
}

#[test]
fn it_is_for_pcs_alone() {
    for property in ["ioports = <0xcf8 8>", "iomem = <0 0x9000000 0 0x1000>", "irqs = <10>"] {
        let guest = common::PLAYER.replace("cpus = <1>;", &format!("cpus = <1>; makuhari,{property};"));
        let error = common::refusal(&common::with_chosen(&guest));
        assert!(error.starts_with("/chosen/player: makuhari,"), "{error}");
    }
}
