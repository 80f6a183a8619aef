//! What a guest has in common with an I/O domain, over the lives of both.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::Ordering;

use fake::{Act, IO_FRAME, Machine};
use host_tests::MS;
use host_tests::puppet::Stage;
use hyp_core::arch::{Exit, Page, ShutdownReason};
use hyp_core::domain::{DomainConfig, EndAction, EndActions};
use hyp_core::event::fixed::FixedChannel;
use hyp_core::policy::{ANYBODY, Rights};
use xen_abi::errno::Errno;
use xen_abi::event_channel as ec;
use xen_abi::grant_table::{GTF_READING, GTF_WRITING};
use xen_abi::hvm::{
    HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN, HVMOP_GET_PARAM,
    HvmParam,
};
use xen_abi::hypercall::{HVM_OP, SCHED_OP};
use xen_abi::io_domain::{CONSOLE_PORT, STORE_PORT, console_port, store_port};
use xen_abi::sched::{RemoteShutdown, SCHEDOP_REMOTE_SHUTDOWN};
use xen_abi::shared_info::Layout;

const SELF: u16 = 0x7ff0;
/// Places of the I/O domain, its guest, and a guest that has nothing to do with it; each has the number that follows.
const SERVER: usize = 0;
const GUEST: usize = 1;
const PLAIN: usize = 2;
/// The word of xenstore's page that says whether the two are connected, and what it says when they are not.
const CONNECTION: usize = 2064 / 8;
const RECONNECT: u64 = 1 << 32;
const PARAMS: [u32; 4] = [HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_PFN, HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_STORE_EVTCHN];

fn stage(machine: &Machine) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    let actions = EndActions { crash: EndAction::Restart, ..EndActions::DEFAULT };
    stage.add(&DomainConfig { rights: Rights::all(), peers: ANYBODY, actions, ..DomainConfig::new("server") });
    stage.add_client(&DomainConfig::new("guest"));
    stage.add(&DomainConfig::new("plain"));
    let (server, guest) = (stage.id(SERVER), stage.id(GUEST));
    let number = guest.number();
    let ports = [(STORE_PORT, store_port(number)), (CONSOLE_PORT, console_port(number))];
    let ends = ports.map(|(port, remote)| (port as u16, remote as u16)).into_iter().flat_map(|(port, remote_port)| {
        [
            FixedChannel { domain: guest, port, remote: server, remote_port },
            FixedChannel { domain: server, port: remote_port, remote: guest, remote_port: port },
        ]
    });
    machine.hypervisor.fix_channels(ends.collect());
    stage
}

fn pages<'m>(stage: &Stage<'m>) -> &'m [Page; 2] {
    stage.domain(GUEST).io_pages.as_deref().unwrap()
}

/// The words of both pages that are not 0: page, word, value.
fn written(stage: &Stage<'_>) -> Vec<(usize, usize, u64)> {
    let words = pages(stage)
        .iter()
        .zip(0..)
        .flat_map(|(page, number)| page.iter().zip(0..).map(move |(w, at)| (number, at, w)));
    words.map(|(page, at, word)| (page, at, word.load(Ordering::SeqCst))).filter(|(.., word)| *word != 0).collect()
}

const MARKED: [(usize, usize, u64); 1] = [(1, CONNECTION, RECONNECT)];
/// After [`use_pages`], when the life has ended.
const ENDED: [(usize, usize, u64); 5] = [(0, 0, 7), (0, 511, 7), (1, 0, 7), (1, CONNECTION, RECONNECT), (1, 511, 7)];

/// What the two do in a life: the mark goes, and there is data.
fn use_pages(stage: &Stage<'_>) {
    let [console, store] = pages(stage);
    store[CONNECTION].store(0, Ordering::SeqCst);
    for page in [console, store] {
        [0, 511].into_iter().for_each(|at| page[at].store(7, Ordering::SeqCst));
    }
}

