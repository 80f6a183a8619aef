//! The two ROMs: the system's, which is Bochs's own BIOS with our files in what it leaves free, and an expansion ROM that
//! copies the files to where they belong and starts the hypervisor as a multiboot loader would. Files in a ROM, because
//! Bochs puts no file into RAM that is longer than a block of its memory, 128 KiB.

use anyhow::{Result, ensure};

use super::memory::Memory;

/// Where the expansion ROM is.
pub(super) const ADDRESS: u32 = 0xd_0000;
/// Most that a system ROM can have; it ends at 4 GiB.
const MOST: usize = 2 << 20;
/// What a multiboot loader leaves in EAX.
const MAGIC: u32 = 0x2bad_b002;

/// The system's ROM and the expansion ROM.
///
/// # Errors
/// The files are too large.
pub(super) fn roms(memory: &Memory, bios: &[u8]) -> Result<[Vec<u8>; 2]> {
    let room = MOST.saturating_sub(bios.len());
    let mut system = Vec::new();
    let mut copies = Vec::new();
    for (address, bytes) in &memory.pieces {
        let from = (0u32.wrapping_sub(MOST as u32)) + system.len() as u32;
        copies.push([from, *address, bytes.len().div_ceil(4) as u32]);
        system.extend(bytes);
        system.resize(system.len().next_multiple_of(4), 0);
    }
    ensure!(
        system.len() <= room,
        "hypervisor and modules have {} bytes together, and Bochs's machine takes {room}",
        system.len()
    );
    system.resize(room, 0);
    system.extend(bios);
    Ok([system, expansion(&copies, memory.information, memory.entry)])
}

/// Header, 16-bit code, 32-bit code, descriptor table. The BIOS calls offset 3 in real mode.
fn expansion(copies: &[[u32; 3]], information: u32, entry: u32) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::{MOST, roms};

    #[test]
    fn the_bios_finds_both() {
        let memory = Memory { pieces: vec![(0x20_0000, vec![1; 5])], information: 0x40_0000, entry: 0x20_0020 };
        let [system, expansion] = roms(&memory, &[7; 16]).unwrap();
        assert_eq!((system.len(), &system[..8], system.last()), (MOST, &[1, 1, 1, 1, 1, 0, 0, 0][..], Some(&7)));
        assert_eq!((expansion.len(), &expansion[..3]), (512, &[0x55, 0xaa, 1][..]));
        assert_eq!(expansion.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        let copy = [0xbe, 0, 0, 0xe0, 0xff, 0xbf, 0, 0, 0x20, 0, 0xb9, 2, 0, 0, 0, 0xf3, 0xa5];
        assert!(expansion.windows(copy.len()).any(|window| window == copy));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let memory = Memory { pieces: vec![(0, vec![0; MOST])], information: 0, entry: 0 };
        assert!(roms(&memory, &[0; 16]).unwrap_err().to_string().contains("2097152 bytes together"));
    }
}
