//! Trees for the tests: QEMU's own, with guests added in source form and compiled by `dtc`.
#![allow(dead_code, reason = "each test crate uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;
use std::process::{Command, Stdio};

use hyp_boot::Region;
use hyp_boot::machine::Machine;
use hyp_boot::manifest::Manifest;

/// QEMU's virt machine with a GICv3, 2 CPUs and 1 GiB from 0x40000000.
pub(crate) const QEMU_V3: &str = include_str!("../data/qemu-virt-gicv3.dts");
/// The same with a GICv2.
pub(crate) const QEMU_V2: &str = include_str!("../data/qemu-virt-gicv2.dts");
/// Where the tests say the hypervisor is.
pub(crate) const IMAGE: Region = Region::new(0x4020_0000, 0x4_0000);
/// Where the tests say the tree is.
pub(crate) const TREE: Region = Region::new(0x4800_0000, 0x1_0000);
/// A guest that is all right: a node `player` with a kernel at 0x49000000.
pub(crate) const PLAYER: &str = r#"player {
    compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>;
    memory = <0 0x8000>; cpus = <1>; xen,enhanced = "enabled";
    module@49000000 {
        compatible = "multiboot,kernel", "multiboot,module";
        reg = <0 0x49000000 0 0x100000>; bootargs = "mode=play";
    };
};"#;

/// Runs `dtc` on a source. Returns the blob and what it complained about.
pub(crate) fn dtc(source: &str, from: &str) -> (Vec<u8>, String) {
    run_dtc(source.as_bytes(), &["-I", from, "-O", "dtb"])
}

/// Runs `dtc` with these options. Returns its output and its complaints.
pub(crate) fn run_dtc(input: &[u8], options: &[&str]) -> (Vec<u8>, String) {
    let mut child = Command::new("dtc")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dtc runs: cargo xtask setup installs it");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "dtc: {complaints}");
    (output.stdout, complaints)
}

/// QEMU's tree with these nodes (or properties) in `/chosen`.
pub(crate) fn with_chosen(chosen: &str) -> Vec<u8> {
    with_root(&format!("chosen {{ {chosen} }};"))
}

/// QEMU's tree with these nodes in the root.
pub(crate) fn with_root(nodes: &str) -> Vec<u8> {
    dtc(&format!("{QEMU_V3}\n/ {{ {nodes} }};"), "dts").0
}

/// The message with which a tree is refused.
pub(crate) fn refusal(blob: &[u8]) -> String {
    match parse(blob) {
        Ok(_) => panic!("the tree was accepted"),
        Err(message) => message,
    }
}

/// Reads machine and manifest, errors as text.
pub(crate) fn parse(blob: &[u8]) -> Result<(Machine<'_>, Manifest<'_>), String> {
    let machine = Machine::parse(blob).map_err(|error| error.to_string())?;
    let manifest = Manifest::parse(&machine, IMAGE, TREE).map_err(|error| error.to_string())?;
    Ok((machine, manifest))
}
