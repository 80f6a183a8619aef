//! Who emulates a machine, ready to start: QEMU with its arguments, or Bochs with its files.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::operator;
use crate::board::Board;
use crate::bochs::Bochs;
use crate::compose::{self, Sources};
use crate::devices::Files;
use crate::paths;
use crate::qemu::{self, Child, Clock, Qemu};
use crate::scenario::Scenario;

/// An emulator and its machine.
pub(super) enum Emulator<'s> {
    Qemu(&'s Qemu, Vec<OsString>),
    Bochs(Bochs),
}

impl<'s> Emulator<'s> {
    /// The machine of a scenario with a hypervisor; files go to `folder`.
    ///
    /// # Errors
    /// Names what is missing or does not fit.
    pub(super) fn new(
        image: &Path,
        scenario: &Scenario,
        qemu: &'s Qemu,
        sources: &Sources<'_>,
        (clock, folder): (Clock, &Path),
        files: &Files,
    ) -> Result<Self> {
        let composed = compose::compose(scenario, qemu, sources, folder)?;
        let machine = &scenario.machine;
        if machine.cpu().is_of_bochs() {
            if clock == Clock::Wall {
                bail!("{}: Bochs keeps to virtual time, so that nobody can type at its machine", machine.cpu().name());
            }
            return Ok(Self::Bochs(Bochs::prepare(image, &composed, scenario, folder)?));
        }
        let mut arguments = qemu::machine(machine, None);
        arguments.extend(qemu::clock(clock, machine, machine.cpus));
        arguments.extend(qemu::devices(scenario, files));
        arguments.extend(match machine.board {
            Board::QemuVirt => qemu::boot(image, &composed, machine.memory_mib << 20, &folder.join("stub.bin"))?,
            Board::X86 => qemu::multiboot(image, &composed),
        });
        if operator::stays_when_off(scenario) {
            arguments.extend(["-action", "shutdown=pause"].map(OsString::from));
        }
        Ok(Self::Qemu(qemu, arguments))
    }

    /// The machine of a scenario whose only guest takes the hypervisor's place.
    ///
    /// # Errors
    /// The guest's files cannot be fetched.
    pub(super) fn without_hypervisor(
        qemu: &'s Qemu,
        scenario: &Scenario,
        sources: &Sources<'_>,
        clock: Clock,
    ) -> Result<Self> {
        let guest = scenario.guests.first().context("a scenario without a guest")?;
        let kernel = compose::kernel(scenario, guest, sources)?;
        let ramdisk = compose::ramdisk(scenario, guest, sources)?;
        let mut arguments = qemu::machine(&scenario.machine, None);
        arguments.extend(qemu::clock(clock, &scenario.machine, scenario.machine.cpus));
        arguments.extend(qemu::alone(&kernel, &guest.bootargs, ramdisk.as_deref()));
        Ok(Self::Qemu(qemu, arguments))
    }

    /// Starts it, with a `keyboard` at its serial port or without, and with a monitor for its keys and display if it is
    /// `operated`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(&self, keyboard: bool, operated: bool) -> Result<Child> {
        match self {
            Self::Qemu(qemu, arguments) => qemu.start(arguments, keyboard, operated),
            Self::Bochs(bochs) => bochs.start(keyboard),
        }
    }

    /// The command as somebody would type it, with the workspace's folder left out.
    pub(super) fn shown(&self) -> String {
        let command = match self {
            Self::Qemu(qemu, arguments) => {
                let mut command = std::process::Command::new(qemu.binary());
                command.args(arguments).args(["-serial", "stdio"]);
                command
            }
            Self::Bochs(bochs) => bochs.command(),
        };
        let root = format!("{}/", paths::root().display());
        crate::process::shown(&command).replace(&root, "")
    }
}
