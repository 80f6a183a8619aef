//! Who presses the machine's keys and photographs its display: the scenario, by the emulator's monitor, each time when what it
//! waits for was said. The monitor's answers take the emulator's time, so that a thread of its own waits for them.
//!
//! What is seen in a picture is what the machine shows when the monitor gets to it, some time after the line. A machine whose display
//! is photographed stays there when it is switched off, with what it showed last, until all pictures are taken: so one of that is the
//! same in each run.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::console::Line;
use crate::devices::Files;
use crate::events::Source;
use crate::qemu::{Child, Monitor};
use crate::scenario::{Cue, Keys, Picture, Scenario};

/// What the monitor is told.
type Order = Box<dyn FnOnce(&mut Monitor) -> Option<()> + Send>;

/// Presses and photographs.
pub(super) struct Operator<'s> {
    keys: std::iter::Peekable<std::slice::Iter<'s, Keys>>,
    pictures: std::iter::Peekable<std::slice::Iter<'s, Picture>>,
    files: &'s Files,
    /// The emulator stays when the machine is off.
    stays: bool,
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// Is there anything to do for one?
pub(super) fn is_needed(scenario: &Scenario) -> bool {
    !scenario.keys.is_empty() || !scenario.pictures.is_empty()
}

/// Does its emulator wait for somebody when the machine is off?
pub(super) fn stays_when_off(scenario: &Scenario) -> bool {
    !scenario.pictures.is_empty()
}

impl<'s> Operator<'s> {
    /// Gets ready for the first line.
    pub(super) fn new(scenario: &'s Scenario, files: &'s Files, child: &Child) -> Self {
        for picture in &scenario.pictures {
            // One that an earlier run has left would pass for this run's.
            let _ = std::fs::remove_file(files.picture(&picture.name));
        }
        let (keys, pictures) = (scenario.keys.iter().peekable(), scenario.pictures.iter().peekable());
        let (orders, received) = channel();
        let monitor = child.operators_monitor();
        let thread = monitor.map(|place| std::thread::spawn(move || obey(received, || Monitor::connect(&place))));
        Self { keys, pictures, files, stays: stays_when_off(scenario), orders: Some(orders), thread }
    }

    /// A line was said.
    pub(super) fn hear(&mut self, line: &Line) {
        let Some(source) = &line.source else { return };
        if let Some(keys) = self.keys.next_if(|next| next.answers(source, &line.text)) {
            let keys = keys.send.clone();
            self.order(Box::new(move |monitor| keys.iter().try_for_each(|key| monitor.press(key))));
        }
        if let Some(picture) = self.pictures.next_if(|next| next.answers(source, &line.text)) {
            let path = self.files.picture(&picture.name);
            self.order(Box::new(move |monitor| monitor.photograph(&path)));
        }
        if self.stays && *source == Source::Hypervisor && line.text == "@end" {
            self.order(Box::new(Monitor::quit_when_off));
        }
    }

    /// Waits until all that was begun is done.
    pub(super) fn finish(&mut self) {
        self.orders = None;
        self.thread.take().map(JoinHandle::join);
    }

    fn order(&self, order: Order) {
        // A machine that has ended says so elsewhere.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }
}

fn obey(orders: Receiver<Order>, connect: impl Fn() -> Option<Monitor>) {
    let mut monitor = None;
    for order in orders {
        monitor = monitor.or_else(&connect);
        if monitor.as_mut().and_then(order).is_none() {
            // What is missing then is found afterwards, by who looks for it.
            monitor = None;
        }
    }
}
