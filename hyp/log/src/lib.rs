//! Log and consoles on one UART.
//!
//! A phone has one serial line, often none; a hypervisor, its log and up to eight guests share it. What is written here
//! by whom stays whole: a guest's line and a log message enter the output ring complete or not at all, and the ring
//! leaves in order. Nothing here waits for the UART: what does not fit is refused (guests, who try again) or counted as
//! lost (the log), so that logging never costs a guest its deadline.
//!
//! The log has two forms, chosen at run time by [`set_format`]: plain text, `[hyp] ...` lines; or `defmt` frames, each
//! as a zero byte, the encoded frame (which has no zero byte), and a zero byte. Text never contains a zero byte, so a
//! reader that splits the stream at zero bytes finds text and frames in turn.
//!
//! Use: [`init`] once; the macros [`error!`], [`warn!`], [`info!`], [`debug!`] and [`event!`]; [`pump`] wherever the
//! hypervisor has a moment; [`flush`] at the end; [`emergency!`] when all else has failed.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod console;
mod lock;
mod message;
mod panic;
mod ring;
mod uart;

#[cfg(target_os = "none")]
mod frames;
#[cfg(test)]
mod tests;

use core::fmt::{Arguments, Display};
use core::sync::atomic::{AtomicBool, Ordering};

use console::Console;
use lock::Lock;
use message::Text;
use spin::Once;

pub use panic::emergency_write;

#[doc(hidden)]
pub use defmt;

/// Domains that can have a console.
pub const DOMAINS: usize = 8;
/// CPUs that can log.
pub const CPUS: usize = 8;
/// Bytes of output that can wait for the UART.
const RING: usize = 16 * 1024;
/// Bytes that one call hands to the UART at most: bounds how long the caller is away. A whole message, so that the ring
/// stays short as long as the UART keeps up.
const PUMP_BYTES: usize = message::MESSAGE;

/// What this crate needs from its surroundings.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Hand a byte to the UART; `false` when it cannot take one now. Called by any CPU, never by two at once except in
    /// an emergency.
    pub put: fn(u8) -> bool,
    /// Number of the calling CPU, from 0.
    pub cpu: fn() -> usize,
    /// Time stamp of log frames, nanoseconds.
    pub now_ns: fn() -> u64,
    /// Where a panic ends, after it is printed.
    pub halt: fn() -> !,
}

/// Form of the hypervisor's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `[hyp] ...` lines.
    Plain,
    /// `defmt` frames.
    Defmt,
}

/// How much a message matters.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

static CONSOLE: Lock<Console<RING>> = Lock::new(Console::new());
static HOOKS: Once<Hooks> = Once::new();
static DEFMT: AtomicBool = AtomicBool::new(false);

/// Connect the log to the machine. What was written before waits in the ring. A second call changes nothing.
pub fn init(hooks: Hooks) {
    HOOKS.call_once(|| hooks);
    pump();
}

/// Choose the form of the hypervisor's messages from now on; [`Format::Plain`] until then.
pub fn set_format(format: Format) {
    DEFMT.store(format == Format::Defmt, Ordering::Relaxed);
}

/// Set the name that prefixes a domain's lines; cut to 16 bytes.
pub fn name_domain(domain: usize, name: &str) {
    CONSOLE.lock().name(domain, name);
}

/// Append a guest's console output. Returns how many bytes were taken: the caller makes the guest repeat the others. A
/// byte costs some 55 instructions, part of them under the lock, so the caller passes a few hundred bytes at a time.
pub fn write_guest(domain: usize, bytes: &[u8]) -> usize {
    let mut console = CONSOLE.lock();
    let taken = console.write_guest(domain, bytes);
    if console.has_waiting() {
        drain(&mut console);
    }
    taken
}

/// Print what a domain has written since its last newline, with a newline: it has ended and will not finish the line.
pub fn finish_line(domain: usize) {
    let mut console = CONSOLE.lock();
    console.finish_line(domain);
    drain(&mut console);
}

/// Hand waiting output to the UART as far as it takes it, at most one message's worth. `true`: something is left.
/// Returns at once when another CPU is at it.
pub fn pump() -> bool {
    match CONSOLE.try_lock() {
        Some(mut console) => drain(&mut console),
        None => true,
    }
}

/// Print everything, unfinished lines too, waiting for the UART: for the end of a run, and between the lines of a long
/// dump, which would overrun the ring where the line is slow.
pub fn flush() {
    let mut console = CONSOLE.lock();
    for domain in 0..DOMAINS {
        while !console.finish_line(domain) {
            drain_all(&mut console);
        }
    }
    drain_all(&mut console);
}

