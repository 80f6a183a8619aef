//! Models of CPUs, in the words of their emulator.

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
}

impl Cpu {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CortexA53 => "cortex-a53",
            Self::CortexA57 => "cortex-a57",
            Self::NeoverseN1 => "neoverse-n1",
            Self::Max => "max",
        }
    }

    /// Whether a board can have it.
    pub(crate) fn is_of(self, board: Board) -> bool {
        match self {
            Self::CortexA53 | Self::CortexA57 | Self::NeoverseN1 => board == Board::QemuVirt,
            Self::Max => true,
        }
    }
}
