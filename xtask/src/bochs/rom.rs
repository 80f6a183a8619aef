//! The two ROMs: the system's, which is Bochs's own BIOS with our files in what it leaves free, and an expansion ROM that
//! copies the files to where they belong and starts the hypervisor as a multiboot loader would. Files in a ROM, because
//! Bochs puts no file into RAM that is longer than a block of its memory, 128 KiB. Modules that are too large for that, as a
//! Linux is, are on a disk.

use anyhow::{Result, ensure};

use super::memory::Memory;

/// Where the expansion ROM is.
pub(super) const ADDRESS: u32 = 0xd_0000;
/// Most that a system ROM can have; it ends at 4 GiB.
const MOST: usize = 2 << 20;
/// What a multiboot loader leaves in EAX.
const MAGIC: u32 = 0x2bad_b002;

/// Sectors that are read by one command, the most there are, and bytes of them.
const SECTORS: usize = 256;
const READ: usize = SECTORS * 512;

/// What the machine finds its files in.
pub(super) struct Media {
    /// The system's ROM.
    pub(super) system: Vec<u8>,
    /// The expansion ROM.
    pub(super) expansion: Vec<u8>,
    /// A disk with what the system's ROM has no room for; empty if there is nothing.
    pub(super) disk: Vec<u8>,
}

/// Puts the files into ROMs, and the piece that does not fit there on a disk.
///
/// # Errors
/// More than one piece does not fit.
pub(super) fn media(memory: &Memory, bios: &[u8]) -> Result<Media> {
    let room = MOST.saturating_sub(bios.len());
    let (mut system, mut disk) = (Vec::new(), Vec::new());
    let (mut copies, mut read) = (Vec::new(), None);
    for (address, bytes) in &memory.pieces {
        if system.len() + bytes.len() > room {
            ensure!(disk.is_empty(), "more than one piece does not fit into {room} bytes of ROM");
            disk.extend(bytes);
            disk.resize(disk.len().next_multiple_of(READ), 0);
            read = Some([*address, (disk.len() / READ) as u32]);
            continue;
        }
        let from = (0u32.wrapping_sub(MOST as u32)) + system.len() as u32;
        copies.push([from, *address, bytes.len().div_ceil(4) as u32]);
        system.extend(bytes);
        system.resize(system.len().next_multiple_of(4), 0);
    }
    system.resize(room, 0);
    system.extend(bios);
    Ok(Media { system, expansion: expansion(&copies, read, memory.information, memory.entry), disk })
}

/// Header, 16-bit code, 32-bit code, descriptor table. The BIOS calls offset 3 in real mode.
fn expansion(copies: &[[u32; 3]], read: Option<[u32; 2]>, information: u32, entry: u32) -> Vec<u8> {
    const BLOCK: usize = 512;
    /// Offsets of the 32-bit code and of the table's pointer, which the code below names.
    const PROTECTED: usize = 0x21;
    const TABLE: usize = 0x1e0;
    const POINTER: usize = TABLE + 24;
    let word = |number: usize| (number as u16).to_le_bytes();
    let long = |number: u32| number.to_le_bytes();
    let mut code = vec![0x55, 0xaa, 1];
    code.extend([0xfa]); // cli
    code.extend([0xe4, 0x92, 0x0c, 0x02, 0xe6, 0x92]); // in al, 0x92; or al, 2; out 0x92, al: address line 20
    code.extend([0x2e, 0x66, 0x0f, 0x01, 0x16]); // lgdt cs:[POINTER]
    code.extend(word(POINTER));
    code.extend([0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0]); // cr0.PE = 1
    code.extend([0x66, 0xea]); // jmp 8:PROTECTED
    code.extend(long(ADDRESS + PROTECTED as u32));
    code.extend(word(8));
    debug_assert_eq!(code.len(), PROTECTED);
    code.extend([0xb8, 0x10, 0, 0, 0]); // mov eax, 16
    code.extend([0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xfc]); // mov ds, es, ss, ax; cld
    for [from, to, longs] in copies {
        code.push(0xbe); // mov esi, from
        code.extend(long(*from));
        code.push(0xbf); // mov edi, to
        code.extend(long(*to));
        code.push(0xb9); // mov ecx, longs
        code.extend(long(*longs));
        code.extend([0xf3, 0xa5]); // rep movsd
    }
    if let Some([to, commands]) = read {
        code.extend(read_disk(to, commands));
    }
    code.push(0xb8); // mov eax, MAGIC
    code.extend(long(MAGIC));
    code.push(0xbb); // mov ebx, information
    code.extend(long(information));
    code.push(0xb9); // mov ecx, entry
    code.extend(long(entry));
    code.extend([0xff, 0xe1]); // jmp ecx
    debug_assert!(code.len() <= TABLE);
    code.resize(TABLE, 0);
    // Nothing, flat 32-bit code, flat data.
    code.extend([0u64, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff].into_iter().flat_map(u64::to_le_bytes));
    code.extend(word(23));
    code.extend(long(ADDRESS + TABLE as u32));
    code.resize(BLOCK, 0);
    // All bytes together are 0, or the BIOS takes no notice.
    let sum = code.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    code[BLOCK - 1] = 0u8.wrapping_sub(sum);
    code
}

