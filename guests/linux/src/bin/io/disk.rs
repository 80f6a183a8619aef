//! Requests to a block device. One at a time is a program that waits for each; several are one thread's in a ring of Linux's
//! (io_uring), as data bases and `fio` with an `iodepth` have them. As many threads that wait would do too, but then a third
//! of what is counted is how Linux switches between them.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use linux_programs::arguments::Arguments;
use linux_programs::block::{self, Buffer, PAGE};
use linux_programs::random::Random;
use monoio::buf::IoBufMut;
use monoio::{IoUringDriver, RuntimeBuilder};

use super::Measured;

/// What is asked of the device.
struct Plan {
    writes: bool,
    sequential: bool,
    block: usize,
    /// Blocks on the device.
    blocks: u64,
    /// Requests that nobody has begun.
    left: Cell<u64>,
    random: RefCell<Random>,
}

/// Runs the command.
pub(super) fn run(mut arguments: Arguments) -> Result<Measured> {
    let path = arguments.text("device")?;
    let (device, bytes) = block::open(&path, false)?;
    let block: usize = arguments.or("block", PAGE)?;
    let depth: u64 = arguments.or("depth", 1)?;
    let requests: u64 = arguments.or("requests", 1000)?;
    let plan = Plan {
        writes: arguments.one_of("operation", &["read", "write"])? == 1,
        sequential: arguments.one_of("pattern", &["random", "sequential"])? == 1,
        block,
        blocks: bytes / block.max(1) as u64,
        left: Cell::new(0),
        random: RefCell::new(Random::new(1)),
    };
    arguments.finish()?;
    ensure!(block > 0 && block.is_multiple_of(PAGE), "block={block} is no multiple of {PAGE}");
    ensure!(plan.blocks > 0 && depth > 0 && requests > 0, "{path} has no room for a block, or nothing is to be done");
    // A tenth of the requests first, so that grants, caches and branches are as they will be.
    let warming = requests.div_ceil(10);
    let start = if depth == 1 {
        plan.one_by_one(&device, warming)?;
        let start = Instant::now();
        plan.one_by_one(&device, requests)?;
        start
    } else {
        let mut runtime = RuntimeBuilder::<IoUringDriver>::new().build().context("there is no ring of requests")?;
        runtime.block_on(async {
            let (plan, device) = (Rc::new(plan), Rc::new(monoio::fs::File::from_std(device)?));
            together(&plan, &device, depth, warming).await?;
            let start = Instant::now();
            together(&plan, &device, depth, requests).await?;
            anyhow::Ok(start)
        })?
    };
    Ok(Measured::since(start, requests, requests * block as u64))
}

impl Plan {
    /// The first byte of the next request, if there is one.
    fn next(&self) -> Option<u64> {
        self.left.set(self.left.get().checked_sub(1)?);
        let block = if self.sequential {
            self.blocks - 1 - self.left.get() % self.blocks
        } else {
            self.random.borrow_mut().below(self.blocks)
        };
        Some(block * self.block as u64)
    }

    fn one_by_one(&self, device: &File, requests: u64) -> Result<()> {
        let mut buffer = Buffer::new(self.block);
        self.left.set(requests);
        while let Some(byte) = self.next() {
            let done = if self.writes {
                device.write_all_at(buffer.bytes(), byte)
            } else {
                device.read_exact_at(buffer.bytes(), byte)
            };
            done.with_context(|| format!("at byte {byte}"))?;
        }
        Ok(())
    }
}

/// `depth` of them at a time.
async fn together(plan: &Rc<Plan>, device: &Rc<monoio::fs::File>, depth: u64, requests: u64) -> Result<()> {
    plan.left.set(requests);
    let one_after_the_other = |_| monoio::spawn(chain(plan.clone(), device.clone()));
    let chains: Vec<_> = (0..depth).map(one_after_the_other).collect();
    for chain in chains {
        chain.await?;
    }
    Ok(())
}

/// Each request when the last one is done.
async fn chain(plan: Rc<Plan>, device: Rc<monoio::fs::File>) -> Result<()> {
    // The device takes whole pages of memory only.
    let memory = vec![0; plan.block + PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    let mut buffer = memory.slice_mut(start..start + plan.block);
    while let Some(byte) = plan.next() {
        let done;
        (done, buffer) = if plan.writes {
            device.write_all_at(buffer, byte).await
        } else {
            device.read_exact_at(buffer, byte).await
        };
        done.with_context(|| format!("at byte {byte}"))?;
    }
    Ok(())
}
