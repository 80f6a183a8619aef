//! `console_io`: text out, nothing in.
//!
//! Guests print before they have anything else, so this must not lose a byte; and it must not hold a CPU for long
//! either. A write is done in pieces: when the console is full, or a lot is done already, the caller repeats the call
//! and we remember how far it had come.

use xen_abi::console::{CONSOLEIO_READ, CONSOLEIO_WRITE};
use xen_abi::errno::Errno;

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::policy::Decision;

/// Bytes that are copied at a time, on the hypervisor's stack.
const PIECE: usize = 128;
/// Bytes after which the caller has to make the call again.
const BUDGET: u64 = 1024;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    match call.operation() {
        CONSOLEIO_WRITE => write(call),
        // A length that a result could not say.
        CONSOLEIO_READ if call.args[1] as u32 > i32::MAX as u32 => Err(Errno::E2BIG),
        // Nothing has been typed: the keyboard goes to serial ports.
        CONSOLEIO_READ => DONE,
        _ => Err(Errno::ENOSYS),
    }
}

fn write<A: Arch>(call: &mut Call<'_, '_, A>) -> Result<Answer, Errno> {
    let key = [call.args[0], call.args[1], call.args[2]];
    let [_, count, from] = key;
    let count = u64::from(count as u32);
    // An interrupt handler may have printed between two pieces; then the keys differ and the line starts again.
    let before = call.current.private.progress.take().filter(|(of, _)| *of == key).map_or(0, |(_, done)| done);
    let mut done = before;
    while done < count {
        if done.saturating_sub(before) >= BUDGET {
            call.current.private.progress = Some((key, done));
            return Ok(Answer::Repeat);
        }
        let mut piece = [0; PIECE];
        let size = count.saturating_sub(done).min(PIECE as u64) as usize;
        let Some(piece) = piece.get_mut(..size) else { break };
        call.read_bytes(from.wrapping_add(done), piece)?;
        let fitted = call.hypervisor.arch.console_write(call.me(), piece).min(size);
        done = done.saturating_add(fitted as u64);
        if fitted < size {
            call.current.private.progress = Some((key, done));
            return Ok(Answer::RepeatLater);
        }
    }
    DONE
}
