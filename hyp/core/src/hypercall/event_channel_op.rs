//! `event_channel_op` (`public/event_channel.h`).

use xen_abi::errno::Errno;
use xen_abi::event_channel::{
    AllocUnbound, BindInterdomain, BindIpi, BindVcpu, BindVirq, Close, EVTCHN_FIFO_LINK_BITS, EVTCHNOP_ALLOC_UNBOUND,
    EVTCHNOP_BIND_INTERDOMAIN, EVTCHNOP_BIND_IPI, EVTCHNOP_BIND_PIRQ, EVTCHNOP_BIND_VCPU, EVTCHNOP_BIND_VIRQ,
    EVTCHNOP_CLOSE, EVTCHNOP_EXPAND_ARRAY, EVTCHNOP_INIT_CONTROL, EVTCHNOP_RESET, EVTCHNOP_SEND, EVTCHNOP_SET_PRIORITY,
    EVTCHNOP_STATUS, EVTCHNOP_UNMASK, EVTCHNSTAT_CLOSED, EVTCHNSTAT_INTERDOMAIN, EVTCHNSTAT_IPI, EVTCHNSTAT_UNBOUND,
    EVTCHNSTAT_VIRQ, ExpandArray, InitControl, Reset, SetPriority, Status, Unmask,
};

use super::{Answer, Call, DONE};
use crate::arch::Arch;
use crate::domain::DomainId;
use crate::event::fifo::Fifo;
use crate::event::{Channel, Port};
use crate::policy::{self, Decision};

/// Ports that one call of `EVTCHNOP_reset` closes before it is repeated.
const RESET_BUDGET: u32 = 16;
/// Events that one call of `EVTCHNOP_expand_array` delivers before it is repeated.
const RESEND_BUDGET: u32 = 16;

#[inline(always)]
pub(super) fn handle<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision) -> Result<Answer, Errno> {
    if call.operation() == EVTCHNOP_SEND {
        // The whole of a `struct evtchn_send`.
        let port = call.read_word(call.args[1])?;
        call.hypervisor.send(call.local, decision, call.me(), port)?;
        return DONE;
    }
    handle_rare(call, decision)
}

#[inline(never)]
fn handle_rare<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision) -> Result<Answer, Errno> {
    let (hypervisor, at) = (call.hypervisor, call.args[1]);
    match call.operation() {
        EVTCHNOP_ALLOC_UNBOUND => alloc_unbound(call, at),
        EVTCHNOP_BIND_INTERDOMAIN => bind_interdomain(call, at),
        EVTCHNOP_BIND_VIRQ => {
            let mut op: BindVirq = call.read(at)?;
            // Before the look at the vCPU, because Xen tells both mistakes apart in this order.
            if op.virq >= xen_abi::virq::NR_VIRQS || (op.vcpu != 0 && !xen_abi::virq::is_per_vcpu(op.virq)) {
                return Err(Errno::EINVAL);
            }
            let vcpu = own_vcpu(call, op.vcpu)?;
            op.port = hypervisor.bind_virq(&call.local.held, decision, call.me(), op.virq, vcpu)?.into();
            finish(call, at, &op, op.port)
        }
        EVTCHNOP_BIND_IPI => {
            let mut op: BindIpi = call.read(at)?;
            let vcpu = own_vcpu(call, op.vcpu)?;
            op.port = hypervisor.bind_ipi(&call.local.held, decision, call.me(), vcpu)?.into();
            finish(call, at, &op, op.port)
        }
        EVTCHNOP_BIND_VCPU => {
            let op: BindVcpu = call.read(at)?;
            let vcpu = own_vcpu(call, op.vcpu)?;
            hypervisor.bind_vcpu(&call.local.held, decision, call.me(), op.port, vcpu)?;
            DONE
        }
        EVTCHNOP_CLOSE => {
            let op: Close = call.read(at)?;
            if hypervisor.is_fixed(call.me(), op.port) {
                return Err(Errno::EINVAL);
            }
            hypervisor.close(&call.local.held, call.me(), op.port)?;
            DONE
        }
        EVTCHNOP_UNMASK => {
            let op: Unmask = call.read(at)?;
            hypervisor.unmask(call.local, decision, call.current.domain, op.port)?;
            DONE
        }
        EVTCHNOP_STATUS => status(call, decision, at),
        EVTCHNOP_RESET => {
            let op: Reset = call.read(at)?;
            let me = call.only_me(op.dom)?;
            if !hypervisor.reset_some(&call.local.held, me, RESET_BUDGET) {
                return Ok(Answer::Repeat);
            }
            hypervisor.fix_again(&call.local.held, me);
            DONE
        }
        EVTCHNOP_INIT_CONTROL => {
            let mut op: InitControl = call.read(at)?;
            op.link_bits = EVTCHN_FIFO_LINK_BITS as u8;
            let vcpu = own_vcpu(call, op.vcpu)?;
            let place = Fifo::control_place(op.control_gfn, op.offset)?;
            hypervisor.init_control(&call.local.held, decision, call.current.domain, vcpu, place)?;
            call.write(at, &op)?;
            DONE
        }
        EVTCHNOP_EXPAND_ARRAY => expand_array(call, decision, at),
        EVTCHNOP_SET_PRIORITY => {
            let op: SetPriority = call.read(at)?;
            hypervisor.set_priority(&call.local.held, decision, call.me(), op.port, op.priority)?;
            DONE
        }
        // There are no physical interrupts to bind, so that every number is one that there is not.
        EVTCHNOP_BIND_PIRQ => Err(Errno::EINVAL),
        _ => Err(Errno::ENOSYS),
    }
}

