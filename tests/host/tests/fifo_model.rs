//! Random sequences of what a guest that uses event queues can do, against a model; and a guest that scribbles over its
//! queues, whose neighbours must not notice.
//!
//! The guest's part, taking events out of its queues, is written here by `public/event_channel.h` alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod queues;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use fake::{Act, Machine};
use host_tests::puppet::{Stage, outcome};
use hyp_core::domain::DomainConfig;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use queues::{Model, Op, VCPUS};
use xen_abi::errno::Errno;
use xen_abi::event_channel as ec;
use xen_abi::hypercall::{EVENT_CHANNEL_OP, VCPU_OP};
use xen_abi::vcpu::{RegisterVcpuInfo, VCPUOP_REGISTER_VCPU_INFO};

/// Frame of the vCPUs' records and control blocks, and frame of the event words.
const BLOCKS: usize = 0;
const WORDS: usize = 1;
/// Channels from the second domain to the first.
const CHANNELS: u32 = 2;
const SELF: u16 = 0x7ff0;

/// Where a vCPU's control block is put, in bytes.
const fn control(vcpu: usize) -> u32 {
    1024 + 1032 * vcpu as u32
}

/// What the guest keeps for itself: the next port of each queue, and the queues that it has to look at.
#[derive(Default)]
struct Guest {
    heads: [[u32; 16]; VCPUS],
    ready: [u32; VCPUS],
}

struct Half<'p>(&'p AtomicU64, u32);

impl Half<'_> {
    fn load(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) >> self.1) as u32
    }

    fn and(&self, bits: u32) -> u32 {
        let others = !(u64::from(u32::MAX) << self.1);
        (self.0.fetch_and(u64::from(bits) << self.1 | others, Ordering::Relaxed) >> self.1) as u32
    }

    fn or(&self, bits: u32) {
        self.0.fetch_or(u64::from(bits) << self.1, Ordering::Relaxed);
    }
}

fn half<'s>(stage: &'s Stage<'_>, frame: usize, byte: u32) -> Half<'s> {
    Half(&stage.domain(0).pages[frame][byte as usize / 8], byte % 8 * 8)
}

fn word<'s>(stage: &'s Stage<'_>, port: u32) -> Half<'s> {
    half(stage, WORDS, 4 * port)
}

const PENDING: u32 = 1 << ec::EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << ec::EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << ec::EVTCHN_FIFO_LINKED;

impl Guest {
    /// Takes what is ready and consumes one event of the highest priority.
    fn consume(&mut self, stage: &Stage<'_>, vcpu: usize) -> u32 {
        half(stage, BLOCKS, 64 * vcpu as u32).and(!0xff);
        self.ready[vcpu] |= half(stage, BLOCKS, control(vcpu)).and(0);
        if self.ready[vcpu] == 0 {
            return 0;
        }
        let priority = self.ready[vcpu].trailing_zeros();
        let head = &mut self.heads[vcpu][priority as usize];
        if *head == 0 {
            *head = half(stage, BLOCKS, control(vcpu) + 8 + 4 * priority).load();
        }
        let port = *head;
        let event = word(stage, port);
        *head = event.and(!(LINKED | ec::EVTCHN_FIFO_LINK_MASK)) & ec::EVTCHN_FIFO_LINK_MASK;
        if *head == 0 {
            self.ready[vcpu] &= !(1 << priority);
        }
        if event.load() & MASKED == 0 {
            event.and(!PENDING);
        }
        port
    }
}

fn port() -> impl Strategy<Value = u32> {
    prop_oneof![24 => 1..6u32, 4 => 6..9u32, 1 => prop_oneof![Just(0), Just(1023), Just(1024), Just(u32::MAX)]]
}

