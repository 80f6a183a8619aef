//! A disk, with many operations under way.
//!
//! The crate's own driver waits for flushes and knows no discard, so that this one is ours, on the crate's queue. Source:
//! Virtual I/O Device specification 1.3, 5.2.

use core::fmt;

use bitflags::bitflags;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{InterruptStatus, SomeTransport, Transport};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::arena::{Buffer, Memory};

/// Operations under way at most.
pub const DEPTH: usize = 32;
/// Bytes of a sector.
pub const SECTOR: u64 = 512;

const QUEUE: u16 = 0;

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Features: u64 {
        const READ_ONLY = 1 << 5;
        const FLUSH = 1 << 9;
        const DISCARD = 1 << 13;
        const INDIRECT = 1 << 28;
        const VERSION_1 = 1 << 32;
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// From the disk into the buffer.
    Read = 0,
    /// From the buffer to the disk.
    Write = 1,
    /// Make durable what was written.
    Flush = 4,
    /// The disk's own name, of 20 bytes.
    Identify = 8,
    /// Sectors are given up.
    Discard = 11,
}

/// What the device is told first (`struct virtio_blk_req`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    kind: u32,
    reserved: u32,
    sector: u64,
}

/// `struct virtio_blk_discard_write_zeroes`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Range {
    sector: u64,
    count: u32,
    flags: u32,
}

/// Bytes of a place in the page of headers: header, range, and the device's answer.
const PLACE: usize = 64;
const RANGE: usize = size_of::<Header>();
const STATUS: usize = RANGE + size_of::<Range>();

/// An operation.
#[derive(Debug)]
pub struct Operation {
    /// What.
    pub kind: Kind,
    /// First sector.
    pub sector: u64,
    /// Bytes of the buffer, or sectors that are given up.
    pub length: usize,
    /// The data of a read or a write.
    pub buffer: Option<Buffer>,
    /// What the caller finds it by.
    pub cookie: u64,
}

/// Why there is no such disk.
#[derive(Debug)]
pub enum Error {
    /// The driver cannot use the device.
    Driver(virtio_drivers::Error),
    /// No memory for it.
    Memory,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => write!(out, "virtio: {error}"),
            Self::Memory => write!(out, "virtio: no memory for devices"),
        }
    }
}

impl From<virtio_drivers::Error> for Error {
    fn from(error: virtio_drivers::Error) -> Self {
        Self::Driver(error)
    }
}

