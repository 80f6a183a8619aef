//! Sound cards: streams that play, each for one guest.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hyp_pvio::sound::{Format, Limits};
use rt::interrupts;
use rt::virtio::sound::{self, Answer, Card, Command, Played, RATES, SAMPLES};
use rt::virtio::{Buffer, SomeTransport};

/// Most bytes of samples that the card gets in one piece.
pub(crate) const LARGEST: usize = 16 << 10;
/// Most bytes of a guest's buffer: two thirds of a second of stereo as CDs have it.
const BUFFER: u32 = 128 << 10;
/// Samples of a frame at most.
const CHANNELS: u8 = 2;

/// A stream of a card that plays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    card: usize,
    stream: u32,
}

/// What a card says of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News {
    /// So many bytes were played, or given back.
    Played(u32),
    /// A command was done, or was not.
    Answered(bool),
}

/// A card of the machine.
struct Physical {
    card: Card,
    interrupt: u32,
    /// How many of its outputs guests have.
    taken: usize,
    /// Buffers that nobody uses.
    free: Vec<Buffer>,
    /// By stream: what it says, each with what the caller gave.
    news: Vec<VecDeque<(u32, News)>>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Sound(Vec<Physical>);

impl Sound {
    /// Brings one up.
    pub(crate) fn add(&mut self, transport: SomeTransport<'static>, interrupt: u32) {
        let mut card = match Card::new(transport) {
            Ok(card) => card,
            Err(why) => return rt::println!("a sound card cannot be used: {why}"),
        };
        // Of its answers just now; the line has to fall before it can rise.
        card.acknowledge();
        interrupts::enable(interrupt);
        rt::println!("sound card: {} streams that play", card.outputs().len());
        let streams = card.outputs().iter().map(|output| output.stream + 1).max().unwrap_or(0);
        let news = (0..streams).map(|_| VecDeque::new()).collect();
        self.0.push(Physical { card, interrupt, taken: 0, free: Vec::new(), news });
    }

    /// A stream for a guest, and what it can be; nothing if all have a guest.
    pub(crate) fn take_output(&mut self) -> Option<(Output, Limits)> {
        let (number, physical) = self.0.iter_mut().enumerate().find(|(_, it)| it.taken < it.card.outputs().len())?;
        let output = physical.card.outputs().get(physical.taken)?;
        physical.taken += 1;
        let formats: Vec<Format> = Format::ALL.into_iter().filter(|it| output.has_format(format(*it))).collect();
        let rates: Vec<u32> =
            RATES.into_iter().enumerate().filter(|(at, _)| output.has_rate(*at)).map(|(_, rate)| rate).collect();
        let channels = output.channels.clamp(1, CHANNELS);
        // They are for as long as we are.
        let limits = Limits { formats: formats.leak(), rates: rates.leak(), channels, buffer: BUFFER };
        Some((Output { card: number, stream: output.stream }, limits))
    }

    /// Takes what cards say.
    pub(crate) fn poll(&mut self) {
        self.0.iter_mut().for_each(Physical::poll);
    }

    /// The next of what a card said of a stream, with what the caller gave for it.
    pub(crate) fn next(&mut self, output: Output) -> Option<(u32, News)> {
        self.0.get_mut(output.card)?.news.get_mut(output.stream as usize)?.pop_front()
    }

    /// Tells a stream something; whether it can be told more.
    pub(crate) fn command(&mut self, output: Output, command: Command, cookie: u32) -> bool {
        let physical = self.0.get_mut(output.card);
        physical.is_some_and(|it| it.card.command(output.stream, command, cookie).is_ok())
    }

    /// A buffer for samples behind [`SAMPLES`] bytes; nothing if there is no memory.
    pub(crate) fn buffer(&mut self, output: Output) -> Option<Buffer> {
        let physical = self.0.get_mut(output.card)?;
        physical.free.pop().or_else(|| Buffer::new(SAMPLES + LARGEST))
    }

    /// A buffer is not needed.
    pub(crate) fn give_back(&mut self, output: Output, buffer: Buffer) {
        if let Some(physical) = self.0.get_mut(output.card) {
            physical.free.push(buffer);
        }
    }

    /// Plays samples behind all that the stream was given; whether it has room for them.
    pub(crate) fn play(&mut self, output: Output, buffer: Buffer, bytes: u32, cookie: u32) -> bool {
        let Some(physical) = self.0.get_mut(output.card) else { return false };
        let given = physical.card.play(output.stream, buffer, bytes as usize, cookie);
        given.map_err(|buffer| physical.free.push(buffer)).is_ok()
    }

    /// Tells cards what they were given.
    pub(crate) fn notify(&mut self) {
        self.0.iter_mut().for_each(|physical| physical.card.notify());
    }
}

impl Physical {
    fn poll(&mut self) {
        if interrupts::take(self.interrupt) {
            self.card.acknowledge();
        }
        while let Some(Played { buffer, bytes, stream, cookie }) = self.card.played() {
            self.free.push(buffer);
            self.hear(stream, cookie, News::Played(bytes as u32));
        }
        while let Some(Answer { stream, cookie, done }) = self.card.answer() {
            self.hear(stream, cookie, News::Answered(done));
        }
    }

    fn hear(&mut self, stream: u32, cookie: u32, news: News) {
        if let Some(queue) = self.news.get_mut(stream as usize) {
            queue.push_back((cookie, news));
        }
    }
}

/// The device's name of a format.
pub(crate) const fn format(format: Format) -> sound::Format {
    match format {
        Format::S8 => sound::Format::S8,
        Format::U8 => sound::Format::U8,
        Format::S16 => sound::Format::S16,
        Format::S24 => sound::Format::S24,
        Format::S32 => sound::Format::S32,
        Format::F32 => sound::Format::F32,
    }
}
