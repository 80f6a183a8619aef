//! The last words of the hypervisor.
//!
//! When EL2 itself has failed, whoever holds the log's lock may never let go of it, perhaps because this very CPU holds
//! it. So this path tries the lock for a bounded time, to print first what waits, and then writes to the UART without
//! it. Only plain text: no frame encoder, no state that may be half written.

use core::fmt::{self, Arguments, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use spin::RelaxStrategy;

use crate::lock::{GiveWay, Lock};
use crate::message::printable;
use crate::{CONSOLE, HOOKS, Hooks, drain_all, uart};

/// Attempts at a lock before it counts as broken; longer than any healthy CPU holds one.
const ATTEMPTS: u32 = 100_000;

/// Keeps two CPUs that fail together from mixing their words, as long as both are still able to.
static SPEAKER: Lock<()> = Lock::new(());
/// While set, ordinary output leaves the UART alone.
static EMERGENCY: AtomicBool = AtomicBool::new(false);

/// Does an emergency own the UART?
pub(crate) fn in_emergency() -> bool {
    EMERGENCY.load(Ordering::Relaxed)
}

/// Print text at once, whoever holds which lock, after what waits in the ring. Lines without prefix get `[hyp] `.
/// Without [`crate::init`] there is no UART, and nothing happens.
pub fn emergency_write(arguments: Arguments<'_>) {
    let Some(hooks) = HOOKS.get() else { return };
    let speaker = attempt(&SPEAKER);
    EMERGENCY.store(true, Ordering::Relaxed);
    if let Some(mut console) = attempt(&CONSOLE) {
        drain_all(&mut console);
    }
    uart::close_open(hooks);
    let mut direct = Direct { hooks, at_start: true };
    // `Direct` never fails; an argument's own formatter may, and what it wrote until then is printed.
    let _ = direct.write_fmt(arguments);
    uart::close_open(hooks);
    EMERGENCY.store(false, Ordering::Relaxed);
    drop(speaker);
}

/// Tries a lock for a bounded time.
fn attempt<T>(lock: &Lock<T>) -> Option<spin::mutex::ticket::TicketMutexGuard<'_, T, GiveWay>> {
    for _ in 0..ATTEMPTS {
        if let Some(guard) = lock.try_lock() {
            return Some(guard);
        }
        GiveWay::relax();
    }
    None
}

/// Text straight to the UART.
struct Direct<'a> {
    hooks: &'a Hooks,
    at_start: bool,
}

impl fmt::Write for Direct<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes().filter(|&byte| byte == b'\n' || printable(byte)) {
            if self.at_start {
                uart::put_waiting(self.hooks, b"[hyp] ");
            }
            uart::put_waiting(self.hooks, &[byte]);
            self.at_start = byte == b'\n';
        }
        Ok(())
    }
}

/// Prints where, to the column, then ends as the port says. Why is not printed: whoever reads the place sees it, and
/// the words for it, with all that formats their arguments, would be 12 KiB of the image.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if let Some(at) = info.location() {
        emergency_write(format_args!("panic at {}:{}:{}\n", at.file(), at.line(), at.column()));
    }
    match HOOKS.get() {
        Some(hooks) => (hooks.halt)(),
        None => loop {
            GiveWay::relax();
        },
    }
}
