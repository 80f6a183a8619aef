//! Guests' trees: read back by two other readers, and by `dtc` without a complaint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{PLAYER, parse, run_dtc, with_chosen};
use dtoolkit::{Node, Property};
use hyp_boot::Region;
use hyp_boot::entropy::SEED;
use hyp_boot::guest_tree::{GuestTree, TreeFull, VirtualGic, affinity};
use hyp_boot::partial::Partial;

const BANKS: [Region; 2] = [Region::new(0x4000_0000, 0xc000_0000), Region::new(0x2_0000_0000, 0x1000_0000)];

const EXTENDED: [Region; 2] = [Region::new(0x8000_0000, 0x8000_0000), Region::new(0x2_1000_0000, 0x1000_0000)];

fn full() -> GuestTree<'static> {
    GuestTree {
        banks: &BANKS,
        cpus: 8,
        gic: VirtualGic::V3,
        seeded: true,
        bootargs: "console=ttyAMA0 mode=play",
        ramdisk: Some(Region::new(0x4800_0000, 0x12_3456)),
        vpl011: true,
        enhanced: true,
        extended: &EXTENDED,
        shared: (Box::leak(Box::default()), 0),
        partial: None,
    }
}

fn small() -> GuestTree<'static> {
    let (gic, banks) = (VirtualGic::V2, BANKS.get(..1).unwrap());
    GuestTree {
        banks,
        cpus: 1,
        gic,
        seeded: false,
        bootargs: "",
        ramdisk: None,
        vpl011: false,
        enhanced: false,
        extended: &[],
        shared: (Box::leak(Box::default()), 0),
        partial: None,
    }
}

