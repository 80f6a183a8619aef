//! The hypervisor's compact log: `defmt` frames, whose format strings are in the ELF and not in the image.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use defmt_decoder::{DecodeError, Table};

/// Decodes log frames of one hypervisor build.
pub(crate) struct Frames {
    table: Table,
}

impl Frames {
    /// Reads the format strings from the hypervisor's ELF.
    ///
    /// # Errors
    /// If the file cannot be read or has a format this decoder does not know.
    pub(crate) fn read(elf: &Path) -> Result<Option<Self>> {
        let bytes = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
        let table = Table::parse(&bytes).map_err(|error| anyhow!("{}: {error}", elf.display()))?;
        Ok(table.map(|table| Self { table }))
    }

    /// Text of one frame, still in its rzcobs encoding: the message, after its level unless that is `info`.
    ///
    /// # Errors
    /// If it is damaged.
    pub(crate) fn decode(&self, encoded: &[u8]) -> Result<String> {
        let mut decoder = self.table.new_stream_decoder();
        decoder.received(encoded);
        decoder.received(&[0]);
        match decoder.decode() {
            Ok(frame) => {
                let message = frame.display_message().to_string();
                let level = frame.level().map(|level| level.as_str()).filter(|level| *level != "info");
                Ok(match level {
                    Some(level) if !message.starts_with('@') => format!("{level}: {message}"),
                    _ => message,
                })
            }
            Err(DecodeError::UnexpectedEof) => bail!("it is cut short"),
            Err(DecodeError::Malformed) => bail!("it is damaged or of another build"),
        }
    }
}
