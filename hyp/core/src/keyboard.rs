//! What a person types at the machine's serial port, on its way to one guest.
//!
//! One line serves all guests, so one of them has the keyboard at a time: the first that listens until somebody types
//! Ctrl-A three times, which gives it to the next, as on Xen. A byte is taken from the port only when that guest has room
//! for it; until then it waits in the port, whose own flow control is the only one that reaches the sender.

use crate::arch::Arch;
use crate::domain::{Domain, DomainId};
use crate::hypervisor::Hypervisor;
use crate::limits::MAX_DOMAINS;

/// Ctrl-A.
const SWITCH: u8 = 1;
/// How often it has to come to switch.
const TIMES: u8 = 3;

/// A guest's port.
pub trait Listener {
    /// Is there room for so many typed bytes?
    fn has_room(&self, bytes: usize) -> bool;
    /// A byte was typed. `false`: there was no room, and it was not taken.
    fn receive(&mut self, byte: u8) -> bool;
}

/// Who has the keyboard.
#[derive(Debug, Default)]
pub struct Keyboard {
    /// Index of the domain. It may have no port, and then the next that has one is meant.
    focus: usize,
    /// Ctrl-A's in a row, not delivered yet.
    held: u8,
}

/// How [`Keyboard::fill`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// The machine's port has no more.
    Empty,
    /// The guest takes no more.
    Full,
    /// The keyboard is to go to the next.
    Switch,
}

impl Keyboard {
    /// The first domain has it.
    pub const fn new() -> Self {
        Self { focus: 0, held: 0 }
    }

    /// Takes what the machine's port has: `fill` gives it to a domain that `listens`, by [`Keyboard::fill`], and `switched`
    /// hears of the next one that gets the keyboard. Returns whether the port is to go on interrupting: not while the guest
    /// takes no more, nor where nobody reads, as the interrupt would come again and again.
    pub fn poll<A: Arch>(
        &mut self,
        hypervisor: &Hypervisor<A>,
        listens: impl Fn(&Domain<A>) -> bool,
        fill: impl Fn(&mut Self, &Domain<A>) -> Filled,
        switched: impl Fn(&Domain<A>),
    ) -> bool {
        let listener = |from: usize| {
            // The first at or behind an index, in a circle.
            let domains = (from..from + MAX_DOMAINS).map(|index| DomainId::from_index(index % MAX_DOMAINS));
            domains.filter_map(|id| hypervisor.domain(id)).find(|domain| listens(domain))
        };
        while let Some(domain) = listener(self.focus) {
            self.focus = domain.id().index();
            match fill(self, domain) {
                Filled::Empty => return true,
                Filled::Full => return false,
                Filled::Switch => {
                    if let Some(next) = listener(self.focus + 1) {
                        self.focus = next.id().index();
                        switched(next);
                    }
                }
            }
        }
        false
    }

    /// Gives a guest what was typed; `read` takes the next byte from the machine's port.
    pub fn fill(&mut self, port: &mut impl Listener, mut read: impl FnMut() -> Option<u8>) -> Filled {
        loop {
            // What is held back may turn out to be the guest's.
            if !port.has_room(usize::from(TIMES)) {
                return Filled::Full;
            }
            match read() {
                None => return Filled::Empty,
                Some(SWITCH) if self.held + 1 == TIMES => {
                    self.held = 0;
                    return Filled::Switch;
                }
                Some(SWITCH) => self.held += 1,
                Some(byte) => {
                    // Room was made sure of above.
                    (0..core::mem::take(&mut self.held)).for_each(|_| _ = port.receive(SWITCH));
                    let _ = port.receive(byte);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{Filled, Keyboard, Listener};

    #[derive(Default)]
    struct Port(Vec<u8>);

    impl Listener for Port {
        fn has_room(&self, bytes: usize) -> bool {
            self.0.len() + bytes <= 8
        }

        fn receive(&mut self, byte: u8) -> bool {
            self.0.push(byte);
            true
        }
    }

    #[test]
    fn bytes_arrive_until_there_are_no_more_or_no_room() {
        let (mut keyboard, mut port) = (Keyboard::new(), Port::default());
        let mut typed = b"abc".iter().copied();
        assert_eq!(keyboard.fill(&mut port, || typed.next()), Filled::Empty);
        let mut typed = b"defghijkl".iter().copied();
        assert_eq!(keyboard.fill(&mut port, || typed.next()), Filled::Full);
        assert_eq!((&port.0[..], typed.next()), (&b"abcdef"[..], Some(b'g')), "what has no room is not taken");
    }

    #[test]
    fn three_in_a_row_switch_and_fewer_are_the_guests() {
        let (mut keyboard, mut port) = (Keyboard::new(), Port::default());
        let mut typed = b"\x01\x01x\x01".iter().copied();
        assert_eq!(keyboard.fill(&mut port, || typed.next()), Filled::Empty);
        assert_eq!(port.0, b"\x01\x01x");
        let mut typed = b"\x01\x01y".iter().copied();
        assert_eq!(keyboard.fill(&mut port, || typed.next()), Filled::Switch);
        assert_eq!((&port.0[..], typed.next()), (&b"\x01\x01x"[..], Some(b'y')));
    }
}
