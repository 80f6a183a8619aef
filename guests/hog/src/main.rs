//! A guest that burns the CPU.
//!
//! It is the bad neighbour of every media test: integer and float work without end, no sleep, no interrupt, one line
//! about every second. It holds known values in the vector registers while it works, so that a hypervisor that loses
//! them on a switch is found out.
#![no_std]
#![no_main]

use rt::{Machine, cpu, println, timer};

rt::entry!(main);

/// Rounds of float work between two looks at the clock: 5 instructions each, so about 0.1 ms at 1 instruction a ns.
const ROUNDS: u64 = 20_000;
/// Nanoseconds between two lines.
const LINE_EVERY: u64 = 1_000_000_000;

fn main(_: &'static Machine) {
    println!("hog: burning the CPU, one line a second");
    let mut loops: u64 = 0;
    let mut next_line = timer::now() + LINE_EVERY;
    let mut sum: u64 = 1;
    loop {
        if !cpu::float_survives(loops << 8, ROUNDS) {
            println!("@check name=float result=fail detail=loop-{loops}");
        }
        sum = integer_work(sum);
        loops += 1;
        let now = timer::now();
        if now >= next_line {
            println!("@hog loops={loops}");
            next_line = now + LINE_EVERY;
        }
    }
}

/// Integer work that the compiler cannot leave out, a hundredth of the float work.
fn integer_work(mut value: u64) -> u64 {
    for _ in 0..100 {
        value = core::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    value
}
