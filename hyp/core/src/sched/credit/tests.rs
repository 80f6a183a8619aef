//! The class on a simulated CPU: events in order of time, no machine.

use std::vec::Vec;

use super::{BANK, Credit, SHORT_SLICE, SLICE};
use crate::sched::{Class, Share};
use crate::time::{MICROSECOND, MILLISECOND, Nanos};
use crate::vcpu::VcpuId;

/// What a simulated vCPU does.
#[derive(Clone, Copy)]
enum Demand {
    /// It never stops.
    Hog,
    /// It works for `work` every `period`.
    Frames { period: Nanos, work: Nanos },
    /// It gives way after each `work`.
    Yields { work: Nanos },
}

struct Guest {
    id: VcpuId,
    demand: Demand,
    /// Work left until it blocks or gives way.
    left: Nanos,
    release: Nanos,
    blocked: bool,
    ran: Nanos,
    late: u32,
    frames: u32,
    longest_wake: Nanos,
    longest_wait: Nanos,
    ready: Nanos,
}

struct Simulation {
    class: Credit,
    guests: Vec<Guest>,
    now: Nanos,
}

impl Simulation {
    fn new(guests: &[(u16, Demand)]) -> Self {
        let mut class = Credit::new();
        let make = |(number, (weight, demand)): (usize, &(u16, Demand))| {
            let id = VcpuId::new(number as u8).unwrap();
            class.add(0, id, &Share::of_weight(*weight), 0, i64::MAX);
            class.wake(0, id);
            let left = match *demand {
                Demand::Hog => Nanos::MAX,
                Demand::Frames { work, .. } | Demand::Yields { work } => work,
            };
            Guest {
                id,
                demand: *demand,
                left,
                release: 0,
                blocked: false,
                ran: 0,
                late: 0,
                frames: 0,
                longest_wake: 0,
                longest_wait: 0,
                ready: 0,
            }
        };
        let guests = guests.iter().enumerate().map(make).collect();
        Self { class, guests, now: 0 }
    }

    fn run(&mut self, until: Nanos) {
        while self.now < until {
            for guest in &mut self.guests {
                if guest.blocked && guest.release <= self.now {
                    guest.blocked = false;
                    guest.ready = self.now;
                    self.class.wake(self.now, guest.id);
                }
            }
            let picked = self.class.pick(self.now);
            let wakes = self.guests.iter().filter(|guest| guest.blocked).map(|guest| guest.release).min();
            let wakes = wakes.unwrap_or(until).min(until);
            let Some(current) = picked.map(|id| usize::from(id.number())) else {
                self.now = wakes;
                continue;
            };
            let guest = &mut self.guests[current];
            guest.longest_wait = guest.longest_wait.max(self.now - guest.ready);
            if guest.left == demanded(guest.demand) {
                guest.longest_wake = guest.longest_wake.max(self.now - guest.ready);
            }
            let stop = self.class.slice_end().unwrap_or(until).min(wakes).max(self.now + 1);
            let ran = guest.left.min(stop - self.now);
            self.now += ran;
            guest.ran += ran;
            guest.ready = self.now;
            if guest.left != Nanos::MAX {
                guest.left -= ran;
            }
            if guest.left == 0 {
                finish(guest, &mut self.class, self.now);
            }
        }
    }

    fn share(&self, index: usize) -> f64 {
        self.guests[index].ran as f64 / self.now as f64
    }
}

fn demanded(demand: Demand) -> Nanos {
    match demand {
        Demand::Hog => 0,
        Demand::Frames { work, .. } | Demand::Yields { work } => work,
    }
}

fn finish(guest: &mut Guest, class: &mut Credit, now: Nanos) {
    guest.left = demanded(guest.demand);
    match guest.demand {
        Demand::Hog => {}
        Demand::Yields { .. } => class.give_way(now),
        Demand::Frames { period, .. } => {
            guest.frames += 1;
            guest.late += u32::from(now > guest.release + period);
            guest.release += period;
            if guest.release > now {
                guest.blocked = true;
                class.block(now);
            }
        }
    }
}

const FRAME: Nanos = 16_666_667;

fn player(percent: u64) -> Demand {
    Demand::Frames { period: FRAME, work: FRAME * percent / 100 }
}

#[test]
fn shares_follow_weights() {
    for weights in [[256u16, 256, 256], [256, 512, 1024], [100, 900, 50], [1, 1, 2]] {
        let mut simulation = Simulation::new(&weights.map(|weight| (weight, Demand::Hog)));
        simulation.run(20_000 * MILLISECOND);
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for (index, weight) in weights.iter().enumerate() {
            let due = f64::from(*weight) / sum;
            assert!((simulation.share(index) - due).abs() < 0.02, "{weights:?} {index}: {}", simulation.share(index));
        }
    }
}

