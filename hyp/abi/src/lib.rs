//! Wire types and numbers of Xen's public guest ABI, version 4.17.
//!
//! Guests, hypervisor and host tools must agree on every number and every byte, so these are written down once, here,
//! and nothing else is: no behaviour, no state. One module for each public header, under the header's own name; a
//! constant has the header's name in capitals. Layouts are those of a little-endian 64-bit ARM guest, and, but for what
//! [`arch_x86`] has, those of an x86-64 guest too, with the padding that the C compiler would add written out. `tests/abi` compares all of it with the real headers,
//! but for [`io_domain`], which is ours.
#![no_std]
#![forbid(unsafe_code)]

pub mod arch_arm;
pub mod arch_x86;
pub mod console;
pub mod domctl;
pub mod domid;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod grant_table;
pub mod hvm;
pub mod hypercall;
#[cfg(feature = "io")]
pub mod io;
pub mod io_domain;
pub mod memory;
pub mod sched;
pub mod shared_info;
pub mod start_info;
pub mod vcpu;
pub mod version;
pub mod virq;
pub mod vm_assist;
