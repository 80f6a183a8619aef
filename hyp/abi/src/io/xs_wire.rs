//! Messages of xenstore, and the page through which a guest sends them.
//!
//! Source: `public/io/xs_wire.h`; what the messages say is in Xen's `docs/misc/xenstore.txt`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::errno::Errno;

/// Orders to the server itself.
pub const XS_CONTROL: u32 = 0;
/// Names of a node's children.
pub const XS_DIRECTORY: u32 = 1;
/// A node's value.
pub const XS_READ: u32 = 2;
/// A node's permissions.
pub const XS_GET_PERMS: u32 = 3;
/// Tell of changes.
pub const XS_WATCH: u32 = 4;
/// Tell no longer.
pub const XS_UNWATCH: u32 = 5;
/// Begin a transaction.
pub const XS_TRANSACTION_START: u32 = 6;
/// Commit or drop it.
pub const XS_TRANSACTION_END: u32 = 7;
/// A domain is there.
pub const XS_INTRODUCE: u32 = 8;
/// A domain is gone.
pub const XS_RELEASE: u32 = 9;
/// Where a domain's nodes are.
pub const XS_GET_DOMAIN_PATH: u32 = 10;
/// Set a node's value.
pub const XS_WRITE: u32 = 11;
/// Make a node.
pub const XS_MKDIR: u32 = 12;
/// Remove a node and what is below.
pub const XS_RM: u32 = 13;
/// Set a node's permissions.
pub const XS_SET_PERMS: u32 = 14;
/// From the server: something changed.
pub const XS_WATCH_EVENT: u32 = 15;
/// From the server: the request failed.
pub const XS_ERROR: u32 = 16;
/// Is a domain there?
pub const XS_IS_DOMAIN_INTRODUCED: u32 = 17;
/// Tell again when a domain stops.
pub const XS_RESUME: u32 = 18;
/// Let a domain act for another.
pub const XS_SET_TARGET: u32 = 19;
/// Forget the sender's watches and transactions.
pub const XS_RESET_WATCHES: u32 = 21;
/// Names of children from an offset on, where they are too long for one message.
pub const XS_DIRECTORY_PART: u32 = 22;

/// Most bytes of a message after its header.
pub const XENSTORE_PAYLOAD_MAX: usize = 4096;
/// Most bytes of a path from the root.
pub const XENSTORE_ABS_PATH_MAX: usize = 3072;
/// Most bytes of a path from the domain's own node.
pub const XENSTORE_REL_PATH_MAX: usize = 2048;

/// Bytes of each stream in the page.
pub const XENSTORE_RING_SIZE: usize = 1024;
/// Where the guest's requests are.
pub const XENSTORE_REQ: usize = 0;
/// Where replies and events are.
pub const XENSTORE_RSP: usize = 1024;
/// Where the server's index of what it has read is (`u32`).
pub const XENSTORE_REQ_CONS: usize = 2048;
/// Where the guest's index of what it has written is (`u32`).
pub const XENSTORE_REQ_PROD: usize = 2052;
/// Where the guest's index of what it has read is (`u32`).
pub const XENSTORE_RSP_CONS: usize = 2056;
/// Where the server's index of what it has written is (`u32`).
pub const XENSTORE_RSP_PROD: usize = 2060;
/// Where the server says what it can do (`u32`, `XENSTORE_SERVER_FEATURE_*`).
pub const XENSTORE_SERVER_FEATURES: usize = 2064;
/// Where both say whether they are connected (`u32`).
pub const XENSTORE_CONNECTION: usize = 2068;
/// Where the server says why it disconnected (`u32`, `XENSTORE_ERROR_*`).
pub const XENSTORE_ERROR: usize = 2072;

/// The server can begin anew with a ring.
pub const XENSTORE_SERVER_FEATURE_RECONNECTION: u32 = 1;
/// The page has the field for errors.
pub const XENSTORE_SERVER_FEATURE_ERROR: u32 = 2;

/// In use.
pub const XENSTORE_CONNECTED: u32 = 0;
/// The guest asks to begin anew.
pub const XENSTORE_RECONNECT: u32 = 1;

/// No error.
pub const XENSTORE_ERROR_NONE: u32 = 0;
/// The connection failed.
pub const XENSTORE_ERROR_COMM: u32 = 1;
/// An index of the ring is not possible.
pub const XENSTORE_ERROR_RINGIDX: u32 = 2;
/// A message is not possible.
pub const XENSTORE_ERROR_PROTO: u32 = 3;

/// The errors that a reply can name, which it does by their names as text (`xsd_errors`).
pub static XSD_ERRORS: [Errno; 16] = [
    Errno::EINVAL,
    Errno::EACCES,
    Errno::EEXIST,
    Errno::EISDIR,
    Errno::ENOENT,
    Errno::ENOMEM,
    Errno::ENOSPC,
    Errno::EIO,
    Errno::ENOTEMPTY,
    Errno::ENOSYS,
    Errno::EROFS,
    Errno::EBUSY,
    Errno::EAGAIN,
    Errno::EISCONN,
    Errno::E2BIG,
    Errno::EPERM,
];

/// What every message begins with (`struct xsd_sockmsg`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sockmsg {
    /// `XS_*`.
    pub kind: u32,
    /// The sender's number for the request, which the reply repeats.
    pub req_id: u32,
    /// The transaction; 0 is none.
    pub tx_id: u32,
    /// Bytes that follow.
    pub len: u32,
}
