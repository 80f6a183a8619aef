//! Frames that no card sends, and rings that cannot be true.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use hyp_pvio::network::{Receive, Transmit};
use hyp_pvio::ring::FrontRing;
use hyp_pvio::xenbus::State;
use rt::hypercall;
use rt::window::Window;
use xen_abi::io::netif::{
    ExtraInfo, NETIF_RSP_ERROR, NETIF_RSP_NULL, NETIF_RSP_OKAY, NETTXF_EXTRA_INFO, NETTXF_MORE_DATA, RxRequest,
    TxRequest, XEN_NETIF_EXTRA_FLAG_MORE, XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_GSO_TYPE_TCPV4,
};
use xen_abi::io::ring::REQ_PROD;
use zerocopy::IntoBytes;

use crate::check::Checks;
use crate::devices::card::{Card, LENGTH, frame};
use crate::devices::is_over;
use rt::front::{Ends, Store};
use rt::front::{Lent, Trouble, open_port, wait};

/// An entry of the grant table that gives nothing.
const NOTHING: u32 = 500;
/// Slots of a ring of one page on which a card sends.
const SLOTS: u32 = 256;

type Slot = [u8; 12];

/// A card whose rings take anything.
struct Raw {
    ends: Ends,
    transmit: FrontRing<Window, Transmit>,
    receive: FrontRing<Window, Receive>,
    memory: [Lent; 2],
    port: u32,
    data: Lent,
}

impl Raw {
    fn connect(store: &mut Store) -> Result<Self, Trouble> {
        let ends = Ends::find(store, "vif", 0)?;
        store.wait_for(&ends.back, State::InitWait)?;
        let [sends, receives, data] = [(); 3].map(|()| Lent::new(ends.domain, false));
        let transmit = FrontRing::create(sends.memory).map_err(|error| Trouble::Device(error.to_string()))?;
        let receive = FrontRing::create(receives.memory).map_err(|error| Trouble::Device(error.to_string()))?;
        let port = open_port(ends.domain)?;
        let nodes = [("tx-ring-ref", sends.grant), ("rx-ring-ref", receives.grant), ("event-channel", port)];
        for (name, value) in nodes.into_iter().chain([("request-rx-copy", 1)]) {
            ends.set(store, name, format!("{value}"))?;
        }
        ends.tell(store, State::Connected)?;
        store.wait_for(&ends.back, State::Connected)?;
        Ok(Self { ends, transmit, receive, memory: [sends, receives], port, data })
    }

    fn notify(&self) {
        // It is ours and bound.
        let _ = hypercall::send(self.port);
    }

    fn put(&mut self, slots: &[Slot]) -> Result<(), Trouble> {
        let full = |error| Trouble::Device(format!("{error:?}"));
        slots.iter().try_for_each(|slot| self.transmit.put(slot)).map_err(full)?;
        self.transmit.push();
        self.notify();
        Ok(())
    }

    /// Sends these slots, and waits for the status of each.
    fn ask(&mut self, slots: &[Slot]) -> Result<Vec<i16>, Trouble> {
        self.put(slots)?;
        let ring = &mut self.transmit;
        let answer = |_: &Slot| wait(|| ring.take().map_err(|error| Trouble::Device(error.to_string())));
        slots.iter().map(answer).map(|answer| answer.map(|answer| answer.status)).collect()
    }

    fn is_over(&self, checks: &mut Checks, store: &mut Store, name: &str, error: &str) -> Result<(), Trouble> {
        is_over(&self.ends, checks, store, self.port, (name, error))?;
        again(checks, store, name)
    }

    fn close(&self, store: &mut Store) -> Result<(), Trouble> {
        self.ends.close(store, self.port)
    }
}

/// A proper connection works, and ends.
fn again(checks: &mut Checks, store: &mut Store, name: &str) -> Result<(), Trouble> {
    let mut card = Card::connect(store)?;
    checks.same(name, card.send(4711), Ok(()));
    card.disconnect(store)
}

/// All of it.
///
/// # Errors
/// The I/O domain does not answer as it has to, so that nothing more can be tried.
pub(super) fn run(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    again(checks, store, "card-as-it-should-be")?;
    let mut raw = Raw::connect(store)?;
    frames(checks, &mut raw);
    no_pages(checks, &mut raw)?;
    raw.close(store)?;
    rings(checks, store)?;
    ports(checks, store)
}

fn request(request: TxRequest) -> Slot {
    slot(request.as_bytes())
}

fn slot(bytes: &[u8]) -> Slot {
    let mut slot = [0; 12];
    slot.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    slot
}

