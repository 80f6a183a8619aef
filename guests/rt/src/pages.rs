//! Pages of our own RAM for others to share: rings, and data that they copy or map.
//!
//! They come from the heap and never go back, because a peer may have one mapped for longer than we think.

use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use crate::grants::PAGE;
use crate::window::Window;

/// A page that nothing but a [`Window`] looks into.
#[repr(C, align(4096))]
struct Page([AtomicU64; PAGE / 8]);

/// Pages in a row, all zeros.
pub fn allocate(count: usize) -> Window {
    let mut pages = Vec::with_capacity(count);
    pages.resize_with(count, || Page([const { AtomicU64::new(0) }; PAGE / 8]));
    let pages: &'static [Page] = pages.leak();
    Window::new(pages.as_ptr() as usize, count * PAGE)
}
