//! What a guest has in common with an I/O domain, in every life of the guest anew.
//!
//! The manifest gives them two pages and two channels, which outlive both; what stands in the pages does not. A life begins
//! with empty ones, and with the mark by which xenstore's protocol says that the two are not connected: the I/O domain takes
//! the mark away when it has forgotten the life before, and the guest waits for that. A life ends with the mark too, and
//! leaves the rest, because a guest's last words may be in its console's page. The I/O domain hears of both by the channel.

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
    /// Empties a guest's pages at the start of a life, and says where they are.
    #[inline(never)]
    pub(crate) fn connect_anew(&self, domain: &Domain<A>) {
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

    /// Tells the I/O domain that a life of a guest begins or has ended.
    #[inline(never)]
    pub(crate) fn tell_io_domain(&self, local: &mut Local, domain: &Domain<A>) {
        let Some([_, store]) = self.arch.io_pages(domain.arch()) else { return };
        if let Some(word) = store.get(MARKED) {
            word.store(MARK, Ordering::Release);
        }
        self.send_for(local, domain.id(), STORE_PORT);
    }
}
