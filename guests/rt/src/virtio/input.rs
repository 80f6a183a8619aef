//! A keyboard, or another device with events.
//!
//! The crate's own driver has the memory that the device writes on the heap, which is not at the same place in each life.
//! Source: Virtual I/O Device specification 1.3, 5.8.

use virtio_drivers::transport::{SomeTransport, Transport};
use zerocopy::FromBytes;

use super::arena::Buffer;
use super::block::Error;
use super::exchange::{DESCRIPTORS, Exchange, Features, Message};

const EVENTS: u16 = 0;

/// What happened (`struct virtio_input_event`); the numbers are those of Linux's input layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes)]
#[repr(C)]
pub struct Event {
    /// The kind: 1 for keys and buttons.
    pub kind: u16,
    /// Which.
    pub code: u16,
    /// Of keys: 0 released, 1 pressed, 2 repeated.
    pub value: u32,
}

/// A device.
pub struct Input {
    transport: SomeTransport<'static>,
    events: Exchange,
}

impl Input {
    /// Brings a device up.
    ///
    /// # Errors
    /// It cannot be used, or there is no memory.
    pub fn new(mut transport: SomeTransport<'static>) -> Result<Self, Error> {
        transport.begin_init(Features::all());
        let mut events = Exchange::new(&mut transport, EVENTS)?;
        for _ in 0..DESCRIPTORS {
            let buffer = Buffer::new(size_of::<Event>()).ok_or(Error::Memory)?;
            events.add(message(buffer)).map_err(|_| Error::Memory)?;
        }
        transport.finish_init();
        events.notify(&mut transport);
        Ok(Self { transport, events })
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        let Message { buffer, .. } = self.events.take()?;
        let event = Event::read_from_prefix(buffer.bytes()).ok().map(|(event, _)| event);
        // The place that it had is free again.
        let _ = self.events.add(message(buffer));
        self.events.notify(&mut self.transport);
        event
    }

    /// Takes notice of the device's interrupt, so that it can make another.
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}

const fn message(buffer: Buffer) -> Message {
    Message { buffer, answer: size_of::<Event>(), question: (size_of::<Event>(), 0), cookie: 0 }
}
