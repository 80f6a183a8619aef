//! A domain that may control others changes what they get of their CPUs while they run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use fake::{Act, Machine, program};
use host_tests::puppet::Stage;
use host_tests::{MS, power_off, sleep_until};
use hyp_core::domain::{DomainConfig, EndAction};
use hyp_core::policy::Rights;
use hyp_core::sched::{Promise, Reservation, Share};
use hyp_core::time::Nanos;
use xen_abi::domctl::{
    Credit, Rtds, SchedulerControl, SchedulerOp, VcpuParameters, Vcpus, XEN_DOMCTL_INTERFACE_VERSION,
    XEN_DOMCTL_SCHEDOP_GETINFO as GET, XEN_DOMCTL_SCHEDOP_GETVCPUINFO as GET_VCPUS, XEN_DOMCTL_SCHEDOP_PUTINFO as PUT,
    XEN_DOMCTL_SCHEDOP_PUTVCPUINFO as PUT_VCPUS, XEN_DOMCTL_SCHEDULER_OP, XEN_SCHEDULER_CREDIT as CREDIT,
    XEN_SCHEDULER_NULL, XEN_SCHEDULER_RTDS as RTDS,
};
use xen_abi::errno::Errno;
use xen_abi::hypercall::DOMCTL;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where the list of vCPUs is in the caller's memory.
const LIST: u64 = 0x2000;

fn reserved(budget: Nanos, period: Nanos, hard: bool) -> Share {
    let mut terms = Reservation::new(budget, period, period).unwrap();
    (terms.hard, terms.reclaim) = (hard, true);
    Share { promise: Promise::Reserve(terms), ..Share::of_weight(256) }
}

fn control(domain: u16, sched_id: u32, cmd: u32, member: &(impl IntoBytes + Immutable)) -> SchedulerControl {
    let mut op = SchedulerOp { sched_id, cmd, u: [0; 4] };
    member.write_to_prefix(op.u.as_mut_bytes()).unwrap();
    let interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    SchedulerControl { cmd: XEN_DOMCTL_SCHEDULER_OP, interface_version, domain, pad: [0; 3], op }
}

/// The call; what the member of the union is after it.
fn ask<T: FromBytes>(stage: &mut Stage<'_>, who: usize, mut control: SchedulerControl) -> Result<T, Errno> {
    stage.call(who, DOMCTL, [0; 3], 0, &mut control)?;
    Ok(T::read_from_prefix(control.op.u.as_bytes()).unwrap().0)
}

fn rtds(budget: u32, period: u32) -> Rtds {
    Rtds { period, budget, flags: 0 }
}

fn put(stage: &mut Stage<'_>, domain: u16, budget: u32, period: u32) -> Result<Rtds, Errno> {
    ask(stage, 0, control(domain, RTDS, PUT, &rtds(budget, period)))
}

fn get(stage: &mut Stage<'_>, domain: u16) -> Rtds {
    ask(stage, 0, control(domain, RTDS, GET, &Rtds::default())).unwrap()
}

/// The list of vCPUs after a call about these.
fn list(stage: &mut Stage<'_>, domain: u16, cmd: u32, entries: &[(u32, Rtds)]) -> Result<Vec<(u32, Rtds)>, Errno> {
    let bytes: Vec<u8> = entries
        .iter()
        .flat_map(|(vcpuid, rtds)| VcpuParameters { rtds: *rtds, vcpuid: *vcpuid }.as_bytes().to_vec())
        .collect();
    stage.domain(0).put(LIST, &bytes);
    let vcpus = Vcpus { vcpus: LIST, nr_vcpus: entries.len() as u32, padding: 0 };
    ask::<Vcpus>(stage, 0, control(domain, RTDS, cmd, &vcpus))?;
    let after = stage.domain(0).get(LIST, bytes.len());
    let entries =
        after.chunks(size_of::<VcpuParameters>()).map(|entry| VcpuParameters::read_from_bytes(entry).unwrap());
    Ok(entries.map(|entry| (entry.vcpuid, entry.rtds)).collect())
}