#[test]
fn a_player_inside_its_share_is_never_late() {
    for (percent, hogs) in [(35, 1), (45, 1), (28, 2), (14, 3), (20, 3), (10, 7)] {
        let mut guests = std::vec![(256, player(percent))];
        guests.resize(1 + hogs, (256, Demand::Hog));
        let mut simulation = Simulation::new(&guests);
        simulation.run(20_000 * MILLISECOND);
        let player = &simulation.guests[0];
        assert!(player.frames >= 1199, "{percent} % beside {hogs} hogs: {} frames", player.frames);
        // From the second second on nobody waits.
        let mut simulation = Simulation::new(&guests);
        simulation.run(1_000 * MILLISECOND);
        simulation.guests[0].late = 0;
        simulation.guests[0].longest_wake = 0;
        simulation.run(20_000 * MILLISECOND);
        let player = &simulation.guests[0];
        assert_eq!(player.late, 0, "{percent} % beside {hogs} hogs");
        assert_eq!(player.longest_wake, 0, "{percent} % beside {hogs} hogs: it waits");
    }
}

#[test]
fn a_player_is_in_time_from_its_first_frame_beside_one_hog() {
    let mut simulation = Simulation::new(&[(256, player(35)), (256, Demand::Hog)]);
    simulation.run(20_000 * MILLISECOND);
    assert_eq!(simulation.guests[0].late, 0);
}

#[test]
fn a_greedy_player_gets_its_share_and_no_more() {
    let mut simulation = Simulation::new(&[(256, player(90)), (256, Demand::Hog)]);
    simulation.run(20_000 * MILLISECOND);
    assert!((simulation.share(1) - 0.5).abs() < 0.02, "the hog has {}", simulation.share(1));
}

#[test]
fn nobody_starves() {
    let storm = Demand::Frames { period: 50 * MICROSECOND, work: 49 * MICROSECOND };
    let mut simulation = Simulation::new(&[(256, storm), (1024, player(60)), (256, Demand::Hog), (64, Demand::Hog)]);
    simulation.run(10_000 * MILLISECOND);
    for guest in &simulation.guests {
        assert!(guest.longest_wait < 1000 * MILLISECOND, "{:?} waited {} ns", guest.id, guest.longest_wait);
    }
    assert!(simulation.share(3) > 0.02, "{}", simulation.share(3));
}

#[test]
fn who_gives_way_lets_others_run() {
    let mut simulation = Simulation::new(&[(256, Demand::Yields { work: 1000 }), (256, Demand::Hog)]);
    simulation.run(1_000 * MILLISECOND);
    assert!(simulation.share(1) > 0.9, "{}", simulation.share(1));
    assert!(simulation.guests[0].longest_wait <= SHORT_SLICE, "{}", simulation.guests[0].longest_wait);
}

#[test]
fn alone_there_is_no_slice() {
    let vcpu = VcpuId::new(3).unwrap();
    let mut class = Credit::new();
    class.add(5, vcpu, &Share::of_weight(256), 0, i64::MAX);
    assert_eq!(class.pick(5), None);
    assert!(class.wake(6, vcpu));
    assert_eq!(class.pick(6), Some(vcpu));
    assert_eq!(class.slice_end(), None);
    let other = VcpuId::new(4).unwrap();
    class.add(7, other, &Share::of_weight(256), 0, i64::MAX);
    class.wake(7, other);
    assert_eq!(class.slice_end(), Some(6 + SLICE));
    class.remove(8, vcpu);
    assert_eq!(class.pick(8), Some(other));
}

/// Two vCPUs of the same weight, the first of which runs since `now`, where the second joined.
fn two(now: Nanos) -> (Credit, VcpuId, VcpuId) {
    let (first, second) = (VcpuId::new(0).unwrap(), VcpuId::new(1).unwrap());
    let mut class = Credit::new();
    for vcpu in [first, second] {
        class.add(now, vcpu, &Share::of_weight(256), 0, i64::MAX);
        class.wake(now, vcpu);
    }
    assert_eq!(class.pick(now), Some(first));
    (class, first, second)
}

#[test]
fn looking_around_does_not_end_a_slice() {
    let (mut class, first, second) = two(0);
    for now in [0, 1, 5, MILLISECOND, SLICE - 1] {
        assert_eq!(class.pick(now), Some(first), "{now}");
        assert_eq!(class.slice_end(), Some(SLICE));
    }
    assert_eq!(class.pick(SLICE), Some(second));
}

