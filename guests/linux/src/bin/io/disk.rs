//! Requests to a block device, one thread for each that is under way: any program can do so, and it costs the same switches of
//! threads under every hypervisor.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use linux_programs::arguments::Arguments;
use linux_programs::block::{self, Buffer, PAGE};
use linux_programs::random::Random;

use super::Measured;

/// What all threads do.
struct Plan {
    device: File,
    writes: bool,
    sequential: bool,
    block: usize,
    /// Blocks on the device.
    blocks: u64,
    requests: u64,
    /// Requests that have been taken.
    taken: AtomicU64,
}

/// Runs the command.
pub(super) fn run(mut arguments: Arguments) -> Result<Measured> {
    let path = arguments.text("device")?;
    let (device, bytes) = block::open(&path, false)?;
    let block: usize = arguments.or("block", PAGE)?;
    let depth: u64 = arguments.or("depth", 1)?;
    let mut plan = Plan {
        device,
        writes: arguments.one_of("operation", &["read", "write"])? == 1,
        sequential: arguments.one_of("pattern", &["random", "sequential"])? == 1,
        block,
        blocks: bytes / block.max(1) as u64,
        requests: arguments.or("requests", 1000)?,
        taken: AtomicU64::new(0),
    };
    arguments.finish()?;
    ensure!(block > 0 && block.is_multiple_of(PAGE), "block={block} is no multiple of {PAGE}");
    ensure!(
        plan.blocks > 0 && depth > 0 && plan.requests > 0,
        "{path} has no room for a block, or nothing is to be done"
    );
    // A tenth of the requests first, so that grants, caches and branches are as they will be.
    let requests = plan.requests;
    plan.requests = requests.div_ceil(10);
    plan.all(depth)?;
    plan.requests = requests;
    plan.taken = AtomicU64::new(0);
    let start = Instant::now();
    plan.all(depth)?;
    Ok(Measured::since(start, requests, requests * block as u64))
}

impl Plan {
    fn all(&self, depth: u64) -> Result<()> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..depth).map(|number| scope.spawn(move || self.thread(number))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().ok().context("a thread failed")?)
        })
    }

    fn thread(&self, number: u64) -> Result<()> {
        let mut random = Random::new(number + 1);
        let mut buffer = Buffer::new(self.block);
        loop {
            let request = self.taken.fetch_add(1, Ordering::Relaxed);
            if request >= self.requests {
                return Ok(());
            }
            let block = if self.sequential { request % self.blocks } else { random.below(self.blocks) };
            let byte = block * self.block as u64;
            let answer = if self.writes {
                self.device.write_all_at(buffer.bytes(), byte)
            } else {
                self.device.read_exact_at(buffer.bytes(), byte)
            };
            answer.with_context(|| format!("at byte {byte}"))?;
        }
    }
}