/// Was the server told by this port? It will be told anew.
fn told(stage: &Stage<'_>, port: u32) -> bool {
    let pending = &stage.domain(SERVER).shared[Layout::ARM.pending / 8];
    pending.fetch_and(!(1 << port), Ordering::SeqCst) & 1 << port != 0
}

fn params(stage: &mut Stage<'_>, who: usize, domid: u16) -> [Result<u64, Errno>; 4] {
    PARAMS.map(|index| {
        let mut op = HvmParam { domid, index, ..Default::default() };
        stage.call(who, HVM_OP, [HVMOP_GET_PARAM.into(), 0, 0], 1, &mut op).map(|_| op.value)
    })
}

fn status(stage: &mut Stage<'_>, who: usize, port: u32) -> (u32, u32, u32) {
    let mut op = ec::Status { dom: SELF, port, ..Default::default() };
    stage.event_op(who, ec::EVTCHNOP_STATUS, &mut op).unwrap();
    (op.status, op.detail, op.detail_port)
}

fn end(stage: &mut Stage<'_>, who: usize, reason: ShutdownReason) {
    stage.begin(who, 0, Act::Exit(Exit::Shutdown(reason)));
}

/// Lets the machine go on until this is so.
fn until(stage: &mut Stage<'_>, happened: impl Fn(&Stage<'_>) -> bool) {
    for _ in 0..10_000 {
        if happened(stage) {
            return;
        }
        stage.steps(1);
    }
    panic!("it never is");
}

#[test]
fn a_guest_finds_them_by_its_parameters_and_so_does_who_may_control_it() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    assert_eq!(written(&stage), MARKED, "nothing else, whatever was there");
    let expected = [IO_FRAME, IO_FRAME + 1, CONSOLE_PORT.into(), STORE_PORT.into()].map(Ok);
    assert_eq!(params(&mut stage, GUEST, SELF), expected);
    assert_eq!(params(&mut stage, SERVER, 2), expected);
    assert_eq!(params(&mut stage, PLAIN, 2), [Err(Errno::EPERM); 4]);
    assert_eq!(params(&mut stage, PLAIN, SELF), [Ok(0); 4]);
    assert_eq!(params(&mut stage, SERVER, SELF), [Ok(0); 4]);
    assert_eq!(status(&mut stage, SERVER, store_port(2)), (ec::EVTCHNSTAT_INTERDOMAIN, 2, STORE_PORT));
    assert_eq!(status(&mut stage, GUEST, CONSOLE_PORT), (ec::EVTCHNSTAT_INTERDOMAIN, 1, console_port(2)));
}

#[test]
fn a_life_begins_with_empty_pages_and_the_server_is_told_of_its_begin_and_end() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    use_pages(&stage);
    assert!(!told(&stage, store_port(2)));
    end(&mut stage, GUEST, ShutdownReason::Reboot);
    until(&mut stage, |stage| told(stage, store_port(2)));
    assert_eq!(written(&stage), ENDED, "its last words are there");
    assert!(!machine.reported("name=guest state=restarted"));
    // Late answers to the life before.
    use_pages(&stage);
    until(&mut stage, |_| machine.reported("name=guest state=restarted"));
    assert_eq!(written(&stage), MARKED);
    assert!(told(&stage, store_port(2)) && !told(&stage, console_port(2)));
    let expected = [IO_FRAME, IO_FRAME + 1, CONSOLE_PORT.into(), STORE_PORT.into()].map(Ok);
    assert_eq!(params(&mut stage, GUEST, SELF), expected);
}

#[test]
fn the_server_sees_that_a_guest_is_gone_for_good() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    use_pages(&stage);
    end(&mut stage, GUEST, ShutdownReason::Crash);
    until(&mut stage, |stage| told(stage, store_port(2)));
    assert_eq!(written(&stage), ENDED, "its last words are there");
    stage.pass(PLAIN, 10 * MS);
    assert!(machine.reported("name=guest state=crashed"));
    assert_eq!(status(&mut stage, SERVER, store_port(2)), (ec::EVTCHNSTAT_UNBOUND, 2, 0));
}

