//! A picture of the display: read by ffmpeg, which is here for the media anyway.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::clip::{self, Pixels};
use crate::process;
use crate::scenario::Seen;

/// Bytes of a pixel.
const PIXEL: usize = 3;

/// Says whether the picture shows what is wanted.
///
/// # Errors
/// What it shows instead.
pub(super) fn look(path: &Path, wanted: &Seen) -> Result<()> {
    ensure!(path.is_file(), "it was never taken");
    let file = std::fs::read(path)?;
    // The header's width and height (PNG, section 11.2.2).
    let number = |at: usize| file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let (Some(width), Some(height)) = (number(16), number(20)) else { anyhow::bail!("{} is no PNG", path.display()) };
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(path).args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
    let pixels = process::quiet(&mut ffmpeg)?.stdout;
    ensure!(pixels.len() == width as usize * height as usize * PIXEL, "{} is cut short", path.display());
    match wanted.clip {
        None => judge(&pixels, [width, height], wanted),
        Some(number) => resembles(&pixels, [width, height], &clip::picture(number)?),
    }
}

/// Most that a colour may differ from ffmpeg's, of 255: both round, at other places.
const TOLERANCE: u8 = 1;

/// Says whether the middle of the picture is one of the clip's, and black is around that.
fn resembles(pixels: &[u8], [width, height]: [u32; 2], clip: &Pixels) -> Result<()> {
    let (Some(left), Some(above)) = (width.checked_sub(clip.width), height.checked_sub(clip.height)) else {
        bail!("it has {width} by {height} pixels, the clip {} by {}", clip.width, clip.height)
    };
    let (left, above) = (left / 2, above / 2);
    for (at, seen) in (0..).zip(pixels.chunks(PIXEL)) {
        let (x, y) = (at % width, at / width);
        let wanted = x.checked_sub(left).zip(y.checked_sub(above)).and_then(|(x, y)| clip.at(x, y));
        let wanted = wanted.unwrap_or([0; PIXEL]);
        let differs = seen.iter().zip(wanted).any(|(one, other)| one.abs_diff(other) > TOLERANCE);
        ensure!(!differs, "at {x}, {y} is the colour {seen:02x?}, not {wanted:02x?}");
    }
    Ok(())
}

fn judge(pixels: &[u8], [width, height]: [u32; 2], wanted: &Seen) -> Result<()> {
    let all = pixels.chunks(PIXEL);
    let Some(colour) = wanted.rgb() else {
        let first = pixels.get(..PIXEL).unwrap_or_default();
        ensure!(all.clone().any(|pixel| pixel != first), "all of it has the same colour, {first:02x?}");
        return Ok(());
    };
    let Some([x, y]) = wanted.at else {
        ensure!(all.clone().any(|pixel| pixel == colour), "the colour {colour:02x?} is nowhere in it");
        return Ok(());
    };
    ensure!(x < width && y < height, "it has {width} by {height} pixels, and none at {x}, {y}");
    let at = (y as usize * width as usize + x as usize) * PIXEL;
    let seen = pixels.get(at..at + PIXEL).unwrap_or_default();
    ensure!(seen == colour, "at {x}, {y} is the colour {seen:02x?}, not {colour:02x?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{judge, resembles};
    use crate::clip::Pixels;
    use crate::scenario::Seen;

    fn judged(at: Option<[u32; 2]>, colour: Option<&str>) -> String {
        let seen = Seen { name: "screen".into(), at, colour: colour.map(Into::into), clip: None };
        let pixels = [[0, 0, 0], [0xff, 0, 0x10]].concat();
        judge(&pixels, [2, 1], &seen).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn a_colour_is_looked_for_at_its_place_or_anywhere() {
        assert_eq!(judged(None, None), "");
        assert_eq!(judged(None, Some("ff0010")), "");
        assert_eq!(judged(Some([1, 0]), Some("ff0010")), "");
        assert_eq!(judged(Some([0, 0]), Some("ff0010")), "at 0, 0 is the colour [00, 00, 00], not [ff, 00, 10]");
        assert_eq!(judged(Some([2, 0]), Some("ff0010")), "it has 2 by 1 pixels, and none at 2, 0");
        assert_eq!(judged(None, Some("00ff00")), "the colour [00, ff, 00] is nowhere in it");
        let seen = Seen { name: "screen".into(), at: None, colour: None, clip: None };
        assert!(judge(&[1, 2, 3, 1, 2, 3], [2, 1], &seen).unwrap_err().to_string().contains("the same colour"));
    }

    #[test]
    fn a_picture_of_the_clip_is_in_the_middle() {
        let clip = Pixels { width: 1, height: 1, bytes: vec![10, 20, 30] };
        let shown = |middle: [u8; 3], edge: u8| {
            let pixels = [[edge; 3], middle, [0; 3]].concat();
            resembles(&pixels, [3, 1], &clip).err().map_or_else(String::new, |error| error.to_string())
        };
        assert_eq!(shown([11, 19, 30], 0), "");
        assert_eq!(shown([12, 20, 30], 0), "at 1, 0 is the colour [0c, 14, 1e], not [0a, 14, 1e]");
        assert_eq!(shown([10, 20, 30], 9), "at 0, 0 is the colour [09, 09, 09], not [00, 00, 00]");
        assert!(resembles(&[], [0, 1], &clip).unwrap_err().to_string().contains("the clip 1 by 1"));
    }
}