#[test]
fn who_starts_later_waits_for_the_slice_to_end() {
    let (mut class, first, _) = two(0);
    let third = VcpuId::new(2).unwrap();
    class.add(1000, third, &Share::of_weight(256), 0, i64::MAX);
    assert!(!class.wake(1000, third));
    assert_eq!(class.pick(1000), Some(first));
}

#[test]
fn a_wake_up_ends_the_slice_of_who_has_clearly_less() {
    let (mut class, first, second) = two(0);
    let third = VcpuId::new(2).unwrap();
    let late = SLICE - MILLISECOND;
    assert_eq!(class.pick(late), Some(first));
    class.add(late, third, &Share::of_weight(256), 0, i64::MAX);
    assert!(class.wake(late, third), "it has 0, against {}", class.credit(first));
    assert_eq!(class.pick(late), Some(second), "who has most of all");
}

#[test]
fn who_has_credit_runs_at_once_and_who_has_none_waits() {
    for (credit, at_once) in [(1, true), (BANK, true), (0, false), (-BANK, false)] {
        let (mut class, first, second) = two(0);
        class.block(0);
        assert_eq!(class.pick(0), Some(second));
        class.accounts[first.index()].credit = credit;
        assert_eq!(class.wake(0, first), at_once, "{credit}");
        assert_eq!(class.is_boosted(first), at_once);
        assert_eq!(class.pick(0), Some(if at_once { first } else { second }), "{credit}");
    }
}

#[test]
fn going_and_coming_back_pays_no_debt() {
    let (mut class, first, _) = two(0);
    class.accounts[first.index()].credit = -BANK;
    let kept = class.remove(5, first);
    class.add(5, first, &Share::of_weight(256), 0, kept);
    class.wake(5, first);
    assert!(class.credit(first) < 0, "{}", class.credit(first));
}

#[test]
fn a_guest_may_set_itself_up_before_it_plays() {
    let (mut class, player, hog) = two(0);
    for turn in 1..=4 {
        let picked = class.pick(turn * SLICE);
        assert_eq!(picked, Some(if turn % 2 == 1 { hog } else { player }));
    }
    class.block(4 * SLICE + 1);
    assert_eq!(class.pick(4 * SLICE + 1), Some(hog));
    assert!(class.wake(4 * SLICE + 2, player));
    assert_eq!(class.pick(4 * SLICE + 2), Some(player));
}

#[test]
fn who_spins_lets_the_one_it_waits_for_go_on() {
    // The second is woken while the first holds what it wants, and spins from then on.
    let (mut class, holder, spinner) = two(0);
    for vcpu in [holder, spinner] {
        class.accounts[vcpu.index()].family = holder.bit() | spinner.bit();
    }
    assert_eq!(class.pick(SHORT_SLICE), Some(spinner), "they take turns");
    class.block(SHORT_SLICE);
    assert_eq!(class.pick(SHORT_SLICE), Some(holder));
    class.accounts[holder.index()].credit = -BANK;
    class.accounts[spinner.index()].credit = BANK;
    let mut now = 10 * MILLISECOND;
    assert!(class.wake(now, spinner));
    let mut held = [0, 0];
    while now < 20 * MILLISECOND {
        let runs = class.pick(now).unwrap();
        let end = class.slice_end().unwrap();
        assert!(now < end && end - now <= SHORT_SLICE, "{now} {end}");
        held[runs.index()] += end - now;
        now = end;
    }
    assert!(held[holder.index()] >= 4 * MILLISECOND, "{held:?}");
}

#[test]
fn a_domain_of_several_takes_no_more_than_its_weights() {
    let mut simulation = Simulation::new(&[(256, Demand::Hog); 3]);
    for vcpu in &mut simulation.class.accounts[..2] {
        vcpu.family = 0b11;
    }
    simulation.run(20_000 * MILLISECOND);
    assert!((simulation.share(2) - 1.0 / 3.0).abs() < 0.02, "{}", simulation.share(2));
}

#[test]
fn a_player_beside_a_domain_of_several_is_never_late() {
    let mut simulation =
        Simulation::new(&[(256, player(20)), (256, Demand::Hog), (256, Demand::Hog), (256, Demand::Hog)]);
    for vcpu in &mut simulation.class.accounts[1..4] {
        vcpu.family = 0b1110;
    }
    simulation.run(1_000 * MILLISECOND);
    simulation.guests[0].late = 0;
    simulation.run(20_000 * MILLISECOND);
    assert_eq!(simulation.guests[0].late, 0);
}
