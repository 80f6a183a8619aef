//! Domains share pages, and end while they do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_imports, reason = "tests, of all of one header")]

use fake::{Act, Machine, READ_ONLY};
use host_tests::MS;
use host_tests::grants::{PAGE, entry};
use host_tests::puppet::Stage;
use hyp_core::arch::{Exit, ShutdownReason};
use hyp_core::domain::DomainConfig;
use hyp_core::limits::{GRANT_FRAMES, MAX_MAPPINGS, MAX_PINS};
use hyp_core::policy::{ANYBODY, Rights};
use xen_abi::domid::DOMID_SELF as SELF;
use xen_abi::errno::Errno;
use xen_abi::grant_table::*;
use xen_abi::hypercall::{GRANT_TABLE_OP, MEMORY_OP};
use xen_abi::memory::{AddToPhysmap, XENMAPSPACE_GRANT_TABLE, XENMEM_ADD_TO_PHYSMAP};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const GRANTER: usize = 0;
const USER: usize = 1;
const STRANGER: usize = 2;
const READ: u64 = GTF_READING as u64;
const WRITE: u64 = GTF_WRITING as u64;

/// Two that may share, and a third that may not.
fn three(machine: &Machine) -> Stage<'_> {
    let mut stage = Stage::new(machine);
    for (name, peers) in [("granter", 0b010), ("user", 0), ("stranger", 0)] {
        stage.add(&DomainConfig { peers, ..DomainConfig::new(name) });
    }
    stage
}

#[test]
fn a_page_is_mapped_and_unmapped_and_its_entry_says_so() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    stage.grant(GRANTER, 9, 2, 5, false);
    let before = stage.entry(GRANTER, 9);
    let read = stage.map(USER, 1, 9, 0x100, true).unwrap();
    assert_eq!(stage.entry(GRANTER, 9), before | READ);
    assert_eq!(stage.place(USER, 0x100), Some((stage.home(GRANTER, 5), false)));
    let write = stage.map(USER, 1, 9, 7, false).unwrap();
    assert_ne!(read, write);
    assert_eq!(stage.entry(GRANTER, 9), before | READ | WRITE);
    assert_eq!(stage.place(USER, 7), Some((stage.home(GRANTER, 5), true)), "over its own RAM");
    assert_eq!(stage.unmap(USER, write, 8), GNTST_GENERAL_ERROR, "it is not there");
    assert_eq!(stage.unmap(USER, write, 7), GNTST_OKAY);
    assert_eq!(stage.place(USER, 7), Some((stage.home(USER, 7), true)), "its own RAM again");
    assert_eq!(stage.entry(GRANTER, 9), before | READ);
    assert_eq!(stage.unmap(USER, write, 7), GNTST_BAD_HANDLE);
    assert_eq!(stage.unmap(USER, read, 0), GNTST_OKAY, "nothing is to be unmapped");
    assert_eq!(stage.unmap(USER, read, 0x100), GNTST_OKAY);
    assert_eq!((stage.entry(GRANTER, 9), stage.place(USER, 0x100)), (before, None));
    assert_eq!(stage.unmap(USER, 77777, 7), GNTST_BAD_HANDLE);
}

