//! Single hypercalls at their edges: waiting for ports, places for vCPU records, a full table, and missing rights.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, Machine, READ_ONLY};
use host_tests::MS;
use host_tests::puppet::{Stage, outcome};
use hyp_core::arch::{Exit, ShutdownReason};
use hyp_core::domain::DomainConfig;
use hyp_core::limits::GRANT_FRAMES;
use hyp_core::policy::Rights;
use xen_abi::errno::Errno;
use xen_abi::event_channel as ec;
use xen_abi::hvm::{
    HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_STORE_PFN, HVMOP_FLUSH_TLBS, HVMOP_GET_PARAM, HVMOP_SET_PARAM, HvmParam,
};
use xen_abi::hypercall::{CONSOLE_IO, EVENT_CHANNEL_OP, HVM_OP, MEMORY_OP, SCHED_OP, VCPU_OP, XEN_VERSION};
use xen_abi::memory::{AddToPhysmap, XENMAPSPACE_GRANT_TABLE, XENMAPSPACE_SHARED_INFO, XENMEM_ADD_TO_PHYSMAP};
use xen_abi::sched::{Poll, SCHEDOP_BLOCK, SCHEDOP_POLL};
use xen_abi::vcpu::{RegisterVcpuInfo, VCPUOP_IS_UP, VCPUOP_REGISTER_VCPU_INFO};
use zerocopy::IntoBytes;

/// Where a guest keeps its list of ports, and the poll that names it.
const PORTS: u64 = 0x3000;
const POLL: u64 = 0x3100;
const SELF: u16 = 0x7ff0;

/// Two guests that may talk, the second connected to the first: (stage, port of the first, port of the second).
fn pair(machine: &Machine) -> (Stage<'_>, u32, u32) {
    let mut stage = Stage::new(machine);
    stage.add(&DomainConfig { vcpus: 2, ..DomainConfig::new("one") });
    stage.add(&DomainConfig { vcpus: 2, peers: 0b01, ..DomainConfig::new("two") });
    let mut first = ec::AllocUnbound { dom: SELF, remote_dom: 2, port: 0 };
    stage.event_op(0, ec::EVTCHNOP_ALLOC_UNBOUND, &mut first).unwrap();
    let mut second = ec::BindInterdomain { remote_dom: 1, remote_port: first.port, ..Default::default() };
    stage.event_op(1, ec::EVTCHNOP_BIND_INTERDOMAIN, &mut second).unwrap();
    (stage, first.port, second.local_port)
}

fn poll(stage: &Stage<'_>, who: usize, vcpu: usize, ports: &[u32], timeout: u64) {
    stage.domain(who).put(PORTS, ports.as_bytes());
    let arg = Poll { ports: PORTS, nr_ports: ports.len() as u32, pad0: 0, timeout };
    stage.domain(who).put(POLL, arg.as_bytes());
    stage.begin(who, vcpu, Act::call(SCHED_OP, [SCHEDOP_POLL.into(), POLL]));
}

fn send(stage: &mut Stage<'_>, who: usize, port: u32) {
    stage.event_op(who, ec::EVTCHNOP_SEND, &mut ec::Send { port }).unwrap();
}

fn mask(stage: &Stage<'_>, who: usize, port: u32) {
    stage.domain(who).shared[70 + port as usize / 64].fetch_or(1 << (port % 64), Ordering::Relaxed);
}

#[test]
fn a_poll_ends_when_its_port_is_pending_even_where_that_is_masked() {
    for ports in [1, 2] {
        let machine = Machine::new(1);
        let (mut stage, mine, theirs) = pair(&machine);
        mask(&stage, 0, mine);
        let mut other = ec::BindIpi { vcpu: 0, port: 0 };
        stage.event_op(0, ec::EVTCHNOP_BIND_IPI, &mut other).unwrap();
        poll(&stage, 0, 0, &[mine, other.port][..ports], 0);
        stage.pass(1, 50 * MS);
        assert_eq!(stage.result(0, 0), None, "it waits");
        send(&mut stage, 1, theirs);
        stage.pass(1, MS);
        assert_eq!(stage.result(0, 0), Some(0), "{ports} ports");
        // What is pending already does not wait.
        poll(&stage, 0, 0, &[mine, other.port][..ports], 0);
        stage.pass(1, MS);
        assert_eq!(stage.result(0, 0), Some(0));
    }
}

