//! Both ends of a device, driven at random: one against a peer that jumps, and two that talk through slow watches.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

use hyp_pvio::xenbus::{Action, End, Side, State};
use proptest::prelude::*;

/// What a driver holds of its peer, and what it may therefore be told.
struct Driver {
    end: End,
    /// It was told to connect and has not said whether it could.
    linking: bool,
    linked: bool,
}

impl Driver {
    fn new(side: Side) -> Self {
        Self { end: End::new(side), linking: false, linked: false }
    }

    /// The next life of a back end's driver, as its I/O domain ended.
    fn next_life(&self) -> Self {
        let end = if self.end.leaves() { End::leaving() } else { End::new(Side::Back) };
        Self { end, linking: false, linked: false }
    }

    /// Takes an action as a driver would; `slow` leaves a connection for [`Driver::finish`].
    fn take(&mut self, action: Action, slow: bool) {
        match action {
            Action::Nothing => {}
            Action::Offer => {
                assert!(!self.linked && !self.linking, "rings are offered while others are in use");
                self.end.offered();
            }
            Action::Link => {
                assert!(!self.linked && !self.linking, "told to connect twice");
                self.linking = true;
                if !slow {
                    self.finish(true);
                }
            }
            Action::Unlink => (self.linked, self.linking) = (false, false),
            Action::Reconfigure => {
                assert!(self.linked, "told to look at what is not connected");
                self.end.reconfigured();
            }
        }
        self.check();
    }

    fn finish(&mut self, well: bool) {
        match (self.linking, well) {
            (true, true) => {
                (self.linking, self.linked) = (false, true);
                self.end.linked();
            }
            (true, false) => {
                let action = self.end.failed();
                assert_eq!(action, Action::Unlink);
                self.take(action, false);
            }
            // Says it late, after it was told to let go.
            (false, _) if !self.linked => self.end.linked(),
            (false, _) => {}
        }
        self.check();
    }

    fn check(&self) {
        let in_use = matches!(self.end.state(), State::Connected | State::Reconfiguring | State::Reconfigured);
        // One that is taken away is served until its front end has let go.
        let parting = self.end.leaves() && self.end.state() == State::Closing;
        assert_eq!(in_use || parting && !self.linking, self.linked, "the state is {:?}", self.end.state());
        assert_eq!(self.end.is_linked(), self.linked);
        assert!(!self.end.is_gone() || !self.linked && !self.linking, "it is gone, and in use");
    }
}

fn state() -> impl Strategy<Value = State> {
    prop::sample::select(State::ALL.to_vec())
}

fn side() -> impl Strategy<Value = Side> {
    prop::sample::select(vec![Side::Front, Side::Back])
}

