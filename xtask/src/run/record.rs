//! `cargo xtask run --record`: what came out of the machine's devices, for people: a WAV file of what the sound card got, and PNG
//! files of what the display showed, about once a second and at the end.
//!
//! A picture of a second is taken while the machine runs on, so it may be a few pictures later from run to run; the last one is the
//! same in each. Neither changes the machine's time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::session::Session;
use crate::after::sound;
use crate::board::Board;
use crate::scenario::{Picture, Program, Scenario};

/// The scenario that has neither sound nor a display, and the one that is the same with both.
const MEDIA: [&str; 2] = ["media", "record"];

/// Seconds of which there are pictures at most: those of the clip.
const SECONDS: u32 = 10;

/// What is run where this is asked for.
pub(super) fn variant(board: Board, name: &str) -> &str {
    let [without, with] = MEDIA;
    if board == Board::default() && name == without { with } else { name }
}

/// Has pictures taken.
///
/// # Errors
/// There is nothing to record.
pub(super) fn prepare(scenario: &mut Scenario) -> Result<()> {
    let display = scenario.guests.iter().any(|guest| guest.display.is_some());
    if !display && scenario.guests.iter().all(|guest| !guest.sound) {
        bail!(
            "--record: no guest of {} has a display or sound (`display = \"800x600\"`, `sound = true`), so that nothing comes out \
             of any device",
            scenario.path.display()
        );
    }
    let player = scenario.guests.iter().find(|guest| guest.program == Some(Program::Player) && guest.display.is_some());
    let Some(player) = player.map(|player| player.name.clone()) else { return Ok(()) };
    let picture = |after: String, name: String| Picture { after, from: Some(player.clone()), name };
    // What the player says each second, and first of all when it is done.
    let seconds = (1..=SECONDS).map(|second| picture(format!("{second:2} s: "), format!("second-{second:02}")));
    scenario.pictures.extend(seconds.chain([picture("@clock ".into(), "last".into())]));
    Ok(())
}

/// Puts what there is where the reports are.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn leave(session: &Session, scenario: &Scenario, folder: &Path) -> Result<Vec<PathBuf>> {
    let name = scenario.name();
    let mut left = Vec::new();
    if scenario.guests.iter().any(|guest| guest.sound) {
        let (from, to) = (session.files.sound(), folder.join(format!("{name}.wav")));
        let file = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let whole = sound::finished(&file).with_context(|| from.display().to_string())?;
        fs::write(&to, whole).with_context(|| format!("cannot write {}", to.display()))?;
        left.push(to);
    }
    for picture in &scenario.pictures {
        let (from, to) = (session.files.picture(&picture.name), folder.join(format!("{name}-{}.png", picture.name)));
        // One of an earlier run must not pass for this one's.
        let _ = fs::remove_file(&to);
        if from.is_file() {
            fs::copy(&from, &to).with_context(|| format!("cannot write {}", to.display()))?;
            left.push(to);
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::{prepare, variant};
    use crate::board::Board;
    use crate::scenario::single;

    #[test]
    fn media_is_recorded_with_devices() {
        let (arm, x86) = (Board::QemuVirt, Board::X86);
        assert_eq!([variant(arm, "media"), variant(arm, "linux"), variant(x86, "media")], ["record", "linux", "media"]);
        let mut record = single(&arm.scenarios(), "record").unwrap();
        prepare(&mut record).unwrap();
        assert_eq!(record.pictures.len(), 11);
        let error = prepare(&mut single(&arm.scenarios(), "media").unwrap()).unwrap_err().to_string();
        assert!(error.contains("media.toml has a display or sound"), "{error}");
    }
}
