//! What is read of guests, and every reason to refuse them, with the exact words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{PLAYER, parse, refusal, with_chosen};
use hyp_boot::Region;
use hyp_boot::manifest::{Allow, EndAction, Group, LogFormat, Options};
use hyp_core::sched::{Promise, Reservation, Scheduler};

/// The player's node with these properties (or replacements) in it.
fn player(change: &str) -> Vec<u8> {
    with_chosen(&format!("{PLAYER} player {{ {change} }};"))
}

/// A guest of this name whose kernel is here.
fn guest(name: &str, kernel: u32, more: &str) -> String {
    PLAYER.replace("player {", &format!("{name} {{ {more}")).replace("49000000", &format!("{kernel:x}"))
}

#[test]
fn reads_everything_a_node_says() {
    let hog = guest(
        "hog",
        0x4a00_0000,
        r#"makuhari,weight = <512>; makuhari,cpu-affinity = <1>; makuhari,on-poweroff = "machine-off";
           makuhari,on-reboot = "destroy"; makuhari,on-crash = "restart"; makuhari,allow = "version", "console";
           makuhari,peers = "player"; vpl011;"#,
    );
    let ramdisk = r#"hog { module@4b000000 { compatible = "multiboot,ramdisk", "multiboot,module";
        reg = <0 0x4b000000 0 0x123>; }; };"#;
    let blob = with_chosen(&format!("xen,xen-bootargs = \"log=plain\"; {PLAYER} {hog} {ramdisk} probe@7 {{ }};"));
    let (_, manifest) = parse(&blob).unwrap();
    assert!(manifest.warnings.is_empty());
    assert_eq!(manifest.options.log, Some(LogFormat::Plain));
    let [player, hog] = manifest.domains.as_slice() else { panic!("not two") };
    assert_eq!((player.name, player.memory, player.cpus, player.share.weight), ("player", 32 << 20, 1, 256));
    assert_eq!((player.affinity, player.allow, player.peers), (!0, Allow::ALL, 0b10));
    assert_eq!((player.vpl011, player.enhanced, player.bootargs), (false, true, "mode=play"));
    let ends = |domain: &hyp_boot::manifest::DomainSpec<'_>| (domain.on_poweroff, domain.on_reboot, domain.on_crash);
    assert_eq!(ends(player), (EndAction::Destroy, EndAction::Restart, EndAction::Destroy));
    assert_eq!((player.kernel.place, player.ramdisk), (Region::new(0x4900_0000, 0x10_0000), None));
    assert_eq!(ends(hog), (EndAction::MachineOff, EndAction::Destroy, EndAction::Restart));
    assert_eq!((hog.share.weight, hog.affinity, hog.peers, hog.vpl011), (512, 0b10, 0b01, true));
    assert!(hog.allow.has(Group::Version) && hog.allow.has(Group::Console) && !hog.allow.has(Group::Memory));
    assert_eq!(hog.ramdisk.unwrap().place, Region::new(0x4b00_0000, 0x123));
    assert_eq!(hog.ramdisk.unwrap().path.to_string(), "/chosen/hog/module@4b000000");
}

#[test]
fn names_end_at_the_unit_address() {
    let blob = with_chosen(&guest("domU@1", 0x4900_0000, ""));
    let (_, manifest) = parse(&blob).unwrap();
    assert_eq!(manifest.domains[0].name, "domU");
    assert_eq!(manifest.domains[0].path.to_string(), "/chosen/domU@1");
}

