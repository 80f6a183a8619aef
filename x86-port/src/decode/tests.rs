use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};

use super::{Access, LONGEST, Mode, What, decode};

fn load(length: u8, size: u8, register: u8, width: u8) -> Access {
    Access { length, size, what: What::Load { register, width, signed: false }, shift: 0 }
}

fn store(length: u8, size: u8, register: u8) -> Access {
    Access { length, size, what: What::Store { register }, shift: 0 }
}

fn constant(length: u8, size: u8, value: u64) -> Access {
    Access { length, size, what: What::StoreConstant(value), shift: 0 }
}

/// Encodings as an assembler makes them (checked with GNU as).
#[test]
fn the_forms_of_a_move_in_64_bit_code() {
    let signed = |length, size, register, width| Access {
        what: What::Load { register, width, signed: true },
        ..load(length, size, register, width)
    };
    let cases: [(&[u8], Access); 22] = [
        (b"\x8b\x07", load(2, 4, 0, 4)),                             // mov eax, [rdi]
        (b"\x89\x07", store(2, 4, 0)),                               // mov [rdi], eax
        (b"\x44\x8b\x47\x10", load(4, 4, 8, 4)),                     // mov r8d, [rdi + 16]
        (b"\x48\x8b\x05\x10\0\0\0", load(7, 8, 0, 8)),               // mov rax, [rip + 16]
        (b"\x89\x34\x25\x20\xd0\x5f\xff", store(7, 4, 6)),           // mov [0xff5fd020], esi
        (b"\x89\x04\x8b", store(3, 4, 0)),                           // mov [rbx + rcx * 4], eax
        (b"\x89\x44\x24\x08", store(4, 4, 0)),                       // mov [rsp + 8], eax
        (b"\x8b\x87\0\xd0\x5f\xff", load(6, 4, 0, 4)),               // mov eax, [rdi - 0xa03000]
        (b"\x89\xb7\0\xd0\x5f\xff", store(6, 4, 6)),                 // mov [rdi - 0xa03000], esi
        (b"\x66\x89\x07", store(3, 2, 0)),                           // mov [rdi], ax
        (b"\x88\x07", store(2, 1, 0)),                               // mov [rdi], al
        (b"\x40\x88\x37", store(3, 1, 6)),                           // mov [rdi], sil
        (b"\xc7\x07\x01\0\0\0", constant(6, 4, 1)),                  // mov dword ptr [rdi], 1
        (b"\x48\xc7\x07\xff\xff\xff\xff", constant(7, 8, u64::MAX)), // mov qword ptr [rdi], -1
        (b"\xc6\x07\x7f", constant(3, 1, 0x7f)),                     // mov byte ptr [rdi], 127
        (b"\x66\xc7\x07\x34\x12", constant(5, 2, 0x1234)),           // mov word ptr [rdi], 0x1234
        (b"\x0f\xb6\x07", load(3, 1, 0, 4)),                         // movzx eax, byte ptr [rdi]
        (b"\x48\x0f\xb7\x07", load(4, 2, 0, 8)),                     // movzx rax, word ptr [rdi]
        (b"\x0f\xbe\x07", signed(3, 1, 0, 4)),                       // movsx eax, byte ptr [rdi]
        (b"\x48\x63\x07", signed(3, 4, 0, 8)),                       // movsxd rax, dword ptr [rdi]
        (b"\xa1\x10\0\xc0\xfe\0\0\0\0", load(9, 4, 0, 4)),           // movabs eax, [0xfec00010]
        (b"\xa3\x10\0\xc0\xfe\0\0\0\0", store(9, 4, 0)),             // movabs [0xfec00010], eax
    ];
    for (bytes, access) in cases {
        assert_eq!(decode(bytes, Mode::Bits64), Some(access), "{bytes:x?}");
        let with_more = [bytes, &[0x90; 3]].concat();
        assert_eq!(decode(&with_more, Mode::Bits64), Some(access), "{bytes:x?} and what follows");
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length], Mode::Bits64), None, "{bytes:x?} cut off at {length}");
        }
    }
}

#[test]
fn other_modes_have_other_lengths() {
    assert_eq!(decode(b"\x8b\x07", Mode::Bits16), Some(load(2, 2, 0, 2)), "mov ax, [bx]");
    assert_eq!(decode(b"\xa1\x10\0", Mode::Bits16), Some(load(3, 2, 0, 2)), "mov ax, [16]");
    assert_eq!(decode(b"\x67\x66\x8b\x87\0\0\0\x10", Mode::Bits16), Some(load(8, 4, 0, 4)), "mov eax, [edi + ...]");
    assert_eq!(decode(b"\x8b\x0e\x10\0", Mode::Bits16), Some(load(4, 2, 1, 2)), "mov cx, [16]");
    assert_eq!(decode(b"\xa1\x10\0\xc0\xfe", Mode::Bits32), Some(load(5, 4, 0, 4)), "mov eax, [0xfec00010]");
    assert_eq!(decode(b"\x8b\x15\x10\0\xc0\xfe", Mode::Bits32), Some(load(6, 4, 2, 4)), "mov edx, [0xfec00010]");
    assert_eq!(decode(b"\x44\x8b\x07", Mode::Bits32), None, "inc esp, and no prefix");
}