#[test]
fn what_is_not_granted_is_not_mapped() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    let mut map = |word, domain, reference: u32, frame, read_only| {
        stage.set_entry(GRANTER, 9, word);
        let result = stage.map(USER, domain, reference, frame, read_only);
        assert_eq!(stage.entry(GRANTER, 9), word, "the entry is as it was");
        assert!(stage.place(USER, 0x100).is_none());
        result
    };
    let permit = entry(GTF_PERMIT_ACCESS, 2, 5);
    assert_eq!(map(0, 1, 9, 0x100, true), Err(GNTST_GENERAL_ERROR), "grants nothing");
    assert_eq!(map(entry(GTF_ACCEPT_TRANSFER, 2, 5), 1, 9, 0x100, true), Err(GNTST_GENERAL_ERROR));
    assert_eq!(map(permit | u64::from(GTF_SUB_PAGE), 1, 9, 0x100, true), Err(GNTST_GENERAL_ERROR));
    assert_eq!(map(entry(GTF_PERMIT_ACCESS, 3, 5), 1, 9, 0x100, true), Err(GNTST_GENERAL_ERROR), "another's");
    assert_eq!(map(permit | u64::from(GTF_READONLY), 1, 9, 0x100, false), Err(GNTST_GENERAL_ERROR), "read-only");
    assert_eq!(map(entry(GTF_PERMIT_ACCESS, 2, 99), 1, 9, 0x100, true), Err(GNTST_BAD_PAGE), "no such page");
    assert_eq!(map(permit, 1, 1024, 0x100, true), Err(GNTST_BAD_GNTREF), "the table is not that large");
    assert_eq!(map(permit, 1, u32::MAX, 0x100, true), Err(GNTST_BAD_GNTREF));
    assert_eq!(map(permit, 4, 9, 0x100, true), Err(GNTST_BAD_DOMAIN));
    assert_eq!(map(permit, SELF, 9, 0x100, true), Err(GNTST_BAD_DOMAIN));
    assert_eq!(map(permit, 1, 9, 1 << 40, true), Err(GNTST_GENERAL_ERROR), "no such address");
    assert_eq!(stage.map(STRANGER, 1, 9, 0x100, true), Err(GNTST_PERMISSION_DENIED));
    for (flags, status) in [
        (0, GNTST_BAD_GNTREF),
        (GNTMAP_DEVICE_MAP, GNTST_GENERAL_ERROR),
        (GNTMAP_HOST_MAP | GNTMAP_DEVICE_MAP, GNTST_GENERAL_ERROR),
        (GNTMAP_HOST_MAP | GNTMAP_CONTAINS_PTE, GNTST_GENERAL_ERROR),
        (GNTMAP_HOST_MAP | GNTMAP_APPLICATION_MAP, GNTST_GENERAL_ERROR),
    ] {
        let mut op = MapGrantRef { host_addr: 0x10_0000, flags, reference: 9, dom: 1, ..Default::default() };
        stage.call(USER, GRANT_TABLE_OP, [GNTTABOP_MAP_GRANT_REF.into(), 0, 1], 1, &mut op).unwrap();
        assert_eq!(op.status, status, "flags {flags:#x}");
    }
    // A page that the granting domain has itself only mapped is not its to give.
    stage.grant(USER, 3, 1, 4, false);
    stage.map(GRANTER, 2, 3, 6, false).unwrap();
    stage.grant(GRANTER, 9, 2, 6, false);
    assert_eq!(stage.map(USER, 1, 9, 0x100, true), Err(GNTST_BAD_PAGE));
    // Where another domain's page or the hypervisor's is, no second one goes.
    assert_eq!(stage.map(GRANTER, 2, 3, 6, false), Err(GNTST_GENERAL_ERROR));
}

#[test]
fn one_entry_is_used_by_one_domain_and_keeps_the_frame_it_had() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    stage.grant(GRANTER, 9, 2, 5, true);
    let first = stage.map(USER, 1, 9, 0x100, true).unwrap();
    // The guest changes it although it is in use.
    stage.set_entry(GRANTER, 9, entry(GTF_PERMIT_ACCESS, 1, 6));
    assert_eq!(stage.map(GRANTER, 1, 9, 0x100, true), Err(GNTST_GENERAL_ERROR), "somebody else uses it");
    assert_eq!(stage.map(USER, 1, 9, 0x101, false), Err(GNTST_GENERAL_ERROR), "it does not say that any more");
    let second = stage.map(USER, 1, 9, 0x101, true).unwrap();
    assert_eq!(stage.place(USER, 0x101), Some((stage.home(GRANTER, 5), false)));
    assert_eq!([stage.unmap(USER, first, 0x100), stage.unmap(USER, second, 0x101)], [GNTST_OKAY; 2]);
    assert!(stage.map(GRANTER, 1, 9, 0x100, true).is_ok(), "a domain may map its own page");
    assert_eq!(stage.place(GRANTER, 0x100), Some((stage.home(GRANTER, 6), false)));
}