/// Watches come in any order and number; each looks at what the state is by then.
fn settle(pair: &mut [Driver; 2], order: &[usize]) {
    for &at in order.iter().chain([0, 1].iter().cycle().take(24)) {
        let peer = pair[1 - at].end.state();
        let action = pair[at].end.peer(peer);
        pair[at].take(action, false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_peer_that_jumps_makes_no_driver_connect_twice_or_use_what_is_gone(
        side in side(), steps in prop::collection::vec((state(), 0_u8..10), 1..80),
    ) {
        let mut driver = Driver::new(side);
        for (peer, choice) in steps {
            match choice {
                0 => driver.finish(true),
                1 => driver.finish(false),
                2 => driver.end.reconfigure(),
                3 => driver.end.reconfigured(),
                4 if peer == State::Closed && side == Side::Back => driver.end.leave(),
                _ => {
                    let action = driver.end.peer(peer);
                    driver.take(action, choice < 6);
                    let asked = driver.end.leaves();
                    if matches!(peer, State::Closed | State::Unknown) || peer == State::Closing && !asked {
                        prop_assert!(!driver.linked && !driver.linking, "it holds what its peer let go");
                    }
                }
            }
            driver.check();
        }
    }

    #[test]
    fn two_ends_connect_and_part_and_connect_again(
        orders in prop::collection::vec((prop::collection::vec(0_usize..2, 0..12), 0_u8..4), 1..6),
    ) {
        let mut pair = [Driver::new(Side::Front), Driver::new(Side::Back)];
        for (order, change) in orders {
            settle(&mut pair, &order);
            prop_assert_eq!([pair[0].end.state(), pair[1].end.state()], [State::Connected; 2]);
            match change {
                0 => {
                    pair[1].end.reconfigure();
                    settle(&mut pair, &order);
                    prop_assert_eq!([pair[0].end.state(), pair[1].end.state()], [State::Connected; 2]);
                }
                // An end fails, or its guest starts again.
                1 | 2 => {
                    let at = usize::from(change - 1);
                    let action = pair[at].end.failed();
                    pair[at].take(action, false);
                    settle(&mut pair, &order);
                    prop_assert!(pair.iter().all(|driver| !driver.linked));
                    pair[0] = Driver::new(Side::Front);
                }
                _ => pair[0] = Driver::new(Side::Front),
            }
        }
    }

    #[test]
    fn what_is_taken_away_goes_once_its_front_end_lets_go_over_ends_of_either(
        before in prop::collection::vec(0_usize..2, 0..12), order in prop::collection::vec((0_usize..2, 0_u8..8), 0..12),
    ) {
        let mut pair = [Driver::new(Side::Front), Driver::new(Side::Back)];
        for at in before {
            let action = pair[at].end.peer(pair[1 - at].end.state());
            pair[at].take(action, false);
        }
        let connected = pair[0].linked && pair[1].linked;
        pair[1].end.leave();
        prop_assert_eq!(pair[1].end.is_gone(), !pair[1].linked);
        prop_assert!(!connected || pair[1].end.state() == State::Closing, "the front end is not asked");
        for (at, what) in order {
            if what == 0 {
                pair[1] = pair[1].next_life();
            }
            let action = pair[at].end.peer(pair[1 - at].end.state());
            prop_assert!(action != Action::Offer || at == 0, "it is offered although it goes");
            pair[at].take(action, false);
            prop_assert!(!pair[0].linked || pair[1].end.state() != State::Connected);
        }
        settle(&mut pair, &[]);
        prop_assert!(pair[1].end.is_gone(), "{:?}", pair[1].end);
        prop_assert!(!pair[0].linked);
    }
}

#[test]
fn a_front_end_that_is_in_use_is_served_until_it_has_closed() {
    let connected = || {
        let mut back = Driver::new(Side::Back);
        for peer in [State::Initialising, State::Initialised, State::Connected] {
            let action = back.end.peer(peer);
            back.take(action, false);
        }
        back.end.leave();
        back
    };
    // Said by disks of older Linuxes while somebody has them open.
    for resumed in [false, true] {
        let mut back = connected();
        if resumed {
            back = back.next_life();
        }
        for peer in [State::Closing, State::Closing, State::Connected] {
            let action = back.end.peer(peer);
            back.take(action, false);
            assert!(back.linked && !back.end.is_gone(), "resumed: {resumed}");
            assert_eq!(back.end.state(), State::Closing);
        }
        assert_eq!(back.end.peer(State::Closed), Action::Unlink);
        assert!(back.end.is_gone());
        assert_eq!(back.end.peer(State::Initialising), Action::Nothing, "it comes back");
    }
    // By force.
    let mut back = connected();
    assert_eq!(back.end.failed(), Action::Unlink);
    assert!(back.end.is_gone());
}

#[test]
fn states_are_read_as_they_are_written() {
    for state in State::ALL {
        assert_eq!(State::parse(&[state.digit()]), state);
    }
    for other in [&b""[..], b"9", b"44", b"x", b" 4", b"/"] {
        assert_eq!(State::parse(other), State::Unknown);
    }
}
