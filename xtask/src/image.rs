//! From an ELF file to what a loader takes: the flat arm64 Image, or for x86 the file itself, looked at. Done here and not by `objcopy`, so that a build needs
//! no binary utilities, and so that a wrong linker script is found now and not by a machine that stays silent.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use object::elf::{NoteType, SHF_ALLOC, SHT_NOBITS};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSection, SectionFlags};

/// Largest flat image we believe in, bytes. A section far away from the others would otherwise fill the disk.
const MOST: u64 = 64 << 20;

/// Offset of the header's magic number (Linux, Documentation/arch/arm64/booting.rst).
const MAGIC_AT: usize = 56;
const MAGIC: &[u8] = b"ARM\x64";

/// Writes `elf`'s loaded bytes to `image`, and the ELF file itself to `image_elf`.
///
/// # Errors
/// A file cannot be read or written, or the ELF file is not an arm64 Image.
pub(crate) fn write(elf: &Path, image: &Path, image_elf: &Path) -> Result<()> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let flat = flatten(&bytes).with_context(|| format!("{} gives no Image", elf.display()))?;
    if let Some(dir) = image.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::write(image, flat).with_context(|| format!("cannot write {}", image.display()))?;
    fs::write(image_elf, bytes).with_context(|| format!("cannot write {}", image_elf.display()))?;
    Ok(())
}

/// Writes the ELF file `elf` to `image`, for machines whose loaders take that.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn copy(elf: &Path, image: &Path) -> Result<()> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    if let Some(dir) = image.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::write(image, bytes).with_context(|| format!("cannot write {}", image.display()))
}

/// The same for a guest, whose entry point has to be found.
///
/// # Errors
/// The same, or it has none.
pub(crate) fn copy_pvh(elf: &Path, image: &Path) -> Result<()> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    check_note(&bytes).with_context(|| format!("{} cannot be started", elf.display()))?;
    copy(elf, image)
}

/// The bytes that a loader needs: of a 64-bit ELF file what is loaded, without symbols and what debuggers want; other files as
/// they are.
pub(crate) fn only_loaded(file: &[u8]) -> Vec<u8> {
    /// Offsets in the file's header of the section headers' place, and of their number and the one with names.
    const SECTIONS: std::ops::Range<usize> = 40..48;
    const NUMBERS: std::ops::Range<usize> = 60..64;
    let mut bytes = file.to_vec();
    let Ok(elf) = ElfFile64::<Endianness>::parse(file) else { return bytes };
    let ranges = elf.elf_program_headers().iter().map(|header| header.file_range(elf.endian()));
    let end = ranges.map(|(start, length)| start.saturating_add(length)).max().unwrap_or(0);
    bytes.truncate(usize::try_from(end).unwrap_or(usize::MAX));
    for part in [SECTIONS, NUMBERS] {
        if let Some(part) = bytes.get_mut(part) {
            part.fill(0);
        }
    }
    bytes
}

/// Whether there is a program header of notes with Xen's note of the 32-bit entry point, PVH's.
fn check_note(elf: &[u8]) -> Result<()> {
    const PHYS32_ENTRY: NoteType = NoteType(18);
    let file = ElfFile64::<Endianness>::parse(elf).context("this is no 64-bit ELF file")?;
    for header in file.elf_program_headers() {
        let Some(mut notes) = header.notes(file.endian(), elf)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == b"Xen" && note.n_type(file.endian()) == PHYS32_ENTRY {
                return Ok(());
            }
        }
    }
    bail!("it has no note of the 32-bit entry point: was it linked with its own linker script?")
}

/// Whether the section has bytes in the file that a loader puts into memory.
pub(crate) fn is_loaded(section: &object::Section<'_, '_>) -> bool {
    let SectionFlags::Elf { sh_flags, sh_type } = section.flags() else { return false };
    sh_flags.contains(SHF_ALLOC) && sh_type != SHT_NOBITS && section.size() > 0
}

/// The loaded sections at their distances from the first, the holes filled with zeros.
fn flatten(elf: &[u8]) -> Result<Vec<u8>> {
    let file = object::File::parse(elf).context("this is no ELF file")?;
    let loaded: Vec<_> = file.sections().filter(is_loaded).collect();
    let Some(base) = loaded.iter().map(ObjectSection::address).min() else { bail!("no section is loaded") };
    let end = loaded.iter().map(|s| s.address().saturating_add(s.size())).max().unwrap_or(base);
    ensure!(end - base <= MOST, "its sections lie {} MiB apart", (end - base) >> 20);
    let mut flat = vec![0; usize::try_from(end - base)?];
    for section in loaded {
        let at = usize::try_from(section.address() - base)?;
        let data = section.data().context("a section cannot be read")?;
        flat.get_mut(at..at + data.len()).context("a section passes the image's end")?.copy_from_slice(data);
    }
    ensure!(
        flat.get(MAGIC_AT..MAGIC_AT + MAGIC.len()) == Some(MAGIC),
        "the arm64 Image header is missing: was it linked with its own linker script?"
    );
    Ok(flat)
}

#[cfg(test)]
mod tests {
    use object::Object;

    use super::{check_note, flatten, only_loaded};

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(flatten(b"hello").unwrap_err().to_string().contains("no ELF"));
        assert!(check_note(b"hello").unwrap_err().to_string().contains("no 64-bit ELF"));
    }

    #[test]
    fn symbols_are_left_out_of_what_is_loaded() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let loaded = only_loaded(&own);
        assert!(loaded.len() < own.len());
        let file = object::File::parse(&loaded[..]).unwrap();
        assert_eq!((file.sections().count(), file.segments().count() > 1), (0, true));
        assert_eq!(only_loaded(b"no ELF file"), b"no ELF file");
    }

    #[test]
    fn a_program_without_the_entry_points_note_is_refused() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(check_note(&own).unwrap_err().to_string().contains("no note of the 32-bit entry point"));
    }
}
