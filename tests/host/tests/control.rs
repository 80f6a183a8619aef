//! What is the control domain's to do, and what every guest is answered that asks for more than there is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use fake::{Act, Machine};
use host_tests::MS;
use host_tests::puppet::{Stage, outcome};
use hyp_core::arch::{Exit, GuestFault};
use hyp_core::domain::{DomainConfig, EndAction, EndActions};
use hyp_core::policy::Rights;
use xen_abi::errno::Errno;
use xen_abi::hvm::{
    HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_IOREQ_PFN, HVM_PARAM_STORE_PFN, HVMOP_GET_PARAM,
    HVMOP_GUEST_REQUEST_VM_EVENT, HVMOP_SET_PARAM, HvmParam,
};
use xen_abi::hypercall as numbers;
use xen_abi::sched::{
    PinOverride, RemoteShutdown, SCHEDOP_PIN_OVERRIDE, SCHEDOP_REMOTE_SHUTDOWN, SCHEDOP_SHUTDOWN,
    SCHEDOP_SHUTDOWN_CODE, Shutdown,
};
use xen_abi::vcpu::{
    VCPUOP_DOWN, VCPUOP_GET_PHYSID, VCPUOP_INITIALISE, VCPUOP_REGISTER_VCPU_TIME_MEMORY_AREA, VCPUOP_SEND_NMI,
    VCPUOP_UP,
};

const SELF: u16 = 0x7ff0;

/// A plain guest, one with the right to control others, and a plain one again.
fn stage(machine: &Machine) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    stage.add(&DomainConfig::new("one"));
    stage.add(&DomainConfig { rights: Rights::all(), ..DomainConfig::new("two") });
    stage.add(&DomainConfig::new("three"));
    stage
}

fn sched<T>(stage: &mut Stage<'_>, who: usize, operation: u32, arg: &mut T) -> Result<u64, Errno>
where
    T: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable,
{
    stage.call(who, numbers::SCHED_OP, [operation.into(), 0, 0], 1, arg)
}

#[test]
fn only_the_right_to_control_ends_another_domain() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let end = |stage: &mut Stage<'_>, who, domain_id, reason| {
        sched(stage, who, SCHEDOP_REMOTE_SHUTDOWN, &mut RemoteShutdown { domain_id, pad0: 0, reason })
    };
    assert_eq!(end(&mut stage, 0, 3, 0), Err(Errno::EPERM));
    assert_eq!(end(&mut stage, 0, 1, 0), Err(Errno::EPERM), "there is another operation for itself");
    assert_eq!(end(&mut stage, 1, SELF, 0), Err(Errno::ESRCH), "a remote one has a number");
    assert_eq!(end(&mut stage, 1, 7, 0), Err(Errno::ESRCH));
    stage.pass(2, MS);
    assert!(!machine.reported("name=three state=shutdown"));
    assert_eq!(end(&mut stage, 1, 3, 0), Ok(0));
    stage.pass(0, 10 * MS);
    assert!(machine.reported("name=three state=shutdown reason=poweroff"));
    assert_eq!(end(&mut stage, 1, 3, 3), Ok(0), "it has ended already");
    assert!(!machine.reported("name=three state=crashed"));
}

#[test]
fn a_vcpu_is_pinned_by_who_may_to_a_cpu_that_is_there() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let mut pin = |who, pcpu| sched(&mut stage, who, SCHEDOP_PIN_OVERRIDE, &mut PinOverride { pcpu });
    assert_eq!(pin(0, 0), Err(Errno::EPERM));
    let refused = [-1, 1, 256, i32::MAX].map(|pcpu| pin(1, pcpu));
    assert_eq!(refused, [Err(Errno::EINVAL); 4]);
    assert_eq!((pin(1, 0), pin(1, 0), pin(1, -1), pin(1, 0)), (Ok(0), Err(Errno::EBUSY), Ok(0), Ok(0)));
}

#[test]
fn every_reason_ends_the_domain_in_its_way() {
    let ends = [(0, "shutdown reason=poweroff"), (2, "shutdown reason=suspend"), (3, "crashed reason=crash")];
    let more = [(4, "crashed reason=watchdog"), (1, "restarted reason=reboot"), (5, "restarted reason=reboot")];
    for (reason, line) in ends.into_iter().chain(more).chain([(6, "crashed reason=crash"), (u32::MAX, "crashed")]) {
        let machine = Machine::new(1);
        let mut stage = stage(&machine);
        stage.domain(0).put(0x2000, zerocopy::IntoBytes::as_bytes(&Shutdown { reason }));
        stage.begin(0, 0, Act::call(numbers::SCHED_OP, [SCHEDOP_SHUTDOWN.into(), 0x2000]));
        stage.pass(1, 20 * MS);
        assert!(machine.reported(&format!("name=one state={line}")), "{reason}: {:?}", machine.reports());
    }
}

#[test]
fn a_reason_that_was_noted_counts_whatever_ends_the_domain_and_only_in_that_life() {
    let machine = Machine::new(1);
    let mut stage = Stage::new(&machine);
    let actions = EndActions { crash: EndAction::Restart, ..EndActions::DEFAULT };
    stage.add(&DomainConfig { actions, ..DomainConfig::new("one") });
    stage.add(&DomainConfig::new("two"));
    assert_eq!(sched(&mut stage, 0, SCHEDOP_SHUTDOWN_CODE, &mut Shutdown { reason: 1 }), Ok(0));
    let fault = GuestFault { what: "test", pc: 0, address: 0, guest_physical: 0, syndrome: 0 };
    for reason in ["reboot", "crash"] {
        stage.begin(0, 0, Act::Exit(Exit::Fault(fault)));
        stage.pass(1, 20 * MS);
        assert!(machine.reported(&format!("name=one state=restarted reason={reason}")));
    }
}

