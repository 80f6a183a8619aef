//! A display and a sound card of an I/O domain, where the player has them (`devices=yes` among its boot arguments).
//!
//! They must not cost a deadline: all waiting is before the first release or after the last, and bounded. In between a picture or a
//! sound period is left at the back end's door, or left out and counted if there is no room.

mod screen;
mod speaker;

use rt::front::{Ends, Store, Trouble};
use rt::{Machine, events, grants, hypercall, println, timer};
use rust_h264::decoder::Frame;
use xen_abi::errno::Errno;
use xen_abi::io_domain::STORE_PORT;

use screen::Screen;
pub(crate) use speaker::Form;
use speaker::{AHEAD, Speaker};

/// What there is.
pub(crate) struct Devices {
    store: Store,
    screen: Option<Screen>,
    speaker: Option<Speaker>,
}

impl Devices {
    /// Connects to what there is, for pictures of this many pixels across and down, and such sound.
    ///
    /// # Errors
    /// There is no device, or its back end does not do its part.
    pub(crate) fn open(machine: &'static Machine, picture: (u32, u32), sound: Form) -> Result<Self, Trouble> {
        events::connect().and_then(|()| grants::connect()).map_err(Trouble::Refused)?;
        hypercall::unmask(STORE_PORT).map_err(Trouble::Refused)?;
        let mut store = Store::open(machine)?;
        let screen = match find(&mut store, "vfb")? {
            Some(ends) => Some(Screen::connect(&mut store, ends, picture)?),
            None => None,
        };
        let speaker = match find(&mut store, "vsnd")? {
            Some(ends) => Some(Speaker::connect(&mut store, ends, sound)?),
            None => None,
        };
        if screen.is_none() && speaker.is_none() {
            return Err(Trouble::Device("xenstore has neither device/vfb/0 nor device/vsnd/0 of this guest".into()));
        }
        Ok(Self { store, screen, speaker })
    }

    /// Periods of sound that it wants before the first release.
    pub(crate) fn ahead(&self) -> u32 {
        self.speaker.as_ref().map_or(0, |_| AHEAD)
    }

    /// Plays a period of sound, behind all others.
    pub(crate) fn play(&mut self, samples: &[i16]) {
        if let Some(speaker) = &mut self.speaker {
            speaker.play(samples);
        }
    }

    /// The clock starts: so does the card.
    pub(crate) fn start(&mut self) {
        if let Some(speaker) = &mut self.speaker {
            speaker.start();
        }
    }

    /// Waits until all that it was given has been played. Tells tools what was left out, and by how much our counter is behind the
    /// machine's, and has the I/O domain tell what it noted.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn report(&mut self) -> Result<(), Trouble> {
        println!("@clock offset_ns={}", timer::offset());
        if let Some(speaker) = &mut self.speaker {
            let finished = speaker.finish();
            println!("@left_out periods={}", speaker.left_out());
            finished?;
            speaker.ends.report(&mut self.store)?;
        }
        if let Some(screen) = &self.screen {
            println!("@left_out pictures={}", screen.left_out());
            screen.ends.report(&mut self.store)?;
        }
        Ok(())
    }

    /// Shows a picture.
    pub(crate) fn show(&mut self, frame: &Frame) {
        if let Some(screen) = &mut self.screen {
            screen.show(frame);
        }
    }
}

/// A device's ends, if there is such a device.
fn find(store: &mut Store, kind: &str) -> Result<Option<Ends>, Trouble> {
    match Ends::find(store, kind, 0) {
        Ok(ends) => Ok(Some(ends)),
        Err(Trouble::Refused(Errno::ENOENT)) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}
