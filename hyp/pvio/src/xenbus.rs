//! How two ends of a device find each other and part again.
//!
//! Each end has a node `state` in xenstore and watches the other's. From the pair follows what an end does next: say
//! what it offers, map the other's rings, let them go. Drivers tend to have that spread over callbacks, where a peer
//! that jumps between states finds the gaps; here it is one table for each end, without anything of a device.
//!
//! An end is told the peer's state ([`End::peer`]) and gives an [`Action`]. When its driver has done it, it says so, and
//! then [`End::state`] is what belongs into the own node. Source: `public/io/xenbus.h`, and the order of `blkif.h`.

use core::mem;

use xen_abi::io::xenbus::{
    XENBUS_STATE_CLOSED, XENBUS_STATE_CLOSING, XENBUS_STATE_CONNECTED, XENBUS_STATE_INIT_WAIT,
    XENBUS_STATE_INITIALISED, XENBUS_STATE_INITIALISING, XENBUS_STATE_RECONFIGURED, XENBUS_STATE_RECONFIGURING,
    XENBUS_STATE_UNKNOWN,
};

/// How far an end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum State {
    /// There is no such node, or nothing that is a state.
    Unknown = XENBUS_STATE_UNKNOWN,
    /// Nothing is done yet.
    Initialising = XENBUS_STATE_INITIALISING,
    /// The back end has said what it offers.
    InitWait = XENBUS_STATE_INIT_WAIT,
    /// The front end has said where its rings are.
    Initialised = XENBUS_STATE_INITIALISED,
    /// In use.
    Connected = XENBUS_STATE_CONNECTED,
    /// About to close.
    Closing = XENBUS_STATE_CLOSING,
    /// Closed.
    Closed = XENBUS_STATE_CLOSED,
    /// What is below the device changes.
    Reconfiguring = XENBUS_STATE_RECONFIGURING,
    /// It has changed.
    Reconfigured = XENBUS_STATE_RECONFIGURED,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Initialising,
        Self::InitWait,
        Self::Initialised,
        Self::Connected,
        Self::Closing,
        Self::Closed,
        Self::Reconfiguring,
        Self::Reconfigured,
    ];

    /// What a node `state` says; a value that is no state is as good as none.
    pub fn parse(value: &[u8]) -> Self {
        let digit = match value {
            [digit] => u32::from(*digit).wrapping_sub(u32::from(b'0')),
            _ => XENBUS_STATE_UNKNOWN,
        };
        Self::ALL.into_iter().find(|state| *state as u32 == digit).unwrap_or(Self::Unknown)
    }

    /// What to write to the node.
    pub const fn digit(self) -> u8 {
        b'0' + self as u8
    }

    const fn is_closed(self) -> bool {
        matches!(self, Self::Closing | Self::Closed | Self::Unknown)
    }
}

/// Which end of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The driver in a guest.
    Front,
    /// What serves it.
    Back,
}

/// What a driver is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Write down what this end offers, the front end its rings, then say [`End::offered`].
    Offer,
    /// Read what the other end wrote down and connect, then say [`End::linked`] or [`End::failed`].
    Link,
    /// Let go of rings and mappings, of those too whose [`Link`](Self::Link) is not done, and look at the peer's state
    /// again: it may have begun anew already.
    Unlink,
    /// Look again at what is below the device, then say [`End::reconfigured`].
    Reconfigure,
}

/// What an end has of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    None,
    /// The driver was told to connect.
    Wanted,
    Made,
}

/// One end of a device.
#[derive(Clone, Debug)]
pub struct End {
    side: Side,
    state: State,
    link: Link,
    /// The device is being taken away.
    leaves: bool,
}

impl End {
    /// An end of a new device, whose state is `Initialising`.
    pub const fn new(side: Side) -> Self {
        Self { side, state: State::Initialising, link: Link::None, leaves: false }
    }

    /// The back end of a device that was being taken away when a life of its driver ended: a front end that has not let go
    /// is connected once more, and served until it does.
    pub const fn leaving() -> Self {
        Self { side: Side::Back, state: State::Closing, link: Link::None, leaves: true }
    }

    /// What belongs into the own node.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The driver has connected, and was not told to let go since: it serves.
    pub fn is_linked(&self) -> bool {
        self.link == Link::Made
    }

    /// The back end's device is being taken away.
    pub const fn leaves(&self) -> bool {
        self.leaves
    }

    /// It was being taken away, and the front end has let go: the nodes can be removed.
    pub fn is_gone(&self) -> bool {
        self.leaves && self.link == Link::None && self.state == State::Closed
    }

