//! `sched_op`: letting others go first, waiting, ending (`public/sched.h`).

use core::sync::atomic::Ordering;

use xen_abi::errno::Errno;
use xen_abi::sched::{
    Poll, SCHEDOP_BLOCK, SCHEDOP_POLL, SCHEDOP_SHUTDOWN, SCHEDOP_YIELD, SHUTDOWN_CRASH, SHUTDOWN_POWEROFF,
    SHUTDOWN_REBOOT, SHUTDOWN_SUSPEND, SHUTDOWN_WATCHDOG, Shutdown,
};

use super::{Answer, Call, DONE};
use crate::arch::{Arch, ShutdownReason};
use crate::event::Port;
use crate::limits::{MAX_POLL_PORTS, MAX_PORTS};
use crate::policy::Decision;
use crate::vcpu::POLLING_ANY;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    match call.operation() {
        SCHEDOP_YIELD => Ok(Answer::GiveWay),
        SCHEDOP_BLOCK if call.current.has_interrupt(&call.hypervisor.arch) => DONE,
        SCHEDOP_BLOCK => Ok(Answer::Block),
        SCHEDOP_SHUTDOWN => {
            let Shutdown { reason } = call.read(call.args[1])?;
            let reason = reason_of(reason)?;
            call.hypervisor.end_domain(call.local, call.current.domain, reason);
            Ok(Answer::Ended)
        }
        SCHEDOP_POLL => {
            let poll = call.read(call.args[1])?;
            start_polling(call, &poll).inspect_err(|_| call.hypervisor.stop_polling(call.current))
        }
        _ => Err(Errno::ENOSYS),
    }
}

fn reason_of(reason: u32) -> Result<ShutdownReason, Errno> {
    match reason {
        SHUTDOWN_POWEROFF => Ok(ShutdownReason::PowerOff),
        SHUTDOWN_REBOOT => Ok(ShutdownReason::Reboot),
        SHUTDOWN_SUSPEND => Ok(ShutdownReason::Suspend),
        SHUTDOWN_CRASH => Ok(ShutdownReason::Crash),
        SHUTDOWN_WATCHDOG => Ok(ShutdownReason::Watchdog),
        _ => Err(Errno::EINVAL),
    }
}

/// Waits until one of the ports is pending, masked or not, or an interrupt comes, or the timeout is over. The timeout is
/// a point in time by [`Arch::now`]; 0 is none.
fn start_polling<A: Arch>(call: &mut Call<'_, '_, A>, poll: &Poll) -> Result<Answer, Errno> {
    if poll.nr_ports as usize > MAX_POLL_PORTS {
        return Err(Errno::EINVAL);
    }
    let vcpu = call.current.vcpu;
    // We say that we listen before we look, so that what comes in between is not missed.
    vcpu.polling.store(POLLING_ANY, Ordering::SeqCst);
    call.current.domain.pollers.fetch_or(1 << vcpu.index(), Ordering::SeqCst);
    let mut ready = call.current.has_interrupt(&call.hypervisor.arch);
    let pending = |port| call.hypervisor.is_pending(&call.local.held, call.current.domain, port);
    for number in 0..u64::from(poll.nr_ports) {
        let port: u32 = call.read(poll.ports.wrapping_add(number.wrapping_mul(4)))?;
        if port == 0 || port as usize >= MAX_PORTS {
            return Err(Errno::EINVAL);
        }
        ready |= pending(port as Port);
        if poll.nr_ports == 1 {
            vcpu.polling.store(port, Ordering::SeqCst);
            ready |= pending(port as Port);
        }
    }
    if ready {
        call.hypervisor.stop_polling(call.current);
        return DONE;
    }
    call.current.timeout = Some(poll.timeout).filter(|at| *at != 0);
    Ok(Answer::Block)
}