/// Who may control others, a plain guest, and two with reservations: of 30 % and of 2 vCPUs with 20 % each.
fn stage(machine: &Machine) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    stage.add(&DomainConfig { rights: Rights::all(), ..DomainConfig::new("one") });
    stage.add(&DomainConfig::new("two"));
    stage.add(&DomainConfig { share: reserved(3 * MS, 10 * MS, false), ..DomainConfig::new("three") });
    stage.add(&DomainConfig { vcpus: 2, share: reserved(2 * MS, 10 * MS, true), ..DomainConfig::new("four") });
    stage
}

#[test]
fn only_who_controls_others_may_and_only_in_the_words_of_this_version() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let good = control(3, RTDS, GET, &Rtds::default());
    let mut refused = |who, change: &dyn Fn(&mut SchedulerControl)| {
        let mut bad = good;
        change(&mut bad);
        ask::<Rtds>(&mut stage, who, bad).err()
    };
    assert_eq!(refused(1, &|_| {}), Some(Errno::EPERM));
    assert_eq!(refused(1, &|call| call.domain = 2), Some(Errno::EPERM), "not even about itself");
    assert_eq!(refused(0, &|_| {}), None);
    assert_eq!(refused(0, &|call| call.interface_version += 1), Some(Errno::EACCES));
    assert_eq!(refused(0, &|call| call.domain = 9), Some(Errno::ESRCH));
    assert_eq!(refused(0, &|call| call.cmd = 5), Some(Errno::ENOSYS));
    assert_eq!(refused(0, &|call| call.op.cmd = 4), Some(Errno::EINVAL));
    for (domain, scheduler) in [(2, RTDS), (3, XEN_SCHEDULER_NULL), (3, 6), (3, u32::MAX)] {
        let other = |call: &mut SchedulerControl| (call.domain, call.op.sched_id) = (domain, scheduler);
        assert_eq!(refused(0, &other), Some(Errno::EINVAL), "{scheduler} of domain {domain}");
    }
}

#[test]
fn a_weight_is_read_and_changed() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let mut weight = |domain, cmd, weight, cap| {
        ask::<Credit>(&mut stage, 0, control(domain, CREDIT, cmd, &Credit { weight, cap })).map(|now| now.weight)
    };
    assert_eq!(weight(2, GET, 0, 0), Ok(256));
    assert_eq!(weight(2, PUT, 512, u16::MAX), Ok(512));
    assert_eq!(weight(2, PUT, 0, 0), Ok(0), "0 leaves it");
    assert_eq!(weight(2, PUT, 7, 50), Err(Errno::EINVAL), "no caps");
    assert_eq!(weight(2, PUT_VCPUS, 7, 0), Err(Errno::EINVAL), "a domain has one weight");
    assert_eq!((weight(2, GET, 0, 0), weight(3, GET, 0, 0)), (Ok(512), Ok(256)));
}

#[test]
fn a_reservation_is_read_and_changed_and_what_makes_no_sense_or_does_not_fit_changes_nothing() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    assert_eq!(get(&mut stage, 3), Rtds { period: 10_000, budget: 3_000, flags: 1 });
    let old = get(&mut stage, 4);
    for (budget, period) in [(0, 10_000), (1_000, 0), (9, 10_000), (10_001, 10_000), (10, 9), (u32::MAX, u32::MAX)] {
        assert_eq!(put(&mut stage, 4, budget, period), Err(Errno::EINVAL), "{budget} in {period}");
    }
    // 30 % are three's, so that both its vCPUs can have 32 % and not 33 %.
    assert_eq!(put(&mut stage, 4, 3_300, 10_000), Err(Errno::ENOSPC));
    assert_eq!(get(&mut stage, 4), old);
    assert!(put(&mut stage, 4, 6_400, 20_000).is_ok());
    assert_eq!(get(&mut stage, 4), Rtds { period: 20_000, budget: 6_400, flags: 0 });
}

