//! Writes to a block device, several requests at a time, and reads back: whether a write that was acknowledged is lost, and
//! whether anything else comes back than what was written, whatever happens to the back end meanwhile. All that it wrote lies
//! in its own memory as numbers, so it tells by itself; it ends with one event line.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use linux_programs::arguments::Arguments;
use linux_programs::block::{self, Buffer, PAGE};
use linux_programs::random::Random;
use linux_programs::stamp::{SECTOR, Stamp, Wrong};

const USAGE: &str = "verify device=PATH [seed=1] [operations=1000] [threads=4] [pattern=random|sequential] \
                     [block=4096] [blocks=256] [sync=no|yes]
Half of the operations are writes. Each thread has `blocks` blocks of its own, and one request at a time.";

/// Writes until a thread asks the device to put everything on its disk.
const WRITES_UNTIL_FLUSH: u64 = 32;
/// Failures that are told one by one.
const TOLD: u64 = 20;

/// What all threads do.
struct Plan {
    device: File,
    seed: u64,
    /// Of each thread.
    operations: u64,
    sequential: bool,
    block: usize,
    /// Of each thread.
    blocks: u64,
}

/// What was counted.
#[derive(Default)]
struct Counts {
    writes: AtomicU64,
    reads: AtomicU64,
    lost: AtomicU64,
    corrupt: AtomicU64,
    /// Requests that were answered with an error.
    errors: AtomicU64,
    told: Mutex<u64>,
}

impl Counts {
    fn add(&self, counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn tell(&self, what: &str) {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *told += 1;
        if *told <= TOLD {
            println!("verify: {what}");
        }
    }
}

/// A block, as the thread that owns it knows it.
#[derive(Clone, Copy, Default)]
struct Block {
    /// The last write that was acknowledged; 0 if it has never been written.
    acknowledged: u64,
    /// The last write that was sent; it differs only after an error.
    sent: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("verify: {error:#}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let mut arguments = Arguments::new(std::env::args().skip(1))?;
    let path = arguments.text("device")?;
    let threads: u64 = arguments.or("threads", 4)?;
    let operations: u64 = arguments.or("operations", 1000)?;
    let sync = arguments.one_of("sync", &["no", "yes"])? == 1;
    let (device, bytes) = block::open(&path, sync)?;
    let plan = Plan {
        device,
        seed: arguments.or("seed", 1)?,
        operations: operations / threads.max(1),
        sequential: arguments.one_of("pattern", &["random", "sequential"])? == 1,
        block: arguments.or("block", PAGE)?,
        blocks: arguments.or("blocks", 256)?,
    };
    arguments.finish()?;
    ensure!(threads > 0 && plan.blocks > 0, "nothing to do");
    ensure!(plan.block > 0 && plan.block.is_multiple_of(PAGE), "block={} is no multiple of {PAGE}", plan.block);
    let room = bytes / plan.block as u64 / threads;
    ensure!(plan.blocks <= room, "{path} has room for blocks={room}, not {}", plan.blocks);
    let counts = Counts::default();
    thread::scope(|scope| {
        for number in 0..threads {
            let (plan, counts) = (&plan, &counts);
            scope.spawn(move || Worker::new(plan, counts, number).run());
        }
    });
    Ok(report(&counts))
}

/// The event line; whether all is well.
fn report(counts: &Counts) -> bool {
    let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let [writes, reads] = [&counts.writes, &counts.reads].map(value);
    let [lost, corrupt, errors] = [&counts.lost, &counts.corrupt, &counts.errors].map(value);
    println!("@verify writes={writes} acknowledged_lost={lost} corrupt={corrupt} reads={reads} errors={errors}");
    lost == 0 && corrupt == 0 && errors == 0
}

/// A thread with blocks of its own.
struct Worker<'p> {
    plan: &'p Plan,
    counts: &'p Counts,
    random: Random,
    /// Number of its first block.
    first: u64,
    blocks: Vec<Block>,
    buffer: Buffer,
}

impl<'p> Worker<'p> {
    fn new(plan: &'p Plan, counts: &'p Counts, number: u64) -> Self {
        let blocks = vec![Block::default(); usize::try_from(plan.blocks).unwrap_or_default()];
        let random = Random::new(plan.seed.wrapping_add(number << 32));
        Self { plan, counts, random, first: number * plan.blocks, blocks, buffer: Buffer::new(plan.block) }
    }

