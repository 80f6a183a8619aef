//! A guest's disk: a disk of the machine, or a partition of one.

mod data;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use hyp_pvio::block::{self, Connection, Offer, Outcome, Tag, Todo};
use rt::hypercall;
use rt::virtio::Buffer;
use rt::virtio::block as device;

use super::{Back, Get, Nodes, bind};
use crate::grants::{self, Way};
use crate::hardware::Hardware;
use crate::hardware::disks::{LARGEST, Physical};
use crate::shared::Granted;
use data::Data;
pub(crate) use data::Mappings;

/// What every disk offers.
const OFFER: Offer = Offer { queues: 4, ring_page_order: 2, persistent: true };
/// Most segments of a request: as much as a buffer holds.
const SEGMENTS: u16 = (LARGEST / 4096) as u16;
/// Requests that are taken from a guest in one go.
const BUDGET: usize = 128;

/// A queue of a connected front end.
struct Queue {
    back: block::Back<Granted>,
    port: u32,
    /// How its data comes and goes.
    data: Data,
}

/// An operation that the device has.
struct Job {
    queue: usize,
    tag: Tag,
    operation: block::Operation,
}

/// The back end of a disk.
pub(crate) struct Disk {
    domain: u16,
    /// Which disk of the machine.
    physical: usize,
    /// What of it is the guest's: the sectors, and whether only to be read.
    given: (Range<u64>, bool),
    offered: block::Disk,
    queues: Vec<Queue>,
    /// By the low half of a cookie. What a front end left behind that is gone has no job.
    jobs: Vec<Option<Job>>,
    /// Cookies begin with it, so that an operation finds its disk.
    key: u32,
    /// Operations that the device has, for connections that are over too.
    under_way: usize,
    /// Counts connections, so that answers for one that is over are told apart.
    connection: u16,
}

impl Disk {
    /// A disk for a guest: these sectors of one of the machine's, which has given them. Cookies
    /// begin with `key`, and no other disk's do.
    pub(crate) fn new(
        domain: u16,
        key: u32,
        (physical, disk): (usize, &Physical),
        sectors: &Range<u64>,
        read_only: bool,
    ) -> Self {
        let given = (sectors.clone(), read_only);
        let read_only = read_only || disk.is_read_only();
        let offered = block::Disk {
            sectors: sectors.end - sectors.start,
            read_only,
            flush: disk.has_cache(),
            barrier: false,
            discard: disk.can_discard() && !read_only,
            indirect: SEGMENTS,
        };
        Self {
            domain,
            physical,
            given,
            offered,
            queues: Vec::new(),
            jobs: Vec::new(),
            key,
            under_way: 0,
            connection: 0,
        }
    }

    /// Begins what can be begun of a queue. Returns whether that was all that there is.
    fn begin(&mut self, hardware: &mut Hardware, number: usize) -> Result<bool, String> {
        let Hardware { disks, begun, .. } = hardware;
        let Some(physical) = disks.get(self.physical) else { return Ok(true) };
        // A front end that fills the ring as fast as it is refused has its turn again after the others.
        for _ in 0..BUDGET {
            // The rest is begun when a buffer comes back.
            let Some(mut buffer) = physical.buffer() else { return Ok(false) };
            let Some(queue) = self.queues.get_mut(number) else { return Ok(true) };
            let next = match queue.back.take() {
                Ok(Some(Todo::Operate(tag, operation))) => Ok(Some((tag, operation))),
                Ok(Some(Todo::Look(tag, segments))) => {
                    let bytes = grants::read(self.domain, &segments.grants, segments.bytes, &mut buffer);
                    match queue.back.look(tag, bytes.unwrap_or_default()) {
                        Ok(Some(operation)) => Ok(Some((tag, operation))),
                        // Refused, and answered.
                        _ => {
                            physical.give_back(buffer);
                            continue;
                        }
                    }
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error.to_string()),
            };
            match next {
                Ok(Some((tag, operation))) => {
                    *begun += 1;
                    self.submit(physical, number, tag, operation, buffer);
                }
                Ok(None) | Err(_) => {
                    physical.give_back(buffer);
                    return next.map(|_| true);
                }
            }
        }
        Ok(true)
    }

