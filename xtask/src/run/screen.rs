//! What a person sees while a machine runs: the consoles, one colour per speaker, and a bar of the frames that were
//! played, on standard error so that it never gets into a pipe.

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console::{Line, Paint};
use crate::events::{Event, Said, Source};
use crate::scenario::Scenario;

/// The consoles and the bar.
pub(crate) struct Screen {
    speakers: Vec<String>,
    chosen: Vec<String>,
    events: bool,
    paint: Paint,
    consoles: bool,
    bar: ProgressBar,
}

impl Screen {
    /// A screen for a scenario; `frames` is the length of the bar.
    pub(crate) fn new(scenario: &Scenario, frames: u64, paint: Paint, consoles: bool) -> Self {
        let bar = ProgressBar::new(frames);
        let style = ProgressStyle::with_template("{spinner} play [{bar:32}] {pos}/{len} frames {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        let speakers = scenario.guests.iter().map(|guest| guest.name.clone()).collect();
        Self { speakers, chosen: Vec::new(), events: false, paint, consoles, bar }
    }

    /// Limits the consoles to some speakers; none means all.
    ///
    /// # Errors
    /// If a name is no speaker of this scenario.
    pub(crate) fn choose(&mut self, chosen: &[String], events: bool) -> Result<()> {
        for name in chosen {
            if name != "hyp" && !self.speakers.contains(name) {
                bail!("no console `{name}`; there are hyp, {}", self.speakers.join(", "));
            }
        }
        self.chosen = chosen.to_vec();
        self.events = events;
        Ok(())
    }

    /// Leaves the bar away: somebody types.
    pub(crate) fn leave_out_bar(&mut self) {
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Shows one line.
    pub(crate) fn show(&mut self, line: &Line, said: Option<&Said>) {
        if let Some(frames) = frames_so_far(line, said) {
            self.bar.set_position(frames);
        } else {
            self.bar.tick();
        }
        let speaker = line.source.as_ref().map(ToString::to_string);
        let wanted = self.chosen.is_empty() || speaker.is_some_and(|name| self.chosen.contains(&name));
        if !self.consoles || !wanted || (said.is_some() && !self.events) {
            return;
        }
        let text = self.paint.line(line.source.as_ref(), &line.text, &self.speakers);
        self.bar.suspend(|| println!("{text}"));
    }

    /// Takes the bar away.
    pub(crate) fn close(&self) {
        self.bar.finish_and_clear();
    }
}

/// The player says once a second how far it is, `2 s: 120 frames, ...`; at the end it tells each frame.
fn frames_so_far(line: &Line, said: Option<&Said>) -> Option<u64> {
    match said.map(|said| &said.event) {
        Some(Event::Frame(frame)) => return Some(frame.n + 1),
        Some(_) => return None,
        None => {}
    }
    let Some(Source::Guest(_)) = line.source else { return None };
    let (before, _) = line.text.split_once(" frames, ")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::frames_so_far;
    use crate::console::Line;
    use crate::events::Source;

    #[test]
    fn progress_is_read_from_the_players_line() {
        let line = |text: &str| Line { source: Some(Source::Guest("player".into())), text: text.into() };
        assert_eq!(frames_so_far(&line(" 1 s: 60 frames, 0 late; 0 audio periods late"), None), Some(60));
        assert_eq!(frames_so_far(&line("player: 60 frames a second, audio of 48000 Hz"), None), None);
        assert_eq!(frames_so_far(&line("no frames, no sound"), None), None);
    }
}
