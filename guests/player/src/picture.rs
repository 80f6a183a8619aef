//! Pictures as displays want them: 32 bits a pixel, of brightness and colour differences (ITU-R BT.601, 16 to 235), by integers.
//!
//! Four pixels share their colour differences, and each gets them as they are: what lies between is not made up. 8 bits of
//! fraction are less than a step of any colour away from the standard's real numbers.

/// Bytes of a pixel: blue, green, red, and one that is not shown.
pub(crate) const PIXEL: usize = 4;

/// A line of a picture: its brightness, and the colour differences of each two pixels of it.
pub(crate) struct Line<'a> {
    pub(crate) brightness: &'a [u8],
    pub(crate) blue: &'a [u8],
    pub(crate) red: &'a [u8],
}

impl Line<'_> {
    /// Writes the pixels; what has no room is left out.
    pub(crate) fn convert(&self, into: &mut [u8]) {
        let colours = self.blue.iter().zip(self.red);
        let pairs = self.brightness.chunks(2).zip(into.chunks_mut(2 * PIXEL));
        for ((pair, pixels), (&blue, &red)) in pairs.zip(colours) {
            let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
            let differences = [516 * blue, -100 * blue - 208 * red, 409 * red];
            for (&brightness, pixel) in pair.iter().zip(pixels.chunks_exact_mut(PIXEL)) {
                let grey = 298 * (i32::from(brightness) - 16) + 128;
                for (byte, difference) in pixel.iter_mut().zip(differences) {
                    *byte = ((grey + difference) >> 8).clamp(0, 255) as u8;
                }
            }
        }
    }
}
