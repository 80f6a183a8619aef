//! How late the player's pictures were where they are seen: at the display, by what the I/O domain noted there.
//!
//! The player's times are those of its own counter, the I/O domain's those of the machine's; the player says by how much the one
//! is behind the other. A picture is due at the display when it is due at the player: before the next one's release. Each is one
//! update of the display, so the I/O domain's number of updates says which picture was there. One that was overwritten before all
//! of it was shown has no such number, and never reached the display.

use serde::Serialize;

use crate::events::{Event, Frame};

/// What reached the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AtDevices {
    /// Pictures that the display has shown.
    pub(crate) pictures_shown: u64,
    /// Those of them that it showed only after the next one's release.
    pub(crate) pictures_late: u64,
    /// The longest from a picture's release until it was shown, ns.
    pub(crate) picture_ns_max: u64,
}

/// What the player and the I/O domain said of it.
#[derive(Default)]
pub(super) struct Told {
    offset_ns: Option<u64>,
    left_out: u64,
    forgotten: u64,
    /// Numbers of updates, and when the machine's counter was at what, ns.
    shown: Vec<(u64, u64)>,
}

impl Told {
    /// Takes an event, if it is about devices.
    pub(super) fn take(&mut self, event: &Event) {
        match *event {
            Event::Clock { offset_ns } => self.offset_ns = Some(offset_ns),
            Event::LeftOut { pictures } => self.left_out += pictures,
            Event::Shown { updates, ns } => self.shown.push((updates, ns)),
            Event::Forgotten { updates } => self.forgotten += updates,
            _ => {}
        }
    }

    /// The figures; none where the player had no device.
    pub(super) fn figures(&self, frames: &[Frame]) -> Option<AtDevices> {
        let offset = self.offset_ns?;
        let times = frames.iter().enumerate().filter_map(|(number, frame)| {
            let (_, at) = self.shown.iter().find(|(updates, _)| *updates == frame.n + 1)?;
            Some((number, at.wrapping_sub(offset)))
        });
        let late = times.clone().filter(|(number, at)| deadline(frames, *number).is_none_or(|deadline| *at > deadline));
        let took = times.clone().filter_map(|(number, at)| Some(at.saturating_sub(frames.get(number)?.due_ns)));
        Some(AtDevices {
            pictures_shown: times.clone().count() as u64,
            pictures_late: late.count() as u64,
            picture_ns_max: took.max().unwrap_or_default(),
        })
    }

    /// What is not good of them.
    pub(super) fn failures(&self, frames: &[Frame]) -> Vec<String> {
        let Some(AtDevices { pictures_shown, pictures_late, .. }) = self.figures(frames) else { return Vec::new() };
        let missing = (frames.len() as u64).saturating_sub(pictures_shown);
        let counts = [
            (self.left_out, "pictures were left out, because the display's back end had not taken those before"),
            (self.forgotten, "updates of the display are not in the I/O domain's memory, which was full"),
            (missing, "pictures never reached the display"),
            (pictures_late, "pictures reached the display late"),
        ];
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }
}

/// When a picture has to be there, on the player's counter: the next one's release.
fn deadline(frames: &[Frame], number: usize) -> Option<u64> {
    let due = |number: usize| frames.get(number).map(|frame| frame.due_ns);
    let last = || Some(due(number)? + (due(number)? - due(number.checked_sub(1)?)?));
    due(number + 1).or_else(last)
}
