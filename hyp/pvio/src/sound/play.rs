//! What an open stream has to play, and how far it has come.
//!
//! A guest writes samples into its buffer some time before they are played, and they stay there until it is told a position
//! behind them. So nothing is copied away when it writes: the device gets its next piece when it has room. And who resumes a
//! stream finds what was not played where it was, given the text that was written down at the last change of this and the
//! position that was told last.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::str::FromStr;

use xen_abi::errno::Errno;

use super::{Limits, Opened, Part};

/// Most parts that do not follow each other.
const PARTS: usize = 16;

/// An open stream that plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    opened: Opened,
    running: bool,
    /// Bytes that were played since it was opened.
    position: u64,
    /// Bytes of what was to be played that were, in this life of the back end.
    heard: u64,
    /// Bytes of silence that the device has, before all that waits.
    silence: u32,
    /// What is to be played then. The buffer's begin follows its end.
    waiting: VecDeque<Part>,
    /// How many bytes of that the device has.
    given: u32,
    /// What was written last. It may come once more when the stream was resumed.
    last: Option<Part>,
    resumed: bool,
}

impl Play {
    /// A stream that was opened just now.
    pub const fn new(opened: Opened) -> Self {
        let waiting = VecDeque::new();
        Self {
            opened,
            running: false,
            position: 0,
            heard: 0,
            silence: 0,
            waiting,
            given: 0,
            last: None,
            resumed: false,
        }
    }

    /// What was opened.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// It runs, whether it has something to play or not.
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// Bytes that were played since it was opened, silence with them.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of what was written that were played since it was opened or resumed, without silence.
    pub const fn heard(&self) -> u64 {
        self.heard
    }

    /// Lets it run, or pauses it.
    pub const fn run(&mut self, runs: bool) {
        self.running = runs;
    }

    /// Stops it: what was not played is gone. Linux begins at the buffer's begin when it starts again, and takes the position
    /// for where it is in the buffer: so the position goes on to the next such.
    pub fn stop(&mut self) {
        self.running = false;
        let begin = self.position.checked_next_multiple_of(u64::from(self.opened.buffer));
        self.position = begin.unwrap_or(self.position);
        self.waiting.clear();
        (self.silence, self.given) = (0, 0);
    }

    /// A part is to be played behind the others.
    ///
    /// # Errors
    /// `EINVAL` for half frames, `ENOSPC` if more than a buffer would wait, or parts in too many places.
    pub fn write(&mut self, part: Part) -> Result<(), Errno> {
        let Part { offset, length } = part;
        let (frame, buffer) = (self.opened.frame(), self.opened.buffer);
        if core::mem::take(&mut self.resumed) && self.last == Some(part) && !self.waiting.is_empty() {
            return Ok(());
        }
        if !offset.is_multiple_of(frame) || !length.is_multiple_of(frame) {
            return Err(Errno::EINVAL);
        }
        if self.waits() + u64::from(length) > u64::from(buffer) {
            return Err(Errno::ENOSPC);
        }
        let is_full = self.waiting.len() == PARTS;
        match self.waiting.back_mut() {
            Some(before) if (before.offset + before.length) % buffer == offset => before.length += length,
            _ if is_full => return Err(Errno::ENOSPC),
            _ => self.waiting.push_back(part),
        }
        self.last = Some(part);
        Ok(())
    }

    fn waits(&self) -> u64 {
        self.waiting.iter().map(|part| u64::from(part.length)).sum()
    }

    /// What the device is to get next, at most so many bytes, in a row; nothing if all that waits was given.
    pub fn next(&self, most: u32) -> Option<Part> {
        let mut before = self.given;
        for Part { offset, length } in &self.waiting {
            if before < *length {
                let offset = (offset + before) % self.opened.buffer;
                let left = (length - before).min(self.opened.buffer - offset);
                return Some(Part { offset, length: left.min(most) });
            }
            before -= length;
        }
        None
    }

    /// The device got so many bytes of that.
    pub fn give(&mut self, bytes: u32) {
        self.given += bytes;
    }

    /// The device got so many bytes of silence, while it had nothing.
    pub fn give_silence(&mut self, bytes: u32) {
        self.silence += bytes;
    }

    /// So many bytes of what the device got were played.
    pub fn played(&mut self, bytes: u32) {
        self.position = self.position.saturating_add(u64::from(bytes));
        let silence = bytes.min(self.silence);
        self.silence -= silence;
        let mut left = bytes - silence;
        self.given = self.given.saturating_sub(left);
        while let Some(part) = self.waiting.front_mut()
            && left > 0
        {
            let some = left.min(part.length);
            (part.offset, part.length) = ((part.offset + some) % self.opened.buffer, part.length - some);
            left -= some;
            self.heard = self.heard.saturating_add(u64::from(some));
            if part.length == 0 {
                self.waiting.pop_front();
            }
        }
    }

    /// As a line of text, to be written down when it was opened or resumed, and at each change but [`played`](Self::played) and
    /// what was given to the device.
    pub fn to_text(&self) -> String {
        let Self { running, position, silence, .. } = self;
        let last = self.last.unwrap_or(Part { offset: 0, length: 0 });
        let parts = core::iter::once(&last).chain(&self.waiting);
        let text = format!("{}; {} {position} {silence}", self.opened.to_text(), u8::from(*running));
        parts.fold(text, |text, Part { offset, length }| format!("{text} {offset} {length}"))
    }

    /// Goes on with what such a line says, from the position that was `told` last; nothing if it is none, or not of such a
    /// stream.
    pub fn from_text(text: &str, limits: &Limits, told: Option<u64>) -> Option<Self> {
        let (opened, rest) = text.split_once("; ")?;
        let mut play = Self::new(Opened::from_text(opened, limits)?);
        let mut words = rest.split(' ');
        play.running = number::<u8>(words.next())? != 0;
        (play.position, play.silence) = (number(words.next())?, number(words.next())?);
        let mut parts = VecDeque::new();
        while let Some(word) = words.next() {
            let (offset, length) = (number(Some(word))?, number::<u32>(words.next())?);
            if offset >= play.opened.buffer || length > play.opened.buffer {
                return None;
            }
            parts.push_back(Part { offset, length });
        }
        play.last = parts.pop_front().filter(|part| part.length > 0);
        play.waiting = parts;
        if play.waiting.len() > PARTS || play.waits() > u64::from(play.opened.buffer) {
            return None;
        }
        let played = told.unwrap_or(0).saturating_sub(play.position);
        play.played(u32::try_from(played.min(u64::from(play.silence) + play.waits())).ok()?);
        play.position = play.position.max(told.unwrap_or(0));
        (play.silence, play.given, play.heard, play.resumed) = (0, 0, 0, true);
        Some(play)
    }
}

fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}
