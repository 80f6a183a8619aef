//! A display: one picture, of which changed parts are shown.
//!
//! The crate's own driver waits for each answer, and shows all of the picture each time; this one has two commands under way, as
//! a change of the picture is two, and a line of others behind them. The device does them in their order. Source: Virtual I/O
//! Device specification 1.3, 5.7.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use virtio_drivers::transport::{SomeTransport, Transport};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

use super::arena::{Buffer, device_address};
use super::block::Error;
use super::exchange::{Exchange, Features, Message};

/// Bytes of a pixel: blue, green, red, and one that is not shown.
pub const PIXEL: usize = 4;

const CONTROL: u16 = 0;
/// The only picture, and the only place to show it.
const PICTURE: u32 = 1;
const SCANOUT: u32 = 0;
/// `VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM`.
const FORMAT: u32 = 2;
const OK: u32 = 0x1100;

/// A part of the picture, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Rectangle {
    /// First column.
    pub x: u32,
    /// First line.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

/// What the device is told (`VIRTIO_GPU_CMD_*`).
#[derive(Clone, Copy, Debug)]
enum Command {
    Create { width: u32, height: u32 },
    Attach { bytes: u32 },
    SetScanout(Rectangle),
    Transfer(Rectangle),
    Flush(Rectangle),
}

/// Any command: the header, and words that mean something else with each.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Words {
    kind: u32,
    header: [u32; 5],
    body: [u32; 8],
}

/// Bytes of an answer that we look at: its header.
const ANSWER: usize = 24;

/// Most commands under way.
const UNDER_WAY: usize = 2;

/// A display.
pub struct Display {
    transport: SomeTransport<'static>,
    control: Exchange,
    picture: Buffer,
    size: (u32, u32),
    /// For messages that are not under way.
    free: Vec<Buffer>,
    waiting: VecDeque<Command>,
    refused: Option<(u32, u32)>,
}

impl Display {
    /// Brings a device up, with a black picture of this many pixels across and down.
    ///
    /// # Errors
    /// It cannot be used, or there is no memory.
    pub fn new(mut transport: SomeTransport<'static>, width: u32, height: u32) -> Result<Self, Error> {
        transport.begin_init(Features::all());
        let control = Exchange::new(&mut transport, CONTROL)?;
        transport.finish_init();
        let bytes =
            width.checked_mul(height).and_then(|pixels| pixels.checked_mul(PIXEL as u32)).ok_or(Error::Memory)?;
        let picture = Buffer::new(bytes as usize).ok_or(Error::Memory)?;
        let message = || Buffer::new(ANSWER + size_of::<Words>()).ok_or(Error::Memory);
        let free = (0..UNDER_WAY).map(|_| message()).collect::<Result<_, _>>()?;
        let whole = Rectangle { x: 0, y: 0, width, height };
        let waiting = VecDeque::from([
            Command::Create { width, height },
            Command::Attach { bytes },
            Command::SetScanout(whole),
            Command::Transfer(whole),
            Command::Flush(whole),
        ]);
        Ok(Self { transport, control, picture, size: (width, height), free, waiting, refused: None })
    }

    /// The picture, line by line.
    pub const fn picture(&mut self) -> &mut Buffer {
        &mut self.picture
    }

    /// Pixels across and down.
    pub const fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Whether all that was to be shown is.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.free.len() == UNDER_WAY
    }

    /// Shows a part of the picture, as it is when the device gets to it; what is not inside is left out.
    pub fn show(&mut self, part: Rectangle) {
        let (width, height) = self.size;
        let (x, y) = (part.x.min(width), part.y.min(height));
        let part = Rectangle { x, y, width: part.width.min(width - x), height: part.height.min(height - y) };
        if part.width > 0 && part.height > 0 {
            self.waiting.extend([Command::Transfer(part), Command::Flush(part)]);
        }
    }

    /// Takes answers, and gives the device the next commands. What it refused since this was last called: the types of
    /// the command and of the answer.
    pub fn poll(&mut self) -> Option<(u32, u32)> {
        while let Some(Message { buffer, cookie, .. }) = self.control.take() {
            let kind = buffer.bytes().first_chunk().map_or(0, |kind| u32::from_le_bytes(*kind));
            if kind != OK {
                self.refused = Some((cookie as u32, kind));
            }
            self.free.push(buffer);
        }
        while let Some(buffer) = self.free.pop() {
            match self.waiting.pop_front() {
                Some(command) => self.begin(command, buffer),
                None => {
                    self.free.push(buffer);
                    break;
                }
            }
        }
        self.control.notify(&mut self.transport);
        self.refused.take()
    }

    fn begin(&mut self, command: Command, mut buffer: Buffer) {
        let words = self.words(command);
        let place = buffer.bytes_mut().get_mut(ANSWER..).unwrap_or_default();
        // It is as long as that.
        let _ = words.write_to_prefix(place);
        let question = (ANSWER, size_of::<Words>());
        // There is room for so few, and it ends where it should.
        let _ = self.control.add(Message { buffer, answer: ANSWER, question, cookie: words.kind.into() });
    }

    fn words(&self, command: Command) -> Words {
        let mut words = Words::new_zeroed();
        let (kind, body): (u32, &[u32]) = match command {
            Command::Create { width, height } => (0x0101, &[PICTURE, FORMAT, width, height]),
            Command::Attach { bytes } => {
                let at = device_address(&self.picture);
                (0x0106, &[PICTURE, 1, at as u32, (at >> 32) as u32, bytes])
            }
            Command::SetScanout(Rectangle { x, y, width, height }) => {
                (0x0103, &[x, y, width, height, SCANOUT, PICTURE])
            }
            Command::Transfer(Rectangle { x, y, width, height }) => {
                let first = (u64::from(y) * u64::from(self.size.0) + u64::from(x)) * PIXEL as u64;
                (0x0105, &[x, y, width, height, first as u32, (first >> 32) as u32, PICTURE])
            }
            Command::Flush(Rectangle { x, y, width, height }) => (0x0104, &[x, y, width, height, PICTURE]),
        };
        words.kind = kind;
        words.body.iter_mut().zip(body).for_each(|(to, from)| *to = *from);
        words
    }

    /// Takes notice of the device's interrupt, so that it can make another.
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
