//! The back end's half of one stream.

use xen_abi::errno::Errno;
use xen_abi::io::sndif::{
    QueryHwParam, Request, Response, RwReq, TriggerReq, XENSND_OP_CLOSE, XENSND_OP_GET_VOLUME,
    XENSND_OP_HW_PARAM_QUERY, XENSND_OP_MUTE, XENSND_OP_OPEN, XENSND_OP_READ, XENSND_OP_SET_VOLUME, XENSND_OP_TRIGGER,
    XENSND_OP_UNMUTE, XENSND_OP_WRITE,
};
use zerocopy::{FromBytes, IntoBytes};

use super::{Command, Direction, Limits, Opened, Part, Sndif, Tag, Trigger, UnknownTag};
use crate::memory::SharedMemory;
use crate::order::Order;
use crate::ring::{BackRing, RingError};

/// A request that is not answered.
struct Flight {
    id: u16,
    operation: u8,
}

/// What comes of a request.
enum Checked {
    Command(Command),
    Answer(Response),
}

/// The back end's half of one stream.
pub struct Back<M> {
    ring: BackRing<M, Sndif>,
    direction: Direction,
    limits: Limits,
    /// What is open, or is being opened.
    opened: Option<Opened>,
    flights: Order<Flight, Response>,
}

impl<M: SharedMemory> Back<M> {
    /// Begins with a ring that a front end made; see [`BackRing::attach`].
    ///
    /// # Errors
    /// As of [`BackRing::attach`].
    pub fn attach(memory: M, direction: Direction, limits: Limits) -> Result<Self, RingError> {
        BackRing::attach(memory).map(|ring| Self { ring, direction, limits, opened: None, flights: Order::new() })
    }

    /// Goes on with a ring of a back end that is no more, which wrote down what was `opened`; see [`BackRing::resume`].
    /// What it did not answer comes again, so a stream may be opened or closed twice, and samples be played twice.
    ///
    /// # Errors
    /// As of [`BackRing::attach`].
    pub fn resume(memory: M, direction: Direction, limits: Limits, opened: Option<Opened>) -> Result<Self, RingError> {
        BackRing::resume(memory).map(|ring| Self { ring, direction, limits, opened, flights: Order::new() })
    }

    /// What is open, or is being opened.
    pub const fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// The next command. Requests that cannot be, and questions, are answered on the way, a round of the ring at most;
    /// [`push`](Self::push) when there is nothing more, then [`wait`](Self::wait).
    ///
    /// # Errors
    /// The front end's index cannot be true: the device is to be disconnected.
    pub fn take(&mut self) -> Result<Option<(Tag, Command)>, RingError> {
        for _ in 0..self.ring.slots() {
            let Some(request) = self.ring.take()? else { return Ok(None) };
            let Request { id, operation, .. } = request;
            let flight = Flight { id, operation };
            match self.check(&request) {
                Ok(Checked::Command(command)) => {
                    match command {
                        Command::Open(opened) => self.opened = Some(opened),
                        Command::Close => self.opened = None,
                        _ => {}
                    }
                    return Ok(Some((Tag(self.flights.begin(flight, None)), command)));
                }
                Ok(Checked::Answer(answer)) => _ = self.flights.begin(flight, Some(answer)),
                Err(errno) => _ = self.flights.begin(flight, Some(response(id, operation, Err(errno)))),
            }
            self.answer();
        }
        Ok(None)
    }

    fn check(&self, request: &Request) -> Result<Checked, Errno> {
        let Request { id, operation, op, .. } = request;
        let opened = self.opened.ok_or(Errno::EIO);
        let samples = |direction, command: fn(Part) -> Command| {
            let part = part(op, opened?.buffer).filter(|_| direction == self.direction);
            part.map(command).ok_or(Errno::EINVAL)
        };
        let settings = |bytes: u32, command: fn(Part) -> Command| {
            let Opened { channels, buffer, .. } = opened?;
            let part = part(op, buffer).filter(|part| part.length == bytes * u32::from(channels));
            part.map(command).ok_or(Errno::EINVAL)
        };
        let command = match *operation {
            XENSND_OP_OPEN => Command::Open(Opened::read(&head(op), &self.limits)?),
            // Linux closes what it did not open.
            XENSND_OP_CLOSE if opened.is_err() => return Ok(Checked::Answer(response(*id, *operation, Ok(())))),
            XENSND_OP_CLOSE => Command::Close,
            XENSND_OP_READ => samples(Direction::Capture, Command::Read)?,
            XENSND_OP_WRITE => samples(Direction::Playback, Command::Write)?,
            XENSND_OP_SET_VOLUME => settings(4, Command::SetVolume)?,
            XENSND_OP_GET_VOLUME => settings(4, Command::GetVolume)?,
            XENSND_OP_MUTE => settings(1, Command::Mute)?,
            XENSND_OP_UNMUTE => settings(1, Command::Unmute)?,
            XENSND_OP_TRIGGER => {
                let kind = opened.map(|_| head::<TriggerReq>(op).kind)?;
                let trigger = Trigger::ALL.into_iter().find(|trigger| trigger.number() == kind);
                Command::Trigger(trigger.ok_or(Errno::EINVAL)?)
            }
            XENSND_OP_HW_PARAM_QUERY => {
                let left = self.limits.within(&head(op))?;
                let mut answer = response(*id, *operation, Ok(()));
                answer.resp[..size_of::<QueryHwParam>()].copy_from_slice(left.as_bytes());
                return Ok(Checked::Answer(answer));
            }
            _ => return Err(Errno::EOPNOTSUPP),
        };
        Ok(Checked::Command(command))
    }

    /// A command is over. It is answered when all before it are; [`push`](Self::push) shows it.
    ///
    /// # Errors
    /// No such command is under way.
    pub fn complete(&mut self, tag: Tag, result: Result<(), Errno>) -> Result<(), UnknownTag> {
        let &mut Flight { id, operation } = self.flights.get(tag.0).ok_or(UnknownTag)?;
        if operation == XENSND_OP_OPEN && result.is_err() {
            self.opened = None;
        }
        self.flights.end(tag.0, response(id, operation, result)).ok_or(UnknownTag)?;
        self.answer();
        Ok(())
    }

    fn answer(&mut self) {
        while let Some((_, response)) = self.flights.next() {
            // Each request was taken from the ring and is answered once, so there is a slot.
            let _ = self.ring.respond(&[response]);
        }
    }

    /// Shows the front end all answers. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.ring.push()
    }

    /// Asks to be notified of the next request, and says whether there is one by now.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    pub fn wait(&mut self) -> Result<bool, RingError> {
        self.ring.wait()
    }
}

/// What a request's bytes begin with; there are enough of them.
fn head<T: FromBytes + Default>(op: &[u8; 56]) -> T {
    T::read_from_prefix(op).map(|(head, _)| head).unwrap_or_default()
}

/// The part of a buffer that a request names, if it is in there.
fn part(op: &[u8; 56], buffer: u32) -> Option<Part> {
    let RwReq { offset, length } = head(op);
    let end = offset.checked_add(length)?;
    (end <= buffer && length > 0).then_some(Part { offset, length })
}

fn response(id: u16, operation: u8, result: Result<(), Errno>) -> Response {
    let status = result.map_or_else(|errno| -i32::from(errno as u8), |()| 0);
    Response { id, operation, reserved: 0, status, resp: [0; 56] }
}
