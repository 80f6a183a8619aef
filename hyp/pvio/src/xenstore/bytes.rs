//! Values as bytes and back: what a server writes down for its next life. Only that reads it, on the same machine, so
//! numbers are as the processor has them.

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes that grow.
#[derive(Default)]
pub(super) struct Encoder(pub(super) Vec<u8>);

impl Encoder {
    pub(super) fn number<T: IntoBytes + Immutable>(&mut self, number: T) {
        self.0.extend_from_slice(number.as_bytes());
    }

    /// How many follow, and they.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }
}

/// What is left of bytes.
pub(super) struct Decoder<'a>(pub(super) &'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn number<T: FromBytes>(&mut self) -> Option<T> {
        let (number, rest) = T::read_from_prefix(self.0).ok()?;
        self.0 = rest;
        Some(number)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number::<u32>()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    /// So many as a number says that follows, each read by `one`; none are made room for before they are there.
    pub(super) fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number::<u32>()?;
        (0..count).map(|_| one(self)).collect()
    }
}