#[test]
fn long_arrays_are_done_in_pieces_and_each_element_has_its_status() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    for reference in 0..20 {
        if reference != 13 {
            stage.grant(GRANTER, reference, 2, reference as u64 % 16, false);
        }
    }
    let mut maps: [MapGrantRef; 20] = std::array::from_fn(|n| MapGrantRef {
        host_addr: (0x100 + n as u64) * PAGE,
        flags: GNTMAP_HOST_MAP,
        reference: n as u32,
        dom: 1,
        ..Default::default()
    });
    stage.call(USER, GRANT_TABLE_OP, [GNTTABOP_MAP_GRANT_REF.into(), 0, 20], 1, &mut maps).unwrap();
    for (n, op) in (0u64..).zip(&maps) {
        assert_eq!(op.status, if n == 13 { GNTST_GENERAL_ERROR } else { GNTST_OKAY }, "{n}");
        assert_eq!(stage.place(USER, 0x100 + n), (n != 13).then(|| (stage.home(GRANTER, n % 16), true)));
    }
    let mut unmaps = maps.map(|op| UnmapGrantRef { host_addr: op.host_addr, handle: op.handle, ..Default::default() });
    stage.call(USER, GRANT_TABLE_OP, [GNTTABOP_UNMAP_GRANT_REF.into(), 0, 20], 1, &mut unmaps).unwrap();
    assert_eq!(unmaps.iter().filter(|op| op.status == GNTST_OKAY).count(), 19);
    assert!((0..20).all(|n| stage.place(USER, 0x100 + n).is_none()));
    let none = [GNTTABOP_MAP_GRANT_REF.into(), u64::MAX, 0];
    assert_eq!(stage.act(USER, Act::call(GRANT_TABLE_OP, none)), 0, "an empty array is not looked at");
    let bad = [GNTTABOP_MAP_GRANT_REF.into(), u64::MAX, 1];
    assert_eq!(stage.act(USER, Act::call(GRANT_TABLE_OP, bad)), Errno::EFAULT.to_result());
}

/// Makes a call with one element that lies there, and returns the element afterwards. What is around it stays as it is.
fn call_at<T: FromBytes + IntoBytes + Immutable>(stage: &mut Stage<'_>, at: u64, operation: u32, op: &T) -> T {
    const AROUND: [u8; 8] = [0xa5; 8];
    let bytes = [&AROUND, op.as_bytes(), &AROUND].concat();
    stage.domain(USER).put(at - 8, &bytes);
    assert_eq!(stage.act(USER, Act::call(GRANT_TABLE_OP, [operation.into(), at, 1])), 0);
    let now = stage.domain(USER).get(at - 8, bytes.len());
    assert!(now.starts_with(&AROUND) && now.ends_with(&AROUND), "{at:#x}: {now:x?}");
    T::read_from_bytes(&now[8..now.len() - 8]).unwrap()
}

#[test]
fn elements_may_lie_anywhere() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    stage.grant(GRANTER, 9, 2, 5, false);
    let op = MapGrantRef { host_addr: 0x10_0000, flags: GNTMAP_HOST_MAP, reference: 9, dom: 1, ..Default::default() };
    // Aligned, at the end of a page, in two pages, not aligned, and neither.
    for at in [0x1100, 0x2000 - 32, 0x2000 - 24, 0x2000 - 8, 0x1104, 0x1101, 0x2000 - 5] {
        let mapped = call_at(&mut stage, at, GNTTABOP_MAP_GRANT_REF, &op);
        assert_eq!((mapped.status, mapped.dev_bus_addr), (GNTST_OKAY, op.host_addr), "{at:#x}");
        assert_eq!(stage.place(USER, 0x100), Some((stage.home(GRANTER, 5), true)));
        let op = UnmapGrantRef { host_addr: op.host_addr, handle: mapped.handle, ..Default::default() };
        assert_eq!(call_at(&mut stage, at, GNTTABOP_UNMAP_GRANT_REF, &op).status, GNTST_OKAY, "{at:#x}");
        assert!(stage.place(USER, 0x100).is_none());
    }
    stage.domain(USER).put(READ_ONLY, op.as_bytes());
    let nowhere_to_answer = [GNTTABOP_MAP_GRANT_REF.into(), READ_ONLY, 1];
    assert_eq!(stage.act(USER, Act::call(GRANT_TABLE_OP, nowhere_to_answer)), Errno::EFAULT.to_result());
}

