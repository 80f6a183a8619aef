//! Disks: operations of all guests, under way at the same time.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use rt::virtio::block::{DEPTH, Disk, Kind, Operation, SECTOR};
use rt::virtio::{Buffer, SomeTransport};
use rt::{interrupts, timer};

/// Most bytes of an operation.
pub(crate) const LARGEST: usize = 128 << 10;

/// Cookies of our own operations begin with it, which no guest's disk has.
const OWN: u64 = (u32::MAX as u64) << 32;
/// How long an answer to one is waited for, in ns: nobody is served meanwhile.
const PATIENCE: u64 = 2_000_000_000;

/// A disk of the machine.
pub(crate) struct Physical {
    disk: Disk,
    interrupt: u32,
    /// The name that it has of itself.
    pub(crate) name: String,
    /// Buffers that no operation has.
    free: Vec<Buffer>,
    /// What of it guests have, and whether they may only read it.
    given: Vec<(Range<u64>, bool)>,
    /// Guests' operations that were over while we waited for one of our own.
    over: VecDeque<(Operation, bool)>,
    /// How many operations of our own there were.
    asked: u32,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Disks(Vec<Physical>);

impl Disks {
    /// Brings one up.
    pub(crate) fn add(&mut self, transport: SomeTransport<'static>, interrupt: u32) {
        match Physical::new(transport, interrupt) {
            Ok(disk) => self.0.push(disk),
            Err(why) => rt::println!("a disk cannot be used: {why}"),
        }
    }

    /// The one with this name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|disk| disk.name == name)
    }

    /// One by its number.
    pub(crate) fn get(&mut self, number: usize) -> Option<&mut Physical> {
        self.0.get_mut(number)
    }

    /// The next operation that is over, and whether it was done.
    pub(crate) fn complete(&mut self) -> Option<(Operation, bool)> {
        self.0.iter_mut().find_map(|physical| {
            if interrupts::take(physical.interrupt) {
                physical.disk.acknowledge();
            }
            physical.over.pop_front().or_else(|| physical.disk.complete())
        })
    }

    /// Tells the devices what was begun.
    pub(crate) fn notify(&mut self) {
        self.0.iter_mut().for_each(|physical| physical.disk.notify());
    }
}

impl Physical {
    fn new(transport: SomeTransport<'static>, interrupt: u32) -> Result<Self, String> {
        let disk = Disk::new(transport).map_err(|error| alloc::format!("{error}"))?;
        let (name, free, given, over) = (String::new(), Vec::new(), Vec::new(), VecDeque::new());
        let mut physical = Self { disk, interrupt, name, free, given, over, asked: 0 };
        physical.name = physical.identify()?;
        physical.free = (0..DEPTH).map_while(|_| Buffer::new(LARGEST)).collect();
        // Of the answer just now; the line has to fall before it can rise.
        physical.disk.acknowledge();
        interrupts::enable(interrupt);
        rt::println!("disk `{}`: {} sectors", physical.name, physical.sectors());
        Ok(physical)
    }

    /// How many sectors it has.
    pub(crate) const fn sectors(&self) -> u64 {
        self.disk.sectors()
    }

    /// A sector.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(&mut self, sector: u64) -> Result<Vec<u8>, String> {
        let buffer = self.ask(Kind::Read, sector, SECTOR as usize)?;
        let buffer = buffer.ok_or_else(|| alloc::format!("its sector {sector} cannot be read"))?;
        Ok(buffer.bytes().get(..SECTOR as usize).unwrap_or_default().to_vec())
    }

    /// Gives sectors to a guest. Returns whether they are not another's, or nobody may write what both have.
    pub(crate) fn give(&mut self, sectors: Range<u64>, read_only: bool) -> bool {
        let meets = |other: &Range<u64>| sectors.start < other.end && other.start < sectors.end;
        let free = self.given.iter().all(|(other, theirs)| !meets(other) || (*theirs && read_only));
        if free {
            self.given.push((sectors, read_only));
        }
        free
    }

    /// Takes back what was given with the same words.
    pub(crate) fn take_back(&mut self, sectors: &Range<u64>, read_only: bool) {
        let at = self.given.iter().position(|(other, theirs)| other == sectors && *theirs == read_only);
        at.into_iter().for_each(|at| _ = self.given.swap_remove(at));
    }

    /// It cannot be written.
    pub(crate) const fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    /// Data may have to be made durable.
    pub(crate) const fn has_cache(&self) -> bool {
        self.disk.has_cache()
    }

    /// Sectors can be given up.
    pub(crate) const fn can_discard(&self) -> bool {
        self.disk.can_discard()
    }

    /// A buffer for an operation; nothing while all are in use.
    pub(crate) fn buffer(&mut self) -> Option<Buffer> {
        self.free.pop()
    }

    /// A buffer is not needed any more.
    pub(crate) fn give_back(&mut self, buffer: Buffer) {
        self.free.push(buffer);
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// Too many are under way; it comes back.
    pub(crate) fn begin(&mut self, operation: Operation) -> Result<(), Operation> {
        self.disk.begin(operation)
    }

    /// Asks it for its name.
    fn identify(&mut self) -> Result<String, String> {
        let buffer = self.ask(Kind::Identify, 0, 20)?.ok_or("it does not tell its name")?;
        let name = buffer.bytes().iter().take(20).take_while(|byte| **byte != 0);
        Ok(name.map(|byte| char::from(*byte)).collect())
    }

    /// Has it do one thing for ourselves, and waits until it is done: what it says, if it was done. Guests' operations that are
    /// over meanwhile are put aside.
    fn ask(&mut self, kind: Kind, sector: u64, length: usize) -> Result<Option<Buffer>, String> {
        let buffer = Buffer::new(SECTOR as usize).ok_or("no memory for devices")?;
        // An answer that was not waited for may come to the next question.
        self.asked = self.asked.wrapping_add(1);
        let cookie = OWN | u64::from(self.asked);
        let end = timer::now() + PATIENCE;
        let mut wanted = Some(Operation { kind, sector, length, buffer: Some(buffer), cookie });
        while timer::now() < end {
            if let Some(operation) = wanted.take() {
                match self.disk.begin(operation) {
                    Ok(()) => self.disk.notify(),
                    Err(operation) => wanted = Some(operation),
                }
            }
            match self.disk.complete() {
                Some((operation, done)) if operation.cookie == cookie => return Ok(operation.buffer.filter(|_| done)),
                // It is nobody's any more.
                Some((operation, _)) if operation.cookie >= OWN => drop(operation),
                Some(other) => self.over.push_back(other),
                None => rt::cpu::relax(),
            }
        }
        Err("it does not answer".into())
    }
}
