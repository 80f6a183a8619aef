//! The `newc` cpio archive, which Linux takes as an initial RAM disk and our guests read as one. Written by hand: the
//! format is a header of hexadecimal numbers, and every field that is not the size is a constant, which makes the
//! archive the same on every machine.

/// One file of an archive.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) data: &'a [u8],
}

/// The archive of `entries`, in their order.
pub(crate) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        append(&mut out, index + 1, 0o100_644, entry);
    }
    append(&mut out, 0, 0, &Entry { name: "TRAILER!!!", data: &[] });
    out
}

/// One header, name and data; name and data end on a multiple of 4 bytes.
fn append(out: &mut Vec<u8>, inode: usize, mode: usize, entry: &Entry<'_>) {
    let name_bytes = entry.name.len() + 1;
    // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name bytes, checksum
    let fields = [inode, mode, 0, 0, 1, 0, entry.data.len(), 0, 0, 0, 0, name_bytes, 0];
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
        let bytes = archive(&[Entry { name: "a", data: b"12345" }]);
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[54..62], b"00000005", "the size field");
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..117], b"12345");
        assert_eq!(&bytes[120..126], b"070701", "the trailer's header");
        assert_eq!(bytes.len() % 4, 0);
    }
}