/// Index of one of the caller's own vCPUs.
fn own_vcpu<A: Arch>(call: &Call<'_, '_, A>, vcpu: u32) -> Result<u8, Errno> {
    call.current.domain.vcpu(vcpu).map(|_| vcpu as u8).ok_or(Errno::ENOENT)
}

/// Writes the structure with its new port back. A port that the caller cannot be told of is closed again.
fn finish<A: Arch, T: zerocopy::IntoBytes + zerocopy::Immutable>(
    call: &Call<'_, '_, A>,
    at: u64,
    op: &T,
    port: u32,
) -> Result<Answer, Errno> {
    let undo = |errno| {
        // It was opened a moment ago; if another vCPU of the same guest closed it meanwhile, that is as good.
        let _ = call.hypervisor.close(&call.local.held, call.me(), port);
        errno
    };
    call.write(at, op).map_err(undo)?;
    DONE
}

/// The policy's word on channels between the caller and another domain, which may not exist.
fn may_join<A: Arch>(call: &Call<'_, '_, A>, remote: DomainId) -> Result<Decision, Errno> {
    let peers = call.hypervisor.domain(remote).map_or(0, |domain| domain.peers);
    policy::check_peers((call.me(), call.current.domain.peers), (remote, peers))
}

fn alloc_unbound<A: Arch>(call: &mut Call<'_, '_, A>, at: u64) -> Result<Answer, Errno> {
    let mut op: AllocUnbound = call.read(at)?;
    let me = call.only_me(op.dom)?;
    let remote = call.any_domain(op.remote_dom)?;
    let decision = may_join(call, remote)?;
    op.port = call.hypervisor.alloc_unbound(&call.local.held, decision, me, remote)?.into();
    finish(call, at, &op, op.port)
}

fn bind_interdomain<A: Arch>(call: &mut Call<'_, '_, A>, at: u64) -> Result<Answer, Errno> {
    let mut op: BindInterdomain = call.read(at)?;
    let remote = call.any_domain(op.remote_dom)?;
    let decision = may_join(call, remote)?;
    let me = call.me();
    op.local_port = call.hypervisor.bind_interdomain(call.local, decision, me, remote, op.remote_port)?.into();
    finish(call, at, &op, op.local_port)
}

/// Adds a page, and delivers the events that waited for it, in pieces.
fn expand_array<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision, at: u64) -> Result<Answer, Errno> {
    let key = [call.args[0], at, call.args[2]];
    let domain = call.current.domain;
    let begun = call.current.private.progress.take().filter(|(of, _)| *of == key);
    let from = match begun {
        Some((_, from)) => from as Port,
        None => {
            let op: ExpandArray = call.read(at)?;
            if !call.hypervisor.expand_array(&call.local.held, decision, domain, op.array_gfn)? {
                return Ok(Answer::RepeatLater);
            }
            0
        }
    };
    match call.hypervisor.resend_some(call.local, domain, from, RESEND_BUDGET) {
        None => DONE,
        Some(next) => {
            call.current.private.progress = Some((key, next.into()));
            Ok(Answer::Repeat)
        }
    }
}

fn status<A: Arch>(call: &mut Call<'_, '_, A>, decision: Decision, at: u64) -> Result<Answer, Errno> {
    let mut op: Status = call.read(at)?;
    let me = call.only_me(op.dom)?;
    let entry = call.hypervisor.own_ports(&call.local.held, decision, me)?.get(op.port)?;
    let (status, detail, detail_port) = match entry.channel {
        Channel::Free => (EVTCHNSTAT_CLOSED, 0, 0),
        Channel::Unbound { remote } => (EVTCHNSTAT_UNBOUND, u32::from(remote.number()), 0),
        Channel::Interdomain { remote, port, .. } => {
            (EVTCHNSTAT_INTERDOMAIN, u32::from(remote.number()), u32::from(port))
        }
        Channel::Virq(virq) => (EVTCHNSTAT_VIRQ, u32::from(virq), 0),
        Channel::Ipi => (EVTCHNSTAT_IPI, 0, 0),
    };
    op = Status { status, vcpu: u32::from(entry.vcpu), detail, detail_port, ..op };
    call.write(at, &op)?;
    DONE
}
