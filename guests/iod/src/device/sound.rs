//! A guest's sound card, with one device of one stream that plays on a stream of a card of the machine.
//!
//! What a guest does to its stream is written down and kept before it is answered, so that the next life plays on where this
//! one ended: at the position that was told last.
//!
//! How much was played, and how often the card had to wait for more, is counted for a guest that wants to know: in this life of ours,
//! since it opened the stream.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hyp_pvio::directory;
use hyp_pvio::network::Piece;
use hyp_pvio::sound::{
    self as sndif, Card, Connection, Direction, Format, Limits, Opened, Play, Positions, Stream, Tag, Trigger,
};
use rt::hypercall;
use rt::virtio::Buffer;
use rt::virtio::sound::{Command, Parameters, RATES, SAMPLES};
use xen_abi::errno::Errno;

use super::{Back, Get, KEPT, Nodes, bind_both};
use crate::grants::{self, Way};
use crate::hardware::Hardware;
use crate::hardware::sound::{LARGEST, News, Output, format};
use crate::shared::Granted;

/// Pieces of samples that the card has at most.
const AHEAD: u32 = 8;
/// Bytes of a piece at least, unless there are no more.
const LEAST: u32 = 512;

/// A stream that is open.
struct Open {
    play: Play,
    buffer: directory::Buffer,
    /// Pieces that the card has.
    ahead: u32,
    /// The position that the guest knows.
    told: Option<u64>,
    gaps: Gaps,
}

/// How often the card had nothing to play between two samples of the guest: what was heard of it had a gap there. That it has
/// nothing before the first sample or after the last is no gap.
#[derive(Clone, Copy, Debug, Default)]
struct Gaps {
    begun: bool,
    /// Since the last sample.
    open: u64,
    count: u64,
}

impl Gaps {
    /// The card is given something, of the guest's or silence, and has so many pieces.
    fn give(&mut self, is_guests: bool, ahead: u32, running: bool) {
        self.open += u64::from(self.begun && ahead == 0 && running);
        if is_guests {
            self.count += core::mem::take(&mut self.open);
            self.begun = true;
        }
    }
}

/// A connected front end.
struct Link {
    back: sndif::Back<Granted>,
    positions: Positions<Granted>,
    /// Our ports: for its requests, and for our events.
    ports: (u32, u32),
    open: Option<Open>,
    /// What the card is to be told yet, the first of it now.
    steps: VecDeque<Command>,
    /// The card was told the first, and has not answered.
    asked: bool,
    /// What the guest wants at present, and whether that is to open the stream.
    wanted: Option<(Tag, bool)>,
    /// What came of it, once that is kept.
    outcome: Option<Result<(), Errno>>,
    /// Something is to be kept.
    changed: bool,
}

/// The back end of a sound card.
pub(crate) struct Sound {
    domain: u16,
    output: Output,
    limits: Limits,
    /// What the card was told or given with another number is of no interest any more.
    cookie: u32,
    /// What the last life kept.
    recalled: Option<String>,
    link: Option<Link>,
}

impl Sound {
    /// A card for a guest, which plays on a stream of the machine's.
    pub(crate) const fn new(domain: u16, output: Output, limits: Limits) -> Self {
        Self { domain, output, limits, cookie: 0, recalled: None, link: None }
    }

    /// How it describes itself.
    pub(crate) fn card(&self) -> Card {
        let stream = Stream { direction: Direction::Playback, unique_id: "0".into(), limits: self.limits };
        let device = sndif::Device { name: "I/O domain".into(), streams: Vec::from([stream]) };
        let (short_name, long_name) = ("iod".into(), "Sound card of the I/O domain".into());
        Card { short_name, long_name, devices: Vec::from([device]) }
    }

    /// Lets go of what a life that is over had open, and has the card be the same.
    fn resume(&self, positions: &Positions<Granted>) -> Result<Option<Open>, String> {
        let told = positions.last();
        let text = self.recalled.as_deref().unwrap_or_default();
        let Some(play) = Play::from_text(text, &self.limits, told) else { return Ok(None) };
        let buffer = read_directory(self.domain, play.opened())
            .map_err(|why| format!("its list of pages cannot be read: {why:?}"))?;
        Ok(Some(Open { play, buffer, ahead: 0, told, gaps: Gaps::default() }))
    }
}

impl Link {
    /// Hears what the card says.
    fn hear(&mut self, hardware: &mut Hardware, output: Output, current: u32) {
        while let Some((cookie, news)) = hardware.sound.next(output) {
            match news {
                _ if cookie != current => {}
                News::Played(bytes) => {
                    if let Some(open) = &mut self.open {
                        open.ahead = open.ahead.saturating_sub(1);
                        open.play.played(bytes);
                    }
                }
                News::Answered(done) => {
                    self.asked = false;
                    match self.steps.pop_front() {
                        // A card that has nothing to stop or release may refuse to.
                        Some(Command::Stop | Command::Release) | None => {}
                        Some(_) if done => {}
                        Some(_) => self.fail(Errno::EIO),
                    }
                }
            }
        }
        if self.steps.is_empty() && self.wanted.is_some() && self.outcome.is_none() {
            self.outcome = Some(Ok(()));
            self.changed = true;
        }
    }