/// 32-bit code that reads the beginning of the first disk by the data port.
///
/// Source: ATA/ATAPI-6, READ SECTOR(S) (8.34) and the registers (7).
fn read_disk(to: u32, commands: u32) -> Vec<u8> {
    let mut code = vec![0xba, 0xf6, 0x03, 0, 0, 0xb0, 0x02, 0xee]; // mov edx, 0x3f6; mov al, 2; out dx, al: no interrupts
    code.push(0xbd); // mov ebp, commands
    code.extend(commands.to_le_bytes());
    code.push(0xbf); // mov edi, to
    code.extend(to.to_le_bytes());
    code.extend([0x31, 0xdb]); // xor ebx, ebx: the sector
    // command:
    code.extend([0xba, 0xf6, 0x01, 0, 0, 0x89, 0xd8]); // mov edx, 0x1f6; mov eax, ebx
    code.extend([0xc1, 0xe8, 0x18, 0x0c, 0xe0, 0xee]); // shr eax, 24; or al, 0xe0; out dx, al: first disk, by number
    code.extend([0xb2, 0xf2, 0xb0, 0x00, 0xee]); // mov dl, 0xf2; mov al, 0; out dx, al: 256 sectors
    code.extend([0x42, 0x88, 0xd8, 0xee]); // inc edx; mov al, bl; out dx, al
    code.extend([0x42, 0x88, 0xf8, 0xee]); // inc edx; mov al, bh; out dx, al
    code.extend([0x42, 0x89, 0xd8, 0xc1, 0xe8, 0x10, 0xee]); // inc edx; mov eax, ebx; shr eax, 16; out dx, al
    code.extend([0xb2, 0xf7, 0xb0, 0x20, 0xee]); // mov dl, 0xf7; mov al, 0x20; out dx, al: read
    code.extend([0xbe, 0x00, 0x01, 0, 0]); // mov esi, 256
    // sector:
    code.extend([0xb2, 0xf7]); // mov dl, 0xf7
    code.extend([0xec, 0x24, 0x88, 0x3c, 0x08, 0x75, 0xf9]); // in al, dx; and al, 0x88; cmp al, 8; jne: until it has data
    code.extend([0xb2, 0xf0, 0xb9, 0x80, 0, 0, 0]); // mov dl, 0xf0; mov ecx, 128
    code.extend([0xf3, 0x6d, 0x4e, 0x75, 0xeb]); // rep insd; dec esi; jnz sector
    code.extend([0x81, 0xc3, 0x00, 0x01, 0, 0]); // add ebx, 256
    code.extend([0x4d, 0x75, 0xb7]); // dec ebp; jnz command
    code
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::{MOST, READ, media};

    fn memory(sizes: &[usize]) -> Memory {
        let pieces = sizes.iter().map(|size| (0x20_0000, vec![1; *size])).collect();
        Memory { pieces, information: 0x40_0000, entry: 0x20_0020 }
    }

    fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
        bytes.windows(wanted.len()).any(|window| window == wanted)
    }

    #[test]
    fn the_bios_finds_both() {
        let media = media(&memory(&[5]), &[7; 16]).unwrap();
        let (system, expansion) = (media.system, media.expansion);
        assert_eq!((system.len(), &system[..8], system.last()), (MOST, &[1, 1, 1, 1, 1, 0, 0, 0][..], Some(&7)));
        assert_eq!((expansion.len(), &expansion[..3]), (512, &[0x55, 0xaa, 1][..]));
        assert_eq!(expansion.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        assert!(holds(&expansion, &[0xbe, 0, 0, 0xe0, 0xff, 0xbf, 0, 0, 0x20, 0, 0xb9, 2, 0, 0, 0, 0xf3, 0xa5]));
        assert!(media.disk.is_empty() && !holds(&expansion, &[0xf3, 0x6d]));
    }

    #[test]
    fn what_is_too_large_for_a_rom_is_read_from_a_disk() {
        let found = media(&memory(&[5, MOST]), &[7; 16]).unwrap();
        assert_eq!((found.disk.len(), found.disk[MOST - 1]), (MOST, 1));
        // So many commands, to that address.
        let commands = (MOST / READ) as u8;
        assert!(holds(&found.expansion, &[0xbd, commands, 0, 0, 0, 0xbf, 0, 0, 0x20, 0, 0x31, 0xdb]));
        assert!(media(&memory(&[MOST, MOST]), &[7; 16]).err().unwrap().to_string().contains("more than one piece"));
    }
}
