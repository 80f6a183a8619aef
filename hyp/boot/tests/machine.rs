//! What is read of a machine: QEMU's trees as they are, the shapes that boards use, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{PLAYER, QEMU_V2, QEMU_V3, dtc, with_root};
use hyp_boot::Region;
use hyp_boot::machine::{Conduit, Gic, GicV2, GicV3, Machine, Timer};

fn refusal(nodes: &str) -> String {
    Machine::parse(&with_root(nodes)).unwrap_err().to_string()
}

#[test]
fn reads_qemus_gicv3_machine() {
    let (blob, _) = dtc(QEMU_V3, "dts");
    let machine = Machine::parse(&blob).unwrap();
    assert_eq!(machine.ram.as_slice(), [Region::new(0x4000_0000, 0x4000_0000)]);
    assert!(machine.reserved.is_empty());
    assert_eq!(machine.cpus.as_slice(), [0, 1]);
    assert_eq!(machine.psci, Some(Conduit::Smc));
    let Gic::V3(GicV3 { distributor, ref redistributors, stride, maintenance }) = machine.gic else { panic!("no v3") };
    assert_eq!(distributor, Region::new(0x800_0000, 0x1_0000));
    assert_eq!(redistributors.as_slice(), [Region::new(0x80a_0000, 0xf6_0000)]);
    assert_eq!((stride, maintenance), (None, 25));
    assert_eq!(machine.timer, Timer { hypervisor: 26, virtual_: 27, physical: 30 });
    let uart = machine.uart.as_ref().unwrap();
    assert!(uart.compatible.has("arm,pl011"));
    assert_eq!((uart.registers, uart.interrupt), (Region::new(0x900_0000, 0x1000), Some(33)));
    assert_eq!(machine.options, "");
    assert_eq!(machine.seed, []);
}

#[test]
fn finds_the_random_bytes_that_the_loader_left() {
    let (blob, _) = dtc(&format!("{QEMU_V3}\n/ {{ chosen {{ rng-seed = [01 02 03]; }}; }};"), "dts");
    assert_eq!(Machine::parse(&blob).unwrap().seed, [1, 2, 3]);
}

#[test]
fn reads_qemus_gicv2_machine() {
    let (blob, _) = dtc(QEMU_V2, "dts");
    let page = |start| Region::new(start, 0x1_0000);
    assert_eq!(
        Machine::parse(&blob).unwrap().gic,
        Gic::V2(GicV2 {
            distributor: page(0x800_0000),
            cpu: page(0x801_0000),
            hypervisor: page(0x803_0000),
            virtual_cpu: page(0x804_0000),
            maintenance: 25,
        })
    );
}

#[test]
fn agrees_with_another_reader() {
    for source in [QEMU_V2, QEMU_V3] {
        let (blob, _) = dtc(source, "dts");
        let ours = Machine::parse(&blob).unwrap();
        let theirs = fdt::Fdt::new(&blob).unwrap();
        let ram: Vec<_> = theirs
            .memory()
            .regions()
            .map(|region| Region::new(region.starting_address as u64, region.size.unwrap() as u64))
            .collect();
        assert_eq!(ours.ram.as_slice(), ram);
        let cpus: Vec<_> = theirs.cpus().map(|cpu| cpu.ids().first() as u64).collect();
        assert_eq!(ours.cpus.as_slice(), cpus);
        let uart = theirs.chosen().stdout().unwrap();
        assert_eq!(ours.uart.as_ref().unwrap().node, uart.name);
        let registers = uart.reg().unwrap().next().unwrap();
        assert_eq!(ours.uart.unwrap().registers.start, registers.starting_address as u64);
    }
}

#[test]
fn joins_memory_and_collects_reservations() {
    let source = format!(
        "{QEMU_V3}\n/ {{
        memory@80000000 {{ device_type = \"memory\"; reg = <0 0x80000000 0 0x10000000 8 0 1 0>; }};
        memory@f0000000 {{ device_type = \"memory\"; status = \"disabled\"; reg = <0 0xf0000000 0 0x1000>; }};
        reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges;
            firmware@7f000000 {{ reg = <0 0x7f000000 0 0x100000>; no-map; }};
            pool {{ size = <0 0x100000>; }}; }};
    }};"
    )
    .replace("/dts-v1/;", "/dts-v1/;\n/memreserve/ 0x7e000000 0x2000;");
    let (blob, _) = dtc(&source, "dts");
    let machine = Machine::parse(&blob).unwrap();
    assert_eq!(
        machine.ram.as_slice(),
        [Region::new(0x4000_0000, 0x5000_0000), Region::new(0x8_0000_0000, 0x1_0000_0000)]
    );
    assert_eq!(machine.reserved.as_slice(), [Region::new(0x7e00_0000, 0x2000), Region::new(0x7f00_0000, 0x10_0000)]);
}

