//! The media that the player guest plays: made by ffmpeg at build time, so that no clip with a licence of its own lies
//! in the repository, and so that ffmpeg's decode of the same bytes says what each picture must be.
//!
//! Everything is fixed (one thread, one GOP pattern, bit-exact flags): the same ffmpeg gives the same bytes. A clip is
//! made again when the commands or the version of ffmpeg changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cpio::{Entry, archive};
use crate::{paths, process};

/// What the clip is. The picture's size is chosen so that the player needs about a third of the emulated CPU.
struct Parameters {
    width: u32,
    height: u32,
    /// Pictures a second.
    rate: u32,
    /// Length of the video, seconds.
    seconds: u32,
    profile: &'static str,
    b_frames: u32,
    /// Pictures from one key picture to the next.
    key_distance: u32,
    video_kbit: u32,
    audio_kbit: u32,
    /// Sound runs on this much longer than the picture, so that the decoder's delay never ends it early, seconds.
    audio_tail: u32,
}

const CLIP: Parameters = Parameters {
    width: 256,
    height: 144,
    rate: 60,
    seconds: 10,
    profile: "high",
    b_frames: 2,
    key_distance: 60,
    video_kbit: 600,
    audio_kbit: 128,
    audio_tail: 1,
};

/// The finished clip.
#[derive(Clone, Debug)]
pub(crate) struct Clip {
    /// A newc archive of `video.h264` and `audio.mp3`: the player's RAM disk.
    pub(crate) archive: PathBuf,
    /// The same of its first second, for a machine that takes no more.
    pub(crate) start: PathBuf,
    /// CRC-32 of each picture's planes (Y, U, V without padding) in order of display, from ffmpeg's own decode.
    pub(crate) picture_crcs: Vec<u32>,
}

/// Makes the clip if it is not there.
///
/// # Errors
/// ffmpeg is missing or fails, or a file cannot be written.
pub(crate) fn ensure_made() -> Result<Clip> {
    let dir = paths::media();
    let [archive, start] = ["clip.cpio", "clip-start.cpio"].map(|name| dir.join(name));
    let (crcs, stamp) = (dir.join("clip.crc32"), dir.join("clip.stamp"));
    let recipe = recipe(&dir)?;
    let is_there = [&archive, &start, &crcs].into_iter().all(|path| path.is_file());
    if !(fs::read_to_string(&stamp).is_ok_and(|old| old == recipe) && is_there) {
        make(&dir, [&archive, &start], &crcs)?;
        fs::write(&stamp, &recipe).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    let text = fs::read_to_string(&crcs).with_context(|| format!("cannot read {}", crcs.display()))?;
    Ok(Clip {
        archive,
        start,
        picture_crcs: text.lines().map(|line| u32::from_str_radix(line, 16)).collect::<Result<_, _>>()?,
    })
}

/// A picture as it is seen: red, green and blue of each pixel.
#[derive(Clone, Debug)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Pixels {
    /// The colour at a place, if there is one.
    pub(crate) fn at(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        let at = (y * self.width + x) as usize * 3;
        self.bytes.get(at..at + 3).filter(|_| x < self.width)?.try_into().ok()
    }
}

