//! Copying eight bytes at a time, for what unpacks kernels.

/// Bytes that are copied at once.
pub const WORD: usize = 8;

/// The word at an offset, if all of it is there.
#[inline(always)]
pub fn word(bytes: &[u8], at: usize) -> Option<[u8; WORD]> {
    bytes.get(at..at.wrapping_add(WORD))?.try_into().ok()
}

/// Writes a word at an offset, if there is room for all of it.
#[inline(always)]
pub fn set_word(bytes: &mut [u8], at: usize, word: [u8; WORD]) -> Option<()> {
    bytes.get_mut(at..at.wrapping_add(WORD))?.copy_from_slice(&word);
    Some(())
}
