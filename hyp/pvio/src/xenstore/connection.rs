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
    last: u32,
}

impl Connection {
    pub(super) fn new(caller: Caller) -> Self {
        Self {
            caller,
            watches: Watches::default(),
            transactions: BTreeMap::new(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            last: 0,
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
        self.watches = Watches::default();
        self.transactions.clear();
    }
}
