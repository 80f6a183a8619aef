//! One message of the hypervisor while it is being made.
//!
//! A message is built outside every lock, on its CPU's stack, and enters the ring in one step.

use core::fmt;

use heapless::Vec;

/// Longest message, text or frame, in bytes with everything around it.
pub(crate) const MESSAGE: usize = 384;
/// What ends a text that was too long.
const CUT: &[u8] = b"...";

/// May this byte of a text go to the terminal? Everything but control characters; tab and escape (colours) may.
/// Newline is not asked for: it ends a line. Never true for 0, which delimits frames.
pub(crate) const fn printable(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x1b | 0x20..=0x7e | 0x80..)
}

/// A line of text. Control characters are dropped, newlines inside become spaces, and what is too long is cut.
pub(crate) struct Text {
    bytes: Vec<u8, MESSAGE>,
    cut: bool,
}

impl Text {
    pub(crate) fn new(prefix: &str) -> Self {
        let mut text = Self { bytes: Vec::new(), cut: false };
        text.add(prefix.as_bytes());
        text
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let byte = if byte == b'\n' { b' ' } else { byte };
            // Room for the mark of a cut and the newline stays free.
            if self.bytes.len().saturating_add(CUT.len()) >= MESSAGE - 1 {
                self.cut = true;
                return;
            }
            if printable(byte) {
                // Cannot fail: checked above.
                let _ = self.bytes.push(byte);
            }
        }
    }

    /// The line with its newline.
    pub(crate) fn finish(&mut self) -> &[u8] {
        // None of this can fail: `add` keeps four bytes free.
        if self.cut {
            let _ = self.bytes.extend_from_slice(CUT);
        }
        let _ = self.bytes.push(b'\n');
        &self.bytes
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE, Text};
    use core::fmt::Write;

    #[test]
    fn a_message_is_one_line() {
        let mut text = Text::new("[hyp] ");
        text.write_str("a\nb\0c\r\n").unwrap();
        assert_eq!(text.finish(), b"[hyp] a bc \n");
    }

    #[test]
    fn too_long_is_cut_and_marked() {
        let mut text = Text::new("[hyp] ");
        text.write_str(&"x".repeat(MESSAGE)).unwrap();
        text.write_str("y").unwrap();
        let bytes = text.finish();
        assert_eq!(bytes.len(), MESSAGE);
        assert!(bytes.ends_with(b"xx...\n"));
    }
}
