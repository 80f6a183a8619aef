//! Pictures: an H.264 stream in Annex B form, decoded one picture a frame.
//!
//! B pictures come out of order, and the decoder keeps what it cannot show yet. To keep the work of every frame the
//! same, as many pictures as the stream reorders are decoded before the clock starts; from then on each release decodes
//! one picture and shows one.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use rust_h264::decoder::{ChromaFormat, Frame, OrderedDecoder};
use rust_h264::nal::{NalUnit, NalUnitType, parse_annex_b, parse_sps_info};

use crate::crc::Crc;

/// Where the stream does not say: frames a second, and pictures that may wait for their turn.
const DEFAULT_RATE: u64 = 60;
const DEFAULT_REORDER: u32 = 4;

pub(crate) struct Video {
    decoder: OrderedDecoder,
    units: alloc::vec::IntoIter<NalUnit<'static>>,
    shown_next: VecDeque<Frame>,
    rate: u64,
    errors: u32,
    drained: bool,
}

impl Video {
    /// Open a stream and decode ahead to its first picture; the error is a line for the console.
    pub(crate) fn open(stream: &'static [u8]) -> Result<Self, &'static str> {
        let units: Vec<_> = parse_annex_b(stream);
        let parameters = units.iter().find(|unit| unit.nal_unit_type == NalUnitType::Sps);
        let parameters = parameters.ok_or("video.h264 has no sequence parameter set: not an Annex B stream?")?;
        let parameters = parse_sps_info(parameters).map_err(|_| "video.h264: bad sequence parameter set")?;
        let reorder = parameters.max_reorder_frames.unwrap_or(DEFAULT_REORDER);
        let mut video = Self {
            decoder: OrderedDecoder::with_max_depth(reorder.max(1) as usize),
            units: units.into_iter(),
            shown_next: VecDeque::new(),
            rate: DEFAULT_RATE,
            errors: 0,
            drained: false,
        };
        while video.shown_next.is_empty() && !video.drained {
            video.decode_picture();
        }
        if video.shown_next.is_empty() {
            return Err("video.h264 has no picture that decodes");
        }
        if let Some((numerator, denominator)) = video.decoder.frame_rate() {
            video.rate = u64::from(numerator / denominator.max(1)).max(1);
        }
        Ok(video)
    }

    /// Frames a second, from the stream.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// Has the last frame been shown?
    pub(crate) fn is_finished(&self) -> bool {
        self.drained && self.shown_next.is_empty()
    }

    /// Units that the decoder refused.
    pub(crate) fn errors(&self) -> u32 {
        self.errors
    }

    /// The frame to be shown now; decodes one for later.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        self.decode_picture();
        self.shown_next.pop_front()
    }

    /// Pixels across and down of the pictures, if they are such as [`crate::picture`] converts: 8 bits, four pixels to a
    /// colour.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        let first = self.shown_next.front()?;
        let usual = first.bit_depth == 8 && first.chroma_format == ChromaFormat::Yuv420;
        usual.then_some((first.width, first.height))
    }

    /// Feed the decoder one coded picture and what goes before it.
    fn decode_picture(&mut self) {
        for unit in self.units.by_ref() {
            match self.decoder.decode_nal(&unit) {
                Ok(frames) => self.shown_next.extend(frames),
                Err(_) => self.errors += 1,
            }
            if matches!(unit.nal_unit_type, NalUnitType::Slice | NalUnitType::SliceIdr) {
                return;
            }
        }
        if !self.drained {
            self.drained = true;
            self.shown_next.extend(self.decoder.flush());
        }
    }
}

/// The CRC of a frame's planes; 0 of none.
pub(crate) fn crc(frame: Option<&Frame>) -> u32 {
    frame.map_or(0, |frame| Crc::new().add(&frame.y).add(&frame.u).add(&frame.v).value())
}
