//! What kernels trap on: devices by every form of load and store, memory that is not there, debug registers, the second
//! timer, cache maintenance, suspension. Some of it makes the hypervisor report a fault, so it has a mode of its own.

use rt::misbehave::NOWHERE;
use rt::{Machine, cpu, forms, gic, hardware_debug as debug, misbehave, println, psci, read_register, timer, trap};

use crate::UNMAPPED;
use crate::check::Checks;

/// GICD_TYPER and GICD_IIDR lie side by side; GICD_IPRIORITYR8 and 9 are those of INTIDs 32 to 39; GICD_IROUTER32.
const GICD_TYPER: u64 = 0x4;
const GICD_IIDR: u64 = 0x8;
const GICD_IPRIORITYR8: u64 = 0x420;
const GICD_IROUTER32: u64 = 0x6100;
/// UARTFR, UARTIBRD, UARTFBRD of the serial port.
const UARTDR: u64 = 0x0;
const UARTFR: u64 = 0x18;
const UARTIBRD: u64 = 0x24;
/// ESR_EL1 of a synchronous external abort at EL1 on a load, and what a store adds.
const ABORT: u64 = 0x25 << 26 | 1 << 25 | 0x10;
const STORE: u64 = 1 << 6;
/// ESR_EL1 of an undefined instruction.
const UNDEFINED: u64 = 1 << 25;
/// Long enough that another guest runs in between, ns.
const NAP: u64 = 40_000_000;
/// A timer's time, ns; and how late it may be.
const STEP: u64 = 500_000;
const LOST: u64 = 100_000_000;

pub(crate) fn run(checks: &mut Checks, machine: &Machine) {
    if let Some(gic) = machine.gic {
        distributor(checks, machine, gic.distributor() as u64);
    }
    if let Some(uart) = machine.uart {
        serial_port(checks, uart as u64);
        refused(checks, uart as u64);
    }
    aborts(checks);
    identification(checks);
    physical_timer(checks);
    caches(checks);
    suspend(checks);
    breakpoints(checks);
    keys(checks);
}

/// Loads and stores without a syndrome, against the plain ones.
fn distributor(checks: &mut Checks, machine: &Machine, base: u64) {
    let at = |offset| u64::from(misbehave::read(base + offset));
    let (kind, maker) = (at(GICD_TYPER), at(GICD_IIDR));
    let typer = base + GICD_TYPER;
    checks.same("load-post", forms::load_post(typer), [kind, 0, typer + 8]);
    checks.same("load-pre", forms::load_pre(base), [kind, 0, typer]);
    checks.same("load-pair", forms::load_pair(typer), [kind, maker, typer]);
    checks.same("load-pair-post", forms::load_pair_post(typer), [kind, maker, typer + 8]);
    checks.same("load-pair-pre", forms::load_pair_pre(typer - 8), [kind, maker, typer]);
    checks.same("load-pair-once", forms::load_pair_once(typer), [kind, maker, typer]);
    let signed = |word: u64| i64::from(word as i32) as u64;
    checks.same("load-signed-pair", forms::load_signed_pair(typer), [signed(kind), signed(maker), typer]);
    checks.same("load-signed-word-post", forms::load_signed_word_post(typer), [signed(kind), 0, typer + 4]);
    checks.same("load-unscaled", forms::load_unscaled(base), [kind, 0, base]);
    checks.same("load-by-register", forms::load_by_register(base), [kind, 1, base]);
    let control = at(0);
    let by_stack = forms::load_by_stack(base);
    checks.same("load-by-stack", (by_stack[0], by_stack[2]), (control, base + 16));
    let by_stack = forms::load_by_other_stack(base);
    checks.same("load-by-other-stack", (by_stack[0], by_stack[2]), (control, base + 16));
    // The only kind of register there that has 64 bits, which a GICv2 does not have.
    let route = base + GICD_IROUTER32;
    if gic::revision(machine) == Some(3) {
        checks.same("load-wide-post", forms::load_wide_post(route), [at(GICD_IROUTER32), 0, route + 8]);
    }
    let priorities = base + GICD_IPRIORITYR8;
    checks.same("store-post", forms::store_post(priorities, 0x80f0_1020, 0), priorities + 4);
    checks.same("store-pre", forms::store_pre(priorities, 0x4050_6070, 0), priorities + 4);
    checks.same("stored", [at(GICD_IPRIORITYR8), at(GICD_IPRIORITYR8 + 4)], [0x80f0_1020, 0x4050_6070]);
    checks.same("load-byte-post", forms::load_byte_post(priorities + 3), [0x80, 0, priorities + 2]);
    checks.same("load-signed-byte-pre", forms::load_signed_byte_pre(priorities + 1), [!0xf, 0, priorities + 2]);
    checks.same("store-byte-post", forms::store_byte_post(priorities + 1, 0x8, 0), priorities + 2);
    checks.same("stored-byte", at(GICD_IPRIORITYR8), 0x80f0_0820);
    checks.same("store-pair", forms::store_pair(priorities, 0x1010_1010, 0x2020_2020), priorities);
    checks.same("stored-pair", [at(GICD_IPRIORITYR8), at(GICD_IPRIORITYR8 + 4)], [0x1010_1010, 0x2020_2020]);
    checks.same("store-pair-post", forms::store_pair_post(priorities, 0x30, 0x40), priorities + 8);
    checks.same("stored-pair-post", [at(GICD_IPRIORITYR8), at(GICD_IPRIORITYR8 + 4)], [0x30, 0x40]);
    checks.same(
        "store-zero-post",
        (forms::store_zero_post(priorities, 0, 0), at(GICD_IPRIORITYR8)),
        (priorities + 4, 0),
    );
}