    /// What the guest wants cannot be.
    fn fail(&mut self, why: Errno) {
        self.steps.clear();
        if let Some((_, opens)) = self.wanted {
            self.open = self.open.take().filter(|_| !opens);
            self.outcome = Some(Err(why));
            self.changed = true;
        }
    }

    /// Tells the guest how far it has come.
    fn tell(&mut self) -> Result<(), String> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let position = open.play.position();
        if open.told != Some(position) && self.positions.tell(position).map_err(|error| error.to_string())? {
            open.told = Some(position);
            let _ = hypercall::send(self.ports.1);
        }
        Ok(())
    }

    /// Begins with a command. Returns whether what the card was given before is of no interest any more.
    fn begin(&mut self, domain: u16, command: sndif::Command) -> Result<bool, Errno> {
        let open = self.open.as_mut();
        match command {
            sndif::Command::Open(opened) => {
                let buffer = read_directory(domain, &opened)?;
                if self.open.is_some() {
                    self.steps.extend([Command::Stop, Command::Release]);
                }
                self.steps.extend([Command::Set(parameters(&opened)), Command::Prepare]);
                self.open = Some(Open { play: Play::new(opened), buffer, ahead: 0, told: None, gaps: Gaps::default() });
                return Ok(true);
            }
            sndif::Command::Close => {
                self.open = None;
                self.steps.extend([Command::Stop, Command::Release]);
                return Ok(true);
            }
            sndif::Command::Write(part) => open.ok_or(Errno::EIO)?.play.write(part)?,
            sndif::Command::Trigger(Trigger::Stop) => {
                let open = open.ok_or(Errno::EIO)?;
                open.play.stop();
                open.ahead = 0;
                self.steps.extend([Command::Stop, Command::Release, Command::Prepare]);
                return Ok(true);
            }
            sndif::Command::Trigger(Trigger::Pause) => {
                open.ok_or(Errno::EIO)?.play.run(false);
                self.steps.push_back(Command::Stop);
            }
            sndif::Command::Trigger(Trigger::Start | Trigger::Resume) => {
                open.ok_or(Errno::EIO)?.play.run(true);
                self.steps.push_back(Command::Start);
            }
            // There is no microphone and nothing to mix with.
            _ => return Err(Errno::EOPNOTSUPP),
        }
        Ok(false)
    }

    /// Gives the card what it has room for.
    fn feed(&mut self, hardware: &mut Hardware, domain: u16, output: Output, cookie: u32) -> Result<(), String> {
        let Some(open) = self.open.as_mut().filter(|_| self.steps.is_empty()) else { return Ok(()) };
        let most = piece(open.play.opened());
        while open.ahead < AHEAD {
            let part = open.play.next(most);
            // A card goes on when it has nothing to play, and Linux counts on that to hear of its end.
            let dry = open.ahead == 0 && open.play.is_running();
            if part.is_none() && !dry {
                return Ok(());
            }
            let Some(mut buffer) = hardware.sound.buffer(output) else { return Ok(()) };
            let bytes = part.map_or(most, |part| part.length);
            let filled = match part {
                Some(part) => copy(domain, open, part, &mut buffer),
                None => silence(open.play.opened().format, bytes, &mut buffer),
            };
            if filled.is_none() {
                hardware.sound.give_back(output, buffer);
                return Err("its buffer's pages cannot be read".into());
            }
            if !hardware.sound.play(output, buffer, bytes, cookie) {
                return Ok(());
            }
            open.gaps.give(part.is_some(), open.ahead, open.play.is_running());
            open.ahead += 1;
            match part {
                Some(_) => open.play.give(bytes),
                None => open.play.give_silence(bytes),
            }
        }
        Ok(())
    }
}

/// Bytes of a piece for the card: Linux counts a period when more than one has passed, so it hears of each half.
fn piece(opened: &Opened) -> u32 {
    let bytes = (opened.period / 2).clamp(LEAST, LARGEST as u32);
    bytes / opened.frame() * opened.frame()
}

/// What a card's stream is to be for a guest's.
fn parameters(opened: &Opened) -> Parameters {
    let rate = RATES.iter().position(|rate| *rate == opened.rate).unwrap_or(0) as u8;
    let (period, format) = (piece(opened), format(opened.format));
    Parameters { buffer: period * AHEAD, period, channels: opened.channels, format, rate }
}

/// Learns which pages a guest's buffer is in.
fn read_directory(domain: u16, opened: &Opened) -> Result<directory::Buffer, Errno> {
    let mut buffer = directory::Buffer::new(opened.buffer, opened.directory);
    let mut list = Buffer::new(grants::PAGE).ok_or(Errno::ENOMEM)?;
    while let Some(grant) = buffer.wanted() {
        let bytes = grants::read(domain, &[grant], grants::PAGE, &mut list).ok_or(Errno::EFAULT)?;
        let page = bytes.first_chunk().ok_or(Errno::EFAULT)?;
        buffer.list(page).map_err(|_| Errno::EINVAL)?;
    }
    Ok(buffer)
}