fn op() -> impl Strategy<Value = Op> {
    let offset = prop_oneof![1 => 0..5000u32, 9 => Just(control(0)), 9 => Just(control(1))];
    let priority = prop_oneof![3 => 5..9u32, 1 => 0..17u32];
    prop_oneof![
        1 => (0..3u32, offset).prop_map(|(vcpu, offset)| Op::InitControl { vcpu, offset }),
        2 => Just(Op::Expand),
        3 => (port(), priority).prop_map(|(port, priority)| Op::SetPriority { port, priority }),
        3 => (0..3u32).prop_map(|vcpu| Op::BindIpi { vcpu }),
        1 => (0..3u32).prop_map(|vcpu| Op::BindVirq { vcpu }),
        3 => (port(), 0..3u32).prop_map(|(port, vcpu)| Op::BindVcpu { port, vcpu }),
        12 => port().prop_map(|port| Op::Send { port }),
        8 => (0..CHANNELS as usize).prop_map(|channel| Op::PeerSends { channel }),
        2 => (0..2u8).prop_map(|vcpu| Op::Raise { vcpu }),
        4 => port().prop_map(|port| Op::Unmask { port }),
        2 => port().prop_map(|port| Op::Close { port }),
        1 => Just(Op::Reset),
        3 => (1..8u32).prop_map(|port| Op::GuestMasks { port }),
        1 => (1..8u32).prop_map(|port| Op::GuestUnmasks { port }),
        14 => any::<bool>().prop_map(|second| Op::GuestConsumes { vcpu: second.into() }),
    ]
}

/// Lets the real machine do it.
fn perform(stage: &mut Stage<'_>, guest: &mut Guest, has_page: bool, op: Op) -> Result<u32, Errno> {
    let done = |result: Result<u64, Errno>| result.map(|_| 0);
    match op {
        Op::InitControl { vcpu, offset } => {
            let mut arg = ec::InitControl { control_gfn: BLOCKS as u64, offset, vcpu, ..Default::default() };
            stage.event_op(0, ec::EVTCHNOP_INIT_CONTROL, &mut arg).map(|_| arg.link_bits.into())
        }
        Op::Expand => {
            done(stage.event_op(0, ec::EVTCHNOP_EXPAND_ARRAY, &mut ec::ExpandArray { array_gfn: WORDS as u64 }))
        }
        Op::SetPriority { port, priority } => {
            done(stage.event_op(0, ec::EVTCHNOP_SET_PRIORITY, &mut ec::SetPriority { port, priority }))
        }
        Op::BindIpi { vcpu } => {
            let mut arg = ec::BindIpi { vcpu, port: 0 };
            stage.event_op(0, ec::EVTCHNOP_BIND_IPI, &mut arg).map(|_| arg.port)
        }
        Op::BindVirq { vcpu } => {
            let mut arg = ec::BindVirq { virq: 0, vcpu, port: 0 };
            stage.event_op(0, ec::EVTCHNOP_BIND_VIRQ, &mut arg).map(|_| arg.port)
        }
        Op::BindVcpu { port, vcpu } => {
            done(stage.event_op(0, ec::EVTCHNOP_BIND_VCPU, &mut ec::BindVcpu { port, vcpu }))
        }
        Op::Send { port } => done(stage.event_op(0, ec::EVTCHNOP_SEND, &mut ec::Send { port })),
        Op::PeerSends { channel } => {
            done(stage.event_op(1, ec::EVTCHNOP_SEND, &mut ec::Send { port: channel as u32 + 1 }))
        }
        Op::Raise { vcpu } => {
            let id = stage.id(0);
            stage.machine.hypervisor.raise_virq(stage.cpus[0].local(), id, vcpu, 0);
            Ok(0)
        }
        Op::Unmask { port } => done(stage.event_op(0, ec::EVTCHNOP_UNMASK, &mut ec::Unmask { port })),
        Op::Close { port } => done(stage.event_op(0, ec::EVTCHNOP_CLOSE, &mut ec::Close { port })),
        Op::Reset => {
            let result = done(stage.event_op(0, ec::EVTCHNOP_RESET, &mut ec::Reset { dom: SELF }));
            *guest = Guest::default();
            clean(stage);
            result
        }
        Op::GuestMasks { port } => {
            has_page.then(|| word(stage, port).or(MASKED));
            Ok(0)
        }
        Op::GuestUnmasks { port } => {
            word(stage, port).and(!MASKED);
            Ok(0)
        }
        Op::GuestConsumes { vcpu } => Ok(guest.consume(stage, vcpu)),
    }
}

/// Empties the guest's control blocks and words, as it does before it gives them away.
fn clean(stage: &Stage<'_>) {
    let pages = &stage.domain(0).pages;
    pages[WORDS].iter().chain(&pages[BLOCKS][32..]).for_each(|word| word.store(0, Ordering::Relaxed));
}

/// The ports that the operations above can name, and some that they cannot.
fn ports() -> impl Iterator<Item = u32> {
    (0..16).chain(1000..1024)
}