/// Each has its error, and nobody receives it.
fn frames(checks: &mut Checks, raw: &mut Raw) {
    raw.data.memory.write(0, &frame(1));
    let whole = TxRequest { gref: raw.data.grant, size: LENGTH, ..TxRequest::default() };
    let more = TxRequest { flags: NETTXF_MORE_DATA, ..whole };
    let large = ExtraInfo {
        kind: XEN_NETIF_EXTRA_TYPE_GSO,
        gso_size: 1400,
        gso_type: XEN_NETIF_GSO_TYPE_TCPV4,
        ..ExtraInfo::default()
    };
    let with =
        |extra: ExtraInfo| vec![request(TxRequest { flags: NETTXF_EXTRA_INFO, ..whole }), slot(extra.as_bytes())];
    let alone = |wrong: TxRequest| vec![request(wrong)];
    let two = |first: u16, second: u16| {
        vec![request(TxRequest { size: first, ..more }), request(TxRequest { size: second, ..whole })]
    };
    let (error, null) = (NETIF_RSP_ERROR, NETIF_RSP_NULL);
    let many: Vec<Slot> = (0..19).map(|at| request(if at < 18 { more } else { whole })).collect();
    let cases: Vec<(&str, Vec<Slot>, Vec<i16>)> = vec![
        ("frame-too-short", alone(TxRequest { size: 13, ..whole }), vec![error]),
        ("frame-of-nothing", alone(TxRequest { size: 0, ..whole }), vec![error]),
        ("frame-past-the-page", alone(TxRequest { offset: 4000, ..whole }), vec![error]),
        ("frame-far-past-the-page", alone(TxRequest { offset: u16::MAX, size: u16::MAX, ..whole }), vec![error]),
        ("frame-of-no-grant", alone(TxRequest { gref: NOTHING, ..whole }), vec![error]),
        ("frame-grant-huge", alone(TxRequest { gref: u32::MAX, ..whole }), vec![error]),
        ("frame-too-long", two(8000, 4000), vec![error; 2]),
        ("frame-as-long-as-a-page", alone(TxRequest { size: 4096, ..whole }), vec![error]),
        ("pieces-beyond-the-whole", two(100, 4000), vec![error; 2]),
        ("piece-of-nothing", two(100, 0), vec![error; 2]),
        ("too-many-pieces", many, vec![error; 19]),
        ("large-not-offered", with(large), vec![error, null]),
        ("large-of-nothing", with(ExtraInfo { gso_size: 0, ..large }), vec![error, null]),
        ("extra-unknown", with(ExtraInfo { kind: 99, ..large }), vec![error, null]),
        ("good-frame-behind", alone(whole), vec![NETIF_RSP_OKAY]),
    ];
    for (name, slots, status) in cases {
        checks.same(name, raw.ask(&slots), Ok(status));
    }
}

/// What the neighbour sends to everybody does not find a page here that it may go to.
fn no_pages(checks: &mut Checks, raw: &mut Raw) -> Result<(), Trouble> {
    let full = |error| Trouble::Device(format!("{error:?}"));
    (0..4).try_for_each(|id| raw.receive.put(&RxRequest { id, pad: 0, gref: NOTHING })).map_err(full)?;
    raw.receive.push();
    raw.notify();
    let answer = wait(|| raw.receive.take().map_err(|error| Trouble::Device(error.to_string())))?;
    let status = i16::from_le_bytes([answer[6], answer[7]]);
    checks.same("received-into-no-grant", status, NETIF_RSP_ERROR);
    Ok(())
}

/// Slots that run over, and indices that run ahead: the device is over, and a new connection works.
fn rings(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let mut raw = Raw::connect(store)?;
    let more = TxRequest { gref: raw.data.grant, size: 100, flags: NETTXF_MORE_DATA, ..TxRequest::default() };
    raw.put(&[request(more)])?;
    raw.is_over(checks, store, "frame-without-end", "goes on after the last of its 1 slots")?;
    let mut raw = Raw::connect(store)?;
    let extra = ExtraInfo { flags: XEN_NETIF_EXTRA_FLAG_MORE, ..ExtraInfo::default() };
    let mut slots = vec![slot(extra.as_bytes()); SLOTS as usize];
    slots[0] = request(TxRequest { flags: NETTXF_EXTRA_INFO, ..more });
    raw.put(&slots)?;
    raw.is_over(checks, store, "extras-without-end", "goes on after the last of its 256 slots")?;
    for (name, which, distance) in
        [("sends-run-ahead", 0, SLOTS + 1), ("sends-run-back", 0, u32::MAX), ("pages-run-ahead", 1, SLOTS + 1)]
    {
        let raw = Raw::connect(store)?;
        let [sends, receives] = raw.memory;
        (if which == 0 { sends } else { receives }).memory.store(REQ_PROD, distance);
        raw.notify();
        raw.is_over(checks, store, name, "producer index")?;
    }
    Ok(())
}

/// A card with two ports, of which one cannot be: the other one is not kept, as often as that is tried.
fn ports(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let theirs = |store: &mut Store| {
        let card = Card::connect(store)?;
        let status = hypercall::status(card.port).map_err(Trouble::Refused)?;
        card.disconnect(store)?;
        Ok(status.detail_port)
    };
    let before = theirs(store)?;
    let ends = Ends::find(store, "vif", 0)?;
    for _ in 0..4 {
        let port = open_port(ends.domain)?;
        ends.set(store, "event-channel-tx", format!("{port}"))?;
        ends.set(store, "event-channel-rx", "4000000000")?;
        ends.tell(store, State::Connected)?;
        store.wait_for(&ends.back, State::Closing)?;
        ends.close(store, port)?;
    }
    store.remove(&format!("{}/event-channel-tx", ends.front))?;
    checks.same("no-port-is-kept", theirs(store), Ok(before));
    Ok(())
}