#[test]
fn warns_of_what_has_no_effect() {
    let blob = with_chosen(&format!(
        "xen,xen-bootargs = \"console=dtuart dom0_mem=1G bootscrub=0 log=defmt sched=credit2 vwfi=native xsm=flask\";
         {PLAYER} player {{ nr_spis = <0>; max_grant_version = <1>; colour = \"red\"; passthrough = \"disabled\";
             module@49000000 {{ xen,uefi-binary = \"x\"; }};
             vcpu0 {{ compatible = \"xen,vcpu\"; id = <0>; hard-affinity = \"0\"; }}; }};
         module@4f000000 {{ compatible = \"multiboot,kernel\", \"multiboot,module\"; reg = <0 0x4f000000 0 1>; }};
         pool {{ compatible = \"xen,cpupool\"; }};"
    ));
    let (_, manifest) = parse(&blob).unwrap();
    assert_eq!(manifest.options, Options { log: Some(LogFormat::Defmt), ..Options::default() });
    let mut lines: Vec<_> = manifest.warnings.iter().map(ToString::to_string).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "/chosen/module@4f000000 is of no use to this hypervisor and ignored",
            "/chosen/player has properties without effect here: nr_spis colour",
            "/chosen/player/module@49000000 has properties without effect here: xen,uefi-binary",
            "/chosen/player/vcpu0 is of no use to this hypervisor and ignored",
            "/chosen/pool is of no use to this hypervisor and ignored",
            "/chosen: options of the hypervisor without effect here: sched=credit2 (not available, default used) \
             vwfi=native xsm=flask (not available, default used)",
        ]
    );
}

#[test]
fn options_that_work_say_nothing() {
    let guests = format!("{PLAYER} {}", guest("hog", 0x4a00_0000, ""));
    for (words, peers) in [
        ("console=dtuart sched=credit xsm=silo", 0),
        ("console=dtuart dtuart=/pl011@9000000 sched=credit xsm=dummy noreboot", !0),
        ("xsm=dummy xsm=silo", 0),
    ] {
        let blob = with_chosen(&format!("xen,xen-bootargs = \"{words}\"; {guests}"));
        let (_, manifest) = parse(&blob).unwrap();
        assert!(manifest.warnings.is_empty(), "{words}");
        assert!(manifest.domains.iter().all(|domain| domain.peers == peers), "{words}");
    }
}

#[test]
fn finds_its_command_line_where_xen_does() {
    let dom0 = "dom0 { compatible = \"multiboot,kernel\", \"multiboot,module\"; reg = <0 0x4f000000 0 1>; bootargs = \"x\"; };";
    for (chosen, all_peers) in [
        ("bootargs = \"xsm=dummy\";", false),
        ("bootargs = \"xsm=dummy\"; xen,dom0-bootargs = \"\";", true),
        ("bootargs = \"xsm=dummy\"; xen,xen-bootargs = \"\"; xen,dom0-bootargs = \"\";", false),
        (&format!("bootargs = \"xsm=dummy\"; {dom0}"), true),
    ] {
        let blob = with_chosen(&format!("{chosen} {PLAYER}"));
        assert_eq!(parse(&blob).unwrap().1.options.all_peers, all_peers, "{chosen}");
    }
}

#[test]
fn takes_xens_shapes_of_things() {
    let shapes = [
        // One cell for the memory; addresses and sizes of one cell each; the words of Xen 4.4.
        r#"a { compatible = "xen,domain"; #address-cells = <1>; #size-cells = <1>; memory = <0x8000>; cpus = <1>;
            module@49000000 { compatible = "xen,linux-zimage", "xen,multiboot-module"; reg = <0x49000000 0x100000>; };
            module@4b000000 { compatible = "xen,linux-initrd", "xen,multiboot-module"; reg = <0x4b000000 0x123>; }; };"#,
        // Addresses of two cells, sizes of one.
        r#"a { compatible = "xen,domain"; #address-cells = <2>; #size-cells = <1>; memory = <0 0x8000>; cpus = <1>;
            module@49000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x49000000 0x100000>; };
            module@4b000000 { compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0 0x4b000000 0x123>; }; };"#,
        // Widths from /chosen, as Xen inherits them.
        r#"#address-cells = <1>; #size-cells = <1>;
           a { compatible = "xen,domain"; memory = <0 0x8000>; cpus = <1>;
            module@49000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0x49000000 0x100000>; };
            module@4b000000 { compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0x4b000000 0x123>; }; };"#,
        // And from the root.
        r#"a { compatible = "xen,domain"; memory = <0 0x8000>; cpus = <1>;
            module@49000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x49000000 0 0x100000>; };
            module@4b000000 { compatible = "multiboot,ramdisk", "multiboot,module"; reg = <0 0x4b000000 0 0x123>; }; };"#,
    ];
    for shape in shapes {
        let blob = with_chosen(shape);
        let (_, manifest) = parse(&blob).unwrap();
        let domain = &manifest.domains[0];
        assert_eq!((domain.memory, domain.kernel.place), (32 << 20, Region::new(0x4900_0000, 0x10_0000)), "{shape}");
        assert_eq!(domain.ramdisk.map(|module| module.place), Some(Region::new(0x4b00_0000, 0x123)), "{shape}");
        assert!(manifest.warnings.is_empty(), "{shape}");
    }
}

#[test]
fn enhanced_as_xen_reads_it() {
    for (change, seen) in [
        ("/delete-property/ xen,enhanced;", (false, false)),
        ("xen,enhanced = \"disabled\";", (false, false)),
        ("xen,enhanced = \"no-xenstore\";", (true, false)),
        ("xen,enhanced = \"enabled\";", (true, true)),
        ("xen,enhanced = \"\";", (true, true)),
        ("xen,enhanced;", (true, true)),
    ] {
        let blob = player(change);
        let domain = &parse(&blob).unwrap().1.domains[0];
        assert_eq!((domain.enhanced, domain.xenstore), seen, "{change}");
    }
}

#[test]
fn two_guests_may_share_one_kernel_file() {
    parse(&with_chosen(&format!("{PLAYER} {}", guest("other", 0x4900_0000, "")))).unwrap();
}

#[test]
fn the_last_scheduler_counts() {
    for (words, scheduler) in [
        ("", Scheduler::Client),
        ("sched=credit", Scheduler::Client),
        ("sched=credit2", Scheduler::Client),
        ("sched=client", Scheduler::Client),
        ("sched=stock", Scheduler::Stock),
        ("sched=sedf sched=stock", Scheduler::Stock),
    ] {
        let blob = with_chosen(&format!("xen,xen-bootargs = \"{words}\"; {PLAYER}"));
        let wanted = if scheduler.is_built() { scheduler } else { Scheduler::Client };
        assert_eq!(parse(&blob).unwrap().1.options.scheduler, wanted, "{words}");
    }
}

#[test]
fn a_scheduler_of_another_build_is_named_with_the_command_that_builds_it() {
    let blob = with_chosen(&format!("xen,xen-bootargs = \"sched=stock log=plain\"; {PLAYER}"));
    let (_, manifest) = parse(&blob).unwrap();
    let lines: Vec<_> = manifest.warnings.iter().map(ToString::to_string).collect();
    let line = "/chosen: options of the hypervisor without effect here: sched=stock (not in this build, default used; \
                `cargo xtask build --comparison` makes one that has it)";
    assert_eq!(lines, if Scheduler::Stock.is_built() { Vec::new() } else { vec![line] });
}

#[test]
fn reads_promises() {
    let promise = |change: &str| parse(&player(change)).unwrap().1.domains[0].share.promise;
    assert_eq!(promise(""), Promise::None);
    assert_eq!(promise("makuhari,sched = \"credit\";"), Promise::None);
    assert_eq!(promise("makuhari,sched = \"pinned\";"), Promise::Pinned);
    assert_eq!(promise("makuhari,auto-reserve;"), Promise::Auto);
    assert_eq!(promise("makuhari,sched = \"reserve\"; makuhari,auto-reserve;"), Promise::Auto);
    let times = "makuhari,sched = \"reserve\"; makuhari,budget-ns = <5000000>; makuhari,period-ns = <0 16666667>;";
    let plain = Reservation::new(5_000_000, 16_666_667, 16_666_667).unwrap();
    assert_eq!(promise(times), Promise::Reserve(plain));
    let mut other = Reservation::new(5_000_000, 16_666_667, 9_000_000).unwrap();
    (other.reclaim, other.hard) = (true, true);
    let more = "makuhari,deadline-ns = <9000000>; makuhari,reclaim; makuhari,hard;";
    assert_eq!(promise(&format!("{times} {more}")), Promise::Reserve(other));
}

#[test]
fn refuses_wrong_properties() {
    let cases = [
        (
            "makuhari,wieght = <1>;",
            "/chosen/player: makuhari,wieght is not a property of this hypervisor (did you mean makuhari,weight?)",
        ),
        ("makuhari,colour = <1>;", "/chosen/player: makuhari,colour is not a property of this hypervisor: remove it"),
        (
            "module@49000000 { makuhari,weight = <1>; };",
            "/chosen/player/module@49000000: makuhari,weight is not a property of this hypervisor: remove it",
        ),
        ("/delete-property/ memory;", "/chosen/player lacks a property: add memory = <0 KiB>"),
        ("/delete-property/ cpus;", "/chosen/player lacks a property: add cpus = <1>"),
        ("memory = <64 0 0>;", "/chosen/player: memory must be one or two 32-bit cells, a number of KiB"),
        (
            "memory = <0 0>;",
            "/chosen/player: memory is 0 and must be a number of KiB above 0, a multiple of 4, and below 2^40",
        ),
        (
            "memory = <0 1026>;",
            "/chosen/player: memory is 1026 and must be a number of KiB above 0, a multiple of 4, and below 2^40",
        ),
        ("cpus = <0>;", "/chosen/player: cpus is 0 and must be from 1 to 8"),
        ("cpus = <9>;", "/chosen/player: cpus is 9 and must be from 1 to 8"),
        ("cpus = \"three\";", "/chosen/player: cpus must be one 32-bit cell"),
        ("makuhari,weight = <0>;", "/chosen/player: makuhari,weight is 0 and must be from 1 to 65535"),
        ("makuhari,weight = <65536>;", "/chosen/player: makuhari,weight is 65536 and must be from 1 to 65535"),
        (
            "makuhari,cpu-affinity = <0 2>;",
            "/chosen/player: makuhari,cpu-affinity is 2 and must be the number of a CPU of this machine, counted from 0",
        ),
        (
            "makuhari,cpu-affinity;",
            "/chosen/player: makuhari,cpu-affinity must be a list of CPU numbers, such as <0 1>",
        ),
        (
            "makuhari,on-crash = \"restrat\";",
            "/chosen/player: makuhari,on-crash is \"restrat\" and must be \"destroy\", \"restart\" or \"machine-off\"",
        ),
        (
            "makuhari,allow = \"console\", \"everything\";",
            "/chosen/player: makuhari,allow is \"everything\" and must be of \"version\", \"console\", \"sched\", \
             \"events\", \"vcpu\", \"params\", \"memory\", \"control\"",
        ),
        ("makuhari,peers = \"hog\";", "/chosen/player: makuhari,peers names hog, and no other guest is called so"),
        (
            "makuhari,peers = \"player\";",
            "/chosen/player: makuhari,peers names player, and no other guest is called so",
        ),
        (
            "xen,enhanced = \"yes\";",
            "/chosen/player: xen,enhanced is \"yes\" and must be \"enabled\", \"no-xenstore\" or \"disabled\"",
        ),
        (
            "passthrough = \"enabled\";",
            "/chosen/player: passthrough is \"enabled\" and must be \"disabled\": no IOMMU is driven",
        ),
        (
            "module@49000000 { bootargs = [61 07 00]; };",
            "/chosen/player/module@49000000: bootargs must be one string of printable characters",
        ),
        (
            "module@49000000 { bootargs = [61 62]; };",
            "/chosen/player/module@49000000: bootargs must be one string of printable characters",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(refusal(&player(change)), message, "{change}");
    }
}

#[test]
fn refuses_wrong_promises() {
    let cases = [
        (
            "makuhari,sched = \"reserv\";",
            "/chosen/player: makuhari,sched is \"reserv\" and must be \"pinned\", \"reserve\", \"credit\" or \"sedf\"",
        ),
        ("makuhari,sched = \"reserve\", \"credit\";", "/chosen/player: makuhari,sched must be one class"),
        (
            "makuhari,sched = \"sedf\"; makuhari,budget-ns = <10000>; makuhari,period-ns = <20000>;",
            "/chosen/player: makuhari,sched must be another class without the option sched=sedf",
        ),
        (
            "makuhari,sched = \"pinned\"; makuhari,auto-reserve;",
            "/chosen/player: makuhari,sched must be \"reserve\", or makuhari,auto-reserve left out",
        ),
        (
            "makuhari,auto-reserve; makuhari,hard;",
            "/chosen/player: makuhari,hard must be left out beside makuhari,auto-reserve",
        ),
        ("makuhari,sched = \"reserve\";", "/chosen/player lacks a property: add makuhari,budget-ns = <5000000>"),
        (
            "makuhari,sched = \"reserve\"; makuhari,budget-ns = <10000>;",
            "/chosen/player lacks a property: add makuhari,period-ns = <16666667>",
        ),
        (
            "makuhari,budget-ns = <10000>;",
            "/chosen/player: makuhari,budget-ns must be left out without makuhari,sched = \"reserve\"",
        ),
        (
            "makuhari,sched = \"reserve\"; makuhari,budget-ns = <30000>; makuhari,period-ns = <20000>;",
            "/chosen/player: makuhari,budget-ns is 30000 and must be from 10000 ns to the deadline or period",
        ),
        (
            "makuhari,sched = \"reserve\"; makuhari,budget-ns = <0>; makuhari,period-ns = <20000>;",
            "/chosen/player: makuhari,budget-ns is 0 and must be from 10000 ns to the deadline or period",
        ),
        (
            "makuhari,sched = \"reserve\"; makuhari,budget-ns = <10000>; makuhari,period-ns = <0xffffffff 0xffffffff>;",
            "/chosen/player: makuhari,period-ns is 18446744073709551615 and must be from 10000 ns to 4000000000 ns",
        ),
        (
            "makuhari,sched = \"reserve\"; makuhari,budget-ns = <10000>; makuhari,period-ns = <20000>; \
             makuhari,deadline-ns = <30000>;",
            "/chosen/player: makuhari,deadline-ns is 30000 and must be from 10000 ns to the period",
        ),
        (
            "makuhari,sched = \"reserve\"; makuhari,budget-ns = <1 2 3>; makuhari,period-ns = <20000>;",
            "/chosen/player: makuhari,budget-ns must be one or two 32-bit cells, nanoseconds",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(refusal(&player(change)), message, "{change}");
    }
}

#[test]
fn refuses_wrong_modules() {
    let cases = [
        (
            "/delete-node/ module@49000000;",
            "/chosen/player has no kernel: add a module with compatible = \"multiboot,kernel\", \"multiboot,module\"",
        ),
        (
            "module@1 { compatible = \"multiboot,kernel\"; reg = <0 0x4a000000 0 1>; };",
            "/chosen/player/module@1: the guest has another module of this kind: remove one",
        ),
        (
            "module@49000000 { compatible = \"multiboot,module\"; };",
            "/chosen/player/module@49000000: compatible must name multiboot,kernel, multiboot,ramdisk \
             or multiboot,device-tree",
        ),
        (
            "module@49000000 { reg = <0 0x49000000 0 0>; };",
            "/chosen/player/module@49000000: reg must be the module's address and its size, which is not 0",
        ),
        (
            "module@49000000 { reg = <0xffffffff 0xffffffff 0 2>; };",
            "/chosen/player/module@49000000: reg must be the module's address and its size, which is not 0",
        ),
        (
            "module@49000000 { reg = <0 0x7ff80000 0 0x100000>; };",
            "/chosen/player/module@49000000 at 0x7ff80000..0x80080000 is not in RAM: load it into RAM",
        ),
        (
            "module@49000000 { reg = <0 0x40200000 0 0x1000>; };",
            "/chosen/player/module@49000000 at 0x40200000..0x40201000 overlaps the hypervisor at \
             0x40200000..0x40240000: load it elsewhere",
        ),
        (
            "module@49000000 { reg = <0 0x47fff000 0 0x2000>; };",
            "/chosen/player/module@49000000 at 0x47fff000..0x48001000 overlaps the device tree at \
             0x48000000..0x48010000: load it elsewhere",
        ),
        (
            "rd { compatible = \"multiboot,ramdisk\"; reg = <0 0x490ff000 0 0x1000>; };",
            "/chosen/player/module@49000000 at 0x49000000..0x49100000 overlaps /chosen/player/rd at \
             0x490ff000..0x49100000: load it elsewhere",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(refusal(&player(change)), message, "{change}");
    }
}

#[test]
fn refuses_bad_names() {
    let why = "the device tree is damaged (the name of a node has a bad character or more than 31): make it again with dtc \
               and load all of it";
    let long = "a-name-of-thirty-two-characters-";
    assert_eq!(refusal(&with_chosen(&guest(long, 0x4900_0000, ""))), why);
    parse(&with_chosen(&guest(&long[1..], 0x4900_0000, ""))).unwrap();
    assert_eq!(
        refusal(&with_chosen(&guest("hyp@0", 0x4900_0000, ""))),
        "/chosen/hyp@0: the hypervisor's own lines on the console begin with [hyp]: give the guest another name"
    );
    let mut blob = with_chosen(&guest("visible", 0x4900_0000, ""));
    let at = blob.windows(7).position(|bytes| bytes == b"visible").unwrap();
    blob[at] = 0x07;
    assert_eq!(refusal(&blob), why);
}

#[test]
fn refuses_wrong_sets_of_guests() {
    let no_guest = "/chosen names no guest: add a node with compatible = \"xen,domain\", memory, cpus and a module with \
                    compatible = \"multiboot,kernel\"";
    assert_eq!(refusal(&with_chosen("")), no_guest);
    let twice = format!("{} {}", guest("a@1", 0x4900_0000, ""), guest("a@2", 0x4a00_0000, ""));
    assert_eq!(refusal(&with_chosen(&twice)), "/chosen/a@2: another guest is called a already: rename one");
    let many = |count: u32, more: &str| -> String {
        (0..count).map(|index| guest(&format!("g{index}"), 0x4900_0000 + (index << 20), more)).collect()
    };
    assert_eq!(
        refusal(&with_chosen(&many(9, ""))),
        "/chosen/g8: this hypervisor has room for 8 guests, and this is one more: remove it"
    );
    let forty = many(5, "").replace("cpus = <1>", "cpus = <8>");
    assert_eq!(
        refusal(&with_chosen(&forty)),
        "/chosen/g4: this hypervisor has room for 32 virtual CPUs, and this is one more: remove it"
    );
}

#[test]
fn a_watchdog_follows_the_rule_for_crashes_unless_it_has_its_own_and_control_must_be_asked_for() {
    let cases = [("", EndAction::Destroy), (r#"makuhari,on-crash = "restart";"#, EndAction::Restart)];
    let own = r#"makuhari,on-crash = "restart"; makuhari,on-watchdog = "machine-off";"#;
    for (change, watchdog) in cases.into_iter().chain([(own, EndAction::MachineOff)]) {
        let blob = player(change);
        let (_, manifest) = parse(&blob).unwrap();
        assert_eq!(manifest.domains[0].on_watchdog, watchdog, "{change}");
        assert!(!manifest.domains[0].allow.has(Group::Control));
    }
    let blob = player(r#"makuhari,allow = "control";"#);
    let (_, manifest) = parse(&blob).unwrap();
    assert!(manifest.domains[0].allow.has(Group::Control) && !manifest.domains[0].allow.has(Group::Sched));
}
