//! The front end's half, for our bare guests.

use alloc::vec::Vec;

use xen_abi::io::fbif::{
    Page, RefreshPeriod, Resize, Update, XENFB_IN_RING_LEN, XENFB_OUT_EVENT_SIZE, XENFB_TYPE_REFRESH_PERIOD,
    XENFB_TYPE_RESIZE, XENFB_TYPE_UPDATE,
};
use xen_abi::io::ring::XEN_PAGE_SIZE;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::screen::{Area, Screen, lists_most};
use super::{Fault, IN, InEvent, OUT, OutEvent};
use crate::events::{EventError, EventReader, EventWriter};
use crate::memory::SharedMemory;

/// The front end's half.
pub struct Front<M> {
    reader: EventReader<M, InEvent>,
    writer: EventWriter<M, OutEvent>,
}

impl<M: SharedMemory + Copy> Front<M> {
    /// Makes the page, of at least 4096 bytes, before the back end is told where it is. `lists` are the frames that
    /// [`lists`](Self::lists) made.
    ///
    /// # Errors
    /// The picture is not in its memory, or there are too many lists.
    pub fn create(memory: M, screen: &Screen, lists: &[u64]) -> Result<Self, Fault> {
        screen.checked()?;
        if lists.len() > lists_most() || screen.depth > 32 {
            return Err(Fault::Screen(*screen));
        }
        let mut page = Page {
            in_cons: 0,
            in_prod: 0,
            out_cons: 0,
            out_prod: 0,
            width: screen.width.cast_signed(),
            height: screen.height.cast_signed(),
            line_length: screen.line,
            mem_length: screen.memory,
            depth: screen.depth as u8,
            pad: [0; 7],
            pd: [0; 256],
        };
        page.pd.iter_mut().zip(lists).for_each(|(to, list)| *to = *list);
        memory.write(0, page.as_bytes());
        Ok(Self { reader: EventReader::attach(memory, IN), writer: EventWriter::attach(memory, OUT) })
    }

    /// Pages that list the frames of the picture's memory.
    pub fn lists(frames: &[u64]) -> Vec<[u8; XEN_PAGE_SIZE]> {
        let list = |frames: &[u64]| {
            let mut page = [0; XEN_PAGE_SIZE];
            page.iter_mut().zip(frames.as_bytes()).for_each(|(to, byte)| *to = *byte);
            page
        };
        frames.chunks(XEN_PAGE_SIZE / size_of::<u64>()).map(list).collect()
    }

    /// Says that a part of the picture changed; whether there was room. If so, the back end is to be notified.
    ///
    /// # Errors
    /// The back end's index cannot be true.
    pub fn update(&mut self, area: Area) -> Result<bool, EventError> {
        let Area { x, y, width, height } = area;
        let [x, y, width, height] = [x, y, width, height].map(u32::cast_signed);
        self.writer.put(&event(&Update { kind: XENFB_TYPE_UPDATE, pad: [0; 3], x, y, width, height }))
    }

    /// Says that the picture has another size, which it may if the back end has `feature-resize`.
    ///
    /// # Errors
    /// As of [`update`](Self::update).
    pub fn resize(&mut self, screen: &Screen) -> Result<bool, EventError> {
        let Screen { width, height, line, depth, offset, .. } = *screen;
        let [width, height, stride, depth, offset] = [width, height, line, depth, offset].map(u32::cast_signed);
        self.writer.put(&event(&Resize { kind: XENFB_TYPE_RESIZE, pad: [0; 3], width, height, stride, depth, offset }))
    }

    /// How often the back end looks, in milliseconds, if it said so anew; 0 for never.
    ///
    /// # Errors
    /// The back end's index cannot be true.
    pub fn take(&mut self) -> Result<Option<u32>, EventError> {
        let mut period = None;
        for _ in 0..XENFB_IN_RING_LEN {
            let Some(event) = self.reader.take()? else { break };
            // Others are ignored, which the protocol demands.
            let refresh = RefreshPeriod::read_from_prefix(&event).ok().map(|(refresh, _)| refresh);
            let refresh = refresh.filter(|refresh| refresh.kind == XENFB_TYPE_REFRESH_PERIOD);
            period = refresh.map(|refresh| refresh.period).or(period);
        }
        self.reader.show();
        Ok(period)
    }
}

fn event<T: IntoBytes + Immutable>(what: &T) -> OutEvent {
    let mut event = [0; XENFB_OUT_EVENT_SIZE];
    event.iter_mut().zip(what.as_bytes()).for_each(|(to, from)| *to = *from);
    event
}
