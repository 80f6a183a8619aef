//! Integer and float work. It holds known values in the vector registers while it works, so that a hypervisor that loses
//! them on a switch is found out.

use rt::{cpu, println};

use crate::Clock;

/// Rounds of float work between two looks at the clock: 5 instructions each, so about 0.1 ms at 1 instruction a ns.
const ROUNDS: u64 = 20_000;

pub(crate) fn run(mut clock: Clock) {
    let mut loops: u64 = 0;
    let mut sum: u64 = 1;
    loop {
        if !cpu::float_survives(loops << 8, ROUNDS) {
            println!("@check name=float result=fail detail=loop-{loops}");
        }
        sum = integer_work(sum);
        loops += 1;
        clock.look(loops);
    }
}

/// Integer work that the compiler cannot leave out, a hundredth of the float work.
fn integer_work(mut value: u64) -> u64 {
    for _ in 0..100 {
        value = core::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    value
}
