//! `multicall`: several hypercalls by one (`public/xen.h`).
//!
//! Each entry is a call like any other and asks the policy by itself. A few are made at a time; then, and wherever an
//! entry itself is not done at once, the caller repeats the call with what is left of the list, so that interrupts come
//! in between and a list of any length holds nobody up.

use xen_abi::errno::Errno;
use xen_abi::hypercall::{MULTICALL, MulticallEntry};

use super::{Answer, Call, dispatch};
use crate::arch::Arch;
use crate::policy::Decision;

/// Entries that are made before the caller repeats the call.
const BUDGET: u32 = 8;
const ENTRY: u64 = size_of::<MulticallEntry>() as u64;
/// Offset of an entry's result.
const RESULT: u64 = 8;
/// Offset of its arguments.
const ARGUMENTS: u64 = 16;

#[inline(never)]
pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    let (mut list, mut left) = (call.args[0], call.args[1] as u32);
    for _ in 0..BUDGET {
        if left == 0 {
            return Ok(Answer::Value(0));
        }
        let answer = make(call, list)?;
        let rest = (list.wrapping_add(ENTRY), left.saturating_sub(1));
        let result = match answer {
            Answer::Value(value) => value,
            Answer::GiveWay | Answer::Block => 0,
            Answer::Repeat | Answer::RepeatLater | Answer::BlockAndRepeat => {
                return Ok(go_on(call, (list, left), answer));
            }
            Answer::Ended => return Ok(Answer::Ended),
        };
        call.write(list.wrapping_add(RESULT), &result)?;
        (list, left) = rest;
        match answer {
            Answer::GiveWay if left != 0 => return Ok(go_on(call, rest, Answer::RepeatLater)),
            Answer::Block if left != 0 => return Ok(go_on(call, rest, Answer::BlockAndRepeat)),
            Answer::GiveWay | Answer::Block => return Ok(answer),
            _ => {}
        }
    }
    Ok(if left == 0 { Answer::Value(0) } else { go_on(call, (list, left), Answer::Repeat) })
}

/// Makes the first call of a list.
fn make<A: Arch>(call: &mut Call<'_, '_, A>, list: u64) -> Result<Answer, Errno> {
    let MulticallEntry { op, args: [a, b, c, d, e, _], .. } = call.read(list)?;
    if op == MULTICALL {
        return Ok(Answer::Value(Errno::EINVAL.to_result()));
    }
    let Call { hypervisor, local, current, .. } = call;
    let mut entry = Call { hypervisor, local, current, args: [a, b, c, d, e] };
    let answer = dispatch(&mut entry, op);
    let moved_on = entry.args;
    if answer == Answer::Repeat && moved_on != [a, b, c, d, e] {
        // What of the entry is done must not be done again.
        call.write(list.wrapping_add(ARGUMENTS), &moved_on)?;
    }
    Ok(answer)
}

/// The caller repeats the call with what is left.
fn go_on<A: Arch>(call: &mut Call<'_, '_, A>, (list, left): (u64, u32), answer: Answer) -> Answer {
    call.hypervisor.arch.set_arguments(&mut call.current.private.arch, [list, left.into()]);
    answer
}
