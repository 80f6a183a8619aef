//! The devices of a machine on the emulator's command line: virtio ones, each at the place that its number in the list says,
//! set up so that what they do repeats in virtual time (no thread of the emulator's own completes a request).

use std::ffi::OsString;

use crate::devices::{Device, Files};
use crate::scenario::{Resolution, Scenario};

/// The arguments of all devices of a scenario's machine.
pub(crate) fn devices(scenario: &Scenario, files: &Files) -> Vec<OsString> {
    let devices = crate::devices::of(scenario);
    if devices.is_empty() {
        return Vec::new();
    }
    // The transports of virtio 1, and a device that acts where the driver tells it to, not in a thread.
    let mut arguments = words(&["-global", "virtio-mmio.force-legacy=false", "-global", "virtio-mmio.ioeventfd=off"]);
    for (place, device) in devices.iter().enumerate() {
        arguments.extend(match device {
            Device::Disk(disk, writable) => self::disk(disk.serial(), *writable, files, place),
            Device::Network => network(scenario.machine.has_user_network(), place),
            Device::Sound => sound(files, place),
            Device::Display(Resolution(width, height)) => {
                virtio(&format!("virtio-gpu-device,xres={width},yres={height}"), place)
            }
            Device::Keyboard => virtio("virtio-keyboard-device", place),
        });
    }
    arguments
}

fn disk(serial: &str, writable: bool, files: &Files, place: usize) -> Vec<OsString> {
    let mut drive = OsString::from(format!("if=none,id={serial},format=raw,cache.no-flush=on,"));
    drive.push(if files.are_in_memory() { "cache.direct=on,aio=native" } else { "aio=threads" });
    drive.push(if writable { ",file=" } else { ",readonly=on,file=" });
    // A comma separates options, a double one is part of the name.
    drive.push(files.disk(serial).to_string_lossy().replace(',', ",,"));
    let mut arguments = vec!["-drive".into(), drive];
    arguments.extend(virtio(&format!("virtio-blk-device,drive={serial},serial={serial}"), place));
    arguments
}

/// A network card: on a hub by itself, where what it sends is gone after an exact time, or behind QEMU's translation of
/// addresses.
fn network(user: bool, place: usize) -> Vec<OsString> {
    const DEVICE: &str = "virtio-net-device,netdev=uplink,mac=52:54:00:00:00:01";
    let (uplink, more) =
        if user { ("user,id=uplink", "") } else { ("hubport,id=uplink,hubid=1", ",tx=timer,x-txtimer=10000") };
    let mut arguments = words(&["-netdev", uplink]);
    arguments.extend(virtio(&format!("{DEVICE}{more}"), place));
    arguments
}

/// Sound that is written into a file as it comes.
fn sound(files: &Files, place: usize) -> Vec<OsString> {
    let path = files.sound().to_string_lossy().replace(',', ",,");
    let form = "out.mixing-engine=on,out.frequency=48000,out.channels=2,out.format=s16";
    let mut arguments = vec!["-audiodev".into(), format!("wav,id=sound,path={path},{form}").into()];
    arguments.extend(virtio("virtio-sound-device,audiodev=sound", place));
    arguments
}

/// A device at its place.
fn virtio(device: &str, place: usize) -> Vec<OsString> {
    vec!["-device".into(), format!("{device},bus=virtio-mmio-bus.{place}").into()]
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

    #[test]
    fn everybody_shares_one_device_of_each_other_kind() {
        let guests = "[[guest]]\nname = \"other\"\nprogram = \"probe\"\nmemory_mib = 64\nsound = true\nkeyboard = true\n\
                      display = \"640x480\"\nnic = [{ mac = \"00:16:3e:00:00:03\" }]\n[[guest]]\nname = \"third\"\n\
                      program = \"probe\"\nmemory_mib = 64\nsound = true\ndisplay = \"320x600\"\n";
        let devices = |text: &str| {
            let arguments = devices(&scenario(text), &Files::default());
            let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
            arguments[12..].join(" ")
        };
        let rest = "-audiodev wav,id=sound,path=sound.wav,out.mixing-engine=on,out.frequency=48000,out.channels=2,\
                    out.format=s16 -device virtio-sound-device,audiodev=sound,bus=virtio-mmio-bus.3 -device \
                    virtio-gpu-device,xres=640,yres=600,bus=virtio-mmio-bus.4 -device \
                    virtio-keyboard-device,bus=virtio-mmio-bus.5";
        let card = "-device virtio-net-device,netdev=uplink,mac=52:54:00:00:00:01";
        assert_eq!(
            devices(&(TEXT.to_owned() + guests)),
            format!("-netdev hubport,id=uplink,hubid=1 {card},tx=timer,x-txtimer=10000,bus=virtio-mmio-bus.2 {rest}")
        );
        assert_eq!(
            devices(&(TEXT.replace("limit_ns", "machine.network = \"user\"\nlimit_ns") + guests)),
            format!("-netdev user,id=uplink {card},bus=virtio-mmio-bus.2 {rest}")
        );
    }
}
