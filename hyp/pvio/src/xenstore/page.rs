//! The page through which a guest talks with the server.

use xen_abi::io::xs_wire::{
    XENSTORE_CONNECTED, XENSTORE_CONNECTION, XENSTORE_ERROR, XENSTORE_ERROR_COMM, XENSTORE_ERROR_PROTO,
    XENSTORE_ERROR_RINGIDX, XENSTORE_RECONNECT, XENSTORE_REQ, XENSTORE_REQ_CONS, XENSTORE_REQ_PROD, XENSTORE_RING_SIZE,
    XENSTORE_RSP, XENSTORE_RSP_CONS, XENSTORE_RSP_PROD, XENSTORE_SERVER_FEATURE_ERROR,
    XENSTORE_SERVER_FEATURE_RECONNECTION, XENSTORE_SERVER_FEATURES,
};

use super::wire::Fault;
use crate::memory::SharedMemory;
use crate::stream::{Place, Reader, Writer};

const REQUESTS: Place = Place {
    data: XENSTORE_REQ,
    size: XENSTORE_RING_SIZE as u32,
    consumer: XENSTORE_REQ_CONS,
    producer: XENSTORE_REQ_PROD,
};
const RESPONSES: Place = Place {
    data: XENSTORE_RSP,
    size: XENSTORE_RING_SIZE as u32,
    consumer: XENSTORE_RSP_CONS,
    producer: XENSTORE_RSP_PROD,
};

/// One end of a page: what comes in and what goes out.
pub struct Page<M> {
    pub(super) reader: Reader<M>,
    pub(super) writer: Writer<M>,
}

impl<M: SharedMemory> Page<M> {
    /// Tells the peer what was taken and put. Whether it is to be notified: there is something new.
    pub(super) fn show(&mut self) -> bool {
        self.writer.show() | self.reader.show()
    }

    /// What was taken and put.
    pub(super) const fn indices(&self) -> [u32; 2] {
        [self.reader.index(), self.writer.index()]
    }

    /// Goes on at these, whatever the page says.
    pub(super) fn set_indices(&mut self, [taken, put]: [u32; 2]) {
        self.reader.set_index(taken);
        self.writer.set_index(put);
    }
}

/// The server's end of a page of at least 4096 bytes; says there what the server can do.
pub fn server_page<M: SharedMemory + Copy>(memory: M) -> Page<M> {
    memory.store(XENSTORE_SERVER_FEATURES, XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR);
    Page { reader: Reader::attach(memory, REQUESTS), writer: Writer::attach(memory, RESPONSES) }
}

/// The guest's end of a page of at least 4096 bytes.
pub fn client_page<M: SharedMemory + Copy>(memory: M) -> Page<M> {
    Page { reader: Reader::attach(memory, RESPONSES), writer: Writer::attach(memory, REQUESTS) }
}

/// Whether the guest asks for an empty page, because a kernel in it begins anew (kexec).
pub fn wants_reset<M: SharedMemory>(memory: M) -> bool {
    memory.load(XENSTORE_CONNECTION) == XENSTORE_RECONNECT
}

/// Empties the page and says that it is in use again. The server introduces the guest anew, and makes a new end.
pub fn reset<M: SharedMemory>(memory: M) {
    for index in [XENSTORE_REQ_CONS, XENSTORE_REQ_PROD, XENSTORE_RSP_CONS, XENSTORE_RSP_PROD, XENSTORE_ERROR] {
        memory.store(index, 0);
    }
    memory.store(XENSTORE_CONNECTION, XENSTORE_CONNECTED);
}

/// Tells the guest why the server listens no longer.
pub fn disconnect<M: SharedMemory>(memory: M, fault: Fault) {
    let error = match fault {
        Fault::Stream(_) => XENSTORE_ERROR_RINGIDX,
        Fault::Length { .. } => XENSTORE_ERROR_PROTO,
        Fault::Answer { .. } => XENSTORE_ERROR_COMM,
    };
    memory.store(XENSTORE_ERROR, error);
}
