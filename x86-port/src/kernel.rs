//! A guest's files as the loader left them.

use hyp_boot::Region;

use crate::layout;

/// The bytes of a module that the manifest has checked.
pub(crate) fn module(place: Region) -> &'static [u8] {
    // SAFETY: the manifest has checked that the module lies in RAM, which is mapped, and in nobody else's range; the plan
    // gives that range to no guest, so that nobody writes there.
    unsafe { core::slice::from_raw_parts(layout::va(place.start) as *const u8, place.size as usize) }
}
