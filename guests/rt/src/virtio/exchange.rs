//! A queue whose every message is one buffer: what the device writes is at its begin, what it reads behind that.

use bitflags::bitflags;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{SomeTransport, Transport};

use super::arena::{Buffer, Memory};
use super::block::Error;

bitflags! {
    /// What is asked of devices that have such queues.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Features: u64 {
        const VERSION_1 = 1 << 32;
    }
}

/// Descriptors of a queue. A message that the device reads and writes takes two.
pub(super) const DESCRIPTORS: usize = 64;

/// A message.
pub(super) struct Message {
    /// Where it is.
    pub(super) buffer: Buffer,
    /// Bytes that the device may write, from the first one on.
    pub(super) answer: usize,
    /// First byte that it reads, behind those, and how many it reads.
    pub(super) question: (usize, usize),
    /// What the caller finds it by.
    pub(super) cookie: u64,
}

impl Message {
    /// What the device writes, and what it reads; nothing if they are not in the buffer, or not behind each other.
    fn parts(&mut self) -> Option<(&mut [u8], &[u8])> {
        let (begin, bytes) = self.question;
        let whole = self.buffer.part_mut(0, begin.max(self.answer).checked_add(bytes)?)?;
        let (head, tail) = whole.split_at_mut_checked(self.answer)?;
        let question = tail.get(begin.saturating_sub(self.answer)..)?.get(..bytes)?;
        Some((head, question))
    }
}

/// The queue.
pub(super) struct Exchange {
    queue: VirtQueue<Memory, DESCRIPTORS>,
    number: u16,
    /// By the queue's number for it.
    going: [Option<Message>; DESCRIPTORS],
    added: bool,
}

impl Exchange {
    /// Sets up a device's queue of this number.
    ///
    /// # Errors
    /// The device has no such queue, or there is no memory.
    pub(super) fn new(transport: &mut SomeTransport<'static>, number: u16) -> Result<Self, Error> {
        let queue = VirtQueue::new(transport, number, false, false)?;
        Ok(Self { queue, number, going: [const { None }; DESCRIPTORS], added: false })
    }

    /// Gives a message to the device, which hears of it by [`notify`](Self::notify).
    ///
    /// # Errors
    /// There are as many as can be, or its parts are not in its buffer: its buffer comes back.
    pub(super) fn add(&mut self, mut message: Message) -> Result<(), Buffer> {
        let Some((answer, question)) = message.parts() else { return Err(message.buffer) };
        let (inputs, mut outputs): (&[&[u8]], _) =
            if question.is_empty() { (&[], [answer]) } else { (&[question], [answer]) };
        // SAFETY: the buffer is put away until `take` gets the same parts back.
        let added = unsafe { self.queue.add(inputs, &mut outputs) };
        match added.ok().and_then(|token| self.going.get_mut(usize::from(token))) {
            Some(place) => {
                *place = Some(message);
                self.added = true;
                Ok(())
            }
            None => Err(message.buffer),
        }
    }

    /// A message that the device is done with.
    pub(super) fn take(&mut self) -> Option<Message> {
        let token = self.queue.peek_used()?;
        let mut message = self.going.get_mut(usize::from(token))?.take()?;
        let (answer, question) = message.parts()?;
        let (inputs, mut outputs): (&[&[u8]], _) =
            if question.is_empty() { (&[], [answer]) } else { (&[question], [answer]) };
        // SAFETY: the same parts as in `add`.
        let taken = unsafe { self.queue.pop_used(token, inputs, &mut outputs) };
        taken.ok().map(|_| message)
    }

    /// Tells the device what it was given.
    pub(super) fn notify(&mut self, transport: &mut SomeTransport<'static>) {
        if core::mem::take(&mut self.added) && self.queue.should_notify() {
            transport.notify(self.number);
        }
    }
}
