//! Models of CPUs, in the words of their emulators. On x86 the model says who emulates it: QEMU knows AMD-V only, Bochs
//! knows both.

use serde::Deserialize;

use crate::board::Board;

/// A model.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[allow(missing_docs, reason = "the emulators' words")]
pub(crate) enum Cpu {
    #[serde(rename = "cortex-a53")]
    CortexA53,
    #[serde(rename = "cortex-a57")]
    CortexA57,
    #[serde(rename = "neoverse-n1")]
    NeoverseN1,
    /// All that QEMU can do.
    #[serde(rename = "max")]
    Max,
    #[serde(rename = "corei7_skylake_x")]
    SkylakeX,
    #[serde(rename = "corei7_haswell_4770")]
    Haswell,
    #[serde(rename = "corei5_arrandale_m520")]
    Arrandale,
    #[serde(rename = "ryzen")]
    Ryzen,
}

/// Who makes an x86 CPU, and by that how it virtualizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Vendor {
    /// AMD-V, on QEMU.
    Amd,
    /// VT-x, on Bochs.
    Intel,
}

impl Cpu {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CortexA53 => "cortex-a53",
            Self::CortexA57 => "cortex-a57",
            Self::NeoverseN1 => "neoverse-n1",
            Self::Max => "max",
            Self::SkylakeX => "corei7_skylake_x",
            Self::Haswell => "corei7_haswell_4770",
            Self::Arrandale => "corei5_arrandale_m520",
            Self::Ryzen => "ryzen",
        }
    }

    /// Whether a board can have it.
    pub(crate) fn is_of(self, board: Board) -> bool {
        match self {
            Self::CortexA53 | Self::CortexA57 | Self::NeoverseN1 => board == Board::QemuVirt,
            Self::Max => true,
            Self::SkylakeX | Self::Haswell | Self::Arrandale | Self::Ryzen => board == Board::X86,
        }
    }

    /// Whether Bochs emulates it, and not QEMU.
    pub(crate) fn is_of_bochs(self) -> bool {
        matches!(self, Self::SkylakeX | Self::Haswell | Self::Arrandale | Self::Ryzen)
    }
}

impl Vendor {
    /// Its name in reports and on command lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Amd => "amd",
            Self::Intel => "intel",
        }
    }

    /// The model that shows most of the vendor's way.
    pub(crate) fn cpu(self) -> Cpu {
        match self {
            Self::Amd => Cpu::Max,
            Self::Intel => Cpu::SkylakeX,
        }
    }
}
