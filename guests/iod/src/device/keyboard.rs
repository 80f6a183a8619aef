//! A guest's keyboard: keys of the machine's, while they are for this guest.

use alloc::string::{String, ToString};

use hyp_pvio::keyboard::{self as kbdif, Connection, Offer};
use rt::hypercall;

use super::{Back, Get, Nodes, bind};
use crate::hardware::Hardware;
use crate::shared::Granted;

/// What every keyboard offers. Nothing moves the pointer, but Linux's driver looks for keys among the pointer's buttons first,
/// and crashes where there is none.
const OFFER: Offer = Offer { keyboard: true, pointer: true, screen: None };

/// The back end of a keyboard.
pub(crate) struct Keyboard {
    domain: u16,
    /// Its place among those who have one.
    place: usize,
    /// What the front end connected, and our port.
    link: Option<(kbdif::Back<Granted>, u32)>,
}

impl Keyboard {
    /// A keyboard for a guest, which has this place among those who have one.
    pub(crate) const fn new(domain: u16, place: usize) -> Self {
        Self { domain, place, link: None }
    }
}

impl Back for Keyboard {
    fn offer(&mut self, _: &mut Hardware) -> Nodes {
        OFFER.features()
    }

    fn connect(&mut self, hardware: &mut Hardware, get: Get<'_>, _resumes: bool) -> Result<Nodes, String> {
        let Connection { page, port, .. } = Connection::read(&OFFER, get).map_err(|error| error.to_string())?;
        let page = Granted::map(self.domain, &[page]).map_err(|error| error.to_string())?;
        // What was pressed while nobody was there.
        hardware.keyboards.forget(self.place);
        self.link = Some((kbdif::Back::attach(page), bind(self.domain, port)?));
        Ok(Nodes::new())
    }

    fn disconnect(&mut self, hardware: &mut Hardware) {
        hardware.keyboards.forget(self.place);
        if let Some((_, port)) = self.link.take() {
            // It was bound by us, and is closed once.
            let _ = hypercall::close(port);
        }
    }

    fn serve(&mut self, hardware: &mut Hardware) -> Result<bool, String> {
        let Some((back, port)) = &mut self.link else { return Ok(false) };
        let mut told = false;
        while let Some(input) = hardware.keyboards.next(self.place) {
            // Without room it waits: the front end says when it has read.
            if !back.tell(input).map_err(|error| error.to_string())? {
                break;
            }
            hardware.keyboards.told(self.place);
            told = true;
        }
        if told {
            let _ = hypercall::send(*port);
        }
        Ok(false)
    }
}
