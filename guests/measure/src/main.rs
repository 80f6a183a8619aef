//! What a guest's operations cost, in instructions.
//!
//! The figures that decide whether a hypervisor may sit under a media player are small and many: a hypercall, a trapped
//! register, an interrupt to oneself. This guest times each and prints `@micro name=... insns=...`; `cargo xtask bench
//! micro` puts them beside the peer's. It needs a clock in which one instruction is one nanosecond (QEMU's
//! `-icount shift=0`); elsewhere the same lines are nanoseconds. The boot argument `mode=` selects `alone` (also when
//! absent), `ping` and `pong` (two domains; `row=` names the figure), `map` and `grant` (two domains), `pair` (two
//! vCPUs on two CPUs), or `cyclic` (wake-ups in a row). The last line of who measures is `@done`, because not every hypervisor ends with its guest.
#![no_std]
#![no_main]

mod alone;
#[cfg(target_arch = "aarch64")]
mod arm;
mod cyclic;
mod domains;
mod memory;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
use arm as arch;
#[cfg(target_arch = "x86_64")]
use x86 as arch;

use rt::{Machine, power, println, timer};

rt::entry!(main);

/// Rounds of what is measured in one piece.
const TIMES: u64 = 10_000;
/// Rounds of what has to be waited for.
const ROUNDS: u64 = 1_000;

fn main(machine: &'static Machine) {
    match machine.argument("mode").unwrap_or("alone") {
        "alone" => {
            alone::run(machine);
            if machine.hypervisor {
                memory::reservations(machine);
            }
        }
        "ping" => domains::ping(machine.argument("row").unwrap_or("domain_switch")),
        "pong" => return domains::pong(),
        "map" => memory::user(machine),
        "grant" => return memory::granter(machine),
        "pair" => arch::pair(machine),
        "cyclic" => cyclic::run(machine),
        mode => {
            println!("measure: unknown mode {mode}; known: alone, ping, pong, map, grant, pair, cyclic");
            power::crash();
        }
    }
    println!("@done");
}

/// Prints what one round costs, rounded: `ticks` of the counter for `rounds`.
fn print(name: &str, ticks: u64, rounds: u64) {
    println!("@micro name={name} insns={}", (timer::to_ns(ticks) + rounds / 2) / rounds);
}

/// What was to be measured did not work; the machine ends without the figure, and the tool names it.
fn failed(name: &str, why: impl core::fmt::Display) {
    println!("measure: {name}: {why}");
}
