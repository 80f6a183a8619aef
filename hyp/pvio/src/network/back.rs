//! The back end's halves: takes what the guest sends, fills the pages that it gives.

use alloc::collections::VecDeque;
use alloc::collections::vec_deque::Iter;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use xen_abi::io::netif::{
    ExtraInfo, NETIF_RSP_DROPPED, NETIF_RSP_ERROR, NETIF_RSP_NULL, NETIF_RSP_OKAY, NETRXF_CSUM_BLANK,
    NETRXF_DATA_VALIDATED, NETRXF_EXTRA_INFO, NETRXF_MORE_DATA, NETTXF_EXTRA_INFO, NETTXF_MORE_DATA, RxRequest,
    RxResponse, TxRequest, TxResponse, XEN_NETIF_EXTRA_FLAG_MORE,
};
use xen_abi::io::ring::XEN_PAGE_SIZE;
use zerocopy::{FromBytes, IntoBytes};

use super::packet::{Checksum, Packet, Segmentation, extra};
use super::{Fault, Outcome, Receive, Tag, Transmit, UnknownTag};
use crate::memory::SharedMemory;
use crate::order::Order;
use crate::ring::{BackRing, RingError};

/// The slots of a packet.
#[derive(Default)]
struct Row {
    requests: Vec<TxRequest>,
    extras: Vec<ExtraInfo>,
}

/// What the guest sends.
pub struct TransmitBack<M> {
    ring: BackRing<M, Transmit>,
    rows: Order<Sent, Outcome>,
    /// Those of one packet.
    answers: Vec<TxResponse>,
}

/// A packet that is not answered.
struct Sent {
    /// Numbers of its requests.
    ids: Vec<u16>,
    /// How many of its slots were no requests.
    extras: usize,
}

impl<M: SharedMemory> TransmitBack<M> {
    /// Begins with a ring that a front end made; see [`BackRing::attach`].
    ///
    /// # Errors
    /// As of [`BackRing::attach`].
    pub fn attach(memory: M) -> Result<Self, RingError> {
        BackRing::attach(memory).map(Self::new)
    }

    /// Goes on with a ring of a back end that is no more; see [`BackRing::resume`]. Packets that it did not answer come
    /// again.
    ///
    /// # Errors
    /// As of [`BackRing::attach`].
    pub fn resume(memory: M) -> Result<Self, RingError> {
        BackRing::resume(memory).map(Self::new)
    }

    const fn new(ring: BackRing<M, Transmit>) -> Self {
        Self { ring, rows: Order::new(), answers: Vec::new() }
    }

    /// The next packet. Those that do not add up are answered on the way, a round of the ring at most.
    ///
    /// # Errors
    /// The front end broke the protocol: the device is to be disconnected.
    pub fn take(&mut self) -> Result<Option<(Tag, Packet)>, Fault> {
        for _ in 0..self.ring.slots() {
            let Some(row) = self.row()? else { return Ok(None) };
            let ids = row.requests.iter().map(|request| request.id).collect();
            let tag = Tag(self.rows.begin(Sent { ids, extras: row.extras.len() }, None));
            match Packet::read(&row.requests, &row.extras) {
                Some(packet) => return Ok(Some((tag, packet))),
                // It was put there just now.
                None => _ = self.complete(tag, Outcome::Failed),
            }
        }
        Ok(None)
    }

    /// All slots of the next packet.
    fn row(&mut self) -> Result<Option<Row>, Fault> {
        let Some(slot) = self.ring.take()? else { return Ok(None) };
        let mut row = Row { requests: Vec::from([read(slot)]), extras: Vec::new() };
        let mut flags = row.requests[0].flags;
        let mut more = flags & NETTXF_EXTRA_INFO != 0;
        while more {
            let slot = self.following(&row)?;
            let extra = ExtraInfo::read_from_prefix(&slot).map(|(extra, _)| extra).unwrap_or_default();
            more = extra.flags & XEN_NETIF_EXTRA_FLAG_MORE != 0;
            row.extras.push(extra);
        }
        while flags & NETTXF_MORE_DATA != 0 {
            let request: TxRequest = read(self.following(&row)?);
            flags = request.flags;
            row.requests.push(request);
        }
        Ok(Some(row))
    }

