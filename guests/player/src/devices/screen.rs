//! The display: a picture in our memory, and an update of it each time that it changed.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use hyp_pvio::display::{self, Area};
use hyp_pvio::xenbus::State;
use rt::front::{Ends, Store, Trouble, open_port};
use rt::grants::PAGE;
use rt::window::Window;
use rt::{hypercall, pages};
use rust_h264::decoder::Frame;

use crate::picture::{Line, PIXEL};

/// A connected display.
pub(crate) struct Screen {
    /// Its nodes.
    pub(crate) ends: Ends,
    front: display::Front<Window>,
    port: u32,
    /// The display's picture.
    memory: Window,
    /// Bytes from one of its lines to the next.
    line: usize,
    /// Where ours is in it: in its middle.
    area: Area,
    pixels: Vec<u8>,
    /// Pictures of which the back end was not told: it had not taken those before, or they have another size.
    left_out: u64,
}

impl Screen {
    /// Connects, for pictures of this many pixels across and down.
    ///
    /// # Errors
    /// They are larger than the display, or the back end does not do its part.
    pub(crate) fn connect(store: &mut Store, ends: Ends, picture: (u32, u32)) -> Result<Self, Trouble> {
        let [columns, lines]: [u32; 2] =
            [store.number(&format!("{}/width", ends.back))?, store.number(&format!("{}/height", ends.back))?];
        let (width, height) = picture;
        let (Some(right), Some(below)) = (columns.checked_sub(width), lines.checked_sub(height)) else {
            let what = format!("pictures of {width} by {height} pixels, and a display of {columns} by {lines}");
            return Err(Trouble::Device(what));
        };
        let area = Area { x: right / 2, y: below / 2, width, height };
        let (memory, page, screen) = allocate(columns, lines)?;
        let front = display::Front::create(page, &screen, &[list(memory)?])
            .map_err(|fault| Trouble::Device(fault.to_string()))?;
        let port = open_port(ends.domain)?;
        for (name, value) in [("page-ref", page.frame(0)), ("event-channel", port.into()), ("feature-update", 1)] {
            ends.set(store, name, value.to_string())?;
        }
        ends.tell(store, State::Initialised)?;
        store.wait_for(&ends.back, State::Connected)?;
        ends.tell(store, State::Connected)?;
        let pixels = vec![0; width as usize * PIXEL];
        Ok(Self { ends, front, port, memory, line: screen.line as usize, area, pixels, left_out: 0 })
    }

    /// Shows a picture: it is there when the back end gets to it, which nobody waits for.
    pub(crate) fn show(&mut self, frame: &Frame) {
        let Area { x, y, width, height } = self.area;
        if (frame.width, frame.height) != (width, height) {
            self.left_out += 1;
            return;
        }
        let (width, across) = (width as usize, frame.chroma_width() as usize);
        let mut at = y as usize * self.line + x as usize * PIXEL;
        for (number, brightness) in frame.y.chunks_exact(width).enumerate() {
            let line = |plane| of(plane, number / 2, across);
            Line { brightness, blue: line(&frame.u), red: line(&frame.v) }.convert(&mut self.pixels);
            self.memory.write(at, &self.pixels);
            at += self.line;
        }
        match self.front.update(self.area) {
            // It is ours and bound.
            Ok(true) => _ = hypercall::send(self.port),
            // A ring that cannot be true is as full for us.
            Ok(false) | Err(_) => self.left_out += 1,
        }
    }

    /// Pictures of which the back end was not told.
    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// A line of a plane of so many bytes a line; nothing if it has no such line.
fn of(plane: &[u8], number: usize, bytes: usize) -> &[u8] {
    plane.get(number * bytes..).and_then(|rest| rest.get(..bytes)).unwrap_or_default()
}

/// Memory for a picture, the page of events, and what that says of the picture.
fn allocate(columns: u32, lines: u32) -> Result<(Window, Window, display::Screen), Trouble> {
    let line = columns * PIXEL as u32;
    let bytes = u64::from(line) * u64::from(lines);
    let most = (PAGE / size_of::<u64>() * PAGE) as u64;
    if bytes > most {
        // One list of frames is enough for any display that a player of ours has.
        return Err(Trouble::Device(format!("a display of {bytes} bytes, more than {most}")));
    }
    let memory = pages::allocate((bytes as usize).div_ceil(PAGE));
    let screen =
        display::Screen { width: columns, height: lines, depth: 32, line, offset: 0, memory: memory.size() as u32 };
    Ok((memory, pages::allocate(1), screen))
}

/// The frame of a new page that lists the frames of the picture's memory.
fn list(memory: Window) -> Result<u64, Trouble> {
    let frames: Vec<u64> = (0..memory.size()).step_by(PAGE).map(|offset| memory.frame(offset)).collect();
    let page = pages::allocate(1);
    let lists = display::Front::<Window>::lists(&frames);
    page.write(0, lists.first().ok_or_else(|| Trouble::Device("a display without pixels".into()))?);
    Ok(page.frame(0))
}
