//! The back end's half: learns of changes, and says how often it looks.

use xen_abi::io::fbif::{
    RefreshPeriod, Resize, Update, XENFB_IN_EVENT_SIZE, XENFB_OUT_RING_LEN, XENFB_TYPE_REFRESH_PERIOD,
    XENFB_TYPE_RESIZE, XENFB_TYPE_UPDATE,
};
use zerocopy::{FromBytes, IntoBytes};

use super::screen::{Area, Frames, Screen, read};
use super::{Fault, IN, InEvent, OUT, OutEvent};
use crate::events::{EventError, EventReader, EventWriter};
use crate::memory::SharedMemory;

/// What the guest did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It changed a part of the picture.
    Area(Area),
    /// The picture has another size, or is somewhere else in its memory.
    Screen(Screen),
}

/// The back end's half.
pub struct Back<M> {
    reader: EventReader<M, OutEvent>,
    writer: EventWriter<M, InEvent>,
    screen: Screen,
}

impl<M: SharedMemory + Clone> Back<M> {
    /// Begins with the page of a front end, of at least 4096 bytes, or goes on with it: the page says how far the events
    /// have come. The picture's memory may have `most` bytes. Where it is is for the caller to find out and to map.
    ///
    /// What the page says of the picture is that of its beginning; a later life should draw all of it, and is told of
    /// another size no more.
    ///
    /// # Errors
    /// The picture is not in its memory, or that is larger.
    pub fn attach(memory: M, most: u32) -> Result<(Self, Frames), Fault> {
        let (screen, frames) = read(&memory, most)?;
        let (reader, writer) = (EventReader::attach(memory.clone(), OUT), EventWriter::attach(memory, IN));
        Ok((Self { reader, writer, screen }, frames))
    }

    /// The picture.
    pub const fn screen(&self) -> &Screen {
        &self.screen
    }

    /// Takes the picture for this one, which the last life of a back end was told of.
    ///
    /// # Errors
    /// It is not in the memory that there is.
    pub fn resume(&mut self, screen: Screen) -> Result<(), Fault> {
        self.screen = Screen { memory: self.screen.memory, ..screen }.checked()?;
        Ok(())
    }

    /// The next change; [`show`](Self::show) when there is nothing more.
    ///
    /// # Errors
    /// The front end broke the protocol; the device is over.
    pub fn take(&mut self) -> Result<Option<Change>, Fault> {
        // A front end that writes as fast as it is refused gets no more than a round.
        for _ in 0..XENFB_OUT_RING_LEN {
            let Some(event) = self.reader.take()? else { return Ok(None) };
            match event[0] {
                XENFB_TYPE_UPDATE => {
                    let Update { x, y, width, height, .. } = head(&event);
                    if let Some(area) = self.screen.clip(x, y, width, height) {
                        return Ok(Some(Change::Area(area)));
                    }
                }
                XENFB_TYPE_RESIZE => {
                    let resize: Resize = head(&event);
                    let screen = Screen {
                        width: resize.width.cast_unsigned(),
                        height: resize.height.cast_unsigned(),
                        depth: resize.depth.cast_unsigned(),
                        line: resize.stride.cast_unsigned(),
                        offset: resize.offset.cast_unsigned(),
                        memory: self.screen.memory,
                    };
                    self.screen = screen.checked()?;
                    return Ok(Some(Change::Screen(screen)));
                }
                kind => return Err(Fault::Event { kind }),
            }
        }
        Ok(None)
    }

    /// Tells the front end what was taken. Afterwards it is to be notified, because it may wait for room.
    pub fn show(&mut self) {
        self.reader.show();
    }

    /// Says every how many milliseconds the picture is looked at, 0 for never; whether there was room to say so. If so,
    /// the front end is to be notified.
    ///
    /// # Errors
    /// The front end's index cannot be true.
    pub fn advise(&mut self, period: u32) -> Result<bool, EventError> {
        let mut event = [0; XENFB_IN_EVENT_SIZE];
        let refresh = RefreshPeriod { kind: XENFB_TYPE_REFRESH_PERIOD, pad: [0; 3], period };
        event.iter_mut().zip(refresh.as_bytes()).for_each(|(to, from)| *to = *from);
        self.writer.put(&event)
    }
}

/// What an event begins with; it has bytes enough.
fn head<T: FromBytes + Default>(event: &OutEvent) -> T {
    T::read_from_prefix(event).map(|(head, _)| head).unwrap_or_default()
}