    fn following(&mut self, row: &Row) -> Result<[u8; 12], Fault> {
        self.ring.take()?.ok_or(Fault::Cut { slots: row.requests.len() + row.extras.len() })
    }

    /// A packet is over. Its slots are answered when all packets before it are; [`push`](Self::push) shows it.
    ///
    /// # Errors
    /// No such packet is under way.
    pub fn complete(&mut self, tag: Tag, outcome: Outcome) -> Result<(), UnknownTag> {
        self.rows.end(tag.0, outcome).ok_or(UnknownTag)?;
        while let Some((Sent { ids, extras }, outcome)) = self.rows.next() {
            let status = match outcome {
                Outcome::Done => NETIF_RSP_OKAY,
                Outcome::Dropped => NETIF_RSP_DROPPED,
                Outcome::Failed => NETIF_RSP_ERROR,
            };
            let nothing = TxResponse { id: 0, status: NETIF_RSP_NULL };
            let answers = ids.into_iter().map(|id| TxResponse { id, status });
            self.answers.clear();
            self.answers.extend(answers.chain(core::iter::repeat_n(nothing, extras)));
            // Each slot was taken and is answered once.
            let _ = self.ring.respond(&self.answers);
        }
        Ok(())
    }

    /// How many packets are under way.
    pub const fn in_flight(&self) -> usize {
        self.rows.in_flight()
    }

    /// Shows the front end all answers. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.ring.push()
    }

    /// Asks to be notified of the next packet, and says whether there is one by now.
    ///
    /// # Errors
    /// The front end's index cannot be true.
    pub fn wait(&mut self) -> Result<bool, RingError> {
        self.ring.wait()
    }
}

/// A slot as a request, which has its size.
fn read(slot: [u8; 12]) -> TxRequest {
    TxRequest::read_from_bytes(&slot).unwrap_or_default()
}

/// A page of the guest, and how many bytes go to its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The guest's grant of the page.
    pub grant: u32,
    /// Bytes, 1 to 4096.
    pub length: u16,
}

/// Of a packet's slots those with data, and the bytes in each.
struct Pieces<'r> {
    requests: Iter<'r, RxRequest>,
    /// The next slot but one has extra information.
    extra: bool,
    /// Bytes that have no page yet.
    left: u16,
}

impl<'r> Iterator for Pieces<'r> {
    type Item = (&'r RxRequest, u16);

    fn next(&mut self) -> Option<Self::Item> {
        let request = self.requests.next()?;
        if core::mem::take(&mut self.extra) {
            self.requests.next();
        }
        let length = self.left.min(XEN_PAGE_SIZE as u16);
        self.left -= length;
        Some((request, length))
    }
}

/// Places for a packet, one after the other.
pub struct Places<'r>(Pieces<'r>);

impl Iterator for Places<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        self.0.next().map(|(request, length)| Place { grant: request.gref, length })
    }
}

/// A packet that is being copied to the guest.
#[derive(Clone, Copy)]
struct Reserved {
    /// Its pages, with the slot of its extra information.
    slots: usize,
    length: u16,
    checksum: Checksum,
    segmentation: Option<Segmentation>,
}

/// What the guest receives.
pub struct ReceiveBack<M> {
    ring: BackRing<M, Receive>,
    /// Pages that were taken from the ring: first those of packets, then such that no packet has yet.
    given: VecDeque<RxRequest>,
    /// How many of them packets have.
    used: usize,
    reserved: VecDeque<Reserved>,
    /// Those of one packet.
    answers: Vec<[u8; 8]>,
}

impl<M: SharedMemory> ReceiveBack<M> {
    /// Begins with a ring that a front end made; see [`BackRing::attach`].
    ///
    /// # Errors
    /// As of [`BackRing::attach`].
    pub fn attach(memory: M) -> Result<Self, RingError> {
        BackRing::attach(memory).map(Self::new)
    }

    /// Goes on with a ring of a back end that is no more; see [`BackRing::resume`]. Pages in which it delivered nothing
    /// are there again.
    ///
    /// # Errors
    /// As of [`BackRing::attach`].
    pub fn resume(memory: M) -> Result<Self, RingError> {
        BackRing::resume(memory).map(Self::new)
    }

