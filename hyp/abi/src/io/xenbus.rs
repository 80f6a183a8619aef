//! How far each end of a device has come: the number in its node `state`.
//!
//! Source: `public/io/xenbus.h`.

/// There is no such node, or nothing in it.
pub const XENBUS_STATE_UNKNOWN: u32 = 0;
/// The device is there and its driver has not looked yet.
pub const XENBUS_STATE_INITIALISING: u32 = 1;
/// The back end has said what it can do, and waits for the front end.
pub const XENBUS_STATE_INIT_WAIT: u32 = 2;
/// The front end has said where its rings are, and waits for the back end.
pub const XENBUS_STATE_INITIALISED: u32 = 3;
/// In use.
pub const XENBUS_STATE_CONNECTED: u32 = 4;
/// Being closed, because of an error or because the device goes away.
pub const XENBUS_STATE_CLOSING: u32 = 5;
/// Closed.
pub const XENBUS_STATE_CLOSED: u32 = 6;
/// Devices below this one come or go.
pub const XENBUS_STATE_RECONFIGURING: u32 = 7;
/// They have come or gone.
pub const XENBUS_STATE_RECONFIGURED: u32 = 8;
