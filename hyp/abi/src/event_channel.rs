//! Event channels: `event_channel_op`.
//!
//! An event channel is a port in one domain that is connected to a port in another, to a virtual interrupt, or to a
//! vCPU of the same domain. Sending sets a pending bit at the other end. Source: `public/event_channel.h`. Arguments:
//! operation, guest-virtual address of its structure, which is also where the answer goes.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Connect to an unbound port of another domain: [`BindInterdomain`].
pub const EVTCHNOP_BIND_INTERDOMAIN: u32 = 0;
/// New port for a virtual interrupt: [`BindVirq`].
pub const EVTCHNOP_BIND_VIRQ: u32 = 1;
/// New port for a physical interrupt.
pub const EVTCHNOP_BIND_PIRQ: u32 = 2;
/// Close a port: [`Close`].
pub const EVTCHNOP_CLOSE: u32 = 3;
/// Notify the other end: [`Send`].
pub const EVTCHNOP_SEND: u32 = 4;
/// What is this port? [`Status`].
pub const EVTCHNOP_STATUS: u32 = 5;
/// New port that a named domain may connect to: [`AllocUnbound`].
pub const EVTCHNOP_ALLOC_UNBOUND: u32 = 6;
/// New port for interrupts between vCPUs: [`BindIpi`].
pub const EVTCHNOP_BIND_IPI: u32 = 7;
/// Deliver a port to another vCPU: [`BindVcpu`].
pub const EVTCHNOP_BIND_VCPU: u32 = 8;
/// Unmask a port and deliver what is pending: [`Unmask`].
pub const EVTCHNOP_UNMASK: u32 = 9;
/// Close all ports: [`Reset`].
pub const EVTCHNOP_RESET: u32 = 10;
/// Give a vCPU its FIFO control block: [`InitControl`].
pub const EVTCHNOP_INIT_CONTROL: u32 = 11;
/// Give the domain one more page of FIFO events: [`ExpandArray`].
pub const EVTCHNOP_EXPAND_ARRAY: u32 = 12;
/// FIFO priority of a port: [`SetPriority`].
pub const EVTCHNOP_SET_PRIORITY: u32 = 13;

/// Not in use.
pub const EVTCHNSTAT_CLOSED: u32 = 0;
/// Waits for the other domain to connect.
pub const EVTCHNSTAT_UNBOUND: u32 = 1;
/// Connected to another domain.
pub const EVTCHNSTAT_INTERDOMAIN: u32 = 2;
/// Bound to a physical interrupt.
pub const EVTCHNSTAT_PIRQ: u32 = 3;
/// Bound to a virtual interrupt.
pub const EVTCHNSTAT_VIRQ: u32 = 4;
/// Bound to a vCPU of the same domain.
pub const EVTCHNSTAT_IPI: u32 = 5;

/// How many ports a domain has under the 2-level ABI (`EVTCHN_2L_NR_CHANNELS`).
pub const EVTCHN_2L_NR_CHANNELS: u32 = 4096;

/// Highest priority of a FIFO event.
pub const EVTCHN_FIFO_PRIORITY_MAX: u32 = 0;
/// Priority of a port for which none was set.
pub const EVTCHN_FIFO_PRIORITY_DEFAULT: u32 = 7;
/// Lowest priority.
pub const EVTCHN_FIFO_PRIORITY_MIN: u32 = 15;
/// Queues of a vCPU, one for each priority.
pub const EVTCHN_FIFO_MAX_QUEUES: usize = 16;
/// Bit of an event word: the event is pending.
pub const EVTCHN_FIFO_PENDING: u32 = 31;
/// Bit of an event word: the event is not to be linked into a queue.
pub const EVTCHN_FIFO_MASKED: u32 = 30;
/// Bit of an event word: the event is in a queue.
pub const EVTCHN_FIFO_LINKED: u32 = 29;
/// Bit of an event word: the hypervisor changes the link; the guest keeps its hands off the mask.
pub const EVTCHN_FIFO_BUSY: u32 = 28;
/// Low bits of an event word: port of the next event in the queue, 0 at its end.
pub const EVTCHN_FIFO_LINK_BITS: u32 = 17;
/// The same as a mask.
pub const EVTCHN_FIFO_LINK_MASK: u32 = (1 << EVTCHN_FIFO_LINK_BITS) - 1;
/// How many ports links can name.
pub const EVTCHN_FIFO_NR_CHANNELS: u32 = 1 << EVTCHN_FIFO_LINK_BITS;

