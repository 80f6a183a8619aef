//! Sound: an MP3 stream, given out in periods of 10 ms.

use alloc::vec;
use alloc::vec::Vec;

use nanomp3::{Channels, SliceReader};

use crate::crc::Crc;
use crate::devices::Form;

/// Periods a second.
pub(crate) const RATE: u64 = 100;

pub(crate) struct Audio {
    reader: SliceReader<'static, i16>,
    period: Vec<i16>,
}

impl Audio {
    /// Open a stream; the error is a line for the console.
    pub(crate) fn open(stream: &'static [u8]) -> Result<Self, &'static str> {
        let reader = SliceReader::new(stream);
        let channels = match reader.channels() {
            Some(Channels::Mono) => 1,
            Some(Channels::Stereo) => 2,
            None => return Err("audio.mp3 has no MPEG audio frame"),
        };
        let samples = reader.sample_rate() as usize / RATE as usize * channels;
        Ok(Self { reader, period: vec![0; samples] })
    }

    /// Samples a second.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.reader.sample_rate()
    }

    /// What the period's samples are.
    pub(crate) fn form(&self) -> Form {
        let rate = self.sample_rate();
        let channels = if self.reader.channels() == Some(Channels::Mono) { 1 } else { 2 };
        Form { rate, channels, frames: self.period.len() as u32 / u32::from(channels) }
    }

    /// The samples of the period that was decoded last, interleaved.
    pub(crate) fn samples(&self) -> &[i16] {
        &self.period
    }

    /// Decode the next period, silence behind the end; the CRC of its interleaved little-endian samples.
    pub(crate) fn next_period(&mut self) -> u32 {
        let mut filled = 0;
        while let Some(rest) = self.period.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) | Err(_) => {
                    rest.fill(0);
                    break;
                }
                Ok(samples) => filled += samples,
            }
        }
        self.period.iter().fold(Crc::new(), |crc, sample| crc.add(&sample.to_le_bytes())).value()
    }
}
