//! A domain's life, as a pure function.
//!
//! Starting, stopping and restarting involve several CPUs and take time; what may follow what is decided here alone, so
//! that it can be read in one table and tested without a machine.

use crate::arch::ShutdownReason;

/// What happens to a domain when it ends in some way (`makuhari,on-poweroff` and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndAction {
    /// It stays stopped.
    Destroy,
    /// It starts again from its first state.
    Restart,
    /// The whole machine is switched off.
    MachineOff,
}

/// What to do for each way of ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndActions {
    /// It switched itself off, or asked to be suspended, which nobody can resume yet.
    pub poweroff: EndAction,
    /// It asked to be started again.
    pub reboot: EndAction,
    /// It crashed, or was stopped.
    pub crash: EndAction,
    /// Its watchdog ran out.
    pub watchdog: EndAction,
}

impl EndActions {
    /// What Xen does when nothing is said.
    pub const DEFAULT: Self = Self {
        poweroff: EndAction::Destroy,
        reboot: EndAction::Restart,
        crash: EndAction::Destroy,
        watchdog: EndAction::Destroy,
    };

    /// What to do after this end.
    pub const fn after(self, reason: ShutdownReason) -> EndAction {
        match reason {
            ShutdownReason::PowerOff | ShutdownReason::Suspend => self.poweroff,
            ShutdownReason::Reboot => self.reboot,
            ShutdownReason::Crash => self.crash,
            ShutdownReason::Watchdog => self.watchdog,
        }
    }
}

/// Where a domain is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there and has never run.
    Created,
    /// Its vCPUs run or wait.
    Running,
    /// Its vCPUs are kept from running.
    Paused,
    /// It has ended, and its vCPUs are being stopped.
    ShuttingDown(ShutdownReason),
    /// Its memory is being brought back to the first state.
    Restarting,
    /// It switched itself off; for good.
    Shutdown,
    /// It crashed; for good.
    Crashed,
}

impl State {
    /// It will never run again.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Shutdown | Self::Crashed)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Let it run for the first time.
    Start,
    /// Keep it from running.
    Pause,
    /// Let it go on.
    Unpause,
    /// It ended.
    End(ShutdownReason),
    /// The last of its vCPUs has stopped.
    Stopped,
    /// Its memory is in its first state again.
    Reset,
}

/// What the hypervisor has to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Nothing.
    Nothing,
    /// Start vCPU 0.
    Run,
    /// Take its vCPUs off their CPUs and keep them.
    Park,
    /// Let its vCPUs back.
    Unpark,
    /// Stop all its vCPUs.
    Stop,
    /// Close its channels and forget it.
    Destroy,
    /// Reset its memory, then [`Event::Reset`].
    Restart,
    /// Switch the machine off.
    MachineOff,
}

/// What follows; `None` when the event cannot happen in this state and is to be ignored.
pub const fn next(state: State, event: Event, actions: EndActions) -> Option<(State, Todo)> {
    Some(match (state, event) {
        (State::Created, Event::Start) | (State::Restarting, Event::Reset) => (State::Running, Todo::Run),
        (State::Running, Event::Pause) => (State::Paused, Todo::Park),
        (State::Paused, Event::Unpause) => (State::Running, Todo::Unpark),
        (State::Running | State::Paused, Event::End(reason)) => (State::ShuttingDown(reason), Todo::Stop),
        (State::ShuttingDown(reason), Event::Stopped) => {
            let over = match reason {
                ShutdownReason::Crash | ShutdownReason::Watchdog => State::Crashed,
                ShutdownReason::PowerOff | ShutdownReason::Reboot | ShutdownReason::Suspend => State::Shutdown,
            };
            match actions.after(reason) {
                EndAction::Restart => (State::Restarting, Todo::Restart),
                EndAction::Destroy => (over, Todo::Destroy),
                EndAction::MachineOff => (over, Todo::MachineOff),
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{EndAction, EndActions, Event, State, Todo, next};
    use crate::arch::ShutdownReason;

    const ACTIONS: EndActions = EndActions::DEFAULT;

    fn after(state: State, events: &[Event], actions: EndActions) -> (State, Todo) {
        events.iter().fold((state, Todo::Nothing), |(state, _), event| next(state, *event, actions).unwrap())
    }

    #[test]
    fn reboots_and_runs_again() {
        let end = Event::End(ShutdownReason::Reboot);
        let events = [Event::Start, end, Event::Stopped, Event::Reset];
        assert_eq!(after(State::Created, &events, ACTIONS), (State::Running, Todo::Run));
    }

    #[test]
    fn the_second_end_does_not_count() {
        let (state, _) = next(State::Running, Event::End(ShutdownReason::Crash), ACTIONS).unwrap();
        assert_eq!(next(state, Event::End(ShutdownReason::Reboot), ACTIONS), None);
        assert_eq!(next(state, Event::Stopped, ACTIONS), Some((State::Crashed, Todo::Destroy)));
    }

    #[test]
    fn each_reason_has_its_action() {
        let actions = EndActions {
            poweroff: EndAction::MachineOff,
            reboot: EndAction::Destroy,
            crash: EndAction::Destroy,
            watchdog: EndAction::Restart,
        };
        let over = |reason| next(State::ShuttingDown(reason), Event::Stopped, actions).unwrap();
        assert_eq!(over(ShutdownReason::PowerOff), (State::Shutdown, Todo::MachineOff));
        assert_eq!(over(ShutdownReason::Reboot), (State::Shutdown, Todo::Destroy));
        assert_eq!(over(ShutdownReason::Watchdog), (State::Restarting, Todo::Restart));
        assert_eq!(over(ShutdownReason::Crash), (State::Crashed, Todo::Destroy));
    }

    #[test]
    fn a_watchdog_that_runs_out_is_a_crash_and_the_rest_is_none() {
        let crashes = [ShutdownReason::Crash, ShutdownReason::Watchdog];
        for reason in crashes.into_iter().chain([ShutdownReason::PowerOff, ShutdownReason::Suspend]) {
            let over = if crashes.contains(&reason) { State::Crashed } else { State::Shutdown };
            assert_eq!(next(State::ShuttingDown(reason), Event::Stopped, ACTIONS), Some((over, Todo::Destroy)));
        }
    }

    #[test]
    fn nothing_leaves_the_end() {
        for state in [State::Shutdown, State::Crashed] {
            assert!(state.is_over());
            for event in [Event::Start, Event::Pause, Event::Unpause, Event::Stopped, Event::Reset] {
                assert_eq!(next(state, event, ACTIONS), None);
            }
        }
    }

    #[test]
    fn pausing_is_for_who_runs_and_going_on_for_who_is_paused() {
        let all = [
            State::Created,
            State::Running,
            State::Paused,
            State::ShuttingDown(ShutdownReason::Reboot),
            State::Restarting,
            State::Shutdown,
            State::Crashed,
        ];
        for state in all {
            assert_eq!(next(state, Event::Pause, ACTIONS).is_some(), state == State::Running, "{state:?}");
            assert_eq!(next(state, Event::Unpause, ACTIONS).is_some(), state == State::Paused, "{state:?}");
            let starts = next(state, Event::Start, ACTIONS).is_some();
            assert_eq!(starts, state == State::Created, "{state:?}");
        }
    }

    #[test]
    fn a_paused_domain_can_end() {
        let events = [Event::Start, Event::Pause, Event::End(ShutdownReason::PowerOff)];
        assert_eq!(after(State::Created, &events, ACTIONS).1, Todo::Stop);
    }
}
