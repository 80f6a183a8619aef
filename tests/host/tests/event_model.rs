//! Random sequences of everything that guests can do with event channels, on three domains, against a model.
//!
//! The model follows `public/event_channel.h` and the 2-level layout of `public/xen.h`; it shares no line with the
//! hypervisor's tables. After each operation the answer and all that the guests can see in their pages must agree.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod model;

use std::sync::atomic::Ordering;

use fake::Machine;
use host_tests::puppet::Stage;
use hyp_core::domain::DomainConfig;
use model::{Answer, DOMAINS, Model, Op};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use xen_abi::errno::Errno;
use xen_abi::event_channel as ec;
use xen_abi::hypercall::VCPU_OP;
use xen_abi::vcpu::{RegisterVcpuInfo, VCPUOP_REGISTER_VCPU_INFO};

/// `DOMID_SELF`, the three domains, and numbers that no domain has.
fn domid() -> impl Strategy<Value = u16> {
    prop_oneof![3 => Just(0x7ff0), 9 => 1..=3u16, 1 => prop_oneof![Just(0), Just(4), Just(9), Just(0x7ff1)]]
}

fn port() -> impl Strategy<Value = u32> {
    prop_oneof![24 => 1..5u32, 4 => 5..9u32, 1 => prop_oneof![Just(0), Just(1023), Just(1024), Just(4096), Just(u32::MAX)]]
}

/// Mostly one for each vCPU and one for all.
fn virq() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 3 => Just(2), 1 => 0..26u32]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (domid(), domid()).prop_map(|(dom, remote)| Op::AllocUnbound { dom, remote }),
        3 => domid().prop_map(|remote| Op::AllocUnbound { dom: 0x7ff0, remote }),
        6 => (domid(), port()).prop_map(|(remote, port)| Op::BindInterdomain { remote, port }),
        3 => (virq(), 0..3u32).prop_map(|(virq, vcpu)| Op::BindVirq { virq, vcpu }),
        1 => (0..3u32).prop_map(|vcpu| Op::BindIpi { vcpu }),
        3 => (port(), 0..3u32).prop_map(|(port, vcpu)| Op::BindVcpu { port, vcpu }),
        8 => port().prop_map(|port| Op::Send { port }),
        4 => port().prop_map(|port| Op::Unmask { port }),
        4 => port().prop_map(|port| Op::Close { port }),
        3 => (domid(), port()).prop_map(|(dom, port)| Op::Status { dom, port }),
        1 => domid().prop_map(|dom| Op::Reset { dom }),
        2 => (0..3u32, 0..65u32).prop_map(|(vcpu, at)| Op::Register { vcpu, frame: vcpu.into(), offset: at * 64 }),
        3 => (0..2u8, virq()).prop_map(|(vcpu, virq)| Op::Raise { vcpu, virq }),
        3 => (1..8u32).prop_map(|port| Op::GuestMasks { port }),
        3 => (1..8u32).prop_map(|port| Op::GuestClears { port }),
        4 => any::<bool>().prop_map(|second| Op::GuestTakes { vcpu: second.into() }),
    ]
}

