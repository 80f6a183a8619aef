//! What a stock guest plays in tests: a sound whose every stretch differs from every other, so that a sample which is lost, comes
//! twice or at another place is seen, and that a person recognizes as a rising tone.

/// Samples a second and channel.
const RATE: u32 = 48_000;
/// Left and right.
const CHANNELS: u16 = 2;
/// Length.
const SECONDS: u32 = 2;
/// What the noise starts from.
const SEED: u32 = 0x6d61_6b75;

/// The samples of both channels in turns. None is 0, which silence is told by.
fn samples() -> Vec<i16> {
    let (mut noise, mut phase) = (SEED, 0u32);
    let mut samples = Vec::new();
    for number in 0..RATE * SECONDS {
        // A quarter of the scale; from 200 Hz up to 1,000 Hz. The phase goes round at 2^32.
        let hertz = 200 + number / (RATE * SECONDS / 800);
        phase = phase.wrapping_add(hertz * (u32::MAX / RATE));
        let triangle = (phase as i32 >> 16).abs() / 4 - 0x1000;
        for channel in 0..i32::from(CHANNELS) {
            // Marsaglia, "Xorshift RNGs", 2003.
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let sample = triangle / (channel + 1) + (noise >> 24) as i32;
            samples.push(i16::try_from(sample).ok().filter(|&sample| sample != 0).unwrap_or(1));
        }
    }
    samples
}

/// The same as a WAV file of 16-bit samples.
pub(super) fn wav() -> Vec<u8> {
    const BYTES: u16 = 2;
    let data: Vec<u8> = samples().into_iter().flat_map(i16::to_le_bytes).collect();
    let length = data.len() as u32;
    let frame = CHANNELS * BYTES;
    let mut file = Vec::from(*b"RIFF");
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    // Kind 1, samples as they are.
    for half in [1, CHANNELS] {
        file.extend(half.to_le_bytes());
    }
    for word in [RATE, RATE * u32::from(frame)] {
        file.extend(word.to_le_bytes());
    }
    for half in [frame, 8 * BYTES] {
        file.extend(half.to_le_bytes());
    }
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{RATE, samples, wav};

    #[test]
    fn no_stretch_comes_twice_and_nothing_is_silent() {
        let samples = samples();
        assert_eq!(samples.len(), 4 * RATE as usize);
        assert!(samples.iter().all(|&sample| sample != 0));
        let stretches: BTreeSet<&[i16]> = samples.windows(16).step_by(2).collect();
        assert_eq!(stretches.len(), samples.len() / 2 - 7, "eight frames tell the place");
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((0x0800..0x2000).contains(&loudest), "{loudest}");
    }

    #[test]
    fn the_file_says_how_long_it_is() {
        let file = wav();
        assert_eq!(&file[..4], b"RIFF");
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((word(4) + 8, word(40) + 44), (file.len(), file.len()));
    }
}
