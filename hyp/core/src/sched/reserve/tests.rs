//! Servers by themselves: what they pay, when they get more, and when they wait.

use super::{ASIDE, Changes, Reserve};
use crate::sched::Reservation;
use crate::time::{MILLISECOND as MS, NEVER, Nanos};
use crate::vcpu::VcpuId;

fn vcpu(number: u8) -> VcpuId {
    VcpuId::new(number).unwrap()
}

fn terms(budget: Nanos, period: Nanos, deadline: Nanos) -> Reservation {
    Reservation::new(budget * MS, period * MS, deadline * MS).unwrap()
}

/// Servers of so many ms in so many, all woken at 0 in their order.
fn woken(all: &[Reservation]) -> Reserve {
    let mut reserve = Reserve::new();
    for (number, terms) in (0..).zip(all) {
        reserve.add(vcpu(number), terms);
        reserve.wake(vcpu(number));
    }
    reserve
}

#[test]
fn a_budget_ends_to_the_nanosecond_and_comes_back_in_time() {
    let mut reserve = woken(&[terms(3, 10, 10)]);
    assert_eq!(reserve.pick(), Some(vcpu(0)));
    assert_eq!(reserve.next(), 3 * MS);
    assert_eq!(reserve.advance(3 * MS - 1), Changes::default());
    assert_eq!(reserve.advance(3 * MS), Changes { spent: 1, refilled: 0 });
    assert_eq!((reserve.pick(), reserve.next()), (None, 10 * MS));
    assert_eq!(reserve.advance(10 * MS - 1), Changes::default());
    assert_eq!(reserve.advance(10 * MS), Changes { spent: 0, refilled: 1 });
    assert_eq!((reserve.pick(), reserve.next()), (Some(vcpu(0)), 13 * MS));
}

#[test]
fn what_ran_too_long_is_taken_from_the_next_budget() {
    let mut reserve = woken(&[terms(3, 10, 10)]);
    reserve.pick();
    reserve.advance(4 * MS);
    assert_eq!(reserve.left(vcpu(0)), -(MS as i64));
    reserve.advance(10 * MS);
    reserve.pick();
    assert_eq!(reserve.next(), 12 * MS);
}

#[test]
fn the_earliest_deadline_runs() {
    let mut reserve = woken(&[terms(4, 20, 20), terms(2, 10, 10)]);
    assert_eq!(reserve.pick(), Some(vcpu(1)));
    reserve.advance(MS);
    assert!(!reserve.preempts(vcpu(0)));
    reserve.block(vcpu(1));
    assert_eq!(reserve.pick(), Some(vcpu(0)));
    // Its deadline is the same still.
    reserve.advance(2 * MS);
    reserve.wake(vcpu(1));
    assert!(reserve.preempts(vcpu(1)));
    // A new period, whose deadline is later.
    reserve.block(vcpu(1));
    reserve.advance(19 * MS);
    reserve.wake(vcpu(1));
    assert!(reserve.pick() == Some(vcpu(1)), "the other has used its 4 ms");
}

#[test]
fn a_late_riser_starts_anew_rather_than_take_more_than_its_part() {
    let mut reserve = woken(&[terms(4, 10, 10)]);
    reserve.pick();
    reserve.advance(MS);
    reserve.block(vcpu(0));
    // 3 ms in 8 ms are less than 4 in 10: it goes on.
    reserve.advance(2 * MS);
    reserve.wake(vcpu(0));
    assert_eq!(reserve.left(vcpu(0)), 3 * MS as i64);
    reserve.block(vcpu(0));
    // 3 ms in 5 ms are more.
    reserve.advance(5 * MS);
    reserve.wake(vcpu(0));
    reserve.pick();
    reserve.advance(9 * MS);
    assert_eq!(reserve.pick(), None);
    assert_eq!(reserve.next(), 15 * MS);
}

#[test]
fn with_an_early_deadline_there_is_one_budget_in_a_period() {
    let mut reserve = woken(&[terms(2, 10, 4)]);
    reserve.pick();
    reserve.advance(MS);
    reserve.block(vcpu(0));
    // 1 ms is left, but only half of the time that is left is its part.
    reserve.advance(3 * MS);
    reserve.wake(vcpu(0));
    assert_eq!(reserve.left(vcpu(0)), MS as i64 / 2);
    reserve.block(vcpu(0));
    // Past the deadline.
    reserve.advance(6 * MS);
    reserve.wake(vcpu(0));
    assert_eq!((reserve.pick(), reserve.next()), (None, 10 * MS));
    reserve.advance(10 * MS);
    assert_eq!(reserve.pick(), Some(vcpu(0)));
    assert_eq!(reserve.next(), 12 * MS);
}

#[test]
fn who_reclaims_has_what_sleepers_leave_and_no_more() {
    let mut reclaiming = terms(2, 10, 10);
    reclaiming.reclaim = true;
    let mut reserve = woken(&[reclaiming, terms(5, 10, 10)]);
    reserve.advance(0);
    reserve.block(vcpu(1));
    assert_eq!(reserve.pick(), Some(vcpu(0)));
    // The sleeper has a claim until half of its time is over, as far as anybody has looked.
    assert_eq!(reserve.next(), 2 * MS);
    reserve.advance(MS);
    assert_eq!(reserve.left(vcpu(0)), MS as i64);
    // Now that it has none, the clock of the other goes half as fast.
    let end = reserve.next();
    assert!((3 * MS - 10..=3 * MS + 10).contains(&end), "{end}");
    // Back again, it is paid for in full.
    reserve.advance(2 * MS);
    reserve.wake(vcpu(1));
    let end = reserve.next();
    assert!((2 * MS + MS / 2 - 10..=2 * MS + MS / 2 + 10).contains(&end), "{end}");
}

#[test]
fn who_gives_way_is_back_in_a_moment() {
    let mut reserve = woken(&[terms(2, 10, 10), terms(2, 20, 20)]);
    reserve.pick();
    reserve.advance(MS);
    reserve.give_way();
    assert_eq!(reserve.pick(), Some(vcpu(1)));
    assert_eq!(reserve.next(), MS + ASIDE);
    reserve.advance(MS + ASIDE);
    assert_eq!(reserve.pick(), Some(vcpu(0)));
    reserve.give_way();
    reserve.wake(vcpu(0));
    assert_eq!(reserve.pick(), Some(vcpu(0)), "an event is worth more than good manners");
}

#[test]
fn who_sleeps_long_gets_one_budget() {
    let mut reserve = woken(&[terms(3, 10, 10)]);
    reserve.pick();
    reserve.advance(3 * MS);
    reserve.block(vcpu(0));
    reserve.advance(1000 * MS);
    reserve.wake(vcpu(0));
    reserve.pick();
    assert_eq!((reserve.left(vcpu(0)), reserve.next()), (3 * MS as i64, 1003 * MS));
    reserve.remove(vcpu(0));
    assert_eq!((reserve.pick(), reserve.next(), reserve.is_empty()), (None, NEVER, true));
}