/// The clip's picture of this number, from 0, as ffmpeg decodes and converts it, with nothing between two colours that are stored.
///
/// # Errors
/// There is none, or ffmpeg fails.
pub(crate) fn picture(number: u32) -> Result<Pixels> {
    let mut command = ffmpeg();
    command.arg("-i").arg(paths::media().join("video.h264"));
    command.args(["-vf", &format!("select=eq(n\\,{number})"), "-frames:v", "1"]);
    command.args(["-sws_flags", "neighbor+accurate_rnd+full_chroma_int", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
    let (Parameters { width, height, .. }, bytes) = (CLIP, process::quiet(&mut command)?.stdout);
    ensure!(bytes.len() == (width * height) as usize * 3, "the clip has no picture {number}");
    Ok(Pixels { width, height, bytes })
}

fn make(dir: &Path, archive_paths: [&Path; 2], crcs_path: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    process::quiet(&mut video(dir, &CLIP))?;
    process::quiet(&mut audio(dir, &CLIP))?;
    let hashes = process::quiet(&mut hashes(dir))?;
    let crcs = parse_hashes(&String::from_utf8_lossy(&hashes.stdout))?;
    let frames = (CLIP.rate * CLIP.seconds) as usize;
    ensure!(crcs.len() == frames, "ffmpeg decoded {} of the clip's {frames} pictures", crcs.len());
    let read = |name| fs::read(dir.join(name)).with_context(|| format!("cannot read {}", dir.join(name).display()));
    let (video, audio) = (read("video.h264")?, read("audio.mp3")?);
    let short = (start_of_video(&video)?, &audio[..audio.len() / frames * CLIP.key_distance as usize]);
    for (path, (video, audio)) in archive_paths.into_iter().zip([(&video[..], &audio[..]), short]) {
        let packed = archive(&[Entry::file("video.h264", video), Entry::file("audio.mp3", audio)]);
        fs::write(path, packed).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let lines: String = crcs.iter().map(|crc| format!("{crc:08x}\n")).collect();
    fs::write(crcs_path, lines).with_context(|| format!("cannot write {}", crcs_path.display()))
}

/// An Annex-B stream up to its second sequence, which begins with a sequence parameter set (type 7).
fn start_of_video(video: &[u8]) -> Result<&[u8]> {
    const BEGINS: [u8; 3] = [0, 0, 1];
    let mut sets = video.windows(4).enumerate().filter(|(_, bytes)| bytes.starts_with(&BEGINS) && bytes[3] & 0x1f == 7);
    let (second, _) = sets.nth(1).context("the video has one sequence only")?;
    Ok(&video[..second])
}

/// What determines the clip's bytes.
fn recipe(dir: &Path) -> Result<String> {
    let version = process::quiet(Command::new("ffmpeg").arg("-version"))?;
    let version = String::from_utf8_lossy(&version.stdout);
    let commands = [video(dir, &CLIP), audio(dir, &CLIP), hashes(dir)].map(|command| process::shown(&command));
    Ok(format!("{}\n{}\n", version.lines().next().unwrap_or_default(), commands.join("\n")))
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]);
    command
}

/// Annex-B H.264 of the moving test picture. The encoder's banner (an SEI message, type 6) is left out.
fn video(dir: &Path, p: &Parameters) -> Command {
    let source = format!("testsrc2=size={}x{}:rate={}:duration={}", p.width, p.height, p.rate, p.seconds);
    let x264 = format!("threads=1:keyint={0}:min-keyint={0}:scenecut=0:bframes={1}", p.key_distance, p.b_frames);
    let mut command = ffmpeg();
    command.args(["-f", "lavfi", "-i", &source, "-c:v", "libx264", "-preset", "medium", "-profile:v", p.profile]);
    command.args(["-pix_fmt", "yuv420p", "-b:v", &format!("{}k", p.video_kbit), "-x264-params", &x264]);
    command.args(["-threads", "1", "-flags", "+bitexact", "-fflags", "+bitexact"]);
    command.args(["-bsf:v", "filter_units=remove_types=6", "-f", "h264"]).arg(dir.join("video.h264"));
    command
}

/// A stereo sweep from 100 Hz to 8 kHz, up on the left while it goes down on the right, at 48 kHz.
fn audio(dir: &Path, p: &Parameters) -> Command {
    let seconds = p.seconds + p.audio_tail;
    let slope = 7900.0 / (2.0 * f64::from(seconds));
    let source = format!(
        "aevalsrc=exprs=0.3*sin(2*PI*(100*t+{slope}*t*t))|0.3*sin(2*PI*(8000*t-{slope}*t*t)):s=48000:d={seconds}"
    );
    let mut command = ffmpeg();
    command.args(["-f", "lavfi", "-i", &source, "-ac", "2", "-ar", "48000", "-c:a", "libmp3lame"]);
    command.args(["-b:a", &format!("{}k", p.audio_kbit), "-threads", "1", "-flags", "+bitexact"]);
    command.args(["-fflags", "+bitexact", "-write_xing", "0", "-id3v2_version", "0", "-f", "mp3"]);
    command.arg(dir.join("audio.mp3"));
    command
}

/// ffmpeg's own decode, one CRC-32 a picture on standard output.
fn hashes(dir: &Path) -> Command {
    let mut command = ffmpeg();
    command.args(["-threads", "1", "-flags", "+bitexact", "-i"]).arg(dir.join("video.h264"));
    command.args(["-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "framehash", "-hash", "crc32", "-"]);
    command
}

/// The last column of ffmpeg's `framehash` output.
fn parse_hashes(text: &str) -> Result<Vec<u32>> {
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    rows.map(|row| {
        let crc = row.rsplit(',').next().unwrap_or_default().trim();
        u32::from_str_radix(crc, 16).with_context(|| format!("ffmpeg's frame hash is not understood: {row}"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{parse_hashes, start_of_video};

    #[test]
    fn frame_hashes_are_the_last_column() {
        let text = "#format: frame checksums\n#hash: crc32\n0,          0,          0,        1,    55296, 0a1b2c3d\n";
        assert_eq!(parse_hashes(text).unwrap(), [0x0a1b_2c3d]);
    }

    #[test]
    fn the_start_ends_where_the_second_sequence_begins() {
        let stream = [0, 0, 0, 1, 0x67, 9, 0, 0, 1, 0x65, 8, 0, 0, 0, 1, 0x67, 9, 0, 0, 1, 0x65];
        assert_eq!(start_of_video(&stream).unwrap(), &stream[..12]);
        assert!(start_of_video(&stream[..12]).is_err());
    }

    #[test]
    fn a_row_that_is_not_understood_is_shown() {
        assert!(parse_hashes("0, 0, oops").unwrap_err().to_string().contains("oops"));
    }
}
