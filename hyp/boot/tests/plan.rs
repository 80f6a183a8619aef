//! Where guests' memory goes: never over anything else, aligned, and refused with the numbers when it does not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{IMAGE, PLAYER, TREE, parse, with_root};
use hyp_boot::Region;
use hyp_boot::plan::{BANK0, BANK1, Plan};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A tree with guests of these sizes in MiB, and more nodes in the root.
fn tree(sizes: &[u64], more: &str) -> Vec<u8> {
    let guests: String = (0u64..)
        .zip(sizes)
        .map(|(index, size)| {
            PLAYER
                .replace("player", &format!("g{index}"))
                .replace("<0 0x8000>", &format!("<{} {}>", size << 10 >> 32, size << 10 & 0xffff_ffff))
        })
        .collect();
    with_root(&format!("chosen {{ {guests} }}; {more}"))
}

/// Plans, and checks what must hold of every plan.
fn plan(blob: &[u8], pool: u64) -> Result<Plan, String> {
    let (machine, manifest) = parse(blob).unwrap();
    let plan = Plan::make(&machine, &manifest, IMAGE, TREE, pool).map_err(|error| error.to_string())?;
    let mut taken = vec![IMAGE, TREE, plan.pool];
    taken.extend(machine.reserved.iter());
    taken.extend(manifest.domains.iter().map(|domain| domain.kernel.place));
    // The guests here share one kernel file.
    taken.dedup();
    assert!(plan.pool.start.is_multiple_of(4096) && plan.pool.size >= pool);
    for (memory, domain) in plan.guests.iter().zip(&manifest.domains) {
        assert_eq!(memory.extents.iter().map(|extent| extent.size).sum::<u64>(), domain.memory);
        for extent in &memory.extents {
            assert!(extent.host.is_multiple_of(2 * MIB) && extent.guest.is_multiple_of(2 * MIB), "{extent:x?}");
            let host = Region::new(extent.host, extent.size);
            assert!(machine.ram.iter().any(|ram| ram.contains(&host)), "{host} in RAM");
            assert!(!taken.iter().any(|other| other.overlaps(&host)), "{host} taken twice");
            taken.push(host);
        }
    }
    Ok(plan)
}

#[test]
fn places_guests_beside_everything_else() {
    let plan = plan(&tree(&[64, 32, 1], ""), 300 << 10).unwrap();
    let bank = plan.guests[0].banks();
    assert_eq!(bank.as_slice(), [Region::new(BANK0, 64 * MIB)]);
    let host = plan.guests[0].extents[0].host;
    assert_eq!(plan.guests[0].host(BANK0 + 5), Some((host + 5, 64 * MIB - 5)));
    assert_eq!(plan.guests[0].host(BANK0 + 64 * MIB), None);
    assert_eq!(plan.guests[0].host(0), None);
    // The pool fits between image or tree and the next 2 MiB boundary.
    assert!(plan.pool.end().is_multiple_of(2 * MIB));
}

#[test]
fn gigabytes_are_aligned_on_both_sides() {
    let more = "memory@100000000 { device_type = \"memory\"; reg = <1 0x20000000 2 0>; };";
    let plan = plan(&tree(&[3 * 1024 + 512], more), 4096).unwrap();
    let extents = &plan.guests[0].extents;
    assert_eq!(extents[0].size, 3 * GIB);
    assert!(extents[0].host.is_multiple_of(GIB));
    let banks = plan.guests[0].banks();
    assert_eq!(banks.as_slice(), [Region::new(BANK0, 3 * GIB), Region::new(BANK1, 512 * MIB)]);
}

#[test]
fn a_guest_may_be_split_where_memory_is() {
    let plan = plan(&tree(&[900], ""), 4096).unwrap();
    assert!(plan.guests[0].extents.len() > 1);
    assert_eq!(plan.guests[0].banks().as_slice(), [Region::new(BANK0, 900 * MIB)]);
}

#[test]
fn reservations_are_left_alone() {
    let more = "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;
        a@60000000 { reg = <0 0x60000000 0 0x1000>; }; b@50000800 { reg = <0 0x50000800 0 0x100>; }; };";
    plan(&tree(&[300, 300, 100], more), 64 << 10).unwrap();
}

#[test]
fn small_odd_sizes_use_the_ends_of_memory() {
    let blob = with_root(&format!("chosen {{ {} }};", PLAYER.replace("0x8000>", "0x1404>")));
    plan(&blob, 4096).unwrap();
}

#[test]
fn says_how_much_there_was() {
    assert_eq!(
        plan(&tree(&[2048], ""), 4096).unwrap_err(),
        "guest g0 wants 2048 MiB, largest free 878 MiB, total free 1018 MiB: give it less memory"
    );
    assert_eq!(
        plan(&tree(&[1], ""), 8 * GIB).unwrap_err(),
        "the hypervisor needs 8192 MiB for itself, largest free 879 MiB: load fewer modules"
    );
}
