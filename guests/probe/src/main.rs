//! The probe: checks of the guest ABI, and guests that misbehave on purpose.
//!
//! What a hypervisor promises is worth what a guest can verify. The boot argument `mode=` selects: `checks` (also when
//! absent) goes through the lists below and prints a line for each; the other modes do one bad or odd thing each, for
//! the tests of how the hypervisor reports it and whether the neighbours live on.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(target_arch = "aarch64")]
mod arm;
mod attack;
mod calls;
mod check;
mod control;
mod copies;
mod devices;
mod events;
mod io_domain;
mod lies;
mod neighbour;
mod queues;
mod sharing;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
use arm as arch;
#[cfg(target_arch = "x86_64")]
use x86 as arch;

use core::sync::atomic::Ordering::SeqCst;

use rt::{Machine, cpu, memory, misbehave, power, println, timer};

rt::entry!(main);

/// An address where neither RAM nor a device is under Xen's memory map.
const UNMAPPED: u64 = 0x1000_0000;
/// What the upper half of the mailbox holds between the first and the second start of `mode=reboot`; the lower one holds
/// some of the random bytes that the first life was given.
const REBOOTED: u64 = 0x7265_626f_0000_0000;

fn main(machine: &'static Machine) {
    let mode = machine.argument("mode").unwrap_or("checks");
    println!("probe: mode {mode}, {} vCPU(s), {}", machine.cpus().len(), platform(machine));
    match mode {
        "checks" => checks(machine),
        // The guest's own vectors would take this one; without them it is the hypervisor's.
        "undefined" => {
            misbehave::forget_vectors();
            misbehave::undefined_instruction();
        }
        "undefined-caught" => misbehave::undefined_instruction(),
        "unmapped" => println!("probe: read {:#x} and survived", misbehave::read(UNMAPPED)),
        "nowhere" => misbehave::jump(misbehave::NOWHERE),
        "crash" => power::crash(),
        "panic" => stop("asked to"),
        "reboot" => reboot(machine),
        "lend" | "borrow" | "control" | "io-domain" | "io-guest" | "attack" | "neighbour" | "liar" | "lied-to" => {
            with_others(machine, mode);
        }
        "sleep" => sleep(),
        "spin" => spin(),
        _ if arch::mode(mode, machine) => {}
        _ => {
            println!(
                "probe: unknown mode; known: checks, undefined, undefined-caught, unmapped, nowhere, crash, panic,"
            );
            println!(
                "probe: reboot, lend, borrow, control, io-domain, io-guest, attack, neighbour, liar, lied-to, sleep, spin;"
            );
            println!("probe: of this architecture: {}", arch::MODES);
            power::crash();
        }
    }
}

fn platform(machine: &Machine) -> &'static str {
    if machine.hypervisor { "under a hypervisor" } else { "bare" }
}

fn checks(machine: &'static Machine) {
    let mut checks = check::Checks::default();
    copies::run(&mut checks);
    arch::first(&mut checks, machine);
    if machine.hypervisor {
        calls::run(&mut checks);
        events::run(&mut checks);
    }
    arch::last(&mut checks, machine);
    checks.print_sum();
}

/// One of two domains that share pages, or one that controls or serves another.
fn with_others(machine: &'static Machine, mode: &str) {
    let mut checks = check::Checks::default();
    match mode {
        "lend" => sharing::lend(&mut checks, machine),
        "control" => control::run(&mut checks, machine),
        "io-domain" => io_domain::server(&mut checks, machine),
        "io-guest" => io_domain::guest(&mut checks, machine),
        "attack" => attack::run(&mut checks, machine),
        "neighbour" => neighbour::run(&mut checks, machine),
        "liar" => lies::lie(&mut checks, machine),
        "lied-to" => lies::believe(&mut checks, machine),
        _ => sharing::borrow(&mut checks, machine),
    }
    checks.print_sum();
}

/// Restart once, and know it by a word in RAM that no loader writes.
fn reboot(machine: &Machine) {
    let Some(mailbox) = memory::mailbox(machine) else {
        println!("probe: no room for a word at the end of RAM");
        power::crash();
    };
    let before = mailbox.load(SeqCst);
    let random = arch::random(machine);
    if before & !u64::from(u32::MAX) == REBOOTED {
        mailbox.store(0, SeqCst);
        let mut checks = check::Checks::default();
        checks.that("reboot", true, "");
        if let Some(random) = random {
            let zeros = random == 0;
            checks.that("other-random-bytes", !zeros && random != before as u32, "as-before-or-zeros");
        }
        checks.print_sum();
    } else {
        mailbox.store(REBOOTED | u64::from(random.unwrap_or(0)), SeqCst);
        println!("probe: restarting");
        power::reboot();
    }
}

#[allow(clippy::panic, reason = "what mode=panic is for")]
fn stop(why: &str) -> ! {
    panic!("{why}")
}

fn sleep() {
    loop {
        timer::wait_until(timer::now() + 1_000_000_000);
    }
}

fn spin() -> ! {
    loop {
        cpu::relax();
    }
}
