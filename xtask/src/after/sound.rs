//! Sound that was played, against the file that it came from. The emulator's file begins and ends with silence of any length,
//! and has a header that is not finished where the emulator was stopped; the frames in between must be the same, bit for bit.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Bytes of a frame: two channels of 16 bits.
const FRAME: usize = 4;
/// Bytes of 10 ms.
const PERIOD: usize = 480 * FRAME;
/// What the emulator writes: PCM, 2 channels, 48,000 frames a second of 4 bytes, samples of 16 bits.
const FORM: [u8; 16] = [1, 0, 2, 0, 0x80, 0xbb, 0, 0, 0, 0xee, 2, 0, 4, 0, 16, 0];

/// Says whether `played` is `source` but for silence around it and `missing` frames at the end.
///
/// # Errors
/// Where they differ.
pub(super) fn compare(played: &Path, source: &Path, missing: u64) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (played_file, source_file) = (read(played)?, read(source)?);
    let played = frames(&played_file).with_context(|| played.display().to_string())?;
    let source = frames(&source_file).with_context(|| source.display().to_string())?;
    let (played, source) = (loud(played), loud(source));
    ensure!(!source.is_empty(), "the file is silent, which would show nothing");
    ensure!(!played.is_empty(), "nothing but silence was played");
    let pairs = played.chunks(FRAME).zip(source.chunks(FRAME));
    if let Some(at) = pairs.clone().position(|(one, other)| one != other) {
        let [one, other] = [played, source].map(|sound| &sound[at * FRAME..][..FRAME]);
        bail!("frame {at} of what was played is {one:02x?}, not {other:02x?}");
    }
    let (played, source) = ((played.len() / FRAME) as u64, (source.len() / FRAME) as u64);
    ensure!(played <= source, "{} frames were played after its {source}", played - source);
    ensure!(source - played <= missing, "{} of its {source} frames were not played", source - played);
    Ok(())
}

/// Says whether `played` is the periods with these checksums (CRC-32), one behind the other, but for silence around them. Those at the
/// begin and at the end that are silent cannot be told from that.
///
/// # Errors
/// Which is not there.
pub(super) fn decoded(played: &Path, checksums: &[u32]) -> Result<()> {
    let file = fs::read(played).with_context(|| format!("cannot read {}", played.display()))?;
    let frames = frames(&file).with_context(|| played.display().to_string())?;
    let silence = checksum(&[0; PERIOD]);
    let is_loud = |crc: &u32| *crc != silence;
    let first =
        checksums.iter().position(is_loud).context("all that was decoded is silent, which would show nothing")?;
    let last = checksums.iter().rposition(is_loud).unwrap_or(first);
    let loud = &checksums[first..=last];
    let at = |begin: usize, number: usize| frames.get(begin + number * PERIOD..)?.get(..PERIOD).map(checksum);
    let begin = (0..frames.len()).step_by(FRAME).find(|begin| at(*begin, 0) == Some(loud[0]));
    let begin = begin.with_context(|| format!("period {first}, the first that is not silent, was not played"))?;
    let wrong = loud.iter().enumerate().find(|(number, crc)| at(begin, *number) != Some(**crc));
    if let Some((number, _)) = wrong {
        bail!("period {} of {} is not what was played behind the one before", first + number, checksums.len());
    }
    let is_silent = |part: Option<&[u8]>| part.unwrap_or_default().iter().all(|byte| *byte == 0);
    ensure!(is_silent(frames.get(..begin)), "something else was played before");
    ensure!(is_silent(frames.get(begin + loud.len() * PERIOD..)), "something else was played afterwards");
    Ok(())
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A file of the emulator's with a header that is finished, so that any program plays it.
///
/// # Errors
/// It is none.
pub(crate) fn finished(file: &[u8]) -> Result<Vec<u8>> {
    let frames = frames(file)?;
    let size = u32::try_from(frames.len()).context("it has 4 GiB of sound or more")?;
    let head = [b"RIFF".as_slice(), &(size + 36).to_le_bytes(), b"WAVEfmt ", &16_u32.to_le_bytes(), &FORM, b"data"];
    Ok([head.concat().as_slice(), &size.to_le_bytes(), frames].concat())
}

/// The frames of a file.
fn frames(file: &[u8]) -> Result<&[u8]> {
    let Some(mut rest) = file.strip_prefix(b"RIFF").and_then(|rest| rest.get(4..)?.strip_prefix(b"WAVE")) else {
        bail!("it is no WAV file")
    };
    let mut form = None;
    while let Some((head, body)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, size @ ..] = *head;
        let size = u32::from_le_bytes(size) as usize;
        match &[a, b, c, d] {
            b"data" => {
                ensure!(
                    form == Some(FORM.as_slice()),
                    "it is not of 48,000 frames a second with two samples of 16 bits"
                );
                // The size is 0 until the emulator ends by itself.
                let size = if size == 0 { body.len() } else { size.min(body.len()) };
                return Ok(&body[..size / FRAME * FRAME]);
            }
            b"fmt " => form = body.get(..FORM.len()),
            _ => {}
        }
        rest = body.get(size.next_multiple_of(2)..).unwrap_or_default();
    }
    bail!("it has no sound in it")
}

