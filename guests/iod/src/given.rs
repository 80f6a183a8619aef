//! Which disks and network cards each guest has. At first the loader's tree says so; from then on xenstore does, in nodes of
//! ours, because devices come and go while guests run, and our next life has to know.
//!
//! `given/DOMAIN/KIND/NUMBER` below our own home has the description, in the words of the loader's tree.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hyp_pvio::description::{Disk, Nic};

use crate::device::{DISK, Identity, NIC};
use crate::plan::Guest;
use crate::store::Store;

/// Addresses of cards that nobody chose one for are in Xen's own range, as its tools use it: of this guest and this number.
fn address(domain: u16, number: u32) -> String {
    format!("00:16:3e:00:{:02x}:{:02x}", domain & 0xff, number & 0xff)
}

/// A card, and the address that it gets if nobody chose one.
pub(crate) fn addressed(nic: &Nic, domain: u16, number: u32) -> Nic {
    let chosen = nic.address.clone().unwrap_or_else(|| address(domain, number));
    Nic { address: Some(chosen), ..nic.clone() }
}

fn home(own: u16, domain: u16) -> String {
    format!("/local/domain/{own}/given/{domain}")
}

fn path(own: u16, identity: &Identity) -> String {
    format!("{}/{}/{}", home(own, identity.domain), identity.kind, identity.number)
}

/// Notes that a guest has a device.
pub(crate) fn note(store: &mut Store, own: u16, identity: &Identity, description: &str) {
    store.write(&path(own, identity), description);
}

/// Notes that it has it no longer.
pub(crate) fn strike(store: &mut Store, own: u16, identity: &Identity) {
    store.remove(&path(own, identity));
}

/// What a guest has: its disks, and its cards with their numbers. What the tree says is noted, if nothing is yet.
pub(crate) fn of(store: &mut Store, own: u16, guest: &Guest) -> (Vec<Disk>, Vec<(u32, Nic)>) {
    let home = home(own, guest.domain);
    if store.read(&home).is_none() {
        let nics = (0..).zip(&guest.nics).map(|(number, nic)| (number, addressed(nic, guest.domain, number)));
        let (disks, nics) = (guest.disks.clone(), nics.collect::<Vec<_>>());
        store.make(&home);
        let identity = |kind, number| Identity { domain: guest.domain, kind, number };
        disks.iter().for_each(|disk| note(store, own, &identity(DISK, disk.number), &format!("{disk}")));
        nics.iter().for_each(|(number, nic)| note(store, own, &identity(NIC, *number), &format!("{nic}")));
        return (disks, nics);
    }
    let mut all = |kind: &str| -> Vec<(u32, String)> {
        let folder = format!("{home}/{kind}");
        let numbers: Vec<u32> = store.directory(&folder).iter().filter_map(|name| name.parse().ok()).collect();
        let text = |number: u32| Some((number, String::from_utf8(store.read(&format!("{folder}/{number}"))?).ok()?));
        numbers.into_iter().filter_map(text).collect()
    };
    // They are our own words.
    let disks = all(DISK).iter().filter_map(|(_, text)| Disk::parse(text).ok()).collect();
    let nics = all(NIC).iter().filter_map(|(number, text)| Some((*number, Nic::parse(text).ok()?))).collect();
    (disks, nics)
}
