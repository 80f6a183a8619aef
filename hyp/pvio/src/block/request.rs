//! A request, checked: what of it the disk can do, or why it is refused.

use alloc::vec::Vec;

use xen_abi::io::blkif::{
    BLKIF_DISCARD_SECURE, BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST, BLKIF_MAX_SEGMENTS_PER_REQUEST, BLKIF_OP_DISCARD,
    BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_INDIRECT, BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER, Request,
    RequestDiscard, RequestIndirect, RequestSegment,
};
use xen_abi::io::ring::XEN_PAGE_SIZE;
use zerocopy::{FromBytes, IntoBytes};

use super::{Disk, Outcome, SECTOR};

/// Segments in a page of them.
const PER_PAGE: usize = XEN_PAGE_SIZE / size_of::<RequestSegment>();
/// Sectors of a page.
const SECTORS_PER_PAGE: u8 = (XEN_PAGE_SIZE / SECTOR as usize) as u8;

/// Bytes of a page of the front end, within that page and at least one sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The front end's grant of the page.
    pub grant: u32,
    /// First byte, 0 to 3584.
    pub offset: u16,
    /// Bytes, 512 to 4096.
    pub length: u16,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From the disk into the segments, one after the other.
    Read,
    /// From the segments to the disk.
    Write,
    /// The same, and nothing else is going on meanwhile: what was written before is durable before it, and this is
    /// before anything after it. It may have no segments.
    Barrier,
    /// Make durable what was written.
    Flush,
    /// The sectors are given up.
    Discard {
        /// How many.
        sectors: u64,
        /// Nobody may read them again.
        secure: bool,
    },
}

/// Something to do with a disk, which it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: Kind,
    /// First sector; what is done ends within the disk.
    pub sector: u64,
    /// The data; nothing for a flush and a discard.
    pub segments: Vec<Segment>,
}

/// Pages with segments that have to be looked at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Their grants, one for each 512 segments.
    pub grants: Vec<u32>,
    /// Bytes to read, from the first page's first byte on, as if the pages lay one behind the other.
    pub bytes: usize,
    pub(super) write: bool,
    pub(super) sector: u64,
}

/// A request that can be done, or that is to be looked at again.
#[derive(Debug)]
pub(super) enum Checked {
    Whole(Operation),
    Segments(Segments),
}

/// Takes a request apart.
///
/// # Errors
/// What to answer instead.
pub(super) fn check(request: &Request, disk: &Disk) -> Result<Checked, Outcome> {
    let operation = match request.operation {
        BLKIF_OP_READ => transfer(Kind::Read, request, disk)?,
        BLKIF_OP_WRITE => transfer(Kind::Write, request, disk)?,
        BLKIF_OP_WRITE_BARRIER if disk.barrier => transfer(Kind::Barrier, request, disk)?,
        // Its segments, if there are any, mean nothing: the request has no data.
        BLKIF_OP_FLUSH_DISKCACHE if disk.flush => Operation { kind: Kind::Flush, sector: 0, segments: Vec::new() },
        BLKIF_OP_DISCARD if disk.discard => discard(request, disk)?,
        BLKIF_OP_INDIRECT if disk.indirect > 0 => return indirect(request, disk).map(Checked::Segments),
        _ => return Err(Outcome::Unsupported),
    };
    Ok(Checked::Whole(operation))
}

fn transfer(kind: Kind, request: &Request, disk: &Disk) -> Result<Operation, Outcome> {
    let count = usize::from(request.nr_segments);
    let segments = request.seg.get(..count).filter(|_| count <= BLKIF_MAX_SEGMENTS_PER_REQUEST);
    with_segments(kind, request.sector_number, segments.ok_or(Outcome::Failed)?, disk)
}

/// A transfer of these segments.
///
/// # Errors
/// What to answer instead.
fn with_segments(kind: Kind, sector: u64, segments: &[RequestSegment], disk: &Disk) -> Result<Operation, Outcome> {
    if (segments.is_empty() && kind != Kind::Barrier) || (disk.read_only && kind != Kind::Read) {
        return Err(Outcome::Failed);
    }
    let mut sectors = 0;
    let mut checked = Vec::with_capacity(segments.len());
    for RequestSegment { gref, first_sect, last_sect, .. } in segments {
        if first_sect > last_sect || *last_sect >= SECTORS_PER_PAGE {
            return Err(Outcome::Failed);
        }
        let count = last_sect - first_sect + 1;
        sectors += u64::from(count);
        let bytes = |sectors: u8| u16::from(sectors) * SECTOR as u16;
        checked.push(Segment { grant: *gref, offset: bytes(*first_sect), length: bytes(count) });
    }
    within(sector, sectors, disk)?;
    Ok(Operation { kind, sector, segments: checked })
}

fn within(sector: u64, count: u64, disk: &Disk) -> Result<(), Outcome> {
    let end = sector.checked_add(count).filter(|end| *end <= disk.sectors);
    end.map(|_| ()).ok_or(Outcome::Failed)
}

/// A request's bytes as another of the layouts that a slot can have.
fn read_as<T: FromBytes>(request: &Request) -> Result<T, Outcome> {
    T::read_from_prefix(request.as_bytes()).map(|(other, _)| other).map_err(|_| Outcome::Failed)
}

fn discard(request: &Request, disk: &Disk) -> Result<Operation, Outcome> {
    let RequestDiscard { flag, sector_number, nr_sectors, .. } = read_as(request)?;
    if disk.read_only || nr_sectors == 0 {
        return Err(Outcome::Failed);
    }
    within(sector_number, nr_sectors, disk)?;
    let kind = Kind::Discard { sectors: nr_sectors, secure: flag & BLKIF_DISCARD_SECURE != 0 };
    Ok(Operation { kind, sector: sector_number, segments: Vec::new() })
}

/// The operation that an answer names: of an indirect request the one that it is about.
pub(super) fn answered(request: &Request) -> u8 {
    match (request.operation, read_as::<RequestIndirect>(request)) {
        (BLKIF_OP_INDIRECT, Ok(indirect)) => indirect.indirect_op,
        (operation, _) => operation,
    }
}

fn indirect(request: &Request, disk: &Disk) -> Result<Segments, Outcome> {
    let request: RequestIndirect = read_as(request)?;
    let write = match request.indirect_op {
        BLKIF_OP_READ => false,
        BLKIF_OP_WRITE if !disk.read_only => true,
        _ => return Err(Outcome::Failed),
    };
    let count = usize::from(request.nr_segments);
    let pages = count.div_ceil(PER_PAGE);
    if count == 0 || count > usize::from(disk.indirect) || pages > BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST {
        return Err(Outcome::Failed);
    }
    // A copy, because the grants do not lie at an address that is a multiple of theirs.
    let grants = request.indirect_grefs;
    Ok(Segments {
        grants: grants[..pages].into(),
        bytes: count * size_of::<RequestSegment>(),
        write,
        sector: request.sector_number,
    })
}

/// The operation of an indirect request, whose segments are there now.
///
/// # Errors
/// What to answer instead; too few bytes are as good as wrong ones.
pub(super) fn look(wanted: &Segments, bytes: &[u8], disk: &Disk) -> Result<Operation, Outcome> {
    let bytes = bytes.get(..wanted.bytes).ok_or(Outcome::Failed)?;
    let segments: Vec<RequestSegment> = bytes
        .chunks_exact(size_of::<RequestSegment>())
        .filter_map(|one| RequestSegment::read_from_bytes(one).ok())
        .collect();
    with_segments(if wanted.write { Kind::Write } else { Kind::Read }, wanted.sector, &segments, disk)
}
