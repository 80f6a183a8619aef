//! The first program of our initramfs. It says when it came, by the counter that every guest reads without leaving its
//! code, and becomes the shell that runs `/init.sh`. Written as instructions, because a compiler for Linux programs would
//! be one more thing to install for some thirty of them.

use crate::board::Board;

/// Where the file is mapped, as one segment that may be written.
const BASE: u64 = 0x40_0000;
/// Bytes of the ELF header and its one program header.
const HEADERS: u64 = 64 + 56;

/// Reads CNTVCT_EL0, puts it into [`TEXT`] in decimal, writes that to descriptor 1, and executes [`SCRIPT`] with the
/// environment that it got; if that fails, it exits.
const ARM: [u32; 26] = [
    0xd53b_e040, //     mrs  x0, cntvct_el0
    0x7000_04c1, //     adr  x1, end of the digits
    0xd280_0142, //     mov  x2, #10
    0x5280_0285, //     mov  w5, #20
    0x9ac2_0803, // 1:  udiv x3, x0, x2
    0x9b02_8064, //     msub x4, x3, x2, x0
    0x1100_c084, //     add  w4, w4, #'0'
    0x381f_fc24, //     strb w4, [x1, #-1]!
    0xaa03_03e0, //     mov  x0, x3
    0x7100_04a5, //     subs w5, w5, #1
    0x54ff_ff41, //     b.ne 1b
    0xd280_0020, //     mov  x0, #1
    0x3000_0201, //     adr  x1, the text
    0xd280_05e2, //     mov  x2, #its length
    0xd280_0808, //     mov  x8, #64 (write)
    0xd400_0001, //     svc  #0
    0xf940_03e6, //     ldr  x6, [sp]: the number of arguments
    0x8b26_6fe2, //     add  x2, sp, x6, lsl #3
    0x9100_4042, //     add  x2, x2, #16: the environment
    0x1000_00e0, //     adr  x0, the script's path
    0xa9bf_7fe0, //     stp  x0, xzr, [sp, #-16]!
    0x9100_03e1, //     mov  x1, sp
    0xd280_1ba8, //     mov  x8, #221 (execve)
    0xd400_0001, //     svc  #0
    0xd280_0ba8, //     mov  x8, #93 (exit)
    0xd400_0001, //     svc  #0
];
/// The same with the time stamp counter.
const X86: [&[u8]; 30] = [
    &[0x0f, 0x31],                      //     rdtsc
    &[0x48, 0xc1, 0xe2, 0x20],          //     shl  rdx, 32
    &[0x48, 0x09, 0xd0],                //     or   rax, rdx
    &[0x48, 0x8d, 0x35, 0x8e, 0, 0, 0], //     lea  rsi, end of the digits
    &[0xbb, 0x0a, 0, 0, 0],             //     mov  ebx, 10
    &[0xb9, 0x14, 0, 0, 0],             //     mov  ecx, 20
    &[0x31, 0xd2],                      // 1:  xor  edx, edx
    &[0x48, 0xf7, 0xf3],                //     div  rbx
    &[0x80, 0xc2, 0x30],                //     add  dl, '0'
    &[0x48, 0xff, 0xce],                //     dec  rsi
    &[0x88, 0x16],                      //     mov  [rsi], dl
    &[0xff, 0xc9],                      //     dec  ecx
    &[0x75, 0xef],                      //     jnz  1b
    &[0xb8, 0x01, 0, 0, 0],             //     mov  eax, 1 (write)
    &[0xbf, 0x01, 0, 0, 0],             //     mov  edi, 1
    &[0x48, 0x8d, 0x35, 0x34, 0, 0, 0], //     lea  rsi, the text
    &[0xba, TEXT.len() as u8, 0, 0, 0], //     mov  edx, its length
    &[0x0f, 0x05],                      //     syscall
    &[0x48, 0x8b, 0x0c, 0x24],          //     mov  rcx, [rsp]: the number of arguments
    &[0x48, 0x8d, 0x54, 0xcc, 0x10],    //     lea  rdx, [rsp + rcx * 8 + 16]: the environment
    &[0x48, 0x8d, 0x3d, 0x14, 0, 0, 0], //     lea  rdi, the script's path
    &[0x6a, 0],                         //     push 0
    &[0x57],                            //     push rdi
    &[0x48, 0x89, 0xe6],                //     mov  rsi, rsp
    &[0xb8, 0x3b, 0, 0, 0],             //     mov  eax, 59 (execve)
    &[0x0f, 0x05],                      //     syscall
    &[0xb8, 0x3c, 0, 0, 0],             //     mov  eax, 60 (exit)
    &[0x0f, 0x05],                      //     syscall
    SCRIPT,
    TEXT,
];
/// What it executes.
const SCRIPT: &[u8; 9] = b"/init.sh\0";
/// What it says, with room for 20 digits.
const TEXT: &[u8; 47] = b"@linux state=init counter=00000000000000000000\n";

/// The program, a static ELF file.
pub(super) fn program(board: Board) -> Vec<u8> {
    // What the ELF file calls the processor.
    let (machine, code) = match board {
        Board::QemuVirt => (183, [ARM.map(u32::to_le_bytes).as_flattened(), SCRIPT, TEXT].concat()),
        Board::X86 => (62, X86.concat()),
    };
    let length = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |values: &[u16]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    // An executable; version 1.
    let kind = [half(&[2, machine]), 1u32.to_le_bytes().to_vec()].concat();
    let places = [BASE + HEADERS, 64, 0].map(u64::to_le_bytes).concat();
    // No flags; sizes of the headers, one program header, no sections.
    let sizes = [0u32.to_le_bytes().to_vec(), half(&[64, 56, 1, 0, 0, 0])].concat();
    // PT_LOAD that may be read, written and executed: the whole file at BASE, in pages of 4 KiB.
    let segment = [1u32, 7].map(u32::to_le_bytes).concat();
    let extent = [0, BASE, BASE, length, length, 4096].map(u64::to_le_bytes).concat();
    for part in [kind, places, sizes, segment, extent, code] {
        file.extend(part);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::{HEADERS, TEXT, program};
    use crate::board::Board;

    #[test]
    fn it_is_an_elf_file_whose_code_finds_its_text() {
        let arm = program(Board::QemuVirt);
        // The second instruction is ADR: its distance ends behind the last digit.
        let at = HEADERS as usize + 4;
        let word = u32::from_le_bytes(arm[at..at + 4].try_into().unwrap());
        let distance = (word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3;
        let arm_end = at + distance as usize;
        let x86 = program(Board::X86);
        // The distances of LEA are from the next instruction.
        let target = |at: usize| at + 7 + usize::from(x86[HEADERS as usize + at + 3]) + HEADERS as usize;
        assert_eq!(target(53) + TEXT.len(), x86.len(), "the text");
        for (file, end, architecture) in
            [(&arm, arm_end, object::Architecture::Aarch64), (&x86, target(9), object::Architecture::X86_64)]
        {
            let elf = object::File::parse(&**file).unwrap();
            assert_eq!(object::Object::architecture(&elf), architecture);
            assert_eq!(object::Object::entry(&elf), 0x40_0000 + HEADERS);
            assert_eq!(end, file.len() - 1);
        }
    }
}
