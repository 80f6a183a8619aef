//! Requests to a disk that no front end makes, and rings that cannot be true.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use hyp_pvio::block::Blkif;
use hyp_pvio::ring::FrontRing;
use hyp_pvio::xenbus::State;
use rt::window::Window;
use rt::{grants, hypercall};
use xen_abi::io::blkif::{
    BLKIF_OP_DISCARD, BLKIF_OP_INDIRECT, BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_EOPNOTSUPP,
    BLKIF_RSP_ERROR, BLKIF_RSP_OKAY, BLKIF_SLOT_SIZE, Request, RequestDiscard, RequestIndirect, RequestSegment,
};
use xen_abi::io::ring::{REQ_PROD, RSP_PROD, SLOTS};
use zerocopy::{FromZeros, IntoBytes};

use super::xenbus::again;
use crate::check::Checks;
use crate::devices::disk::XVDA;
use crate::devices::is_over;
use rt::front::{Ends, Store};
use rt::front::{Lent, Trouble, open_port, wait};
use rt::random::Random;

/// An entry of the grant table that gives nothing.
const NOTHING: u32 = 500;

/// A disk whose ring takes anything.
struct Raw {
    ends: Ends,
    ring: FrontRing<Window, Blkif>,
    memory: Lent,
    port: u32,
    data: Lent,
    fixed: Lent,
    sectors: u64,
    id: u64,
}

impl Raw {
    /// Connects as it should be, but that `spoil` may change the ring before.
    fn connect(store: &mut Store, spoil: impl FnOnce(Window)) -> Result<Self, Trouble> {
        let ends = Ends::find(store, "vbd", XVDA)?;
        store.wait_for(&ends.back, State::InitWait)?;
        let memory = Lent::new(ends.domain, false);
        let ring = FrontRing::create(memory.memory).map_err(|error| Trouble::Device(error.to_string()))?;
        spoil(memory.memory);
        let port = open_port(ends.domain)?;
        ends.set(store, "ring-ref", format!("{}", memory.grant))?;
        ends.set(store, "event-channel", format!("{port}"))?;
        ends.tell(store, State::Initialised)?;
        let (data, fixed) = (Lent::new(ends.domain, false), Lent::new(ends.domain, true));
        Ok(Self { ends, ring, memory, port, data, fixed, sectors: 0, id: 0 })
    }

    fn ready(mut self, store: &mut Store) -> Result<Self, Trouble> {
        store.wait_for(&self.ends.back, State::Connected)?;
        self.sectors = store.number(&format!("{}/sectors", self.ends.back))?;
        self.ends.tell(store, State::Connected)?;
        Ok(self)
    }

    fn notify(&self) {
        // It is ours and bound.
        let _ = hypercall::send(self.port);
    }

    /// Asks, and waits for the status that comes of it.
    fn ask(&mut self, request: &Request) -> Result<i16, Trouble> {
        self.id += 1;
        self.ring.put(&Request { id: self.id, ..*request }).map_err(|error| Trouble::Device(format!("{error:?}")))?;
        self.ring.push();
        self.notify();
        let response = wait(|| self.ring.take().map_err(|error| Trouble::Device(error.to_string())))?;
        if response.id == self.id { Ok(response.status) } else { Err(Trouble::Device("another answer".into())) }
    }

    /// The back end says what was wrong, and waits for a front end that begins anew.
    fn is_over(&self, checks: &mut Checks, store: &mut Store, name: &str, error: &str) -> Result<(), Trouble> {
        is_over(&self.ends, checks, store, self.port, (name, error))
    }

    fn close(&self, store: &mut Store) -> Result<(), Trouble> {
        self.ends.close(store, self.port)
    }
}

/// All of it.
///
/// # Errors
/// The I/O domain does not answer as it has to, so that nothing more can be tried.
pub(super) fn run(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    // By copies, and by pages that stay mapped.
    for persistent in ["0", "1"] {
        let ends = Ends::find(store, "vbd", XVDA)?;
        ends.set(store, "feature-persistent", persistent)?;
        requests(checks, store)?;
    }
    rings(checks, store)?;
    changed(checks, store)?;
    given_up(checks, store)
}

