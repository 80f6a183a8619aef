//! A picture of the display: read by ffmpeg, which is here for the media anyway.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

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
    judge(&pixels, [width, height], wanted)
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
    use super::judge;
    use crate::scenario::Seen;

    fn judged(at: Option<[u32; 2]>, colour: Option<&str>) -> String {
        let seen = Seen { name: "screen".into(), at, colour: colour.map(Into::into) };
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
        let seen = Seen { name: "screen".into(), at: None, colour: None };
        assert!(judge(&[1, 2, 3, 1, 2, 3], [2, 1], &seen).unwrap_err().to_string().contains("the same colour"));
    }
}
