//! Kernels that come packed by gzip (RFC 1952), as boards' loaders keep them.
//!
//! The packed file stays where the loader put it and is unpacked into the guest's memory at each start of the guest, the
//! first one and every restart, because a second pristine copy would cost every guest the size of its kernel. Unpacking
//! is done in steps that are bounded both in what they read and in what they write ([`crate::inflate`]): a file of a few bytes
//! can stand for gigabytes of output, and one of megabytes for none.
//!
//! What a file says of itself is not believed. The size in its last bytes only chooses the window; a stream that
//! wants more or less than that is refused, and so is one whose checksum is another.

use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc, Digest};

use crate::inflate::{Fault, Inflater, Stop};

/// Bytes before the optional fields of a header, and bytes of the trailer.
const HEADER: usize = 10;
const TRAILER: usize = 8;
/// Flags of the header (RFC 1952, 2.3.1).
const HAS_HEADER_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;

/// The checksum of gzip, and of others that pack.
pub static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// What is wrong with a packed file, as words that follow its name.
pub type Complaint = &'static str;

const CUT_OFF: Complaint = "is a gzip file that is cut off: load all of it, and give its exact size in reg";
const MORE: Complaint =
    "is a gzip file that unpacks to more than its last bytes say: give its exact size in reg, or make it again";
const FEWER: Complaint =
    "is a gzip file that unpacks to less than its last bytes say: give its exact size in reg, or make it again";

/// A packed file's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Offset of the deflate stream.
    body: usize,
    /// Checksum that the unpacked bytes should have.
    crc: u32,
    /// Bytes that it unpacks to, as it says.
    pub size: u32,
}

/// Does a packed file start with these bytes?
pub fn is_packed(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

impl Packed {
    /// Reads header and trailer.
    ///
    /// # Errors
    ///
    /// What is wrong.
    #[inline(never)]
    pub fn parse(file: &[u8]) -> Result<Self, Complaint> {
        let fixed = file.get(..HEADER).ok_or(CUT_OFF)?;
        let &[0x1f, 0x8b, method, flags, ..] = fixed else { return Err("is no gzip file: make it again") };
        if method != 8 || flags >> 5 != 0 {
            return Err("is packed in a way that gzip does not have: make it again with gzip");
        }
        let mut body = HEADER;
        if flags & HAS_EXTRA != 0 {
            let size = file.get(body..body.saturating_add(2)).and_then(|size| size.try_into().ok()).ok_or(CUT_OFF)?;
            body = body.saturating_add(2).saturating_add(usize::from(u16::from_le_bytes(size)));
        }
        for text in [HAS_NAME, HAS_COMMENT] {
            if flags & text != 0 {
                let rest = file.get(body..).ok_or(CUT_OFF)?;
                let end = rest.iter().position(|byte| *byte == 0).ok_or(CUT_OFF)?;
                body = body.saturating_add(end).saturating_add(1);
            }
        }
        if flags & HAS_HEADER_CRC != 0 {
            body = body.saturating_add(2);
        }
        let end = file.len().checked_sub(TRAILER).filter(|end| *end > body).ok_or(CUT_OFF)?;
        let word = |at: usize| {
            let bytes = file.get(at..at.saturating_add(4)).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_le_bytes).ok_or(CUT_OFF)
        };
        Ok(Self { body, crc: word(end)?, size: word(end.saturating_add(4))? })
    }
}

/// Unpacks one file after the other. Little more than a KiB.
pub struct Unpacker {
    stream: Inflater,
    digest: Digest<'static, u32>,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker")
            .field("used", &self.stream.used())
            .field("written", &self.stream.written)
            .finish_non_exhaustive()
    }
}

impl Default for Unpacker {
    fn default() -> Self {
        Self::new()
    }
}

impl Unpacker {
    /// One that is ready for [`Unpacker::start`].
    pub fn new() -> Self {
        Self { stream: Inflater::new(0), digest: CRC.digest() }
    }

    /// Starts at the beginning of a file.
    pub fn start(&mut self, packed: &Packed) {
        self.stream = Inflater::new(packed.body);
        self.digest = CRC.digest();
    }

    /// How far the file has been read, bytes.
    pub fn read(&self) -> usize {
        self.stream.used()
    }

    /// Unpacks the first bytes of a file, as many as `out` holds or the file has, and returns how many. Another start must
    /// follow.
    ///
    /// # Errors
    ///
    /// What is wrong.
    #[inline(never)]
    pub fn head(&mut self, packed: &Packed, file: &[u8], out: &mut [u8]) -> Result<usize, Complaint> {
        self.start(packed);
        let input = file.get(..file.len().saturating_sub(TRAILER)).ok_or(CUT_OFF)?;
        while self.stream.step(input, out, usize::MAX).map_err(complaint)? == Stop::Budget {}
        Ok(self.stream.written)
    }

    /// Unpacks the next bytes of a file: at most `budget` of them, or fewer where they cost more work than others. `out` is
    /// the place of all that the file unpacks to, which is [`Packed::size`], and holds what earlier steps wrote. Returns the
    /// range of `out` that was written, and whether the file is done.
    ///
    /// # Errors
    ///
    /// What is wrong. What has been written by then is of no use.
    #[inline(never)]
    pub fn step(
        &mut self,
        packed: &Packed,
        file: &[u8],
        out: &mut [u8],
        budget: usize,
    ) -> Result<(core::ops::Range<usize>, bool), Complaint> {
        let end = file.len().saturating_sub(TRAILER);
        let input = file.get(..end).ok_or(CUT_OFF)?;
        let start = self.stream.written;
        let stop = self.stream.step(input, out, budget).map_err(complaint)?;
        let written = start..self.stream.written;
        self.digest.update(out.get(written.clone()).unwrap_or_default());
        match stop {
            Stop::Budget => {}
            Stop::Full => return Err(MORE),
            Stop::End => self.check(packed, out.len(), end)?,
        }
        Ok((written, stop == Stop::End))
    }

    /// The stream has ended: has all that surrounds it told the truth?
    fn check(&self, packed: &Packed, size: usize, end: usize) -> Result<(), Complaint> {
        if self.stream.used() != end {
            return Err("is a gzip file with other bytes behind it: give its exact size in reg");
        }
        if self.stream.written != size {
            return Err(FEWER);
        }
        if self.digest.clone().finalize() != packed.crc {
            return Err("is a damaged gzip file (its checksum is wrong): make it again");
        }
        Ok(())
    }
}

fn complaint(fault: Fault) -> Complaint {
    match fault {
        Fault::CutOff => CUT_OFF,
        Fault::Broken => "is a damaged gzip file (its stream is broken): make it again",
    }
}
