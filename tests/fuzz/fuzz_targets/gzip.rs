//! A packed kernel: what boot and every restart do with it, in steps of a size that the input chooses.
//!
//! `cargo +nightly fuzz run gzip` in `tests/fuzz`. Seeds: any file packed by gzip, put into `corpus/gzip`.
#![no_main]

use hyp_boot::gzip::{Packed, Unpacker};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&[budget, _], file)) = input.split_at_checked(2).map(|(head, file)| (head.try_into().unwrap_or(&[1, 0]), file)) else {
        return;
    };
    let Ok(packed) = Packed::parse(file) else { return };
    let budget = usize::from(budget) * 16 + 1;
    let mut unpacker = Unpacker::new();
    let _ = unpacker.head(&packed, file, &mut [0; 64]);
    unpacker.start(&packed);
    let mut out = vec![0; (packed.size as usize).min(1 << 20)];
    let mut next = 0;
    // Work that writes nothing uses a bit of the file at least, and a block's codes, which take three, begin a step.
    for _ in 0..=(8 * file.len() + out.len()) / budget + 8 * file.len() / 3 + 2 {
        let Ok((range, done)) = unpacker.step(&packed, file, &mut out, budget) else { return };
        assert!(range.start == next && range.len() <= budget);
        next = range.end;
        if done {
            return assert_eq!(next, out.len());
        }
    }
    panic!("a step without progress");
});