fn serial_port(checks: &mut Checks, base: u64) {
    checks.same("uart-load-post", forms::load_post(base + UARTFR)[0] & 0x80, 0x80);
    "probe: by every form\n".bytes().for_each(|byte| {
        forms::store_byte_post(base + UARTDR, byte.into(), 0);
    });
    forms::store_pair(base + UARTIBRD, 27, 8);
    checks.same("uart-load-pair", forms::load_pair(base + UARTIBRD), [27, 8, base + UARTIBRD]);
}

/// What no device can answer is an abort, not a wrong answer.
fn refused(checks: &mut Checks, base: u64) {
    let flags = base + UARTFR;
    let caught = trap::catch(|| forms::load_vector(base));
    checks.same("vector-load-refused", (caught, trap::last().address), (Some(ABORT), base));
    let caught = trap::catch(|| {
        forms::load_exclusive(flags);
    });
    checks.same("exclusive-load-refused", (caught, trap::last().address), (Some(ABORT), flags));
    let caught = trap::catch(|| {
        forms::clean(flags, 0, 0);
        forms::clean(UNMAPPED, 0, 0);
    });
    checks.same("cache-maintenance-of-nothing", caught, None);
}

/// Memory that is not there: what bare hardware raises.
fn aborts(checks: &mut Checks) {
    let caught = trap::catch(|| {
        misbehave::read(UNMAPPED);
    });
    let last = trap::last();
    checks.same("load-of-nothing", (caught, last.address, last.vector), (Some(ABORT), UNMAPPED, 4));
    checks.same("state-of-nothing", last.state & 0xf, 5);
    let caught = trap::catch(|| misbehave::write(UNMAPPED + 8));
    checks.same("store-to-nothing", (caught, trap::last().address), (Some(ABORT | STORE), UNMAPPED + 8));
    let caught = trap::catch(|| misbehave::write_on_other_stack(UNMAPPED));
    let last = trap::last();
    checks.same("store-on-other-stack", (caught, last.vector, last.state & 0xf), (Some(ABORT | STORE), 0, 4));
    let caught = trap::catch(|| {
        forms::load_post(UNMAPPED);
    });
    checks.same("load-post-of-nothing", (caught, trap::last().address), (Some(ABORT), UNMAPPED));
    let caught = trap::catch(|| misbehave::call(NOWHERE));
    let last = trap::last();
    let fetch = 0x21 << 26 | 1 << 25 | 0x10;
    checks.same("call-of-nothing", (caught, last.address, last.pc), (Some(fetch), NOWHERE, NOWHERE));
    let caught = trap::catch(|| trap::at_el0(NOWHERE));
    let last = trap::last();
    let fetch = 0x20 << 26 | 1 << 25 | 0x10;
    checks.same("user-call-of-nothing", (caught, last.vector, last.state & 0xf), (Some(fetch), 8, 0));
    let caught = trap::catch(misbehave::strange_secure_call);
    checks.same("strange-secure-call", caught, Some(UNDEFINED));
}

