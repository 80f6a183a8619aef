//! Hypercalls: those of Xen that guests here need, typed with `xen-abi`. All fail with [`Errno::ENOSYS`] where there is no
//! hypervisor.

pub use xen_abi;
use xen_abi::errno::Errno;
use xen_abi::{console, domid, event_channel, hvm, hypercall, memory, sched, version};

use crate::{arch, console as output, cpu};

/// Make a hypercall; the result register as it is. Arguments that are addresses must be of memory that the hypercall
/// may write: this is for the probe, which passes bad ones on purpose.
pub fn call(number: u64, args: [u64; 5]) -> u64 {
    if !output::is_virtual() {
        return Errno::ENOSYS.to_result();
    }
    arch::hypercall::call(number, args)
}

fn checked(result: u64) -> Result<u64, Errno> {
    Errno::from_result(result).map_or(Ok(result), Err)
}

/// A hypercall of the form (operation, structure). `T` is the structure that the operation takes.
pub fn operate<T>(number: u64, operation: u32, argument: &mut T) -> Result<u64, Errno> {
    checked(call(number, [u64::from(operation), &raw mut *argument as u64, 0, 0, 0]))
}

/// Write text to the console, all of it: what the hypervisor has no room for now is offered again.
pub(crate) fn console_write(mut text: &[u8]) {
    while !text.is_empty() {
        let arguments = [u64::from(console::CONSOLEIO_WRITE), text.len() as u64, text.as_ptr() as u64, 0, 0];
        match checked(call(hypercall::CONSOLE_IO, arguments)) {
            // 0 is Xen's "all of it".
            Ok(0) => return,
            Ok(accepted) => text = text.get(accepted as usize..).unwrap_or_default(),
            Err(Errno::EAGAIN | Errno::EBUSY) => {}
            Err(_) => return,
        }
        cpu::relax();
    }
}

/// Why a guest ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// It is done.
    PowerOff,
    /// It wants to be started again.
    Reboot,
    /// It cannot go on.
    Crash,
}

/// `SCHEDOP_shutdown`. Returns only where the hypervisor refuses.
pub fn shutdown(reason: ShutdownReason) {
    let reason = match reason {
        ShutdownReason::PowerOff => sched::SHUTDOWN_POWEROFF,
        ShutdownReason::Reboot => sched::SHUTDOWN_REBOOT,
        ShutdownReason::Crash => sched::SHUTDOWN_CRASH,
    };
    let _ = operate(hypercall::SCHED_OP, sched::SCHEDOP_SHUTDOWN, &mut sched::Shutdown { reason });
}

/// `SCHEDOP_yield`.
pub fn yield_cpu() -> Result<(), Errno> {
    checked(call(hypercall::SCHED_OP, [u64::from(sched::SCHEDOP_YIELD), 0, 0, 0, 0])).map(drop)
}

/// `SCHEDOP_poll`: sleep until one of the ports is pending or system time reaches `timeout` (ns; 0: never).
pub fn poll(ports: &[u32], timeout: u64) -> Result<(), Errno> {
    let mut argument = sched::Poll { ports: ports.as_ptr() as u64, nr_ports: ports.len() as u32, pad0: 0, timeout };
    operate(hypercall::SCHED_OP, sched::SCHEDOP_POLL, &mut argument).map(drop)
}

/// `XENVER_version`: major << 16 | minor.
pub fn xen_version() -> Result<u32, Errno> {
    checked(call(hypercall::XEN_VERSION, [u64::from(version::XENVER_VERSION), 0, 0, 0, 0])).map(|value| value as u32)
}

/// `XENVER_get_features`: a word of `1 << XENFEAT_*`.
pub fn features(submap: u32) -> Result<u32, Errno> {
    let mut argument = version::FeatureInfo { submap_idx: submap, submap: 0 };
    operate(hypercall::XEN_VERSION, version::XENVER_GET_FEATURES, &mut argument).map(|_| argument.submap)
}

/// `HVMOP_get_param` of this domain.
pub fn get_param(index: u32) -> Result<u64, Errno> {
    let mut argument = hvm::HvmParam { domid: domid::DOMID_SELF, pad: 0, index, value: 0 };
    operate(hypercall::HVM_OP, hvm::HVMOP_GET_PARAM, &mut argument).map(|_| argument.value)
}

/// `HVMOP_set_param` of this domain.
pub fn set_param(index: u32, value: u64) -> Result<(), Errno> {
    let mut argument = hvm::HvmParam { domid: domid::DOMID_SELF, pad: 0, index, value };
    operate(hypercall::HVM_OP, hvm::HVMOP_SET_PARAM, &mut argument).map(drop)
}

/// `XENMEM_add_to_physmap` of the shared-info page, at a guest frame (4 KiB units).
pub fn map_shared_info(frame: u64) -> Result<(), Errno> {
    let mut argument = memory::AddToPhysmap {
        domid: domid::DOMID_SELF,
        size: 0,
        space: memory::XENMAPSPACE_SHARED_INFO,
        idx: 0,
        gpfn: frame,
    };
    operate(hypercall::MEMORY_OP, memory::XENMEM_ADD_TO_PHYSMAP, &mut argument).map(drop)
}

