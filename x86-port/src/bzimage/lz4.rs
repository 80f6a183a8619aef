//! Kernels that are packed by LZ4, in the old framing that Linux uses inside a bzImage.
//!
//! A magic number, then blocks: four bytes of length, and the block. Blocks do not refer to each other and unpack to at most
//! 8 MiB; nothing is summed, so that only what breaks the format is noticed. Unpacking is done in steps, like [`hyp_boot::gzip`]'s,
//! and because the library that knows the format unpacks whole blocks, which is milliseconds, the format is read here
//! (ADR 0014).
//!
//! Source: `doc/lz4_Block_format.md` and `doc/lz4_Frame_format.md` ("Legacy frame") of LZ4.

use hyp_boot::words::{WORD, set_word, word};

use super::Complaint;

/// The magic number of the old framing.
const MAGIC: [u8; 4] = 0x184c_2102u32.to_le_bytes();
/// Shortest repetition, and the length in a token that says that more follows.
const SHORTEST: usize = 4;
const MORE_FOLLOWS: usize = 15;

const CUT_OFF: Complaint = "is packed by LZ4 and cut off: load all of it";
const DAMAGED: Complaint = "is packed by LZ4 and damaged: make it again";
const MORE: Complaint = "is packed by LZ4 and unpacks to more than its last bytes say: make it again";
const FEWER: Complaint = "is packed by LZ4 and unpacks to less than its last bytes say: make it again";

/// Does a packed file start with these bytes?
pub(super) fn is_packed(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A block.
    Block,
    /// A token: the lengths of literal bytes and of a repetition.
    Token,
    /// So many literal bytes; `repeats` is the token's other length.
    Literals { left: usize, repeats: usize },
    /// The place of a repetition.
    Place { repeats: usize },
    /// So many bytes from so far back.
    Repetition { left: usize, back: usize },
}

/// How far a file is unpacked.
#[derive(Clone, Debug)]
pub(super) struct Unpacker {
    next: Next,
    read: usize,
    written: usize,
    /// Where the block ends in the file and where it began in the output.
    block: (usize, usize),
}

impl Default for Unpacker {
    fn default() -> Self {
        Self::new()
    }
}

impl Unpacker {
    /// At the beginning.
    pub(super) const fn new() -> Self {
        Self { next: Next::Block, read: MAGIC.len(), written: 0, block: (0, 0) }
    }

    /// How far the file has been read.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// Unpacks the next bytes of a file, at most `budget` of them. `out` is the place of all that the file unpacks to, and
    /// holds what earlier steps wrote. Returns whether the file is done.
    ///
    /// # Errors
    ///
    /// What is wrong. What has been written by then is of no use.
    #[inline(never)]
    pub(super) fn step(&mut self, file: &[u8], out: &mut [u8], budget: usize) -> Result<bool, Complaint> {
        let stop = out.len().min(self.written.saturating_add(budget));
        loop {
            match self.next {
                Next::Block if self.read == file.len() => {
                    return if self.written == out.len() { Ok(true) } else { Err(FEWER) };
                }
                Next::Block => self.begin_block(file)?,
                Next::Token if self.read == self.block.0 => self.next = Next::Block,
                Next::Token => {
                    self.short_sequences(file, out, stop)?;
                    let token = usize::from(self.byte(file)?);
                    let left = self.length(file, token >> 4, out.len())?;
                    self.next = Next::Literals { left, repeats: token & 15 };
                }
                Next::Literals { left: 0, .. } if self.read == self.block.0 => self.next = Next::Block,
                Next::Literals { left: 0, repeats } => self.next = Next::Place { repeats },
                Next::Literals { left, repeats } => {
                    let count = room(self.written, stop, out.len(), left)?;
                    let Some(count) = count else { return Ok(false) };
                    let end = self.read.saturating_add(count);
                    let from = file.get(self.read..end).filter(|_| end <= self.block.0).ok_or(CUT_OFF)?;
                    out.get_mut(self.written..self.written.saturating_add(count)).ok_or(MORE)?.copy_from_slice(from);
                    self.read = end;
                    self.written = self.written.saturating_add(count);
                    self.next = Next::Literals { left: left.saturating_sub(count), repeats };
                }
                Next::Place { repeats } => {
                    let back = usize::from(u16::from_le_bytes([self.byte(file)?, self.byte(file)?]));
                    let left = self.length(file, repeats, out.len())?.saturating_add(SHORTEST);
                    if back == 0 || back > self.written.saturating_sub(self.block.1) {
                        return Err(DAMAGED);
                    }
                    self.next = Next::Repetition { left, back };
                }
                Next::Repetition { left: 0, .. } => self.next = Next::Token,
                Next::Repetition { left, back } => {
                    // What is repeated may reach into what is being written: then it is as much as is there, and twice as
                    // much the next time, which begins at the same place.
                    let count = room(self.written, stop, out.len(), left.min(back))?;
                    let Some(count) = count else { return Ok(false) };
                    let start = self.written.saturating_sub(back);
                    out.copy_within(start..start.saturating_add(count), self.written);
                    self.written = self.written.saturating_add(count);
                    let back = if count == back { back.saturating_mul(2) } else { back };
                    self.next = Next::Repetition { left: left.saturating_sub(count), back };
                }
            }
        }
    }

