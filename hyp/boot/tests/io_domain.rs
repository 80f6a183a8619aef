//! An I/O domain in the tree: its rights, its ramdisk, and what it has in common with each other guest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{IMAGE, PLAYER, TREE, parse, refusal, with_chosen};
use hyp_boot::Region;
use hyp_boot::devices::Devices;
use hyp_boot::guest_tree::{GuestTree, VirtualGic};
use hyp_boot::machine::Host;
use hyp_boot::manifest::{Allow, EventLink, Group, Manifest};
use hyp_boot::plan::{Banks, Extent, Plan};

const IO: &str = "makuhari,io-domain;";
const PAGES: u64 = 0x3900_0000;
const BYTES: u64 = 0x2000;

/// Guests of 32 MiB, each with its name and with more in its node.
fn guests(guests: &[(&str, &str)]) -> Vec<u8> {
    let (head, kernel) = PLAYER.split_once("module@").unwrap();
    let node = |(name, more): &(&str, &str)| {
        let own = more.contains("xen,enhanced");
        let head = if own { head.replace("xen,enhanced = \"enabled\";", "") } else { head.to_owned() };
        format!("{} {more} module@{kernel}", head.replacen("player", name, 1))
    };
    with_chosen(&guests.iter().map(node).collect::<String>())
}

fn plan(blob: &[u8]) -> (Manifest<'_>, Plan) {
    let (machine, manifest) = parse(blob).unwrap();
    let plan = Plan::make(&machine, &manifest, IMAGE, TREE, 4096).unwrap();
    (manifest, plan)
}

/// Both ends of a guest's two channels; guests counted from 0.
fn links(guest: u8, server: u8) -> [EventLink; 4] {
    let number = u16::from(guest) + 1;
    let link = |domain, port, remote, remote_port| EventLink { domain, port, remote, remote_port };
    [
        link(guest, 1, server, 2 * number),
        link(server, 2 * number, guest, 1),
        link(guest, 2, server, 2 * number + 1),
        link(server, 2 * number + 1, guest, 2),
    ]
}

#[test]
fn each_guest_shares_two_pages_with_it_and_has_two_channels() {
    let blob = guests(&[("player", ""), ("server", IO), ("other", "")]);
    let (manifest, plan) = plan(&blob);
    let views = |index| plan.views(&manifest, index);
    let [Extent { guest: at, host, size }] = views(1)[..] else { panic!("{:?}", views(1)) };
    assert_eq!((at, size), (PAGES + BYTES, 8 * BYTES));
    assert_eq!(views(0)[..], [Extent { guest: PAGES, host, size: BYTES }]);
    assert_eq!(views(2)[..], [Extent { guest: PAGES, host: host + 2 * BYTES, size: BYTES }]);
    let place = Region::new(host, size);
    let ram = plan.guests.iter().flat_map(|guest| &guest.extents).map(|piece| Region::new(piece.host, piece.size));
    assert!(ram.chain([IMAGE, TREE, plan.pool]).all(|other| !other.overlaps(&place)));
    assert_eq!(manifest.fixed.links[..], [links(0, 1), links(2, 1)].concat());
    // It is nothing for the guests' trees, nor takes away what they may map others' pages at.
    assert_eq!(plan.guests[0].extended(&manifest.fixed, &Devices::default(), 0).len(), 2);
    let mut bytes = [0; 4096];
    let tree = GuestTree {
        banks: &plan.guests[0].banks(),
        cpus: 1,
        gic: VirtualGic::V3,
        seeded: false,
        bootargs: "",
        ramdisk: None,
        vpl011: false,
        enhanced: true,
        extended: &[],
        shared: (&manifest.fixed, 0),
        partial: None,
    };
    let (size, _) = tree.write(&mut bytes).unwrap();
    assert!(!bytes[..size].windows(9).any(|word| word == b"xen-shmem"));
}

#[test]
fn it_may_control_all_and_reads_the_loaders_tree() {
    let blob = guests(&[("player", "makuhari,disk = \"xvda=disk0\";"), ("server", IO)]);
    let (_, manifest) = parse(&blob).unwrap();
    let [player, server] = &manifest.domains[..] else { panic!() };
    assert!(server.io_domain && server.peers == !0 && server.allow.has(Group::Control));
    assert_eq!(server.ramdisk.map(|module| module.place), Some(TREE));
    assert!(!player.io_domain && player.peers == 0 && player.allow == Allow::ALL && player.ramdisk.is_none());
    assert!(manifest.warnings.is_empty(), "{:?}", manifest.warnings);
    let restricted = guests(&[("server", "makuhari,io-domain; makuhari,allow = \"events\";")]);
    let allow = parse(&restricted).unwrap().1.domains[0].allow;
    assert!(allow.has(Group::Control) && allow.has(Group::Events) && !allow.has(Group::Memory));
}

#[test]
fn who_is_not_to_have_xenstore_has_none() {
    let blob = guests(&[
        ("server", IO),
        ("without", "xen,enhanced = \"no-xenstore\";"),
        ("plain", "xen,enhanced = \"disabled\";"),
        ("player", ""),
    ]);
    let (manifest, plan) = plan(&blob);
    assert_eq!([1, 2].map(|index| plan.views(&manifest, index).len()), [0, 0]);
    assert_eq!(manifest.fixed.links[..], links(3, 0));
}

