//! Work that is the same in every period: the player without media, for comparisons between schedulers and hypervisors,
//! where what a picture costs must be known before. Times and records are the real player's.
//!
//! A picture that is due before it is begun, because those before it were so late, is not worth decoding: as by a player with
//! a screen, it is left out, and counts as dropped. Else a player that wants more than it gets would be ever later, and
//! nothing else would show.

use alloc::vec::Vec;

use rt::{Machine, cpu, println, runstate, timer};

use crate::records::{Records, Task};

/// Pictures a second.
const RATE: u64 = 60;
/// From the first line about the share to the first release, ns: time to print it.
const BEFORE: u64 = 1_000_000;

/// What to do, from the boot arguments.
pub(crate) struct Work {
    /// Instructions of a picture and of a sound period.
    cost: [u64; 2],
    /// How long to play, seconds.
    seconds: u64,
    /// From now to the first release, ns.
    lead: u64,
    /// How long to live on when all is told, ns: somebody else may still be telling.
    linger: u64,
}

impl Work {
    /// `work=PICTURE,SOUND seconds=N lead_ns=N linger_ns=N`; `None` without `work`, which means media.
    pub(crate) fn wanted(machine: &Machine) -> Option<Self> {
        let (picture, sound) = machine.argument("work")?.split_once(',')?;
        let number = |name| machine.argument(name)?.parse().ok();
        Some(Self {
            cost: [picture.parse().ok()?, sound.parse().ok()?],
            seconds: number("seconds")?,
            lead: number("lead_ns")?,
            linger: number("linger_ns")?,
        })
    }

    /// Plays, tells, and lingers.
    pub(crate) fn run(&self) {
        let [picture, sound] = self.cost;
        println!("player: {RATE} times a second {picture} instructions, 100 times {sound}, {} s", self.seconds);
        if let Err(error) = runstate::register() {
            println!("player: no run state: {error:?}");
        }
        let start = timer::now() + self.lead;
        let mut records = Records::new(start, RATE, Vec::new());
        timer::wait_until(start - BEFORE);
        runstate::print_running();
        while let Some(task) = records.next(records.frames() >= RATE * self.seconds) {
            records.sleep_to_release(task);
            if records.is_too_late(task) {
                records.leave_out(task);
                continue;
            }
            let cost = if task == Task::Video { picture } else { sound };
            cpu::work(cost / cpu::ROUND);
            records.done(task, 0);
        }
        runstate::print_running();
        records.print();
        timer::wait_until(timer::now() + self.linger);
        println!("@done");
    }
}