/// Nothing is shown that is not there, and what is not shown is undefined.
fn identification(checks: &mut Checks) {
    let nibble = |value: u64, low: u32| value >> low & 0xf;
    let [features, debug] = [read_register!("id_aa64pfr0_el1"), read_register!("id_aa64dfr0_el1")];
    let [sve, ras, amu] = [32, 28, 44].map(|low| nibble(features, low));
    checks.same("hidden-features", (sve, ras, amu, nibble(features, 8)), (0, 0, 0, 0));
    checks.same("hidden-monitors", (nibble(debug, 8), nibble(debug, 4), nibble(debug, 32)), (0, 0, 0));
    checks.that("debug-shown", nibble(debug, 0) >= 6 && nibble(debug, 12) >= 1, format_args!("{debug:#x}"));
    macro_rules! undefined {
        ($($name:literal)*) => {$(
            let caught = trap::catch(|| {
                read_register!($name);
            });
            checks.same(concat!("undefined-", $name), caught, Some(UNDEFINED));
        )*};
    }
    // Performance monitors, error records, limited-order regions, beyond the breakpoints that there are.
    undefined!("pmcr_el0" "pmccntr_el0" "pmintenset_el1" "s3_0_c5_c3_0" "s3_0_c10_c4_0" "dbgbcr15_el1");
    let caught = trap::catch(|| {
        read_register!("id_aa64isar1_el1");
        read_register!("s3_0_c0_c7_7");
        read_register!("id_dfr0_el1");
        read_register!("actlr_el1");
    });
    checks.same("identification-readable", caught, None);
}

fn physical_timer(checks: &mut Checks) {
    gic::enable(timer::PHYSICAL);
    let seen = |before: u64| move || gic::count(timer::PHYSICAL) > before;
    let before = gic::count(timer::PHYSICAL);
    let at = timer::physical_counter() + timer::to_ticks(STEP);
    timer::set_physical(at);
    let [control, compare, _] = timer::physical_registers();
    checks.same("physical-timer-waits", [control, compare], [1, at]);
    checks.that("physical-timer-while-running", wait(cpu::relax, seen(before)), "no-interrupt");
    let [control, _, left] = timer::physical_registers();
    checks.that("physical-timer-status", control == 7 && left as i32 <= 0, format_args!("{control:#x}-{left:#x}"));
    let before = gic::count(timer::PHYSICAL);
    timer::set_physical_in(timer::to_ticks(STEP));
    cpu::mask_interrupts();
    let up = wait(
        || {
            cpu::wait_for_interrupt();
            cpu::unmask_interrupts();
            cpu::mask_interrupts();
        },
        seen(before),
    );
    cpu::unmask_interrupts();
    checks.that("physical-timer-from-wfi", up, "no-interrupt");
    // Masked, it raises nothing; unmasked, it does at once.
    let before = gic::count(timer::PHYSICAL);
    timer::control_physical(3);
    timer::spin_until(timer::now() + STEP);
    checks.same("physical-timer-masked", gic::count(timer::PHYSICAL), before);
    timer::control_physical(1);
    checks.that("physical-timer-unmasked", wait(cpu::relax, seen(before)), "no-interrupt");
    timer::control_physical(0);
    checks.same("physical-timer-off", timer::physical_registers()[0], 0);
    gic::disable(timer::PHYSICAL);
}