    fn run(mut self) {
        for operation in 0..self.plan.operations {
            let random = self.random.number();
            let index = if self.plan.sequential { operation / 2 } else { random >> 1 } % self.plan.blocks;
            // In sequence each block is written and then read.
            let writes = if self.plan.sequential { operation.is_multiple_of(2) } else { random & 1 == 0 };
            if writes { self.write(index) } else { self.read(index) }
        }
        for index in 0..self.plan.blocks {
            self.read(index);
        }
    }

    /// Place of a block on the device, and the stamp of its first sector.
    fn place(&self, index: u64, generation: u64) -> (u64, Stamp) {
        let byte = (self.first + index) * self.plan.block as u64;
        (byte, Stamp { seed: self.plan.seed, sector: byte / SECTOR as u64, generation })
    }

    fn write(&mut self, index: u64) {
        let block = self.blocks[index as usize];
        let generation = block.sent + 1;
        let (byte, stamp) = self.place(index, generation);
        for (number, sector) in (0..).zip(self.buffer.bytes().chunks_mut(SECTOR)) {
            Stamp { sector: stamp.sector + number, ..stamp }.fill(sector);
        }
        let answer = self.plan.device.write_all_at(self.buffer.bytes(), byte);
        let acknowledged = if answer.is_ok() { generation } else { block.acknowledged };
        self.blocks[index as usize] = Block { acknowledged, sent: generation };
        match answer {
            Ok(()) if !self.counts.add(&self.counts.writes).is_multiple_of(WRITES_UNTIL_FLUSH) => {}
            Ok(()) => {
                if let Err(error) = self.plan.device.sync_data() {
                    self.error(&format!("flush: {error}"));
                }
            }
            Err(error) => self.error(&format!("write at {byte}: {error}")),
        }
    }

    fn error(&self, what: &str) {
        self.counts.add(&self.counts.errors);
        self.counts.tell(what);
    }

    /// Reads a block that has been written, and compares.
    fn read(&mut self, index: u64) {
        let block = self.blocks[index as usize];
        if block.acknowledged == 0 {
            return;
        }
        let (byte, stamp) = self.place(index, block.acknowledged);
        if let Err(error) = self.plan.device.read_exact_at(self.buffer.bytes(), byte) {
            return self.error(&format!("read at {byte}: {error}"));
        }
        self.counts.add(&self.counts.reads);
        for (number, sector) in (0..).zip(self.buffer.bytes().chunks(SECTOR)) {
            let stamp = Stamp { sector: stamp.sector + number, ..stamp };
            // A write that was answered with an error may have come to the disk all the same.
            let later = (stamp.generation + 1..=block.sent)
                .find(|&generation| Stamp { generation, ..stamp }.check(sector).is_ok());
            match stamp.check(sector) {
                Err(_) if later.is_some() => {}
                Ok(()) => {}
                Err(Wrong::Older(generation)) => {
                    self.counts.add(&self.counts.lost);
                    let (number, last) = (stamp.sector, stamp.generation);
                    self.counts.tell(&format!("sector {number}: write {last} was acknowledged, {generation} is there"));
                }
                Err(Wrong::Corrupt) => {
                    self.counts.add(&self.counts.corrupt);
                    let head = sector.get(..24).unwrap_or_default();
                    self.counts.tell(&format!(
                        "sector {}: write {} expected, {head:02x?} is there",
                        stamp.sector, stamp.generation
                    ));
                }
            }
        }
    }
}
