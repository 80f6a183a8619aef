//! Grants: pages that a domain lets another one map or copy.
//!
//! A domain writes into its grant table, a page that it shares with the hypervisor, whom it lets do what with which of
//! its frames. The table is the guest's to change at any moment, also while we read it: an entry is one word that is
//! read once, checked, and marked by an atomic exchange, which fails if anything in it has changed.
//!
//! What is in use is written down twice, each time by the domain that pays for it: the granting domain has a *pin* for
//! each of its entries that somebody uses ([`pins`]), the using domain a *mapping* for each page that it has mapped
//! ([`mappings`]). Both tables are of fixed size and each domain has its own, so that no guest can use up another's. A
//! pin keeps the frame that the entry named when it was first used; a frame is a page of the granting domain's own RAM,
//! for good (`memory::physmap`), so that nothing has to be kept alive for a pin but the domain itself.
//!
//! # When a domain ends
//!
//! Its own mappings are taken away and its pins of others' entries given back, in steps. Pages that others have mapped
//! of it stay as they are as long as its memory does, that is, if it does not start again. If it does, its memory
//! becomes that of its next life, and no one may reach into that: each such mapping is *revoked*, which means that the
//! page of the mapping domain leads to a spare page of that domain's own from then on. So the mapping domain never
//! faults for what another one did, a domain that wants to start again never waits for another one to let go, and the
//! number of steps is bounded by the sizes of the tables. A revoked mapping still has to be unmapped by its owner, which
//! works as ever.

pub mod mappings;
pub mod pins;
pub mod sharing;

use mappings::Mappings;
use pins::Pins;

/// What one domain grants and has been granted.
pub struct Grants {
    /// Entries of its own table that somebody uses.
    pub pins: Pins,
    /// Pages of others that it has mapped.
    pub mappings: Mappings,
}

impl Grants {
    /// Nothing; all zeros, so that it costs nothing in the image.
    pub const fn new() -> Self {
        Self { pins: Pins::new(), mappings: Mappings::new() }
    }
}

impl Default for Grants {
    fn default() -> Self {
        Self::new()
    }
}