fn wait(pause: impl Fn(), until: impl Fn() -> bool) -> bool {
    let end = timer::now() + LOST;
    while !until() && timer::now() < end {
        pause();
    }
    until()
}

/// A whole cache by set and way costs what its instructions cost.
fn caches(checks: &mut Checks) {
    let before = timer::counter();
    let lines = cpu::clean_by_set_and_way();
    let ns = timer::to_ns(timer::counter() - before);
    println!("probe: {lines} lines by set and way took {ns} ns");
    checks.that("cache-by-set-and-way", lines > 0 && ns < 20 * lines + 1_000_000, format_args!("{ns}-for-{lines}"));
}

fn suspend(checks: &mut Checks) {
    let call = |state| {
        cpu::mask_interrupts();
        let before = gic::count(timer::intid());
        timer::set(timer::counter() + timer::to_ticks(STEP));
        let result = psci::suspend(state);
        cpu::unmask_interrupts();
        (result, wait(cpu::relax, || gic::count(timer::intid()) > before))
    };
    checks.same("suspend-standby", call(0), (0, true));
    checks.same("suspend-power-down", call(1 << 16), (psci::RESUMED, true));
    checks.same("suspend-strange", psci::suspend(1 << 20), psci::INVALID_PARAMETERS);
    let nowhere = psci::call(0xc400_0001, 1 << 16, NOWHERE, 0);
    checks.same("suspend-to-nowhere", nowhere, -9);
    checks.same("system-suspend-refused", psci::call(0xc400_000e, NOWHERE, 0, 0), psci::NOT_SUPPORTED);
    let features = |function| psci::call(psci::function::FEATURES, function, 0, 0);
    checks.same("features-of-suspend", [features(0xc400_0001), features(0xc400_000e)], [0, psci::NOT_SUPPORTED]);
}

fn breakpoints(checks: &mut Checks) {
    let locked = read_register!("oslsr_el1");
    debug::open();
    checks.same("debug-lock", (locked & !2, read_register!("oslsr_el1")), (8, 8));
    debug::set_breakpoint();
    let caught = trap::catch(debug::run_into_breakpoint);
    checks.same("breakpoint", caught.map(|syndrome| syndrome >> 26), Some(0x31));
    let mut word = 0u64;
    let place = &raw mut word as u64;
    debug::set_watchpoint(place);
    let caught = trap::catch(|| misbehave::write(place));
    checks.same("watchpoint", (caught.map(|syndrome| syndrome >> 26), trap::last().address), (Some(0x35), place));
    let before = debug::registers();
    timer::wait_until(timer::now() + NAP);
    checks.same("debug-registers-kept", debug::registers(), before);
    let caught = trap::catch(debug::run_into_breakpoint);
    checks.same("breakpoint-after-a-nap", caught.map(|syndrome| syndrome >> 26), Some(0x31));
    let mut behind = 1;
    let caught = trap::catch(|| behind = debug::step());
    checks.same("step-over-a-trap", (caught.map(|syndrome| syndrome >> 26), behind), (Some(0x33), 0));
    debug::close();
    timer::wait_until(timer::now() + NAP);
    let caught = trap::catch(|| {
        debug::run_into_breakpoint();
        misbehave::write(place);
    });
    checks.same("debug-closed", (caught, debug::registers()[4]), (None, 0));
}

/// Keys of pointer authentication travel with their vCPU, where there are any.
fn keys(checks: &mut Checks) {
    let value = read_register!("id_aa64isar1_el1");
    let present = value & 0xff0 != 0;
    let name = if present { "keys-kept" } else { "no-keys" };
    let mut kept = [0; 2];
    let caught = trap::catch(|| {
        cpu::set_key(0x1234);
        timer::wait_until(timer::now() + NAP);
        kept = cpu::key();
    });
    let expected = if present { (None, [0x1234, !0x1234]) } else { (Some(UNDEFINED), kept) };
    checks.same(name, (caught, kept), expected);
}