fn requests(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let mut raw = Raw::connect(store, |_| ())?.ready(store)?;
    raw.data.fill(|at| at);
    let good = one(BLKIF_OP_WRITE, 8, segment(raw.data.grant));
    checks.same("block-good-write", raw.ask(&good), Ok(BLKIF_RSP_OKAY));
    direct(checks, &mut raw);
    indirect(checks, &mut raw);
    raw.data.fill(|_| 0);
    let good = one(BLKIF_OP_READ, 8, segment(raw.data.grant));
    checks.same("block-good-read", raw.ask(&good), Ok(BLKIF_RSP_OKAY));
    checks.same("block-good-data", raw.data.differs(|at| at), None);
    raw.close(store)
}

fn segment(gref: u32) -> RequestSegment {
    RequestSegment { gref, first_sect: 0, last_sect: 7, pad0: 0 }
}

/// A request of one segment.
fn one(operation: u8, sector: u64, segment: RequestSegment) -> Request {
    let mut request = Request { operation, nr_segments: 1, sector_number: sector, ..Request::default() };
    request.seg[0] = segment;
    request
}

/// Each has its error and nothing else happens.
fn direct(checks: &mut Checks, raw: &mut Raw) {
    let (good, end) = (segment(raw.data.grant), raw.sectors);
    let (read, write) = (|segment| one(BLKIF_OP_READ, 8, segment), |segment| one(BLKIF_OP_WRITE, 8, segment));
    let count = |nr_segments| Request { nr_segments, ..read(good) };
    let discard = |sector_number, nr_sectors| {
        let discard =
            RequestDiscard { operation: BLKIF_OP_DISCARD, sector_number, nr_sectors, ..RequestDiscard::default() };
        as_request(discard.as_bytes())
    };
    let other = |operation| Request { operation, ..read(good) };
    let cases = [
        ("read-of-no-grant", read(segment(NOTHING)), BLKIF_RSP_ERROR),
        ("write-of-no-grant", write(segment(NOTHING)), BLKIF_RSP_ERROR),
        ("grant-huge", write(segment(u32::MAX)), BLKIF_RSP_ERROR),
        ("read-into-what-is-fixed", read(segment(raw.fixed.grant)), BLKIF_RSP_ERROR),
        ("first-after-last", write(RequestSegment { first_sect: 5, last_sect: 4, ..good }), BLKIF_RSP_ERROR),
        ("past-the-page", write(RequestSegment { last_sect: 8, ..good }), BLKIF_RSP_ERROR),
        ("far-past-the-page", write(RequestSegment { last_sect: 255, ..good }), BLKIF_RSP_ERROR),
        ("no-segments", count(0), BLKIF_RSP_ERROR),
        ("too-many-segments", count(12), BLKIF_RSP_ERROR),
        ("255-segments", count(255), BLKIF_RSP_ERROR),
        ("past-the-end", one(BLKIF_OP_WRITE, end - 7, good), BLKIF_RSP_ERROR),
        ("far-past-the-end", one(BLKIF_OP_READ, u64::MAX, good), BLKIF_RSP_ERROR),
        ("barrier", other(BLKIF_OP_WRITE_BARRIER), BLKIF_RSP_EOPNOTSUPP),
        ("operation-unknown", other(77), BLKIF_RSP_EOPNOTSUPP),
        ("discard-nothing", discard(0, 0), BLKIF_RSP_ERROR),
        ("discard-past-the-end", discard(1, end), BLKIF_RSP_ERROR),
        ("discard-huge", discard(8, u64::MAX), BLKIF_RSP_ERROR),
    ];
    for (name, request, status) in cases {
        checks.same(name, raw.ask(&request), Ok(status));
    }
}

/// A slot's bytes in another layout.
fn as_request(bytes: &[u8]) -> Request {
    let mut request = Request::new_zeroed();
    request.as_mut_bytes().iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    request
}

