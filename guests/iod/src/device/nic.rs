//! A guest's network card: frames out of its rings into the bridge, and back.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::num::NonZeroU16;

use hyp_pvio::network::{Checksum, Connection, Offer, Outcome, Packet, Piece, Ports, ReceiveBack, TransmitBack};
use rt::hypercall;
use rt::virtio::network::{FRAME, HEADER};

use super::{Back, Nodes, bind};
use crate::grants::{self, Way};
use crate::hardware::Hardware;
use crate::hardware::bridge::Frame;
use crate::shared::Granted;

/// What every card offers.
const OFFER: Offer = Offer { queues: 1 };
/// Frames that are taken from a guest in one go.
const BUDGET: usize = 64;

struct Queue {
    transmit: TransmitBack<Granted>,
    receive: ReceiveBack<Granted>,
    /// Our ports: for what it sends and for what it receives, which may be the same.
    ports: (u32, u32),
}

/// The back end of a network card.
pub(crate) struct Nic {
    domain: u16,
    /// Its port of the bridge.
    port: usize,
    queues: Vec<Queue>,
    /// It takes packets whose checksum is not made.
    blank: bool,
    /// How fast it may send.
    limit: Option<Limit>,
}

/// Bytes a second, by a bucket that holds a hundredth of a second's.
#[derive(Clone, Copy, Debug)]
struct Limit {
    rate: u64,
    left: u64,
    since: u64,
}

impl Limit {
    fn allows(&mut self, bytes: u64) -> bool {
        let now = rt::timer::now();
        let more = u128::from(now - self.since) * u128::from(self.rate) / 1_000_000_000;
        let most = (self.rate / 100).max(FRAME as u64);
        self.left = (u128::from(self.left) + more).min(u128::from(most)) as u64;
        self.since = now;
        let enough = self.left >= bytes;
        if enough {
            self.left -= bytes;
        }
        enough
    }
}

impl Nic {
    /// A card for a guest at a port of the bridge; `rate` limits what it sends, in bytes a second.
    pub(crate) fn new(domain: u16, port: usize, rate: Option<u64>) -> Self {
        let limit = rate.map(|rate| Limit { rate, left: 0, since: 0 });
        Self { domain, port, queues: Vec::new(), blank: false, limit }
    }

    /// Takes what a queue sends. Returns whether there may be more.
    fn send(&mut self, hardware: &mut Hardware, number: usize) -> Result<bool, String> {
        for _ in 0..BUDGET {
            let Some(queue) = self.queues.get_mut(number) else { return Ok(false) };
            let Some((tag, packet)) = queue.transmit.take().map_err(|fault| fault.to_string())? else {
                return Ok(false);
            };
            hardware.begun += 1;
            let allowed = self.limit.as_mut().is_none_or(|limit| limit.allows(packet.length() as u64));
            let frame = if allowed { frame(self.domain, &packet, hardware) } else { Err(Outcome::Dropped) };
            let outcome = match frame {
                Ok(frame) => {
                    hardware.bridge.forward(self.port, frame);
                    Outcome::Done
                }
                Err(outcome) => outcome,
            };
            // It was taken just now.
            let _ = queue.transmit.complete(tag, outcome);
        }
        Ok(true)
    }

    /// Gives a guest what waits for it, as far as it has room.
    fn receive(&mut self, hardware: &mut Hardware, number: usize) -> Result<(), String> {
        let Some(queue) = self.queues.get_mut(number) else { return Ok(()) };
        while let Some(mut frame) = hardware.bridge.next(self.port) {
            let Some(length) = u16::try_from(frame.length).ok().and_then(NonZeroU16::new) else { continue };
            if frame.checksum == Checksum::Blank && !self.blank {
                frame.make_checksum();
            }
            let places = queue.receive.reserve(length, frame.checksum, None).map_err(|error| error.to_string())?;
            let Some(places) = places else {
                hardware.bridge.put_back(self.port, frame);
                break;
            };
            let pieces = places.iter().map(|place| Piece { grant: place.grant, offset: 0, length: place.length });
            let copied = grants::copy(self.domain, pieces, &mut frame.buffer, HEADER, Way::Out);
            // It was reserved just now.
            let _ = queue.receive.deliver(if copied { Outcome::Done } else { Outcome::Failed });
            hardware.bridge.give_back(frame.buffer);
        }
        Ok(())
    }
}

