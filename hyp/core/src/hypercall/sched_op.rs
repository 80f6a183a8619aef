//! `sched_op`: letting others go first, waiting, ending (`public/sched.h`).

use core::sync::atomic::{AtomicU64, Ordering};

use xen_abi::errno::Errno;
use xen_abi::sched::{
    PinOverride, Poll, RemoteShutdown, SCHEDOP_BLOCK, SCHEDOP_PIN_OVERRIDE, SCHEDOP_POLL, SCHEDOP_REMOTE_SHUTDOWN,
    SCHEDOP_SHUTDOWN, SCHEDOP_SHUTDOWN_CODE, SCHEDOP_WATCHDOG, SCHEDOP_YIELD, Shutdown, Watchdog,
};

use super::{Answer, Call, DONE};
use crate::arch::{Arch, ShutdownReason};
use crate::domain::DomainId;
use crate::event::Port;
use crate::limits::{MAX_POLL_PORTS, MAX_PORTS};
use crate::policy::{self, Decision, Rights};
use crate::time::{NEVER, SECOND};
use crate::vcpu::POLLING_ANY;

pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, _: Decision) -> Result<Answer, Errno> {
    match call.operation() {
        SCHEDOP_YIELD => Ok(Answer::GiveWay),
        SCHEDOP_BLOCK if call.current.has_interrupt_after_call(&call.hypervisor.arch) => DONE,
        SCHEDOP_BLOCK => Ok(Answer::Block),
        SCHEDOP_POLL => {
            let poll = call.read(call.args[1])?;
            start_polling(call, &poll).inspect_err(|_| call.hypervisor.stop_polling(call.current))
        }
        _ => handle_rare(call),
    }
}

/// Everything but waiting, which is what guests do often.
#[inline(never)]
fn handle_rare<A: Arch>(call: &mut Call<'_, '_, A>) -> Result<Answer, Errno> {
    let at = call.args[1];
    match call.operation() {
        SCHEDOP_SHUTDOWN => {
            let Shutdown { reason } = call.read(at)?;
            call.hypervisor.end_domain(call.local, call.current.domain, ShutdownReason::from_number(reason));
            Ok(Answer::Ended)
        }
        SCHEDOP_SHUTDOWN_CODE => {
            let Shutdown { reason } = call.read(at)?;
            let number = ShutdownReason::from_number(reason) as u8;
            call.current.domain.end_code.store(number.saturating_add(1), Ordering::Relaxed);
            DONE
        }
        SCHEDOP_REMOTE_SHUTDOWN => {
            let RemoteShutdown { domain_id, reason, .. } = call.read(at)?;
            let other = DomainId::from_number(domain_id).and_then(|id| call.hypervisor.domain(id));
            let other = other.ok_or(Errno::ESRCH)?;
            let _: Decision = policy::check(call.current.domain.rights, Rights::CONTROL)?;
            call.hypervisor.end_domain(call.local, other, ShutdownReason::from_number(reason));
            DONE
        }
        SCHEDOP_WATCHDOG => watchdog(call, at),
        SCHEDOP_PIN_OVERRIDE => {
            let _: Decision = policy::check(call.current.domain.rights, Rights::CONTROL)?;
            let PinOverride { pcpu } = call.read(at)?;
            let cpu = if pcpu < 0 { None } else { Some(u8::try_from(pcpu).map_err(|_| Errno::EINVAL)?) };
            call.hypervisor.pin_vcpu(call.local, call.current, cpu)?;
            DONE
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// Sets up, feeds or removes a watchdog; one that nobody feeds ends the domain. Watchdogs are numbered from 1.
fn watchdog<A: Arch>(call: &mut Call<'_, '_, A>, at: u64) -> Result<Answer, Errno> {
    let Watchdog { id, timeout } = call.read(at)?;
    let domain = call.current.domain;
    let due = call.hypervisor.arch.now().saturating_add(u64::from(timeout).saturating_mul(SECOND));
    let answer = match id.checked_sub(1) {
        None if timeout == 0 => return Err(Errno::EINVAL),
        None => {
            let mut dogs = domain.watchdogs.iter().zip(1..);
            let set = |dog: &AtomicU64| dog.compare_exchange(0, due, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            dogs.find(|(dog, _)| set(dog)).map(|(_, id)| id).ok_or(Errno::ENOSPC)?
        }
        Some(index) => {
            let dog = domain.watchdogs.get(index as usize).filter(|dog| dog.load(Ordering::Relaxed) != 0);
            dog.ok_or(Errno::EINVAL)?.store(if timeout == 0 { 0 } else { due }, Ordering::Relaxed);
            0
        }
    };
    call.hypervisor.set_watchdog(call.local, domain);
    Ok(Answer::Value(answer))
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
    let mut ready = call.current.has_interrupt_after_call(&call.hypervisor.arch);
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
    call.current.timeout = if poll.timeout == 0 { NEVER } else { poll.timeout };
    Ok(Answer::Block)
}