#[test]
fn bytes_are_copied_where_both_sides_allow_it() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    let own = |frame, offset| CopyPtr { u: frame, domid: SELF, offset, pad0: 0 };
    let granted = |reference, offset| CopyPtr { u: reference, domid: 1, offset, pad0: 0 };
    let (from_grant, to_grant) = (GNTCOPY_SOURCE_GREF, GNTCOPY_DEST_GREF);
    stage.grant(GRANTER, 9, 2, 5, false);
    stage.grant(GRANTER, 10, 2, 6, true);
    stage.domain(USER).put(3 * PAGE + 100, b"over there");
    assert_eq!(stage.copy(USER, own(3, 100), granted(9, 4086), 10, to_grant), GNTST_OKAY);
    assert_eq!(stage.domain(GRANTER).get(5 * PAGE + 4086, 10), b"over there");
    assert_eq!(stage.copy(USER, granted(9, 4086), own(4, 0), 10, from_grant), GNTST_OKAY);
    assert_eq!(stage.domain(USER).get(4 * PAGE, 10), b"over there");
    assert_eq!(stage.copy(USER, granted(9, 4090), granted(9, 0), 6, from_grant | to_grant), GNTST_OKAY);
    assert_eq!(stage.domain(GRANTER).get(5 * PAGE, 6), b" there");
    assert_eq!(stage.copy(USER, own(3, 100), own(4, 7), 4, 0), GNTST_OKAY, "inside the caller");
    assert_eq!(stage.domain(USER).get(4 * PAGE + 7, 4), b"over");
    assert_eq!(stage.entry(GRANTER, 9), entry(GTF_PERMIT_ACCESS, 2, 5), "no use is left");
    let mut refused = |source, dest, len, flags, status| {
        assert_eq!(stage.copy(USER, source, dest, len, flags), status, "{source:?} {dest:?}");
    };
    refused(own(3, 1), granted(9, 0), 4096, to_grant, GNTST_BAD_COPY_ARG);
    refused(own(3, 0), granted(9, 4095), 2, to_grant, GNTST_BAD_COPY_ARG);
    refused(own(3, 0), granted(10, 0), 1, to_grant, GNTST_GENERAL_ERROR);
    refused(own(3, 0), granted(11, 0), 1, to_grant, GNTST_GENERAL_ERROR);
    refused(own(3, 0), granted(5000, 0), 1, to_grant, GNTST_BAD_GNTREF);
    refused(own(99, 0), granted(9, 0), 1, to_grant, GNTST_BAD_PAGE);
    refused(own(3, 0), CopyPtr { domid: 1, ..own(5, 0) }, 1, 0, GNTST_PERMISSION_DENIED);
    refused(own(3, 0), CopyPtr { domid: 7, ..granted(9, 0) }, 1, to_grant, GNTST_BAD_DOMAIN);
    refused(granted(9, 0), granted(11, 0), 1, from_grant | to_grant, GNTST_GENERAL_ERROR);
    assert_eq!(stage.entry(GRANTER, 9), entry(GTF_PERMIT_ACCESS, 2, 5), "the first side was let go, too");
    let strange = stage.copy(STRANGER, granted(9, 0), own(3, 0), 1, from_grant);
    assert_eq!(strange, GNTST_PERMISSION_DENIED);
}

#[test]
fn pages_without_a_grant_are_copied_for_the_control_domain_where_their_owner_has_a_frame_buffer() {
    let machine = Machine::new(1);
    let mut stage = Stage::new(&machine);
    let (guest, control) = (Rights::GUEST, Rights::GUEST | Rights::CONTROL);
    for (name, rights) in [("shown", guest | Rights::FRAMES), ("server", control), ("plain", guest)] {
        stage.add(&DomainConfig { rights, peers: ANYBODY, ..DomainConfig::new(name) });
    }
    let of = |domid, frame| CopyPtr { u: frame, domid, offset: 8, pad0: 0 };
    stage.domain(GRANTER).put(5 * PAGE + 8, b"a picture");
    assert_eq!(stage.copy(USER, of(1, 5), of(SELF, 3), 9, 0), GNTST_OKAY);
    assert_eq!(stage.domain(USER).get(3 * PAGE + 8, 9), b"a picture");
    stage.domain(USER).put(4 * PAGE + 8, b"an index");
    assert_eq!(stage.copy(USER, of(SELF, 4), of(1, 6), 8, 0), GNTST_OKAY);
    assert_eq!(stage.domain(GRANTER).get(6 * PAGE + 8, 8), b"an index");
    assert_eq!(stage.copy(USER, of(1, 99), of(SELF, 3), 9, 0), GNTST_BAD_PAGE);
    assert_eq!(stage.copy(USER, of(3, 5), of(SELF, 3), 9, 0), GNTST_PERMISSION_DENIED, "it has no frame buffer");
    assert_eq!(stage.copy(STRANGER, of(1, 5), of(SELF, 3), 9, 0), GNTST_PERMISSION_DENIED, "it is no control domain");
    // Nothing is left in use, so that its memory is free for its next life.
    stage.act(GRANTER, Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)));
    assert!(machine.reported("name=shown state=restarted reason=reboot"));
}

