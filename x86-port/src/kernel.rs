//! A guest's kernel as the loader left it: an ELF file, or one that is packed, as it is or inside a bzImage.
//!
//! A packed one is unpacked into the guest's own memory at each of its starts, below what the guest is told, and from there
//! its segments are copied to their places like those of any other. So it costs nobody else memory, and a guest needs room
//! for both.

use core::fmt;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hyp_boot::manifest::DomainSpec;
use hyp_boot::plan::GuestMemory;
use hyp_boot::pvh::scratch;
use hyp_boot::{BootError, Path, Region};

use crate::bzimage::{Damage, Packed, Unpacker};
use crate::layout::{self, PAGE_SIZE};
use crate::lock::Lock;
use crate::pool;

/// Why a guest cannot start from what the loader brought.
pub enum KernelError {
    /// Something that boot checks on every board.
    Boot(BootError<'static>),
    /// Its kernel is packed, and damaged.
    Damaged {
        /// The module.
        path: Path<'static>,
        /// What is wrong, and where.
        damage: Damage,
    },
}

impl From<BootError<'static>> for KernelError {
    fn from(error: BootError<'static>) -> Self {
        Self::Boot(error)
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(error) => error.fmt(f),
            Self::Damaged { path, damage } => write!(f, "{path} {damage}"),
        }
    }
}

/// A packed kernel and the place where it is unpacked.
pub struct PackedKernel {
    path: Path<'static>,
    file: &'static [u8],
    packed: Packed,
    /// Where it goes, physical.
    to: u64,
    unpacker: Lock<&'static mut Unpacker<'static>>,
    /// Steps that unpacking took for the life that the guest lives now; 0 while it goes on.
    steps: AtomicU32,
    /// It has just been unpacked, at boot, and nobody has run who could have changed it.
    fresh: AtomicBool,
}

/// A kernel whose ELF file can be read.
pub(crate) struct Kernel {
    /// The ELF file.
    pub(crate) elf: &'static [u8],
    /// Its physical address.
    pub(crate) from: u64,
    /// Where it was unpacked, guest-physical, and by what; `None` for a plain one.
    pub(crate) packed: Option<(Region, PackedKernel)>,
}

/// The bytes of a module that the manifest has checked.
pub(crate) fn module(place: Region) -> &'static [u8] {
    // SAFETY: the manifest has checked that the module lies in RAM, which is mapped, and in nobody else's range; the plan
    // gives that range to no guest, so that nobody writes there.
    unsafe { core::slice::from_raw_parts(layout::va(place.start) as *const u8, place.size as usize) }
}

/// Looks at a guest's kernel, and unpacks it if it is packed.
pub(crate) fn open(spec: &DomainSpec<'static>, memory: &GuestMemory, bank: Region) -> Result<Kernel, KernelError> {
    let (path, place) = (spec.kernel.path, spec.kernel.place);
    let file = module(place);
    let complain = |what| BootError::NotAnImage { path, what };
    let damaged = |damage| KernelError::Damaged { path, damage };
    let Some(packed) = Packed::parse(file).map_err(damaged)? else {
        return Ok(Kernel { elf: file, from: place.start, packed: None });
    };
    let size = u64::from(packed.size);
    let what = "unpacks to more than the guest's memory has room for: give the guest more";
    let room = scratch(bank, spec.ramdisk.map(|module| module.place.size), size).ok_or(complain(what))?;
    let what = ": a packed kernel needs memory in one piece: give an unpacked one, or the guest less memory";
    let host = memory.host(room.start).filter(|(_, left)| *left >= size);
    let (to, _) = host.ok_or(BootError::BadNode { path: spec.path, what })?;
    let unpacker = unpacker(&packed).map_err(|_| complain("cannot be unpacked: the hypervisor's 2 MiB are used up"))?;
    let (unpacker, fresh) = (Lock::new(unpacker), true.into());
    let kernel = PackedKernel { path, file, packed, to, unpacker, steps: 0.into(), fresh };
    while !kernel.unpack().map_err(damaged)? {}
    // SAFETY: the range is RAM of the guest, which does not run before its first reset; until then nobody writes there.
    let elf = unsafe { core::slice::from_raw_parts(layout::va(to) as *const u8, size as usize) };
    Ok(Kernel { elf, from: to, packed: Some((room, kernel)) })
}

/// Takes memory for the state of unpacking.
#[inline(never)]
fn unpacker(packed: &Packed) -> Result<&'static mut Unpacker<'static>, pool::PoolEmpty> {
    let room = pool::take_words((packed.room() as u64).div_ceil(PAGE_SIZE / 2))?;
    // SAFETY: any bits are good words of either size.
    let (_, room, _) = unsafe { room.align_to_mut::<u16>() };
    let words = pool::take_words((size_of::<Unpacker<'static>>() as u64).div_ceil(PAGE_SIZE))?;
    // SAFETY: the words are this function's alone, at least as many bytes as the type has, and aligned to a page.
    let place = unsafe { &mut *words.as_mut_ptr().cast::<MaybeUninit<Unpacker<'static>>>() };
    Ok(place.write(Unpacker::new(packed, room)))
}

impl PackedKernel {
    /// The kernel's module.
    pub(crate) fn path(&self) -> Path<'static> {
        self.path
    }

    /// Takes a step of unpacking; whether it is done.
    fn unpack(&self) -> Result<bool, Damage> {
        // SAFETY: boot has checked that the range is RAM of this domain in one piece. The domain does not run while it is
        // reset, and nobody else in the hypervisor touches its memory then. A guest that still has a grant to one of the
        // pages may change bytes meanwhile: they are only data to be copied.
        let out = unsafe { core::slice::from_raw_parts_mut(layout::va(self.to) as *mut u8, self.packed.size as usize) };
        self.unpacker.lock().step(&self.packed, self.file, out, self.packed.short_step())
    }

    /// Takes step `step` of a reset, counted from 0. Returns how many steps unpacking took, once it is done.
    pub(crate) fn step(&self, step: u32) -> Result<Option<u32>, Damage> {
        if self.fresh.swap(false, Ordering::Relaxed) {
            self.steps.store(1, Ordering::Relaxed);
            return Ok(None);
        }
        if step == 0 {
            self.steps.store(0, Ordering::Relaxed);
            self.unpacker.lock().start(&self.packed);
        }
        let steps = self.steps.load(Ordering::Relaxed);
        if steps != 0 {
            return Ok(Some(steps));
        }
        if self.unpack()? {
            self.steps.store(step + 1, Ordering::Relaxed);
        }
        Ok(None)
    }
}
