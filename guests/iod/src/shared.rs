//! Pages that guests grant, as the protocols want memory.

use alloc::rc::Rc;

use hyp_pvio::memory::SharedMemory;
use rt::foreign::{MapError, Mapping};
use rt::virtio::Buffer;
use rt::window::Window;

use crate::grants::Way;

/// Pages that a guest granted. They are unmapped when the last copy of this is gone.
#[derive(Clone)]
pub(crate) struct Granted {
    window: Window,
    _mapping: Rc<Mapping>,
}

impl Granted {
    /// Maps pages of a guest, in this order, to be read and written.
    ///
    /// # Errors
    /// One of the grants cannot be mapped.
    pub(crate) fn map(domain: u16, references: &[u32]) -> Result<Self, MapError> {
        let mapping = Mapping::new(domain, references, false)?;
        Ok(Self { window: mapping.window(), _mapping: Rc::new(mapping) })
    }

    /// Copies between the pages, from byte `offset` on, and bytes of a buffer from `at` on. What is in neither is left.
    pub(crate) fn copy(&self, offset: usize, buffer: &mut Buffer, at: usize, bytes: usize, way: Way) {
        let Some(part) = buffer.bytes_mut().get_mut(at..at + bytes) else { return };
        match way {
            Way::In => self.window.read(offset, part),
            Way::Out => self.window.write(offset, part),
        }
    }
}

impl SharedMemory for Granted {
    fn size(&self) -> usize {
        self.window.size()
    }

    fn load(&self, offset: usize) -> u32 {
        self.window.load(offset)
    }

    fn store(&self, offset: usize, value: u32) {
        self.window.store(offset, value);
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        self.window.read(offset, into);
    }

    fn write(&self, offset: usize, from: &[u8]) {
        self.window.write(offset, from);
    }

    fn fence(&self) {
        self.window.fence();
    }
}
