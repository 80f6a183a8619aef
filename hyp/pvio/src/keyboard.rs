//! Keyboards and pointers: events to the guest.
//!
//! There is nothing to answer and nothing to check but where the front end's page is and how far it has read. Keys and
//! buttons have the numbers that Linux gives them, which virtio's input devices use too. Linux's driver reads what the
//! back end has as soon as it sees the device, so that has to be in xenstore before the front end's directory is.
//!
//! Source: `public/io/kbdif.h`; multi-touch is not here.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use xen_abi::io::kbdif::{
    Key, Motion, Position, XENKBD_IN_EVENT_SIZE, XENKBD_IN_RING_LEN, XENKBD_IN_RING_OFFS, XENKBD_TYPE_KEY,
    XENKBD_TYPE_MOTION, XENKBD_TYPE_POS,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::events::{EventError, EventReader, EventWriter, Place};
use crate::memory::SharedMemory;
use crate::nodes::{NodeError, Nodes};

const IN: Place = Place { slots: XENKBD_IN_RING_OFFS, count: XENKBD_IN_RING_LEN as u32, consumer: 0, producer: 4 };

type Event = [u8; XENKBD_IN_EVENT_SIZE];

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key, or a button of the pointer.
    Key {
        /// Linux's number.
        code: u32,
        /// Pressed, or released.
        pressed: bool,
    },
    /// The pointer moved by this much to the right and down, and its wheel away from the user.
    Motion {
        /// Columns.
        x: i32,
        /// Lines.
        y: i32,
        /// Steps of the wheel.
        wheel: i32,
    },
    /// The pointer is at this place of the screen.
    Position {
        /// Column.
        x: i32,
        /// Line.
        y: i32,
        /// Steps of the wheel.
        wheel: i32,
    },
}

/// The back end's half.
pub struct Back<M> {
    writer: EventWriter<M, Event>,
}

impl<M: SharedMemory> Back<M> {
    /// Begins with a page that a front end made, of at least 4096 bytes, or goes on with it.
    pub fn attach(memory: M) -> Self {
        Self { writer: EventWriter::attach(memory, IN) }
    }

    /// Tells what happened; whether there was room. If so, the front end is to be notified.
    ///
    /// # Errors
    /// The front end's index cannot be true; the device is over.
    pub fn tell(&mut self, input: Input) -> Result<bool, EventError> {
        // The protocol's wheel turns the other way.
        let event = match input {
            Input::Key { code, pressed } => {
                event(&Key { kind: XENKBD_TYPE_KEY, pressed: pressed.into(), pad: 0, keycode: code })
            }
            Input::Motion { x, y, wheel } => {
                let rel_z = wheel.wrapping_neg();
                event(&Motion { kind: XENKBD_TYPE_MOTION, pad: [0; 3], rel_x: x, rel_y: y, rel_z })
            }
            Input::Position { x, y, wheel } => {
                let rel_z = wheel.wrapping_neg();
                event(&Position { kind: XENKBD_TYPE_POS, pad: [0; 3], abs_x: x, abs_y: y, rel_z })
            }
        };
        self.writer.put(&event)
    }
}

/// The front end's half, for our bare guests.
pub struct Front<M> {
    reader: EventReader<M, Event>,
}

impl<M: SharedMemory> Front<M> {
    /// Makes an empty page, of at least 4096 bytes, before it is granted to the back end.
    pub fn create(memory: M) -> Self {
        memory.write(0, &[0; XENKBD_IN_RING_OFFS]);
        Self { reader: EventReader::attach(memory, IN) }
    }

    /// What happened next. What nobody knows is passed over, which the protocol demands.
    ///
    /// # Errors
    /// The back end's index cannot be true; the device is over.
    pub fn take(&mut self) -> Result<Option<Input>, EventError> {
        for _ in 0..XENKBD_IN_RING_LEN {
            let Some(event) = self.reader.take()? else { break };
            let input = match event[0] {
                XENKBD_TYPE_KEY => {
                    let Key { keycode, pressed, .. } = head(&event);
                    Input::Key { code: keycode, pressed: pressed != 0 }
                }
                XENKBD_TYPE_MOTION => {
                    let Motion { rel_x, rel_y, rel_z, .. } = head(&event);
                    Input::Motion { x: rel_x, y: rel_y, wheel: rel_z.wrapping_neg() }
                }
                XENKBD_TYPE_POS => {
                    let Position { abs_x, abs_y, rel_z, .. } = head(&event);
                    Input::Position { x: abs_x, y: abs_y, wheel: rel_z.wrapping_neg() }
                }
                _ => continue,
            };
            return Ok(Some(input));
        }
        Ok(None)
    }

    /// Tells the back end what was taken. Afterwards it is to be notified, because it may wait for room.
    pub fn show(&mut self) {
        self.reader.show();
    }
}

fn event<T: IntoBytes + Immutable>(what: &T) -> Event {
    let mut event = [0; XENKBD_IN_EVENT_SIZE];
    event.iter_mut().zip(what.as_bytes()).for_each(|(to, from)| *to = *from);
    event
}

/// What an event begins with; it has bytes enough.
fn head<T: FromBytes + Default>(event: &Event) -> T {
    T::read_from_prefix(event).map(|(head, _)| head).unwrap_or_default()
}

/// What a back end has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// It has a keyboard.
    pub keyboard: bool,
    /// It has a pointer.
    pub pointer: bool,
    /// Columns and lines of the screen, if the pointer says where it is on it.
    pub screen: Option<(u32, u32)>,
}

/// Where the front end's page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its grant.
    pub page: u32,
    /// Its event channel.
    pub port: u32,
    /// It wants positions, not motions.
    pub positions: bool,
}

impl Offer {
    /// Names and values below the back end's directory, which have to be there before the front end's directory is.
    pub fn features(&self) -> Vec<(&'static str, String)> {
        let bit = |yes: bool| u32::from(yes).to_string();
        let mut nodes = Vec::from([
            ("feature-disable-keyboard", bit(!self.keyboard)),
            ("feature-disable-pointer", bit(!self.pointer)),
            ("feature-abs-pointer", bit(self.screen.is_some())),
        ]);
        if let Some((width, height)) = self.screen {
            nodes.extend([("width", width.to_string()), ("height", height.to_string())]);
        }
        nodes
    }
}

impl Connection {
    /// Reads the front end's nodes; `get` gives the value of one by its name below the front end's directory.
    ///
    /// # Errors
    /// The first node that is missing or is no number.
    pub fn read(offer: &Offer, get: &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Result<Self, NodeError> {
        let mut nodes = Nodes { get };
        Ok(Self {
            page: nodes.reference("page-gref")?,
            port: nodes.reference("event-channel")?,
            positions: nodes.feature("request-abs-pointer")? && offer.screen.is_some(),
        })
    }
}
