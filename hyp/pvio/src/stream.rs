//! Streams of bytes between two guests: one direction of a console, of xenstore's page.
//!
//! The writer owns the producer index, the reader the consumer index, both run free through 32 bits, and their
//! difference is what lies in the buffer. An index of ours is kept here; the peer's is looked at once each time and
//! checked, and a difference larger than the buffer ends the stream for good.
//!
//! Sources: `public/io/xs_wire.h`, `public/io/console.h`.

use core::fmt;

use crate::memory::SharedMemory;

/// Where the parts of a stream are in its page, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The buffer.
    pub data: usize,
    /// Bytes of the buffer, a power of two.
    pub size: u32,
    /// The reader's index.
    pub consumer: usize,
    /// The writer's index.
    pub producer: usize,
}

/// The indices say that more lies in the buffer than it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The writer's index.
    pub producer: u32,
    /// The reader's index.
    pub consumer: u32,
    /// Bytes of the buffer.
    pub size: u32,
}

impl fmt::Display for StreamError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { producer, consumer, size } = self;
        write!(out, "stream of {size} bytes: producer index {producer:#x} does not fit consumer index {consumer:#x}")
    }
}

/// A page, where the stream is in it, and what went wrong.
struct Buffer<M> {
    memory: M,
    place: Place,
    broken: Option<StreamError>,
}

impl<M: SharedMemory> Buffer<M> {
    /// How much lies in the buffer.
    fn used(&mut self, producer: u32, consumer: u32) -> Result<u32, StreamError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let used = producer.wrapping_sub(consumer);
        if used > self.place.size {
            let error = StreamError { producer, consumer, size: self.place.size };
            self.broken = Some(error);
            return Err(error);
        }
        Ok(used)
    }

    /// Where `length` bytes from `index` on are, and how many of them lie before the buffer's end.
    fn locate(&self, index: u32, length: usize) -> (usize, usize) {
        let at = index & (self.place.size - 1);
        (self.place.data + at as usize, length.min((self.place.size - at) as usize))
    }
}

/// The end that takes bytes out.
pub struct Reader<M> {
    buffer: Buffer<M>,
    taken: u32,
    /// What the page says that was taken.
    shown: u32,
}

impl<M: SharedMemory> Reader<M> {
    /// Goes on where the page says that its reader was.
    pub fn attach(memory: M, place: Place) -> Self {
        let taken = memory.load(place.consumer);
        Self { buffer: Buffer { memory, place, broken: None }, taken, shown: taken }
    }

    /// What was taken.
    pub const fn index(&self) -> u32 {
        self.taken
    }

    /// Goes on at this index, whatever the page says; [`show`](Self::show) tells the page.
    pub fn set_index(&mut self, index: u32) {
        self.taken = index;
    }

    /// How many bytes can be taken.
    ///
    /// # Errors
    /// The writer's index cannot be true. From then on there is nothing but this error.
    pub fn available(&mut self) -> Result<usize, StreamError> {
        let producer = self.buffer.memory.load(self.buffer.place.producer);
        self.buffer.used(producer, self.taken).map(|used| used as usize)
    }

    /// Takes as many bytes as there are and fit into `into`; how many. [`show`](Self::show) tells the page.
    ///
    /// # Errors
    /// As of [`available`](Self::available).
    pub fn take(&mut self, into: &mut [u8]) -> Result<usize, StreamError> {
        let length = self.available()?.min(into.len());
        let (offset, first) = self.buffer.locate(self.taken, length);
        let (head, tail) = into[..length].split_at_mut(first);
        self.buffer.memory.read(offset, head);
        self.buffer.memory.read(self.buffer.place.data, tail);
        self.taken = self.taken.wrapping_add(length as u32);
        Ok(length)
    }

    /// Tells the page what was taken. Whether that is more than it knew: then the writer is to be notified, which may
    /// wait for room.
    pub fn show(&mut self) -> bool {
        let new = self.shown != self.taken;
        if new {
            self.shown = self.taken;
            self.buffer.memory.store(self.buffer.place.consumer, self.taken);
        }
        new
    }

    /// Takes bytes and tells the page; how many. Unless it is 0, the writer is to be notified.
    ///
    /// # Errors
    /// As of [`available`](Self::available).
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, StreamError> {
        let length = self.take(into)?;
        self.show();
        Ok(length)
    }
}

/// The end that puts bytes in.
pub struct Writer<M> {
    buffer: Buffer<M>,
    put: u32,
    /// What the page says that was put.
    shown: u32,
}

impl<M: SharedMemory> Writer<M> {
    /// Goes on where the page says that its writer was.
    pub fn attach(memory: M, place: Place) -> Self {
        let put = memory.load(place.producer);
        Self { buffer: Buffer { memory, place, broken: None }, put, shown: put }
    }

    /// What was put.
    pub const fn index(&self) -> u32 {
        self.put
    }

    /// Goes on at this index, whatever the page says; [`show`](Self::show) tells the page.
    pub fn set_index(&mut self, index: u32) {
        self.put = index;
    }

    /// How many bytes there is room for.
    ///
    /// # Errors
    /// The reader's index cannot be true. From then on there is nothing but this error.
    pub fn room(&mut self) -> Result<usize, StreamError> {
        let consumer = self.buffer.memory.load(self.buffer.place.consumer);
        let used = self.buffer.used(self.put, consumer)?;
        Ok((self.buffer.place.size - used) as usize)
    }

    /// Puts as many of the bytes as there is room for; how many. [`show`](Self::show) tells the page.
    ///
    /// # Errors
    /// As of [`room`](Self::room).
    pub fn put(&mut self, from: &[u8]) -> Result<usize, StreamError> {
        let length = self.room()?.min(from.len());
        let (offset, first) = self.buffer.locate(self.put, length);
        let (head, tail) = from[..length].split_at(first);
        self.buffer.memory.write(offset, head);
        self.buffer.memory.write(self.buffer.place.data, tail);
        self.put = self.put.wrapping_add(length as u32);
        Ok(length)
    }

    /// Tells the page what was put. Whether that is more than it knew: then the reader is to be notified.
    pub fn show(&mut self) -> bool {
        let new = self.shown != self.put;
        if new {
            self.shown = self.put;
            self.buffer.memory.store(self.buffer.place.producer, self.put);
        }
        new
    }

    /// Puts bytes and tells the page; how many. Unless it is 0, the reader is to be notified.
    ///
    /// # Errors
    /// As of [`room`](Self::room).
    pub fn write(&mut self, from: &[u8]) -> Result<usize, StreamError> {
        let length = self.put(from)?;
        self.show();
        Ok(length)
    }
}
