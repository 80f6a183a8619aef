//! A sound card: samples out of buffers.
//!
//! The crate's own driver waits for each answer and has what the device writes on the heap; this one does neither. Source:
//! Virtual I/O Device specification 1.3, 5.14. Only streams that play are here.

use alloc::vec::Vec;

use virtio_drivers::transport::{SomeTransport, Transport};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::arena::Buffer;
use super::block::Error;
use super::exchange::{Exchange, Features, Message};
use crate::cpu;

/// Where samples begin in a buffer.
pub const SAMPLES: usize = 64;

/// Rates that a stream may have, in frames a second: a stream's bit is the place in this list.
pub const RATES: [u32; 14] =
    [5512, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 64000, 88200, 96000, 176_400, 192_000, 384_000];

const CONTROL: u16 = 0;
const TRANSMIT: u16 = 2;

/// Streams of a card that are looked at.
const MOST: u32 = 16;
const OK: u32 = 0x8000;
const PCM_INFO: u32 = 0x100;
const OUTPUT: u8 = 0;

/// A request's places in its buffer: the device writes before it, and reads from there.
const QUESTION: usize = 1024;
/// A transfer's: what the device answers, and the number of the stream, behind which the samples are.
const STATUS: usize = 8;
const STREAM: usize = SAMPLES - 4;

/// How samples are laid out, by the device's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// 8 bits, signed.
    S8 = 3,
    /// 8 bits, unsigned.
    U8 = 4,
    /// 16 bits, signed.
    S16 = 5,
    /// 24 bits in 4 bytes, signed.
    S24 = 15,
    /// 32 bits, signed.
    S32 = 17,
    /// From -1 to 1, in 4 bytes.
    F32 = 19,
}

/// What a stream is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Bytes that are under way at most.
    pub buffer: u32,
    /// Bytes of a transfer, at most.
    pub period: u32,
    /// Samples of a frame.
    pub channels: u8,
    /// How each is laid out.
    pub format: Format,
    /// The place of its rate in [`RATES`].
    pub rate: u8,
}

/// What a stream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// What it is to be.
    Set(Parameters),
    /// Be ready to start.
    Prepare,
    /// Give back all transfers, played or not.
    Release,
    /// Play.
    Start,
    /// Do not play.
    Stop,
}

/// A stream that plays.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Its number.
    pub stream: u32,
    /// A bit for each format.
    formats: u64,
    /// A bit for each rate.
    rates: u64,
    /// Most samples of a frame.
    pub channels: u8,
}

impl Output {
    /// Can it have this format?
    pub const fn has_format(&self, format: Format) -> bool {
        self.formats >> format as u8 & 1 != 0
    }

    /// Can it have the rate at this place of [`RATES`]?
    pub const fn has_rate(&self, place: usize) -> bool {
        self.rates >> place & 1 != 0
    }
}

/// `struct virtio_snd_pcm_set_params`; other commands are its first two words.
#[derive(Clone, Copy, Debug, Default, IntoBytes, Immutable)]
#[repr(C)]
struct Request {
    code: u32,
    stream: u32,
    buffer: u32,
    period: u32,
    features: u32,
    channels: u8,
    format: u8,
    rate: u8,
    padding: u8,
}

/// `struct virtio_snd_query_info`.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
#[repr(C)]
struct Query {
    code: u32,
    first: u32,
    count: u32,
    size: u32,
}

/// `struct virtio_snd_pcm_info`.
#[derive(Clone, Copy, Debug, FromBytes)]
#[repr(C)]
struct Info {
    _node: u32,
    _features: u32,
    formats: u64,
    rates: u64,
    direction: u8,
    _least_channels: u8,
    channels: u8,
    _padding: [u8; 5],
}

/// Samples that were played, or not.
#[derive(Debug)]
pub struct Played {
    /// The buffer, back.
    pub buffer: Buffer,
    /// Bytes of samples.
    pub bytes: usize,
    /// The stream.
    pub stream: u32,
    /// What the caller gave with it.
    pub cookie: u32,
}

/// An answer to a command.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The stream.
    pub stream: u32,
    /// What the caller gave with the command.
    pub cookie: u32,
    /// It was done.
    pub done: bool,
}

/// The queue of requests, and buffers that none of them has.
struct Control {
    exchange: Exchange,
    free: Vec<Buffer>,
}

impl Control {
    fn new(transport: &mut SomeTransport<'static>) -> Result<Self, Error> {
        let exchange = Exchange::new(transport, CONTROL)?;
        Ok(Self { exchange, free: Vec::new() })
    }

    fn send(&mut self, request: &[u8], answer: usize, cookie: u64) -> Result<(), Error> {
        let mut buffer = self.free.pop().or_else(|| Buffer::new(QUESTION * 2)).ok_or(Error::Memory)?;
        let question = (QUESTION, request.len());
        if let Some(place) = buffer.bytes_mut().get_mut(QUESTION..QUESTION + request.len()) {
            place.copy_from_slice(request);
        }
        self.exchange.add(Message { buffer, answer, question, cookie }).map_err(|buffer| {
            self.free.push(buffer);
            Error::Memory
        })
    }

    fn command(&mut self, stream: u32, command: Command, cookie: u32) -> Result<(), Error> {
        let of = |code| Request { code, stream, ..Request::default() };
        let request = match command {
            Command::Set(Parameters { buffer, period, channels, format, rate }) => {
                Request { buffer, period, channels, format: format as u8, rate, ..of(0x101) }
            }
            Command::Prepare => of(0x102),
            Command::Release => of(0x103),
            Command::Start => of(0x104),
            Command::Stop => of(0x105),
        };
        let bytes = request.as_bytes();
        let bytes = if matches!(command, Command::Set(_)) { bytes } else { &bytes[..8] };
        self.send(bytes, 4, u64::from(stream) << 32 | u64::from(cookie))
    }

