//! The emulator's command line. It is part of every report, so that a run can be repeated by hand.

use std::ffi::OsString;
use std::path::Path;

use crate::board::Board;
use crate::compose::{Composed, RAM_BASE, tree_address};
use crate::scenario::{Guest, Machine, Word};

/// How virtual time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// One instruction is one nanosecond; idle time is skipped; every run is the same.
    Instructions,
    /// The host's clock.
    Wall,
}

/// Where the loader stub lies: behind the tree that QEMU leaves at the start of RAM when it loads no kernel (1 MiB).
const STUB_ADDRESS: u64 = RAM_BASE + (1 << 20);

/// Where the loader stub finds the hypervisor.
const IMAGE_ADDRESS: u64 = RAM_BASE + (2 << 20);

/// The machine alone; with `dump`, it only writes its device tree.
pub(crate) fn machine(machine: &Machine, dump: Option<&Path>) -> Vec<OsString> {
    let mut arguments = match machine.board {
        Board::QemuVirt => {
            let mut options = String::from("virtualization=on");
            if let Some(path) = dump {
                options += &format!(",dumpdtb={}", path.display());
            }
            virt(machine, &options)
        }
        Board::X86 => pc(machine),
    };
    arguments.extend(sizes(machine.cpus, machine.memory_mib));
    arguments.extend(machine.devices.iter().flat_map(|device| ["-device".into(), device.into()]));
    arguments
}

/// The machine of one guest without a hypervisor: its CPUs and memory, and the emulator as its loader.
pub(crate) fn bare(machine: &Machine, guest: &Guest, kernel: &Path, ramdisk: &Path) -> Vec<OsString> {
    let mut arguments = virt(machine, "virtualization=off");
    arguments.extend(sizes(guest.vcpus, guest.memory_mib));
    arguments.extend(alone(kernel, &guest.bootargs, Some(ramdisk)));
    arguments
}

/// A PC with AMD-V. An x2APIC under the deterministic clock ends some runs with "Bad icount read".
fn pc(machine: &Machine) -> Vec<OsString> {
    let cpu = format!("{},+svm,+npt,-x2apic", machine.cpu().name());
    ["-cpu", &cpu].map(OsString::from).to_vec()
}

fn virt(machine: &Machine, options: &str) -> Vec<OsString> {
    let board = format!("virt,gic-version={},dtb-randomness=off,{options}", machine.gic);
    ["-M", &board, "-cpu", machine.cpu().name()].map(OsString::from).to_vec()
}

/// What every machine is told.
fn sizes(cpus: u32, memory_mib: u64) -> Vec<OsString> {
    let (cpus, memory) = (cpus.to_string(), memory_mib.to_string());
    let quiet = ["-display", "none", "-no-reboot", "-nodefaults"];
    ["-smp", &cpus, "-m", &memory].into_iter().chain(quiet).map(OsString::from).collect()
}

/// The clock's arguments. With a network of this host an idle machine's time goes on as the host's does, as what it waits for
/// may come from there.
pub(crate) fn clock(clock: Clock, machine: &Machine, cpus: u32) -> Vec<OsString> {
    let sleep = if machine.has_user_network() { "shift=0,sleep=on" } else { "shift=0,sleep=off" };
    // The board's clock counts seconds since power-on, by which runs are ended: see `monitor`.
    let mut arguments: Vec<&str> = vec!["-rtc", "base=1970-01-01,clock=vm"];
    if clock == Clock::Instructions {
        arguments.extend(["-icount", sleep, "-accel", "tcg,thread=single"]);
        if cpus > 1 {
            // Without a timer in virtual time each CPU takes turns of up to 100 ms, which ruins latencies between CPUs. On x86
            // one as short as ARM's brings a loop with PAUSE to a standstill.
            arguments.extend(["-netdev", "hubport,id=turn,hubid=0", "-object"]);
            arguments.push(match machine.board {
                Board::QemuVirt => "filter-buffer,id=turnf,netdev=turn,interval=20",
                Board::X86 => "filter-buffer,id=turnf,netdev=turn,interval=100",
            });
        }
    }
    arguments.into_iter().map(OsString::from).collect()
}

