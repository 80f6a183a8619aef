//! What a stream can be: formats of samples, rates, channels, sizes; and what it is while it is open.

use alloc::format;
use alloc::string::String;

use xen_abi::errno::Errno;
use xen_abi::io::sndif::{
    OpenReq, QueryHwParam, XENSND_PCM_FORMAT_F32_LE, XENSND_PCM_FORMAT_S8, XENSND_PCM_FORMAT_S16_LE,
    XENSND_PCM_FORMAT_S24_LE, XENSND_PCM_FORMAT_S32_LE, XENSND_PCM_FORMAT_U8,
};

/// How a sample is laid out, of those that sound devices have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 8 bits, signed.
    S8,
    /// 8 bits, unsigned.
    U8,
    /// 16 bits, signed.
    S16,
    /// 24 bits in 4 bytes, signed.
    S24,
    /// 32 bits, signed.
    S32,
    /// From -1 to 1, in 4 bytes.
    F32,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::S8, Self::U8, Self::S16, Self::S24, Self::S32, Self::F32];

    /// Its number in the protocol.
    pub const fn number(self) -> u8 {
        match self {
            Self::S8 => XENSND_PCM_FORMAT_S8,
            Self::U8 => XENSND_PCM_FORMAT_U8,
            Self::S16 => XENSND_PCM_FORMAT_S16_LE,
            Self::S24 => XENSND_PCM_FORMAT_S24_LE,
            Self::S32 => XENSND_PCM_FORMAT_S32_LE,
            Self::F32 => XENSND_PCM_FORMAT_F32_LE,
        }
    }

    /// Its name in xenstore.
    pub const fn name(self) -> &'static str {
        match self {
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16_le",
            Self::S24 => "s24_le",
            Self::S32 => "s32_le",
            Self::F32 => "float_le",
        }
    }

    /// Bytes of a sample.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::S8 | Self::U8 => 1,
            Self::S16 => 2,
            Self::S24 | Self::S32 | Self::F32 => 4,
        }
    }

    const fn bit(self) -> u64 {
        1 << self.number()
    }
}

/// What a stream can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Formats of samples, at least one, none twice.
    pub formats: &'static [Format],
    /// Frames per second, at least one rate.
    pub rates: &'static [u32],
    /// Most samples of a frame, at least 1.
    pub channels: u8,
    /// Most bytes of the buffer.
    pub buffer: u32,
}

/// What a stream is while it is open. All of it is possible for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Format of samples.
    pub format: Format,
    /// Samples of a frame.
    pub channels: u8,
    /// Frames per second.
    pub rate: u32,
    /// Bytes of the buffer: whole frames, at least one.
    pub buffer: u32,
    /// Bytes after which the guest wants to know the position, at most the buffer's; 0 for never. Linux counts a period
    /// as over when more than that has passed, so it is to be told twice a period.
    pub period: u32,
    /// Grant of the first page of grants; see [`Buffer`](crate::directory::Buffer).
    pub directory: u32,
}

impl Opened {
    /// Bytes of a frame.
    pub const fn frame(&self) -> u32 {
        self.format.bytes() * self.channels as u32
    }

    /// What a request opens.
    ///
    /// # Errors
    /// `EINVAL` for what is not possible.
    pub(super) fn read(request: &OpenReq, limits: &Limits) -> Result<Self, Errno> {
        let format = limits.formats.iter().find(|format| format.number() == request.pcm_format);
        let opened = Self {
            format: *format.ok_or(Errno::EINVAL)?,
            channels: request.pcm_channels,
            rate: request.pcm_rate,
            buffer: request.buffer_sz,
            period: request.period_sz,
            directory: request.gref_directory,
        };
        if opened.is_possible(limits) { Ok(opened) } else { Err(Errno::EINVAL) }
    }

    fn is_possible(&self, limits: &Limits) -> bool {
        (1..=limits.channels).contains(&self.channels)
            && limits.formats.contains(&self.format)
            && limits.rates.contains(&self.rate)
            && (1..=limits.buffer).contains(&self.buffer)
            && self.buffer.is_multiple_of(self.frame())
            && self.period <= self.buffer
    }

    /// As a line of text, which a back end writes down for its next life before it says that the stream is open.
    pub fn to_text(&self) -> String {
        let Self { format, channels, rate, buffer, period, directory } = self;
        format!("{} {channels} {rate} {buffer} {period} {directory}", format.name())
    }

    /// Reads such a line; nothing if it is none, or not of such a stream.
    pub fn from_text(text: &str, limits: &Limits) -> Option<Self> {
        let mut words = text.split(' ');
        let name = words.next()?;
        let format = Format::ALL.into_iter().find(|format| format.name() == name)?;
        let channels = words.next()?.parse().ok()?;
        let mut number = || words.next()?.parse().ok();
        let (rate, buffer, period, directory) = (number()?, number()?, number()?, number()?);
        let opened = Self { format, channels, rate, buffer, period, directory };
        (words.next().is_none() && opened.is_possible(limits)).then_some(opened)
    }
}

impl Limits {
    /// What is left within the parameters that a guest asks about.
    ///
    /// # Errors
    /// `EINVAL` if that is nothing.
    pub(super) fn within(&self, asked: &QueryHwParam) -> Result<QueryHwParam, Errno> {
        let formats = self.formats.iter().filter(|format| asked.formats & format.bit() != 0);
        let [least, most] = asked.rates;
        let rates = self.rates.iter().copied().filter(|rate| (least..=most).contains(rate));
        let rates = [rates.clone().min().ok_or(Errno::EINVAL)?, rates.max().ok_or(Errno::EINVAL)?];
        let channels = both(asked.channels, [1, u32::from(self.channels)])?;
        // The smallest frames make the most frames.
        let frame = formats.clone().map(|format| format.bytes()).min().ok_or(Errno::EINVAL)? * channels[0];
        let buffer = both(asked.buffer, [1, self.buffer / frame])?;
        let period = both(asked.period, [1, buffer[1]])?;
        let formats = formats.fold(0, |mask, format| mask | format.bit());
        Ok(QueryHwParam { formats, rates, channels, buffer, period })
    }
}

/// What is in both of two ranges.
fn both(one: [u32; 2], other: [u32; 2]) -> Result<[u32; 2], Errno> {
    let both = [one[0].max(other[0]), one[1].min(other[1])];
    if both[0] <= both[1] { Ok(both) } else { Err(Errno::EINVAL) }
}