#[test]
fn a_poll_for_another_port_goes_on() {
    let machine = Machine::new(1);
    let (mut stage, mine, theirs) = pair(&machine);
    mask(&stage, 0, mine);
    let mut other = ec::BindIpi { vcpu: 0, port: 0 };
    stage.event_op(0, ec::EVTCHNOP_BIND_IPI, &mut other).unwrap();
    poll(&stage, 0, 0, &[other.port], 0);
    stage.pass(1, MS);
    send(&mut stage, 1, theirs);
    stage.pass(1, 50 * MS);
    assert_eq!(stage.result(0, 0), None, "the port that it does not name is masked");
}

#[test]
fn a_poll_ends_with_its_time() {
    let machine = Machine::new(1);
    let (mut stage, mine, _) = pair(&machine);
    poll(&stage, 0, 0, &[mine], 30 * MS);
    stage.pass(1, 20 * MS);
    assert_eq!(stage.result(0, 0), None);
    stage.pass(1, 20 * MS);
    assert_eq!(stage.result(0, 0), Some(0));
    // A time that is over already.
    poll(&stage, 0, 0, &[mine], 1);
    stage.pass(1, MS);
    assert_eq!(stage.result(0, 0), Some(0));
}

#[test]
fn a_poll_without_ports_waits_for_its_time_or_an_interrupt() {
    let machine = Machine::new(1);
    let (mut stage, _, theirs) = pair(&machine);
    poll(&stage, 0, 0, &[], 0);
    stage.pass(1, 50 * MS);
    assert_eq!(stage.result(0, 0), None);
    send(&mut stage, 1, theirs);
    stage.pass(1, MS);
    assert_eq!(stage.result(0, 0), Some(0), "the port is not masked, so the interrupt wakes it");
}

#[test]
fn a_poll_of_ports_that_there_cannot_be_is_refused() {
    let machine = Machine::new(1);
    let (mut stage, mine, _) = pair(&machine);
    for ports in [vec![0], vec![1024], vec![mine, u32::MAX], vec![mine; 129]] {
        poll(&stage, 0, 0, &ports, 0);
        stage.pass(1, MS);
        assert_eq!(stage.result(0, 0).map(outcome), Some(Err(Errno::EINVAL)), "{} ports", ports.len());
    }
    let arg = Poll { ports: 1 << 40, nr_ports: 1, pad0: 0, timeout: 0 };
    stage.domain(0).put(POLL, arg.as_bytes());
    assert_eq!(outcome(stage.act(0, Act::call(SCHED_OP, [SCHEDOP_POLL.into(), POLL]))), Err(Errno::EFAULT));
}

#[test]
fn a_vcpu_without_record_polls_too() {
    let machine = Machine::new(1);
    let (mut stage, mine, theirs) = pair(&machine);
    assert_eq!(stage.act(0, Act::Exit(Exit::CpuOn { target: 1, entry: 0, argument: 0 })), 0);
    stage.event_op(0, ec::EVTCHNOP_BIND_VCPU, &mut ec::BindVcpu { port: mine, vcpu: 1 }).unwrap();
    poll(&stage, 0, 1, &[mine], 0);
    stage.pass(1, 50 * MS);
    assert_eq!(stage.result(0, 1), None);
    send(&mut stage, 1, theirs);
    stage.pass(1, 5 * MS);
    assert_eq!(stage.result(0, 1), Some(0), "nobody can be told by a record, but the poll sees the port");
}