/// The hypervisor, its tree and modules. `stub` is a file that may be written for a tree that must arrive verbatim.
pub(crate) fn boot(image: &Path, composed: &Composed, ram_bytes: u64, stub: &Path) -> std::io::Result<Vec<OsString>> {
    let mut arguments = Vec::new();
    if composed.verbatim {
        let tree = tree_address(ram_bytes);
        std::fs::write(stub, stub_code(tree, IMAGE_ADDRESS))?;
        loader(&mut arguments, image, IMAGE_ADDRESS);
        loader(&mut arguments, &composed.tree, tree);
        loader(&mut arguments, stub, STUB_ADDRESS);
        arguments.extend([OsString::from("-device"), format!("loader,addr={STUB_ADDRESS:#x},cpu-num=0").into()]);
    } else {
        arguments.extend(["-kernel".into(), image.into(), "-dtb".into(), composed.tree.clone().into()]);
    }
    for module in &composed.modules {
        if let Some(address) = module.address {
            loader(&mut arguments, &module.path, address);
        }
    }
    for Word { address, value } in &composed.words {
        arguments.extend(["-device".into(), format!("loader,addr={address:#x},data={value:#x},data-len=8").into()]);
    }
    Ok(arguments)
}

/// The same by multiboot: the first module is the tree, the others follow in its order.
pub(crate) fn multiboot(image: &Path, composed: &Composed) -> Vec<OsString> {
    let paths = std::iter::once(&composed.tree).chain(composed.modules.iter().map(|module| &module.path));
    // A comma separates modules, a double one is part of the name.
    let modules: Vec<String> = paths.map(|path| path.to_string_lossy().replace(',', ",,")).collect();
    vec!["-kernel".into(), image.into(), "-initrd".into(), modules.join(",").into()]
}

/// A guest in the hypervisor's place.
pub(crate) fn alone(kernel: &Path, command_line: &str, ramdisk: Option<&Path>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-kernel".into(), kernel.into(), "-append".into(), command_line.into()];
    if let Some(path) = ramdisk {
        arguments.extend(["-initrd".into(), path.into()]);
    }
    arguments
}

fn loader(arguments: &mut Vec<OsString>, path: &Path, address: u64) {
    // A comma separates options, a double one is part of the name.
    let file = path.to_string_lossy().replace(',', ",,");
    arguments.extend(["-device".into(), format!("loader,file={file},addr={address:#x},force-raw=on").into()]);
}

/// A loader of six instructions: tree in x0, zero in x1 to x3, jump. QEMU's own loader repairs memory nodes, so a tree
/// that is broken on purpose has to go around it.
fn stub_code(tree: u64, image: u64) -> Vec<u8> {
    const LDR_X0_24: u32 = 0x5800_00c0;
    const LDR_X4_28: u32 = 0x5800_00e4;
    const MOV_X1_0: u32 = 0xd280_0001;
    const BR_X4: u32 = 0xd61f_0080;
    let code = [LDR_X0_24, LDR_X4_28, MOV_X1_0, MOV_X1_0 + 1, MOV_X1_0 + 2, BR_X4];
    let literals = [tree, image];
    let code = code.iter().flat_map(|word| word.to_le_bytes());
    code.chain(literals.iter().flat_map(|word| word.to_le_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Clock, clock};
    use crate::board::Board;
    use crate::report::tests::scenario;
    use crate::scenario::Machine;

    #[test]
    fn the_boards_clock_starts_at_power_on_in_real_time_too() {
        let mut machine = Machine::default();
        machine.board = Board::X86;
        for kind in [Clock::Instructions, Clock::Wall] {
            assert!(clock(kind, &machine, 1).iter().any(|argument| argument == "base=1970-01-01,clock=vm"), "{kind:?}");
        }
    }

    #[test]
    fn an_idle_machine_waits_for_the_hosts_network() {
        let sleeps = |machine: &Machine| clock(Clock::Instructions, machine, 1).contains(&"shift=0,sleep=on".into());
        let user = "about = \"\"\nlimit_ns = 1\nmachine.network = \"user\"";
        assert!(!sleeps(&Machine::default()) && sleeps(&scenario(user).machine));
    }
}