#[test]
fn translates_through_buses_and_resolves_aliases() {
    let source = r#"/dts-v1/; / { #address-cells = <2>; #size-cells = <1>;
        aliases { serial3 = "/soc@0/bus@7e000000/serial@201000"; };
        chosen { stdout-path = "serial3:115200n8"; };
        memory@0 { device_type = "memory"; reg = <0 0 0x40000000>; };
        cpus { #address-cells = <2>; #size-cells = <0>;
            cpu@0 { device_type = "cpu"; reg = <0 0x100>; enable-method = "psci"; };
            cpu@1 { device_type = "cpu"; reg = <1 0x101>; status = "disabled"; };
            cpu@2 { device_type = "cpu"; reg = <0 2>; status = "fail"; }; };
        psci { compatible = "arm,psci-0.2"; method = "hvc"; };
        soc@0 { compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>;
            ranges = <0x7e000000 0 0xfe000000 0x1800000>, <0x40000000 0 0xff800000 0x800000>;
            interrupt-controller@40041000 { compatible = "arm,gic-400"; interrupts = <1 9 0xf04>;
                reg = <0x40041000 0x1000>, <0x40042000 0x2000>, <0x40044000 0x2000>, <0x40046000 0x2000>; };
            timer { compatible = "arm,armv8-timer"; interrupt-names = "hyp-phys", "virt", "phys";
                interrupts = <1 10 8>, <1 11 8>, <1 14 8>; };
            bus@7e000000 { compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>;
                ranges = <0 0x7e000000 0x800000>;
                serial@201000 { compatible = "snps,dw-apb-uart"; reg = <0x201000 0x200>; reg-shift = <2>; }; };
        }; };"#;
    let (blob, _) = dtc(source, "dts");
    let machine = Machine::parse(&blob).unwrap();
    assert_eq!(machine.cpus.as_slice(), [0x100, 0x1_0000_0101]);
    assert_eq!(machine.psci, Some(Conduit::Hvc));
    assert_eq!(machine.timer, Timer { hypervisor: 26, virtual_: 27, physical: 30 });
    let Gic::V2(gic) = machine.gic else { panic!("no v2") };
    assert_eq!(gic.distributor, Region::new(0xff84_1000, 0x1000));
    let uart = machine.uart.unwrap();
    assert_eq!((uart.registers, uart.register_shift), (Region::new(0xfe20_1000, 0x200), 2));
}

#[test]
fn refuses_machines_it_cannot_run_on() {
    let cases = [
        (
            "/delete-node/ memory@40000000;",
            "the device tree has no memory: it needs a /memory node with device_type = \"memory\" and reg",
        ),
        (
            "/delete-node/ cpus;",
            "the device tree has no CPU: it needs a node /cpus/cpu@0 with device_type = \"cpu\" and reg",
        ),
        (
            "/delete-node/ intc@8000000;",
            "the device tree has no interrupt controller that this hypervisor drives: arm,gic-v3, arm,gic-400 or \
             arm,cortex-a15-gic with a maintenance interrupt",
        ),
        (
            "/delete-node/ timer;",
            "the device tree has no arm,armv8-timer with four interrupts, the fourth for the hypervisor",
        ),
        ("psci { method = \"call\"; };", "/psci: method is \"call\" and must be \"smc\" or \"hvc\""),
        (
            "cpus { cpu@1 { enable-method = \"spin-table\"; }; };",
            "/cpus/cpu@1: enable-method is \"spin-table\" and must be \"psci\": use firmware that has PSCI",
        ),
        (
            "chosen { stdout-path = \"serial9:9600\"; };",
            "/chosen: stdout-path is \"serial9:9600\" and must be the path or the alias of a serial port in this tree",
        ),
        (
            "memory@40000000 { reg = <0 0x40000000 0>; };",
            "/memory@40000000: reg must be addresses and sizes as wide as #address-cells and #size-cells of its parent say",
        ),
        ("#address-cells = <4>;", "/: #address-cells must be 1 or 2, and #size-cells 0, 1 or 2"),
        (
            "intc@8000000 { #redistributor-regions = <3>; };",
            "/intc@8000000: #redistributor-regions must be 1 to 4, with a range in reg for each",
        ),
    ];
    for (nodes, message) in cases {
        assert_eq!(refusal(nodes), message);
    }
}

#[test]
fn finds_a_voice_in_trees_that_lack_everything_else() {
    let blob = with_root("/delete-node/ memory@40000000; /delete-node/ intc@8000000; /delete-node/ cpus;");
    let (uart, conduit) = Machine::last_words(&blob);
    assert_eq!(uart.unwrap().registers.start, 0x900_0000);
    assert_eq!(conduit, Some(Conduit::Smc));
    assert_eq!(Machine::last_words(&blob[..100]), (None, None));
}

#[test]
fn counts_cpus_without_room() {
    let more: String = (2..11).map(|cpu| format!("cpu@{cpu:x} {{ device_type = \"cpu\"; reg = <{cpu}>; }};")).collect();
    let blob = with_root(&format!("cpus {{ {more} }};"));
    let machine = Machine::parse(&blob).unwrap();
    assert_eq!((machine.cpus.len(), machine.cpus_left_out), (8, 3));
}

#[test]
fn refuses_what_is_no_tree() {
    let magic =
        "the device tree is damaged (its first bytes are not d0 0d fe ed): make it again with dtc and load all of it";
    assert_eq!(Machine::parse(&[0; 64]).unwrap_err().to_string(), magic);
    let cut = "the device tree is damaged (it is cut off, or a length in it is wrong): make it again with dtc and load all of it";
    let (blob, _) = dtc(&format!("{QEMU_V3}\n/ {{ chosen {{ {PLAYER} }}; }};"), "dts");
    assert_eq!(Machine::parse(&blob[..blob.len() / 2]).unwrap_err().to_string(), cut);
    assert_eq!(Machine::parse(&[]).unwrap_err().to_string(), cut);
}

#[test]
fn accepts_a_blob_followed_by_other_bytes() {
    let (mut blob, _) = dtc(QEMU_V3, "dts");
    assert_eq!(hyp_boot::blob_size(&blob), Some(blob.len()));
    blob.extend([0xff; 100]);
    Machine::parse(&blob).unwrap();
}