#[test]
fn block_waits_for_an_event_and_not_for_a_masked_one() {
    let machine = Machine::new(1);
    let (mut stage, mine, theirs) = pair(&machine);
    mask(&stage, 0, mine);
    stage.begin(0, 0, Act::call(SCHED_OP, [SCHEDOP_BLOCK.into()]));
    stage.pass(1, MS);
    send(&mut stage, 1, theirs);
    stage.pass(1, 50 * MS);
    assert_eq!(stage.result(0, 0), None);
    let id = stage.id(0);
    stage.machine.hypervisor.raise_virq(stage.cpus[0].local(), id, 0, 0);
    stage.pass(1, 50 * MS);
    assert_eq!(stage.result(0, 0), None, "nobody has bound it");
}

#[test]
fn a_record_must_fit_into_its_page_and_into_the_guest() {
    let machine = Machine::new(1);
    let (mut stage, mine, theirs) = pair(&machine);
    let mut register = |vcpu: u64, mfn, offset| {
        let args = [VCPUOP_REGISTER_VCPU_INFO.into(), vcpu, 0];
        stage.call(0, VCPU_OP, args, 2, &mut RegisterVcpuInfo { mfn, offset, rsvd: 0 })
    };
    for offset in [4096 - 47, 4096 - 40, 4096, 4, 7, u32::MAX, u32::MAX - 47] {
        assert_eq!(register(1, 0, offset), Err(Errno::EINVAL), "offset {offset}");
    }
    for frame in [2, 1 << 52, u64::MAX] {
        assert_eq!(register(1, frame, 0), Err(Errno::EINVAL), "frame {frame:#x}");
    }
    for vcpu in [2, 1 << 32, u64::MAX] {
        assert_eq!(register(vcpu, 0, 0), Err(Errno::ENOENT), "vCPU {vcpu:#x}");
    }
    assert_eq!(register(1, 1, 4096 - 48), Ok(0));
    assert_eq!(register(1, 0, 0), Err(Errno::EINVAL), "only once");
    // From now on events are told there, and the word in the shared page is left alone.
    let record = |stage: &Stage<'_>| {
        let page = &stage.domain(0).pages[1];
        (page[506].swap(0, Ordering::Relaxed), page[507].swap(0, Ordering::Relaxed))
    };
    assert_eq!(record(&stage), (1, u64::MAX), "all may be pending");
    stage.event_op(0, ec::EVTCHNOP_BIND_VCPU, &mut ec::BindVcpu { port: mine, vcpu: 1 }).unwrap();
    send(&mut stage, 1, theirs);
    assert_eq!(record(&stage), (1, 1));
    assert_eq!(stage.domain(0).shared[0].load(Ordering::Relaxed), 0);
}

#[test]
fn a_full_table_says_so_and_goes_on_when_a_port_is_closed() {
    let machine = Machine::new(1);
    let (mut stage, mine, _) = pair(&machine);
    let ipi = |stage: &mut Stage<'_>| {
        let mut arg = ec::BindIpi { vcpu: 0, port: 0 };
        stage.event_op(0, ec::EVTCHNOP_BIND_IPI, &mut arg).map(|_| arg.port)
    };
    for port in mine + 1..1024 {
        assert_eq!(ipi(&mut stage), Ok(port));
    }
    assert_eq!(ipi(&mut stage), Err(Errno::ENOSPC));
    let mut unbound = ec::AllocUnbound { dom: SELF, remote_dom: SELF, port: 0 };
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_ALLOC_UNBOUND, &mut unbound), Err(Errno::ENOSPC));
    let mut virq = ec::BindVirq::default();
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_BIND_VIRQ, &mut virq), Err(Errno::ENOSPC));
    // A wrong port is said to be wrong even so.
    let mut wrong = ec::BindInterdomain { remote_dom: 2, remote_port: 9, ..Default::default() };
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_BIND_INTERDOMAIN, &mut wrong), Err(Errno::EINVAL));
    let mut waiting = ec::AllocUnbound { dom: SELF, remote_dom: 1, port: 0 };
    stage.event_op(1, ec::EVTCHNOP_ALLOC_UNBOUND, &mut waiting).unwrap();
    let mut right = ec::BindInterdomain { remote_dom: 2, remote_port: waiting.port, ..Default::default() };
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_BIND_INTERDOMAIN, &mut right), Err(Errno::ENOSPC));
    for port in [1023, 500] {
        stage.event_op(0, ec::EVTCHNOP_CLOSE, &mut ec::Close { port }).unwrap();
        assert_eq!(ipi(&mut stage), Ok(port));
        assert_eq!(ipi(&mut stage), Err(Errno::ENOSPC));
    }
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_RESET, &mut ec::Reset { dom: SELF }), Ok(0));
    assert_eq!(ipi(&mut stage), Ok(1));
}

