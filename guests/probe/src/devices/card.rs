//! A network card whose frames are of one kind: a word again and again behind a header of their own.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use hyp_pvio::network::{Checksum, Packet, Piece, ReceiveFront, Received, TransmitFront};
use hyp_pvio::xenbus::State;
use rt::hypercall;
use rt::window::Window;

use rt::front::{Ends, Lent, Store, Trouble, open_port};

/// The kind of our frames: one of those for experiments (IEEE 802).
const KIND: [u8; 2] = [0x88, 0xb5];
/// Bytes of a frame of ours.
pub(crate) const LENGTH: u16 = 512;
const HEADER: usize = 14;
/// Pages that we give to receive into.
const GIVEN: usize = 8;

/// A connected card.
pub(crate) struct Card {
    /// Its nodes.
    pub(crate) ends: Ends,
    transmit: TransmitFront<Window>,
    receive: ReceiveFront<Window>,
    /// Our port of it.
    pub(crate) port: u32,
    frame: Lent,
    pages: Vec<Lent>,
}

fn broken(what: impl core::fmt::Debug) -> Trouble {
    Trouble::Device(format!("{what:?}"))
}

/// A frame of ours to everybody, of this word.
pub(crate) fn frame(word: u64) -> [u8; LENGTH as usize] {
    let mut frame = [0xff; LENGTH as usize];
    frame[6..12].copy_from_slice(&[0x00, 0x16, 0x3e, 0x00, 0xff, word as u8]);
    frame[12..HEADER].copy_from_slice(&KIND);
    frame[HEADER..].chunks_exact_mut(8).for_each(|place| place.copy_from_slice(&word.to_le_bytes()));
    frame
}

/// The word of such a frame, if all of it is as it should be.
fn word(bytes: &[u8]) -> Option<u64> {
    let word = u64::from_le_bytes(bytes.get(HEADER..HEADER + 8)?.try_into().ok()?);
    (bytes == frame(word)).then_some(word)
}

impl Card {
    /// Connects to a back end that waits for it, or is about to.
    ///
    /// # Errors
    /// There is none, or it does something else.
    pub(crate) fn connect(store: &mut Store) -> Result<Self, Trouble> {
        let ends = Ends::find(store, "vif", 0)?;
        store.wait_for(&ends.back, State::InitWait)?;
        let [sends, receives, frame] = [(); 3].map(|()| Lent::new(ends.domain, false));
        let transmit = TransmitFront::create(sends.memory).map_err(|error| Trouble::Device(error.to_string()))?;
        let receive = ReceiveFront::create(receives.memory).map_err(|error| Trouble::Device(error.to_string()))?;
        let port = open_port(ends.domain)?;
        let nodes = [("tx-ring-ref", sends.grant), ("rx-ring-ref", receives.grant), ("event-channel", port)];
        for (name, value) in nodes.into_iter().chain([("request-rx-copy", 1), ("feature-no-csum-offload", 1)]) {
            ends.set(store, name, format!("{value}"))?;
        }
        ends.tell(store, State::Connected)?;
        store.wait_for(&ends.back, State::Connected)?;
        let pages = (0..GIVEN).map(|_| Lent::new(ends.domain, false)).collect();
        let mut card = Self { ends, transmit, receive, port, frame, pages };
        card.pages.iter().try_for_each(|page| card.receive.give(page.grant)).map_err(broken)?;
        card.receive.push();
        card.notify();
        Ok(card)
    }

    fn notify(&self) {
        // It is ours and bound.
        let _ = hypercall::send(self.port);
    }

    /// Sends a frame of this word to everybody. The next one may be sent when the back end has answered.
    ///
    /// # Errors
    /// The back end failed at it, broke the protocol, or says nothing.
    pub(crate) fn send(&mut self, word: u64) -> Result<(), Trouble> {
        self.frame.memory.write(0, &frame(word));
        let pieces = Vec::from([Piece { grant: self.frame.grant, offset: 0, length: LENGTH }]);
        self.transmit.send(&Packet { pieces, checksum: Checksum::There, segmentation: None }).map_err(broken)?;
        if self.transmit.push() {
            self.notify();
        }
        match rt::front::wait(|| self.transmit.take().map_err(broken))? {
            (_, hyp_pvio::network::Outcome::Done) => Ok(()),
            (_, other) => Err(broken(other)),
        }
    }

    /// The word of the next frame that came in.
    ///
    /// # Errors
    /// The back end broke the protocol, or the frame is none of ours.
    pub(crate) fn receive(&mut self) -> Result<Option<u64>, Trouble> {
        let Some(Received::Packet(packet, None)) = self.receive.take().map_err(broken)? else { return Ok(None) };
        let [Piece { grant, offset, length }] = packet.pieces[..] else { return Err(broken(packet)) };
        let page = self.pages.iter().find(|page| page.grant == grant).ok_or_else(|| broken(grant))?;
        let mut bytes = alloc::vec![0; usize::from(length)];
        page.memory.read(usize::from(offset), &mut bytes);
        self.receive.give(grant).map_err(broken)?;
        if self.receive.push() {
            self.notify();
        }
        word(&bytes).map(Some).ok_or_else(|| broken(packet))
    }

    /// Lets it go, and waits until the back end waits for another.
    ///
    /// # Errors
    /// As of [`Ends::begin_anew`].
    pub(crate) fn disconnect(self, store: &mut Store) -> Result<(), Trouble> {
        self.ends.close(store, self.port)
    }
}
