//! Guests give up pages, take them back, and have the hypervisor's mapped.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_imports, reason = "tests, of all of one header")]

use fake::{Act, Machine};
use host_tests::grants::PAGE;
use host_tests::puppet::Stage;
use hyp_core::arch::{Exit, ShutdownReason};
use hyp_core::domain::DomainConfig;
use xen_abi::domid::DOMID_SELF as SELF;
use xen_abi::errno::Errno;
use xen_abi::hypercall::MEMORY_OP;
use xen_abi::memory::*;
use zerocopy::IntoBytes;

/// Pages of a guest of the in-memory machine.
const PAGES: u64 = 16;

fn two(machine: &Machine) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    for (name, peers) in [("one", 0b10), ("two", 0)] {
        stage.add(&DomainConfig { peers, ..DomainConfig::new(name) });
    }
    stage
}

#[test]
fn pages_go_and_come_back_where_they_were() {
    let machine = Machine::new(1);
    let mut stage = two(&machine);
    let home = |stage: &Stage<'_>, frame| Some((stage.home(0, frame), true));
    assert_eq!(stage.ask(0, XENMEM_CURRENT_RESERVATION, SELF), Ok(PAGES));
    assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[3, 9, 4], 0), 3);
    assert_eq!([3, 9, 4, 5].map(|frame| stage.place(0, frame)), [None, None, None, home(&stage, 5)]);
    assert_eq!(stage.ask(0, XENMEM_CURRENT_RESERVATION, SELF), Ok(PAGES - 3));
    assert_eq!(stage.ask(0, XENMEM_MAXIMUM_RESERVATION, SELF), Ok(PAGES));
    assert_eq!(stage.ask(0, XENMEM_MAXIMUM_GPFN, SELF), Ok(PAGES - 1));
    assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[5, 4, 6], 0), 1, "up to the first that is gone");
    assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[99], 0), 0, "no such page");
    assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[u64::MAX], 0), 0);
    assert_eq!(stage.reserve(0, XENMEM_POPULATE_PHYSMAP, &[3, 4, 5, 6], 0), 3, "up to the first that is there");
    assert_eq!(stage.reserve(0, XENMEM_POPULATE_PHYSMAP, &[99], 0), 0, "there is nothing else");
    assert_eq!(stage.reserve(0, XENMEM_INCREASE_RESERVATION, &[9], 0), 0);
    assert_eq!(stage.reserve(0, XENMEM_POPULATE_PHYSMAP, &[9], 0), 1);
    assert!((0..PAGES).all(|frame| stage.place(0, frame) == home(&stage, frame)));
    assert_eq!(stage.ask(0, XENMEM_CURRENT_RESERVATION, SELF), Ok(PAGES));
}

#[test]
fn large_extents_and_long_lists_are_done_in_pieces() {
    let machine = Machine::new(1);
    let mut stage = two(&machine);
    // More than one go has budget for.
    let many: Vec<u64> = (0..60).map(|n| 2 + n % 13).collect();
    for _ in 0..3 {
        assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &many[..13], 0), 13);
        assert_eq!(stage.reserve(0, XENMEM_POPULATE_PHYSMAP, &many, 0), 13);
    }
    assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[0, 8], 3), 2);
    assert_eq!(stage.ask(0, XENMEM_CURRENT_RESERVATION, SELF), Ok(0));
    assert_eq!(stage.reserve(0, XENMEM_POPULATE_PHYSMAP, &[8, 6], 2), 1, "the second ends at frame 8");
    assert_eq!(stage.ask(0, XENMEM_CURRENT_RESERVATION, SELF), Ok(6), "8 to 11 came, then 6 and 7");
    assert_eq!(stage.reserve(0, XENMEM_POPULATE_PHYSMAP, &[0], 10), 0, "larger than any extent");
    assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[12], 3), 0, "12 is not there, and 16 is none");
}

#[test]
fn a_long_list_in_a_list_of_calls_goes_on_where_it_was() {
    let machine = Machine::new(1);
    let mut stage = two(&machine);
    let (indices, frames): (Vec<u64>, Vec<u64>) = (0..50).map(|n| (n % 4, 0x400 + n)).unzip();
    stage.domain(0).put(0x2000, indices.as_bytes());
    stage.domain(0).put(0x3000, frames.as_bytes());
    stage.domain(0).put(0x5000, [7u32; 50].as_bytes());
    let batch = AddToPhysmapBatch {
        domid: SELF,
        space: XENMAPSPACE_GRANT_TABLE as u16,
        size: 50,
        foreign_domid: 0,
        idxs: 0x2000,
        gpfns: 0x3000,
        errs: 0x5000,
    };
    stage.domain(0).put(0x6000, batch.as_bytes());
    let entry = |operation: u32| [MEMORY_OP, 99, operation.into(), 0x6000, 0, 0, 0, 0];
    // The second reads the domain's number from the same place.
    let list = [entry(XENMEM_ADD_TO_PHYSMAP_BATCH), entry(XENMEM_CURRENT_RESERVATION)];
    stage.domain(0).put(0x7000, list.as_bytes());
    assert_eq!(stage.act(0, Act::call(xen_abi::hypercall::MULTICALL, [0x7000, 2])), 0);
    let result = |n: u64| u64::from_le_bytes(stage.domain(0).get(0x7000 + 64 * n + 8, 8).try_into().unwrap());
    assert_eq!([result(0), result(1)], [0, PAGES]);
    assert_eq!(stage.domain(0).get(0x5000, 200), [0; 200], "each has its error");
}

