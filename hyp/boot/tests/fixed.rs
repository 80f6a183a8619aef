//! What trees fix before guests run: memory at given places, shared memory, event channels; and where it all goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{IMAGE, PLAYER, TREE, parse, refusal, with_chosen};
use hyp_boot::Region;
use hyp_boot::devices::Devices;
use hyp_boot::manifest::EventLink;
use hyp_boot::plan::{BANK0, Plan};

const MIB: u64 = 1 << 20;

/// Two guests of 32 MiB, `player` and `other`, each with more in its node.
fn two(player: &str, other: &str) -> Vec<u8> {
    let inside = |guest: &str, more: &str| {
        let (head, kernel) = guest.split_once("module@").unwrap();
        format!("{head} {more} module@{kernel}")
    };
    let second = PLAYER.replace("player", "other");
    with_chosen(&format!("{} {}", inside(PLAYER, player), inside(&second, other)))
}

fn plan(blob: &[u8]) -> Result<Plan, String> {
    let (machine, manifest) = parse(blob)?;
    Plan::make(&machine, &manifest, IMAGE, TREE, 4096).map_err(|error| error.to_string())
}

const PLACE: &str = "xen,static-mem = <0 0x60000000 0 0x1000000 0 0x70000000 0 0x1000000>;";

#[test]
fn memory_is_where_the_tree_says() {
    let plan = plan(&two(PLACE, "")).unwrap();
    let [player, other] = plan.guests.as_slice() else { panic!() };
    let places: Vec<_> = player.extents.iter().map(|piece| (piece.guest, piece.host, piece.size)).collect();
    assert_eq!(places, [(BANK0, 0x6000_0000, 16 * MIB), (BANK0 + 16 * MIB, 0x7000_0000, 16 * MIB)]);
    let given = [Region::new(0x6000_0000, 16 * MIB), Region::new(0x7000_0000, 16 * MIB)];
    for piece in &other.extents {
        assert!(!given.iter().any(|given| given.overlaps(&Region::new(piece.host, piece.size))), "{piece:x?}");
    }
}

#[test]
fn its_widths_are_those_of_chosen_or_its_own() {
    let one = "#xen,static-mem-address-cells = <1>; #xen,static-mem-size-cells = <1>; xen,static-mem = <0x60000000 0x2000000>;";
    assert_eq!(plan(&two(one, "")).unwrap().guests[0].extents[0].host, 0x6000_0000);
}

#[test]
fn direct_map_makes_guest_addresses_host_addresses() {
    let blob = two(&format!("{PLACE} direct-map;"), "");
    assert!(parse(&blob).unwrap().1.domains[0].direct_map);
    let plan = plan(&blob).unwrap();
    assert!(plan.guests[0].extents.iter().all(|piece| piece.guest == piece.host));
    assert_eq!(plan.guests[0].banks().len(), 2);
}

