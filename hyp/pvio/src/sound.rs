//! Sound: streams of samples in a buffer of the guest's pages.
//!
//! A card has devices and a device has streams, each for playing or for recording, with a ring of requests and a page of
//! events of its own. The guest opens a stream with a buffer, says which parts of it are to be played or filled, and is
//! told how far the stream has come. The back end's half takes requests from the ring, checks all of them against what
//! the stream can do and whether it is open, answers what is wrong and what needs no device, and gives the rest as
//! [`Command`]s with tags.
//!
//! Source: `public/io/sndif.h`, version 2. Answers leave in the order of the ring, so that a back end which ends leaves
//! the others there.

mod back;
mod card;
mod front;
mod parameters;
mod play;

pub use back::Back;
pub use card::{Card, Connection, Device, Stream};
pub use front::{Answer, AnswerError, Front};
pub use parameters::{Format, Limits, Opened};
pub use play::Play;
use xen_abi::io::sndif::{
    Event, Request, Response, XENSND_EVT_CUR_POS, XENSND_IN_RING_LEN, XENSND_IN_RING_OFFS, XENSND_OP_TRIGGER_PAUSE,
    XENSND_OP_TRIGGER_RESUME, XENSND_OP_TRIGGER_START, XENSND_OP_TRIGGER_STOP,
};

use crate::events::{EventError, EventReader, EventWriter, Place};
use crate::memory::SharedMemory;
use crate::ring::Protocol;

/// The protocol of the ring.
pub struct Sndif;

impl Protocol for Sndif {
    type Request = Request;
    type Response = Response;
}

/// A command under way. It is given back once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u64);

/// No such command is under way: it was given back already, or was never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTag;

/// Where the samples of a stream go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the guest.
    Playback,
    /// To the guest.
    Capture,
}

/// How to run a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Start.
    Start,
    /// Pause.
    Pause,
    /// Stop.
    Stop,
    /// Go on after a pause.
    Resume,
}

impl Trigger {
    const ALL: [Self; 4] = [Self::Start, Self::Pause, Self::Stop, Self::Resume];

    const fn number(self) -> u8 {
        match self {
            Self::Start => XENSND_OP_TRIGGER_START,
            Self::Pause => XENSND_OP_TRIGGER_PAUSE,
            Self::Stop => XENSND_OP_TRIGGER_STOP,
            Self::Resume => XENSND_OP_TRIGGER_RESUME,
        }
    }
}

/// Bytes of an open stream's buffer, all of them in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

/// What a guest wants of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Open it, in the place of what is open.
    Open(Opened),
    /// Close it, and let go of its buffer.
    Close,
    /// Fill a part of the buffer with what was recorded.
    Read(Part),
    /// Play a part of the buffer.
    Write(Part),
    /// Take a volume for each channel from a part of the buffer: 4 bytes each, in thousandths of a decibel, signed.
    SetVolume(Part),
    /// Put them there.
    GetVolume(Part),
    /// Mute the channels whose byte in a part of the buffer is not 0.
    Mute(Part),
    /// The opposite.
    Unmute(Part),
    /// Run or stop it.
    Trigger(Trigger),
}

const EVENTS: Place = Place { slots: XENSND_IN_RING_OFFS, count: XENSND_IN_RING_LEN as u32, consumer: 0, producer: 4 };

/// The back end's end of a page of events, of at least 4096 bytes.
pub struct Positions<M> {
    writer: EventWriter<M, Event>,
}

impl<M: SharedMemory> Positions<M> {
    /// Begins with a page that a front end made, or goes on with it.
    pub fn attach(memory: M) -> Self {
        Self { writer: EventWriter::attach(memory, EVENTS) }
    }

    /// The position that was told last, if one was: where the next life of a back end goes on. Who opens a stream tells 0.
    pub fn last(&self) -> Option<u64> {
        self.writer.last().as_ref().and_then(position)
    }

    /// Says how many bytes were played or recorded since the stream was opened; whether there was room for it. If so, the
    /// front end is to be notified; if not, a later position says as much.
    ///
    /// # Errors
    /// The front end's index cannot be true.
    pub fn tell(&mut self, position: u64) -> Result<bool, EventError> {
        let mut op = [0; 56];
        op[..8].copy_from_slice(&position.to_le_bytes());
        // Linux counts them, and skips one with another number.
        let id = self.writer.index() as u16;
        self.writer.put(&Event { id, kind: XENSND_EVT_CUR_POS, reserved: [0; 5], op })
    }
}

/// The front end's end of a page of events, of at least 4096 bytes that are 0 at first.
pub fn events<M: SharedMemory>(memory: M) -> EventReader<M, Event> {
    EventReader::attach(memory, EVENTS)
}

/// The position that an event says, if it says one.
pub fn position(event: &Event) -> Option<u64> {
    let bytes = event.op.first_chunk().filter(|_| event.kind == XENSND_EVT_CUR_POS)?;
    Some(u64::from_le_bytes(*bytes))
}
