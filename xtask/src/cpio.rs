//! The `newc` cpio archive, which Linux takes as an initial RAM disk and our guests read as one. Written by hand: the
//! format is a header of hexadecimal numbers, and every field that is not the size is a constant, which makes the
//! archive the same on every machine.

/// One file of an archive.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    name: &'a str,
    /// A link's target, where it is one.
    data: &'a [u8],
    /// Kind and permissions, as in `stat`.
    mode: u32,
    /// Major and minor number of a device.
    device: (u32, u32),
}

impl<'a> Entry<'a> {
    /// A file.
    pub(crate) fn file(name: &'a str, data: &'a [u8]) -> Self {
        Self { name, data, mode: 0o100_644, device: (0, 0) }
    }

    /// A file that can be run.
    pub(crate) fn program(name: &'a str, data: &'a [u8]) -> Self {
        Self { mode: 0o100_755, ..Self::file(name, data) }
    }

    /// A folder.
    pub(crate) fn folder(name: &'a str) -> Self {
        Self { mode: 0o40_755, ..Self::file(name, &[]) }
    }

    /// A symbolic link.
    pub(crate) fn link(name: &'a str, target: &'a [u8]) -> Self {
        Self { mode: 0o120_777, ..Self::file(name, target) }
    }

    /// A character device.
    pub(crate) fn device(name: &'a str, device: (u32, u32)) -> Self {
        Self { mode: 0o20_600, device, ..Self::file(name, &[]) }
    }
}

/// The archive of `entries`, in their order.
pub(crate) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        append(&mut out, index + 1, entry);
    }
    append(&mut out, 0, &Entry { mode: 0, ..Entry::file("TRAILER!!!", &[]) });
    out
}

/// One header, name and data; name and data end on a multiple of 4 bytes.
fn append(out: &mut Vec<u8>, inode: usize, entry: &Entry<'_>) {
    let name_bytes = entry.name.len() + 1;
    // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name bytes, checksum
    let (mode, (major, minor)) = (entry.mode as usize, entry.device);
    let (major, minor) = (major as usize, minor as usize);
    let fields = [inode, mode, 0, 0, 1, 0, entry.data.len(), 0, 0, major, minor, name_bytes, 0];
    out.extend(b"070701");
    for field in fields {
        out.extend(format!("{field:08x}").bytes());
    }
    out.extend(entry.name.bytes().chain([0]));
    pad(out);
    out.extend(entry.data);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::{Entry, archive};

    #[test]
    fn headers_names_and_data_are_aligned() {
        let bytes = archive(&[Entry::file("a", b"12345")]);
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[54..62], b"00000005", "the size field");
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..117], b"12345");
        assert_eq!(&bytes[120..126], b"070701", "the trailer's header");
        assert_eq!(bytes.len() % 4, 0);
    }
}