/// An `event_channel_op`.
pub fn event_channel<T>(operation: u32, argument: &mut T) -> Result<(), Errno> {
    operate(hypercall::EVENT_CHANNEL_OP, operation, argument).map(drop)
}

/// `EVTCHNOP_alloc_unbound`: a port of ours that `remote` may connect to.
pub fn alloc_unbound(remote: u16) -> Result<u32, Errno> {
    let mut argument = event_channel::AllocUnbound { dom: domid::DOMID_SELF, remote_dom: remote, port: 0 };
    event_channel(event_channel::EVTCHNOP_ALLOC_UNBOUND, &mut argument).map(|()| argument.port)
}

/// `EVTCHNOP_bind_interdomain`: connect to a port of `remote`; the new port here.
pub fn bind_interdomain(remote: u16, remote_port: u32) -> Result<u32, Errno> {
    let mut argument = event_channel::BindInterdomain { remote_dom: remote, pad0: 0, remote_port, local_port: 0 };
    event_channel(event_channel::EVTCHNOP_BIND_INTERDOMAIN, &mut argument).map(|()| argument.local_port)
}

/// `EVTCHNOP_bind_ipi`: a port that interrupts one of our vCPUs.
pub fn bind_ipi(vcpu: u32) -> Result<u32, Errno> {
    let mut argument = event_channel::BindIpi { vcpu, port: 0 };
    event_channel(event_channel::EVTCHNOP_BIND_IPI, &mut argument).map(|()| argument.port)
}

/// `EVTCHNOP_bind_virq`.
pub fn bind_virq(virq: u32, vcpu: u32) -> Result<u32, Errno> {
    let mut argument = event_channel::BindVirq { virq, vcpu, port: 0 };
    event_channel(event_channel::EVTCHNOP_BIND_VIRQ, &mut argument).map(|()| argument.port)
}

/// `EVTCHNOP_send`.
pub fn send(port: u32) -> Result<(), Errno> {
    event_channel(event_channel::EVTCHNOP_SEND, &mut event_channel::Send { port })
}

/// `EVTCHNOP_unmask`.
pub fn unmask(port: u32) -> Result<(), Errno> {
    event_channel(event_channel::EVTCHNOP_UNMASK, &mut event_channel::Unmask { port })
}

/// `EVTCHNOP_close`.
pub fn close(port: u32) -> Result<(), Errno> {
    event_channel(event_channel::EVTCHNOP_CLOSE, &mut event_channel::Close { port })
}

/// `EVTCHNOP_status` of one of our ports.
pub fn status(port: u32) -> Result<event_channel::Status, Errno> {
    let mut argument = event_channel::Status { dom: domid::DOMID_SELF, port, ..Default::default() };
    event_channel(event_channel::EVTCHNOP_STATUS, &mut argument).map(|()| argument)
}

/// `EVTCHNOP_init_control`: where a vCPU has its control block; how many bits a link has.
pub fn init_control(frame: u64, offset: u32, vcpu: u32) -> Result<u8, Errno> {
    let mut argument = event_channel::InitControl { control_gfn: frame, offset, vcpu, ..Default::default() };
    event_channel(event_channel::EVTCHNOP_INIT_CONTROL, &mut argument).map(|()| argument.link_bits)
}

/// `EVTCHNOP_expand_array`: one more page of event words.
pub fn expand_array(frame: u64) -> Result<(), Errno> {
    event_channel(event_channel::EVTCHNOP_EXPAND_ARRAY, &mut event_channel::ExpandArray { array_gfn: frame })
}

/// `EVTCHNOP_set_priority`: 0 is the highest, 15 the lowest.
pub fn set_priority(port: u32, priority: u32) -> Result<(), Errno> {
    event_channel(event_channel::EVTCHNOP_SET_PRIORITY, &mut event_channel::SetPriority { port, priority })
}

/// `EVTCHNOP_reset`: close all our ports.
pub fn reset() -> Result<(), Errno> {
    event_channel(event_channel::EVTCHNOP_RESET, &mut event_channel::Reset { dom: domid::DOMID_SELF })
}

/// `SCHEDOP_watchdog`: number 0 sets one up and answers its number, time-out 0 removes it. Seconds.
pub fn watchdog(id: u32, timeout: u32) -> Result<u64, Errno> {
    operate(hypercall::SCHED_OP, sched::SCHEDOP_WATCHDOG, &mut sched::Watchdog { id, timeout })
}

/// A `vcpu_op` with a structure.
pub fn vcpu_op<T>(operation: u32, vcpu: u32, argument: &mut T) -> Result<u64, Errno> {
    checked(call(hypercall::VCPU_OP, [u64::from(operation), u64::from(vcpu), &raw mut *argument as u64, 0, 0]))
}

/// Several hypercalls by one; their results are in the list.
pub fn multicall(list: &mut [hypercall::MulticallEntry]) -> Result<(), Errno> {
    let length = list.len() as u64;
    checked(call(hypercall::MULTICALL, [list.as_mut_ptr() as u64, length, 0, 0, 0])).map(drop)
}
