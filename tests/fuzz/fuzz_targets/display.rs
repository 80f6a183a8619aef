//! A frame buffer's front end that writes what it likes into its page, between any two steps of the back end; and a
//! keyboard's back end that does.
//!
//! `cargo +nightly fuzz run --fuzz-dir . display` in `tests/fuzz`. The first 40 bytes of the input are what the page
//! begins with, from its sizes on. A byte is a step; an event takes 40 bytes more, an index 4.
#![no_main]

#[path = "../../../hyp/pvio/tests/support/mod.rs"]
mod support;

use hyp_pvio::display::{Back, Change, Screen};
use hyp_pvio::keyboard;
use hyp_pvio::memory::SharedMemory;
use support::Memory;

const MOST: u32 = 8 << 20;

fn check(screen: &Screen) {
    let end = u64::from(screen.offset) + u64::from(screen.height - 1) * u64::from(screen.line);
    assert!(end + u64::from(screen.width) * u64::from(screen.depth) / 8 <= u64::from(screen.memory));
    assert!(screen.memory <= MOST && screen.width > 0);
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((head, mut rest)) = input.split_at_checked(40) else { return };
    let (memory, keys) = (Memory::new(4096), Memory::new(4096));
    memory.write(16, head);
    let Ok((mut back, mut frames)) = Back::attach(&memory, MOST) else { return };
    check(back.screen());
    while frames.wanted().is_some() {
        frames.list(&[7; 4096]);
    }
    assert_eq!(frames.known().len(), (back.screen().memory as usize).div_ceil(4096));
    let mut typed = keyboard::Front::create(&keys);
    let mut put = 0_u32;
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        match step % 6 {
            0 | 1 => {
                let Some((event, after)) = rest.split_at_checked(40) else { return };
                memory.write(2048 + (put % 51) as usize * 40, event);
                keys.write(1024 + (put % 51) as usize * 40, event);
                put = put.wrapping_add(1);
                memory.poke(12, put);
                keys.poke(4, put);
                rest = after;
            }
            2 => {
                let Some((index, after)) = rest.split_first_chunk() else { return };
                let index = u32::from_le_bytes(*index);
                memory.poke(usize::from(step >> 4) % 4 * 4, index);
                keys.poke(4, index);
                rest = after;
            }
            3 => _ = back.advise(step.into()),
            4 => {
                let _ = typed.take();
                typed.show();
            }
            _ => {
                if let Ok(Some(Change::Area(area))) = back.take() {
                    let screen = *back.screen();
                    let end = screen.memory as usize;
                    assert!(area.width > 0 && area.height > 0);
                    // A line more would leave the picture; so do the first and the last of these.
                    let mut lines = screen.lines(area);
                    assert!(lines.next().is_some_and(|(start, length)| start + length <= end));
                    assert!(lines.last().is_none_or(|(start, length)| start + length <= end));
                }
                check(back.screen());
                back.show();
            }
        }
    }
});