#[test]
fn what_is_wrong_with_a_call_is_said_as_xen_says_it() {
    let machine = Machine::new(1);
    let mut stage = two(&machine);
    for operation in [XENMEM_CURRENT_RESERVATION, XENMEM_MAXIMUM_RESERVATION, XENMEM_MAXIMUM_GPFN] {
        assert_eq!(stage.ask(0, operation, 2), Err(Errno::EPERM));
        assert_eq!(stage.ask(0, operation, 7), Err(Errno::ESRCH));
    }
    assert_eq!(stage.ask(0, XENMEM_EXCHANGE, SELF), Err(Errno::EOPNOTSUPP));
    assert_eq!(stage.ask(0, XENMEM_CLAIM_PAGES, SELF), Err(Errno::EPERM));
    assert_eq!(stage.ask(0, XENMEM_ACQUIRE_RESOURCE, SELF), Err(Errno::EPERM));
    assert_eq!(stage.ask(0, XENMEM_MEMORY_MAP, SELF), Err(Errno::ENOSYS));
    assert_eq!(stage.ask(0, 63, SELF), Err(Errno::ENOSYS));
    for (domid, extents, at) in [(2, 1, 0x2000), (SELF, 0, 0x2000), (SELF, u64::MAX, 0x2000), (SELF, 1, u64::MAX)] {
        let mut op = MemoryReservation { extent_start: at, nr_extents: extents, domid, ..Default::default() };
        assert_eq!(stage.call(0, MEMORY_OP, [XENMEM_DECREASE_RESERVATION.into(), 0, 0], 1, &mut op), Ok(0));
    }
    assert_eq!(stage.ask(0, XENMEM_CURRENT_RESERVATION, SELF), Ok(PAGES));
}

#[test]
fn pages_of_the_hypervisor_come_over_ram_or_nothing_and_go_again() {
    let machine = Machine::new(1);
    let mut stage = two(&machine);
    let add = |stage: &mut Stage<'_>, space, idx, gpfn| {
        let mut op = AddToPhysmap { domid: SELF, size: 0, space, idx, gpfn };
        stage.call(0, MEMORY_OP, [XENMEM_ADD_TO_PHYSMAP.into(), 0, 0], 1, &mut op)
    };
    let remove = |stage: &mut Stage<'_>, gpfn| {
        let mut op = RemoveFromPhysmap { domid: SELF, gpfn, ..Default::default() };
        stage.call(0, MEMORY_OP, [XENMEM_REMOVE_FROM_PHYSMAP.into(), 0, 0], 1, &mut op)
    };
    let home = |stage: &Stage<'_>, frame| Some((stage.home(0, frame), true));
    add(&mut stage, XENMAPSPACE_SHARED_INFO, 0, 5).unwrap();
    let shared = stage.place(0, 5);
    assert_ne!(shared, home(&stage, 5));
    assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[5], 0), 0, "not the guest's to give");
    add(&mut stage, XENMAPSPACE_SHARED_INFO, 0, 0x300).unwrap();
    assert_eq!((stage.place(0, 0x300), stage.place(0, 5)), (shared, home(&stage, 5)));
    // Another page of the hypervisor's takes its place; the first is nowhere then.
    add(&mut stage, XENMAPSPACE_GRANT_TABLE, 1, 0x300).unwrap();
    assert_ne!(stage.place(0, 0x300), shared);
    assert_eq!(remove(&mut stage, 0x300), Ok(0));
    assert_eq!(stage.place(0, 0x300), None);
    assert_eq!(remove(&mut stage, 0x300), Err(Errno::ENOENT));
    assert_eq!(remove(&mut stage, 6), Ok(0), "RAM is given up");
    assert_eq!(stage.reserve(0, XENMEM_POPULATE_PHYSMAP, &[6], 0), 1);
    assert_eq!(add(&mut stage, XENMAPSPACE_GMFN_FOREIGN, 0, 5), Err(Errno::ENOSYS), "in batches only");
    assert_eq!(add(&mut stage, XENMAPSPACE_DEV_MMIO, 0, 5), Err(Errno::EACCES));
    // Not over another domain's page.
    stage.grant(1, 9, 1, 2, false);
    let handle = stage.map(0, 2, 9, 7, false).unwrap();
    assert_eq!(add(&mut stage, XENMAPSPACE_SHARED_INFO, 0, 7), Err(Errno::EINVAL));
    assert_eq!(remove(&mut stage, 7), Err(Errno::ENOENT));
    assert_eq!(stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[7], 0), 0);
    assert_eq!(stage.unmap(0, handle, 7), 0);
    assert_eq!(stage.place(0, 7), home(&stage, 7));
}

