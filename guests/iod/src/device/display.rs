//! A guest's frame buffer: what changed of its picture is copied to the machine's display.
//!
//! When the display has shown an update is noted, for a guest that wants to know afterwards how late its pictures were where they
//! are seen. The notes are of this life of ours and of this connection.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use hyp_pvio::display::{self, Area, Change, Connection, Offer, Screen};
use rt::grants::PAGE;
use rt::hypercall;
use rt::virtio::Buffer;
use rt::virtio::gpu::{PIXEL, Rectangle};

use super::{Back, Get, Nodes, bind};
use crate::frame::Frame;
use crate::grants::{Copies, Page, Way};
use crate::hardware::Hardware;
use crate::times::Times;

/// Lines that are copied in one go; others have their turn in between.
const LINES: u32 = 64;

/// A part of the picture that is being drawn, and is shown when all of it is.
struct Drawing {
    part: Area,
    /// How many of its lines are there.
    lines: u32,
    /// How many updates it is of.
    updates: u64,
}

/// A connected front end.
struct Link {
    back: display::Back<Frame>,
    /// The frames of the picture's memory.
    frames: Vec<u64>,
    port: u32,
    /// What is to be drawn next.
    changed: Option<Area>,
    drawing: Option<Drawing>,
    /// The display showed it when we looked last.
    shown: bool,
    /// How many updates were taken.
    updates: u64,
    /// That many of them will have been shown when the display is idle again, and the picture has not changed since.
    flushing: Option<u64>,
    times: Times,
}

/// The back end of a frame buffer.
pub(crate) struct Display {
    domain: u16,
    size: (u32, u32),
    link: Option<Link>,
}

impl Display {
    /// A frame buffer for a guest, of this many pixels across and down.
    pub(crate) const fn new(domain: u16, size: (u32, u32)) -> Self {
        Self { domain, size, link: None }
    }

    /// Most bytes of the picture's memory, in whole megabytes.
    fn megabytes(&self) -> u32 {
        (self.size.0 * self.size.1 * PIXEL as u32).div_ceil(1 << 20)
    }
}

impl Back for Display {
    fn offer(&mut self, _: &mut Hardware) -> Nodes {
        let (width, height) = self.size;
        let mut nodes = Offer { width, height, megabytes: self.megabytes() }.features();
        nodes.retain(|(name, _)| *name != "feature-resize");
        nodes
    }

    fn connect(&mut self, hardware: &mut Hardware, get: Get<'_>, _resumes: bool) -> Result<Nodes, String> {
        let Connection { frame, port, updates } = Connection::read(get).map_err(|error| error.to_string())?;
        if !updates {
            return Err("its driver does not say what changes (feature-update)".into());
        }
        let page = Frame::new(self.domain, frame.into()).ok_or("no memory for devices")?;
        let (back, mut frames) =
            display::Back::attach(page, self.megabytes() << 20).map_err(|error| error.to_string())?;
        let screen = *back.screen();
        if screen.depth as usize != 8 * PIXEL || screen.width > self.size.0 || screen.height > self.size.1 {
            return Err(display::Fault::Screen(screen).to_string());
        }
        while let Some(list) = frames.wanted() {
            let mut bytes = [0; PAGE];
            let page = Frame::new(self.domain, list).ok_or("no memory for devices")?;
            if !page.copy_out(0, &mut bytes) {
                return Err(alloc::format!("its list of frames, frame {list:#x}, is not in its memory"));
            }
            frames.list(&bytes);
        }
        let port = bind(self.domain, port)?;
        self.link = Some(Link {
            back,
            frames: frames.known().to_vec(),
            port,
            changed: None,
            drawing: None,
            shown: false,
            updates: 0,
            flushing: None,
            times: Times::default(),
        });
        hardware.screen.connect(self.domain);
        Ok(Nodes::new())
    }

