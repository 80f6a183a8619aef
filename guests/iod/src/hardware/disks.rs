//! Disks: operations of all guests, under way at the same time.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use rt::interrupts;
use rt::virtio::block::{DEPTH, Disk, Kind, Operation, SECTOR};
use rt::virtio::{Buffer, SomeTransport};

/// Most bytes of an operation.
pub(crate) const LARGEST: usize = 128 << 10;

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
            physical.disk.complete()
        })
    }

    /// Tells the devices what was begun.
    pub(crate) fn notify(&mut self) {
        self.0.iter_mut().for_each(|physical| physical.disk.notify());
    }
}

impl Physical {
    fn new(transport: SomeTransport<'static>, interrupt: u32) -> Result<Self, String> {
        let mut disk = Disk::new(transport).map_err(|error| alloc::format!("{error}"))?;
        let name = identify(&mut disk)?;
        let free = (0..DEPTH).map_while(|_| Buffer::new(LARGEST)).collect();
        // Of the answer just now; the line has to fall before it can rise.
        disk.acknowledge();
        interrupts::enable(interrupt);
        rt::println!("disk `{name}`: {} sectors", disk.sectors());
        Ok(Self { disk, interrupt, name, free, given: Vec::new() })
    }

    /// How many sectors it has.
    pub(crate) const fn sectors(&self) -> u64 {
        self.disk.sectors()
    }

    /// A sector, at the start only: nothing else may be under way.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(&mut self, sector: u64) -> Result<Vec<u8>, String> {
        let buffer = ask(&mut self.disk, Kind::Read, sector, SECTOR as usize)?;
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
}

/// Asks a disk for its name, and waits for the answer.
fn identify(disk: &mut Disk) -> Result<String, String> {
    let buffer = ask(disk, Kind::Identify, 0, 20)?.ok_or("it does not tell its name")?;
    let name = buffer.bytes().iter().take(20).take_while(|byte| **byte != 0);
    Ok(name.map(|byte| char::from(*byte)).collect())
}

/// Has a disk do one thing while it does nothing else, and waits until it is done: what it says, if it was done.
fn ask(disk: &mut Disk, kind: Kind, sector: u64, length: usize) -> Result<Option<Buffer>, String> {
    let buffer = Buffer::new(SECTOR as usize).ok_or("no memory for devices")?;
    let operation = Operation { kind, sector, length, buffer: Some(buffer), cookie: 0 };
    disk.begin(operation).map_err(|_| "it takes no request")?;
    disk.notify();
    loop {
        match disk.complete() {
            Some((operation, done)) => return Ok(operation.buffer.filter(|_| done)),
            None => rt::cpu::relax(),
        }
    }
}
