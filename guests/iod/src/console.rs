//! Guests' consoles: what they print goes out line by line with the guest's name before it, what is typed goes to one of them.
//!
//! A line of a guest is printed as `NAME| text`, so that tools can give it to that guest; `NAME> text` is the begin of a line
//! that has no end yet, which a prompt is, and what follows on it comes as another such piece or with the line's end.

use alloc::string::String;
use alloc::vec::Vec;

use hyp_pvio::command::Line;
use hyp_pvio::console::{self, Console};
use rt::hypercall;
use rt::window::Window;

/// Longest piece of a line.
const LINE: usize = 256;
/// Pieces of a guest's that are read in one go.
const PIECES: usize = 2048 / LINE;
/// How long a line may go on without being shown, in ns: a prompt has no end.
const PATIENCE: u64 = 20_000_000;
/// Ctrl-A: a digit behind it gives the keyboard to the guest with that number, or to ourselves.
const SWITCH: u8 = 1;
/// Our own number there, whatever it is in the tree: nobody else has it.
const OURSELVES: u16 = 0;

/// A guest's console.
struct Terminal {
    domain: u16,
    name: String,
    memory: Window,
    port: u32,
    ends: Option<Console<Window>>,
    line: Vec<u8>,
    /// There may be something to move.
    raised: bool,
    /// When its last byte came, in ns.
    changed: u64,
    /// Typed, and not taken yet.
    typed: Vec<u8>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Consoles {
    terminals: Vec<Terminal>,
    focus: usize,
    switching: bool,
    /// What is typed is for ourselves.
    commands: bool,
    /// What was typed of a command.
    line: Line,
}

impl Consoles {
    /// A guest's console by this page and this port of ours.
    pub(crate) fn add(&mut self, domain: u16, name: &str, memory: Window, port: u32) {
        // What it printed while nobody was there may fill the page, and it does not say so again: it is looked at at once.
        let ends = Some(console::back(memory));
        let (line, typed) = (Vec::new(), Vec::new());
        self.terminals.push(Terminal {
            domain,
            name: name.into(),
            memory,
            port,
            ends,
            line,
            raised: true,
            changed: 0,
            typed,
        });
    }

    /// A guest begins anew, with an empty page.
    pub(crate) fn begin(&mut self, domain: u16) {
        for terminal in self.terminals.iter_mut().filter(|terminal| terminal.domain == domain) {
            terminal.end_line();
            terminal.ends = Some(console::back(terminal.memory));
            terminal.typed.clear();
        }
    }

    /// A port was notified.
    pub(crate) fn event(&mut self, port: u32) {
        self.terminals.iter_mut().filter(|terminal| terminal.port == port).for_each(|it| it.raised = true);
    }

    /// Moves what there is of those that were notified, a page of each. Returns whether there may be more.
    pub(crate) fn serve(&mut self) -> bool {
        self.terminals.iter_mut().filter(|terminal| terminal.raised).for_each(Terminal::serve);
        self.terminals.iter().any(|terminal| terminal.raised)
    }

    /// A byte was typed; the line of which it is the end, if that is for ourselves, or why there is none.
    pub(crate) fn typed(&mut self, byte: u8) -> Option<Result<String, String>> {
        if self.switching {
            self.switching = false;
            let digit = u16::from(byte.wrapping_sub(b'0'));
            if digit == OURSELVES {
                self.commands = true;
                self.line = Line::default();
                rt::println!("commands go here; `help` shows them, Ctrl-A and a digit goes back to a guest");
                return None;
            }
            if let Some(at) = self.terminals.iter().position(|terminal| terminal.domain == digit) {
                (self.focus, self.commands) = (at, false);
                return None;
            }
        } else if byte == SWITCH {
            self.switching = true;
            return None;
        }
        if self.commands {
            return self.line.take(byte);
        }
        if let Some(terminal) = self.terminals.get_mut(self.focus) {
            terminal.typed.push(byte);
            terminal.raised = true;
        }
        None
    }

    /// The guest to which what is typed goes, or went before it went to ourselves.
    pub(crate) fn focus(&self) -> Option<u16> {
        self.terminals.get(self.focus).map(|terminal| terminal.domain)
    }

    /// Prints lines that were begun some time ago. Returns when it is to be called again, in ns.
    pub(crate) fn show_begun(&mut self) -> Option<u64> {
        let now = rt::timer::now();
        for terminal in self.terminals.iter_mut().filter(|terminal| terminal.changed + PATIENCE <= now) {
            terminal.show_begun();
        }
        let begun = self.terminals.iter().filter(|terminal| !terminal.line.is_empty());
        begun.map(|terminal| terminal.changed + PATIENCE).min()
    }
}

impl Terminal {
    fn serve(&mut self) {
        let mut moved = false;
        self.raised = false;
        for _ in 0..PIECES {
            let Some(ends) = &mut self.ends else { break };
            let mut piece = [0; LINE];
            let read = ends.reader.read(&mut piece);
            let typed = ends.writer.write(&self.typed);
            let (Ok(read), Ok(typed)) = (read, typed) else {
                rt::println!(
                    "guest {}: its console's indices cannot be true: left alone until it begins anew",
                    self.domain
                );
                self.ends = None;
                break;
            };
            self.typed.drain(..typed);
            piece.iter().take(read).for_each(|byte| self.print(*byte));
            self.changed = rt::timer::now();
            moved |= read + typed > 0;
            // A guest that prints as fast as it is read gets its turn again after the others.
            self.raised = read > 0;
            if read == 0 {
                break;
            }
        }
        if moved {
            let _ = hypercall::send(self.port);
        }
    }

    fn print(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end_line(),
            b'\r' => {}
            _ => {
                self.line.push(byte);
                if self.line.len() == LINE {
                    self.show_begun();
                }
            }
        }
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.show("|");
        }
    }

    fn show_begun(&mut self) {
        if !self.line.is_empty() {
            self.show(">");
        }
    }

    fn show(&mut self, mark: &str) {
        rt::println!("{}{mark} {}", self.name, String::from_utf8_lossy(&self.line));
        self.line.clear();
    }
}
