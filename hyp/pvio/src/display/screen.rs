//! A picture, and where it is in memory.

use alloc::vec::Vec;

use xen_abi::io::fbif::{Page, XENFB_IN_RING_OFFS};
use xen_abi::io::ring::XEN_PAGE_SIZE;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::Fault;
use crate::memory::SharedMemory;

/// Frame numbers in a page of them.
const PER_PAGE: usize = XEN_PAGE_SIZE / size_of::<u64>();

/// A picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bits of a pixel.
    pub depth: u32,
    /// Bytes from a line to the next.
    pub line: u32,
    /// Where it begins in its memory, in bytes.
    pub offset: u32,
    /// Bytes of its memory.
    pub memory: u32,
}

/// A part of a picture, within it and not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first column.
    pub x: u32,
    /// The first line.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl Screen {
    /// The same if the picture is in its memory, of pixels of whole bytes.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn checked(self) -> Result<Self, Fault> {
        let Self { width, height, depth, line, offset, memory } = self;
        let row = u64::from(width) * u64::from(depth / 8);
        let lines = u64::from(line) * u64::from(height.saturating_sub(1));
        let end = lines.saturating_add(u64::from(offset) + row);
        let right = width > 0 && height > 0 && matches!(depth, 8 | 16 | 24 | 32) && row <= u64::from(line);
        if right && end <= u64::from(memory) { Ok(self) } else { Err(Fault::Screen(self)) }
    }

    /// What of an area is in the picture, if anything is.
    pub(super) fn clip(&self, x: i32, y: i32, width: i32, height: i32) -> Option<Area> {
        let cut = |first: i32, count: i32, most: u32| {
            let end = i64::from(first) + i64::from(count.max(0));
            let (first, end) = (i64::from(first).max(0), end.min(i64::from(most)));
            (first < end).then_some((first as u32, (end - first) as u32))
        };
        let ((x, width), (y, height)) = (cut(x, width, self.width)?, cut(y, height, self.height)?);
        Some(Area { x, y, width, height })
    }

    /// Bytes of an area, line by line: where in the memory they are, and how many.
    pub fn lines(&self, area: Area) -> impl Iterator<Item = (usize, usize)> {
        let bytes = self.depth as usize / 8;
        let start = self.offset as usize + area.x as usize * bytes;
        let line = self.line as usize;
        (area.y..area.y + area.height).map(move |y| (start + y as usize * line, area.width as usize * bytes))
    }
}

/// The frames of a picture's memory, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    lists: Vec<u64>,
    frames: Vec<u64>,
    count: usize,
}

impl Frames {
    /// The guest's frame with the next list, which is to be copied out for [`list`](Self::list); nothing when all are
    /// known.
    pub fn wanted(&self) -> Option<u64> {
        self.lists.get(self.frames.len() / PER_PAGE).copied().filter(|_| self.frames.len() < self.count)
    }

    /// Takes the frame numbers out of a list.
    pub fn list(&mut self, page: &[u8; XEN_PAGE_SIZE]) {
        let numbers = page.chunks_exact(8).map(|number| u64::read_from_bytes(number).unwrap_or_default());
        self.frames.extend(numbers.take(self.count - self.frames.len()));
    }

    /// The guest's frames, in order, when all are known. A number may be anything.
    pub fn known(&self) -> &[u64] {
        &self.frames
    }
}

/// Reads the front end's page, once: its picture, whose memory has at most `most` bytes, and where the frames are listed.
///
/// # Errors
/// The picture is not in its memory, or that is larger.
pub(super) fn read<M: SharedMemory>(memory: &M, most: u32) -> Result<(Screen, Frames), Fault> {
    let mut page = Page::new_zeroed();
    // Behind the lists' numbers are events, although the page's description does not say so.
    memory.read(0, &mut page.as_mut_bytes()[..XENFB_IN_RING_OFFS]);
    let screen = Screen {
        width: page.width.cast_unsigned(),
        height: page.height.cast_unsigned(),
        depth: page.depth.into(),
        line: page.line_length,
        offset: 0,
        memory: page.mem_length,
    };
    let count = (screen.memory as usize).div_ceil(XEN_PAGE_SIZE);
    let lists = count.div_ceil(PER_PAGE);
    if screen.memory > most || lists > lists_most() {
        return Err(Fault::Screen(screen));
    }
    let lists = page.pd[..lists].to_vec();
    Ok((screen.checked()?, Frames { lists, frames: Vec::new(), count }))
}

/// How many lists a page can name.
pub(super) const fn lists_most() -> usize {
    (XENFB_IN_RING_OFFS - core::mem::offset_of!(Page, pd)) / size_of::<u64>()
}
