//! The boards, and what each has its own of: compiler targets, guests, folders, and the scenarios that `run` takes.

use std::path::PathBuf;

use serde::Deserialize;

use crate::paths;

/// A board of `boards/`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Board {
    /// QEMU's `virt`, arm64.
    #[default]
    QemuVirt,
    /// A PC with AMD-V or VT-x.
    X86,
}

impl Board {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::QemuVirt, Self::X86];

    /// The name of its folder and of its crate.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::QemuVirt => "qemu-virt",
            Self::X86 => "x86",
        }
    }

    /// What its hypervisor is built for: no floating-point registers, which belong to the guests.
    pub(crate) fn hypervisor_target(self) -> &'static str {
        match self {
            Self::QemuVirt => "aarch64-unknown-none-softfloat",
            Self::X86 => "x86_64-unknown-none",
        }
    }

    /// What its guests are built for: floating point as real ones have it (ADR 0003).
    pub(crate) fn guest_target(self) -> &'static str {
        match self {
            Self::QemuVirt => "aarch64-unknown-none",
            Self::X86 => "x86_64-unknown-linux-musl",
        }
    }

    /// What programs for its stock Linux guests are built for.
    pub(crate) fn linux_target(self) -> &'static str {
        match self {
            Self::QemuVirt => "aarch64-unknown-linux-musl",
            Self::X86 => "x86_64-unknown-linux-musl",
        }
    }

    /// What Debian calls its architecture.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::QemuVirt => "arm64",
            Self::X86 => "amd64",
        }
    }

    /// Folder of the guests' finished files.
    pub(crate) fn guest_images(self) -> PathBuf {
        match self {
            Self::QemuVirt => paths::guest_images(),
            Self::X86 => paths::guest_images().join(self.name()),
        }
    }

    /// Folder of the scenarios for `cargo xtask run`.
    pub(crate) fn scenarios(self) -> PathBuf {
        paths::root().join("boards").join(self.name()).join("scenarios")
    }
}
