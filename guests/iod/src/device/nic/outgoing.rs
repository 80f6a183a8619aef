//! Packets that a guest sends, on their way into buffers of ours: all that it sends in one go is copied by one hypercall, and
//! by a second one where large packets are to be cut, as their headers have to be known for that.

use alloc::vec::Vec;
use core::ops::Range;

use hyp_pvio::network::{Checksum, Cut, Outcome, Packet, Tag};
use rt::virtio::Buffer;
use rt::virtio::network::{FRAME, START};

use crate::grants::{Batch, Way};
use crate::hardware::bridge::{Bridge, Frame};

/// A packet.
struct Going {
    tag: Tag,
    packet: Packet,
    /// All of it, or its beginning.
    buffer: Option<Buffer>,
    /// The copies that fill the buffer.
    copies: Range<usize>,
    /// How it is to be cut, if it is, and into how many slices that was done.
    cut: Option<(Cut, usize)>,
}

/// A frame of a packet that is cut.
struct Slice {
    buffer: Buffer,
    data: Range<usize>,
    copies: Range<usize>,
}

/// All packets of one go.
#[derive(Default)]
pub(super) struct Outgoing {
    batch: Batch,
    packets: Vec<Going>,
    slices: Vec<Slice>,
}

impl Outgoing {
    /// Adds a packet.
    pub(super) fn add(&mut self, domain: u16, tag: Tag, packet: Packet, bridge: &mut Bridge) {
        let length = packet.length();
        let bytes = if packet.segmentation.is_some() { length.min(Cut::HEAD) } else { length };
        let mut buffer = if bytes <= FRAME { bridge.buffer() } else { None };
        let copies =
            buffer.as_mut().and_then(|buffer| self.batch.add(domain, packet.part(0..bytes), buffer, START, Way::In));
        self.packets.push(Going { tag, packet, buffer, copies: copies.unwrap_or_default(), cut: None });
    }

    /// Copies all, and gives each packet's frames to `forward` and what came of it to `complete`.
    pub(super) fn run(
        &mut self,
        domain: u16,
        bridge: &mut Bridge,
        mut forward: impl FnMut(&mut Bridge, Frame),
        mut complete: impl FnMut(Tag, Outcome),
    ) {
        self.batch.run();
        for going in &mut self.packets {
            let copied = !going.copies.is_empty() && self.batch.made(going.copies.clone());
            if let Some(buffer) = going.buffer.take_if(|_| !copied) {
                bridge.give_back(buffer);
            }
        }
        self.batch.clear();
        self.cut(domain, bridge);
        let mut slices = self.slices.drain(..);
        for Going { tag, packet, buffer, cut, .. } in self.packets.drain(..) {
            let length = packet.length();
            let outcome = match (buffer, cut) {
                (None, _) => Outcome::Failed,
                (Some(buffer), None) if packet.segmentation.is_none() => {
                    forward(bridge, Frame { buffer, length, checksum: packet.checksum });
                    Outcome::Done
                }
                (Some(buffer), None) => {
                    bridge.give_back(buffer);
                    Outcome::Failed
                }
                (Some(head), Some((cut, count))) => {
                    let mut own = slices.by_ref().take(count);
                    let outcome = send_slices(&cut, &head, &self.batch, bridge, &mut own, &mut forward);
                    bridge.give_back(head);
                    outcome
                }
            };
            complete(tag, outcome);
        }
        drop(slices);
        self.batch.clear();
    }

    /// Copies the data of packets that are to be cut to where their frames will be.
    fn cut(&mut self, domain: u16, bridge: &mut Bridge) {
        for going in &mut self.packets {
            let (Some(segmentation), Some(head)) = (going.packet.segmentation, &going.buffer) else { continue };
            let length = going.packet.length();
            let bytes = head.bytes().get(START..START + length.min(Cut::HEAD)).unwrap_or_default();
            let Some(cut) = Cut::new(bytes, length, segmentation) else { continue };
            if cut.headers() + usize::from(segmentation.size) > FRAME {
                continue;
            }
            let before = self.slices.len();
            for data in cut.frames() {
                let Some(mut buffer) = bridge.buffer() else { break };
                let place = START + cut.headers();
                let copies = self.batch.add(domain, going.packet.part(data.clone()), &mut buffer, place, Way::In);
                self.slices.push(Slice { buffer, data, copies: copies.unwrap_or_default() });
            }
            going.cut = Some((cut, self.slices.len() - before));
        }
        self.batch.run();
    }
}

/// Makes the frames of a packet whose data was copied, and sends them.
fn send_slices(
    cut: &Cut,
    head: &Buffer,
    batch: &Batch,
    bridge: &mut Bridge,
    slices: &mut impl Iterator<Item = Slice>,
    forward: &mut impl FnMut(&mut Bridge, Frame),
) -> Outcome {
    let head = head.bytes().get(START..).unwrap_or_default();
    let mut outcome = Outcome::Done;
    for _ in cut.frames() {
        // There are fewer if memory was short; then nothing comes behind them.
        let Some(Slice { buffer, data, copies }) = slices.next() else { return Outcome::Dropped };
        if copies.is_empty() || !batch.made(copies) {
            bridge.give_back(buffer);
            outcome = Outcome::Failed;
            continue;
        }
        let mut frame = Frame { buffer, length: cut.headers() + data.len(), checksum: Checksum::There };
        cut.finish(head, &data, frame.bytes_mut());
        forward(bridge, frame);
    }
    outcome
}
