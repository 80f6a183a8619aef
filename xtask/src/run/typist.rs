//! Who types at the machine's serial port: the scenario, each of its lines when what it answers was said, or a person.

use std::io::{Read, Write};

use crate::console::Line;
use crate::qemu::Keyboard;
use crate::scenario::{Cue, Scenario, Typing};

/// Three times, it gives the keyboard to the next guest.
const SWITCH: u8 = 1;

/// Whose hands are on the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hands {
    /// The scenario's.
    Scenario,
    /// A person's, at the guest that this many switches lead to.
    Person(usize),
}

impl Hands {
    /// A person's at this guest's console.
    pub(super) fn person(scenario: &Scenario, guest: &str) -> Self {
        let mut listeners = scenario.guests.iter().filter(|guest| guest.vpl011);
        Self::Person(listeners.position(|listener| listener.name == guest).unwrap_or(0))
    }

    /// Is there anything to type?
    pub(super) fn need_keyboard(self, scenario: &Scenario) -> bool {
        matches!(self, Self::Person(_)) || !scenario.typing.is_empty()
    }
}

/// Types.
pub(super) struct Typist<'s> {
    left: std::slice::Iter<'s, Typing>,
    next: Option<&'s Typing>,
    keyboard: Option<Keyboard>,
}

impl<'s> Typist<'s> {
    /// Hands a person's keyboard over, or gets ready for the scenario's first line.
    pub(super) fn new(hands: Hands, scenario: &'s Scenario, keyboard: Option<Keyboard>) -> Self {
        let mut left = scenario.typing.iter();
        match (hands, keyboard) {
            (Hands::Person(switches), Some(keyboard)) => {
                std::thread::spawn(move || forward(switches, keyboard));
                Self { left: [].iter(), next: None, keyboard: None }
            }
            (_, keyboard) => Self { next: left.next(), left, keyboard },
        }
    }

    /// A line was said.
    pub(super) fn hear(&mut self, line: &Line) {
        let (Some(next), Some(keyboard), Some(source)) = (self.next, &mut self.keyboard, &line.source) else { return };
        if next.answers(source, &line.text) {
            // A machine that has ended says so elsewhere.
            let _ = writeln!(keyboard, "{}", next.text).and_then(|()| keyboard.flush());
            self.next = self.left.next();
        }
    }
}

/// Gives what a person types to the machine, until either ends.
fn forward(switches: usize, mut keyboard: Keyboard) {
    let mut ready = keyboard.write_all(&vec![SWITCH; switches * 3]).is_ok();
    let (mut stdin, mut bytes) = (std::io::stdin(), [0; 256]);
    while ready {
        let count = stdin.read(&mut bytes).unwrap_or(0);
        ready = count > 0 && keyboard.write_all(&bytes[..count]).and_then(|()| keyboard.flush()).is_ok();
    }
}
