//! What a guest has in common with an I/O domain, in every life of the guest anew.
//!
//! The manifest gives them two pages and two channels, which outlive both; what stands in the pages does not. Each life
//! finds them empty, with the mark by which xenstore's protocol says that the two are not connected: the I/O domain takes
//! the mark away when it has forgotten the life before, and the guest waits for that. It hears of the mark by the channel.

use core::sync::atomic::Ordering;

use xen_abi::hvm::{HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN};
use xen_abi::io_domain::{CONSOLE_PORT, STORE_CONNECTION, STORE_PORT, STORE_RECONNECT};

use crate::arch::Arch;
use crate::cpu::Local;
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;

/// The word of xenstore's page that has the mark, and the mark in it.
const MARKED: usize = STORE_CONNECTION as usize / 8;
const MARK: u64 = (STORE_RECONNECT as u64) << (STORE_CONNECTION % 8 * 8);

impl<A: Arch> Hypervisor<A> {
    /// Disconnects a guest from the I/O domain: at the start of a life, and at its end.
    pub(crate) fn disconnect(&self, domain: &Domain<A>) {
        let Some([console, store]) = self.arch.io_pages(domain.arch()) else { return };
        console.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        (0..).zip(store).for_each(|(at, word)| word.store(if at == MARKED { MARK } else { 0 }, Ordering::Relaxed));
        let params = [
            (HVM_PARAM_CONSOLE_PFN, A::IO_FRAME),
            (HVM_PARAM_CONSOLE_EVTCHN, CONSOLE_PORT.into()),
            (HVM_PARAM_STORE_PFN, A::IO_FRAME + 1),
            (HVM_PARAM_STORE_EVTCHN, STORE_PORT.into()),
        ];
        for (index, value) in params {
            if let Some(param) = domain.params.get(index as usize) {
                param.store(value, Ordering::Relaxed);
            }
        }
    }

    /// The same while others run, so that the I/O domain is told.
    pub(crate) fn disconnect_and_tell(&self, local: &mut Local, domain: &Domain<A>) {
        self.disconnect(domain);
        if self.arch.io_pages(domain.arch()).is_some() {
            self.deliver(local, domain.id(), |ports| ports.target(domain.id(), STORE_PORT).ok().flatten());
        }
    }
}
