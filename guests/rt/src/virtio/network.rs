//! A network card: frames out of buffers and into buffers.
//!
//! The crate's own driver takes buffers by reference, which a loop over many of them cannot lend; this one owns them while
//! the device has them. Source: Virtual I/O Device specification 1.3, 5.1.

use bitflags::bitflags;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{SomeTransport, Transport};

use super::arena::{Buffer, Memory};
use super::block::Error;

/// Frames under way at most, each way.
pub const DEPTH: usize = 256;
/// Bytes before a frame, for the device (`struct virtio_net_hdr`).
const HEADER: usize = 12;
/// Where a frame begins in a buffer: behind room for the device, and aligned, as copies are cheaper then.
pub const START: usize = 16;
/// Most bytes of a frame.
pub const FRAME: usize = 2048;
/// Bytes of a buffer for a frame.
pub const BUFFER: usize = START + FRAME;

const RECEIVE: u16 = 0;
const SEND: u16 = 1;

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Features: u64 {
        const MAC = 1 << 5;
        const VERSION_1 = 1 << 32;
    }
}

/// One direction.
struct Lane {
    queue: VirtQueue<Memory, DEPTH>,
    number: u16,
    /// By the queue's number for it: a buffer, and how many bytes of it, from the device's header on.
    going: [Option<(Buffer, usize)>; DEPTH],
    added: bool,
}

impl Lane {
    fn new(transport: &mut SomeTransport<'static>, number: u16) -> Result<Self, Error> {
        let queue = VirtQueue::new(transport, number, false, false)?;
        Ok(Self { queue, number, going: [const { None }; DEPTH], added: false })
    }

    fn add(&mut self, mut buffer: Buffer, bytes: usize) -> Result<(), Buffer> {
        let Some(part) = buffer.part_mut(START - HEADER, bytes).filter(|part| !part.is_empty()) else {
            return Err(buffer);
        };
        let (inputs, outputs): (&[&[u8]], &mut [&mut [u8]]) =
            if self.number == SEND { (&[part], &mut []) } else { (&[], &mut [part]) };
        // SAFETY: the buffer is put away until `take` gets the same piece back.
        let added = unsafe { self.queue.add(inputs, outputs) };
        match added.ok().and_then(|token| self.going.get_mut(usize::from(token))) {
            Some(place) => {
                *place = Some((buffer, bytes));
                self.added = true;
                Ok(())
            }
            None => Err(buffer),
        }
    }

    /// A buffer that the device is done with, and how many bytes it wrote.
    fn take(&mut self) -> Option<(Buffer, usize)> {
        let token = self.queue.peek_used()?;
        let (mut buffer, bytes) = self.going.get_mut(usize::from(token))?.take()?;
        let part = buffer.part_mut(START - HEADER, bytes)?;
        let (inputs, outputs): (&[&[u8]], &mut [&mut [u8]]) =
            if self.number == SEND { (&[part], &mut []) } else { (&[], &mut [part]) };
        // SAFETY: the same piece as in `add`.
        let written = unsafe { self.queue.pop_used(token, inputs, outputs) };
        Some((buffer, written.map_or(0, |written| (written as usize).min(bytes))))
    }

    fn notify(&mut self, transport: &mut SomeTransport<'static>) {
        if core::mem::take(&mut self.added) && self.queue.should_notify() {
            transport.notify(self.number);
        }
    }
}

/// A network card.
pub struct Card {
    transport: SomeTransport<'static>,
    receive: Lane,
    send: Lane,
    address: [u8; 6],
}

impl Card {
    /// Brings a device up.
    ///
    /// # Errors
    /// It cannot be used, or there is no memory.
    pub fn new(mut transport: SomeTransport<'static>) -> Result<Self, Error> {
        transport.begin_init(Features::all());
        let address = transport.read_config_space(0)?;
        let receive = Lane::new(&mut transport, RECEIVE)?;
        let send = Lane::new(&mut transport, SEND)?;
        transport.finish_init();
        Ok(Self { transport, receive, send, address })
    }

    /// Its own address.
    pub const fn address(&self) -> [u8; 6] {
        self.address
    }

    /// Sends a frame of `length` bytes that begins at [`START`] in the buffer; what is before it is overwritten.
    ///
    /// # Errors
    /// Too many are under way, or it is longer than its buffer: it comes back.
    pub fn send(&mut self, mut buffer: Buffer, length: usize) -> Result<(), Buffer> {
        match buffer.part_mut(START - HEADER, HEADER) {
            Some(header) => header.fill(0),
            None => return Err(buffer),
        }
        self.send.add(buffer, HEADER + length)
    }

    /// How many more frames can be sent at the moment.
    pub fn room(&self) -> usize {
        self.send.queue.available_desc()
    }

    /// A buffer whose frame was sent.
    pub fn sent(&mut self) -> Option<Buffer> {
        self.send.take().map(|(buffer, _)| buffer)
    }

    /// Gives a buffer to receive into, of [`BUFFER`] bytes at least.
    ///
    /// # Errors
    /// There are as many as can be: it comes back.
    pub fn give(&mut self, buffer: Buffer) -> Result<(), Buffer> {
        self.receive.add(buffer, HEADER + FRAME)
    }

    /// A frame that was received: it begins at [`START`] in the buffer and has so many bytes.
    pub fn receive(&mut self) -> Option<(Buffer, usize)> {
        self.receive.take().map(|(buffer, written)| (buffer, written.saturating_sub(HEADER)))
    }

    /// Tells the device what it was given.
    pub fn notify(&mut self) {
        self.receive.notify(&mut self.transport);
        self.send.notify(&mut self.transport);
    }

    /// Takes notice of the device's interrupt, so that it can make another.
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
