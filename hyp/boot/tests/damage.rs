//! Damaged trees: whatever a loader hands over, the answer is a machine or a message, never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{IMAGE, PLAYER, TREE, dtc, with_chosen};
use hyp_boot::devices::{Devices, Recipient};
use hyp_boot::image::Layout;
use hyp_boot::machine::Machine;
use hyp_boot::manifest::Manifest;
use hyp_boot::partial::Partial;
use hyp_boot::plan::Plan;

/// Everything that boot does with a blob. Returns whether it went all the way.
fn boot(blob: &[u8]) -> bool {
    let machine = match Machine::parse(blob) {
        Ok(machine) => machine,
        Err(error) => return one_line(error),
    };
    let manifest = match Manifest::parse(&machine, IMAGE, TREE) {
        Ok(manifest) => manifest,
        Err(error) => return one_line(error),
    };
    for warning in &manifest.warnings {
        one_line(warning);
    }
    let plan = match Plan::make(&machine, &manifest, IMAGE, TREE, 512 << 10) {
        Ok(plan) => plan,
        Err(error) => return one_line(error),
    };
    for (domain, memory) in manifest.domains.iter().zip(&plan.guests) {
        if let Err(error) = Layout::make(domain, &[0; 64], domain.kernel.place.size, memory.banks()[0]) {
            one_line(error);
        }
        memory.extended(&manifest.fixed, &Devices::default(), 0);
        // The blob's own bytes stand in for a tree that comes with the guest.
        match Partial::parse(domain.kernel.path, blob) {
            Ok(partial) => {
                let _ = partial.warning().map(one_line);
                let to = Recipient { machine: &machine, spec: domain, domain: 0, memory, fixed: &manifest.fixed };
                let _ = Devices::default().read(&partial, &to).map_err(one_line);
            }
            Err(error) => drop(one_line(error)),
        }
    }
    true
}

fn one_line(message: impl ToString) -> bool {
    let message = message.to_string();
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
    false
}

/// Numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// A small machine with two guests: every byte of it matters, so that damage seldom hits what nobody reads.
const SMALL: &str = r#"/dts-v1/; /memreserve/ 0x7f000000 0x1000; / { #address-cells = <2>; #size-cells = <2>;
    aliases { serial0 = "/soc/serial@9000000"; };
    memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
    reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; a@50000000 { reg = <0 0x50000000 0 0x1000>; }; };
    cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { reg = <0>; enable-method = "psci"; }; cpu@1 { reg = <1>; }; };
    psci { compatible = "arm,psci-1.0"; method = "smc"; };
    timer { compatible = "arm,armv8-timer"; interrupts = <1 13 4 1 14 4 1 11 4 1 10 4>; };
    soc { compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; ranges = <0 0 0 0x10000000>;
        intc@8000000 { compatible = "arm,gic-v3"; reg = <0x8000000 0x10000 0x80a0000 0xf60000>; interrupts = <1 9 4>; };
        serial@9000000 { compatible = "arm,pl011"; reg = <0x9000000 0x1000>; interrupts = <0 1 4>; }; };
    chosen { stdout-path = "serial0:115200n8"; xen,xen-bootargs = "log=plain x"; PLAYER HOG }; };"#;

fn good() -> Vec<u8> {
    let hog = PLAYER.replace("player", "hog").replace("49000000", "4a000000");
    let hog = hog.replace(
        "memory =",
        "makuhari,peers = \"player\"; makuhari,allow = \"console\"; xen,static-mem = <0 0x60000000 0 0x2000000>; memory =",
    );
    let join = |end: u32, other: u32, host: &str| {
        format!(
            "e {{ compatible = \"xen,evtchn-v1\"; phandle = <{end}>; xen,evtchn = <3 {other}>; }};
             s {{ compatible = \"xen,domain-shared-memory-v1\"; xen,shm-id = \"x\"; xen,shared-mem = <{host} 0 0x70000000 0 0x1000>; }};"
        )
    };
    let inside = |guest: &str, more: &str| format!("{} {more} }};", guest.trim_end().strip_suffix("};").unwrap());
    let player = inside(PLAYER, &join(7, 8, "0 0x6a000000"));
    let hog = inside(&hog, &join(8, 7, "0 0x6a000000"));
    dtc(&SMALL.replace("PLAYER", &player).replace("HOG", &hog), "dts").0
}

#[test]
fn twenty_thousand_damaged_trees() {
    let good = good();
    assert!(boot(&good));
    let mut random = Random(0x6d61_6b75_6861_7269);
    let mut survivors = 0;
    for _ in 0..20_000 {
        let mut blob = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(blob.len());
            match random.below(4) {
                0 => blob[at] = random.below(256) as u8,
                1 => blob[at] ^= 1 << random.below(8),
                2 => blob[at & !3..].iter_mut().take(4).for_each(|byte| *byte = if at & 1 == 0 { 0xff } else { 0 }),
                _ => {
                    let from = random.below(blob.len());
                    let length = random.below(16).min(blob.len() - at.max(from));
                    blob.copy_within(from..from + length, at);
                }
            }
        }
        survivors += u32::from(boot(&blob));
    }
    // The damage must reach all of the code: some trees are refused, some are not.
    assert!((1_000..19_000).contains(&survivors), "{survivors}");
}

#[test]
fn every_truncation() {
    let good = good();
    for length in 0..good.len() {
        assert!(!boot(&good[..length]));
        // The same with a header that fits the length.
        let mut blob = good[..length].to_vec();
        if let Some(size) = blob.get_mut(4..8) {
            size.copy_from_slice(&(length as u32).to_be_bytes());
        }
        boot(&blob);
    }
}

#[test]
fn deep_trees_do_not_exhaust_the_stack() {
    let deep = |depth: usize| {
        let open = "soc { compatible = \"simple-bus\"; #address-cells = <1>; #size-cells = <1>; ranges; ".repeat(depth);
        with_chosen(&format!("{PLAYER} {open} {}", "};".repeat(depth)))
    };
    assert!(boot(&deep(40)));
}
