//! Access control.
//!
//! Each hypercall handler wants a [`Decision`], and only this module can make one: a handler that forgets to ask does not
//! compile. Rights come from the manifest, one bit for each group of calls; whatever is not allowed is denied. Two
//! domains may join event channels when either names the other as its peer.

use bitflags::bitflags;
use xen_abi::errno::Errno;

use crate::domain::DomainId;

bitflags! {
    /// Groups of hypercalls that a domain may make (`makuhari,allow` in its manifest).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u16 {
        /// `xen_version`.
        const VERSION = 1 << 0;
        /// `console_io`.
        const CONSOLE = 1 << 1;
        /// `sched_op`.
        const SCHED = 1 << 2;
        /// `event_channel_op`.
        const EVENTS = 1 << 3;
        /// `vcpu_op`.
        const VCPU = 1 << 4;
        /// `hvm_op`.
        const PARAMS = 1 << 5;
        /// `memory_op`.
        const MEMORY = 1 << 6;
        /// What Xen keeps for its control domain: ending other domains, reading and setting their parameters. Not among
        /// [`Rights::GUEST`].
        const CONTROL = 1 << 7;
        /// Not a group of calls: who has [`Rights::CONTROL`] may copy this domain's pages although none was granted. For a
        /// frame buffer, whose protocol is older than grants.
        const FRAMES = 1 << 8;
    }
}

impl Rights {
    /// All that a guest may do to itself.
    pub const GUEST: Self = Self::all().difference(Self::CONTROL.union(Self::FRAMES));
}

/// Every domain there can be, as a set of peers: what `xsm=dummy` gives to each.
pub const ANYBODY: u32 = u32::MAX;

/// Proof that the policy was asked and said yes. It costs nothing at run time.
#[must_use = "a decision is there to be handed to the operation it allows"]
pub struct Decision(());

/// May a domain with these rights make calls of this group?
///
/// # Errors
/// `EPERM` when it may not.
#[inline(always)]
pub fn check(rights: Rights, wanted: Rights) -> Result<Decision, Errno> {
    if rights.contains(wanted) { Ok(Decision(())) } else { Err(Errno::EPERM) }
}

/// May a domain with these rights do to another domain what is the control domain's to do? To itself it may do it anyway.
///
/// # Errors
/// `EPERM` when it may not.
pub fn check_control(rights: Rights, me: DomainId, other: DomainId) -> Result<Decision, Errno> {
    if me == other { Ok(Decision(())) } else { check(rights, Rights::CONTROL) }
}

/// May a domain with these rights copy pages of one with those, although none was granted?
///
/// # Errors
/// `EPERM` when it may not.
pub fn check_frames(rights: Rights, owner: Rights) -> Result<Decision, Errno> {
    check(owner, Rights::FRAMES).and(check(rights, Rights::CONTROL))
}

/// May these two domains share an event channel? A domain and itself always may.
///
/// # Errors
/// `EPERM` when neither names the other.
pub fn check_peers(one: (DomainId, u32), other: (DomainId, u32)) -> Result<Decision, Errno> {
    let names = |peers: u32, id: DomainId| peers.checked_shr(id.index() as u32).unwrap_or(0) & 1 != 0;
    if one.0 == other.0 || names(one.1, other.0) || names(other.1, one.0) {
        Ok(Decision(()))
    } else {
        Err(Errno::EPERM)
    }
}

#[cfg(test)]
mod tests {
    use super::{ANYBODY, Rights, check, check_control, check_frames, check_peers};
    use crate::domain::DomainId;

    #[test]
    fn what_is_not_allowed_is_denied() {
        assert!(check(Rights::empty(), Rights::VERSION).is_err());
        assert!(check(Rights::all() - Rights::SCHED, Rights::SCHED).is_err());
        assert!(check(Rights::SCHED, Rights::SCHED).is_ok());
    }

    #[test]
    fn one_side_is_enough() {
        let (one, two, three) = (DomainId::from_index(0), DomainId::from_index(1), DomainId::from_index(2));
        assert!(check_peers((one, 0b010), (two, 0)).is_ok());
        assert!(check_peers((two, 0), (one, 0b010)).is_ok());
        assert!(check_peers((one, 0b010), (three, 0)).is_err());
        assert!(check_peers((three, 0), (three, 0)).is_ok());
        assert!(check_peers((one, ANYBODY), (three, 0)).is_ok());
    }

    #[test]
    fn frames_are_for_the_control_domain_where_their_owner_has_a_frame_buffer() {
        let (guest, control) = (Rights::GUEST, Rights::GUEST | Rights::CONTROL);
        assert!(check_frames(control, guest).is_err());
        assert!(check_frames(guest, guest | Rights::FRAMES).is_err());
        assert!(check_frames(control, guest | Rights::FRAMES).is_ok());
    }

    #[test]
    fn control_of_others_is_nobodys_by_default() {
        let (one, two) = (DomainId::from_index(0), DomainId::from_index(1));
        assert!(check_control(Rights::GUEST, one, two).is_err());
        assert!(check_control(Rights::GUEST, one, one).is_ok());
        assert!(check_control(Rights::GUEST | Rights::CONTROL, one, two).is_ok());
    }
}