/// Requests whose segments are in pages of their own.
fn indirect(checks: &mut Checks, raw: &mut Raw) {
    let list = Lent::new(raw.ends.domain, false);
    let put = |segments: &[RequestSegment]| list.memory.write(0, segments.as_bytes());
    let request = |indirect_op, nr_segments, sector_number, grant| {
        let mut request = RequestIndirect { indirect_op, nr_segments, sector_number, ..RequestIndirect::default() };
        (request.operation, request.indirect_grefs) = (BLKIF_OP_INDIRECT, [grant; 8]);
        as_request(request.as_bytes())
    };
    let (good, grant) = (segment(raw.data.grant), list.grant);
    let cases: [(&str, RequestSegment, Request); 9] = [
        ("indirect-of-no-grant", good, request(BLKIF_OP_READ, 1, 8, NOTHING)),
        ("indirect-operation", good, request(77, 1, 8, grant)),
        ("indirect-in-itself", good, request(BLKIF_OP_INDIRECT, 1, 8, grant)),
        ("indirect-none", good, request(BLKIF_OP_WRITE, 0, 8, grant)),
        ("indirect-too-many", good, request(BLKIF_OP_WRITE, u16::MAX, 8, grant)),
        ("indirect-zeros-behind", good, request(BLKIF_OP_WRITE, 3, 8, grant)),
        ("indirect-first-after-last", RequestSegment { first_sect: 9, ..good }, request(BLKIF_OP_WRITE, 1, 8, grant)),
        ("indirect-segment-of-no-grant", segment(NOTHING), request(BLKIF_OP_WRITE, 1, 8, grant)),
        ("indirect-past-the-end", good, request(BLKIF_OP_WRITE, 1, raw.sectors, grant)),
    ];
    for (name, first, request) in cases {
        put(&[first]);
        checks.same(name, raw.ask(&request), Ok(BLKIF_RSP_ERROR));
    }
    put(&[good]);
    let good = raw.ask(&request(BLKIF_OP_READ, 1, 16, grant));
    checks.same("indirect-good", good, Ok(BLKIF_RSP_OKAY));
}

/// Indices that run ahead or back, at first and later: the device is over, and a new connection works.
fn rings(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let error = "producer index";
    for (name, distance) in
        [("block-runs-ahead", 33), ("block-runs-far-ahead", 0x8000_0000), ("block-runs-back", u32::MAX)]
    {
        let raw = Raw::connect(store, |_| ())?.ready(store)?;
        raw.memory.memory.store(REQ_PROD, distance);
        raw.notify();
        raw.is_over(checks, store, name, error)?;
        again(checks, store, name)?;
    }
    let raw = Raw::connect(store, |ring| ring.store(RSP_PROD, 0x1234_5678))?;
    raw.is_over(checks, store, "block-begins-ahead", error)?;
    again(checks, store, "block-begins-ahead")
}

/// Requests that change after they were shown, in any way: each is answered somehow, or the device is over.
fn changed(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    const TIMES: u32 = 60;
    let mut random = Random::new(4);
    let mut answered = 0;
    let mut raw = Raw::connect(store, |_| ())?.ready(store)?;
    for _ in 0..TIMES {
        let request = one(BLKIF_OP_READ, 8, segment(raw.data.grant));
        raw.ring.put(&request).map_err(|error| Trouble::Device(format!("{error:?}")))?;
        let index = raw.memory.memory.load(REQ_PROD);
        let slot = SLOTS + (index & (raw.ring.slots() - 1)) as usize * BLKIF_SLOT_SIZE;
        raw.ring.push();
        raw.notify();
        // It is read now, or was, or will be.
        wait(|| {
            let at = slot + random.below(BLKIF_SLOT_SIZE as u64 / 8) as usize * 8;
            raw.memory.memory.write(at, &random.next().to_le_bytes());
            raw.ring.take().map_err(|error| Trouble::Device(error.to_string()))
        })?;
        // What it says is ours too by now.
        answered += 1;
    }
    checks.same("changed-after-shown", answered, TIMES);
    let port = raw.port;
    raw.close(store)?;
    checks.that("port-is-gone", hypercall::send(port).is_err(), format_args!("{port}"));
    again(checks, store, "changed-after-shown")
}

/// A ring whose page its owner gives up while the back end has it mapped.
fn given_up(checks: &mut Checks, store: &mut Store) -> Result<(), Trouble> {
    let raw = Raw::connect(store, |_| ())?.ready(store)?;
    let frames = Vec::from([raw.memory.memory.frame(0)]);
    checks.same("ring-given-up", grants::give_up(&frames, 0), 1);
    (0..50).for_each(|_| raw.notify());
    raw.close(store)?;
    checks.same("ring-taken-back", grants::take_back(&frames, 0), 1);
    again(checks, store, "ring-given-up")
}
