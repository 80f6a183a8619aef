//! The decoder against `disarm64`, as text: both say what they saw in assembly.

use disarm64::decoder_load_store;
use proptest::prelude::*;

use super::{Indexing, Instruction, Offset, Refusal, decode};

fn register(number: u8, wide: bool, stack: bool) -> String {
    match (number, stack, wide) {
        (31, true, _) => "sp".into(),
        (31, _, true) => "xzr".into(),
        (31, _, false) => "wzr".into(),
        (_, _, true) => format!("x{number}"),
        _ => format!("w{number}"),
    }
}

/// The instruction as an assembler would be told, without the letters that do not change what happens.
fn text(instruction: &Instruction) -> String {
    let Instruction { load, access, second, base, offset, indexing } = *instruction;
    let mnemonic = match (load, second.is_some()) {
        (true, true) => "ldp",
        (false, true) => "stp",
        (true, false) => "ldr",
        (false, false) => "str",
    };
    let sign = if access.sign { "s" } else { "" };
    let size = match (access.size, second, access.sign) {
        (1, ..) => "b",
        (2, ..) => "h",
        (4, _, true) => "w",
        _ => "",
    };
    let mut registers = register(access.transfer, access.wide, false);
    if let Some(second) = second {
        registers += ", ";
        registers += &register(second, access.wide, false);
    }
    let base = register(base, true, true);
    let place = match (offset, indexing) {
        (Offset::Immediate(0), Indexing::Offset) => format!("[{base}]"),
        (Offset::Immediate(bytes), Indexing::Offset) => format!("[{base}, #{bytes}]"),
        (Offset::Immediate(bytes), Indexing::Pre) => format!("[{base}, #{bytes}]!"),
        (Offset::Immediate(bytes), Indexing::Post) => format!("[{base}], #{bytes}"),
        (Offset::Register { register: number, word, signed, shift }, _) => {
            let extend = match (word, signed) {
                (true, true) => ", sxtw",
                (true, false) => ", uxtw",
                (false, true) => ", sxtx",
                (false, false) if shift != 0 => ", lsl",
                (false, false) => "",
            };
            let shift = if shift == 0 { String::new() } else { format!(" #{shift}") };
            format!("[{base}, {}{extend}{shift}]", register(number, !word, false))
        }
    };
    format!("{mnemonic}{sign}{size} {registers}, {place}")
}

/// With decimal numbers for hexadecimal ones.
fn decimal(text: &str) -> String {
    let Some((before, rest)) = text.split_once("#0x") else { return text.to_owned() };
    let digits = rest.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(rest.len());
    let (number, after) = rest.split_at(digits);
    format!("{before}#{}{after}", u64::from_str_radix(number, 16).unwrap())
}

/// What the oracle says, in the same words: `None` for what moves no general registers by address arithmetic.
fn oracle(word: u32) -> Option<String> {
    let text = decoder_load_store::decode(word)?.to_string().replace(", lsl #0]", "]").replace("tw #0]", "tw]");
    let text = decimal(&text.replace("tx #0]", "tx]"));
    let (mnemonic, operands) = text.split_once(char::is_whitespace)?;
    let plain = match mnemonic {
        "ldnp" => "ldp",
        "stnp" => "stp",
        _ => mnemonic,
    };
    let (verb, rest) = plain.split_at_checked(3)?;
    let (verb, rest) = match (verb, rest) {
        // LDUR and LDTR are LDR where no rights are looked at.
        ("ldu" | "ldt", rest) => ("ldr", rest.strip_prefix('r')?),
        ("stu" | "stt", rest) => ("str", rest.strip_prefix('r')?),
        pair => pair,
    };
    // It prints extensions that do not exist.
    let exists = !operands.contains("<undefined>");
    let known = matches!((verb, rest), ("ldr", "" | "b" | "h" | "sb" | "sh" | "sw") | ("str", "" | "b" | "h"))
        || matches!((verb, rest), ("ldp", "" | "sw") | ("stp", ""));
    // A vector register, a literal or no memory at all.
    let general = operands.trim_start().starts_with(['w', 'x']) && operands.contains('[');
    (exists && known && general).then(|| format!("{verb}{rest} {}", operands.trim_start()))
}

