//! Keyboards: what is pressed on any of them goes to one guest, the one whose console gets what is typed, or the first that
//! has a keyboard.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use hyp_pvio::keyboard::Input;
use rt::interrupts;
use rt::virtio::SomeTransport;
use rt::virtio::input::{self, Event};

/// Keys that wait for a guest at most.
const QUEUE: usize = 64;
/// Linux's kind of event for keys and buttons, and their value while a key repeats, which guests do themselves.
const KEY: u16 = 1;
const REPEATED: u32 = 2;

/// A keyboard of the machine.
struct Physical {
    input: input::Input,
    interrupt: u32,
}

/// What a guest gets.
struct Guest {
    domain: u16,
    waiting: VecDeque<Input>,
    /// Keys that it has been told are down.
    down: BTreeSet<u32>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Keyboards {
    physical: Vec<Physical>,
    guests: Vec<Guest>,
}

impl Keyboards {
    /// Brings one up.
    pub(crate) fn add(&mut self, transport: SomeTransport<'static>, interrupt: u32) {
        match input::Input::new(transport) {
            Ok(input) => {
                interrupts::enable(interrupt);
                rt::println!("keyboard");
                self.physical.push(Physical { input, interrupt });
            }
            Err(why) => rt::println!("a keyboard cannot be used: {why}"),
        }
    }

    /// A guest that has a keyboard; its place here.
    pub(crate) fn add_guest(&mut self, domain: u16) -> usize {
        self.guests.push(Guest { domain, waiting: VecDeque::new(), down: BTreeSet::new() });
        self.guests.len() - 1
    }

    /// Takes what was pressed, for the guest that has the `focus` if it has a keyboard. What is released goes to whom it was
    /// pressed for; nobody knows who that was if a life of ours that is over heard it, so it goes to all then.
    pub(crate) fn poll(&mut self, focus: Option<u16>) {
        let Self { physical, guests } = self;
        for Physical { input, interrupt } in physical {
            if interrupts::take(*interrupt) {
                input.acknowledge();
            }
            while let Some(Event { kind, code, value }) = input.event() {
                if kind != KEY || value == REPEATED {
                    continue;
                }
                let code = code.into();
                if value != 0 {
                    let at = guests.iter().position(|guest| Some(guest.domain) == focus).unwrap_or(0);
                    guests.get_mut(at).into_iter().for_each(|guest| guest.press(code));
                    continue;
                }
                let known = guests.iter().any(|guest| guest.down.contains(&code));
                let whose = guests.iter_mut().filter(|guest| !known || guest.down.contains(&code));
                whose.for_each(|guest| guest.release(code));
            }
        }
    }

    /// The next of what waits for a guest.
    pub(crate) fn next(&self, guest: usize) -> Option<Input> {
        self.guests.get(guest)?.waiting.front().copied()
    }

    /// It was told that.
    pub(crate) fn told(&mut self, guest: usize) {
        self.guests.get_mut(guest).and_then(|guest| guest.waiting.pop_front());
    }

    /// A guest connects or disconnects: it knows of no key.
    pub(crate) fn forget(&mut self, guest: usize) {
        if let Some(guest) = self.guests.get_mut(guest) {
            guest.waiting.clear();
            guest.down.clear();
        }
    }
}

impl Guest {
    /// There is room for another key, and for the release of all that are down.
    fn has_room(&self) -> bool {
        self.waiting.len() + self.down.len() + 1 < QUEUE
    }

    /// A press that there is no room for is lost, and its release with it.
    fn press(&mut self, code: u32) {
        if self.has_room() && self.down.insert(code) {
            self.waiting.push_back(Input::Key { code, pressed: true });
        }
    }

    fn release(&mut self, code: u32) {
        if self.down.remove(&code) || self.has_room() {
            self.waiting.push_back(Input::Key { code, pressed: false });
        }
    }
}