/// One bounded portion; `true`: something is left.
fn drain(console: &mut Console<RING>) -> bool {
    match HOOKS.get() {
        Some(hooks) if !panic::in_emergency() => console.drain(PUMP_BYTES, |bytes| uart::put(hooks, bytes)) > 0,
        _ => true,
    }
}

/// Everything in the ring; a UART that takes nothing for very long loses it.
fn drain_all(console: &mut Console<RING>) {
    if let Some(hooks) = HOOKS.get() {
        console.drain(usize::MAX, |bytes| {
            uart::put_waiting(hooks, bytes);
            bytes.len()
        });
    }
}

/// Put a complete message, text or frame, into the ring, or count it as lost.
fn commit(message: Option<&[u8]>) {
    let mut console = CONSOLE.lock();
    match message {
        Some(bytes) => console.message(bytes),
        None => console.lose(),
    }
    drain(&mut console);
}

/// Are messages to be `defmt` frames now?
#[doc(hidden)]
pub fn is_defmt() -> bool {
    DEFMT.load(Ordering::Relaxed)
}

/// A message in plain text.
#[doc(hidden)]
#[inline(never)]
pub fn write_plain(level: Level, arguments: Arguments<'_>) {
    // The same switch as for defmt, which reads it when the macro is expanded.
    const DEBUG: bool = matches!(option_env!("DEFMT_LOG"), Some(level) if is_debug(level));
    if level == Level::Debug && !DEBUG {
        return;
    }
    let mut text = Text::new(match level {
        Level::Error => "[hyp] error: ",
        Level::Warn => "[hyp] warning: ",
        Level::Info => "[hyp] ",
        Level::Debug => "[hyp] debug: ",
    });
    // Text swallows what does not fit and never fails; an error can only come from an argument's own formatter, and
    // what it wrote until then is still worth printing.
    let _ = core::fmt::write(&mut text, arguments);
    commit(Some(text.finish()));
}

/// Does this value of DEFMT_LOG let debug messages through?
const fn is_debug(level: &str) -> bool {
    matches!(level.as_bytes(), b"debug" | b"trace")
}

/// Makes a value that only has `Display` an argument of the log macros: `info!("{}", Shown(&error))`.
pub struct Shown<'a, T: Display + ?Sized>(pub &'a T);

impl<T: Display + ?Sized> Display for Shown<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Display + ?Sized> defmt::Format for Shown<'_, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self.0));
    }
}

/// Both forms of one message. The format string must mean the same to `core::fmt` and `defmt`: `{}`, `{:x}`, `{:#x}`,
/// `{:08x}`. No `usize`: defmt cuts it to 32 bits.
#[doc(hidden)]
#[macro_export]
macro_rules! log_message {
    ($macro:ident, $level:ident, $($argument:tt)+) => {{
        #[cfg(target_os = "none")]
        if $crate::is_defmt() {
            // The macros of defmt expand to paths that begin with the crate's name.
            use $crate::defmt;
            $crate::defmt::$macro!($($argument)+);
        } else {
            $crate::write_plain($crate::Level::$level, ::core::format_args!($($argument)+));
        }
        #[cfg(not(target_os = "none"))]
        $crate::write_plain($crate::Level::$level, ::core::format_args!($($argument)+));
    }};
}

/// Log that something has failed and stays failed.
#[macro_export]
macro_rules! error { ($($argument:tt)+) => { $crate::log_message!(error, Error, $($argument)+) }; }
/// Log that something is not as it should be, and the hypervisor goes on.
#[macro_export]
macro_rules! warn { ($($argument:tt)+) => { $crate::log_message!(warn, Warn, $($argument)+) }; }
/// Log what a person wants to read.
#[macro_export]
macro_rules! info { ($($argument:tt)+) => { $crate::log_message!(info, Info, $($argument)+) }; }
/// Log what only a developer wants to read; dropped unless `DEFMT_LOG` is `debug` or `trace` at build time.
#[macro_export]
macro_rules! debug { ($($argument:tt)+) => { $crate::log_message!(debug, Debug, $($argument)+) }; }
/// Tell tools something: the text starts with `@` and has no level in either form.
#[macro_export]
macro_rules! event { ($($argument:tt)+) => { $crate::log_message!(println, Info, $($argument)+) }; }
/// Print at once, in plain text, whoever holds which lock: for a fault of the hypervisor itself.
#[macro_export]
macro_rules! emergency { ($($argument:tt)+) => { $crate::emergency_write(::core::format_args!($($argument)+)) }; }