/// A packet's bytes, in a buffer of ours.
fn frame(domain: u16, packet: &Packet, hardware: &mut Hardware) -> Result<Frame, Outcome> {
    let length = packet.length();
    // Large packets are not offered, so nobody may send one.
    if length + HEADER > FRAME || packet.segmentation.is_some() {
        return Err(Outcome::Failed);
    }
    let mut buffer = hardware.bridge.buffer().ok_or(Outcome::Dropped)?;
    if grants::copy(domain, packet.pieces.iter().copied(), &mut buffer, HEADER, Way::In) {
        Ok(Frame { buffer, length, checksum: packet.checksum })
    } else {
        hardware.bridge.give_back(buffer);
        Err(Outcome::Failed)
    }
}

impl Back for Nic {
    fn offer(&mut self, _: &mut Hardware) -> Nodes {
        let mut nodes = OFFER.features();
        nodes.retain(|(name, _)| !name.starts_with("feature-gso"));
        nodes
    }

    fn connect(
        &mut self,
        hardware: &mut Hardware,
        get: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
        resumes: bool,
    ) -> Result<Nodes, String> {
        let connection = Connection::read(&OFFER, get).map_err(|error| error.to_string())?;
        self.blank = connection.blank_ipv4 && connection.blank_ipv6;
        for wanted in connection.queues {
            let map = |grant| Granted::map(self.domain, &[grant]).map_err(|error| error.to_string());
            let transmit = if resumes {
                TransmitBack::resume(map(wanted.transmit)?)
            } else {
                TransmitBack::attach(map(wanted.transmit)?)
            };
            let transmit = transmit.map_err(|error| error.to_string())?;
            let receive = if resumes {
                ReceiveBack::resume(map(wanted.receive)?)
            } else {
                ReceiveBack::attach(map(wanted.receive)?)
            };
            let receive = receive.map_err(|error| error.to_string())?;
            let ports = match wanted.ports {
                Ports::One(port) => bind(self.domain, port).map(|own| (own, own))?,
                Ports::Two { transmit, receive } => {
                    let transmit = bind(self.domain, transmit)?;
                    let receive = bind(self.domain, receive).inspect_err(|_| {
                        // It was bound just now.
                        let _ = hypercall::close(transmit);
                    })?;
                    (transmit, receive)
                }
            };
            self.queues.push(Queue { transmit, receive, ports });
        }
        hardware.bridge.set_up(self.port, true);
        Ok(Nodes::new())
    }

    fn disconnect(&mut self, hardware: &mut Hardware) {
        hardware.bridge.set_up(self.port, false);
        for queue in self.queues.drain(..) {
            // They were bound by us, and are closed once.
            let _ = hypercall::close(queue.ports.0);
            if queue.ports.1 != queue.ports.0 {
                let _ = hypercall::close(queue.ports.1);
            }
        }
    }

    fn serve(&mut self, hardware: &mut Hardware) -> Result<bool, String> {
        let mut again = false;
        for number in 0..self.queues.len() {
            again |= self.send(hardware, number)?;
            self.receive(hardware, number)?;
            let Some(queue) = self.queues.get_mut(number) else { continue };
            let (transmit, receive) = (queue.transmit.push(), queue.receive.push());
            if transmit {
                let _ = hypercall::send(queue.ports.0);
            }
            if receive && !(transmit && queue.ports.0 == queue.ports.1) {
                let _ = hypercall::send(queue.ports.1);
            }
            again |= queue.transmit.wait().map_err(|error| error.to_string())?;
            if hardware.bridge.waits(self.port) {
                again |= queue.receive.wait().map_err(|error| error.to_string())?;
            }
        }
        Ok(again)
    }
}