#[test]
fn an_answer_that_cannot_be_written_leaves_no_port_open() {
    let machine = Machine::new(1);
    let (mut stage, mine, _) = pair(&machine);
    let result = stage.act(0, Act::call(EVENT_CHANNEL_OP, [ec::EVTCHNOP_BIND_IPI.into(), READ_ONLY]));
    assert_eq!(outcome(result), Err(Errno::EFAULT));
    let mut status = ec::Status { dom: SELF, port: mine + 1, ..Default::default() };
    stage.event_op(0, ec::EVTCHNOP_STATUS, &mut status).unwrap();
    assert_eq!(status.status, ec::EVTCHNSTAT_CLOSED);
}

#[test]
fn each_right_allows_its_calls_and_no_others() {
    let calls: [(Rights, u64, [u64; 3]); 6] = [
        (Rights::VERSION, XEN_VERSION, [0, 0, 0]),
        (Rights::CONSOLE, CONSOLE_IO, [0, 0, 0]),
        (Rights::EVENTS, EVENT_CHANNEL_OP, [ec::EVTCHNOP_RESET.into(), 0x2000, 0]),
        (Rights::VCPU, VCPU_OP, [VCPUOP_IS_UP.into(), 0, 0]),
        (Rights::PARAMS, HVM_OP, [HVMOP_GET_PARAM.into(), 0x2010, 0]),
        (Rights::MEMORY, MEMORY_OP, [0xffff, 0, 0]),
    ];
    let machine = Machine::new(1);
    let mut stage = Stage::new(&machine);
    // Everybody but the last may let others run, which is how a puppet waits.
    let of = |rights| DomainConfig { rights, ..DomainConfig::new("guest") };
    for (right, ..) in calls {
        let who = stage.add(&of(right | Rights::SCHED));
        stage.domain(who).put(0x2000, ec::Reset { dom: SELF }.as_bytes());
        let param = HvmParam { domid: SELF, index: HVM_PARAM_CALLBACK_IRQ, ..Default::default() };
        stage.domain(who).put(0x2010, param.as_bytes());
    }
    for (who, (has, ..)) in calls.iter().enumerate() {
        for (needs, number, args) in calls {
            let allowed = outcome(stage.act(who, Act::call(number, args))) != Err(Errno::EPERM);
            assert_eq!(allowed, *has == needs, "{has:?} and hypercall {number}");
        }
    }
    let mute = stage.add(&of(Rights::all() - Rights::SCHED));
    for operation in 0..8 {
        assert_eq!(outcome(stage.act(mute, Act::call(SCHED_OP, [operation, 0x2000]))), Err(Errno::EPERM));
    }
}

#[test]
fn what_is_not_there_is_said_not_to_be() {
    let machine = Machine::new(1);
    let (mut stage, ..) = pair(&machine);
    let pirq = stage.act(0, Act::call(EVENT_CHANNEL_OP, [ec::EVTCHNOP_BIND_PIRQ.into(), 0x2000]));
    assert_eq!(outcome(pirq), Err(Errno::EINVAL));
    assert_eq!(outcome(stage.act(0, Act::call(EVENT_CHANNEL_OP, [99, 0x2000]))), Err(Errno::ENOSYS));
}

