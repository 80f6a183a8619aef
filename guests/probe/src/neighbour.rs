//! A guest that uses its devices while another attacks who serves both (`mode=neighbour attacker=N`): all that it wrote is
//! there, nothing of its is touched, and nothing takes it longer than it may.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use hyp_pvio::block::Kind;
use rt::{Machine, events, grants, hypercall, println, timer};
use xen_abi::domid::DomId;
use xen_abi::errno::Errno;
use xen_abi::io_domain::STORE_PORT;

use crate::check::Checks;
use crate::devices::card::Card;
use crate::devices::disk::{Disk, SECTORS, XVDA};
use rt::front::Store;
use rt::front::Trouble;
use rt::random::Random;

/// The longest that an operation may take while others attack, ns.
const BOUND: u64 = 20_000_000;
/// Rounds that there have to be before the attack is over, so that it fell into them.
const ROUNDS: u64 = 200;
/// Between two rounds, ns.
const PAUSE: u64 = 500_000;
/// The longest that the attack may take, ns.
const LONGEST: u64 = 20_000_000_000;
/// Where the attacker says that it is done.
pub(crate) const DONE: &str = "data/done";

/// What the work came to.
#[derive(Default)]
struct Work {
    rounds: u64,
    worst: u64,
    total: u64,
    /// Frames that came in.
    heard: u64,
}

impl Work {
    fn time<T>(&mut self, what: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
        let begin = timer::now();
        let result = what();
        let took = timer::now() - begin;
        if took > BOUND {
            println!("neighbour: waited {took} ns");
        }
        self.worst = self.worst.max(took);
        self.total += took;
        result
    }
}

/// What belongs into a page of the disk, of which this is the `generation`th contents.
fn word(page: u64, generation: u64) -> impl Fn(u64) -> u64 + Copy {
    move |at| page << 48 | generation << 32 | at
}

/// Works until the attacker says that it is done.
pub(crate) fn run(checks: &mut Checks, machine: &'static Machine) {
    let attacker = machine.argument("attacker").and_then(|number| number.parse().ok()).unwrap_or(0);
    checks.same("events", events::connect(), Ok(()));
    checks.same("grants", grants::connect(), Ok(()));
    checks.same("unmask", hypercall::unmask(STORE_PORT), Ok(()));
    let mut work = Work::default();
    let result = work_beside(&mut work, machine, attacker);
    checks.that("work", result.is_ok(), format_args!("{result:?}"));
    let Work { rounds, worst, total, heard } = work;
    println!("neighbour: rounds={rounds} worst_ns={worst} total_ns={total} frames={heard}");
    checks.that("rounds", rounds >= ROUNDS, format_args!("{rounds}"));
    checks.that("heard", heard > 0, format_args!("{heard}"));
    checks.that("in-time", worst <= BOUND, format_args!("{worst}-ns"));
}

fn work_beside(work: &mut Work, machine: &'static Machine, attacker: DomId) -> Result<(), Trouble> {
    let mut store = Store::open(machine)?;
    let mut disk = Disk::connect(&mut store, XVDA)?;
    let mut card = Card::connect(&mut store)?;
    let mut generations = vec![0_u64; (disk.sectors / SECTORS) as usize];
    let mut random = Random::new(2);
    let done = format!("/local/domain/{attacker}/{DONE}");
    println!("neighbour: works");
    let end = timer::now() + LONGEST;
    loop {
        timer::wait_until(timer::now() + PAUSE);
        if timer::now() > end {
            return Err(Trouble::Silence);
        }
        work.rounds += 1;
        let page = random.below(generations.len() as u64);
        if let Some(generation) = generations.get_mut(page as usize) {
            *generation += 1;
            disk.data.fill(word(page, *generation));
        }
        work.time(|| disk.operate(Kind::Write, page * SECTORS))?;
        let other = random.below(generations.len() as u64);
        match generations.get(other as usize) {
            // Nobody has written there but we.
            Some(0) | None => {}
            Some(generation) => work.time(|| disk.read(other * SECTORS, word(other, *generation)))?,
        }
        let text = format!("{}", work.rounds);
        work.time(|| store.write("data/round", &text))?;
        if work.time(|| store.read("data/round"))? != text {
            return Err(Trouble::Device("data/round is another".into()));
        }
        if work.rounds.is_multiple_of(8) {
            work.time(|| card.send(page))?;
        }
        while card.receive()?.is_some() {
            work.heard += 1;
        }
        match work.time(|| store.read(&done)) {
            Ok(_) => break,
            Err(Trouble::Refused(Errno::EACCES | Errno::ENOENT)) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    let written: Vec<(u64, u64)> = (0..).zip(generations).filter(|(_, generation)| *generation > 0).collect();
    written.into_iter().try_for_each(|(page, generation)| disk.read(page * SECTORS, word(page, generation)))
}
