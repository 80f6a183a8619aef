//! The classes together: who comes before whom, what happens at the edges of a budget, and that credit does not notice.

mod changing;

use super::RunQueue;
use crate::sched::{Promise, Reservation, Scheduler, Share, WHOLE};
use crate::time::{MILLISECOND as MS, Nanos};
use crate::vcpu::VcpuId;

const PLAIN: Share = Share::of_weight(256);

fn vcpu(number: u8) -> VcpuId {
    VcpuId::new(number).unwrap()
}

fn reserved(budget: Nanos, period: Nanos, hard: bool) -> Share {
    let mut terms = Reservation::new(budget * MS, period * MS, period * MS).unwrap();
    terms.hard = hard;
    Share { promise: Promise::Reserve(terms), ..PLAIN }
}

fn queue(scheduler: Scheduler, shares: &[Share]) -> RunQueue {
    let mut queue = RunQueue::new(scheduler);
    for (number, share) in (0..).zip(shares) {
        queue.add(0, vcpu(number), share, vcpu(number).bit(), i64::MAX);
        queue.wake(0, vcpu(number));
    }
    queue
}

/// What each has run when all want to run until then. Whoever is asked for runs to the end of its slice.
fn run(queue: &mut RunQueue, from: Nanos, until: Nanos) -> [Nanos; 4] {
    let (mut now, mut ran) = (from, [0; 4]);
    while now < until {
        let picked = queue.pick(now);
        assert_eq!(queue.current(), picked);
        let end = queue.slice_end().unwrap_or(until).min(until);
        assert!(end > now, "it does not go on at {now}");
        if let Some(picked) = picked {
            ran[picked.index()] += end - now;
        }
        now = end;
    }
    queue.pick(now);
    ran
}

#[test]
fn a_hard_reservation_is_kept_to_the_nanosecond_under_every_scheduler() {
    for scheduler in [Scheduler::Client, Scheduler::Stock, Scheduler::Sedf].into_iter().filter(|one| one.is_built()) {
        let mut queue = queue(scheduler, &[PLAIN, reserved(3, 10, true), PLAIN]);
        let ran = run(&mut queue, 0, 12_000 * MS);
        assert_eq!(ran[1], 3_600 * MS, "{scheduler:?}");
        let rest = [ran[0], ran[2]].map(|ran| ran as f64 / (8_400 * MS) as f64);
        assert!(rest.iter().all(|part| (part - 0.5).abs() < 0.01), "{scheduler:?}: {rest:?}");
    }
}

#[test]
fn a_hard_one_leaves_its_cpu_idle_when_it_has_had_enough() {
    let mut queue = queue(Scheduler::Client, &[reserved(3, 10, true)]);
    assert_eq!(run(&mut queue, 0, 1000 * MS)[0], 300 * MS);
}

#[test]
fn a_soft_one_has_its_weight_besides() {
    let mut queue = queue(Scheduler::Client, &[PLAIN, reserved(3, 10, false)]);
    let ran = run(&mut queue, 0, 10_000 * MS);
    // 30 % and half of what is left.
    let part = ran[1] as f64 / (10_000 * MS) as f64;
    assert!((part - 0.65).abs() < 0.02, "{part}");
}

#[test]
fn shares_by_weight_are_of_what_is_left() {
    let mut queue = queue(Scheduler::Client, &[Share::of_weight(256), reserved(5, 10, true), Share::of_weight(768)]);
    let ran = run(&mut queue, 0, 20_000 * MS);
    let part = ran[2] as f64 / (ran[0] + ran[2]) as f64;
    assert!((part - 0.75).abs() < 0.01, "{part}");
}

#[test]
fn who_owns_the_cpu_is_asked_first() {
    let owner = Share { promise: Promise::Pinned, ..PLAIN };
    let mut queue = queue(Scheduler::Client, &[PLAIN, reserved(3, 10, false), owner]);
    assert_eq!(queue.pick(0), Some(vcpu(2)));
    assert_eq!((queue.slice_end(), queue.is_urgent()), (None, false));
    assert!(!queue.wake(MS, vcpu(1)), "it does not disturb the owner");
    queue.give_way(MS);
    assert_eq!(queue.pick(MS), Some(vcpu(2)));
    queue.block(MS);
    assert_eq!(queue.pick(MS), Some(vcpu(1)));
    assert!(queue.wake(2 * MS, vcpu(2)));
}

