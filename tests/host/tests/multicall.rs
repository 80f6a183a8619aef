//! Lists of hypercalls.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, Machine, READ_ONLY};
use host_tests::MS;
use host_tests::puppet::{Stage, outcome};
use hyp_core::arch::Arch;
use hyp_core::domain::DomainConfig;
use hyp_core::policy::Rights;
use xen_abi::console::CONSOLEIO_WRITE;
use xen_abi::errno::Errno;
use xen_abi::event_channel as ec;
use xen_abi::hypercall::{CONSOLE_IO, EVENT_CHANNEL_OP, MULTICALL, MulticallEntry, SCHED_OP, XEN_VERSION};
use xen_abi::sched::{SCHEDOP_BLOCK, SCHEDOP_SHUTDOWN, SCHEDOP_YIELD, Shutdown};
use zerocopy::{FromBytes, IntoBytes};

const LIST: u64 = 0x2000;
const TEXT: u64 = 0x6000;
const VERSION: u64 = 4 << 16 | 17;
/// A result that no call gives.
const UNTOUCHED: u64 = 0xdead;

fn entry(op: u64, args: &[u64]) -> MulticallEntry {
    let mut entry = MulticallEntry { op, result: UNTOUCHED, args: [0; 6] };
    entry.args[..args.len()].copy_from_slice(args);
    entry
}

fn stage(machine: &Machine, rights: Rights) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    stage.add(&DomainConfig { rights, ..DomainConfig::new("one") });
    stage.add(&DomainConfig::new("two"));
    stage
}

fn put(stage: &Stage<'_>, list: &[MulticallEntry]) -> Act {
    stage.domain(0).put(LIST, list.as_bytes());
    Act::call(MULTICALL, [LIST, list.len() as u64])
}

fn results(stage: &Stage<'_>, count: usize) -> Vec<u64> {
    let bytes = stage.domain(0).get(LIST, count * 64);
    bytes.chunks(64).map(|entry| MulticallEntry::read_from_bytes(entry).unwrap().result).collect()
}

#[test]
fn each_call_gets_its_own_answer_and_asks_by_itself() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine, Rights::GUEST - Rights::CONSOLE);
    let list = [
        entry(XEN_VERSION, &[0]),
        entry(999, &[]),
        entry(CONSOLE_IO, &[CONSOLEIO_WRITE.into(), 1, TEXT]),
        entry(MULTICALL, &[LIST, 1]),
        entry(XEN_VERSION, &[6, 1 << 40]),
        entry(XEN_VERSION, &[7]),
    ];
    let act = put(&stage, &list);
    assert_eq!(stage.act(0, act), 0);
    let errors = [Errno::ENOSYS, Errno::EPERM, Errno::EINVAL, Errno::EFAULT].map(Errno::to_result);
    assert_eq!(results(&stage, 6), [&[VERSION][..], &errors, &[4096]].concat());
}

#[test]
fn a_long_list_is_made_in_pieces_in_order() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine, Rights::GUEST);
    let list: Vec<_> = (0..100).map(|_| entry(XEN_VERSION, &[0])).collect();
    let act = put(&stage, &list);
    stage.begin(0, 0, act);
    let mut made = Vec::new();
    while stage.result(0, 0).is_none() {
        stage.steps(1);
        made.push(results(&stage, 100).iter().filter(|result| **result == VERSION).count());
    }
    assert!(made.windows(2).all(|pair| pair[1] - pair[0] <= 8), "{made:?}");
    assert_eq!(results(&stage, 100), [VERSION; 100]);
}

#[test]
fn calls_that_are_not_done_at_once_go_on_where_they_were() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine, Rights::GUEST);
    stage.domain(0).put(TEXT, &[b'x'; 3000]);
    let write = |bytes| entry(CONSOLE_IO, &[CONSOLEIO_WRITE.into(), bytes, TEXT]);
    let list = [write(3000), entry(SCHED_OP, &[SCHEDOP_YIELD.into()]), write(1), entry(XEN_VERSION, &[0])];
    let act = put(&stage, &list);
    assert_eq!(stage.act(0, act), 0);
    assert_eq!(machine.console(stage.id(0)).len(), 3001);
    assert_eq!(results(&stage, 4), [0, 0, 0, VERSION]);
}

#[test]
fn a_call_that_waits_lets_the_rest_wait() {
    for last in [false, true] {
        let machine = Machine::new(1);
        let mut stage = stage(&machine, Rights::GUEST);
        let mut ipi = ec::BindIpi { vcpu: 0, port: 0 };
        stage.event_op(0, ec::EVTCHNOP_BIND_IPI, &mut ipi).unwrap();
        let mut timer = ec::BindVirq { virq: 0, vcpu: 0, port: 0 };
        stage.event_op(0, ec::EVTCHNOP_BIND_VIRQ, &mut timer).unwrap();
        let block = entry(SCHED_OP, &[SCHEDOP_BLOCK.into()]);
        let list = [entry(XEN_VERSION, &[0]), block, entry(XEN_VERSION, &[0])];
        let list = if last { &list[..2] } else { &list };
        let act = put(&stage, list);
        stage.begin(0, 0, act);
        stage.pass(1, 50 * MS);
        assert_eq!(stage.result(0, 0), None);
        let waiting = [VERSION, 0, UNTOUCHED];
        assert_eq!(results(&stage, list.len()), waiting[..list.len()]);
        let id = stage.id(0);
        stage.machine.hypervisor.raise_virq(stage.cpus[0].local(), id, 0, 0);
        stage.pass(1, 50 * MS);
        assert_eq!(stage.result(0, 0), Some(0));
        assert_eq!(results(&stage, list.len()), [VERSION, 0, VERSION][..list.len()]);
    }
}

#[test]
fn lists_that_are_not_there_and_calls_that_end_everything() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine, Rights::GUEST);
    assert_eq!(stage.act(0, Act::call(MULTICALL, [1 << 40, 0])), 0, "nothing to do");
    assert_eq!(outcome(stage.act(0, Act::call(MULTICALL, [1 << 40, 1]))), Err(Errno::EFAULT));
    assert_eq!(outcome(stage.act(0, Act::call(MULTICALL, [u64::MAX - 7, 2]))), Err(Errno::EFAULT));
    assert_eq!(outcome(stage.act(0, Act::call(MULTICALL, [READ_ONLY, 2]))), Err(Errno::EFAULT));
    stage.domain(0).put(TEXT, Shutdown { reason: 0 }.as_bytes());
    let send = entry(EVENT_CHANNEL_OP, &[ec::EVTCHNOP_SEND.into(), TEXT]);
    let act = put(&stage, &[entry(SCHED_OP, &[SCHEDOP_SHUTDOWN.into(), TEXT]), send]);
    stage.begin(0, 0, act);
    stage.pass(1, 50 * MS);
    assert!(machine.reported("name=one state=shutdown reason=poweroff"));
    assert!(!machine.hypervisor.arch().off.load(Ordering::Relaxed) && machine.hypervisor.arch().now() > 0);
}