#[test]
fn a_batch_has_an_error_for_each_element() {
    let machine = Machine::new(1);
    let mut stage = two(&machine);
    let batch = |stage: &mut Stage<'_>, space: u32, list: &[(u64, u64)]| {
        let (indices, frames): (Vec<u64>, Vec<u64>) = list.iter().copied().unzip();
        stage.domain(0).put(0x2000, indices.as_bytes());
        stage.domain(0).put(0x3000, frames.as_bytes());
        let mut op = AddToPhysmapBatch {
            domid: SELF,
            space: space as u16,
            size: list.len() as u16,
            foreign_domid: 2,
            idxs: 0x2000,
            gpfns: 0x3000,
            errs: 0x4000,
        };
        stage.call(0, MEMORY_OP, [XENMEM_ADD_TO_PHYSMAP_BATCH.into(), 0, 0], 1, &mut op)?;
        let errors = stage.domain(0).get(0x4000, 4 * list.len());
        Ok(errors.chunks(4).map(|word| i32::from_le_bytes(word.try_into().unwrap())).collect::<Vec<_>>())
    };
    let (invalid, no_call, no_right) =
        [Errno::EINVAL, Errno::ENOSYS, Errno::EPERM].map(|errno| -(errno.number() as i32)).into();
    let list = [(0, 0x300), (9, 0x301), (1, 1 << 40), (3, 0x303)];
    assert_eq!(batch(&mut stage, XENMAPSPACE_GRANT_TABLE, &list), Ok(vec![0, invalid, invalid, 0]));
    assert!(stage.place(0, 0x300).is_some() && stage.place(0, 0x301).is_none() && stage.place(0, 0x303).is_some());
    // More than one go has budget for.
    let long: Vec<_> = (0..50).map(|n| (n % 4, 0x400 + n)).collect();
    assert_eq!(batch(&mut stage, XENMAPSPACE_GRANT_TABLE, &long), Ok(vec![0; 50]));
    assert_eq!((0x400..0x432).filter(|frame| stage.place(0, *frame).is_some()).count(), 4, "each is in one place");
    assert_eq!(batch(&mut stage, XENMAPSPACE_GMFN_FOREIGN, &[(0, 1)]), Ok(vec![no_right]));
    assert_eq!(batch(&mut stage, XENMAPSPACE_GMFN, &[(0, 1)]), Ok(vec![no_call]));
    assert_eq!(batch(&mut stage, XENMAPSPACE_DEV_MMIO, &[(0, 1)]), Err(Errno::EACCES));
    assert_eq!(batch(&mut stage, XENMAPSPACE_GRANT_TABLE, &[]), Ok(vec![]));
}

#[test]
fn a_restart_brings_everything_back() {
    let machine = Machine::new(1);
    let mut stage = two(&machine);
    stage.reserve(0, XENMEM_DECREASE_RESERVATION, &[2, 3, 4, 5], 0);
    let mut op = AddToPhysmap { domid: SELF, size: 0, space: XENMAPSPACE_SHARED_INFO, idx: 0, gpfn: 3 };
    stage.call(0, MEMORY_OP, [XENMEM_ADD_TO_PHYSMAP.into(), 0, 0], 1, &mut op).unwrap();
    assert!(stage.place(0, 3).is_some());
    stage.act(0, Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)));
    assert!((0..PAGES).all(|frame| stage.place(0, frame) == Some((stage.home(0, frame), true))));
    assert_eq!(stage.ask(0, XENMEM_CURRENT_RESERVATION, SELF), Ok(PAGES));
}

#[test]
fn pages_that_another_domain_uses_can_be_given_up_and_stay_the_granters() {
    let machine = Machine::new(1);
    let mut stage = two(&machine);
    stage.grant(1, 9, 1, 4, false);
    let handle = stage.map(0, 2, 9, 0x100, false).unwrap();
    assert_eq!(stage.reserve(1, XENMEM_DECREASE_RESERVATION, &[4], 0), 1);
    assert_eq!(stage.place(0, 0x100), Some((stage.home(1, 4), true)));
    assert_eq!(stage.map(0, 2, 9, 0x101, false).map(|_| ()), Ok(()), "the entry is in use already");
    assert_eq!(stage.unmap(0, handle, 0x100), 0);
    stage.grant(1, 10, 1, 4, false);
    assert_eq!(stage.map(0, 2, 10, 0x100, false), Err(xen_abi::grant_table::GNTST_BAD_PAGE), "not anew");
    assert_eq!(stage.reserve(1, XENMEM_POPULATE_PHYSMAP, &[4], 0), 1);
    assert_eq!(stage.place(1, 4), Some((stage.home(1, 4), true)));
    assert_eq!(stage.home(1, 4) % PAGE, 0);
}