#[test]
fn a_wake_up_in_the_moment_a_budget_ends_is_not_lost() {
    let mut queue = queue(Scheduler::Client, &[PLAIN, reserved(3, 10, true)]);
    queue.block(0);
    assert_eq!(queue.pick(0), Some(vcpu(1)));
    assert!(queue.wake(3 * MS, vcpu(0)), "whoever ran has used its budget");
    assert_eq!(queue.current(), Some(vcpu(1)), "until somebody looks around");
    // It blocks before anybody does.
    queue.block(3 * MS);
    assert_eq!(queue.pick(3 * MS), Some(vcpu(0)));
    assert!(queue.wake(10 * MS, vcpu(1)));
    assert_eq!(queue.pick(10 * MS), Some(vcpu(1)));
}

#[test]
fn a_soft_one_that_blocks_on_its_weight_has_blocked() {
    let mut queue = queue(Scheduler::Client, &[reserved(3, 10, false)]);
    queue.pick(0);
    assert_eq!(queue.pick(3 * MS), Some(vcpu(0)), "on its weight");
    // Its period ends while it runs; it goes on by its reservation.
    assert_eq!(queue.slice_end(), Some(10 * MS));
    assert_eq!(queue.pick(10 * MS), Some(vcpu(0)));
    queue.pick(13 * MS);
    queue.block(14 * MS);
    assert_eq!(queue.pick(14 * MS), None);
    assert_eq!(queue.slice_end(), None);
    queue.wake(21 * MS, vcpu(0));
    assert_eq!(queue.pick(21 * MS), Some(vcpu(0)));
    queue.remove(22 * MS, vcpu(0));
    assert_eq!((queue.pick(22 * MS), queue.current(), queue.has_others()), (None, None, false));
}

#[test]
fn credit_goes_on_where_it_was_interrupted() {
    let mut queue = queue(Scheduler::Client, &[PLAIN, PLAIN, reserved(1, 5, true)]);
    queue.pick(0);
    queue.block(0);
    let first = queue.pick(0).unwrap();
    let end = queue.slice_end().unwrap();
    queue.wake(5 * MS, vcpu(2));
    assert_eq!(queue.pick(5 * MS), Some(vcpu(2)));
    queue.block(6 * MS);
    assert_eq!(queue.pick(6 * MS), Some(first), "its slice is not over");
    assert_eq!(queue.slice_end(), Some(end + MS));
}

#[test]
fn a_weight_counts_from_when_it_is_changed() {
    let mut queue = queue(Scheduler::Client, &[PLAIN, PLAIN]);
    let before = run(&mut queue, 0, 2_000 * MS);
    queue.change(2_000 * MS, vcpu(1), &Share::of_weight(768));
    let after = run(&mut queue, 2_000 * MS, 6_000 * MS);
    let part = |ran: [Nanos; 4]| ran[1] as f64 / (ran[0] + ran[1]) as f64;
    assert!((part(before) - 0.5).abs() < 0.01 && (part(after) - 0.75).abs() < 0.02, "{before:?} {after:?}");
}

#[test]
fn what_was_found_makes_way_for_what_is_promised() {
    let mut queue =
        queue(Scheduler::Client, &[Share { promise: Promise::Auto, ..PLAIN }, reserved(2, 10, true), PLAIN]);
    queue.set_promised(0, reserved(2, 10, true).promise.part());
    queue.wake_by_timer(0, vcpu(0));
    let found = queue.reservation(vcpu(0)).unwrap();
    assert!(found.density() > WHOLE / 4, "{found:?}");
    queue.change(5 * MS, vcpu(1), &reserved(8, 10, true));
    queue.set_promised(5 * MS, reserved(8, 10, true).promise.part());
    assert_eq!(queue.reservation(vcpu(0)), None);
    // It is not forgotten, only promised nothing.
    let ran = run(&mut queue, 10 * MS, 1010 * MS);
    assert_eq!(ran[1], 800 * MS);
    assert!(ran[0] > 50 * MS && ran[2] > 50 * MS, "{ran:?}");
}
