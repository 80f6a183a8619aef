//! A guest's network card: packets out of its rings into the bridge, and back.

mod incoming;
mod outgoing;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hyp_pvio::network::{Connection, Offer, Outcome, Ports, ReceiveBack, TransmitBack};
use rt::hypercall;

use super::{Back, Get, Nodes, bind, bind_both};
use crate::hardware::Hardware;
use crate::hardware::bridge::Outlet;
use crate::shared::Granted;
use incoming::Incoming;
use outgoing::Outgoing;

/// What every card offers.
const OFFER: Offer = Offer { queues: 4 };
/// Frames that are taken from a guest in one go, but for those of the last packet.
const BUDGET: usize = 64;
/// Bytes of the largest packet.
const LARGEST: u64 = u16::MAX as u64;

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
    outgoing: Outgoing,
    incoming: Incoming,
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
        let most = (self.rate / 100).max(LARGEST);
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
        Self { domain, port, queues: Vec::new(), outgoing: Outgoing::default(), incoming: Incoming::default(), limit }
    }

    /// Takes what a queue sends. Returns whether there may be more.
    fn send(&mut self, hardware: &mut Hardware, number: usize) -> Result<bool, String> {
        let Some(queue) = self.queues.get_mut(number) else { return Ok(false) };
        let mut frames = 0;
        while frames < BUDGET {
            let Some((tag, packet)) = queue.transmit.take().map_err(|fault| fault.to_string())? else { break };
            hardware.begun += 1;
            frames += packet.frames();
            if self.limit.as_mut().is_none_or(|limit| limit.allows(packet.length() as u64)) {
                self.outgoing.add(self.domain, tag, packet, &mut hardware.bridge);
            } else {
                // It was taken just now.
                let _ = queue.transmit.complete(tag, Outcome::Dropped);
            }
        }
        let bridge = &mut hardware.bridge;
        self.outgoing.run(
            self.domain,
            bridge,
            |bridge, frame| bridge.forward(self.port, frame),
            |tag, outcome| {
                // It was taken above.
                let _ = queue.transmit.complete(tag, outcome);
            },
        );
        Ok(frames >= BUDGET)
    }
}

impl Back for Nic {
    fn offer(&mut self, _: &mut Hardware) -> Nodes {
        OFFER.features()
    }

    fn connect(&mut self, hardware: &mut Hardware, get: Get<'_>, resumes: bool) -> Result<Nodes, String> {
        let connection = Connection::read(&OFFER, get).map_err(|error| error.to_string())?;
        self.incoming.takes(&connection);
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
                Ports::Two { transmit, receive } => bind_both(self.domain, [transmit, receive])?,
            };
            self.queues.push(Queue { transmit, receive, ports });
        }
        hardware.bridge.connect(self.port, self.queues.len());
        Ok(Nodes::new())
    }

    fn disconnect(&mut self, hardware: &mut Hardware) {
        hardware.bridge.connect(self.port, 0);
        for queue in self.queues.drain(..) {
            // They were bound by us, and are closed once.
            let _ = hypercall::close(queue.ports.0);
            if queue.ports.1 != queue.ports.0 {
                let _ = hypercall::close(queue.ports.1);
            }
        }
    }

    fn give_back(&mut self, hardware: &mut Hardware) {
        hardware.bridge.remove_guest(self.port);
    }

    fn serve(&mut self, hardware: &mut Hardware) -> Result<bool, String> {
        let mut again = false;
        for number in 0..self.queues.len() {
            // What a card has no room for waits in the guest, and the card tells us when it has sent something.
            let held_up = hardware.bridge.is_congested(self.port);
            again |= !held_up && self.send(hardware, number)?;
            let Some(queue) = self.queues.get_mut(number) else { continue };
            let outlet = Outlet { port: self.port, queue: number };
            self.incoming.give(self.domain, outlet, &mut queue.receive, &mut hardware.bridge)?;
            let (transmit, receive) = (queue.transmit.push(), queue.receive.push());
            if transmit {
                let _ = hypercall::send(queue.ports.0);
            }
            if receive && !(transmit && queue.ports.0 == queue.ports.1) {
                let _ = hypercall::send(queue.ports.1);
            }
            if !held_up {
                again |= queue.transmit.wait().map_err(|error| error.to_string())?;
            }
            if hardware.bridge.waits(outlet) {
                again |= queue.receive.wait().map_err(|error| error.to_string())?;
            }
        }
        Ok(again)
    }
}