/// The frames without silence around them.
fn loud(frames: &[u8]) -> &[u8] {
    let is_loud = |frame: &[u8]| frame.iter().any(|&byte| byte != 0);
    let first = frames.chunks(FRAME).position(is_loud).unwrap_or(frames.len() / FRAME);
    let last = frames.chunks(FRAME).rposition(is_loud).map_or(first, |last| last + 1);
    &frames[first * FRAME..last * FRAME]
}

#[cfg(test)]
mod tests {
    use super::{FORM, compare};

    fn wav(frames: &[u32], finished: bool) -> Vec<u8> {
        let size = if finished { frames.len() as u32 * 4 } else { 0 };
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        file.extend(FORM);
        file.extend(b"data");
        file.extend(size.to_le_bytes());
        file.extend(frames.iter().flat_map(|frame| frame.to_le_bytes()));
        file
    }

    fn compared(played: &[u32], source: &[u32], missing: u64) -> String {
        let name = |kind: &str| {
            let id = std::thread::current().id();
            std::env::temp_dir().join(format!("sound-{}-{id:?}-{kind}.wav", std::process::id()))
        };
        let [one, other] = [name("played"), name("source")];
        std::fs::write(&one, wav(played, false)).unwrap();
        std::fs::write(&other, wav(source, true)).unwrap();
        let result = compare(&one, &other, missing);
        for path in [one, other] {
            std::fs::remove_file(path).unwrap();
        }
        result.err().map_or_else(String::new, |error| format!("{error:#}"))
    }

    #[test]
    fn silence_around_and_a_short_end_are_no_difference() {
        assert_eq!(compared(&[0, 0, 1, 2, 0, 3, 0], &[1, 2, 0, 3, 4], 1), "");
        assert_eq!(compared(&[1, 2], &[0, 1, 2], 0), "");
    }

    #[test]
    fn a_difference_is_named() {
        assert!(
            compared(&[1, 9, 3], &[1, 2, 3], 9).starts_with("frame 1 of what was played is [09, 00, 00, 00], not [02")
        );
        assert_eq!(compared(&[1, 2], &[1, 2, 3], 0), "1 of its 3 frames were not played");
        assert_eq!(compared(&[1, 2, 3], &[1, 2], 0), "1 frames were played after its 2");
        assert_eq!(compared(&[0, 0], &[1], 9), "nothing but silence was played");
        assert_eq!(compared(&[1], &[0], 9), "the file is silent, which would show nothing");
    }

    /// What is wrong with these frames of sound, of which three periods with another sample each were decoded.
    fn judged(played: &[u32]) -> String {
        let periods = [0, 7, 8].map(|sample: u32| [sample; 480].map(u32::to_le_bytes).concat());
        let path = std::env::temp_dir().join(format!("decoded-{}-{}.wav", std::process::id(), played.len()));
        std::fs::write(&path, wav(played, false)).unwrap();
        let result = super::decoded(&path, &periods.map(|period| super::checksum(&period)));
        std::fs::remove_file(path).unwrap();
        result.err().map_or_else(String::new, |error| format!("{error:#}"))
    }

    #[test]
    fn decoded_periods_are_found_behind_each_other() {
        let played = |parts: &[(u32, usize)]| -> Vec<u32> {
            parts.iter().flat_map(|&(sample, count)| std::iter::repeat_n(sample, count)).collect()
        };
        assert_eq!(judged(&played(&[(0, 77), (7, 480), (8, 480), (0, 5)])), "");
        assert!(judged(&played(&[(7, 480), (0, 1), (8, 480)])).starts_with("period 2 of 3 is not what"));
        assert!(judged(&played(&[(7, 480), (8, 479)])).starts_with("period 2 of 3 is not what"));
        assert_eq!(judged(&played(&[(7, 480), (8, 481)])), "something else was played afterwards");
        assert_eq!(judged(&played(&[(9, 1), (7, 480), (8, 480)])), "something else was played before");
        assert!(judged(&played(&[(8, 480)])).starts_with("period 1, the first that is not silent"));
    }

    #[test]
    fn a_finished_file_has_its_size() {
        let whole = super::finished(&wav(&[1, 2], false)).unwrap();
        assert_eq!(super::frames(&whole).unwrap(), [1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!((&whole[4..8], &whole[40..44]), (&[44, 0, 0, 0][..], &[8, 0, 0, 0][..]));
    }

    #[test]
    fn what_is_no_such_file_is_named() {
        let error = super::frames(b"RIFFxxxxWAVE").unwrap_err().to_string();
        assert_eq!(error, "it has no sound in it");
        let mut mono = wav(&[1], true);
        mono[22] = 1;
        assert!(super::frames(&mono).unwrap_err().to_string().contains("two samples"));
        assert_eq!(super::frames(b"no").unwrap_err().to_string(), "it is no WAV file");
    }
}