fn written(tree: &GuestTree<'_>) -> Vec<u8> {
    let mut buffer = vec![0xaa; 8192];
    let (size, _) = tree.write(&mut buffer).unwrap();
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
    assert_eq!(
        cells("/hypervisor", "reg"),
        [0, 0x3800_0000, 0, 0x100_0000, 0, 0x8000_0000, 0, 0x8000_0000, 2, 0x1000_0000, 0, 0x1000_0000]
    );
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
fn the_seed_belongs_where_the_tree_says_at_a_whole_word() {
    let ramdisk = full().ramdisk;
    // Names and values before it do not move it off a word.
    for tree in [
        full(),
        GuestTree { ramdisk: None, gic: VirtualGic::V2, ..full() },
        GuestTree { ramdisk, seeded: true, ..small() },
    ] {
        let mut blob = vec![0; 8192];
        let (size, at) = tree.write(&mut blob).unwrap();
        blob.truncate(size);
        let at = at.unwrap();
        assert!(at.is_multiple_of(8));
        blob[at..at + SEED].fill(0x5e);
        let read = dtoolkit::fdt::Fdt::new(&blob).unwrap();
        assert_eq!(read.find_node("/chosen").unwrap().property("rng-seed").unwrap().value(), [0x5e; SEED]);
    }
    assert_eq!(small().write(&mut vec![0; 8192]).unwrap().1, None);
    let blob = written(&small());
    let read = dtoolkit::fdt::Fdt::new(&blob).unwrap();
    assert!(read.find_node("/chosen").unwrap().property("rng-seed").is_none());
}

#[test]
fn shared_memory_is_reserved_under_its_name() {
    let shm = "player { shm { compatible = \"xen,domain-shared-memory-v1\"; xen,shm-id = \"ring\";
        xen,shared-mem = <0 0x70000000 0 0x10000>; }; };";
    let chosen = with_chosen(&format!("{PLAYER} {shm}"));
    let (_, manifest) = parse(&chosen).unwrap();
    let blob = written(&GuestTree { shared: (&manifest.fixed, 0), ..small() });
    let tree = dtoolkit::fdt::Fdt::new(&blob).unwrap();
    let node = tree.find_node("/reserved-memory/xen-shmem@70000000").unwrap();
    assert_eq!(node.property("compatible").unwrap().value(), b"xen,shared-memory-v1\0");
    assert_eq!(node.property("xen,id").unwrap().value(), b"ring\0");
    assert_eq!(node.property("reg").unwrap().value(), [0, 0, 0, 0, 0x70, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
}

/// A partial tree with this under its root.
fn partial(nodes: &str) -> Vec<u8> {
    run_dtc(
        format!("/dts-v1/; / {{ #address-cells = <2>; #size-cells = <2>; {nodes} }};").as_bytes(),
        &["-I", "dts", "-O", "dtb"],
    )
    .0
}

/// What a partial tree adds to the small one, or why it is refused.
fn merged(nodes: &str) -> Result<(Vec<u8>, Option<String>), String> {
    let chosen = with_chosen(PLAYER);
    let (_, manifest) = parse(&chosen).unwrap();
    let blob = partial(nodes);
    let partial = Partial::parse(manifest.domains[0].kernel.path, &blob).map_err(|error| error.to_string())?;
    let tree = GuestTree { partial: Some(&partial), ..small() };
    let mut buffer = vec![0; tree.room()];
    let (size, _) = tree.write(&mut buffer).map_err(|_| "full".to_owned())?;
    buffer.truncate(size);
    Ok((buffer, partial.warning().map(|warning| warning.to_string())))
}

#[test]
fn a_partial_tree_adds_its_two_nodes() {
    let nodes = r#"gic: gic { #interrupt-cells = <3>; interrupt-controller; phandle = <0x77>; };
        aliases { net = "/passthrough/clock"; }; memory@0 { };
        passthrough { compatible = "simple-bus"; ranges; #address-cells = <2>; #size-cells = <2>;
            clock { compatible = "fixed-clock"; interrupt-parent = <&gic>; deep { x = "y"; }; }; };"#;
    let (blob, warning) = merged(nodes).unwrap();
    let tree = dtoolkit::fdt::Fdt::new(&blob).unwrap();
    let value = |path: &str, name: &str| tree.find_node(path).unwrap().property(name).unwrap().value().to_vec();
    assert_eq!(value("/passthrough/clock", "compatible"), b"fixed-clock\0");
    assert_eq!(value("/passthrough/clock/deep", "x"), b"y\0");
    assert_eq!(value("/aliases", "net"), b"/passthrough/clock\0");
    // The controller has the handle by which the partial tree names it.
    for (path, name) in [("/interrupt-controller@3001000", "phandle"), ("/", "interrupt-parent")] {
        assert_eq!(value(path, name), value("/passthrough/clock", "interrupt-parent"));
    }
    assert!(tree.find_node("/gic").is_none() && tree.find_node("/memory@0").is_none());
    assert_eq!(
        warning.unwrap(),
        "/chosen/player/module@49000000: its node /memory@0 is ignored, only /aliases and /passthrough are for the guest"
    );
    assert_eq!(merged("aliases { };").unwrap().1, None);
}

#[test]
fn what_gives_devices_is_not_for_the_guest() {
    let nodes = "passthrough { e@1 { reg = <0 1 0 1>; xen,path = \"/e@1\"; xen,reg = <0 0 0 0 0 0>;
        xen,force-assign-without-iommu; }; };";
    let (blob, _) = merged(nodes).unwrap();
    let tree = dtoolkit::fdt::Fdt::new(&blob).unwrap();
    let names: Vec<_> = tree.find_node("/passthrough/e@1").unwrap().properties().map(|p| p.name().to_owned()).collect();
    assert_eq!(names, ["reg"]);
}

#[test]
fn a_partial_tree_is_bounded() {
    let module = "/chosen/player/module@49000000";
    let deep = |levels: usize| format!("passthrough {{ {} {} }};", "a { ".repeat(levels), "}; ".repeat(levels));
    assert!(merged(&deep(8)).is_ok());
    assert_eq!(merged(&deep(9)).unwrap_err(), format!("{module}: the tree has more than 8 levels: flatten it"));
    let large = format!("passthrough {{ x = \"{}\"; }};", "x".repeat(33_000));
    let why = format!("{module}: the tree has more than 32 KiB: remove what is not for the guest");
    assert_eq!(merged(&large).unwrap_err(), why);
    let names: String = (0..100).map(|number| format!("a-long-name-{number} = <0>; ")).collect();
    assert_eq!(merged(&format!("passthrough {{ {names} }};")).unwrap_err(), "full");
    let chosen = with_chosen(PLAYER);
    let (_, manifest) = parse(&chosen).unwrap();
    let why = Partial::parse(manifest.domains[0].kernel.path, b"no tree").unwrap_err().to_string();
    assert!(why.starts_with(&format!("{module} is a damaged device tree (")), "{why}");
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
    assert_eq!(tree.write(&mut vec![0; size]).map(|(size, _)| size), Ok(size));
}