fn copy(domain: u16, open: &Open, part: sndif::Part, into: &mut Buffer) -> Option<()> {
    let pieces = open.buffer.pieces(part.offset as usize, part.length as usize)?;
    let pieces = pieces.map(|it| Piece { grant: it.grant, offset: it.offset as u16, length: it.length as u16 });
    grants::copy(domain, pieces, into, SAMPLES, Way::In).then_some(())
}

fn silence(format: Format, bytes: u32, into: &mut Buffer) -> Option<()> {
    let middle = if format == Format::U8 { 0x80 } else { 0 };
    into.bytes_mut().get_mut(SAMPLES..SAMPLES + bytes as usize)?.fill(middle);
    Some(())
}

impl Back for Sound {
    fn offer(&mut self, _: &mut Hardware) -> Nodes {
        Card::features()
    }

    fn recall(&mut self, text: &str) {
        self.recalled = Some(text.into());
    }

    fn connect(&mut self, _: &mut Hardware, get: Get<'_>, resumes: bool) -> Result<Nodes, String> {
        let connections = self.card().connections(get).map_err(|error| error.to_string())?;
        let Some(Connection { ring, port, events, events_port }) = connections.first().copied() else {
            return Err("no stream".into());
        };
        let map = |grant| Granted::map(self.domain, &[grant]).map_err(|error| error.to_string());
        let positions = Positions::attach(map(events)?);
        let open = if resumes { self.resume(&positions)? } else { None };
        let opened = open.as_ref().map(|open| *open.play.opened());
        let attach = |memory| match resumes {
            true => sndif::Back::resume(memory, Direction::Playback, self.limits, opened),
            false => sndif::Back::attach(memory, Direction::Playback, self.limits),
        };
        let back = attach(map(ring)?).map_err(|error| error.to_string())?;
        let mut steps = VecDeque::new();
        if let Some(Open { play, .. }) = &open {
            steps.extend([Command::Set(parameters(play.opened())), Command::Prepare]);
            steps.extend(play.is_running().then_some(Command::Start));
        }
        let ports = bind_both(self.domain, [port, events_port])?;
        let (asked, wanted, outcome, changed) = (false, None, None, resumes);
        self.link = Some(Link { back, positions, ports, open, steps, asked, wanted, outcome, changed });
        Ok(if resumes { Nodes::new() } else { Nodes::from([(KEPT, String::new())]) })
    }

    fn disconnect(&mut self, hardware: &mut Hardware) {
        if let Some(link) = self.link.take() {
            for command in [Command::Stop, Command::Release] {
                hardware.sound.command(self.output, command, self.cookie);
            }
            self.cookie = self.cookie.wrapping_add(1);
            // They were bound by us, and are closed once.
            let _ = hypercall::close(link.ports.0);
            let _ = hypercall::close(link.ports.1);
        }
    }

    fn keep(&mut self) -> Option<String> {
        let link = self.link.as_mut()?;
        core::mem::take(&mut link.changed)
            .then(|| link.open.as_ref().map_or_else(String::new, |open| open.play.to_text()))
    }

    fn report(&mut self) -> bool {
        if let Some(Open { play, gaps, .. }) = self.link.as_ref().and_then(|link| link.open.as_ref()) {
            let (domain, period, bytes, gaps) = (self.domain, play.opened().period, play.heard(), gaps.count);
            rt::println!("@played domain={domain} bytes={bytes} period={period} gaps={gaps}");
        }
        true
    }

    fn serve(&mut self, hardware: &mut Hardware) -> Result<bool, String> {
        let Self { domain, output, cookie, link, .. } = self;
        let Some(link) = link else { return Ok(false) };
        link.tell()?;
        if let Some(outcome) = link.outcome.take()
            && let Some((tag, _)) = link.wanted.take()
        {
            // It was taken from this ring, and is given back once.
            let _ = link.back.complete(tag, outcome);
        }
        link.hear(hardware, *output, *cookie);
        link.tell()?;
        if link.wanted.is_none()
            && link.steps.is_empty()
            && let Some((tag, command)) = link.back.take().map_err(|error| error.to_string())?
        {
            link.wanted = Some((tag, matches!(command, sndif::Command::Open(_))));
            match link.begin(*domain, command) {
                Ok(forgets) => *cookie = cookie.wrapping_add(forgets.into()),
                Err(why) => link.fail(why),
            }
            // What needs no card is done.
            link.hear(hardware, *output, *cookie);
        }
        link.feed(hardware, *domain, *output, *cookie)?;
        if !link.asked
            && let Some(command) = link.steps.front()
        {
            link.asked = hardware.sound.command(*output, *command, *cookie);
        }
        if link.back.push() {
            let _ = hypercall::send(link.ports.0);
        }
        Ok(link.outcome.is_some() || link.wanted.is_none() && link.back.wait().map_err(|error| error.to_string())?)
    }
}