/// What of an operation the device reads, and what it writes.
struct Pieces<'a> {
    inputs: [&'a [u8]; 2],
    read: usize,
    outputs: [&'a mut [u8]; 2],
    written: usize,
}

impl<'a> Pieces<'a> {
    /// Those of an operation with its place; nothing if it has no data where it needs some.
    fn new(place: &'a mut [u8], operation: &'a mut Operation) -> Option<Self> {
        let (head, answer) = place.split_at_mut_checked(STATUS)?;
        let (head, range) = head.split_at_checked(RANGE)?;
        let answer = answer.get_mut(..1)?;
        let buffer = operation.buffer.as_mut().and_then(|buffer| buffer.bytes_mut().get_mut(..operation.length));
        let none: &mut [u8] = &mut [];
        let (inputs, read, outputs, written) = match operation.kind {
            Kind::Flush => ([head, &[]], 1, [answer, none], 1),
            Kind::Discard => ([head, range], 2, [answer, none], 1),
            kind => match (kind, buffer.filter(|buffer| !buffer.is_empty())?) {
                (Kind::Write, buffer) => ([head, &*buffer], 2, [answer, none], 1),
                (_, buffer) => ([head, &[]], 1, [buffer, answer], 2),
            },
        };
        Some(Self { inputs, read, outputs, written })
    }
}

/// A disk.
pub struct Disk {
    transport: SomeTransport<'static>,
    queue: VirtQueue<Memory, DEPTH>,
    features: Features,
    sectors: u64,
    /// A place for each operation.
    headers: Buffer,
    /// By place: the queue's number for the operation, and the operation.
    going: [Option<(u16, Operation)>; DEPTH],
}

impl Disk {
    /// Brings a device up.
    ///
    /// # Errors
    /// It cannot be used, or there is no memory.
    pub fn new(mut transport: SomeTransport<'static>) -> Result<Self, Error> {
        let features = transport.begin_init(Features::all());
        let low: u32 = transport.read_config_space(0)?;
        let high: u32 = transport.read_config_space(4)?;
        let indirect = features.contains(Features::INDIRECT);
        let queue = VirtQueue::new(&mut transport, QUEUE, indirect, false)?;
        transport.finish_init();
        let headers = Buffer::new(DEPTH * PLACE).ok_or(Error::Memory)?;
        let sectors = u64::from(high) << 32 | u64::from(low);
        Ok(Self { transport, queue, features, sectors, headers, going: [const { None }; DEPTH] })
    }

    /// How many sectors it has.
    pub const fn sectors(&self) -> u64 {
        self.sectors
    }

    /// It cannot be written.
    pub const fn is_read_only(&self) -> bool {
        self.features.contains(Features::READ_ONLY)
    }

    /// What is written may not be durable until a flush.
    pub const fn has_cache(&self) -> bool {
        self.features.contains(Features::FLUSH)
    }

    /// Sectors can be given up.
    pub const fn can_discard(&self) -> bool {
        self.features.contains(Features::DISCARD)
    }

    /// Begins an operation. The device hears of it by [`notify`](Self::notify).
    ///
    /// # Errors
    /// As many are under way as can be, or its buffer is shorter than its length, or its length is none: it comes back.
    pub fn begin(&mut self, operation: Operation) -> Result<(), Operation> {
        let Some(place) = self.going.iter().position(Option::is_none) else { return Err(operation) };
        match self.add(place, operation) {
            Ok(going) => {
                self.going[place] = Some(going);
                Ok(())
            }
            Err(operation) => Err(operation),
        }
    }

    fn add(&mut self, place: usize, mut operation: Operation) -> Result<(u16, Operation), Operation> {
        let Operation { kind, sector, length, .. } = operation;
        let header = Header { kind: kind as u32, reserved: 0, sector: if kind == Kind::Discard { 0 } else { sector } };
        let range = Range { sector, count: length as u32, flags: 0 };
        let Some(place) = self.headers.part_mut(place * PLACE, PLACE) else { return Err(operation) };
        // They have these sizes.
        let _ = header.write_to_prefix(place);
        let _ = range.write_to_prefix(&mut place[RANGE..]);
        place[STATUS] = u8::MAX;
        let Some(mut pieces) = Pieces::new(place, &mut operation) else { return Err(operation) };
        let inputs = pieces.inputs.get(..pieces.read).unwrap_or_default();
        // SAFETY: the place belongs to this operation, and nobody touches it while it is taken; the buffer is owned by the
        // operation, which is put away until `pop_used` with the same pieces.
        let added = unsafe { self.queue.add(inputs, &mut pieces.outputs[..pieces.written]) };
        match added {
            Ok(token) => Ok((token, operation)),
            Err(_) => Err(operation),
        }
    }

    /// Tells the device what was begun.
    pub fn notify(&mut self) {
        if self.queue.should_notify() {
            self.transport.notify(QUEUE);
        }
    }

    /// An operation that is over, and whether it was done.
    pub fn complete(&mut self) -> Option<(Operation, bool)> {
        let token = self.queue.peek_used()?;
        let place = self.going.iter().position(|going| going.as_ref().is_some_and(|(other, _)| *other == token))?;
        let (_, mut operation) = self.going[place].take()?;
        let place = self.headers.part_mut(place * PLACE, PLACE)?;
        let mut pieces = Pieces::new(place, &mut operation)?;
        let inputs = pieces.inputs.get(..pieces.read).unwrap_or_default();
        // SAFETY: the same pieces as in `add`.
        let popped = unsafe { self.queue.pop_used(token, inputs, &mut pieces.outputs[..pieces.written]) };
        let done = popped.is_ok() && place[STATUS] == 0;
        Some((operation, done))
    }

    /// How many operations are under way.
    pub fn under_way(&self) -> usize {
        self.going.iter().flatten().count()
    }

    /// Takes notice of the device's interrupt, so that it can make another.
    pub fn acknowledge(&mut self) -> InterruptStatus {
        self.transport.ack_interrupt()
    }
}
