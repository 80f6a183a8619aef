//! Frames that wait for a guest, on their way into its pages: what it has room for is copied by one hypercall, and frames that
//! belong together go as one large packet, if the guest takes such.

use alloc::vec::Vec;
use core::num::NonZeroU16;
use core::ops::Range;

use hyp_pvio::network::{Checksum, Connection, Join, Outcome, Piece, Places, ReceiveBack, Segmentation};
use rt::virtio::network::START;

use crate::grants::{Batch, Way};
use crate::hardware::bridge::{Bridge, Frame, Outlet};
use crate::shared::Granted;

/// All packets of one go.
#[derive(Default)]
pub(super) struct Incoming {
    /// The guest takes packets whose checksum is not made.
    blank: bool,
    /// It takes large packets, over IPv4 and over IPv6.
    large: [bool; 2],
    batch: Batch,
    /// Frames whose bytes are copied.
    frames: Vec<Frame>,
    /// The copies of each packet; none if that could not be.
    packets: Vec<Range<usize>>,
}

impl Incoming {
    /// A guest connects, and takes this.
    pub(super) fn takes(&mut self, connection: &Connection) {
        self.blank = connection.blank_ipv4 && connection.blank_ipv6;
        self.large = [connection.large_ipv4, connection.large_ipv6].map(|large| large && self.blank);
    }

    /// Gives a guest what waits for one of its queues, as far as it has room.
    ///
    /// # Errors
    /// Its ring cannot be used any more.
    pub(super) fn give(
        &mut self,
        domain: u16,
        outlet: Outlet,
        receive: &mut ReceiveBack<Granted>,
        bridge: &mut Bridge,
    ) -> Result<(), alloc::string::String> {
        let mut broken = None;
        while let Some(first) = bridge.next(outlet) {
            match self.reserve(domain, outlet, first, receive, bridge) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    broken = Some(alloc::format!("{error}"));
                    break;
                }
            }
        }
        self.batch.run();
        for copies in self.packets.drain(..) {
            let copied = !copies.is_empty() && self.batch.made(copies);
            // It was reserved above.
            let _ = receive.deliver(if copied { Outcome::Done } else { Outcome::Failed });
        }
        self.frames.drain(..).for_each(|frame| bridge.give_back(frame.buffer));
        self.batch.clear();
        broken.map_or(Ok(()), Err)
    }

    /// Finds room for a packet that begins with this frame; whether there was some.
    fn reserve(
        &mut self,
        domain: u16,
        outlet: Outlet,
        mut first: Frame,
        receive: &mut ReceiveBack<Granted>,
        bridge: &mut Bridge,
    ) -> Result<bool, hyp_pvio::ring::RingError> {
        let (join, more) = self.join(&first, outlet, bridge);
        let mut room = None;
        if let Some(join) = join {
            let headers = first.bytes().get(..Join::HEAD.min(first.length)).unwrap_or_default().to_vec();
            let segmentation = join.finish(first.bytes_mut());
            room = reserve(receive, join.length(), Checksum::Blank, Some(segmentation))?;
            if room.is_none() {
                // There may be room for the frame alone.
                first.bytes_mut().iter_mut().zip(headers).for_each(|(to, from)| *to = from);
            }
        }
        let joined = if room.is_some() { more.len() } else { 0 };
        if room.is_none() {
            if first.checksum == Checksum::Blank && !self.blank {
                first.make_checksum();
            }
            room = reserve(receive, first.length, first.checksum, None)?;
        }
        let Some(places) = room else {
            bridge.put_back(outlet, first);
            return Ok(false);
        };
        let start = self.frames.len();
        self.frames.push(first);
        self.frames.extend((0..joined).map_while(|_| bridge.next(outlet)));
        let data = core::iter::once(0..usize::MAX).chain(more);
        let copies = self.copy(domain, start, data, places);
        self.packets.push(copies.unwrap_or_default());
        Ok(true)
    }

    /// The frames behind the first one that go with it, if there are any: which of their bytes.
    fn join(&self, first: &Frame, outlet: Outlet, bridge: &Bridge) -> (Option<Join>, Vec<Range<usize>>) {
        let mut more = Vec::new();
        if self.large == [false; 2] || first.checksum != Checksum::There || bridge.peek(outlet, 0).is_none() {
            return (None, more);
        }
        let Some(mut join) = Join::begin(first.bytes()) else { return (None, more) };
        if !self.large[usize::from(join.is_ipv6())] {
            return (None, more);
        }
        while let Some(next) = bridge.peek(outlet, more.len())
            && next.checksum == Checksum::There
            && let Some(data) = join.add(first.bytes(), next.bytes())
        {
            more.push(data);
        }
        (Some(join).filter(|_| !more.is_empty()), more)
    }

    /// Adds the copies of a packet whose frames begin with number `start`, of these bytes of each, to these places.
    fn copy(
        &mut self,
        domain: u16,
        start: usize,
        data: impl Iterator<Item = Range<usize>>,
        places: Places<'_>,
    ) -> Option<Range<usize>> {
        let mut places = places.map(|place| Piece { grant: place.grant, offset: 0, length: place.length });
        let mut place = places.next()?;
        let mut all: Option<Range<usize>> = None;
        for (frame, data) in self.frames.iter_mut().skip(start).zip(data) {
            let (mut at, end) = (data.start, data.end.min(frame.length));
            while at < end {
                if place.length == 0 {
                    place = places.next()?;
                }
                let length = (end - at).min(usize::from(place.length)) as u16;
                let piece = core::iter::once(Piece { length, ..place });
                let copies = self.batch.add(domain, piece, &mut frame.buffer, START + at, Way::Out)?;
                all = Some(all.map_or(copies.start, |all| all.start)..copies.end);
                place = Piece { offset: place.offset + length, length: place.length - length, ..place };
                at += usize::from(length);
            }
        }
        all
    }
}

fn reserve<'r>(
    receive: &'r mut ReceiveBack<Granted>,
    length: usize,
    checksum: Checksum,
    segmentation: Option<Segmentation>,
) -> Result<Option<Places<'r>>, hyp_pvio::ring::RingError> {
    let length = u16::try_from(length).ok().and_then(NonZeroU16::new);
    length.map_or(Ok(None), |length| receive.reserve(length, checksum, segmentation))
}
