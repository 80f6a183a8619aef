//! The devices of a machine on the emulator's command line: virtio ones, each at the place that its number in the list says,
//! set up so that what they do repeats in virtual time (no thread of the emulator's own completes a request).

use std::ffi::OsString;

use crate::board::Board;
use crate::devices::{Device, Files};
use crate::scenario::{Machine, Resolution, Scenario};

/// Keeps what comes from this host until the next of these times, in us.
const PACE: &str = "filter-buffer,id=pace,netdev=uplink,queue=tx,interval=10000";

/// The first place on a PC's bus that the machine's own devices leave.
const FIRST_PCI: usize = 2;

/// The arguments of all devices of a scenario's machine.
pub(crate) fn devices(scenario: &Scenario, files: &Files) -> Vec<OsString> {
    let machine = &scenario.machine;
    let devices = crate::devices::of(scenario);
    if devices.is_empty() {
        return Vec::new();
    }
    let mut arguments = Vec::new();
    if machine.board == Board::QemuVirt {
        // The transports of virtio 1, and devices that act where the driver tells them to, not in a thread.
        let globals = ["-global", "virtio-mmio.force-legacy=false", "-global", "virtio-mmio.ioeventfd=off"];
        arguments.extend(globals.map(OsString::from));
    }
    for (place, device) in devices.into_iter().enumerate() {
        let (behind, kind, options) = match device {
            Device::Disk(disk, writable) => {
                let serial = disk.serial();
                (drive(serial, writable, files), "blk", format!(",drive={serial},serial={serial}"))
            }
            Device::Network => network(machine),
            // Half of its streams record, rounded down.
            Device::Sound(guests) => (recording(files), "sound", format!(",audiodev=sound,streams={}", 2 * guests - 1)),
            Device::Display(Resolution(width, height)) => (Vec::new(), "gpu", format!(",xres={width},yres={height}")),
            Device::Keyboard => (Vec::new(), "keyboard", String::new()),
        };
        arguments.extend(behind);
        arguments.extend(["-device".into(), at(machine.board, kind, &options, place).into()]);
    }
    arguments
}

/// A device at its place.
fn at(board: Board, kind: &str, options: &str, place: usize) -> String {
    match board {
        Board::QemuVirt => format!("virtio-{kind}-device{options},bus=virtio-mmio-bus.{place}"),
        Board::X86 => {
            // Only the first kinds ever had another form than that of virtio 1; keyboards have no thread.
            let form = match kind {
                "blk" | "net" => ",disable-legacy=on,ioeventfd=off",
                "keyboard" => "",
                _ => ",ioeventfd=off",
            };
            format!("virtio-{kind}-pci{options}{form},addr={:#x}", place + FIRST_PCI)
        }
    }
}

/// What is behind a disk.
fn drive(serial: &str, writable: bool, files: &Files) -> Vec<OsString> {
    let mut drive = OsString::from(format!("if=none,id={serial},format=raw,cache.no-flush=on,"));
    drive.push(if files.are_in_memory() { "cache.direct=on,aio=native" } else { "aio=threads" });
    drive.push(if writable { ",file=" } else { ",readonly=on,file=" });
    // A comma separates options, a double one is part of the name.
    drive.push(files.disk(serial).to_string_lossy().replace(',', ",,"));
    vec!["-drive".into(), drive]
}

/// A network card: on a hub by itself, where what it sends is gone after an exact time, or behind QEMU's translation of
/// addresses.
fn network(machine: &Machine) -> (Vec<OsString>, &'static str, String) {
    let user = machine.has_user_network();
    let uplink = if user { "user,id=uplink" } else { "hubport,id=uplink,hubid=1" };
    let mut behind = vec!["-netdev", uplink];
    let mut options = ",netdev=uplink,mac=52:54:00:00:00:01".to_owned();
    if machine.has_paced_network() {
        behind.extend(["-object", PACE]);
    }
    if !user || machine.has_paced_network() {
        options += ",tx=timer,x-txtimer=10000";
    }
    if machine.board == Board::X86 {
        // No program of the card's own runs before the hypervisor.
        options += ",romfile=";
    }
    (behind.into_iter().map(OsString::from).collect(), "net", options)
}

/// A file that takes sound as it comes.
fn recording(files: &Files) -> Vec<OsString> {
    let path = files.sound().to_string_lossy().replace(',', ",,");
    let form = "out.mixing-engine=on,out.frequency=48000,out.channels=2,out.format=s16";
    vec!["-audiodev".into(), format!("wav,id=sound,path={path},{form}").into()]
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
    fn a_pc_has_them_on_its_bus() {
        let text =
            TEXT.replace("limit_ns", "machine.board = \"x86\"\nlimit_ns") + "nic = [{ mac = \"00:16:3e:00:00:03\" }]\n";
        let arguments = devices(&scenario(&text), &Files::default());
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
        assert_eq!(arguments[3], "virtio-blk-pci,drive=disk-0,serial=disk-0,disable-legacy=on,ioeventfd=off,addr=0x2");
        assert_eq!(
            arguments.last(),
            Some(
                &"virtio-net-pci,netdev=uplink,mac=52:54:00:00:00:01,tx=timer,x-txtimer=10000,romfile=,disable-legacy=on,ioeventfd=off,addr=0x4"
            )
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
                    out.format=s16 -device virtio-sound-device,audiodev=sound,streams=3,bus=virtio-mmio-bus.3 -device \
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
        assert_eq!(
            devices(&(TEXT.replace("limit_ns", "machine.network = \"paced\"\nlimit_ns") + guests)),
            format!(
                "-netdev user,id=uplink -object filter-buffer,id=pace,netdev=uplink,queue=tx,interval=10000 \
                 {card},tx=timer,x-txtimer=10000,bus=virtio-mmio-bus.2 {rest}"
            )
        );
    }
}
