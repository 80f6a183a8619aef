//! Devices of the machine that the guest was given: QEMU's `edu` (its docs/specs/edu.rst), an identification, an interrupt and
//! DMA, and what was not given.

use core::sync::atomic::Ordering::SeqCst;

use rt::pci::{self, Function};
use rt::{Machine, cpu, interrupts, memory, misbehave, timer};

use crate::check::Checks;

/// Maker and kind of the device.
const EDU: u32 = 0x11e8_1234;
/// Registers of its configuration: what it may do, of which are memory and DMA; its registers' place; its line.
const COMMAND: u8 = 0x04;
const MEMORY_AND_DMA: u32 = 6;
const REGISTERS: u8 = 0x10;
const LINE: u8 = 0x3c;
/// Its registers: identification; what is read inverted; why it interrupts, make it so, answer it; DMA.
const IDENTITY: usize = 0x00;
const INVERTED: usize = 0x04;
const STATUS: usize = 0x24;
const RAISE: usize = 0x60;
const ANSWER: usize = 0x64;
const FROM: usize = 0x80;
const TO: usize = 0x88;
const COUNT: usize = 0x90;
const START: usize = 0x98;
/// DMA: its own memory; start, from its memory to ours, interrupt when done; why it interrupts then.
const BUFFER: u64 = 0x4_0000;
const GO: u32 = 1;
const TO_US: u32 = 2;
const INTERRUPT: u32 = 4;
const DMA_DONE: u32 = 0x100;
/// A port that nobody was given, with a device behind it on every PC.
const KEYBOARD: u16 = 0x60;
/// Longer than an interrupt takes, and than DMA does, ns.
const SOON: u64 = 1_000_000;
const LATE: u64 = 400_000_000;
/// What the word at the end of RAM holds in the second life.
const RESTARTED: u64 = 0x6173_7369_676e_6564;
/// What goes through the device's memory.
const PATTERN: u64 = 0x0123_4567_89ab_cdef;

struct Edu {
    registers: usize,
    line: u32,
}

impl Edu {
    fn read(&self, register: usize) -> u32 {
        memory::read_device(self.registers + register)
    }

    fn write(&self, register: usize, value: u32) {
        memory::write_device(self.registers + register, value);
    }

    fn write_long(&self, register: usize, value: u64) {
        self.write(register, value as u32);
        self.write(register + 4, (value >> 32) as u32);
    }

    /// Waits for the interrupt that something makes; has it come?
    fn interrupts(&self, ns: u64, cause: impl FnOnce()) -> bool {
        let end = timer::now() + ns;
        let before = interrupts::count(self.line);
        cause();
        while interrupts::count(self.line) == before && timer::now() < end {
            cpu::relax();
        }
        interrupts::take(self.line)
    }
}

/// Drives the device, asks for a reset, and does it again.
pub(crate) fn run(checks: &mut Checks, machine: &Machine) {
    let Some((function, _)) = pci::functions().find(|(_, identity)| *identity == EDU) else {
        return checks.that("device-found", false, "none");
    };
    let edu = configure(function);
    checks.same("identification", edu.read(IDENTITY) & 0xff, 0xed);
    edu.write(INVERTED, 0x1234_5678);
    checks.same("registers", edu.read(INVERTED), !0x1234_5678);
    interrupts::enable(edu.line);
    interrupt(checks, &edu);
    held(checks, &edu);
    let host = machine.argument("host").and_then(|host| u64::from_str_radix(host, 16).ok());
    match (memory::mailbox(machine), host) {
        (Some(word), Some(host)) => {
            let restarted = word.load(SeqCst) == RESTARTED;
            dma(checks, &edu, word, host);
            checks.same("other-port", misbehave::read_port(KEYBOARD), u32::MAX);
            if !restarted {
                word.store(RESTARTED, SeqCst);
                rt::println!("probe: asks for a reset while the device interrupts");
                checks.print_sum();
                edu.write(RAISE, 1);
                misbehave::reset();
            }
        }
        _ => checks.that("told", false, "no-room-at-the-end-of-RAM-or-no-host="),
    }
}

fn configure(function: Function) -> Edu {
    function.write(COMMAND, function.read(COMMAND) | MEMORY_AND_DMA);
    let registers = function.read(REGISTERS) & !0xf;
    let edu = Edu { registers: registers as usize, line: function.read(LINE) & 0xff };
    rt::println!("probe: registers at {registers:#x}, line {}", edu.line);
    // What an earlier life has left.
    edu.write(ANSWER, edu.read(STATUS));
    edu
}

/// It comes once for each time.
fn interrupt(checks: &mut Checks, edu: &Edu) {
    for round in 1..=3 {
        let came = edu.interrupts(SOON, || edu.write(RAISE, round));
        let status = edu.read(STATUS);
        edu.write(ANSWER, status);
        checks.same("interrupt", (came, status, interrupts::any()), (true, round, false));
    }
    checks.same("no-other", (edu.interrupts(SOON, || ()), interrupts::count(edu.line)), (false, 3));
}

/// A device that is not answered comes again, and does not flood us.
fn held(checks: &mut Checks, edu: &Edu) {
    let first = edu.interrupts(SOON, || edu.write(RAISE, 1));
    timer::spin_until(timer::now() + SOON);
    checks.same("not-before-its-end", (first, interrupts::count(edu.line)), (true, 4));
    // The question ends it, unanswered.
    let again = edu.interrupts(SOON, || _ = interrupts::any());
    edu.write(ANSWER, edu.read(STATUS));
    checks.same("again-after-its-end", (again, interrupts::any(), interrupts::count(edu.line)), (true, false, 5));
}

/// A word of ours goes into the device's memory and comes back.
fn dma(checks: &mut Checks, edu: &Edu, word: &core::sync::atomic::AtomicU64, host: u64) {
    let before = word.swap(PATTERN, SeqCst);
    let ours = host + core::ptr::from_ref(word) as u64;
    let mut transfer = |from: u64, to: u64, command: u32| {
        edu.write_long(FROM, from);
        edu.write_long(TO, to);
        edu.write_long(COUNT, 8);
        let came = edu.interrupts(LATE, || edu.write_long(START, (GO | INTERRUPT | command).into()));
        let status = edu.read(STATUS);
        edu.write(ANSWER, status);
        checks.same("dma", (came, status), (true, DMA_DONE));
    };
    transfer(ours, BUFFER, 0);
    word.store(0, SeqCst);
    transfer(BUFFER, ours, TO_US);
    checks.same("dma-back", word.load(SeqCst), PATTERN);
    word.store(before, SeqCst);
}

/// What a guest finds at the places of devices that another one has.
pub(crate) fn not_given(checks: &mut Checks) {
    checks.same("configuration-ports", [0xcf8, 0xcfc].map(misbehave::read_port), [u32::MAX; 2]);
    checks.same("no-functions", pci::functions().count(), 0);
}
