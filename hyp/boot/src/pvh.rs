//! x86 guests: what kernel they have, where its parts go, and what they are told when they start.
//!
//! A kernel is an ELF file whose Xen note names a 32-bit entry point (PVH; Xen's `docs/misc/pvh.pandoc`). Its segments go
//! where it says; what it is told, in the words of [`xen_abi::start_info`], and its ramdisk go to the end of memory as they
//! do for other kernels.

use core::mem::size_of;

use elf::ElfBytes;
use elf::abi::{PT_LOAD, PT_NOTE};
use elf::endian::LittleEndian;
use elf::note::{Note, NoteIterator};
use elf::segment::ProgramHeader;
use heapless::Vec;
use xen_abi::start_info::{
    HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, XEN_ELFNOTE_PHYS32_ENTRY, XEN_HVM_MEMMAP_TYPE_ACPI,
    XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_MEMMAP_TYPE_RESERVED, XEN_HVM_START_MAGIC_VALUE,
};
use zerocopy::{Immutable, IntoBytes};

use crate::guest_tables::{LEGACY, TABLES};
use crate::image::tail;
use crate::manifest::DomainSpec;
use crate::region::align_down;
use crate::{BootError, Region};

/// Segments of a kernel.
pub const MAX_SEGMENTS: usize = 8;

const PAGE: u64 = 4096;
/// Owner of Xen's notes.
const OWNER: &[u8] = b"Xen";

/// A part of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file: u64,
    /// Where it goes, guest-physical, with the zeros behind what is in the file.
    pub place: Region,
}

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The first instruction, guest-physical.
    pub entry: u64,
    /// Its parts.
    pub segments: Vec<Segment, MAX_SEGMENTS>,
}

const DAMAGED: &str = "is a damaged ELF file: make it again";

impl Kernel {
    /// Reads a kernel.
    ///
    /// # Errors
    ///
    /// What is wrong, as words that follow the module's name.
    #[inline(never)]
    pub fn parse(file: &[u8]) -> Result<Self, &'static str> {
        if !file.starts_with(b"\x7fELF") {
            return Err("is neither an ELF file nor a bzImage: give a kernel with a PVH entry");
        }
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| DAMAGED)?;
        let (mut entry, mut segments) = (None, Vec::new());
        for header in elf.segments().ok_or(DAMAGED)? {
            if header.p_type == PT_LOAD {
                let segment = segment(&header, file.len() as u64)?;
                if segment.place.size != 0 {
                    segments.push(segment).map_err(|_| "has more than 8 segments to load: link it with fewer")?;
                }
            } else if header.p_type == PT_NOTE && entry.is_none() {
                entry = find_entry(elf.segment_data_as_notes(&header).map_err(|_| DAMAGED)?)?;
            }
        }
        let entry = entry.ok_or("has no PVH entry (ELF note XEN_ELFNOTE_PHYS32_ENTRY): give a kernel that has one")?;
        if !segments.iter().any(|segment: &Segment| segment.place.contains(&Region::new(entry, 1))) {
            return Err("has a PVH entry outside of its segments: make it again");
        }
        Ok(Self { entry, segments })
    }
}

fn segment(header: &ProgramHeader, bytes: u64) -> Result<Segment, &'static str> {
    let (offset, file) = (header.p_offset, header.p_filesz);
    let place = Region::new(header.p_paddr, header.p_memsz);
    let inside = offset.checked_add(file).is_some_and(|end| end <= bytes);
    let fits = file <= place.size && place.start.checked_add(place.size).is_some();
    if inside && fits { Ok(Segment { offset, file, place }) } else { Err(DAMAGED) }
}

/// The entry point among a segment's notes.
fn find_entry(mut notes: NoteIterator<'_, LittleEndian>) -> Result<Option<u64>, &'static str> {
    let is_ours = |note: &Note<'_>| {
        matches!(note, Note::Unknown(any) if any.name.strip_suffix(&[0]).unwrap_or(any.name) == OWNER
            && any.n_type == u64::from(XEN_ELFNOTE_PHYS32_ENTRY))
    };
    let Some(Note::Unknown(note)) = notes.find(is_ours) else { return Ok(None) };
    let (mut value, size) = ([0; 8], note.desc.len());
    value.get_mut(..size).filter(|_| size == 4 || size == 8).ok_or(DAMAGED)?.copy_from_slice(note.desc);
    Ok(Some(u64::from_le_bytes(value)).filter(|entry| *entry <= u64::from(u32::MAX)))
}

/// Where everything goes in a guest's memory, guest-physical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The kernel.
    pub kernel: Kernel,
    /// Room for what the guest is told.
    pub info: Region,
    /// The ramdisk.
    pub ramdisk: Option<Region>,
}

