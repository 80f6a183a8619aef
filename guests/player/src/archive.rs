//! The RAM disk: a cpio archive in the "newc" form, which every loader and Linux can make.

/// Bytes of a header: 6 of magic, then 13 fields of 8 hexadecimal digits.
const HEADER: usize = 110;
const FILE_SIZE: usize = 54;
const NAME_SIZE: usize = 94;

/// The contents of the file `name`. Damaged archives end early.
pub(crate) fn find<'a>(archive: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at: usize = 0;
    loop {
        let header = archive.get(at..at.checked_add(HEADER)?)?;
        if !header.starts_with(b"070701") {
            return None;
        }
        let name_start = at + HEADER;
        let name_end = name_start.checked_add(field(header, NAME_SIZE)?)?;
        let data_start = name_end.checked_next_multiple_of(4)?;
        let data_end = data_start.checked_add(field(header, FILE_SIZE)?)?;
        let found = archive.get(name_start..name_end)?.strip_suffix(&[0])?;
        if found == name.as_bytes() {
            return archive.get(data_start..data_end);
        }
        at = data_end.checked_next_multiple_of(4)?;
    }
}

fn field(header: &[u8], at: usize) -> Option<usize> {
    let digits = core::str::from_utf8(header.get(at..at + 8)?).ok()?;
    usize::from_str_radix(digits, 16).ok()
}