    /// The back end's device is taken away: its front end is asked to close, and served until it does. One that has not
    /// connected has nothing to close.
    pub fn leave(&mut self) {
        if mem::replace(&mut self.leaves, true) {
            return;
        }
        self.state = if self.link == Link::None { State::Closed } else { State::Closing };
    }

    /// The peer's node was looked at.
    pub fn peer(&mut self, peer: State) -> Action {
        if self.leaves {
            return self.front_lets_go(peer);
        }
        if peer.is_closed() && (self.link != Link::None || self.state == State::Initialised) {
            return self.unlink(if self.side == Side::Back && peer == State::Closing { peer } else { State::Closed });
        }
        match self.side {
            Side::Back => self.front_changed(peer),
            Side::Front => self.back_changed(peer),
        }
    }

    fn front_changed(&mut self, peer: State) -> Action {
        match (self.state, peer) {
            // The front end begins anew, and has not said that it ended.
            (_, State::Initialising) if self.link != Link::None => self.unlink(State::Closed),
            (State::Initialising, State::Initialising) | (State::Closed, State::Initialising) => Action::Offer,
            // A front end that needs no features does not wait for them.
            (State::Initialising | State::InitWait | State::Closed, State::Initialised | State::Connected)
                if self.link == Link::None =>
            {
                self.link = Link::Wanted;
                Action::Link
            }
            (State::Reconfiguring, State::Reconfiguring) => Action::Reconfigure,
            (State::Reconfigured, State::Connected) => {
                self.state = State::Connected;
                Action::Nothing
            }
            (State::Closing | State::InitWait, State::Closed | State::Unknown) => {
                self.state = State::Closed;
                Action::Nothing
            }
            _ => Action::Nothing,
        }
    }

    /// A front end was asked to close. One that says that it is closing may be in use still, as Linux's disks were once.
    fn front_lets_go(&mut self, peer: State) -> Action {
        match (self.link, peer) {
            (Link::None, State::Initialised | State::Connected | State::Closing | State::Reconfiguring)
                if self.state == State::Closing =>
            {
                self.link = Link::Wanted;
                Action::Link
            }
            (Link::None, _) => {
                self.state = State::Closed;
                Action::Nothing
            }
            // The second has begun anew, and finds nothing that it could connect to.
            (_, State::Closed | State::Unknown | State::Initialising | State::InitWait) => self.unlink(State::Closed),
            _ => Action::Nothing,
        }
    }

    fn back_changed(&mut self, peer: State) -> Action {
        match (self.state, peer) {
            (State::Initialising | State::Closed, State::InitWait) => {
                self.state = State::Initialising;
                Action::Offer
            }
            (State::Initialised, State::Connected) if self.link == Link::None => {
                self.link = Link::Wanted;
                Action::Link
            }
            // A back end that begins anew has forgotten the rings.
            (_, State::Initialising | State::InitWait) if self.link != Link::None => self.unlink(State::Closed),
            (State::Connected, State::Reconfiguring) => {
                self.state = State::Reconfiguring;
                Action::Nothing
            }
            (State::Reconfiguring, State::Reconfigured) => Action::Reconfigure,
            _ => Action::Nothing,
        }
    }

    fn unlink(&mut self, state: State) -> Action {
        self.state = state;
        self.link = Link::None;
        Action::Unlink
    }

    /// The driver has done [`Action::Offer`].
    pub fn offered(&mut self) {
        if self.leaves {
            return;
        }
        self.state = match (self.side, self.state) {
            (Side::Back, State::Initialising | State::Closed) => State::InitWait,
            (Side::Front, State::Initialising) => State::Initialised,
            (_, other) => other,
        };
    }

    /// The driver has done [`Action::Link`]. Not so if it was told to let go meanwhile.
    pub fn linked(&mut self) {
        if self.link == Link::Wanted {
            self.link = Link::Made;
            self.state = if self.leaves { State::Closing } else { State::Connected };
        }
    }

    /// The driver could not do [`Action::Link`], or cannot go on: an error that a peer is guilty of, or a device that is
    /// taken away. It lets go of everything.
    pub fn failed(&mut self) -> Action {
        let state = if self.side == Side::Back && !self.leaves { State::Closing } else { State::Closed };
        self.unlink(state)
    }

    /// The back end changes what is below a device in use. Nothing comes of it if it is not in use.
    pub fn reconfigure(&mut self) {
        if self.side == Side::Back && self.state == State::Connected {
            self.state = State::Reconfiguring;
        }
    }

    /// The driver has done [`Action::Reconfigure`].
    pub fn reconfigured(&mut self) {
        if self.state == State::Reconfiguring {
            self.state = if self.side == Side::Back { State::Reconfigured } else { State::Connected };
        }
    }
}