    /// Unpacks sequences whose lengths stand in their tokens, which nearly all do, as long as neither end is near: more is
    /// copied than is asked for, and what is too much is overwritten by what follows.
    fn short_sequences(&mut self, file: &[u8], out: &mut [u8], stop: usize) -> Result<(), Complaint> {
        /// Bytes of the longest sequence, and what is touched behind the bytes that it makes.
        const READ: usize = 3 + MORE_FOLLOWS + WORD;
        const WRITTEN: usize = 2 * MORE_FOLLOWS + SHORTEST + 3 * WORD;
        let (mut read, mut written) = (self.read, self.written);
        let last_read = self.block.0.saturating_sub(READ);
        let last_written = stop.saturating_sub(WRITTEN);
        while read < last_read && written < last_written {
            let Some(&token) = file.get(read) else { break };
            let (literals, repeats) = (usize::from(token >> 4), usize::from(token & 15));
            if literals == MORE_FOLLOWS || repeats == MORE_FOLLOWS {
                break;
            }
            for at in [0, WORD] {
                let bytes = word(file, read.wrapping_add(1 + at)).ok_or(CUT_OFF)?;
                set_word(out, written.wrapping_add(at), bytes).ok_or(MORE)?;
            }
            written = written.wrapping_add(literals);
            let place = read.wrapping_add(1 + literals);
            let (Some(&low), Some(&high)) = (file.get(place), file.get(place.wrapping_add(1))) else { break };
            read = place.wrapping_add(2);
            let back = usize::from(u16::from_le_bytes([low, high]));
            if back == 0 || back > written.wrapping_sub(self.block.1) {
                return Err(DAMAGED);
            }
            let (start, count) = (written.wrapping_sub(back), repeats + SHORTEST);
            if back >= WORD {
                for at in [0, WORD, 2 * WORD] {
                    let bytes = word(out, start.wrapping_add(at)).ok_or(DAMAGED)?;
                    set_word(out, written.wrapping_add(at), bytes).ok_or(MORE)?;
                }
            } else {
                for at in 0..count {
                    let byte = out.get(start.wrapping_add(at)).copied().ok_or(DAMAGED)?;
                    *out.get_mut(written.wrapping_add(at)).ok_or(MORE)? = byte;
                }
            }
            written = written.wrapping_add(count);
        }
        (self.read, self.written) = (read, written);
        Ok(())
    }

    fn begin_block(&mut self, file: &[u8]) -> Result<(), Complaint> {
        let end = self.read.saturating_add(4);
        let bytes: [u8; 4] = file.get(self.read..end).and_then(|bytes| bytes.try_into().ok()).ok_or(CUT_OFF)?;
        self.read = end;
        if bytes != MAGIC {
            let end = end.saturating_add(u32::from_le_bytes(bytes) as usize);
            if end > file.len() {
                return Err(CUT_OFF);
            }
            self.block = (end, self.written);
            self.next = Next::Token;
        }
        Ok(())
    }

    fn byte(&mut self, file: &[u8]) -> Result<u8, Complaint> {
        let byte = file.get(self.read).copied().filter(|_| self.read < self.block.0).ok_or(DAMAGED)?;
        self.read = self.read.saturating_add(1);
        Ok(byte)
    }

    /// A length that may go on behind the token.
    fn length(&mut self, file: &[u8], short: usize, most: usize) -> Result<usize, Complaint> {
        let mut length = short;
        let mut more = short == MORE_FOLLOWS;
        while more {
            let byte = self.byte(file)?;
            length = length.saturating_add(byte.into());
            // Stops who would have us read for ever.
            if length > most {
                return Err(MORE);
            }
            more = byte == u8::MAX;
        }
        Ok(length)
    }
}

/// How many of `wanted` bytes this step has room for; `None` if it is over.
fn room(written: usize, stop: usize, end: usize, wanted: usize) -> Result<Option<usize>, Complaint> {
    match stop.saturating_sub(written).min(wanted) {
        0 if stop == end => Err(MORE),
        0 => Ok(None),
        count => Ok(Some(count)),
    }
}