    const fn new(ring: BackRing<M, Receive>) -> Self {
        Self { ring, given: VecDeque::new(), used: 0, reserved: VecDeque::new(), answers: Vec::new() }
    }

    /// Pages for a packet of `length` bytes: copy it there, then [`deliver`](Self::deliver). Nothing if the guest has
    /// not given enough.
    ///
    /// # Errors
    /// The front end's index cannot be true: the device is to be disconnected.
    pub fn reserve(
        &mut self,
        length: NonZeroU16,
        checksum: Checksum,
        segmentation: Option<Segmentation>,
    ) -> Result<Option<Places<'_>>, RingError> {
        let length = length.get();
        let pages = usize::from(length).div_ceil(XEN_PAGE_SIZE);
        let slots = pages + usize::from(segmentation.is_some());
        while self.given.len() < self.used + slots {
            let Some(request) = self.ring.take()? else { return Ok(None) };
            self.given.push_back(request);
        }
        let requests = self.given.range(self.used..self.used + slots);
        let reserved = Reserved { slots, length, checksum, segmentation };
        let places = Places(reserved.pieces(requests));
        self.used += slots;
        self.reserved.push_back(reserved);
        Ok(Some(places))
    }

    /// Shows the guest the packet that was reserved first of those not delivered; [`push`](Self::push) tells it.
    ///
    /// # Errors
    /// None was reserved.
    pub fn deliver(&mut self, outcome: Outcome) -> Result<(), UnknownTag> {
        let reserved = self.reserved.pop_front().ok_or(UnknownTag)?;
        self.answers.clear();
        let requests = self.given.range(..reserved.slots);
        if outcome == Outcome::Done {
            reserved.answer(requests, &mut self.answers);
        } else {
            // Each page back, as if it were a packet that failed.
            let status = NETIF_RSP_ERROR;
            self.answers
                .extend(requests.map(|request| bytes(&RxResponse { id: request.id, status, ..RxResponse::default() })));
        }
        self.given.drain(..reserved.slots);
        self.used -= reserved.slots;
        // Each slot was taken and is answered once.
        let _ = self.ring.respond(&self.answers);
        Ok(())
    }

    /// Shows the guest all that was delivered. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.ring.push()
    }

    /// Asks to be notified of the next page, and says whether there is one by now.
    ///
    /// # Errors
    /// The front end's index cannot be true.
    pub fn wait(&mut self) -> Result<bool, RingError> {
        self.ring.wait()
    }
}

impl Reserved {
    const fn pieces(self, requests: Iter<'_, RxRequest>) -> Pieces<'_> {
        Pieces { requests, extra: self.segmentation.is_some(), left: self.length }
    }

    /// The responses in its slots, of which these are the requests.
    fn answer(self, requests: Iter<'_, RxRequest>, answers: &mut Vec<[u8; 8]>) {
        let checksum = match self.checksum {
            Checksum::There => 0,
            Checksum::Validated => NETRXF_DATA_VALIDATED,
            Checksum::Blank => NETRXF_CSUM_BLANK | NETRXF_DATA_VALIDATED,
        };
        let count = usize::from(self.length).div_ceil(XEN_PAGE_SIZE);
        for (at, (request, length)) in self.pieces(requests).enumerate() {
            let mut flags = if at + 1 < count { NETRXF_MORE_DATA } else { 0 };
            if at == 0 {
                flags |= checksum | if self.segmentation.is_some() { NETRXF_EXTRA_INFO } else { 0 };
            }
            let response = RxResponse { id: request.id, offset: 0, flags, status: length as i16 };
            answers.push(bytes(&response));
            if let Some(segmentation) = self.segmentation.filter(|_| at == 0) {
                answers.push(bytes(&extra(segmentation)));
            }
        }
    }
}

fn bytes<T: IntoBytes + zerocopy::Immutable>(slot: &T) -> [u8; 8] {
    let mut out = [0; 8];
    out.iter_mut().zip(slot.as_bytes()).for_each(|(to, from)| *to = *from);
    out
}