    fn disconnect(&mut self, hardware: &mut Hardware) {
        if let Some(link) = self.link.take() {
            // It was bound by us, and is closed once.
            let _ = hypercall::close(link.port);
            hardware.screen.disconnect(self.domain);
        }
    }

    fn report(&mut self) -> bool {
        self.link.as_mut().is_none_or(|link| link.times.tell(self.domain))
    }

    fn serve(&mut self, hardware: &mut Hardware) -> Result<bool, String> {
        let Some(link) = &mut self.link else { return Ok(false) };
        link.take().map_err(|fault| fault.to_string())?;
        if hardware.screen.is_idle()
            && let Some(updates) = link.flushing.take()
        {
            link.times.note(updates);
        }
        let shows = hardware.screen.shows(self.domain);
        if shows && !link.shown {
            link.changed = Some(whole(link.back.screen()));
        }
        if !shows {
            (link.drawing, link.flushing) = (None, None);
        }
        link.shown = shows;
        // Nothing else waits for it: when the display is ready again, its interrupt comes.
        let Some((picture, columns)) = hardware.screen.picture(self.domain) else { return Ok(false) };
        let begun = link.drawing.take().or_else(|| {
            let part = link.changed.take()?;
            Some(Drawing { part, lines: 0, updates: link.updates })
        });
        let Some(Drawing { part, lines, updates }) = begun else { return Ok(false) };
        let height = (part.height - lines).min(LINES);
        if !link.draw(self.domain, picture, columns, Area { y: part.y + lines, height, ..part }) {
            return Err("its picture is not in its memory".into());
        }
        let lines = lines + height;
        if lines < part.height {
            link.drawing = Some(Drawing { part, lines, updates });
        } else {
            let Area { x, y, width, height } = part;
            hardware.screen.show(Rectangle { x, y, width, height });
            link.flushing = (updates == link.updates).then_some(updates);
        }
        Ok(true)
    }
}

/// All of a picture.
const fn whole(screen: &Screen) -> Area {
    Area { x: 0, y: 0, width: screen.width, height: screen.height }
}

/// The smallest area that has both.
fn join(one: Area, other: Area) -> Area {
    let (x, y) = (one.x.min(other.x), one.y.min(other.y));
    let right = (one.x + one.width).max(other.x + other.width);
    let end = (one.y + one.height).max(other.y + other.height);
    Area { x, y, width: right - x, height: end - y }
}

impl Link {
    /// Takes what the guest says.
    fn take(&mut self) -> Result<(), display::Fault> {
        let mut any = false;
        let before = *self.back.screen();
        while let Some(change) = self.back.take()? {
            any = true;
            match change {
                Change::Area(area) => {
                    self.updates += 1;
                    self.changed = Some(self.changed.map_or(area, |before| join(before, area)));
                }
                // Linux says its size once more; another one was not offered.
                Change::Screen(screen) if screen == before => self.changed = Some(whole(&screen)),
                Change::Screen(screen) => return Err(display::Fault::Screen(screen)),
            }
        }
        if any {
            self.back.show();
            // It may wait for room.
            let _ = hypercall::send(self.port);
        }
        Ok(())
    }

    /// Copies a part of the picture. Returns whether all of it is in the guest's memory.
    fn draw(&self, domain: u16, picture: &mut Buffer, columns: usize, part: Area) -> bool {
        let mut copies = Copies::new(domain, picture, Way::In);
        for ((from, bytes), y) in self.back.screen().lines(part).zip(part.y as usize..) {
            let to = (y * columns + part.x as usize) * PIXEL;
            let mut done = 0;
            while done < bytes {
                let (page, offset) = ((from + done) / PAGE, (from + done) % PAGE);
                let length = (bytes - done).min(PAGE - offset);
                let Some(frame) = self.frames.get(page) else { return false };
                if !copies.add(Page::Frame(*frame), offset as u16, length as u16, to + done) {
                    return false;
                }
                done += length;
            }
        }
        copies.perform()
    }
}
