//! The sound card: samples in a buffer of ours, which the card plays some periods after they are decoded.
//!
//! The card begins with [`AHEAD`] periods in the buffer and takes them at its own pace from then on, so that much may a decoded
//! period be late before the card has nothing to play. What would overwrite samples that it has not played yet is left out.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use hyp_pvio::directory;
use hyp_pvio::events::EventReader;
use hyp_pvio::sound::{self, Command, Format, Opened, Part, Trigger, position};
use hyp_pvio::xenbus::State;
use rt::front::{Ends, Lent, Store, Trouble, open_port, wait};
use rt::grants::PAGE;
use rt::window::Window;
use rt::{hypercall, pages};
use xen_abi::io::sndif::Event;

/// Periods that are in the buffer when the card begins.
pub(crate) const AHEAD: u32 = 6;
/// Periods of silence behind the last samples: a card tells what it took, of which some is not heard yet.
const SILENCE: u64 = 4;
/// Periods for which the buffer has room.
const ROOM: u32 = 16;

/// What the samples are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Frames a second.
    pub(crate) rate: u32,
    /// Samples of a frame.
    pub(crate) channels: u8,
    /// Frames of a period.
    pub(crate) frames: u32,
}

/// A connected card with an open stream.
pub(crate) struct Speaker {
    /// Its nodes.
    pub(crate) ends: Ends,
    front: sound::Front<Window>,
    events: EventReader<Window, Event>,
    port: u32,
    buffer: Window,
    /// Bytes of the buffer.
    size: u32,
    bytes: Vec<u8>,
    /// Bytes that were written since the stream was opened.
    written: u64,
    /// Bytes that were played since then, as far as we know.
    played: u64,
    /// Periods that were left out: there was no room, or the back end refused them.
    left_out: u64,
}

impl Speaker {
    /// Connects, and opens the card's first stream.
    ///
    /// # Errors
    /// The back end cannot play such samples, or does not do its part.
    pub(crate) fn connect(store: &mut Store, ends: Ends, form: Form) -> Result<Self, Trouble> {
        store.wait_for(&ends.back, State::InitWait)?;
        let [ring, events] = [(); 2].map(|()| Lent::new(ends.domain, false));
        let front = sound::Front::create(ring.memory).map_err(|error| Trouble::Device(error.to_string()))?;
        let (port, events_port) = (open_port(ends.domain)?, open_port(ends.domain)?);
        let nodes = [
            ("ring-ref", ring.grant),
            ("event-channel", port),
            ("evt-ring-ref", events.grant),
            ("evt-event-channel", events_port),
        ];
        for (name, value) in nodes {
            ends.set(store, &format!("0/0/{name}"), value.to_string())?;
        }
        ends.tell(store, State::Initialised)?;
        store.wait_for(&ends.back, State::Connected)?;
        ends.tell(store, State::Connected)?;
        let period = form.frames * Format::S16.bytes() * u32::from(form.channels);
        let size = period * ROOM;
        let (buffer, directory) = lend(ends.domain, size);
        let events = sound::events(events.memory);
        let (bytes, written, played, left_out) = (Vec::with_capacity(period as usize), 0, 0, 0);
        let mut speaker = Self { ends, front, events, port, buffer, size, bytes, written, played, left_out };
        let Form { rate, channels, .. } = form;
        let opened = Opened { format: Format::S16, channels, rate, buffer: size, period, directory };
        speaker.perform(&Command::Open(opened))?;
        Ok(speaker)
    }

    /// Gives a command, and waits until it is done.
    fn perform(&mut self, command: &Command) -> Result<(), Trouble> {
        self.ask(command).map_err(|()| Trouble::Device("a full ring of requests".into()))?;
        let answer = wait(|| self.front.take().map_err(|error| Trouble::Device(format!("{error:?}"))))?;
        answer.result.map_err(|error| Trouble::Device(format!("{command:?}: {error:?}")))
    }

    /// Gives a command, if there is room.
    fn ask(&mut self, command: &Command) -> Result<(), ()> {
        self.front.ask(command).map_err(|_| ())?;
        if self.front.push() {
            // It is ours and bound.
            let _ = hypercall::send(self.port);
        }
        Ok(())
    }

    /// Takes what the back end said meanwhile. One that breaks the protocol says no more.
    fn listen(&mut self) {
        while let Ok(Some(answer)) = self.front.take() {
            self.left_out += u64::from(answer.result.is_err());
        }
        while let Ok(Some(event)) = self.events.take() {
            self.played = position(&event).unwrap_or(self.played);
        }
        self.events.show();
    }

    /// Lets the card begin; which nobody waits for.
    pub(crate) fn start(&mut self) {
        // All that was asked before is answered, so there is room.
        let _ = self.ask(&Command::Trigger(Trigger::Start));
    }

    /// Writes a period behind all others.
    pub(crate) fn play(&mut self, samples: &[i16]) {
        self.listen();
        self.bytes.clear();
        self.bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        let length = self.bytes.len() as u32;
        let offset = (self.written % u64::from(self.size)) as u32;
        let waits = self.written.saturating_sub(self.played);
        // The buffer is a whole number of periods.
        if waits + u64::from(length) > u64::from(self.size) {
            self.left_out += 1;
            return;
        }
        self.buffer.write(offset as usize, &self.bytes);
        match self.ask(&Command::Write(Part { offset, length })) {
            Ok(()) => self.written += u64::from(length),
            Err(()) => self.left_out += 1,
        }
    }

    /// Waits until all that was written is played, and silence behind it, which the card makes by itself; and stops.
    ///
    /// # Errors
    /// The card does not play it, or the back end does not do its part.
    pub(crate) fn finish(&mut self) -> Result<(), Trouble> {
        let end = self.written + SILENCE * self.bytes.len() as u64;
        wait(|| {
            self.listen();
            Ok((self.played >= end).then_some(()))
        })?;
        self.perform(&Command::Trigger(Trigger::Stop))
    }

    /// Periods that were left out.
    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// A buffer that a domain may read, and the grant of the page that lists its grants.
fn lend(domain: u16, size: u32) -> (Window, u32) {
    let buffer = pages::allocate((size as usize).div_ceil(PAGE));
    let pages = (0..buffer.size()).step_by(PAGE).filter_map(|at| buffer.part(at, PAGE));
    let grants: Vec<u32> = pages.map(|page| Lent::give(domain, page, true).grant).collect();
    let list = Lent::new(domain, true);
    // A list has room for a thousand grants, and a buffer of ours has a few pages.
    directory::pages(&grants, &[list.grant]).iter().take(1).for_each(|page| list.memory.write(0, page));
    (buffer, list.grant)
}
