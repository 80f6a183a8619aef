//! The display that the machine has: it shows one guest's picture at a time.

use alloc::vec::Vec;

use rt::interrupts;
use rt::virtio::gpu::{Display, Rectangle};
use rt::virtio::{Buffer, SomeTransport};

/// The display, and whose picture it shows.
#[derive(Default)]
pub(crate) struct Screen {
    display: Option<(Display, u32)>,
    /// Guests that have a picture, in the order in which they came.
    guests: Vec<u16>,
    shown: Option<u16>,
}

impl Screen {
    /// Brings a device up, for pictures of up to this many pixels across and down.
    pub(crate) fn add(&mut self, transport: SomeTransport<'static>, interrupt: u32, (width, height): (u32, u32)) {
        if self.display.is_some() {
            return rt::println!("a second display is not used");
        }
        match Display::new(transport, width, height) {
            Ok(display) => {
                interrupts::enable(interrupt);
                rt::println!("display of {width} by {height} pixels");
                self.display = Some((display, interrupt));
            }
            Err(why) => rt::println!("a display cannot be used: {why}"),
        }
    }

    /// There is one.
    pub(crate) const fn is_there(&self) -> bool {
        self.display.is_some()
    }

    /// A guest has a picture; it is shown if no other is.
    pub(crate) fn connect(&mut self, guest: u16) {
        self.guests.push(guest);
        self.choose(self.shown.unwrap_or(guest));
    }

    /// It has none any more: another's is shown.
    pub(crate) fn disconnect(&mut self, guest: u16) {
        self.guests.retain(|other| *other != guest);
        if self.shown == Some(guest) {
            self.shown = None;
            self.clear();
            self.shown = self.guests.first().copied();
        }
    }

    /// Shows this guest's picture, if it has one. It has to draw all of it.
    pub(crate) fn choose(&mut self, guest: u16) {
        if self.shown != Some(guest) && self.guests.contains(&guest) {
            self.clear();
            self.shown = Some(guest);
        }
    }

    fn clear(&mut self) {
        if let Some((display, _)) = &mut self.display {
            display.picture().bytes_mut().fill(0);
            let (width, height) = display.size();
            display.show(Rectangle { x: 0, y: 0, width, height });
        }
    }

    /// Is it this guest's picture that is shown?
    pub(crate) fn shows(&self, guest: u16) -> bool {
        self.shown == Some(guest)
    }

    /// Is all that was to be shown there?
    pub(crate) fn is_idle(&self) -> bool {
        self.display.as_ref().is_some_and(|(display, _)| display.is_idle())
    }

    /// The picture and its columns, for who is shown and when the display has nothing else to do; its interrupt comes then.
    pub(crate) fn picture(&mut self, guest: u16) -> Option<(&mut Buffer, usize)> {
        let (display, _) =
            self.display.as_mut().filter(|(display, _)| self.shown == Some(guest) && display.is_idle())?;
        let columns = display.size().0 as usize;
        Some((display.picture(), columns))
    }

    /// A part of the picture was drawn.
    pub(crate) fn show(&mut self, part: Rectangle) {
        if let Some((display, _)) = &mut self.display {
            display.show(part);
        }
    }

    /// Lets the device go on.
    pub(crate) fn poll(&mut self) {
        if let Some((display, interrupt)) = &mut self.display {
            if interrupts::take(*interrupt) {
                display.acknowledge();
            }
            if let Some((command, answer)) = display.poll() {
                rt::println!("the display refused command {command:#x}: answer {answer:#x}");
            }
        }
    }
}
