//! The front end's halves, for our bare guests: sends packets, gives pages and takes what comes in them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use xen_abi::io::netif::{
    ExtraInfo, NETIF_RSP_DROPPED, NETIF_RSP_NULL, NETIF_RSP_OKAY, NETRXF_CSUM_BLANK, NETRXF_DATA_VALIDATED,
    NETRXF_EXTRA_INFO, NETRXF_MORE_DATA, NETTXF_MORE_DATA, RxRequest, RxResponse, TxRequest, XEN_NETIF_EXTRA_FLAG_MORE,
};
use xen_abi::io::ring::XEN_PAGE_SIZE;
use zerocopy::{FromBytes, IntoBytes};

use super::packet::{Checksum, Packet, Piece, Segmentation, extra, segmentation};
use super::{Fault, Outcome, Receive, Tag, Transmit};
use crate::memory::SharedMemory;
use crate::ring::{FrontRing, NoSlot, RingError};

/// What we send.
pub struct TransmitFront<M> {
    ring: FrontRing<M, Transmit>,
    /// By number of a request: whose it is.
    owners: Vec<Option<Tag>>,
    /// Requests of each packet that are not answered, and the worst answer so far.
    going: BTreeMap<Tag, (usize, Outcome)>,
    serial: u64,
}

impl<M: SharedMemory> TransmitFront<M> {
    /// Makes an empty ring, before its page is granted to the back end.
    ///
    /// # Errors
    /// The page has a wrong size.
    pub fn create(memory: M) -> Result<Self, RingError> {
        let ring = FrontRing::create(memory)?;
        let owners = (0..ring.slots()).map(|_| None).collect();
        Ok(Self { ring, owners, going: BTreeMap::new(), serial: 0 })
    }

    /// Sends a packet; [`push`](Self::push) shows it.
    ///
    /// # Errors
    /// The ring has no room for it, or it is no packet: a piece leaves its page, there are none or more than 18, it is
    /// shorter than 14 bytes or longer than 65535.
    pub fn send(&mut self, packet: &Packet) -> Result<Tag, NoSlot> {
        let count = packet.pieces.len();
        let slots = count + usize::from(packet.segmentation.is_some());
        let free: Vec<usize> = (0..self.owners.len()).filter(|id| self.owners[*id].is_none()).take(count).collect();
        if !packet.is_whole() || slots > self.ring.free() as usize || free.len() < count {
            return Err(NoSlot);
        }
        self.serial += 1;
        let tag = Tag(self.serial);
        for (at, (piece, id)) in packet.pieces.iter().zip(free).enumerate() {
            let more = if at + 1 < count { NETTXF_MORE_DATA } else { 0 };
            let (flags, size) = if at == 0 { (packet.flags(), packet.length() as u16) } else { (more, piece.length) };
            let request = TxRequest { gref: piece.grant, offset: piece.offset, flags, id: id as u16, size };
            self.put(request.as_bytes())?;
            if let Some(segmentation) = packet.segmentation.filter(|_| at == 0) {
                self.put(extra(segmentation).as_bytes())?;
            }
            self.owners[id] = Some(tag);
        }
        self.going.insert(tag, (count, Outcome::Done));
        Ok(tag)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), NoSlot> {
        let mut slot = [0; 12];
        slot.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.ring.put(&slot)
    }

    /// Shows the back end all packets. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.ring.push()
    }

    /// The next packet whose slots are all answered: its pages are ours again.
    ///
    /// # Errors
    /// The back end broke the protocol; the device is over.
    pub fn take(&mut self) -> Result<Option<(Tag, Outcome)>, Fault> {
        while let Some(response) = self.ring.take()? {
            if response.status == NETIF_RSP_NULL {
                continue;
            }
            let wrong = Fault::Answer { id: response.id };
            let tag = self.owners.get_mut(usize::from(response.id)).and_then(Option::take).ok_or(wrong)?;
            let (left, worst) = self.going.get_mut(&tag).ok_or(wrong)?;
            *left -= 1;
            *worst = match response.status {
                NETIF_RSP_OKAY => *worst,
                NETIF_RSP_DROPPED => Outcome::Dropped,
                _ => Outcome::Failed,
            };
            if *left == 0 {
                let outcome = *worst;
                self.going.remove(&tag);
                return Ok(Some((tag, outcome)));
            }
        }
        Ok(None)
    }

    /// Asks to be notified of the next answer, and says whether there is one by now.
    ///
    /// # Errors
    /// The back end's index cannot be true.
    pub fn wait(&mut self) -> Result<bool, RingError> {
        self.ring.wait()
    }
}