/// Compares what the guest can see.
fn compare(stage: &Stage<'_>, model: &Model) {
    let flags = |flag: u32| ports().filter(|port| word(stage, *port).load() & flag != 0).collect::<BTreeSet<u32>>();
    assert_eq!((flags(PENDING), flags(MASKED)), (model.pending.clone(), model.masked.clone()), "pending and masked");
    assert_eq!(flags(LINKED), model.linked, "linked");
    let bits = |port: &u32| stage.domain(0).shared[6 + *port as usize / 64].load(Ordering::Relaxed) >> (port % 64) & 1;
    assert_eq!(ports().filter(|port| bits(port) != 0).collect::<BTreeSet<u32>>(), model.bits, "2-level bits");
    for vcpu in 0..VCPUS {
        let ready = model.ready[vcpu].iter().fold(0, |ready, priority| ready | 1 << priority);
        assert_eq!(half(stage, BLOCKS, control(vcpu)).load(), ready, "ready queues of vCPU {vcpu}");
        let upcall = half(stage, BLOCKS, 64 * vcpu as u32).load() & 0xff != 0;
        assert_eq!(upcall, model.upcalls[vcpu], "upcall of vCPU {vcpu}");
    }
}

/// Three domains; the second has channels to the first ports of the first, and one to the third.
fn stage(machine: &Machine) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    for (name, peers) in [("one", 0), ("two", 0b101), ("three", 0)] {
        stage.add(&DomainConfig { vcpus: 2, peers, ..DomainConfig::new(name) });
    }
    for (channel, who) in [0, 0, 2].into_iter().enumerate() {
        let mut near = ec::AllocUnbound { dom: SELF, remote_dom: 2, port: 0 };
        stage.event_op(who, ec::EVTCHNOP_ALLOC_UNBOUND, &mut near).unwrap();
        let remote_dom = who as u16 + 1;
        let mut far = ec::BindInterdomain { remote_dom, remote_port: near.port, ..Default::default() };
        stage.event_op(1, ec::EVTCHNOP_BIND_INTERDOMAIN, &mut far).unwrap();
        assert_eq!(far.local_port, channel as u32 + 1);
    }
    for vcpu in 0..VCPUS as u32 {
        let mut arg = RegisterVcpuInfo { mfn: BLOCKS as u64, offset: 64 * vcpu, rsvd: 0 };
        stage.call(0, VCPU_OP, [VCPUOP_REGISTER_VCPU_INFO.into(), vcpu.into(), 0], 2, &mut arg).unwrap();
        half(&stage, BLOCKS, 64 * vcpu).and(0);
    }
    stage
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn event_queues_follow_the_model(early in prop::collection::vec(op(), 0..10), ops in prop::collection::vec(op(), 10..120)) {
        let machine = Machine::new(1);
        let mut stage = stage(&machine);
        let (mut model, mut guest) = (Model::new(CHANNELS), Guest::default());
        // Most of it happens with queues; what leads there is in no order.
        let start = [Op::InitControl { vcpu: 0, offset: control(0) }, Op::Expand];
        for op in early.into_iter().chain(start).chain(ops) {
            // A control block elsewhere would need a model of where each is.
            let op = match op {
                Op::InitControl { vcpu, offset } if offset + 72 <= 4096 && offset.is_multiple_of(8) && vcpu < 2 => {
                    Op::InitControl { vcpu, offset: control(vcpu as usize) }
                }
                op => op,
            };
            let answer = perform(&mut stage, &mut guest, model.has_page(), op);
            assert_eq!(answer, model.perform(op), "{op:?}");
            compare(&stage, &model);
        }
    }

    #[test]
    fn a_guest_that_scribbles_hurts_only_itself(
        ops in prop::collection::vec((op(), any::<[u64; 4]>(), 0..4usize), 20..120),
    ) {
        let machine = Machine::new(1);
        let mut stage = stage(&machine);
        let mut guest = Guest::default();
        let queues = |stage: &mut Stage<'_>, guest: &mut Guest| {
            for op in [Op::InitControl { vcpu: 0, offset: control(0) }, Op::Expand] {
                perform(stage, guest, true, op).unwrap();
            }
        };
        queues(&mut stage, &mut guest);
        for (op, values, scribbles) in ops {
            // It answers, whatever it finds there. A guest that follows its own links is lost by itself.
            if !matches!(op, Op::GuestConsumes { .. } | Op::Reset) {
                let _ = perform(&mut stage, &mut guest, true, op);
            }
            for value in values.into_iter().take(scribbles) {
                let pages = &stage.domain(0).pages;
                pages[WORDS][value as usize % 4].store(value.rotate_left(32), Ordering::Relaxed);
                pages[BLOCKS][128 + value as usize % 12].store(value.rotate_left(16), Ordering::Relaxed);
            }
            // The second domain's channel to the third works as ever.
            stage.event_op(1, ec::EVTCHNOP_SEND, &mut ec::Send { port: 3 }).unwrap();
            assert_eq!(stage.domain(2).shared[6].swap(0, Ordering::Relaxed), 1 << 1);
        }
        // Begun anew, its own queues do as well.
        perform(&mut stage, &mut guest, true, Op::Reset).unwrap();
        queues(&mut stage, &mut guest);
        let port = perform(&mut stage, &mut guest, true, Op::BindIpi { vcpu: 0 }).unwrap();
        perform(&mut stage, &mut guest, true, Op::Send { port }).unwrap();
        assert_eq!(guest.consume(&stage, 0), port);
    }
}

