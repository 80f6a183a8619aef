//! From a loader's device tree to guests that can start.
//!
//! A loader hands over one device tree: what the machine is, and under `/chosen` which guests it shall run, in the words
//! of Xen's dom0less bindings. Everything between that blob and the first guest instruction that is pure thinking lives
//! here, away from the hardware, so that all of it runs (and is fuzzed) on the host:
//!
//! 1. [`machine`] reads memory, CPUs, interrupt controller, timer and console;
//! 2. [`manifest`] reads the guests and refuses what cannot work, naming the node and the fix;
//! 3. [`plan`] gives every guest its memory;
//! 4. [`image`] (and for x86 guests [`pvh`]) says where kernel, device tree and ramdisk go in it, and [`gzip`]
//!    unpacks a kernel that is packed;
//! 5. [`devices`] are found in the partial trees that give them, and [`assigned`] says what an x86 guest has of the machine's;
//! 6. [`guest_tree`] writes the tree that the guest reads, with what a [`partial`] tree adds and random bytes from
//!    [`entropy`], and [`guest_tables`] what an x86 guest reads instead.
//!
//! The tree comes from outside. Nothing in this crate panics on a damaged one, and nothing allocates: what is returned
//! borrows its strings from the blob.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod assigned;
pub mod devices;
pub mod entropy;
mod error;
pub mod guest_tables;
pub mod guest_tree;
pub mod gzip;
pub mod image;
mod inflate;
mod limits;
pub mod machine;
pub mod manifest;
pub mod partial;
pub mod plan;
pub mod pvh;
mod region;
mod tree;
pub mod words;
mod writer;

pub use error::{BootError, Owner};
pub use region::Region;
pub use tree::{Path, StringList, blob_size};