#[test]
fn vcpus_are_read_and_changed_by_themselves_all_or_none() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let nothing = Rtds::default();
    let both = |stage: &mut Stage<'_>| list(stage, 4, GET_VCPUS, &[(1, nothing), (0, nothing)]);
    let old = rtds(2_000, 10_000);
    assert_eq!(both(&mut stage), Ok(vec![(1, old), (0, old)]));
    for bad in [
        &[(0, rtds(1_000, 10_000)), (2, rtds(1_000, 10_000))][..],
        &[(0, rtds(1_000, 10_000)), (1, rtds(0, 10_000))],
        &[(0, rtds(1_000, 10_000)), (0, rtds(1_000, 10_000))],
        &[(0, rtds(1_000, 10_000)); 9],
    ] {
        assert_eq!(list(&mut stage, 4, PUT_VCPUS, bad), Err(Errno::EINVAL), "{bad:?}");
    }
    let too_much = [(0, rtds(1_000, 10_000)), (1, rtds(5_000, 10_000))];
    assert_eq!(list(&mut stage, 4, PUT_VCPUS, &too_much), Err(Errno::ENOSPC), "30 + 20 + 50 %");
    assert_eq!(both(&mut stage), Ok(vec![(1, old), (0, old)]));
    let soft = Rtds { flags: 1, ..rtds(4_000, 10_000) };
    assert!(list(&mut stage, 4, PUT_VCPUS, &[(1, soft)]).is_ok());
    assert_eq!(both(&mut stage), Ok(vec![(1, soft), (0, old)]));
}

#[test]
fn what_is_given_up_is_another_s_when_the_old_period_is_over() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    assert!(put(&mut stage, 3, 1_000, 10_000).is_ok());
    assert_eq!(put(&mut stage, 4, 4_000, 10_000), Err(Errno::ENOSPC), "10 + 80 %, and the old 30 %");
    stage.pass(0, 40 * MS);
    assert!(put(&mut stage, 4, 4_000, 10_000).is_ok());
}

/// How long a guest with a hard 20 % that is changed to 60 % at half time has run after one second, beside another.
fn ran(cpus: u8, affinity: u32) -> Nanos {
    let machine = Machine::new(cpus);
    let mut config = DomainConfig { rights: Rights::all(), affinity: 1, ..DomainConfig::new("one") };
    config.actions.poweroff = EndAction::MachineOff;
    let code = |called: &mut bool, guest: &mut fake::Guest<'_>| {
        if let Some(act) = sleep_until(guest, if *called { 1000 * MS } else { 500 * MS }) {
            return act;
        }
        if std::mem::replace(called, true) {
            return power_off();
        }
        let control = control(2, RTDS, PUT, &rtds(12_000, 20_000));
        guest.call_with(DOMCTL, [0; 3], 0, control.as_bytes())
    };
    machine.add(&config, &program(false, code));
    let share = reserved(2 * MS, 10 * MS, true);
    let hungry = program((), |(), _| Act::Compute(MS));
    machine.add(&DomainConfig { share, affinity, ..DomainConfig::new("two") }, &hungry);
    machine.add(&DomainConfig { affinity, ..DomainConfig::new("three") }, &hungry);
    assert!(machine.run(2000 * MS));
    let reports = machine.reports();
    let time = |line: &String| line.strip_prefix("@usage domain=two vcpu=0 cpu_ns=")?.split(' ').next()?.parse().ok();
    reports.iter().find_map(time).unwrap()
}

#[test]
fn another_reservation_is_what_the_guest_gets_from_its_next_period_on() {
    for (cpus, affinity) in [(1, 0b01), (2, 0b10)] {
        let ran = ran(cpus, affinity);
        assert!((398 * MS..=402 * MS).contains(&ran), "100 ms + 300 ms, and not {ran} ns, on {cpus} CPUs");
    }
}