#[test]
fn the_first_of_two_holds_the_store() {
    let (first, second) = (("first", IO), ("second", IO));
    let blob = guests(&[first, ("player", ""), second]);
    let (manifest, plan) = plan(&blob);
    for index in [0, 2] {
        let domain = &manifest.domains[index];
        assert_eq!((domain.peers, domain.ramdisk.map(|module| module.place)), (!0, Some(TREE)));
    }
    assert_eq!(manifest.fixed.links[..], [links(1, 0), links(2, 0)].concat());
    assert_eq!([0, 1, 2].map(|index| plan.views(&manifest, index)[0].size), [8 * BYTES, BYTES, BYTES]);
}

#[test]
fn there_is_room_for_as_many_guests_as_there_can_be() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let nodes = names.map(|name| (name, if name == "d" { IO } else { "" }));
    let blob = guests(&nodes);
    let (manifest, plan) = plan(&blob);
    assert_eq!((manifest.fixed.links.len(), manifest.fixed.shared.len(), plan.shared.len()), (28, 8, 8));
    let mut places: Vec<u64> = [0, 1, 2, 4, 5, 6, 7].map(|index| plan.views(&manifest, index)[0].host).into();
    places.dedup();
    assert_eq!(places.len(), 7);
    // Named channels have their own room.
    let channel = |handle: u32, port: u32, other: u32| {
        format!("e@{port} {{ compatible = \"xen,evtchn-v1\"; phandle = <{handle}>; xen,evtchn = <{port} {other}>; }};")
    };
    let ends = |mine: u32, theirs: u32| (0..8).map(|n| channel(mine + n, 100 + n, theirs + n)).collect::<String>();
    let (a, b) = (ends(0x71, 0x91), ends(0x91, 0x71));
    let nodes = names.map(|name| match name {
        "a" => (name, a.as_str()),
        "b" => (name, b.as_str()),
        "d" => (name, IO),
        _ => (name, ""),
    });
    assert_eq!(parse(&guests(&nodes)).unwrap().1.fixed.links.len(), 16 + 28);
}

#[test]
fn refuses_what_is_in_its_way() {
    let ramdisk = "makuhari,io-domain; module@4a000000 { compatible = \"multiboot,ramdisk\", \"multiboot,module\"; \
                   reg = <0 0x4a000000 0 0x1000>; };";
    let message = "/chosen/server: its ramdisk is the device tree: remove this one";
    assert_eq!(refusal(&guests(&[("server", ramdisk)])), message);
    let end = |handle: u32, port: u32, other: u32| {
        format!("e@1 {{ compatible = \"xen,evtchn-v1\"; phandle = <{handle}>; xen,evtchn = <{port} {other}>; }};")
    };
    for (client, server, guilty) in [(2, 9, "player"), (9, 4, "server")] {
        let (client, server) = (end(0x71, client, 0x72), format!("{IO} {}", end(0x72, server, 0x71)));
        let message = refusal(&guests(&[("server", &server), ("player", &client)]));
        assert!(message.starts_with(&format!("/chosen/{guilty}/e@1: xen,evtchn must be <port handle>: ")), "{message}");
    }
}

#[test]
fn on_a_pc_it_is_in_the_hole_below_4_gib() {
    let blob = guests(&[("server", IO), ("player", "")]);
    let host = Host::described(
        &blob,
        &[Region::new(0x4000_0000, 0x4000_0000)],
        [0].into_iter().collect(),
        [].into_iter().collect(),
    )
    .unwrap();
    let manifest = Manifest::parse(&host, IMAGE, TREE).unwrap();
    let plan = Plan::make(&host, &manifest, IMAGE, TREE, 0).unwrap();
    let views = [0, 1].map(|index| plan.views(&manifest, index)[0].guest);
    assert_eq!(views, [0xfef0_0000 + BYTES, 0xfef0_0000]);
    assert_eq!(Banks::PC.io_domain, Region::new(0xfef0_0000, 9 * BYTES));
}

#[test]
fn memory_with_a_name_is_never_there() {
    let shm = |place: &str| {
        format!(
            "shm {{ compatible = \"xen,domain-shared-memory-v1\"; xen,shm-id = \"ring\"; \
             xen,shared-mem = <0 {place} 0 0x10000>; }};"
        )
    };
    for (place, fits) in [("0xfef00000", false), ("0xfef10000", false), ("0xfef20000", true)] {
        let blob = guests(&[("player", &shm(place))]);
        let cpus = [0].into_iter().collect();
        let host = Host::described(&blob, &[Region::new(0x4000_0000, 0x4000_0000)], cpus, [].into_iter().collect());
        let host = host.unwrap();
        let manifest = Manifest::parse(&host, IMAGE, TREE).unwrap();
        assert_eq!(Plan::make(&host, &manifest, IMAGE, TREE, 0).is_ok(), fits, "{place}");
        // ARM has RAM there.
        let (machine, manifest) = parse(&blob).unwrap();
        assert!(Plan::make(&machine, &manifest, IMAGE, TREE, 0).is_ok());
    }
}
