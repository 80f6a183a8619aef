//! The front end's half of one stream, for our bare guests.

use alloc::vec::Vec;

use xen_abi::errno::Errno;
use xen_abi::io::sndif::{
    OpenReq, QueryHwParam, Request, Response, RwReq, TriggerReq, XENSND_OP_CLOSE, XENSND_OP_GET_VOLUME,
    XENSND_OP_HW_PARAM_QUERY, XENSND_OP_MUTE, XENSND_OP_OPEN, XENSND_OP_READ, XENSND_OP_SET_VOLUME, XENSND_OP_TRIGGER,
    XENSND_OP_UNMUTE, XENSND_OP_WRITE,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Command, Opened, Part, Sndif};
use crate::memory::SharedMemory;
use crate::ring::{FrontRing, NoSlot, RingError};

/// Why the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// An index cannot be true.
    Ring(RingError),
    /// The back end answered what it was not asked.
    Id(u16),
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number that [`Front::ask`] or [`Front::query`] gave.
    pub id: u16,
    /// What came of it; an error that nobody knows is a plain `EIO`.
    pub result: Result<(), Errno>,
    /// What is left of the parameters that were asked about.
    pub left: Option<QueryHwParam>,
}

/// The front end's half of one stream.
pub struct Front<M> {
    ring: FrontRing<M, Sndif>,
    /// Numbers and operations of what is not answered.
    asked: Vec<(u16, u8)>,
    next: u16,
}

impl<M: SharedMemory> Front<M> {
    /// Makes an empty ring, before its page is granted to the back end.
    ///
    /// # Errors
    /// The page has a wrong size.
    pub fn create(memory: M) -> Result<Self, RingError> {
        Ok(Self { ring: FrontRing::create(memory)?, asked: Vec::new(), next: 0 })
    }

    /// Gives a command; [`push`](Self::push) shows it. The answer has the number returned.
    ///
    /// # Errors
    /// The ring is full.
    pub fn ask(&mut self, command: &Command) -> Result<u16, NoSlot> {
        let (operation, op) = match command {
            Command::Open(opened) => (XENSND_OP_OPEN, open(opened)),
            Command::Close => (XENSND_OP_CLOSE, [0; 56]),
            Command::Read(it) => (XENSND_OP_READ, part(it)),
            Command::Write(it) => (XENSND_OP_WRITE, part(it)),
            Command::SetVolume(it) => (XENSND_OP_SET_VOLUME, part(it)),
            Command::GetVolume(it) => (XENSND_OP_GET_VOLUME, part(it)),
            Command::Mute(it) => (XENSND_OP_MUTE, part(it)),
            Command::Unmute(it) => (XENSND_OP_UNMUTE, part(it)),
            Command::Trigger(trigger) => (XENSND_OP_TRIGGER, bytes(&TriggerReq { kind: trigger.number() })),
        };
        self.put(operation, op)
    }

    /// Asks what is possible within these parameters.
    ///
    /// # Errors
    /// The ring is full.
    pub fn query(&mut self, parameters: &QueryHwParam) -> Result<u16, NoSlot> {
        self.put(XENSND_OP_HW_PARAM_QUERY, bytes(parameters))
    }

    fn put(&mut self, operation: u8, op: [u8; 56]) -> Result<u16, NoSlot> {
        let id = self.next;
        self.ring.put(&Request { id, operation, reserved: [0; 5], op })?;
        self.next = id.wrapping_add(1);
        self.asked.push((id, operation));
        Ok(id)
    }

    /// Shows the back end all that was asked. Says whether it is to be notified.
    pub fn push(&mut self) -> bool {
        self.ring.push()
    }

    /// The next answer.
    ///
    /// # Errors
    /// The back end broke the protocol; the connection is over.
    pub fn take(&mut self) -> Result<Option<Answer>, AnswerError> {
        let Some(response) = self.ring.take().map_err(AnswerError::Ring)? else { return Ok(None) };
        let Response { id, operation, status, resp, .. } = response;
        let at = self.asked.iter().position(|asked| *asked == (id, operation)).ok_or(AnswerError::Id(id))?;
        self.asked.remove(at);
        let result = match status {
            0 => Ok(()),
            status => Err(Errno::from_number(u64::from(status.unsigned_abs())).unwrap_or(Errno::EIO)),
        };
        let left = QueryHwParam::read_from_prefix(&resp).ok().map(|(left, _)| left);
        Ok(Some(Answer { id, result, left: left.filter(|_| operation == XENSND_OP_HW_PARAM_QUERY) }))
    }

    /// Asks to be notified of the next answer, and says whether there is one by now.
    ///
    /// # Errors
    /// The back end's index cannot be true.
    pub fn wait(&mut self) -> Result<bool, RingError> {
        self.ring.wait()
    }
}

fn open(opened: &Opened) -> [u8; 56] {
    bytes(&OpenReq {
        pcm_rate: opened.rate,
        pcm_format: opened.format.number(),
        pcm_channels: opened.channels,
        reserved: 0,
        buffer_sz: opened.buffer,
        gref_directory: opened.directory,
        period_sz: opened.period,
    })
}

fn part(part: &Part) -> [u8; 56] {
    bytes(&RwReq { offset: part.offset, length: part.length })
}

fn bytes<T: IntoBytes + Immutable>(request: &T) -> [u8; 56] {
    let mut op = [0; 56];
    op.iter_mut().zip(request.as_bytes()).for_each(|(to, from)| *to = *from);
    op
}
