//! One guest's side of the server: its watches, its transactions, its messages under way.

use alloc::collections::BTreeMap;

use xen_abi::errno::Errno;

use super::permissions::Caller;
use super::quota::Quota;
use super::transaction::Transaction;
use super::watch::Watches;
use super::wire::{Incoming, Outgoing};

/// A guest that was introduced.
pub(super) struct Connection {
    pub(super) caller: Caller,
    pub(super) watches: Watches,
    pub(super) transactions: BTreeMap<u32, Transaction>,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// What was taken from the guest's page and put there.
    pub(super) indices: [u32; 2],
    /// The number of the transaction begun last.
    pub(super) last: u32,
    /// Something of this but the watches is not as it was kept.
    pub(super) changed: bool,
}

impl Connection {
    pub(super) fn new(caller: Caller) -> Self {
        Self {
            caller,
            watches: Watches::anew(),
            transactions: BTreeMap::new(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            indices: [0; 2],
            last: 0,
            changed: true,
        }
    }

    /// Begins a transaction; its number is not 0 and none in use.
    ///
    /// # Errors
    /// `ENOSPC` beyond the quota.
    pub(super) fn start(&mut self, quota: &Quota) -> Result<u32, Errno> {
        if !self.caller.privileged && self.transactions.len() >= quota.transactions {
            return Err(Errno::ENOSPC);
        }
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.transactions.contains_key(&self.last) {
                self.transactions.insert(self.last, Transaction::new(quota));
                return Ok(self.last);
            }
        }
    }

    /// Forgets watches and transactions.
    pub(super) fn forget(&mut self) {
        self.watches = Watches::anew();
        self.transactions.clear();
    }
}
