//! Paravirtual devices between guests, without a device and without a hypervisor.
//!
//! A guest's disk, console and network are pages that it shares with another guest, the I/O domain, and a tree of text
//! through which both find each other. All of it has been Xen's public interface for twenty years, so stock kernels
//! bring their halves; this crate has ours: what the I/O domain's back ends need, and what our bare guests' front ends
//! need. It is linked into guests and tests and never at EL2, which `cargo xtask lint` proves.
//!
//! Either side may be hostile. So every module here is a pure state machine, which gets its memory through
//! [`memory::SharedMemory`] and does no hypercalls: what a peer wrote is copied out once, checked, and given on as a
//! value that keeps its promises; what cannot be true ends the connection with an error that says what was wrong.
//! Nothing that a peer does makes it panic, loop without an end, or use memory without a bound.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod block;
pub mod command;
pub mod console;
pub mod description;
pub mod directory;
pub mod display;
pub mod events;
pub mod keyboard;
pub mod memory;
pub mod network;
pub mod nodes;
mod order;
pub mod ring;
pub mod sound;
pub mod stream;
pub mod xenbus;
pub mod xenstore;