/// What a vCPU and the hypervisor share under the FIFO ABI (`struct evtchn_fifo_control_block`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FifoControlBlock {
    /// A bit for each queue that is not empty.
    pub ready: u32,
    /// Padding.
    pub rsvd: u32,
    /// First port of each queue.
    pub head: [u32; EVTCHN_FIFO_MAX_QUEUES],
}

/// Argument of [`EVTCHNOP_ALLOC_UNBOUND`] (`struct evtchn_alloc_unbound`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AllocUnbound {
    /// Whose port.
    pub dom: u16,
    /// Who may connect to it.
    pub remote_dom: u16,
    /// Out: the new port.
    pub port: u32,
}

/// Argument of [`EVTCHNOP_BIND_INTERDOMAIN`] (`struct evtchn_bind_interdomain`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindInterdomain {
    /// Who holds the unbound port.
    pub remote_dom: u16,
    /// Padding.
    pub pad0: u16,
    /// The unbound port.
    pub remote_port: u32,
    /// Out: the new port here.
    pub local_port: u32,
}

/// Argument of [`EVTCHNOP_BIND_VIRQ`] (`struct evtchn_bind_virq`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindVirq {
    /// `VIRQ_*`.
    pub virq: u32,
    /// Which vCPU; must be 0 for a global one.
    pub vcpu: u32,
    /// Out: the new port.
    pub port: u32,
}

/// Argument of [`EVTCHNOP_BIND_IPI`] (`struct evtchn_bind_ipi`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindIpi {
    /// Who is to be interrupted.
    pub vcpu: u32,
    /// Out: the new port.
    pub port: u32,
}

/// Argument of [`EVTCHNOP_CLOSE`] (`struct evtchn_close`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Close {
    /// Which port.
    pub port: u32,
}

/// Argument of [`EVTCHNOP_SEND`] (`struct evtchn_send`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Send {
    /// The near end of the channel.
    pub port: u32,
}

/// Argument of [`EVTCHNOP_STATUS`] (`struct evtchn_status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Status {
    /// Whose port.
    pub dom: u16,
    /// Padding.
    pub pad0: u16,
    /// Which port.
    pub port: u32,
    /// Out: `EVTCHNSTAT_*`.
    pub status: u32,
    /// Out: the vCPU it is delivered to.
    pub vcpu: u32,
    /// Out: the remote domain of an unbound or connected port, the interrupt of a bound one.
    pub detail: u32,
    /// Out: the remote port of a connected one.
    pub detail_port: u32,
}

/// Argument of [`EVTCHNOP_BIND_VCPU`] (`struct evtchn_bind_vcpu`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BindVcpu {
    /// Which port.
    pub port: u32,
    /// Who is to be notified from now on.
    pub vcpu: u32,
}

/// Argument of [`EVTCHNOP_UNMASK`] (`struct evtchn_unmask`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Unmask {
    /// Which port.
    pub port: u32,
}

/// Argument of [`EVTCHNOP_RESET`] (`struct evtchn_reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reset {
    /// Whose ports.
    pub dom: u16,
}

/// Argument of [`EVTCHNOP_INIT_CONTROL`] (`struct evtchn_init_control`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InitControl {
    /// Guest frame of the control block.
    pub control_gfn: u64,
    /// Where in the frame, in bytes.
    pub offset: u32,
    /// Which vCPU.
    pub vcpu: u32,
    /// Out: width of a link.
    pub link_bits: u8,
    /// Padding.
    pub pad0: [u8; 7],
}

/// Argument of [`EVTCHNOP_EXPAND_ARRAY`] (`struct evtchn_expand_array`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExpandArray {
    /// Guest frame of the new page.
    pub array_gfn: u64,
}

/// Argument of [`EVTCHNOP_SET_PRIORITY`] (`struct evtchn_set_priority`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetPriority {
    /// Which port.
    pub port: u32,
    /// 0 is the highest, 15 the lowest.
    pub priority: u32,
}