#[test]
fn an_interrupt_for_all_can_be_bound_again_after_it_moved() {
    let machine = Machine::new(1);
    let (mut stage, ..) = pair(&machine);
    let mut virq = ec::BindVirq { virq: 2, vcpu: 0, port: 0 };
    stage.event_op(0, ec::EVTCHNOP_BIND_VIRQ, &mut virq).unwrap();
    stage.event_op(0, ec::EVTCHNOP_BIND_VCPU, &mut ec::BindVcpu { port: virq.port, vcpu: 1 }).unwrap();
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_BIND_VIRQ, &mut virq.clone()), Err(Errno::EEXIST));
    stage.event_op(0, ec::EVTCHNOP_CLOSE, &mut ec::Close { port: virq.port }).unwrap();
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_BIND_VIRQ, &mut virq.clone()), Ok(0));
}

#[test]
fn a_guest_sets_its_callback_and_nothing_of_its_toolstack() {
    let machine = Machine::new(1);
    let (mut stage, ..) = pair(&machine);
    let mut op = |operation: u32, domid, index, value| {
        let mut arg = HvmParam { domid, pad: 0, index, value };
        stage.call(0, HVM_OP, [operation.into(), 0, 0], 1, &mut arg).map(|_| arg.value)
    };
    assert_eq!(op(HVMOP_SET_PARAM, SELF, HVM_PARAM_CALLBACK_IRQ, 0x0200_0000_0000_001f), Ok(0x0200_0000_0000_001f));
    assert_eq!(op(HVMOP_GET_PARAM, SELF, HVM_PARAM_CALLBACK_IRQ, 0), Ok(0x0200_0000_0000_001f));
    assert_eq!(op(HVMOP_SET_PARAM, SELF, HVM_PARAM_STORE_PFN, 1), Err(Errno::EPERM));
    assert_eq!(op(HVMOP_GET_PARAM, SELF, HVM_PARAM_STORE_PFN, 7), Ok(0));
    assert_eq!(op(HVMOP_GET_PARAM, 2, HVM_PARAM_CALLBACK_IRQ, 0), Err(Errno::EPERM), "another's");
    assert_eq!(op(HVMOP_GET_PARAM, 5, HVM_PARAM_CALLBACK_IRQ, 0), Err(Errno::ESRCH));
    assert_eq!(op(HVMOP_GET_PARAM, SELF, 9999, 0), Err(Errno::EINVAL));
    assert_eq!(op(HVMOP_FLUSH_TLBS, SELF, 0, 0), Err(Errno::ENOSYS));
}

#[test]
fn a_guest_maps_its_own_shared_page_and_nothing_else() {
    let machine = Machine::new(1);
    let (mut stage, ..) = pair(&machine);
    let mut map = |domid, space, idx, gpfn| {
        let mut arg = AddToPhysmap { domid, size: 0, space, idx, gpfn };
        stage.call(0, MEMORY_OP, [XENMEM_ADD_TO_PHYSMAP.into(), 0, 0], 1, &mut arg)
    };
    assert_eq!(map(SELF, XENMAPSPACE_SHARED_INFO, 0, 5), Ok(0));
    assert_eq!(map(1, XENMAPSPACE_SHARED_INFO, 0, 5), Ok(0));
    assert_eq!(map(2, XENMAPSPACE_SHARED_INFO, 0, 5), Err(Errno::EPERM), "another's");
    assert_eq!(map(3, XENMAPSPACE_SHARED_INFO, 0, 5), Err(Errno::ESRCH));
    assert_eq!(map(SELF, XENMAPSPACE_SHARED_INFO, 1, 5), Err(Errno::EINVAL));
    assert_eq!(map(SELF, XENMAPSPACE_SHARED_INFO, 0, 1 << 30), Err(Errno::EINVAL), "no such frame");
    assert_eq!(map(SELF, XENMAPSPACE_GRANT_TABLE, 0, 6), Ok(0));
    assert_eq!(map(SELF, XENMAPSPACE_GRANT_TABLE, GRANT_FRAMES as u64, 6), Err(Errno::EINVAL), "no such page of it");
    assert_eq!(map(2, XENMAPSPACE_GRANT_TABLE, 0, 6), Err(Errno::EPERM), "another's");
    assert_eq!(map(SELF, 9, 0, 5), Err(Errno::ENOSYS));
}

