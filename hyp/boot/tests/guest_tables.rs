//! The tables of an x86 guest; another reader reads them in `x86-port/tests`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use hyp_boot::guest_tables::{SERIAL, Tables};

#[test]
fn every_table_sums_up_to_0_and_the_code_names_the_serial_port() {
    let tables = Tables::new(8);
    let bytes = tables.bytes();
    let sum =
        |from: usize, length: usize| bytes[from..from + length].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    assert_eq!((sum(0, 20), sum(0, 36)), (0, 0));
    for signature in [b"XSDT", b"FACP", b"APIC", b"DSDT"] {
        let at = bytes.windows(4).position(|word| word == signature).unwrap();
        let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap());
        assert_eq!(sum(at, length as usize), 0, "{signature:?}");
    }
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let [low, high] = SERIAL.0.to_le_bytes();
    assert!(has(&[0x47, 1, low, high, low, high, 1, SERIAL.1]), "its ports");
    assert!(has(&[0x89, 6, 0, 3, 1, SERIAL.2, 0, 0, 0]), "its interrupt");
}
