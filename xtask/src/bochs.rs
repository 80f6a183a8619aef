//! Bochs, which emulates VT-x, and the parts of AMD-V that QEMU does not.
//!
//! It knows no loader, so that the machine comes up with Bochs's own BIOS (which brings ACPI's tables, and several CPUs),
//! and an expansion ROM of ours takes over where the BIOS would look for disks. One instruction is one nanosecond, as in
//! QEMU's deterministic clock; a serial character takes the time that it takes at 115,200 baud.

mod memory;
mod rom;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::compose::Composed;
use crate::qemu::{Child, tied};
use crate::scenario::Scenario;
use memory::Memory;

/// Debian's packages: the emulator, its text display, and what its machine boots from.
pub(crate) const PACKAGES: [&str; 5] = ["bochs", "bochs-term", "bochsbios", "vgabios", "seabios"];

/// Where the packages put things.
const BINARY: &str = "/usr/bin/bochs";
const BIOS: &str = "/usr/share/bochs/BIOS-bochs-latest";
const VGA_BIOS: &str = "/usr/share/bochs/VGABIOS-lgpl-latest";
/// Its display wants a terminal, which this program gives it.
const SCRIPT: &str = "/usr/bin/script";

/// Instructions a second.
const SPEED: u64 = 1_000_000_000;

/// `None` if it is there, or what is wrong.
pub(crate) fn problem() -> Option<String> {
    let missing = [BINARY, BIOS, VGA_BIOS, SCRIPT].into_iter().find(|path| !Path::new(path).exists())?;
    Some(format!("Bochs is not installed: {missing} is missing"))
}

/// A machine that is ready to start; its files have the scenario's name.
pub(crate) struct Bochs {
    /// The configuration, without the serial port, whose address is known at the start only.
    configuration: String,
    /// Folder and name of its files.
    stem: PathBuf,
}

impl Bochs {
    /// Writes the machine's files into `folder`.
    ///
    /// # Errors
    /// Bochs is missing, or something does not fit.
    pub(crate) fn prepare(image: &Path, composed: &Composed, scenario: &Scenario, folder: &Path) -> Result<Self> {
        if let Some(problem) = problem() {
            bail!("{problem}; `cargo xtask setup` installs it");
        }
        let stem = folder.join(scenario.name());
        let memory = Memory::load(image, composed, scenario.machine.memory_mib << 20)?;
        let bios = fs::read(BIOS).with_context(|| format!("cannot read {BIOS}"))?;
        let media = rom::media(&memory, &bios)?;
        write(&stem.with_extension("bios"), &media.system)?;
        write(&stem.with_extension("rom"), &media.expansion)?;
        let disk = disk(media.disk, &stem.with_extension("disk"))?;
        // Stop at the limit, which is a time as instructions are, and go.
        write(&stem.with_extension("debugger"), format!("sb {}\nc\nq\n", scenario.limit_ns).as_bytes())?;
        Ok(Self { configuration: configuration(scenario, &stem) + &disk, stem })
    }

    /// Starts it with its serial port connected to us, for typing too if there is a `keyboard`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(&self, keyboard: bool) -> Result<Child> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port to listen to Bochs's serial port at")?;
        let port = listener.local_addr()?.port();
        let serial = format!("com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}\n");
        write(&self.stem.with_extension("bochsrc"), (self.configuration.clone() + &serial).as_bytes())?;
        let _ = fs::remove_file(self.log());
        Child::start_remote(self.command(), keyboard, listener, self.log())
    }

    /// The command line.
    pub(crate) fn command(&self) -> Command {
        let [configuration, debugger] = ["bochsrc", "debugger"].map(|ending| self.stem.with_extension(ending));
        let mut command = tied(Path::new(SCRIPT));
        let bochs = format!("{BINARY} -q -f '{}' -rc '{}'", configuration.display(), debugger.display());
        command.args(["-qec", &bochs, "/dev/null"]);
        command
    }

    fn log(&self) -> PathBuf {
        self.stem.with_extension("bochs-log")
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the disk, if there is anything on it; what Bochs is told of it.
fn disk(mut bytes: Vec<u8>, path: &Path) -> Result<String> {
    const HEADS: usize = 16;
    const SECTORS: usize = 63;
    if bytes.is_empty() {
        return Ok("ata0: enabled=0\n".into());
    }
    let cylinders = bytes.len().div_ceil(HEADS * SECTORS * 512);
    bytes.resize(cylinders * HEADS * SECTORS * 512, 0);
    write(path, &bytes)?;
    let geometry = format!("cylinders={cylinders}, heads={HEADS}, spt={SECTORS}");
    let drive = format!("ata0-master: type=disk, mode=flat, path={}, {geometry}\n", path.display());
    Ok(format!("ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n{drive}"))
}

/// What Bochs is told; a panic of its own ends it, and a triple fault is one.
fn configuration(scenario: &Scenario, stem: &Path) -> String {
    let machine = &scenario.machine;
    let (cpu, cpus, memory) = (machine.cpu().name(), machine.cpus, machine.memory_mib);
    let file = |ending: &str| stem.with_extension(ending).display().to_string();
    let lines = [
        "plugin_ctrl: unmapped=1, biosdev=1, serial=1, extfpuirq=1, speaker=0, parallel=0, gameport=0, iodebug=0"
            .into(),
        "config_interface: textconfig".into(),
        "display_library: term".into(),
        format!("cpu: model={cpu}, count={cpus}, ips={SPEED}, quantum=16, reset_on_triple_fault=0, ignore_bad_msrs=0"),
        format!("memory: guest={memory}, host={memory}"),
        format!("romimage: file={}", file("bios")),
        format!("optromimage1: file={}, address={:#x}", file("rom"), rom::ADDRESS),
        format!("vgaromimage: file={VGA_BIOS}"),
        "vga: extension=vbe, update_freq=1".into(),
        "clock: sync=none, time0=1".into(),
        format!("log: {}", file("bochs-log")),
        "panic: action=fatal".into(),
        "error: action=report".into(),
        "info: action=report".into(),
        "debug: action=ignore".into(),
    ];
    lines.map(|line: String| line + "\n").concat()
}