#[test]
fn second_bytes_of_registers_are_themselves() {
    let access = decode(b"\x88\x27", Mode::Bits64).unwrap();
    assert_eq!((access.what, access.shift), (What::Store { register: 0 }, 8), "mov [rdi], ah");
    let access = decode(b"\x8a\x3f", Mode::Bits64).unwrap();
    let what = What::Load { register: 3, width: 1, signed: false };
    assert_eq!((access.what, access.shift), (what, 8), "mov bh, [rdi]");
}

#[test]
fn registers_change_as_far_as_the_instruction_says() {
    let run = |bytes: &[u8], register, value| decode(bytes, Mode::Bits64).unwrap().loaded(register, value);
    let old = 0x1122_3344_5566_7788;
    assert_eq!(run(b"\x8b\x07", old, 0x8000_0001), 0x8000_0001, "the upper half is cleared");
    assert_eq!(run(b"\x66\x8b\x07", old, 0x1_2345), 0x1122_3344_5566_2345);
    assert_eq!(run(b"\x8a\x07", old, 0xfff), 0x1122_3344_5566_77ff);
    assert_eq!(run(b"\x8a\x27", old, 0xfff), 0x1122_3344_5566_ff88, "AH");
    assert_eq!(run(b"\x48\x63\x07", old, 0x8000_0000), 0xffff_ffff_8000_0000);
    assert_eq!(run(b"\x0f\xbe\x07", old, 0x80), 0xffff_ff80);
    assert_eq!(run(b"\x48\x0f\xb7\x07", old, 0xf_8000), 0x8000);
    let stored = |bytes: &[u8]| decode(bytes, Mode::Bits64).unwrap().stored(old);
    assert_eq!(stored(b"\x89\x07"), 0x5566_7788);
    assert_eq!(stored(b"\x88\x27"), 0x77, "AH");
    assert_eq!(stored(b"\xc6\x07\xff"), 0xff);
}

#[test]
fn anything_else_is_refused_and_nothing_reads_too_far() {
    for bytes in [&b"\x8b\xc7"[..], b"\x01\x07", b"\x0f\x10\x07", b"\xf0\x89\x07", b"\xc7\x0f\0\0\0\0", b"\xa4", b""] {
        assert_eq!(decode(bytes, Mode::Bits64), None, "{bytes:x?}");
    }
    assert_eq!(decode(&[0x66; 64], Mode::Bits64), None);
    let long = [&[0x66; LONGEST - 1][..], b"\x8b\x07"].concat();
    assert_eq!(decode(&long, Mode::Bits64), None, "an instruction has 15 bytes at most");
}

/// What the library says of an instruction that we know: bytes, bytes in memory, whether it loads.
fn library(bytes: &[u8], bits: u32) -> (usize, usize, bool) {
    let instruction = Decoder::new(bits, bytes, DecoderOptions::NONE).decode();
    let known = [Mnemonic::Mov, Mnemonic::Movzx, Mnemonic::Movsx, Mnemonic::Movsxd];
    assert!(known.contains(&instruction.mnemonic()), "{bytes:x?} in {bits} bits is {instruction:?}");
    let loads = instruction.op1_kind() == OpKind::Memory;
    assert!(loads || instruction.op0_kind() == OpKind::Memory, "{bytes:x?} in {bits} bits is {instruction:?}");
    (instruction.len(), instruction.memory_size().size(), loads)
}

#[test]
fn a_library_reads_the_same() {
    let opcodes = [0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3, 0xc6, 0xc7, 0x63, 0x0f];
    let prefixes = [0x66, 0x67, 0x65, 0x48, 0x44, 0x4f, 0x41];
    let (mut seed, mut read) = (1u64, 0);
    for _ in 0..100_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes: Vec<u8> = seed.to_le_bytes().iter().rev().copied().chain([0; 12]).collect();
        // Half of them begin with what they might.
        let pick = |from: &[u8], bits: u64| from[(seed >> bits) as usize % from.len()];
        match seed >> 20 & 3 {
            0 => bytes.insert(0, pick(&opcodes, 24)),
            1 => drop(bytes.splice(0..0, [pick(&prefixes, 24), pick(&opcodes, 28)])),
            2 => drop(bytes.splice(0..0, [0x0f, 0xb6 | (seed >> 24) as u8 & 9])),
            _ => {}
        }
        for (mode, bits) in [(Mode::Bits16, 16), (Mode::Bits32, 32), (Mode::Bits64, 64)] {
            if let Some(Access { length, size, what, .. }) = decode(&bytes, mode) {
                let ours = (usize::from(length), usize::from(size), matches!(what, What::Load { .. }));
                assert_eq!(ours, library(&bytes, bits), "{bytes:x?} in {bits} bits");
                read += 1;
            }
        }
    }
    assert!(read > 50_000, "{read} are too few to tell");
}