#[test]
fn other_guests_end_without_a_word() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    use_pages(&stage);
    let before = written(&stage);
    end(&mut stage, PLAIN, ShutdownReason::Reboot);
    until(&mut stage, |_| machine.reported("name=plain state=restarted"));
    assert!(!told(&stage, store_port(2)) && !told(&stage, store_port(3)));
    assert_eq!(written(&stage), before);
}

#[test]
fn the_servers_next_life_finds_pages_channels_and_ports_as_they_were() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    use_pages(&stage);
    let before = written(&stage);
    let mut open = ec::AllocUnbound { dom: SELF, remote_dom: 1, port: 0 };
    stage.event_op(GUEST, ec::EVTCHNOP_ALLOC_UNBOUND, &mut open).unwrap();
    let port = open.port;
    for life in 0..3 {
        assert_eq!(status(&mut stage, GUEST, port), (ec::EVTCHNSTAT_UNBOUND, 1, 0), "{life}");
        // What is sent meanwhile is lost, and no error.
        assert_eq!(stage.event_op(GUEST, ec::EVTCHNOP_SEND, &mut ec::Send { port }), Ok(0));
        let mut bind = ec::BindInterdomain { remote_dom: 2, remote_port: port, ..Default::default() };
        assert_eq!(stage.event_op(SERVER, ec::EVTCHNOP_BIND_INTERDOMAIN, &mut bind), Ok(0), "{life}");
        assert_eq!(status(&mut stage, GUEST, port), (ec::EVTCHNSTAT_INTERDOMAIN, 1, bind.local_port));
        assert_eq!(status(&mut stage, SERVER, store_port(2)), (ec::EVTCHNSTAT_INTERDOMAIN, 2, STORE_PORT));
        assert_eq!(stage.event_op(GUEST, ec::EVTCHNOP_SEND, &mut ec::Send { port: STORE_PORT }), Ok(0));
        assert!(told(&stage, store_port(2)));
        stage.act(SERVER, Act::Exit(Exit::Shutdown(ShutdownReason::Crash)));
        assert!(!told(&stage, store_port(2)));
    }
    assert_eq!(written(&stage), before);
}

#[test]
fn what_the_server_had_mapped_is_free_again_when_it_has_ended() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    stage.grant(GUEST, 8, 1, 1, false);
    stage.map(SERVER, 2, 8, 5, false).unwrap();
    let used = u64::from(GTF_READING | GTF_WRITING);
    assert_eq!(stage.entry(GUEST, 8) & used, used);
    stage.act(SERVER, Act::Exit(Exit::Shutdown(ShutdownReason::Crash)));
    assert_eq!(stage.entry(GUEST, 8) & used, 0);
    // Its next life may map it again; and then the guest's end does not wait for it.
    let handle = stage.map(SERVER, 2, 8, 5, false).unwrap();
    end(&mut stage, GUEST, ShutdownReason::Reboot);
    until(&mut stage, |_| machine.reported("name=guest state=restarted"));
    assert_eq!(stage.unmap(SERVER, handle, 5), 0);
}

#[test]
fn who_may_control_the_server_makes_it_start_again() {
    let machine = Machine::new(1);
    let mut stage = stage(&machine);
    let mut op = RemoteShutdown { domain_id: 1, pad0: 0, reason: 3 };
    let refused = stage.call(PLAIN, SCHED_OP, [SCHEDOP_REMOTE_SHUTDOWN.into(), 0, 0], 1, &mut op);
    assert_eq!(refused, Err(Errno::EPERM));
    let manager = stage.add(&DomainConfig { rights: Rights::all(), ..DomainConfig::new("manager") });
    stage.call(manager, SCHED_OP, [SCHEDOP_REMOTE_SHUTDOWN.into(), 0, 0], 1, &mut op).unwrap();
    until(&mut stage, |_| machine.reported("name=server state=restarted reason=crash"));
}
