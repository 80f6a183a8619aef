//! How a scenario shares CPU time: which scheduler the hypervisor uses, and what a guest's vCPUs are promised. Figures are
//! passed on as they are, good or bad: it is the hypervisor that says what is wrong with them.

use serde::Deserialize;

/// The scheduler of vCPUs that nothing is promised (option `sched` of the hypervisor).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheduler {
    /// Credit, accounted by time stamps.
    Client,
    /// Credit as it was in 2008, accounted by a tick.
    Stock,
    /// Earliest deadline first as in Xen 3.
    Sedf,
}

impl Scheduler {
    /// It is only in the image to compare with.
    pub(crate) fn is_for_comparison(self) -> bool {
        !matches!(self, Self::Client)
    }

    /// Its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Stock => "stock",
            Self::Sedf => "sedf",
        }
    }
}

/// The class of a guest's vCPUs (`makuhari,sched`).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words of the device-tree binding")]
pub(crate) enum Class {
    Pinned,
    Reserve,
    Credit,
    Sedf,
}

impl Class {
    /// Its word in the device tree.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Reserve => "reserve",
            Self::Credit => "credit",
            Self::Sedf => "sedf",
        }
    }
}
