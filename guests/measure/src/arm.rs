//! What only ARM has: firmware, the interrupt controller, trapped registers, a serial port in memory.

mod processors;

use rt::psci::function::SMCCC_VERSION;
use rt::{Machine, cpu, gic, measure, println, read_register, timer};

pub(crate) use processors::run as pair;

use crate::{ROUNDS, TIMES, print};

const SGI: u32 = 3;
/// The flags of a PL011 (Arm DDI 0183, table 3-1).
const UARTFR: usize = 0x18;

/// Rows of one guest alone; `each` prints one, of the ticks that [`TIMES`] rounds took.
pub(crate) fn run(machine: &Machine, each: &dyn Fn(&str, u64)) {
    println!("@micro name=first_guest insns={}", timer::started_at());
    println!("@micro name=domain_made insns={}", timer::offset());
    each("smccc_version", measure::firmware_calls(TIMES, u64::from(SMCCC_VERSION)));
    for (name, address) in gic::readable(machine) {
        each(name, measure::device_reads(TIMES, address));
    }
    if let Some(uart) = machine.uart.filter(|_| machine.hypervisor) {
        each("uartfr", measure::device_reads(TIMES, uart + UARTFR));
    }
    each("actlr_el1", measure::trapped_register_reads(TIMES));
    sgi_to_self();
}

fn sgi_to_self() {
    gic::enable(SGI);
    let value = gic::sgi_value(SGI, read_register!("mpidr_el1"));
    let mut ticks = 0;
    for round in 0..ROUNDS {
        let before = gic::count(SGI);
        measure::dither(round);
        let sent = measure::stamped_sgi(value);
        while gic::count(SGI) == before {
            cpu::relax();
        }
        ticks += gic::last(SGI) - sent;
    }
    print("sgi_to_self", ticks, ROUNDS);
}