    fn answer(&mut self) -> Option<Answer> {
        let Message { buffer, cookie, .. } = self.exchange.take()?;
        let done = u32::read_from_prefix(buffer.bytes()).is_ok_and(|(status, _)| status == OK);
        self.free.push(buffer);
        Some(Answer { stream: (cookie >> 32) as u32, cookie: cookie as u32, done })
    }

    /// Waits until the device has answered what it was asked last.
    fn wait(&mut self, transport: &mut SomeTransport<'static>) -> Message {
        self.exchange.notify(transport);
        loop {
            match self.exchange.take() {
                Some(message) => return message,
                None => cpu::relax(),
            }
        }
    }
}

/// A sound card.
pub struct Card {
    transport: SomeTransport<'static>,
    control: Control,
    transmit: Exchange,
    /// Its streams that play.
    outputs: Vec<Output>,
}

impl Card {
    /// Brings a device up.
    ///
    /// # Errors
    /// It cannot be used, or there is no memory.
    pub fn new(mut transport: SomeTransport<'static>) -> Result<Self, Error> {
        let old = empty(&mut transport)?;
        transport.begin_init(Features::all());
        // The device has been reset by that.
        drop(old);
        let mut control = Control::new(&mut transport)?;
        let transmit = Exchange::new(&mut transport, TRANSMIT)?;
        transport.finish_init();
        let count = streams(&transport)?;
        let query = Query { code: PCM_INFO, first: 0, count, size: size_of::<Info>() as u32 };
        control.send(query.as_bytes(), 4 + count as usize * size_of::<Info>(), 0)?;
        let Message { buffer, .. } = control.wait(&mut transport);
        let infos = buffer.bytes().get(4..).unwrap_or_default().chunks_exact(size_of::<Info>());
        let infos = infos.take(count as usize).filter_map(|bytes| Info::read_from_bytes(bytes).ok()).zip(0..);
        let outputs = infos.filter(|(info, _)| info.direction == OUTPUT && info.formats != 0);
        let outputs =
            outputs.map(|(Info { formats, rates, channels, .. }, stream)| Output { stream, formats, rates, channels });
        let outputs = outputs.collect();
        control.free.push(buffer);
        Ok(Self { transport, control, transmit, outputs })
    }

    /// Its streams that play.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Tells a stream something, behind all that it was told before.
    ///
    /// # Errors
    /// Too much is under way.
    pub fn command(&mut self, stream: u32, command: Command, cookie: u32) -> Result<(), Error> {
        self.control.command(stream, command, cookie)
    }

    /// The next answer.
    pub fn answer(&mut self) -> Option<Answer> {
        self.control.answer()
    }

    /// Plays samples, behind all that were given before: so many bytes behind [`SAMPLES`] bytes of the buffer, which are
    /// overwritten.
    ///
    /// # Errors
    /// Too many are under way, or it is longer than its buffer: it comes back.
    pub fn play(&mut self, stream: u32, mut buffer: Buffer, bytes: usize, cookie: u32) -> Result<(), Buffer> {
        // There is room before the samples.
        let _ = stream.write_to_prefix(&mut buffer.bytes_mut()[STREAM..]);
        let cookie = u64::from(stream) << 32 | u64::from(cookie);
        self.transmit.add(Message { buffer, answer: STATUS, question: (STREAM, SAMPLES - STREAM + bytes), cookie })
    }

    /// The next samples that the device is done with.
    pub fn played(&mut self) -> Option<Played> {
        let Message { buffer, question: (_, bytes), cookie, .. } = self.transmit.take()?;
        let bytes = bytes - (SAMPLES - STREAM);
        Some(Played { buffer, bytes, stream: (cookie >> 32) as u32, cookie: cookie as u32 })
    }

    /// Tells the device what it was given.
    pub fn notify(&mut self) {
        self.control.exchange.notify(&mut self.transport);
        self.transmit.notify(&mut self.transport);
    }

    /// Takes notice of the device's interrupt, so that it can make another.
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}

/// How many streams a device has.
fn streams(transport: &SomeTransport<'static>) -> Result<u32, Error> {
    let count: u32 = transport.read_config_space(4)?;
    Ok(count.min(MOST))
}

/// Has a device let go of all that it has of a life of ours that is over. A reset should do that, but QEMU's device plays on
/// what it was given before, and answers into queues that do not know it: so streams are released once while there is no
/// queue to answer into. Returns what the device may use until it is reset.
fn empty(transport: &mut SomeTransport<'static>) -> Result<Control, Error> {
    transport.begin_init(Features::all());
    let mut control = Control::new(transport)?;
    transport.finish_init();
    let usual = Parameters { buffer: 8192, period: 2048, channels: 2, format: Format::S16, rate: 7 };
    for stream in 0..streams(transport)? {
        // It also says of itself later that it can have as many channels as it has now.
        for command in [Command::Stop, Command::Release, Command::Set(usual), Command::Prepare, Command::Release] {
            // A device that has nothing to let go of refuses some of them.
            control.command(stream, command, 0)?;
            let Message { buffer, .. } = control.wait(transport);
            control.free.push(buffer);
        }
    }
    Ok(control)
}