    fn submit(&mut self, physical: &mut Physical, queue: usize, tag: Tag, operation: block::Operation, buffer: Buffer) {
        let mut buffer = buffer;
        let length: usize = operation.segments.iter().map(|segment| usize::from(segment.length)).sum();
        let (kind, length) = match operation.kind {
            block::Kind::Read => (device::Kind::Read, length),
            block::Kind::Write | block::Kind::Barrier => (device::Kind::Write, length),
            block::Kind::Flush => (device::Kind::Flush, 0),
            block::Kind::Discard { sectors, .. } => (device::Kind::Discard, sectors as usize),
        };
        let fits = length <= buffer.size() || kind == device::Kind::Discard;
        let data = self.queues.get_mut(queue).map(|queue| &mut queue.data);
        let copy = || data.is_some_and(|data| data.copy(&operation.segments, &mut buffer, Way::In));
        let ready = fits && (kind != device::Kind::Write || copy());
        let slot = self.slot();
        let cookie = u64::from(self.key) << 32 | u64::from(self.connection) << 16 | slot as u64;
        // The operation is inside of what is the guest's.
        let sector = self.given.0.start + operation.sector;
        let request = device::Operation { kind, sector, length, buffer: Some(buffer), cookie };
        let begun = if ready { physical.begin(request) } else { Err(request) };
        match begun {
            Ok(()) => {
                self.under_way += 1;
                self.jobs[slot] = Some(Job { queue, tag, operation });
            }
            Err(request) => {
                request.buffer.into_iter().for_each(|buffer| physical.give_back(buffer));
                if let Some(queue) = self.queues.get_mut(queue) {
                    // The tag came from this queue, and goes back once.
                    let _ = queue.back.complete(tag, Outcome::Failed);
                }
            }
        }
    }

    fn slot(&mut self) -> usize {
        self.jobs.iter().position(Option::is_none).unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        })
    }
}

impl Back for Disk {
    fn offer(&mut self, _: &mut Hardware) -> Nodes {
        let mode = if self.offered.read_only { "r" } else { "w" };
        let mut nodes = self.offered.features(&OFFER);
        nodes.extend([("mode", mode.to_string()), ("removable", "0".into())]);
        nodes
    }

    fn connect(&mut self, hardware: &mut Hardware, get: Get<'_>, resumes: bool) -> Result<Nodes, String> {
        let connection = Connection::read(&OFFER, get).map_err(|error| error.to_string())?;
        for wanted in connection.queues {
            let memory = Granted::map(self.domain, &wanted.ring).map_err(|error| error.to_string())?;
            let back = if resumes {
                block::Back::resume(memory, self.offered)
            } else {
                block::Back::attach(memory, self.offered)
            };
            let back = back.map_err(|error| error.to_string())?;
            let port = bind(self.domain, wanted.port)?;
            let data = Data::new(self.domain, if connection.persistent { hardware.mappings.take() } else { 0 });
            self.queues.push(Queue { back, port, data });
        }
        Ok(self.offered.properties())
    }

    fn disconnect(&mut self, hardware: &mut Hardware) {
        for queue in self.queues.drain(..) {
            hardware.mappings.give_back(queue.data.most());
            // It was bound by us, and is closed once.
            let _ = hypercall::close(queue.port);
        }
        self.jobs.clear();
        self.connection = self.connection.wrapping_add(1);
    }

    fn complete(&mut self, hardware: &mut Hardware, done: device::Operation, well: bool) {
        let device::Operation { cookie, mut buffer, .. } = done;
        self.under_way = self.under_way.saturating_sub(1);
        let (connection, slot) = ((cookie >> 16) as u16, cookie as u16 as usize);
        let job = if connection == self.connection { self.jobs.get_mut(slot).and_then(Option::take) } else { None };
        if let Some(Job { queue, tag, operation }) = job
            && let Some(queue) = self.queues.get_mut(queue)
        {
            let mut outcome = if well { Outcome::Done } else { Outcome::Failed };
            if well && operation.kind == block::Kind::Read {
                let data = &mut queue.data;
                let copied = buffer.as_mut().is_some_and(|buffer| data.copy(&operation.segments, buffer, Way::Out));
                outcome = if copied { Outcome::Done } else { Outcome::Failed };
            }
            // The tag came from this queue, and goes back once.
            let _ = queue.back.complete(tag, outcome);
        }
        if let (Some(buffer), Some(physical)) = (buffer, hardware.disks.get(self.physical)) {
            physical.give_back(buffer);
        }
    }

    fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    fn give_back(&mut self, hardware: &mut Hardware) {
        let (sectors, read_only) = &self.given;
        hardware.disks.get(self.physical).into_iter().for_each(|disk| disk.take_back(sectors, *read_only));
    }

    fn serve(&mut self, hardware: &mut Hardware) -> Result<bool, String> {
        let mut again = false;
        for number in 0..self.queues.len() {
            let all = self.begin(hardware, number)?;
            let Some(queue) = self.queues.get_mut(number) else { continue };
            if queue.back.push() {
                let _ = hypercall::send(queue.port);
            }
            again |= all && queue.back.wait().map_err(|error| error.to_string())?;
        }
        Ok(again)
    }
}
