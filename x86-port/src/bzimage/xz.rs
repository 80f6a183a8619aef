//! Kernels that are packed by xz, as Debian's full kernel for PCs is: one block of LZMA2, before it perhaps the filter for x86
//! code, and a checksum.
//!
//! First the block is unpacked to where the kernel shall be, then the filter is undone there and the checksum taken. What
//! stands behind the block only says again what has been seen by then, and is not read.
//!
//! Source: `doc/xz-file-format.txt` of XZ Utils.

use crc::Digest;
use hyp_boot::gzip::CRC;

use super::Complaint;
use super::branches::Branches;
use super::lzma::{self, CHANCES};

const MAGIC: &[u8] = b"\xfd7zXZ\0";
/// Bytes of the stream's header, and in it the flags with their checksum.
const HEADER: usize = 12;
const FLAGS_AT: usize = 6;
/// The flags of a stream whose blocks are summed by CRC32.
const SUMMED: [u8; 2] = [0, 1];
/// Flags of a block's header: how many filters but one, what must be 0, and whether there are sizes.
const FILTERS: u8 = 3;
const RESERVED: u8 = 0x3c;
const SIZES: [u8; 2] = [1 << 6, 1 << 7];
/// Filters.
const X86: u64 = 4;
const LZMA2: u64 = 0x21;

const CUT_OFF: Complaint = "is packed by xz and cut off: load all of it";
const DAMAGED: Complaint = "is packed by xz and has a damaged header: make it again";
const FEWER: Complaint = "is packed by xz and unpacks to less than its last bytes say: make it again";
const SUM: Complaint = "is packed by xz and damaged (its checksum is wrong): make it again";
const UNKNOWN: Complaint = "is packed by xz in a way that kernels are not: make it again as Linux's own script does";

/// Chances that unpacking keeps.
pub(super) const ROOM: usize = CHANCES;

/// Does a packed file start with these bytes?
pub(super) fn is_packed(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Header,
    Body,
    Rest,
}

/// How far a file is unpacked.
pub(super) struct Unpacker<'r> {
    next: Next,
    /// The block's body begins here.
    body: usize,
    lzma: lzma::Unpacker<'r>,
    /// The filter, if there is one, and how far the checksum is taken.
    branches: Option<Branches>,
    summed: usize,
    digest: Digest<'static, u32>,
}

impl<'r> Unpacker<'r> {
    /// At the beginning; `room` has [`ROOM`] words, with anything in them.
    pub(super) fn new(room: &'r mut [u16]) -> Self {
        let lzma = lzma::Unpacker::new(room);
        Self { next: Next::Header, body: 0, lzma, branches: None, summed: 0, digest: CRC.digest() }
    }

    /// Starts at the beginning again.
    pub(super) fn start(&mut self) {
        (self.next, self.summed, self.digest) = (Next::Header, 0, CRC.digest());
        self.lzma.start(0);
    }

    /// How far the file has been read.
    pub(super) fn read(&self) -> usize {
        self.lzma.read()
    }

    /// Unpacks the next bytes of a file, about `budget` of them; then goes through as many of what it unpacked to. Returns
    /// whether the file is done.
    #[inline(never)]
    pub(super) fn step(&mut self, file: &[u8], out: &mut [u8], budget: usize) -> Result<bool, Complaint> {
        match self.next {
            Next::Header => {
                let (body, is_filtered) = header(file)?;
                self.body = body;
                self.lzma.start(body);
                self.branches = is_filtered.then(Branches::default);
                self.next = Next::Body;
            }
            Next::Body => {
                if self.lzma.step(file, out, budget)? {
                    if self.lzma.written() != out.len() {
                        return Err(FEWER);
                    }
                    self.next = Next::Rest;
                }
            }
            Next::Rest => {
                let plain = out.len().min(self.summed.saturating_add(budget));
                let done = self.branches.as_mut().map_or(plain, |branches| branches.step(out, budget));
                self.digest.update(out.get(self.summed..done).unwrap_or_default());
                self.summed = done;
                if done == out.len() {
                    return if self.sum(file)? == self.digest.clone().finalize() { Ok(true) } else { Err(SUM) };
                }
            }
        }
        Ok(false)
    }

    /// The checksum behind the block, which is padded to words.
    fn sum(&self, file: &[u8]) -> Result<u32, Complaint> {
        let at = self.lzma.read().saturating_sub(self.body).next_multiple_of(4).saturating_add(self.body);
        word(file, at).ok_or(CUT_OFF)
    }
}

fn word(file: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?))
}

/// Reads the headers; where the block's body begins, and whether it is filtered.
fn header(file: &[u8]) -> Result<(usize, bool), Complaint> {
    let flags = file.get(FLAGS_AT..FLAGS_AT + 2).ok_or(CUT_OFF)?;
    if word(file, FLAGS_AT + 2).ok_or(CUT_OFF)? != CRC.checksum(flags) {
        return Err(DAMAGED);
    }
    let words = usize::from(*file.get(HEADER).ok_or(CUT_OFF)?);
    let end = words.saturating_mul(4).saturating_add(HEADER);
    let block = file.get(HEADER..end).ok_or(CUT_OFF)?;
    // No words: there is no block, but the index.
    if words == 0 || flags != SUMMED {
        return Err(UNKNOWN);
    }
    if word(file, end).ok_or(CUT_OFF)? != CRC.checksum(block) {
        return Err(DAMAGED);
    }
    let is_filtered = filters(block).ok_or(UNKNOWN)?;
    Ok((end.saturating_add(4), is_filtered))
}

/// Reads the filters in a block's header; whether there is one before LZMA2. `None` if there are others.
fn filters(block: &[u8]) -> Option<bool> {
    let (_, flags, mut block) =
        block.split_first().and_then(|(size, rest)| Some((size, *rest.first()?, rest.get(1..)?)))?;
    for size in SIZES {
        if flags & size != 0 {
            number(&mut block)?;
        }
    }
    let is_filtered = match flags & (FILTERS | RESERVED) {
        0 => false,
        // Without properties it begins to count at 0.
        1 if (number(&mut block)?, number(&mut block)?) == (X86, 0) => true,
        _ => return None,
    };
    // Its property is how far it refers back at most: no farther than to the beginning, all of which is there.
    ((number(&mut block)?, number(&mut block)?) == (LZMA2, 1)).then_some(is_filtered)
}

/// Takes a number of seven bits a byte (1.2).
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
