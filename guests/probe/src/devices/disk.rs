//! A disk, an operation at a time.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use hyp_pvio::block::{Front, Kind, Operation, Outcome, Segment};
use hyp_pvio::xenbus::State;
use rt::hypercall;
use rt::window::Window;

use rt::front::{Ends, Lent, Store, Trouble, open_port, wait};

/// The number of `xvda`.
pub(crate) const XVDA: u32 = 202 << 8;
/// Sectors of a page.
pub(crate) const SECTORS: u64 = 8;

/// A connected disk.
pub(crate) struct Disk {
    /// Its nodes.
    pub(crate) ends: Ends,
    front: Front<Window>,
    /// Our port of it.
    pub(crate) port: u32,
    /// A page of data.
    pub(crate) data: Lent,
    /// How many sectors it has.
    pub(crate) sectors: u64,
}

impl Disk {
    /// Connects to a back end that waits for it, or is about to.
    ///
    /// # Errors
    /// There is none, or it does something else.
    pub(crate) fn connect(store: &mut Store, number: u32) -> Result<Self, Trouble> {
        let ends = Ends::find(store, "vbd", number)?;
        store.wait_for(&ends.back, State::InitWait)?;
        let (ring, data) = (Lent::new(ends.domain, false), Lent::new(ends.domain, false));
        let front = Front::create(ring.memory).map_err(|error| Trouble::Device(error.to_string()))?;
        let port = open_port(ends.domain)?;
        for (name, value) in [("ring-ref", ring.grant), ("event-channel", port)] {
            ends.set(store, name, format!("{value}"))?;
        }
        ends.tell(store, State::Initialised)?;
        store.wait_for(&ends.back, State::Connected)?;
        let sectors = store.number(&format!("{}/sectors", ends.back))?;
        ends.tell(store, State::Connected)?;
        Ok(Self { ends, front, port, data, sectors })
    }

    /// Does something with the first page's worth of a sector, and waits for the answer.
    ///
    /// # Errors
    /// The back end failed at it, broke the protocol, or says nothing.
    pub(crate) fn operate(&mut self, kind: Kind, sector: u64) -> Result<(), Trouble> {
        let segment = Segment { grant: self.data.grant, offset: 0, length: 4096 };
        let operation = Operation { kind, sector, segments: Vec::from([segment]) };
        let asked = self.front.ask(&operation).map_err(|error| Trouble::Device(format!("{error:?}")))?;
        if self.front.push() {
            // It is ours and bound.
            let _ = hypercall::send(self.port);
        }
        let (tag, outcome) = wait(|| self.front.take().map_err(|error| Trouble::Device(format!("{error:?}"))))?;
        match outcome {
            Outcome::Done if tag == asked => Ok(()),
            _ => Err(Trouble::Device(format!("{tag:?}: {outcome:?}"))),
        }
    }

    /// Writes a page of such words, and reads it again.
    ///
    /// # Errors
    /// As of [`operate`](Self::operate), or others are read.
    pub(crate) fn prove(&mut self, sector: u64, word: impl Fn(u64) -> u64 + Copy) -> Result<(), Trouble> {
        self.data.fill(word);
        self.operate(Kind::Write, sector)?;
        self.data.fill(|_| 0);
        self.read(sector, word)
    }

    /// Reads a page, which is to be of such words.
    ///
    /// # Errors
    /// As of [`prove`](Self::prove).
    pub(crate) fn read(&mut self, sector: u64, word: impl Fn(u64) -> u64) -> Result<(), Trouble> {
        self.operate(Kind::Read, sector)?;
        match self.data.differs(word) {
            None => Ok(()),
            Some(at) => Err(Trouble::Device(format!("sector {sector}: word {at} is wrong"))),
        }
    }

    /// Lets it go, and waits until the back end waits for another.
    ///
    /// # Errors
    /// As of [`Ends::begin_anew`].
    pub(crate) fn disconnect(self, store: &mut Store) -> Result<(), Trouble> {
        self.ends.close(store, self.port)
    }
}