#[test]
fn who_starts_again_takes_its_memory_back_from_who_had_mapped_it() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    let mut handles = Vec::new();
    for n in 0..40 {
        stage.grant(GRANTER, n, 2, n as u64 % 16, false);
        handles.push(stage.map(USER, 1, n as u32, 0x100 + n as u64, false).unwrap());
    }
    // It has mapped something, too, over its own RAM.
    stage.grant(USER, 8, 1, 2, false);
    stage.map(GRANTER, 2, 8, 9, false).unwrap();
    stage.act(GRANTER, Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)));
    assert!(machine.reported("name=granter state=restarted reason=reboot"));
    assert_eq!(stage.entry(USER, 8), entry(GTF_PERMIT_ACCESS, 1, 2), "nobody uses it any more");
    assert_eq!(stage.place(GRANTER, 9), Some((stage.home(GRANTER, 9), true)));
    let spare = stage.domain(USER).space.lock().unwrap().spare();
    for (n, handle) in (0u64..).zip(&handles) {
        assert_eq!(stage.place(USER, 0x100 + n), Some((spare, true)), "page {n} is the user's own");
        if n % 2 == 0 {
            assert_eq!(stage.unmap(USER, *handle, 0x100 + n), GNTST_OKAY);
            assert_eq!(stage.place(USER, 0x100 + n), None);
        }
    }
    // The next life grants as it likes, and old mappings do not count.
    assert_eq!(stage.map(USER, 1, 0, 0x200, false), Err(GNTST_GENERAL_ERROR), "the table is empty");
    let mut again = Vec::new();
    for n in 0..40 {
        stage.grant(GRANTER, n, 2, 3, false);
        again.push(stage.map(USER, 1, n as u32, 0x200 + n as u64, false).unwrap());
    }
    for n in (1..40).step_by(2) {
        assert_eq!(stage.unmap(USER, handles[n], 0x100 + n as u64), GNTST_OKAY);
    }
    for (n, handle) in again.into_iter().enumerate() {
        assert_ne!(stage.entry(GRANTER, n) & WRITE, 0, "the new one is still there");
        assert_eq!(stage.unmap(USER, handle, 0x200 + n as u64), GNTST_OKAY);
        assert_eq!(stage.entry(GRANTER, n), entry(GTF_PERMIT_ACCESS, 2, 3));
    }
}

#[test]
fn who_is_gone_for_good_leaves_its_pages_and_lets_go_of_others() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    stage.grant(GRANTER, 9, 2, 5, false);
    stage.grant(USER, 8, 1, 2, true);
    let handle = stage.map(USER, 1, 9, 0x100, false).unwrap();
    stage.map(GRANTER, 2, 8, 0x100, true).unwrap();
    stage.begin(GRANTER, 0, Act::Exit(Exit::Shutdown(ShutdownReason::Crash)));
    stage.pass(USER, 50 * MS);
    assert!(machine.reported("name=granter state=crashed reason=crash"));
    assert_eq!(stage.entry(USER, 8), entry(GTF_PERMIT_ACCESS | GTF_READONLY, 1, 2));
    assert_eq!(stage.place(USER, 0x100), Some((stage.home(GRANTER, 5), true)), "nobody needs the page");
    assert_eq!(stage.map(USER, 1, 9, 0x101, false), Err(GNTST_BAD_DOMAIN), "and nobody gets a new one");
    assert_eq!(stage.unmap(USER, handle, 0x100), GNTST_OKAY);
}

