//! Event channels that are there before guests run: they work at once, and outlive what their guests do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use fake::{Act, Machine};
use host_tests::puppet::Stage;
use hyp_core::arch::{Exit, ShutdownReason};
use hyp_core::domain::DomainConfig;
use hyp_core::event::fixed::FixedChannel;
use xen_abi::errno::Errno;
use xen_abi::event_channel as ec;

const SELF: u16 = 0x7ff0;
/// Port of the first guest, and the second's.
const PORTS: [u16; 2] = [10, 3];

/// Two guests that are nobody's peers, with one channel between them.
fn pair(machine: &Machine) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    for name in ["one", "two"] {
        stage.add(&DomainConfig::new(name));
    }
    let end = |me: usize, other: usize| FixedChannel {
        domain: stage.id(me),
        port: PORTS[me],
        remote: stage.id(other),
        remote_port: PORTS[other],
    };
    machine.hypervisor.fix_channels([end(0, 1), end(1, 0)].into_iter().collect());
    stage
}

fn status(stage: &mut Stage<'_>, who: usize) -> (u32, u32, u32) {
    let mut arg = ec::Status { dom: SELF, port: PORTS[who].into(), ..Default::default() };
    stage.event_op(who, ec::EVTCHNOP_STATUS, &mut arg).unwrap();
    (arg.status, arg.detail, arg.detail_port)
}

/// Both ends are connected, and an event goes through.
fn check(stage: &mut Stage<'_>) {
    for (me, other) in [(0, 1), (1, 0)] {
        let connected = (ec::EVTCHNSTAT_INTERDOMAIN, stage.id(other).number().into(), PORTS[other].into());
        assert_eq!(status(stage, me), connected, "{me}");
        assert_eq!(stage.event_op(me, ec::EVTCHNOP_SEND, &mut ec::Send { port: PORTS[me].into() }), Ok(0));
    }
}

#[test]
fn they_are_there_and_leave_other_ports_alone() {
    let machine = Machine::new(1);
    let mut stage = pair(&machine);
    check(&mut stage);
    // The first port given out is 1, as if there were none, and no fixed one is given out again.
    let ports: Vec<u32> = (0..4)
        .map(|_| {
            let mut op = ec::BindIpi { vcpu: 0, port: 0 };
            stage.event_op(1, ec::EVTCHNOP_BIND_IPI, &mut op).unwrap();
            op.port
        })
        .collect();
    assert_eq!(ports, [1, 2, 4, 5]);
    // They make nobody a peer.
    let mut op = ec::AllocUnbound { dom: SELF, remote_dom: 2, port: 0 };
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_ALLOC_UNBOUND, &mut op), Err(Errno::EPERM));
}

#[test]
fn they_cannot_be_closed_and_outlive_a_reset() {
    let machine = Machine::new(1);
    let mut stage = pair(&machine);
    let close = stage.event_op(0, ec::EVTCHNOP_CLOSE, &mut ec::Close { port: PORTS[0].into() });
    assert_eq!(close, Err(Errno::EINVAL));
    check(&mut stage);
    assert_eq!(stage.event_op(0, ec::EVTCHNOP_RESET, &mut ec::Reset { dom: SELF }), Ok(0));
    check(&mut stage);
}

#[test]
fn they_outlive_restarts_of_either_side() {
    let machine = Machine::new(1);
    let mut stage = pair(&machine);
    for who in [0, 1, 0] {
        stage.act(who, Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)));
        check(&mut stage);
    }
}
