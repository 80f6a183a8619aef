//! A guest's kernel as the loader left it: plain, or packed by gzip.
//!
//! A plain one is copied like every other file. A packed one is unpacked straight into the guest's memory at each of its
//! starts, by a state of a page that only such guests pay for.

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

use heapless::Vec;
use hyp_boot::gzip::{Complaint, Packed, Unpacker, is_packed};
use hyp_boot::image::HEADER_BYTES;
use hyp_boot::plan::GuestMemory;
use hyp_boot::{BootError, Path, Region};

use crate::layout::{self, PAGE_SIZE};
use crate::lock::Lock;
use crate::{guest_memory, pool};

/// Bytes written in one step. A byte of Debian's kernel costs some 76 instructions, one outside of repetitions more.
const STEP: usize = 80;

/// A packed kernel and the place where it is unpacked.
pub struct PackedKernel {
    path: Path<'static>,
    file: &'static [u8],
    packed: Packed,
    /// Where it goes, physical.
    to: u64,
    unpacker: Lock<&'static mut Unpacker>,
    /// Steps that unpacking took for the life that the guest lives now; 0 while it goes on.
    steps: AtomicU32,
}

/// What boot has to know of a kernel before its place is known.
pub(crate) struct Kernel {
    /// Its first bytes, unpacked.
    pub(crate) head: Vec<u8, HEADER_BYTES>,
    /// Its size, unpacked.
    pub(crate) size: u64,
    packed: Option<(Packed, &'static mut Unpacker)>,
}

/// The bytes of a module that the manifest has checked.
pub(crate) fn module(place: Region) -> &'static [u8] {
    // SAFETY: the manifest has checked that the module lies in RAM, which is mapped, and in nobody else's range; the plan
    // gives that range to no guest, so that nobody writes there.
    unsafe { core::slice::from_raw_parts(layout::va(place.start) as *const u8, place.size as usize) }
}

/// Looks at the start of a kernel whose guest has this much memory in its first bank.
pub(crate) fn open(path: Path<'static>, file: &'static [u8], bank: u64) -> Result<Kernel, BootError<'static>> {
    let complain = |what| BootError::NotAnImage { path, what };
    if !is_packed(file) {
        let head = file.iter().copied().take(HEADER_BYTES).collect();
        return Ok(Kernel { head, size: file.len() as u64, packed: None });
    }
    let packed = Packed::parse(file).map_err(complain)?;
    if u64::from(packed.size) > bank {
        let what = "is a gzip file that says it unpacks to more than the guest's memory: \
                    load all of it, give its exact size in reg, or give the guest more memory";
        return Err(complain(what));
    }
    let unpacker = unpacker().map_err(|_| complain("cannot be unpacked: the hypervisor's 2 MiB are used up"))?;
    let mut head = [0; HEADER_BYTES];
    let known = unpacker.head(&packed, file, &mut head).map_err(complain)?;
    let head = head.into_iter().take(known).collect();
    Ok(Kernel { head, size: packed.size.into(), packed: Some((packed, unpacker)) })
}

/// Takes memory for the state of unpacking.
#[inline(never)]
fn unpacker() -> Result<&'static mut Unpacker, pool::PoolEmpty> {
    let words = pool::take_words((size_of::<Unpacker>() as u64).div_ceil(PAGE_SIZE))?;
    // SAFETY: the words are this function's alone, at least as many bytes as the type has, and aligned to a page.
    let place = unsafe { &mut *words.as_mut_ptr().cast::<MaybeUninit<Unpacker>>() };
    Ok(place.write(Unpacker::new()))
}

impl Kernel {
    /// Once its place is known, guest-physical: what unpacks it there; `None` for a plain one.
    pub(crate) fn packed(
        self,
        path: Path<'static>,
        file: &'static [u8],
        memory: &GuestMemory,
        to: u64,
    ) -> Result<Option<PackedKernel>, BootError<'static>> {
        let Some((packed, unpacker)) = self.packed else { return Ok(None) };
        let what = ": a packed kernel needs memory in one piece: give an unpacked one, or the guest less memory";
        let place = memory.host(to).filter(|(_, left)| *left >= self.size);
        let (to, _) = place.ok_or(BootError::BadNode { path, what })?;
        Ok(Some(PackedKernel { path, file, packed, to, unpacker: Lock::new(unpacker), steps: 0.into() }))
    }
}

impl PackedKernel {
    /// The kernel's module.
    pub(crate) fn path(&self) -> Path<'static> {
        self.path
    }

    /// Takes step `step` of a reset, counted from 0. Returns how many steps unpacking took, once it is done.
    pub(crate) fn step(&self, step: u32) -> Result<Option<u32>, Complaint> {
        let mut unpacker = self.unpacker.lock();
        if step == 0 {
            self.steps.store(0, Ordering::Relaxed);
            unpacker.start(&self.packed);
            return Ok(None);
        }
        let steps = self.steps.load(Ordering::Relaxed);
        if steps != 0 {
            return Ok(Some(steps));
        }
        let va = layout::va(self.to);
        // SAFETY: boot has checked that the range is RAM of this domain in one piece. The domain does not run while it is
        // reset, and nobody else in the hypervisor touches its memory then. A guest that still has a grant to one of the
        // pages may change bytes meanwhile: they are only data to be copied and summed, and the sum tells.
        let out = unsafe { core::slice::from_raw_parts_mut(va as *mut u8, self.packed.size as usize) };
        let (written, done) = unpacker.step(&self.packed, self.file, out, STEP)?;
        guest_memory::publish(va + written.start as u64, written.len() as u64);
        if done {
            self.steps.store(step + 1, Ordering::Relaxed);
        }
        Ok(None)
    }
}