/// What came of pages that we gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A packet; its pages are ours again, and maybe one that holds nothing of it.
    Packet(Packet, Option<u32>),
    /// Nothing is in this page, which is ours again.
    Nothing(u32),
}

/// What we receive.
pub struct ReceiveFront<M> {
    ring: FrontRing<M, Receive>,
    /// Grants in the order in which they were given, which is that of the answers.
    given: VecDeque<(u16, u32)>,
    next: u16,
}

impl<M: SharedMemory> ReceiveFront<M> {
    /// Makes an empty ring, before its page is granted to the back end.
    ///
    /// # Errors
    /// The page has a wrong size.
    pub fn create(memory: M) -> Result<Self, RingError> {
        Ok(Self { ring: FrontRing::create(memory)?, given: VecDeque::new(), next: 0 })
    }

    /// Gives a page; [`push`](Self::push) shows it.
    ///
    /// # Errors
    /// The ring is full.
    pub fn give(&mut self, grant: u32) -> Result<(), NoSlot> {
        self.ring.put(&RxRequest { id: self.next, pad: 0, gref: grant })?;
        self.given.push_back((self.next, grant));
        // Numbers go round as slots do, which is what other front ends have.
        self.next = (self.next + 1) % self.ring.slots() as u16;
        Ok(())
    }

    /// Shows the back end all pages. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.ring.push()
    }

    /// The next packet.
    ///
    /// # Errors
    /// The back end broke the protocol; the device is over.
    pub fn take(&mut self) -> Result<Option<Received>, Fault> {
        let Some(slot) = self.ring.take()? else { return Ok(None) };
        let (first, grant) = self.piece(slot)?;
        if first.status <= 0 {
            return Ok(Some(Received::Nothing(grant)));
        }
        let mut pieces = Vec::from([piece(&first, grant)?]);
        let extra = if first.flags & NETRXF_EXTRA_INFO != 0 { Some(self.extra()?) } else { None };
        let mut more = first.flags & NETRXF_MORE_DATA != 0;
        while more {
            let slot = self.following(pieces.len() + usize::from(extra.is_some()))?;
            let (response, grant) = self.piece(slot)?;
            more = response.flags & NETRXF_MORE_DATA != 0;
            pieces.push(piece(&response, grant)?);
        }
        let checksum = match first.flags {
            flags if flags & NETRXF_CSUM_BLANK != 0 => Checksum::Blank,
            flags if flags & NETRXF_DATA_VALIDATED != 0 => Checksum::Validated,
            _ => Checksum::There,
        };
        let (segmentation, spare) = extra.unzip();
        Ok(Some(Received::Packet(Packet { pieces, checksum, segmentation }, spare)))
    }

    /// An answer that is a piece, and the page that it is about: the oldest one.
    fn piece(&mut self, slot: [u8; 8]) -> Result<(RxResponse, u32), Fault> {
        let response = RxResponse::read_from_bytes(&slot).unwrap_or_default();
        let (id, grant) = self.given.pop_front().ok_or(Fault::Answer { id: response.id })?;
        if id == response.id { Ok((response, grant)) } else { Err(Fault::Answer { id: response.id }) }
    }

    /// An answer that is the wish to be cut, whose page is left over; there is no other that we know.
    fn extra(&mut self) -> Result<(Segmentation, u32), Fault> {
        let info = ExtraInfo::read_from_bytes(&self.following(1)?).unwrap_or_default();
        let (id, grant) = self.given.pop_front().ok_or(Fault::Answer { id: 0 })?;
        match segmentation(&info) {
            Some(segmentation) if info.flags & XEN_NETIF_EXTRA_FLAG_MORE == 0 => Ok((segmentation, grant)),
            _ => Err(Fault::Answer { id }),
        }
    }

    fn following(&mut self, slots: usize) -> Result<[u8; 8], Fault> {
        self.ring.take()?.ok_or(Fault::Cut { slots })
    }

    /// Asks to be notified of the next packet, and says whether there is one by now.
    ///
    /// # Errors
    /// The back end's index cannot be true.
    pub fn wait(&mut self) -> Result<bool, RingError> {
        self.ring.wait()
    }
}

/// A piece that lies within its page.
fn piece(response: &RxResponse, grant: u32) -> Result<Piece, Fault> {
    let wrong = Fault::Answer { id: response.id };
    let length = u16::try_from(response.status).ok().filter(|length| *length > 0).ok_or(wrong)?;
    if usize::from(response.offset) + usize::from(length) > XEN_PAGE_SIZE {
        return Err(wrong);
    }
    Ok(Piece { grant, offset: response.offset, length })
}
