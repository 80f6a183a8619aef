//! Kernels as distributions pack them for PCs: a bzImage, whose payload is the ELF file that is wanted, packed.
//!
//! Source: Linux `Documentation/arch/x86/boot.rst` (`setup_sects`, `boot_flag`, `header`, `version`, `payload_offset`,
//! `payload_length`). Behind what the packer made stand four bytes with the unpacked size, unless the packer put it there
//! itself as gzip does.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod branches;
mod lz4;
mod lzma;
mod range;
mod xz;

use core::fmt;
use core::ops::Range;

use hyp_boot::gzip::{self, Complaint};

/// What is wrong with a packed file, as words that follow its name, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What.
    pub what: Complaint,
    /// How far the file has been read, bytes.
    pub at: usize,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (seen at byte {})", self.what, self.at)
    }
}

/// Offsets of the header's fields, and the version from which on there is a payload.
const SECTORS_AT: usize = 0x1f1;
const FLAG_AT: usize = 0x1fe;
const MAGIC_AT: usize = 0x202;
const VERSION_AT: usize = 0x206;
const PAYLOAD_AT: usize = 0x248;
const LENGTH_AT: usize = 0x24c;
const FIRST_VERSION: u16 = 0x208;
const SECTOR: usize = 512;
/// Sectors of the part for real mode where the field says 0.
const OLD_SECTORS: usize = 4;

const CUT_OFF: Complaint = "is a bzImage that is cut off: load all of it";

/// How a kernel is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip(gzip::Packed),
    /// The old framing of LZ4.
    Lz4,
    /// LZMA2 in the format of xz.
    Xz,
}

/// A packed kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// How.
    pub packing: Packing,
    /// What the packer made, in the file.
    pub body: Range<usize>,
    /// Bytes that it unpacks to, as it says.
    pub size: u32,
}

impl Packed {
    /// Looks at a kernel; `None` if it is not packed.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn parse(file: &[u8]) -> Result<Option<Self>, Damage> {
        if gzip::is_packed(file) {
            return Self::gzip(file, 0..file.len()).map(Some);
        }
        let byte = |at: usize| file.get(at).copied();
        let half = |at: usize| Some(u16::from_le_bytes([byte(at)?, byte(at.saturating_add(1))?]));
        let word = |at: usize| {
            let bytes = file.get(at..at.saturating_add(4))?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        if half(FLAG_AT) != Some(0xaa55) || word(MAGIC_AT) != Some(u32::from_le_bytes(*b"HdrS")) {
            return Ok(None);
        }
        let cut_off = Damage { what: CUT_OFF, at: file.len() };
        if half(VERSION_AT).ok_or(cut_off)? < FIRST_VERSION {
            let what = "is a bzImage of a Linux before 2.6.26, which has no entry for a PVH guest";
            return Err(Damage { what, at: VERSION_AT });
        }
        let sectors = match usize::from(byte(SECTORS_AT).ok_or(cut_off)?) {
            0 => OLD_SECTORS,
            sectors => sectors,
        };
        let start = sectors.saturating_add(1).saturating_mul(SECTOR);
        let start = start.saturating_add(word(PAYLOAD_AT).ok_or(cut_off)? as usize);
        let end = start.saturating_add(word(LENGTH_AT).ok_or(cut_off)? as usize);
        let payload = file.get(start..end).ok_or(cut_off)?;
        if gzip::is_packed(payload) {
            return Self::gzip(payload, start..end).map(Some);
        }
        let packing = packing(payload).map_err(|what| Damage { what, at: start })?;
        let size = end.checked_sub(4).filter(|body| *body >= start).ok_or(cut_off)?;
        Ok(Some(Self { packing, body: start..size, size: word(size).ok_or(cut_off)? }))
    }

    fn gzip(bytes: &[u8], body: Range<usize>) -> Result<Self, Damage> {
        let packed = gzip::Packed::parse(bytes).map_err(|what| Damage { what, at: body.start })?;
        Ok(Self { packing: Packing::Gzip(packed), body, size: packed.size })
    }

    /// Words that unpacking needs beside an [`Unpacker`].
    pub fn room(&self) -> usize {
        if self.packing == Packing::Xz { xz::ROOM } else { 0 }
    }

    /// Bytes that are unpacked in some hundred thousand instructions at most.
    pub fn short_step(&self) -> usize {
        match self.packing {
            Packing::Lz4 => 8192,
            Packing::Gzip(_) => 1024,
            Packing::Xz => 512,
        }
    }
}

/// How a payload is packed, by its first bytes.
fn packing(payload: &[u8]) -> Result<Packing, Complaint> {
    if lz4::is_packed(payload) {
        return Ok(Packing::Lz4);
    }
    if xz::is_packed(payload) {
        return Ok(Packing::Xz);
    }
    Err("is a bzImage whose payload is packed neither by gzip nor by LZ4 or xz: give the vmlinux inside it")
}

/// Unpacks a kernel in steps.
pub struct Unpacker<'r>(State<'r>);

#[allow(clippy::large_enum_variant, reason = "there is no heap, and one a packed guest at most")]
enum State<'r> {
    Gzip(gzip::Unpacker),
    Lz4(lz4::Unpacker),
    Xz(xz::Unpacker<'r>),
}

impl<'r> Unpacker<'r> {
    /// One for this kernel, at the beginning. `room` has as many words as [`Packed::room`] says, with anything in them.
    pub fn new(packed: &Packed, room: &'r mut [u16]) -> Self {
        Self(match packed.packing {
            Packing::Gzip(_) => State::Gzip(gzip::Unpacker::new()),
            Packing::Lz4 => State::Lz4(lz4::Unpacker::new()),
            Packing::Xz => State::Xz(xz::Unpacker::new(room)),
        })
    }

    /// Starts at the beginning.
    pub fn start(&mut self, packed: &Packed) {
        match (&mut self.0, &packed.packing) {
            (State::Gzip(unpacker), Packing::Gzip(packed)) => unpacker.start(packed),
            (State::Lz4(unpacker), _) => *unpacker = lz4::Unpacker::new(),
            (State::Xz(unpacker), _) => unpacker.start(),
            // Made for another kernel: the next step says so.
            _ => {}
        }
    }

    /// Unpacks the next bytes, about `budget` of them or from as many. `out` is the place of all that the kernel unpacks
    /// to, and holds what earlier steps wrote. Returns whether it is done.
    ///
    /// # Errors
    ///
    /// What is wrong. What has been written by then is of no use.
    pub fn step(&mut self, packed: &Packed, file: &[u8], out: &mut [u8], budget: usize) -> Result<bool, Damage> {
        let body = file.get(packed.body.clone()).ok_or(Damage { what: CUT_OFF, at: file.len() })?;
        let done = match (&mut self.0, &packed.packing) {
            (State::Gzip(unpacker), Packing::Gzip(packed)) => {
                unpacker.step(packed, body, out, budget).map(|(_, done)| done)
            }
            (State::Lz4(unpacker), Packing::Lz4) => unpacker.step(body, out, budget),
            (State::Xz(unpacker), Packing::Xz) => unpacker.step(body, out, budget),
            _ => Err("is packed in another way than it was"),
        };
        done.map_err(|what| Damage { what, at: packed.body.start.saturating_add(self.read()) })
    }

    fn read(&self) -> usize {
        match &self.0 {
            State::Gzip(unpacker) => unpacker.read(),
            State::Lz4(unpacker) => unpacker.read(),
            State::Xz(unpacker) => unpacker.read(),
        }
    }
}
