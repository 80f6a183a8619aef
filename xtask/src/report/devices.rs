//! How late the player's pictures and its sound were where they are seen and heard: at the devices, by what the I/O domain noted
//! there.
//!
//! The player's times are those of its own counter, the I/O domain's those of the machine's; the player says by how much the one
//! is behind the other. A picture is due at the display when it is due at the player: before the next one's release. Each is one
//! update of the display, so the I/O domain's number of updates says which picture was there. One that was overwritten before all
//! of it was shown has no such number, and never reached the display. A card plays at its own pace, so sound is late when the card
//! has nothing to play and gets more later: a gap.

use serde::Serialize;

use crate::events::{Event, Frame};
use crate::scenario::Guest;

/// What reached the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AtDevices {
    /// Pictures that the display has shown.
    pub(crate) pictures_shown: u64,
    /// Those of them that it showed only after the next one's release.
    pub(crate) pictures_late: u64,
    /// The longest from a picture's release until it was shown, ns.
    pub(crate) picture_ns_max: u64,
    /// Periods that the card has played; none where there is no card.
    pub(crate) sound_played: Option<u64>,
    /// How often it had nothing to play in between.
    pub(crate) sound_gaps: Option<u64>,
}

/// What the player and the I/O domain said of it.
#[derive(Default)]
pub(super) struct Told {
    offset_ns: Option<u64>,
    /// Pictures and periods that were not given to the I/O domain.
    left_out: [u64; 2],
    forgotten: u64,
    /// Sound periods that were decoded before the first release.
    ahead: u64,
    /// Bytes of sound, bytes of a period, and gaps.
    played: Option<[u64; 3]>,
    /// Numbers of updates, and when the machine's counter was at what, ns.
    shown: Vec<(u64, u64)>,
}

impl Told {
    /// Takes an event, if it is about devices.
    pub(super) fn take(&mut self, event: &Event) {
        match *event {
            Event::Clock { offset_ns } => self.offset_ns = Some(offset_ns),
            Event::LeftOut { pictures, periods } => {
                self.left_out = [self.left_out[0] + pictures, self.left_out[1] + periods];
            }
            Event::Ahead { .. } => self.ahead += 1,
            Event::Played { bytes, period, gaps } => self.played = Some([bytes, period, gaps]),
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
            sound_played: self.played.map(|[bytes, period, _]| bytes / period.max(1)),
            sound_gaps: self.played.map(|[.., gaps]| gaps),
        })
    }

    /// What is not good of them, with these devices and so many periods of sound that were decoded in time.
    pub(super) fn failures(&self, player: &Guest, frames: &[Frame], periods: usize) -> Vec<String> {
        let (display, sound) = (player.display.is_some(), player.sound);
        let Some(at) = self.figures(frames) else {
            let silent = (display || sound).then(|| "the player does not say what its devices did".into());
            return silent.into_iter().collect();
        };
        let lacking = |whole: u64, there: u64| whole.saturating_sub(there);
        let pictures = [
            (self.left_out[0], "pictures were left out, because the display's back end had not taken those before"),
            (self.forgotten, "updates of the display are not in the I/O domain's memory, which was full"),
            (lacking(frames.len() as u64, at.pictures_shown), "pictures never reached the display"),
            (at.pictures_late, "pictures reached the display late"),
        ];
        let whole = periods as u64 + self.ahead;
        let periods = [
            (self.left_out[1], "sound periods were left out, because the card had no room"),
            (lacking(whole, at.sound_played.unwrap_or(0)), "sound periods were not played"),
            (at.sound_gaps.unwrap_or(0), "times the card had nothing to play between two periods"),
        ];
        let pictures = pictures.iter().filter(|_| display);
        let all = pictures.chain(periods.iter().filter(|_| sound));
        all.filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }
}

/// When a picture has to be there, on the player's counter: the next one's release.
fn deadline(frames: &[Frame], number: usize) -> Option<u64> {
    let due = |number: usize| frames.get(number).map(|frame| frame.due_ns);
    let last = || Some(due(number)? + (due(number)? - due(number.checked_sub(1)?)?));
    due(number + 1).or_else(last)
}

#[cfg(test)]
mod tests {
    use super::{AtDevices, Told};
    use crate::events::{Event, Frame};
    use crate::report::tests::scenario;

    const PLAYER: &str = "about = \"\"\nlimit_ns = 1\n[[guest]]\nname = \"iod\"\nprogram = \"iod\"\nmemory_mib = 64\n\
                          io_domain = true\n[[guest]]\nname = \"player\"\nprogram = \"player\"\nmemory_mib = 64\n\
                          sound = true\ndisplay = \"256x144\"\n";

    /// Three pictures, due at 100, 200 and 300 by the player's counter, which is behind by 1000.
    fn judged(shown: &[(u64, u64)], events: &[Event]) -> (AtDevices, String) {
        let frame = |n| Frame { n, due_ns: 100 * (n + 1), ready_ns: 0, late: false, dropped: false, crc: 0 };
        let frames = [0, 1, 2].map(frame);
        let mut told = Told::default();
        told.take(&Event::Clock { offset_ns: 1000 });
        shown.iter().for_each(|&(updates, ns)| told.take(&Event::Shown { updates, ns }));
        events.iter().for_each(|event| told.take(event));
        let player = &scenario(PLAYER).guests[1];
        (told.figures(&frames).unwrap(), told.failures(player, &frames, 4).join("; "))
    }

    const HEARD: Event = Event::Played { bytes: 40, period: 10, gaps: 0 };

    #[test]
    fn all_in_time_is_good() {
        let (at, failures) = judged(&[(1, 1150), (2, 1300), (3, 1400)], &[HEARD]);
        assert_eq!((at.pictures_shown, at.pictures_late, at.picture_ns_max), (3, 0, 100));
        assert_eq!((at.sound_played, at.sound_gaps, failures.as_str()), (Some(4), Some(0), ""));
    }

    #[test]
    fn what_is_late_or_lost_is_counted() {
        let (at, failures) = judged(&[(1, 1201), (3, 1401)], &[Event::Played { bytes: 30, period: 10, gaps: 2 }]);
        assert_eq!((at.pictures_shown, at.pictures_late, at.picture_ns_max), (2, 2, 101));
        assert_eq!(
            failures,
            "1 pictures never reached the display; 2 pictures reached the display late; 1 sound periods were not played; \
             2 times the card had nothing to play between two periods"
        );
        let lost = [
            HEARD,
            Event::LeftOut { pictures: 1, periods: 2 },
            Event::Forgotten { updates: 3 },
            Event::Ahead { crc: 1 },
        ];
        let (_, failures) = judged(&[(1, 1150), (2, 1300), (3, 1400)], &lost);
        assert!(failures.starts_with("1 pictures were left out"), "{failures}");
        assert!(failures.contains("3 updates of") && failures.contains("2 sound periods were left out"), "{failures}");
        assert!(failures.ends_with("1 sound periods were not played"), "{failures}");
    }

    #[test]
    fn a_player_that_says_nothing_of_its_devices_is_not_good() {
        let player = &scenario(PLAYER).guests[1];
        assert_eq!(Told::default().failures(player, &[], 0), ["the player does not say what its devices did"]);
    }
}
