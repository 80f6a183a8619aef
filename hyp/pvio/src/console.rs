//! A guest's console: one page, a stream each way.
//!
//! There is nothing to negotiate but where the page is, which the hypervisor's parameters or xenstore say. Source:
//! `public/io/console.h`.

use xen_abi::io::console::{
    XENCONS_IN, XENCONS_IN_CONS, XENCONS_IN_PROD, XENCONS_IN_SIZE, XENCONS_OUT, XENCONS_OUT_CONS, XENCONS_OUT_PROD,
    XENCONS_OUT_SIZE,
};

use crate::memory::SharedMemory;
use crate::stream::{Place, Reader, Writer};

/// What is typed.
const IN: Place =
    Place { data: XENCONS_IN, size: XENCONS_IN_SIZE as u32, consumer: XENCONS_IN_CONS, producer: XENCONS_IN_PROD };
/// What is printed.
const OUT: Place =
    Place { data: XENCONS_OUT, size: XENCONS_OUT_SIZE as u32, consumer: XENCONS_OUT_CONS, producer: XENCONS_OUT_PROD };

/// One end of a console: what comes in, and what goes out. The peer is notified after each read or write that moved
/// bytes.
pub struct Console<M> {
    /// Bytes from the other end.
    pub reader: Reader<M>,
    /// Bytes to the other end.
    pub writer: Writer<M>,
}

/// The end that has the keyboard and the screen; a page of at least 4096 bytes.
pub fn back<M: SharedMemory + Copy>(memory: M) -> Console<M> {
    Console { reader: Reader::attach(memory, OUT), writer: Writer::attach(memory, IN) }
}

/// The guest's end; a page of at least 4096 bytes.
pub fn front<M: SharedMemory + Copy>(memory: M) -> Console<M> {
    Console { reader: Reader::attach(memory, IN), writer: Writer::attach(memory, OUT) }
}
