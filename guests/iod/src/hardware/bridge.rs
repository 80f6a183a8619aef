//! The bridge that joins guests' networks and the machine's cards: it learns who is where from what everybody sends.
//!
//! A frame is copied out of its guest once, and waits here until its receiver has pages for it. Each port has a bounded
//! queue, and frames beyond that are dropped, as a switch does: who is slow loses only its own.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use hyp_pvio::network::{Checksum, checksum, flow};
use rt::virtio::network::{BUFFER, Card, DEPTH, START};
use rt::virtio::{Buffer, SomeTransport};
use rt::{interrupts, timer};

/// Frames that wait for a queue of a port at most.
const QUEUE: usize = 128;
/// Frames that are taken from a card in one go.
const ROUND: usize = 64;
/// Addresses that are known at most; then the one that was heard of longest ago is forgotten.
const ADDRESSES: usize = 256;

/// An Ethernet address, its first byte highest: numbers are compared by one instruction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Address(u64);

impl Address {
    const fn new([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// Is it for more than one?
    const fn is_group(self) -> bool {
        self.0 >> 40 & 1 != 0
    }
}

/// Room of each card's that a guest must find before it sends: for all frames that it may send in one go.
const ROOM: usize = DEPTH * 3 / 4;
/// How long a card that sends nothing is waited for, in ns.
const PATIENCE: u64 = 10_000_000;

/// A frame, which begins at [`START`] in a buffer.
pub(crate) struct Frame {
    /// Where it is.
    pub(crate) buffer: Buffer,
    /// Its bytes.
    pub(crate) length: usize,
    /// What is known of its checksum.
    pub(crate) checksum: Checksum,
}

impl Frame {
    /// Makes its checksum, if that is left to whoever sends it on.
    pub(crate) fn make_checksum(&mut self) {
        if self.checksum == Checksum::Blank {
            checksum::fill(self.bytes_mut());
            self.checksum = Checksum::There;
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.bytes().get(START..START + self.length).unwrap_or_default()
    }

    /// Its bytes, to be written.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.bytes_mut().get_mut(START..START + self.length).unwrap_or_default()
    }
}

/// Where frames wait for a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlet {
    /// Its port.
    pub(crate) port: usize,
    /// Which of its queues.
    pub(crate) queue: usize,
}

/// Where frames go to.
enum Port {
    /// A guest takes them out of the queue.
    Guest {
        /// What waits for each of its queues, of which there are none while it is not connected.
        queues: Vec<VecDeque<Frame>>,
        /// It reaches cards.
        uplink: bool,
    },
    /// A card of the machine.
    Card {
        /// The card.
        card: Box<Card>,
        /// Its interrupt.
        interrupt: u32,
        /// When it last sent something, or had nothing to send, by the counter.
        moved: u64,
    },
}

impl Port {
    /// Of a card that has much to send: until when it is waited for, by the counter. One that sends nothing, as its cable is out or
    /// the card hangs, must not keep guests from each other.
    fn end_of_patience(&self) -> Option<u64> {
        match self {
            Self::Card { card, moved, .. } if card.room() < ROOM => Some(moved + timer::to_ticks(PATIENCE)),
            _ => None,
        }
    }
}

/// The bridge.
#[derive(Default)]
pub(crate) struct Bridge {
    ports: Vec<Port>,
    /// Ports of guests that nobody has any more.
    unused: Vec<usize>,
    /// Behind which port an address is, and when it was heard of last.
    known: BTreeMap<Address, (usize, u64)>,
    /// Buffers that nobody uses.
    free: Vec<Buffer>,
}

impl Bridge {
    /// Joins a card of the machine.
    pub(crate) fn add_card(&mut self, transport: SomeTransport<'static>, interrupt: u32) {
        let mut card = match Card::new(transport) {
            Ok(card) => card,
            Err(why) => return rt::println!("a network card cannot be used: {why}"),
        };
        for _ in 0..DEPTH {
            let given = self.buffer().map(|buffer| card.give(buffer));
            if let Some(Err(buffer)) = given {
                self.give_back(buffer);
            }
        }
        card.notify();
        interrupts::enable(interrupt);
        let [a, b, c, d, e, f] = card.address();
        rt::println!("network card {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        self.ports.push(Port::Card { card: Box::new(card), interrupt, moved: 0 });
    }

    /// A port for a guest.
    pub(crate) fn add_guest(&mut self, uplink: bool) -> usize {
        let new = Port::Guest { queues: Vec::new(), uplink };
        if let Some(number) = self.unused.pop()
            && let Some(port) = self.ports.get_mut(number)
        {
            *port = new;
            return number;
        }
        self.ports.push(new);
        self.ports.len() - 1
    }

    /// A guest's port is not needed any more.
    pub(crate) fn remove_guest(&mut self, port: usize) {
        self.connect(port, 0);
        self.unused.push(port);
    }

    /// A guest connects with so many queues, or disconnects with none; what waits for it is gone.
    pub(crate) fn connect(&mut self, port: usize, count: usize) {
        if let Some(Port::Guest { queues, .. }) = self.ports.get_mut(port) {
            self.free.extend(queues.drain(..).flatten().map(|frame| frame.buffer));
            queues.resize_with(count, VecDeque::new);
            self.known.retain(|_, (other, _)| *other != port);
        }
    }

    /// A buffer for a frame; nothing if there is no memory.
    pub(crate) fn buffer(&mut self) -> Option<Buffer> {
        self.free.pop().or_else(|| Buffer::new(BUFFER))
    }

    /// A buffer is not needed any more.
    pub(crate) fn give_back(&mut self, buffer: Buffer) {
        self.free.push(buffer);
    }

    /// What waits for a guest's queue.
    fn waiting(&self, Outlet { port, queue }: Outlet) -> Option<&VecDeque<Frame>> {
        match self.ports.get(port)? {
            Port::Guest { queues, .. } => queues.get(queue),
            Port::Card { .. } => None,
        }
    }

    fn waiting_mut(&mut self, Outlet { port, queue }: Outlet) -> Option<&mut VecDeque<Frame>> {
        match self.ports.get_mut(port)? {
            Port::Guest { queues, .. } => queues.get_mut(queue),
            Port::Card { .. } => None,
        }
    }

    /// The next frame for a guest.
    pub(crate) fn next(&mut self, outlet: Outlet) -> Option<Frame> {
        self.waiting_mut(outlet)?.pop_front()
    }

    /// The one that waits behind `number` others.
    pub(crate) fn peek(&self, outlet: Outlet, number: usize) -> Option<&Frame> {
        self.waiting(outlet)?.get(number)
    }

    /// A card that this port reaches has so much to send that more might be lost, and it goes on sending.
    pub(crate) fn is_congested(&self, from: usize) -> bool {
        let now = timer::counter();
        self.ports.iter().enumerate().any(|(to, port)| port.end_of_patience() > Some(now) && self.may(from, to))
    }

    /// When a card is not waited for any longer, if one is, by the counter.
    pub(crate) fn end_of_patience(&self) -> Option<u64> {
        let now = timer::counter();
        self.ports.iter().filter_map(Port::end_of_patience).filter(|end| *end > now).min()
    }

    /// It had no room for it yet.
    pub(crate) fn put_back(&mut self, outlet: Outlet, frame: Frame) {
        if let Some(queue) = self.waiting_mut(outlet) {
            queue.push_front(frame);
        }
    }

    /// Does something wait for this guest?
    pub(crate) fn waits(&self, outlet: Outlet) -> bool {
        self.waiting(outlet).is_some_and(|queue| !queue.is_empty())
    }

    /// Takes a frame that came in by a port, and gives it to whom it is for.
    pub(crate) fn forward(&mut self, from: usize, frame: Frame) {
        let Some((to, source)) = addresses(frame.bytes()) else { return self.give_back(frame.buffer) };
        if !source.is_group() {
            self.learn(source, from);
        }
        match self.known.get(&to).filter(|_| !to.is_group()) {
            Some((port, _)) if *port == from => self.give_back(frame.buffer),
            Some((port, _)) => self.send(*port, from, frame),
            None => self.flood(from, frame),
        }
    }

    fn learn(&mut self, address: Address, port: usize) {
        self.known.insert(address, (port, timer::counter()));
        if self.known.len() > ADDRESSES
            && let Some(oldest) = self.known.iter().min_by_key(|(_, (_, when))| *when).map(|(address, _)| *address)
        {
            self.known.remove(&oldest);
        }
    }

    fn flood(&mut self, from: usize, frame: Frame) {
        let others = (0..self.ports.len()).filter(|port| *port != from && self.may(from, *port));
        for port in others.collect::<Vec<usize>>() {
            let Some(mut buffer) = self.buffer() else { break };
            let bytes = START + frame.length;
            if let (Some(to), Some(from)) = (buffer.bytes_mut().get_mut(..bytes), frame.buffer.bytes().get(..bytes)) {
                to.copy_from_slice(from);
            }
            self.send(port, from, Frame { buffer, ..frame });
        }
        self.give_back(frame.buffer);
    }

    /// May frames of one port go to another?
    fn may(&self, from: usize, to: usize) -> bool {
        let is_card = |port| matches!(self.ports.get(port), Some(Port::Card { .. }));
        let reaches = |port| match self.ports.get(port) {
            Some(Port::Guest { uplink, .. }) => *uplink,
            _ => true,
        };
        (!is_card(to) || reaches(from)) && (!is_card(from) || reaches(to))
    }

    fn send(&mut self, port: usize, from: usize, mut frame: Frame) {
        let may = self.may(from, port);
        let left = match self.ports.get_mut(port) {
            Some(Port::Guest { queues, .. }) if may => {
                let number = if queues.len() > 1 { flow(frame.bytes()) as usize % queues.len() } else { 0 };
                match queues.get_mut(number).filter(|queue| queue.len() < QUEUE) {
                    Some(queue) => return queue.push_back(frame),
                    None => frame.buffer,
                }
            }
            Some(Port::Card { card, .. }) if may => {
                frame.make_checksum();
                match card.send(frame.buffer, frame.length) {
                    Ok(()) => return,
                    Err(buffer) => buffer,
                }
            }
            _ => frame.buffer,
        };
        self.give_back(left);
    }

    /// Takes what cards received and have sent, not too many frames of each. Returns whether there was something.
    pub(crate) fn poll(&mut self) -> bool {
        let mut any = false;
        for number in 0..self.ports.len() {
            if let Some(Port::Card { card, interrupt, .. }) = self.ports.get_mut(number)
                && interrupts::take(*interrupt)
            {
                card.acknowledge();
            }
            for _ in 0..ROUND {
                let Some(Port::Card { card, moved, .. }) = self.ports.get_mut(number) else { break };
                if card.room() == DEPTH {
                    *moved = timer::counter();
                }
                while let Some(buffer) = card.sent() {
                    self.free.push(buffer);
                    *moved = timer::counter();
                }
                let Some((buffer, length)) = card.receive() else { break };
                any = true;
                self.forward(number, Frame { buffer, length, checksum: Checksum::There });
                let buffer = self.buffer();
                if let (Some(Port::Card { card, .. }), Some(buffer)) = (self.ports.get_mut(number), buffer)
                    && let Err(buffer) = card.give(buffer)
                {
                    self.give_back(buffer);
                }
            }
        }
        any
    }

    /// Tells cards what they were given.
    pub(crate) fn notify(&mut self) {
        for port in &mut self.ports {
            if let Port::Card { card, .. } = port {
                card.notify();
            }
        }
    }
}

/// A frame's destination and source.
fn addresses(frame: &[u8]) -> Option<(Address, Address)> {
    let (to, rest) = frame.split_first_chunk::<6>()?;
    let (source, rest) = rest.split_first_chunk::<6>()?;
    (rest.len() >= 2).then_some((Address::new(*to), Address::new(*source)))
}