fn compare(word: u32) -> Result<(), TestCaseError> {
    match (decode(word), oracle(word)) {
        (Ok(found), expected) => prop_assert_eq!(Some(text(&found)), expected, "{:#010x}", word),
        // What it does is not defined, which a disassembler does not care about.
        (Err(Refusal::Unpredictable), Some(_)) | (Err(_), None) => {}
        (Err(why), Some(text)) => prop_assert!(false, "{word:#010x} is refused as {why:?}, but is `{text}`"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_load_or_store_is_what_the_disassembler_says(word: u32) {
        compare(word & !(1 << 25) | 1 << 27)?;
    }

    #[test]
    fn general_registers_too(word: u32, group in 2u32..4) {
        compare(word & !(7 << 25) & !(3 << 28) | 1 << 27 | group << 28)?;
    }

    #[test]
    fn anything_does_not_stop_the_decoder(word: u32, stack: u64, value: u64) {
        if let Ok(instruction) = decode(word) {
            instruction.addresses(stack, |_| value);
        }
    }
}

/// Registers hold ten times their number.
fn addresses(word: u32) -> (u64, u64) {
    decode(word).unwrap().addresses(0x8000, |number| if number == 31 { 0 } else { u64::from(number) * 0x10 })
}

#[test]
fn addresses_are_sums_before_or_after() {
    assert_eq!(addresses(0xb840_4420), (0x10, 0x14), "ldr w0, [x1], #4");
    assert_eq!(addresses(0xf841_0c20), (0x20, 0x20), "ldr x0, [x1, #16]!");
    assert_eq!(addresses(0xa97f_0820), (0, 0x10), "ldp x0, x2, [x1, #-16]");
    assert_eq!(addresses(0xb820_7be2), (0x8000, 0x8000), "str w2, [sp, x0, lsl #2]");
    assert_eq!(addresses(0xb825_7be2), (0x8140, 0x8000), "str w2, [sp, x5, lsl #2]");
    assert_eq!(addresses(0xa8c1_0be0), (0x8000, 0x8010), "ldp x0, x2, [sp], #16");
}

#[test]
fn a_word_as_an_offset_may_be_negative() {
    let negative = |number| if number == 2 { 0x1_ffff_fffc } else { 0x100 };
    let at = |word| decode(word).unwrap().addresses(0, negative).0;
    assert_eq!(at(0xb862_c820), 0xfc, "ldr w0, [x1, w2, sxtw]");
    assert_eq!(at(0xb862_4820), 0x1_0000_00fc, "ldr w0, [x1, w2, uxtw]");
    assert_eq!(at(0xb862_f820), 0x8_0000_00f0, "ldr w0, [x1, x2, sxtx #2]");
}

#[test]
fn both_registers_of_a_pair_and_what_is_written_back() {
    let pair = decode(0x69c1_0820).unwrap();
    let accesses: Vec<_> = pair.accesses().map(|access| (access.transfer, access.size, access.sign)).collect();
    assert_eq!(accesses, [(0, 4, true), (2, 4, true)], "ldpsw x0, x2, [x1, #8]!");
    assert_eq!(pair.written_back(), Some(1));
    assert_eq!(decode(0xb940_0020).unwrap().written_back(), None, "ldr w0, [x1]");
}

#[test]
fn refusals_have_their_names() {
    let refusal = |word| decode(word).unwrap_err();
    assert_eq!(refusal(0x3d80_0020), Refusal::Vector, "str q0, [x1]");
    assert_eq!(refusal(0x885f_7c20), Refusal::Exclusive, "ldxr w0, [x1]");
    assert_eq!(refusal(0xb821_0040), Refusal::Other, "ldadd w1, w0, [x2]");
    assert_eq!(refusal(0xf980_0020), Refusal::Other, "prfm pldl1keep, [x1]");
    assert_eq!(refusal(0x1800_0000), Refusal::Other, "ldr w0, label");
    assert_eq!(refusal(0xd503_201f), Refusal::Unknown, "nop");
    assert_eq!(refusal(0xb840_4421), Refusal::Unpredictable, "ldr w1, [x1], #4");
    assert_eq!(refusal(0xa940_0020), Refusal::Unpredictable, "ldp x0, x0, [x1]");
}
