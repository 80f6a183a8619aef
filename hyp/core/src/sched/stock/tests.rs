//! The weaknesses that were published, and the shares that are right in the long run.

use super::{Account, CREDITS_PER_TICK, SLICE, Stock, TICK};
use crate::sched::{Class, Share};
use crate::time::{MILLISECOND as MS, Nanos};
use crate::vcpu::VcpuId;

fn vcpu(number: u8) -> VcpuId {
    VcpuId::new(number).unwrap()
}

fn woken(weights: &[u16]) -> Stock {
    let mut stock = Stock::new();
    for (number, weight) in (0..).zip(weights) {
        stock.add(0, vcpu(number), &Share::of_weight(*weight), 0, i64::MAX);
        stock.wake(0, vcpu(number));
    }
    stock
}

#[test]
fn hogs_share_by_weight_in_the_long_run() {
    let mut stock = woken(&[256, 512, 256]);
    let (mut now, mut ran) = (0, [0; 3]);
    while now < 60_000 * MS {
        let picked = stock.pick(now).unwrap();
        let end = stock.slice_end().unwrap();
        ran[picked.index()] += end - now;
        now = end;
    }
    let [first, heavy, last] = ran.map(|ran| ran as f64 / now as f64);
    assert!((first - 0.25).abs() < 0.02 && (heavy - 0.5).abs() < 0.02 && (last - 0.25).abs() < 0.02, "{ran:?}");
}

#[test]
fn who_sleeps_at_the_tick_never_pays() {
    let mut stock = woken(&[256]);
    for tick in 0..10 {
        stock.wake(tick * TICK + 1, vcpu(0));
        assert_eq!(stock.pick(tick * TICK + 1), Some(vcpu(0)));
        stock.block((tick + 1) * TICK - 1);
        assert_eq!(stock.pick((tick + 1) * TICK - 1), None);
    }
    assert_eq!((stock.credit(vcpu(0)), stock.active), (0, 0));
}

#[test]
fn a_tick_ends_a_boost_and_costs_a_whole_tick() {
    let mut stock = woken(&[256, 256]);
    stock.pick(0);
    stock.block(MS);
    assert_eq!(stock.pick(MS), Some(vcpu(1)));
    stock.block(2 * MS);
    stock.wake(3 * MS, vcpu(1));
    stock.pick(3 * MS);
    // It woke from its sleep, and runs before whoever is not boosted; who is boosted too waits its turn.
    assert!(stock.is_urgent() && !stock.wake(TICK - 1, vcpu(0)));
    stock.settle(TICK);
    assert!(!stock.is_urgent());
    assert_eq!(stock.credit(vcpu(1)), -CREDITS_PER_TICK);
    assert_eq!(stock.credit(vcpu(0)), 0);
}

#[test]
fn who_has_overrun_waits_a_slice_of_each_that_has_not() {
    let mut stock = woken(&[256, 256]);
    stock.accounts[0] = Account { weight: 256, credit: -250, turn: 0 };
    stock.active = 0b11;
    (stock.over, stock.boosted) = (0b01, 0);
    assert_eq!(stock.pick(0), Some(vcpu(1)));
    stock.withdraw(MS, vcpu(0));
    assert!(!stock.wake(2 * MS, vcpu(0)), "no boost after an overrun");
    assert_eq!(stock.pick(2 * MS), Some(vcpu(1)));
    assert_eq!(stock.slice_end(), Some(SLICE));
}

#[test]
fn a_long_look_away_costs_no_more_than_a_short_one() {
    let mut stock = woken(&[256]);
    stock.pick(0);
    stock.settle(Nanos::MAX / 2);
    assert!(stock.credit(vcpu(0)) >= -300 - 2 * CREDITS_PER_TICK);
    assert!(stock.next_tick > Nanos::MAX / 2);
}