/// Lets the real machine do it.
fn perform(stage: &mut Stage<'_>, model: &Model, who: usize, op: Op) -> Result<Answer, Errno> {
    let done = |result: Result<u64, Errno>| result.map(|_| Answer::None);
    match op {
        Op::AllocUnbound { dom, remote } => {
            let mut arg = ec::AllocUnbound { dom, remote_dom: remote, port: 0 };
            stage.event_op(who, ec::EVTCHNOP_ALLOC_UNBOUND, &mut arg).map(|_| Answer::Port(arg.port))
        }
        Op::BindInterdomain { remote, port } => {
            let mut arg = ec::BindInterdomain { remote_dom: remote, remote_port: port, ..Default::default() };
            stage.event_op(who, ec::EVTCHNOP_BIND_INTERDOMAIN, &mut arg).map(|_| Answer::Port(arg.local_port))
        }
        Op::BindVirq { virq, vcpu } => {
            let mut arg = ec::BindVirq { virq, vcpu, port: 0 };
            stage.event_op(who, ec::EVTCHNOP_BIND_VIRQ, &mut arg).map(|_| Answer::Port(arg.port))
        }
        Op::BindIpi { vcpu } => {
            let mut arg = ec::BindIpi { vcpu, port: 0 };
            stage.event_op(who, ec::EVTCHNOP_BIND_IPI, &mut arg).map(|_| Answer::Port(arg.port))
        }
        Op::BindVcpu { port, vcpu } => {
            done(stage.event_op(who, ec::EVTCHNOP_BIND_VCPU, &mut ec::BindVcpu { port, vcpu }))
        }
        Op::Send { port } => done(stage.event_op(who, ec::EVTCHNOP_SEND, &mut ec::Send { port })),
        Op::Unmask { port } => done(stage.event_op(who, ec::EVTCHNOP_UNMASK, &mut ec::Unmask { port })),
        Op::Close { port } => done(stage.event_op(who, ec::EVTCHNOP_CLOSE, &mut ec::Close { port })),
        Op::Reset { dom } => done(stage.event_op(who, ec::EVTCHNOP_RESET, &mut ec::Reset { dom })),
        Op::Status { dom, port } => {
            let mut arg = ec::Status { dom, port, ..Default::default() };
            let result = stage.event_op(who, ec::EVTCHNOP_STATUS, &mut arg);
            result.map(|_| Answer::Status { status: arg.status, vcpu: arg.vcpu, detail: [arg.detail, arg.detail_port] })
        }
        Op::Register { vcpu, frame, offset } => {
            let mut arg = RegisterVcpuInfo { mfn: frame, offset, rsvd: 0 };
            let args = [VCPUOP_REGISTER_VCPU_INFO.into(), vcpu.into(), 0];
            done(stage.call(who, VCPU_OP, args, 2, &mut arg))
        }
        Op::Raise { vcpu, virq } => {
            let id = stage.id(who);
            stage.machine.hypervisor.raise_virq(stage.cpus[0].local(), id, vcpu, virq);
            Ok(Answer::None)
        }
        Op::GuestMasks { port } => {
            stage.domain(who).shared[70 + port as usize / 64].fetch_or(1 << (port % 64), Ordering::Relaxed);
            Ok(Answer::None)
        }
        Op::GuestClears { port } => {
            stage.domain(who).shared[6 + port as usize / 64].fetch_and(!(1 << (port % 64)), Ordering::Relaxed);
            Ok(Answer::None)
        }
        Op::GuestTakes { vcpu } => {
            if let Some((page, word)) = model.info_place(who, vcpu) {
                let page = page.map_or(&stage.domain(who).shared, |frame| &stage.domain(who).pages[frame]);
                page[word].fetch_and(!0xff, Ordering::Relaxed);
                page[word + 1].store(0, Ordering::Relaxed);
            }
            Ok(Answer::None)
        }
    }
}

/// Compares what the guests can see.
fn compare(stage: &Stage<'_>, model: &Model) {
    for who in 0..DOMAINS {
        let domain = stage.domain(who);
        let bits = |first: usize| -> Vec<u32> {
            let words = (0..64u32).map(|at| (at, domain.shared[first + at as usize].load(Ordering::Relaxed)));
            let ports = |(at, word)| (0..64u32).filter(move |bit| word >> bit & 1 != 0).map(move |bit| at * 64 + bit);
            words.filter(|(_, word)| *word != 0).flat_map(ports).collect()
        };
        assert_eq!(bits(6), model.pending(who), "pending in domain {}", who + 1);
        assert_eq!(bits(70), model.masked(who), "masked in domain {}", who + 1);
        for vcpu in 0..2 {
            let Some((page, word)) = model.info_place(who, vcpu) else { continue };
            let page = page.map_or(&domain.shared, |frame| &domain.pages[frame]);
            let seen = (page[word].load(Ordering::Relaxed) & 0xff != 0, page[word + 1].load(Ordering::Relaxed));
            assert_eq!(seen, model.upcall(who, vcpu), "upcall and selector of vCPU {vcpu} in domain {}", who + 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn event_channels_follow_the_model(ops in prop::collection::vec((0..DOMAINS, op()), 10..80)) {
        let machine = Machine::new(1);
        let mut stage = Stage::new(&machine);
        // The first names the second, the second is named by the third as well; the first and third are strangers.
        for (name, peers) in [("one", 0b010), ("two", 0), ("three", 0b010)] {
            stage.add(&DomainConfig { vcpus: 2, peers, ..DomainConfig::new(name) });
        }
        let mut model = Model::new(&[(0, 1), (1, 2)]);
        for (who, op) in ops {
            let answer = perform(&mut stage, &model, who, op);
            assert_eq!(answer, model.perform(who, op), "{op:?} of domain {}", who + 1);
            compare(&stage, &model);
            stage.pass(who, 1);
            assert_eq!(stage.line(who), model.upcall(who, 0).0, "the event interrupt of domain {}", who + 1);
        }
    }
}