#[test]
fn refuses_memory_that_cannot_be() {
    let place = "/chosen/player: xen,static-mem must be ranges whose addresses and sizes are multiples of 2 MiB";
    let cases = [
        ("direct-map;", "/chosen/player: direct-map needs memory at a given place: add xen,static-mem"),
        ("xen,static-mem = <0 0x60001000 0 0x2000000>;", place),
        ("xen,static-mem = <0 0x60000000 0 0x2001000>;", place),
        ("xen,static-mem = <0 0x60000000 0 0>;", place),
        (
            "xen,static-mem = <0 0x60000000 0 0x1000000>;",
            "/chosen/player: memory is 32768 and must be the sum of the sizes in xen,static-mem, in KiB",
        ),
        (
            "xen,static-mem = <0 0x60000000 0>;",
            "/chosen/player: xen,static-mem must be addresses and sizes as wide as #address-cells and #size-cells of its \
             parent say",
        ),
        (
            "xen,static-mem = <0 0x7f000000 0 0x2000000>;",
            "/chosen/player at 0x7f000000..0x81000000 is not in RAM: load it into RAM",
        ),
        (
            "xen,static-mem = <0 0x48000000 0 0x2000000>;",
            "/chosen/player/module@49000000 at 0x49000000..0x49100000 overlaps /chosen/player at \
             0x48000000..0x4a000000: load it elsewhere",
        ),
        (
            "direct-map; xen,static-mem = <0 0x61000000 0 0x1000000 0 0x60000000 0 0x1000000>;",
            "/chosen/player: xen,static-mem must be with direct-map, ranges in rising order from 0x40000000 to \
             0x8000000000: below are the guest's devices",
        ),
        (
            "direct-map; xen,static-mem = <0 0x60000000 0 0x800000 0 0x61000000 0 0x800000 0 0x62000000 0 0x1000000>;",
            "/chosen/player: with direct-map, memory is in two ranges at most: put them together",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(plan(&two(change, "")).unwrap_err(), message, "{change}");
    }
    let twice = plan(&two(PLACE, PLACE)).unwrap_err();
    assert!(twice.starts_with("/chosen/player at 0x60000000..0x61000000 overlaps /chosen/other"), "{twice}");
}

fn share(more: &str) -> String {
    format!("shm {{ compatible = \"xen,domain-shared-memory-v1\"; xen,shm-id = \"ring\"; {more} }};")
}

#[test]
fn shared_memory_is_one_place_with_two_views() {
    let player = share("role = \"owner\"; xen,shared-mem = <0 0x68000000 0 0x70000000 0 0x10000>;");
    let blob = two(&player, &share("xen,shared-mem = <0 0x68000000 0 0x80000000 0 0x10000>;"));
    let (_, manifest) = parse(&blob).unwrap();
    let views: Vec<_> = manifest.fixed.shared.iter().map(|view| (view.domain, view.id, view.guest.start)).collect();
    assert_eq!(views, [(0, "ring", 0x7000_0000), (1, "ring", 0x8000_0000)]);
    assert_eq!(plan(&blob).unwrap().shared.as_slice(), [0x6800_0000; 2]);
}

#[test]
fn shared_memory_without_a_place_gets_one() {
    let blob =
        two(&share("xen,shared-mem = <0 0x70001000 0 0x10000>;"), &share("xen,shared-mem = <0 0x80001000 0 0x10000>;"));
    let plan = plan(&blob).unwrap();
    let &[one, two] = plan.shared.as_slice() else { panic!() };
    assert!(one == two && one % (2 * MIB) == 0x1000);
    let place = Region::new(one, 0x1_0000);
    let guests = plan.guests.iter().flat_map(|guest| &guest.extents).map(|piece| Region::new(piece.host, piece.size));
    assert!(guests.chain([IMAGE, TREE, plan.pool]).all(|other| !other.overlaps(&place)));
}

#[test]
fn refuses_shared_memory_that_cannot_be() {
    let numbers = "/chosen/player/shm: xen,shared-mem must be a host address (or none), a guest address and a size, all \
                   multiples of 4 KiB, both addresses alike below 2 MiB, the guest's outside of its devices";
    let both = "/chosen/other/shm: xen,shared-mem must be the same memory for all guests that share it, once for each";
    let used = "/chosen/player/shm: xen,shared-mem must be at a guest address where the guest has neither RAM nor other \
                shared memory";
    let good = "xen,shared-mem = <0 0x68000000 0 0x70000000 0 0x10000>;";
    let cases = [
        ("", "", numbers),
        ("xen,shared-mem = <0 0x68000000 0 0x70000000 0 0>;", "", numbers),
        ("xen,shared-mem = <0 0x68000800 0 0x70000800 0 0x1000>;", "", numbers),
        ("xen,shared-mem = <0 0x68001000 0 0x70002000 0 0x1000>;", "", numbers),
        ("xen,shared-mem = <0 0x68000000 0 0x38000000 0 0x1000>;", "", numbers),
        ("xen,shared-mem = <0 0x68000000 0x80 0 0 0x1000>;", "", numbers),
        ("xen,shared-mem = <0 0x68000000 0 0x40000000 0 0x1000>;", "", used),
        (good, "xen,shared-mem = <0 0x68000000 0 0x70000000 0 0x11000>;", both),
        (good, "xen,shared-mem = <0 0x69000000 0 0x70000000 0 0x10000>;", both),
        (good, "xen,shared-mem = <0 0x70000000 0 0x10000>;", both),
        (
            "role = \"lender\"; xen,shared-mem = <0 0x68000000 0 0x70000000 0 0x10000>;",
            "",
            "/chosen/player/shm: role is \"lender\" and must be \"owner\" or \"borrower\"",
        ),
        (
            "xen,shared-mem = <0 0x49000000 0 0x70000000 0 0x1000>;",
            "",
            "/chosen/player/module@49000000 at 0x49000000..0x49100000 overlaps /chosen/player/shm at \
             0x49000000..0x49001000: load it elsewhere",
        ),
    ];
    for (player, other, message) in cases {
        let other = if other.is_empty() { String::new() } else { share(other) };
        assert_eq!(plan(&two(&share(player), &other)).unwrap_err(), message, "{player}");
    }
    let unnamed = share(good).replace("xen,shm-id = \"ring\";", "");
    assert_eq!(refusal(&two(&unnamed, "")), "/chosen/player/shm: xen,shm-id must be a name of 1 to 15 characters");
}

#[test]
fn offers_addresses_that_nothing_uses() {
    let blob = two(&share("xen,shared-mem = <0 0x70000000 0 0x10000>;"), "");
    let (_, manifest) = parse(&blob).unwrap();
    let plan = plan(&blob).unwrap();
    let high = Region::between(0x2_0000_0000, 1 << 39);
    let extended = |index: usize| plan.guests[index].extended(&manifest.fixed, &Devices::default(), index);
    assert_eq!(extended(0).as_slice(), [Region::between(0x7020_0000, 0x1_0000_0000), high]);
    assert_eq!(extended(1).as_slice(), [Region::between(BANK0 + 32 * MIB, 0x1_0000_0000), high]);
}

fn event(node: &str, handle: u32, port: u32, other: u32) -> String {
    format!("{node} {{ compatible = \"xen,evtchn-v1\"; phandle = <{handle}>; xen,evtchn = <{port} {other}>; }};")
}

#[test]
fn event_channels_have_two_ends() {
    let player = format!("{} {}", event("e@1", 0x71, 10, 0x73), event("e@2", 0x72, 12, 0x74));
    let other = format!("{} {}", event("e@3", 0x73, 11, 0x71), event("e@4", 0x74, 13, 0x72));
    let blob = two(&player, &other);
    let (_, manifest) = parse(&blob).unwrap();
    let link = |domain, port, remote, remote_port| EventLink { domain, port, remote, remote_port };
    let links = [link(0, 10, 1, 11), link(0, 12, 1, 13), link(1, 11, 0, 10), link(1, 13, 0, 12)];
    assert_eq!(manifest.fixed.links.as_slice(), links);
    assert_eq!(manifest.fixed.links_of(1).count(), 2);
    assert!(manifest.warnings.is_empty());
}

#[test]
fn refuses_event_channels_that_cannot_be() {
    let lonely = "xen,evtchn must be <port handle>: the handle must be that of another guest's event channel, which names \
                  this one";
    let wrong =
        "xen,evtchn must be <port handle>: a free port from 1 to 1023, and the handle of another guest's event channel";
    let cases = [
        (event("e@1", 0x71, 10, 0x73), String::new(), lonely),
        (event("e@1", 0x71, 10, 0x71), String::new(), lonely),
        (event("e@1", 0x71, 10, 0x73), event("e@3", 0x73, 10, 0x74), lonely),
        (event("e@1", 0x71, 0, 0x73), event("e@3", 0x73, 10, 0x71), wrong),
        (event("e@1", 0x71, 1024, 0x73), event("e@3", 0x73, 10, 0x71), wrong),
        (event("e@1", 0x71, 1, 0x73).replace("phandle", "handle"), event("e@3", 0x73, 10, 0x71), wrong),
    ];
    for (player, other, message) in cases {
        assert_eq!(refusal(&two(&player, &other)), format!("/chosen/player/e@1: {message}"), "{player} {other}");
    }
    let twice = format!("{} {}", event("e@1", 0x71, 10, 0x73), event("e@2", 0x72, 10, 0x74));
    assert_eq!(refusal(&two(&twice, "")), format!("/chosen/player/e@2: {wrong}"));
}