#[test]
fn pages_that_are_not_the_guests_are_refused() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let expand = |stage: &mut Stage<'_>, array_gfn| {
        stage.event_op(0, ec::EVTCHNOP_EXPAND_ARRAY, &mut ec::ExpandArray { array_gfn })
    };
    let init = |stage: &mut Stage<'_>, control_gfn| {
        let mut arg = ec::InitControl { control_gfn, offset: 1024, vcpu: 0, ..Default::default() };
        stage.event_op(0, ec::EVTCHNOP_INIT_CONTROL, &mut arg)
    };
    for frame in [1 << 20, 1 << 52, u64::MAX] {
        assert_eq!(init(&mut stage, frame), Err(Errno::EINVAL));
    }
    // Nothing has changed by that.
    assert_eq!(expand(&mut stage, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(init(&mut stage, 0), Ok(0));
    for frame in [1 << 20, 1 << 52, u64::MAX] {
        assert_eq!(expand(&mut stage, frame), Err(Errno::EINVAL));
    }
    assert_eq!(expand(&mut stage, 1), Ok(0));
    let result = stage.act(0, Act::call(EVENT_CHANNEL_OP, [ec::EVTCHNOP_INIT_CONTROL.into(), 1 << 40]));
    assert_eq!(outcome(result), Err(Errno::EFAULT));
}

#[test]
fn back_at_the_first_rules_they_hold_as_ever() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let mut guest = Guest::default();
    // Something is told of and not taken before the queues come, and again before they go.
    perform(&mut stage, &mut guest, false, Op::PeerSends { channel: 0 }).unwrap();
    for op in [Op::InitControl { vcpu: 0, offset: control(0) }, Op::Expand, Op::PeerSends { channel: 1 }, Op::Reset] {
        perform(&mut stage, &mut guest, true, op).unwrap();
    }
    half(&stage, BLOCKS, 0).and(!0xff);
    let port = perform(&mut stage, &mut guest, false, Op::BindIpi { vcpu: 0 }).unwrap();
    perform(&mut stage, &mut guest, false, Op::Send { port }).unwrap();
    assert_eq!(stage.domain(0).shared[6].load(Ordering::Relaxed), 1 << port);
    let record = [half(&stage, BLOCKS, 0).load() & 0xff, half(&stage, BLOCKS, 8).load()];
    assert_eq!(record, [1, 1], "upcall and selector");
}

/// As many events as there are ports come before their words do; they are delivered in pieces, in order, none is lost.
#[test]
fn a_full_table_of_early_events_is_delivered_in_pieces() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let mut guest = Guest::default();
    while perform(&mut stage, &mut guest, false, Op::BindIpi { vcpu: 0 }).is_ok() {}
    (CHANNELS + 1..1024).for_each(|port| {
        perform(&mut stage, &mut guest, false, Op::Send { port }).unwrap();
    });
    perform(&mut stage, &mut guest, false, Op::InitControl { vcpu: 0, offset: control(0) }).unwrap();
    perform(&mut stage, &mut guest, false, Op::Expand).unwrap();
    let taken: Vec<u32> = (CHANNELS + 1..1024).map(|_| guest.consume(&stage, 0)).collect();
    assert!(taken.into_iter().eq(CHANNELS + 1..1024));
    assert_eq!(guest.consume(&stage, 0), 0);
}
