//! The `pinned` class: a vCPU that has its CPU to itself.
//!
//! Where the CPU is somebody's, no other vCPU is put, so there is nothing to choose: it runs whenever it has something to
//! do. What is left is to see that it comes before whoever is on the CPU for a moment, such as before it was given away.

use crate::vcpu::{VcpuId, members};

/// The vCPUs that own a CPU; there is one at most, unless somebody errs.
#[derive(Default)]
pub struct Pinned {
    known: u32,
    awake: u32,
}

impl Pinned {
    /// Nobody.
    pub const fn new() -> Self {
        Self { known: 0, awake: 0 }
    }

    /// There is nobody.
    pub fn is_empty(&self) -> bool {
        self.known == 0
    }

    /// This one is of the class.
    pub fn has(&self, vcpu: VcpuId) -> bool {
        self.known & vcpu.bit() != 0
    }

    /// A vCPU joins, blocked.
    pub fn add(&mut self, vcpu: VcpuId) {
        self.known |= vcpu.bit();
    }

    /// A vCPU leaves.
    pub fn remove(&mut self, vcpu: VcpuId) {
        self.known &= !vcpu.bit();
        self.awake &= !vcpu.bit();
    }

    /// An event came for it.
    pub fn wake(&mut self, vcpu: VcpuId) {
        self.awake |= vcpu.bit() & self.known;
    }

    /// It waits for an event.
    pub fn block(&mut self, vcpu: VcpuId) {
        self.awake &= !vcpu.bit();
    }

    /// Who runs.
    pub fn pick(&self) -> Option<VcpuId> {
        members(self.awake).next()
    }
}
