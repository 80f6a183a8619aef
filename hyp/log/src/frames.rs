//! The log as `defmt` frames.
//!
//! `defmt` builds a frame by several calls: acquire, some writes, release. Each CPU gathers its frame in a buffer of
//! its own and with an encoder of its own, and only the complete frame enters the ring, so no lock is held while a
//! message is formatted and no CPU waits for another one's message. A frame that does not fit its buffer cannot be
//! cut, as a part of a frame means nothing: it counts as lost.

use heapless::Vec;

use crate::lock::Lock;
use crate::message::MESSAGE;
use crate::{CPUS, HOOKS, commit};

/// A CPU's frame in the making.
struct Frame {
    encoder: defmt::Encoder,
    bytes: Vec<u8, MESSAGE>,
    /// Acquisitions that are not released. Above 1 a formatter has logged in the middle of a message: what it says is
    /// dropped, as there is one buffer.
    depth: u32,
    /// A part did not fit.
    cut: bool,
}

/// By CPU. The locks are there for the compiler: each is taken by its own CPU only, for the time of one call.
static FRAMES: [Lock<Frame>; CPUS] = [const { Lock::new(Frame::new()) }; CPUS];

impl Frame {
    const fn new() -> Self {
        Self { encoder: defmt::Encoder::new(), bytes: Vec::new(), depth: 0, cut: false }
    }

    fn acquire(&mut self) {
        self.depth = self.depth.saturating_add(1);
        if self.depth > 1 {
            return;
        }
        self.bytes.clear();
        self.cut = false;
        // A new encoder starts with a zero byte and ends with one: exactly the delimiters that readers expect.
        self.encoder = defmt::Encoder::new();
        let (bytes, cut) = (&mut self.bytes, &mut self.cut);
        self.encoder.start_frame(|part| *cut |= bytes.extend_from_slice(part).is_err());
    }

    fn write(&mut self, data: &[u8]) {
        if self.depth == 1 {
            let (bytes, cut) = (&mut self.bytes, &mut self.cut);
            self.encoder.write(data, |part| *cut |= bytes.extend_from_slice(part).is_err());
        }
    }

    /// Commits the outermost frame.
    fn release(&mut self) {
        if self.depth == 1 {
            let (bytes, cut) = (&mut self.bytes, &mut self.cut);
            self.encoder.end_frame(|part| *cut |= bytes.extend_from_slice(part).is_err());
            commit((!self.cut).then_some(self.bytes.as_slice()));
        }
        self.depth = self.depth.saturating_sub(1);
    }
}

/// Runs on this CPU's frame. Never blocks: if the frame is in use, this CPU has failed in the middle of it and is on
/// its way down; what it logs by frames is dropped then.
fn with_frame(act: impl FnOnce(&mut Frame)) {
    let cpu = HOOKS.get().map_or(0, |hooks| (hooks.cpu)());
    if let Some(mut frame) = FRAMES.get(cpu).and_then(|frame| frame.try_lock()) {
        act(&mut frame);
    }
}

#[defmt::global_logger]
struct Logger;

// SAFETY: `acquire` is safe on every CPU at any time: an execution context is a CPU (the hypervisor takes no interrupts
// while it logs), each has its own frame behind its own lock, and a nested acquisition is counted and its data dropped.
// Data is encoded by `Encoder` before it leaves.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        with_frame(Frame::acquire);
    }

    unsafe fn flush() {
        // The ring drains by `pump`; nothing may wait for the UART here.
    }

    unsafe fn release() {
        with_frame(Frame::release);
    }

    unsafe fn write(bytes: &[u8]) {
        with_frame(|frame| frame.write(bytes));
    }
}

defmt::timestamp!("{=u64:us}", HOOKS.get().map_or(0, |hooks| (hooks.now_ns)() / 1000));