#[test]
fn it_says_that_it_is_4_17() {
    let machine = Machine::new(1);
    let (mut stage, ..) = pair(&machine);
    assert_eq!(stage.act(0, Act::call(XEN_VERSION, [0])), 4 << 16 | 17);
    let mut features = [0u32, u32::MAX];
    stage.call(0, XEN_VERSION, [6, 0, 0], 1, &mut features).unwrap();
    // XENFEAT_auto_translated_physmap, and the two that ARM guests look for.
    assert_eq!(features[1] & 1 << 2, 1 << 2);
    assert_eq!(stage.call(0, XEN_VERSION, [6, 0, 0], 1, &mut [1u32, 0]), Err(Errno::EINVAL));
}

#[test]
fn a_restart_forgets_what_the_guest_had_and_its_peer_keeps_a_waiting_port() {
    let machine = Machine::new(1);
    let (mut stage, mine, theirs) = pair(&machine);
    let args = [VCPUOP_REGISTER_VCPU_INFO.into(), 0, 0];
    stage.call(0, VCPU_OP, args, 2, &mut RegisterVcpuInfo { mfn: 1, offset: 64, rsvd: 0 }).unwrap();
    let mut param = HvmParam { domid: SELF, index: HVM_PARAM_CALLBACK_IRQ, value: 9, ..Default::default() };
    stage.call(0, HVM_OP, [HVMOP_SET_PARAM.into(), 0, 0], 1, &mut param).unwrap();
    mask(&stage, 0, mine);
    stage.act(0, Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)));
    assert!(machine.reported("name=one state=restarted reason=reboot"));
    let status = |stage: &mut Stage<'_>, who, port| {
        let mut arg = ec::Status { dom: SELF, port, ..Default::default() };
        stage.event_op(who, ec::EVTCHNOP_STATUS, &mut arg).map(|_| (arg.status, arg.detail))
    };
    assert_eq!(status(&mut stage, 0, mine), Ok((ec::EVTCHNSTAT_CLOSED, 0)));
    assert_eq!(status(&mut stage, 1, theirs), Ok((ec::EVTCHNSTAT_UNBOUND, 1)));
    stage.call(0, HVM_OP, [HVMOP_GET_PARAM.into(), 0, 0], 1, &mut param).unwrap();
    assert_eq!(param.value, 0);
    assert!(stage.domain(0).shared.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    assert_eq!(stage.call(0, VCPU_OP, args, 2, &mut RegisterVcpuInfo { mfn: 1, offset: 64, rsvd: 0 }), Ok(0));
}

#[test]
fn a_guest_that_is_gone_leaves_waiting_ports() {
    let machine = Machine::new(1);
    let (mut stage, _, theirs) = pair(&machine);
    stage.begin(0, 0, Act::Exit(Exit::Shutdown(ShutdownReason::Crash)));
    stage.pass(1, 50 * MS);
    assert!(machine.reported("name=one state=crashed reason=crash"));
    let mut arg = ec::Status { dom: SELF, port: theirs, ..Default::default() };
    stage.event_op(1, ec::EVTCHNOP_STATUS, &mut arg).unwrap();
    assert_eq!((arg.status, arg.detail), (ec::EVTCHNSTAT_UNBOUND, 1));
    send(&mut stage, 1, theirs);
}