#[test]
fn full_tables_say_so_and_recover() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    (0..MAX_PINS + 1).for_each(|n| stage.grant(GRANTER, n, 2, 5, false));
    let mut handles = Vec::new();
    for n in 0..MAX_PINS as u32 {
        handles.push(stage.map(USER, 1, n, 0x1000 + u64::from(n), false).unwrap());
    }
    assert_eq!(stage.map(USER, 1, MAX_PINS as u32, 0x2000, false), Err(GNTST_NO_SPACE), "no pin is left");
    // One more mapping of an entry that is pinned.
    for n in MAX_PINS..MAX_MAPPINGS {
        handles.push(stage.map(USER, 1, 7, 0x1000 + n as u64, false).unwrap());
    }
    assert_eq!(stage.map(USER, 1, 7, 0x2000, false), Err(GNTST_NO_SPACE), "no mapping is left");
    assert_eq!(stage.place(USER, 0x2000), None);
    for (n, handle) in (0u64..).zip(&handles) {
        assert_eq!(stage.unmap(USER, *handle, 0x1000 + n), GNTST_OKAY);
    }
    assert!((0..=MAX_PINS).all(|n| stage.entry(GRANTER, n) == entry(GTF_PERMIT_ACCESS, 2, 5)));
    assert!(stage.map(USER, 1, MAX_PINS as u32, 0x2000, false).is_ok());
}

#[test]
fn a_table_grows_and_tells_where_it_is() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    let size = |stage: &mut Stage<'_>| {
        let mut op = QuerySize { dom: SELF, ..Default::default() };
        stage.call(GRANTER, GRANT_TABLE_OP, [GNTTABOP_QUERY_SIZE.into(), 0, 1], 1, &mut op).unwrap();
        (op.nr_frames, op.max_nr_frames, op.status)
    };
    assert_eq!(size(&mut stage), (2, GRANT_FRAMES as u32, 0));
    stage.grant(GRANTER, 1100, 2, 5, false);
    assert_eq!(stage.map(USER, 1, 1100, 0x100, true), Err(GNTST_BAD_GNTREF));
    let mut add = AddToPhysmap { domid: SELF, size: 0, space: XENMAPSPACE_GRANT_TABLE, idx: 2, gpfn: 0x300 };
    stage.call(GRANTER, MEMORY_OP, [XENMEM_ADD_TO_PHYSMAP.into(), 0, 0], 1, &mut add).unwrap();
    assert_eq!(size(&mut stage), (3, GRANT_FRAMES as u32, 0));
    assert!(stage.map(USER, 1, 1100, 0x100, true).is_ok());
    let setup = |stage: &mut Stage<'_>, dom, nr_frames, frame_list| {
        let mut op = SetupTable { dom, nr_frames, frame_list, ..Default::default() };
        let result = stage.call(GRANTER, GRANT_TABLE_OP, [GNTTABOP_SETUP_TABLE.into(), 0, 1], 1, &mut op);
        result.map(|_| op.status)
    };
    assert_eq!(setup(&mut stage, SELF, 4, 0x2000), Ok(GNTST_OKAY));
    let list: Vec<u64> = stage
        .domain(GRANTER)
        .get(0x2000, 32)
        .chunks(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(list, [u64::MAX, u64::MAX, 0x300, u64::MAX]);
    assert_eq!(size(&mut stage).0, 4);
    assert_eq!(setup(&mut stage, SELF, 5, 0x2000), Ok(GNTST_GENERAL_ERROR));
    assert_eq!(setup(&mut stage, 2, 1, 0x2000), Ok(GNTST_PERMISSION_DENIED));
    assert_eq!(setup(&mut stage, 9, 1, 0x2000), Ok(GNTST_BAD_DOMAIN));
    assert_eq!(setup(&mut stage, SELF, 1, u64::MAX), Ok(GNTST_BAD_VIRT_ADDR));
    // The next life starts with a small one.
    stage.act(GRANTER, Act::Exit(Exit::Shutdown(ShutdownReason::Reboot)));
    assert_eq!(size(&mut stage).0, 2);
}

