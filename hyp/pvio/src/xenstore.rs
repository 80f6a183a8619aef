//! Xenstore: the tree of small texts through which guests find each other's devices.
//!
//! Every node has a value, permissions and children; guests read and write, watch for changes, and group operations in
//! transactions. The tree belongs to all guests, so whatever one of them does must cost it alone: each has quotas for
//! nodes, bytes, watches, transactions and undelivered events ([`Quota`]), and what is beyond them is refused by the
//! error that Xen's own server gives.
//!
//! Sources: `docs/misc/xenstore.txt` and `public/io/xs_wire.h` of Xen. From the wire inwards: [`Page`] and [`Message`],
//! requests, [`Server`], transactions, the tree; [`Client`] is the other end. [`Keeper`] is a server that survives its own
//! end, [`Manager`] the hand of who has the server in its own process.

mod bytes;
mod client;
mod connection;
mod keeper;
mod kept;
mod log;
mod manager;
mod operations;
mod page;
mod path;
mod permissions;
mod quota;
mod reply;
mod request;
mod server;
mod transaction;
mod tree;
mod watch;
mod wire;

pub use client::{Answer, Client};
pub use keeper::{Found, Keeper, Look, TooSmall};
pub use manager::Manager;
pub use page::{Page, client_page, disconnect, reset, server_page, wants_reset};
pub use permissions::Access;
pub use quota::Quota;
pub use server::{Served, Server};
pub use watch::Event;
pub use wire::{Fault, Message};