#[test]
fn parameters_are_the_toolstacks_the_guests_or_nobodys() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let mut op = |who, operation: u32, domid, index, value| {
        let mut arg = HvmParam { domid, pad: 0, index, value };
        stage.call(who, numbers::HVM_OP, [operation.into(), 0, 0], 1, &mut arg).map(|_| arg.value)
    };
    // The toolstack sets, the guest reads.
    assert_eq!(op(1, HVMOP_SET_PARAM, 1, HVM_PARAM_STORE_PFN, 9), Ok(9));
    assert_eq!(op(0, HVMOP_GET_PARAM, SELF, HVM_PARAM_STORE_PFN, 0), Ok(9));
    assert_eq!(op(0, HVMOP_SET_PARAM, SELF, HVM_PARAM_CONSOLE_EVTCHN, 0), Err(Errno::EPERM));
    assert_eq!(op(1, HVMOP_SET_PARAM, SELF, HVM_PARAM_STORE_PFN, 0), Err(Errno::EPERM), "nor its own");
    // Others' are nobody's without the right, whatever they are.
    for index in [HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_STORE_PFN] {
        assert_eq!(op(0, HVMOP_GET_PARAM, 3, index, 0), Err(Errno::EPERM));
        assert_eq!(op(0, HVMOP_SET_PARAM, 3, index, 1), Err(Errno::EPERM));
    }
    assert_eq!(op(1, HVMOP_GET_PARAM, 3, HVM_PARAM_STORE_PFN, 5), Ok(0));
    for operation in [HVMOP_GET_PARAM, HVMOP_SET_PARAM] {
        assert_eq!(op(0, operation, SELF, HVM_PARAM_IOREQ_PFN, 0), Err(Errno::EINVAL), "there are no device models");
        assert_eq!(op(0, operation, 9, HVM_PARAM_STORE_PFN, 0), Err(Errno::ESRCH));
    }
    let request = |at| Act::call(numbers::HVM_OP, [HVMOP_GUEST_REQUEST_VM_EVENT.into(), at]);
    assert_eq!(outcome(stage.act(0, request(0))), Ok(0));
    assert_eq!(outcome(stage.act(0, request(0x2000))), Err(Errno::EINVAL));
}

#[test]
fn what_there_is_not_is_answered_as_on_xen() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let mut ask = |number, args: [u64; 3]| outcome(stage.act(0, Act::call(number, args)));
    for operation in [
        VCPUOP_INITIALISE,
        VCPUOP_UP,
        VCPUOP_DOWN,
        VCPUOP_SEND_NMI,
        VCPUOP_GET_PHYSID,
        VCPUOP_REGISTER_VCPU_TIME_MEMORY_AREA,
        99,
    ] {
        assert_eq!(ask(numbers::VCPU_OP, [operation.into(), 0, 0x2000]), Err(Errno::EINVAL), "vcpu_op {operation}");
        assert_eq!(ask(numbers::VCPU_OP, [operation.into(), 9, 0x2000]), Err(Errno::ENOENT), "vcpu_op {operation}");
    }
    for number in [
        numbers::SET_TIMER_OP,
        numbers::SCHED_OP_COMPAT,
        numbers::PLATFORM_OP,
        numbers::PHYSDEV_OP,
        numbers::PHYSDEV_OP_COMPAT,
        numbers::EVENT_CHANNEL_OP_COMPAT,
        numbers::XSM_OP,
        numbers::TMEM_OP,
        numbers::ARGO_OP,
        numbers::HYPFS_OP,
        numbers::ARCH_0,
        u64::MAX,
    ] {
        assert_eq!(ask(number, [0, 0x2000, 0]), Err(Errno::ENOSYS), "hypercall {number}");
    }
    assert_eq!(ask(numbers::SCHED_OP, [8, 0x2000, 0]), Err(Errno::ENOSYS));
    assert_eq!(ask(numbers::XEN_VERSION, [11, 0x2000, 0]), Err(Errno::ENOSYS));
    assert_eq!(ask(numbers::XEN_VERSION, [10, 0, 0]), Err(Errno::ENODATA));
    assert_eq!(ask(numbers::CONSOLE_IO, [2, 0, 0x2000]), Err(Errno::ENOSYS));
    assert_eq!(ask(numbers::CONSOLE_IO, [1, 1 << 31, 0x2000]), Err(Errno::E2BIG));
    assert_eq!(ask(numbers::CONSOLE_IO, [1, 8, 0x2000]), Ok(0));
    // Of a wrong type and a wrong command the type is the first.
    assert_eq!(ask(numbers::VM_ASSIST, [9, 4, 0]), Err(Errno::EINVAL));
    assert_eq!(ask(numbers::VM_ASSIST, [9, 5, 0]), Err(Errno::ENOSYS));
    assert_eq!(ask(numbers::VM_ASSIST, [0, 5, 0]), Ok(0));
}

#[test]
fn it_describes_itself_in_fields_of_the_right_length() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let lengths = [(1, 16), (2, 144), (3, 1024), (4, 64), (5, 8), (8, 16), (9, 9)];
    for (operation, length) in lengths {
        stage.domain(0).put(0x2000, &[0xff; 1100]);
        assert_eq!(outcome(stage.act(0, Act::call(numbers::XEN_VERSION, [operation, 0x2000]))), Ok(0));
        let answer = stage.domain(0).get(0x2000, 1100);
        let written = answer.iter().position(|byte| *byte == 0xff).unwrap();
        assert_eq!(written, length, "operation {operation}");
        assert!(answer[written..].iter().all(|byte| *byte == 0xff), "operation {operation}");
        assert_eq!(answer[written - 1], 0, "operation {operation} ends with a zero");
    }
}
