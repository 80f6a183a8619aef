//! The devices of a machine on the emulator's command line: virtio ones, each at the place that its number in the list says,
//! set up so that what they do repeats in virtual time (no thread of the emulator's own completes a request).

use std::ffi::OsString;

use crate::devices::{Device, Files};
use crate::scenario::Scenario;

/// The arguments of all devices of a scenario's machine.
pub(crate) fn devices(scenario: &Scenario, files: &Files) -> Vec<OsString> {
    let devices = crate::devices::of(scenario);
    if devices.is_empty() {
        return Vec::new();
    }
    // The transports of virtio 1, and a device that acts where the driver tells it to, not in a thread.
    let mut arguments = words(&["-global", "virtio-mmio.force-legacy=false", "-global", "virtio-mmio.ioeventfd=off"]);
    for (place, device) in devices.iter().enumerate() {
        let Device::Disk(disk, writable) = device;
        arguments.extend(self::disk(disk.serial(), *writable, files, place));
    }
    arguments
}

fn disk(serial: &str, writable: bool, files: &Files, place: usize) -> Vec<OsString> {
    let mut drive = OsString::from(format!("if=none,id={serial},format=raw,cache.no-flush=on,"));
    drive.push(if files.are_in_memory() { "cache.direct=on,aio=native" } else { "aio=threads" });
    drive.push(if writable { ",file=" } else { ",readonly=on,file=" });
    // A comma separates options, a double one is part of the name.
    drive.push(files.disk(serial).to_string_lossy().replace(',', ",,"));
    let device = format!("virtio-blk-device,drive={serial},serial={serial},bus=virtio-mmio-bus.{place}");
    vec!["-drive".into(), drive, "-device".into(), device.into()]
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::devices;
    use crate::devices::Files;
    use crate::report::tests::scenario;

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
        disk = [
            { name = "xvda", image = "empty", size_mib = 1, serial = "disk-0" },
            { name = "xvdb", image = "empty", size_mib = 1, read_only = true },
            { name = "xvdc", serial = "disk-0", partition = 1, read_only = true },
        ]
    "#;

    #[test]
    fn a_disk_is_there_once_and_read_only_if_nobody_may_write() {
        let arguments = devices(&scenario(TEXT), &Files::default());
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
        assert_eq!(
            arguments,
            [
                "-global",
                "virtio-mmio.force-legacy=false",
                "-global",
                "virtio-mmio.ioeventfd=off",
                "-drive",
                "if=none,id=disk-0,format=raw,cache.no-flush=on,aio=threads,file=disk-0.img",
                "-device",
                "virtio-blk-device,drive=disk-0,serial=disk-0,bus=virtio-mmio-bus.0",
                "-drive",
                "if=none,id=xvdb,format=raw,cache.no-flush=on,aio=threads,readonly=on,file=xvdb.img",
                "-device",
                "virtio-blk-device,drive=xvdb,serial=xvdb,bus=virtio-mmio-bus.1",
            ]
        );
    }
}