impl Layout {
    /// Places a guest's files; `file` is its kernel, `bank` its first bank of memory, `taken` what lies in it already.
    ///
    /// # Errors
    ///
    /// [`BootError::NotAnImage`] or [`BootError::TooLarge`].
    #[inline(never)]
    pub fn make<'a>(
        domain: &DomainSpec<'a>,
        file: &[u8],
        bank: Region,
        taken: Option<Region>,
    ) -> Result<Self, BootError<'a>> {
        let kernel = Kernel::parse(file).map_err(|what| BootError::NotAnImage { path: domain.kernel.path, what })?;
        let ramdisk = domain.ramdisk.map(|module| module.place.size);
        let end = kernel.segments.iter().map(|segment| segment.place.end()).max().unwrap_or(0);
        let too_large = BootError::TooLarge {
            path: domain.path,
            kernel: end.saturating_sub(bank.start),
            ramdisk: ramdisk.unwrap_or(0),
            bank: bank.size,
        };
        let (info, ramdisk) = tail(bank, ramdisk).ok_or(too_large)?;
        let free = Region::between(bank.start, taken.map_or(info.start, |taken| taken.start.min(info.start)));
        if !free.contains(&LEGACY) || !kernel.segments.iter().all(|segment| free.contains(&segment.place)) {
            return Err(too_large);
        }
        if kernel.segments.iter().any(|segment| LEGACY.overlaps(&segment.place)) {
            let what = "has a segment between 640 KiB and 1 MiB, where a PC has none: link it for another address";
            return Err(BootError::NotAnImage { path: domain.kernel.path, what });
        }
        Ok(Self { kernel, info, ramdisk })
    }
}

/// Room for `size` bytes of a kernel that is unpacked before its segments go to their places: as high in a guest's first
/// bank of memory as what the guest is told and its ramdisk allow. `None` where there is none.
pub fn scratch(bank: Region, ramdisk: Option<u64>, size: u64) -> Option<Region> {
    let (info, _) = tail(bank, ramdisk)?;
    let start = align_down(info.start.checked_sub(size)?, PAGE);
    (start >= LEGACY.end()).then_some(Region::new(start, size))
}

/// What a guest is told.
#[derive(Clone, Copy, Debug)]
pub struct StartInfo<'a> {
    /// Its memory.
    pub banks: &'a [Region],
    /// Its command line.
    pub bootargs: &'a str,
    /// Its ramdisk, guest-physical.
    pub ramdisk: Option<Region>,
    /// What it has in common with an I/O domain, or as one, guest-physical.
    pub shared: Option<Region>,
}

impl StartInfo<'_> {
    /// Writes it into `room`, which the guest finds at the guest-physical address `at`. Returns the bytes, `None` where the
    /// room does not do.
    pub fn write(&self, room: &mut [u8], at: u64) -> Option<usize> {
        let mut writer = Writer { room, at, used: size_of::<HvmStartInfo>() };
        let mut info = HvmStartInfo { magic: XEN_HVM_START_MAGIC_VALUE, version: 1, ..HvmStartInfo::default() };
        info.memmap_paddr = writer.address()?;
        let (ram, tables) = (XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_MEMMAP_TYPE_ACPI);
        let mut place = |place: &Region, kind| {
            info.memmap_entries = info.memmap_entries.saturating_add(1);
            writer.put(&HvmMemmapTableEntry { addr: place.start, size: place.size, kind, reserved: 0 })
        };
        for bank in self.banks {
            let (below, above) = (Region::between(bank.start, LEGACY.start), Region::between(LEGACY.end(), bank.end()));
            let split = [(below, ram), (TABLES, tables), (above, ram)];
            let whole = [(*bank, ram)];
            for (part, kind) in if bank.contains(&LEGACY) { split.iter() } else { whole.iter() } {
                place(part, *kind)?;
            }
        }
        // Else the guest would map others' pages there.
        if let Some(shared) = &self.shared {
            place(shared, XEN_HVM_MEMMAP_TYPE_RESERVED)?;
        }
        info.rsdp_paddr = TABLES.start;
        if let Some(ramdisk) = self.ramdisk {
            info.nr_modules = 1;
            info.modlist_paddr = writer.address()?;
            writer.put(&HvmModlistEntry { paddr: ramdisk.start, size: ramdisk.size, ..HvmModlistEntry::default() })?;
        }
        info.cmdline_paddr = writer.address()?;
        writer.put(self.bootargs.as_bytes())?;
        writer.put(&[0u8])?;
        let used = writer.used;
        let first = room.get_mut(..size_of::<HvmStartInfo>())?;
        first.copy_from_slice(info.as_bytes());
        Some(used)
    }
}

/// Appends to a room.
struct Writer<'r> {
    room: &'r mut [u8],
    at: u64,
    used: usize,
}

impl Writer<'_> {
    /// Where the next piece goes, guest-physical.
    fn address(&self) -> Option<u64> {
        self.at.checked_add(self.used as u64)
    }

    fn put<T: IntoBytes + Immutable + ?Sized>(&mut self, piece: &T) -> Option<()> {
        let bytes = piece.as_bytes();
        let end = self.used.checked_add(bytes.len())?;
        self.room.get_mut(self.used..end)?.copy_from_slice(bytes);
        self.used = end;
        Some(())
    }
}
