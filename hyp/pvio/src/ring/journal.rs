//! What a back end is about to answer, written down where its next life finds it.
//!
//! A response lies over the request that it answers. A back end that ends between that copy and the index that shows it
//! leaves a slot that is neither, so responses are first written behind the last slot, into bytes of the ring's pages
//! that no slot uses; who resumes the ring writes them over their requests once more. The front end can change them
//! there, but it gets no more by that than false answers to itself.

use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::memory::SharedMemory;

/// The index of the first response (`u32`).
const FIRST: usize = 0;
/// How many there are (`u32`).
const COUNT: usize = 4;
/// [`check`] of both, written last (`u32`).
const CHECK: usize = 8;
/// The responses.
const RESPONSES: usize = 12;

/// Bytes behind the slots, with responses of type `R`.
pub(super) struct Journal<R> {
    offset: usize,
    /// How many responses fit, at least 1.
    pub(super) most: usize,
    response: PhantomData<R>,
}

impl<R: FromBytes + IntoBytes + Immutable> Journal<R> {
    /// The bytes from `end` on, where the slots end; nothing if they are too few for a response.
    pub(super) fn behind<M: SharedMemory>(end: usize, memory: &M) -> Option<Self> {
        let offset = end.next_multiple_of(size_of::<u32>());
        let most = memory.size().checked_sub(offset + RESPONSES)? / size_of::<R>();
        (most > 0).then_some(Self { offset, most, response: PhantomData })
    }

    /// Forgets what is there.
    pub(super) fn clear<M: SharedMemory>(&self, memory: &M) {
        memory.store(self.offset + COUNT, 0);
    }

    /// Writes down responses, at most [`most`](Self::most). Until the last store what was there holds, which is about
    /// indices that are past.
    pub(super) fn write<M: SharedMemory>(&self, memory: &M, first: u32, responses: &[R]) {
        let count = responses.len() as u32;
        memory.write(self.offset + RESPONSES, responses.as_bytes());
        memory.store(self.offset + FIRST, first);
        memory.store(self.offset + COUNT, count);
        memory.store(self.offset + CHECK, check(first, count));
    }

    /// The response of this number, if there are some that begin at the index `first` and number at most `most`.
    pub(super) fn read<M: SharedMemory>(&self, memory: &M, first: u32, most: u32) -> impl Iterator<Item = R> {
        let [noted, count, checked] = [FIRST, COUNT, CHECK].map(|word| memory.load(self.offset + word));
        let holds = noted == first && count <= most && count as usize <= self.most && checked == check(first, count);
        (0..if holds { count as usize } else { 0 }).map(move |number| {
            let mut response = R::new_zeroed();
            memory.read(self.offset + RESPONSES + number * size_of::<R>(), response.as_mut_bytes());
            response
        })
    }
}

/// Tells what was written here from what happens to be here: no two indices have the same for one count.
const fn check(first: u32, count: u32) -> u32 {
    !(first.rotate_left(8) ^ count)
}
