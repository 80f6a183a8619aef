//! Event channels that are there before guests run (Xen's static ones).
//!
//! The manifest names both ends, so that nobody has to be asked. They outlive the lives of their guests: a guest that
//! starts again, or resets its channels, finds them as they were; and it cannot close one, as it could not open it again.

use heapless::Vec;

use super::Port;
use crate::arch::Arch;
use crate::domain::DomainId;
use crate::hypervisor::Hypervisor;
use crate::limits::MAX_FIXED_CHANNELS;
use crate::sync::Held;

/// One end of a channel, and where the other is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedChannel {
    /// Whose end it is.
    pub domain: DomainId,
    /// Its port.
    pub port: Port,
    /// Whose the other end is.
    pub remote: DomainId,
    /// The port there.
    pub remote_port: Port,
}

/// The ends of all.
pub type FixedChannels = Vec<FixedChannel, MAX_FIXED_CHANNELS>;

impl<A: Arch> Hypervisor<A> {
    /// Makes the channels, each of which is there from both ends. Once, when all domains are there and none runs.
    pub fn fix_channels(&self, channels: FixedChannels) {
        let held = Held::new();
        let channels = self.fixed.call_once(|| channels);
        channels.iter().for_each(|end| self.fix(&held, end));
    }

    /// Has the domain's port been there before it ran?
    pub(crate) fn is_fixed(&self, id: DomainId, port: u32) -> bool {
        let mut channels = self.fixed.get().into_iter().flatten();
        channels.any(|end| end.domain == id && u32::from(end.port) == port)
    }

    /// Makes a domain's channels anew, which has closed all of its ports.
    pub(crate) fn fix_again(&self, held: &Held, id: DomainId) {
        let channels = self.fixed.get().into_iter().flatten();
        channels.filter(|end| end.domain == id).for_each(|end| self.fix(held, end));
    }

    fn fix(&self, held: &Held, end: &FixedChannel) {
        // Fails only for a number that no domain can have.
        let Ok((mut mine, mut theirs)) = self.both(held, end.domain, end.remote) else { return };
        mine.fix(end.port, end.remote, end.remote_port);
        theirs.as_deref_mut().unwrap_or(&mut mine).fix(end.remote_port, end.domain, end.port);
    }
}