#[test]
fn entries_are_exchanged_while_nobody_uses_them() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    stage.grant(GRANTER, 8, 2, 5, false);
    stage.grant(GRANTER, 9, 2, 6, true);
    let words = [8, 9].map(|reference| stage.entry(GRANTER, reference));
    let swap = |stage: &mut Stage<'_>, ref_a, ref_b| {
        let mut op = SwapGrantRef { ref_a, ref_b, ..Default::default() };
        stage.call(GRANTER, GRANT_TABLE_OP, [GNTTABOP_SWAP_GRANT_REF.into(), 0, 1], 1, &mut op).unwrap();
        op.status
    };
    assert_eq!(swap(&mut stage, 8, 9), GNTST_OKAY);
    assert_eq!([9, 8].map(|reference| stage.entry(GRANTER, reference)), words);
    assert_eq!(swap(&mut stage, 8, 8), GNTST_OKAY);
    assert_eq!(swap(&mut stage, 8, 9999), GNTST_BAD_GNTREF);
    stage.map(USER, 1, 9, 0x100, true).unwrap();
    assert_eq!(swap(&mut stage, 8, 9), GNTST_EAGAIN);
}

#[test]
fn caches_are_cleaned_of_what_one_may_touch() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    stage.grant(GRANTER, 9, 2, 5, false);
    stage.map(USER, 1, 9, 0x100, false).unwrap();
    let cleaned = || machine.hypervisor.arch().cleaned.load(std::sync::atomic::Ordering::Relaxed);
    let mut flush = |frame: u64, offset, length, op| {
        let mut op = CacheFlush { dev_bus_addr: frame * PAGE, offset, length, op };
        stage.call(USER, GRANT_TABLE_OP, [GNTTABOP_CACHE_FLUSH.into(), 0, 1], 1, &mut op)
    };
    assert_eq!(flush(3, 0, 4096, GNTTAB_CACHE_CLEAN), Ok(0));
    assert_eq!(flush(0x100, 5, 6, GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL), Ok(0));
    assert_eq!(cleaned(), 2);
    assert_eq!(flush(0x101, 0, 1, GNTTAB_CACHE_CLEAN), Err(Errno::EPERM));
    assert_eq!(flush(3, 4095, 2, GNTTAB_CACHE_CLEAN), Err(Errno::EINVAL));
    assert_eq!(flush(3, 0, 1, 4), Err(Errno::EINVAL));
    assert_eq!(flush(3, 0, 1, GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_SOURCE_GREF), Err(Errno::EOPNOTSUPP));
    assert_eq!(flush(3, 0, 0, GNTTAB_CACHE_CLEAN), Ok(0));
    assert_eq!(cleaned(), 2);
}

#[test]
fn what_is_not_on_offer_is_refused() {
    let machine = Machine::new(1);
    let mut stage = three(&machine);
    let call = |stage: &mut Stage<'_>, op: u32, count| {
        let mut words = [0u64; 8];
        stage.call(USER, GRANT_TABLE_OP, [op.into(), 0, count], 1, &mut words).map(|_| words)
    };
    assert_eq!(call(&mut stage, GNTTABOP_TRANSFER, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(call(&mut stage, GNTTABOP_DUMP_TABLE, 1), Err(Errno::ENOSYS));
    assert_eq!(call(&mut stage, 13, 1), Err(Errno::ENOSYS));
    assert_eq!(call(&mut stage, GNTTABOP_SETUP_TABLE, 2), Err(Errno::EINVAL));
    assert_eq!(call(&mut stage, GNTTABOP_GET_STATUS_FRAMES, 0), Err(Errno::EINVAL));
    let mut op = GetStatusFrames { nr_frames: 1, dom: SELF, ..Default::default() };
    stage.call(USER, GRANT_TABLE_OP, [GNTTABOP_GET_STATUS_FRAMES.into(), 0, 1], 1, &mut op).unwrap();
    assert_eq!(op.status, GNTST_GENERAL_ERROR);
    stage.grant(GRANTER, 9, 2, 5, false);
    let handle = stage.map(USER, 1, 9, 0x100, false).unwrap();
    let mut replace = UnmapAndReplace { host_addr: 0x100 * PAGE, new_addr: PAGE, handle, ..Default::default() };
    let args = [GNTTABOP_UNMAP_AND_REPLACE.into(), 0, 1];
    stage.call(USER, GRANT_TABLE_OP, args, 1, &mut replace).unwrap();
    assert_eq!(replace.status, GNTST_GENERAL_ERROR);
    replace.new_addr = 0;
    stage.call(USER, GRANT_TABLE_OP, args, 1, &mut replace).unwrap();
    assert_eq!((replace.status, stage.place(USER, 0x100)), (GNTST_OKAY, None));
}
