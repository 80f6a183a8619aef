//! I/O domains: guests that serve the others' devices, as `makuhari,io-domain` has it.
//!
//! Which devices a guest is to have is no business of the hypervisor: an I/O domain reads that in the loader's tree, which
//! it gets as its ramdisk. The hypervisor gives it the rights it needs, and joins the first one with each guest that is to
//! have xenstore, by means that any two guests can have: shared memory and event channels that are there from the start.

use super::{Group, Manifest, Module};
use crate::machine::Host;
use crate::{BootError, Region};

impl<'a> Manifest<'a> {
    /// Gives I/O domains what they are to have. `tree` is the memory that the loader's tree takes.
    pub(super) fn join_io_domains(&mut self, host: &Host<'a>, tree: Region) -> Result<(), BootError<'a>> {
        for domain in self.domains.iter_mut().filter(|domain| domain.io_domain) {
            let (path, what) = (domain.path, ": its ramdisk is the device tree: remove this one");
            if domain.ramdisk.replace(Module { path, place: tree }).is_some() {
                return Err(BootError::BadNode { path, what });
            }
            (domain.allow, domain.peers) = (domain.allow.with(Group::Control), !0);
        }
        let (domains, base) = (&self.domains, host.banks.io_domain.start);
        let Some((server, spec)) = (0u8..).zip(domains).find(|(_, domain)| domain.io_domain) else { return Ok(()) };
        self.fixed.join_server(spec.path, server, base)?;
        let clients = (0u8..).zip(domains).filter(|(index, domain)| *index != server && domain.xenstore);
        for (client, spec) in clients {
            self.fixed.join_client(spec.path, client, server, base)?;
        }
        Ok(())
    }
}
