//! Damaged trees: whatever a loader hands over, the answer is a machine or a message, never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{IMAGE, PLAYER, TREE, with_chosen};
use hyp_boot::image::Layout;
use hyp_boot::machine::Machine;
use hyp_boot::manifest::Manifest;
use hyp_boot::plan::Plan;

/// Everything that boot does with a blob. Returns whether it went all the way.
fn boot(blob: &[u8]) -> bool {
    let machine = match Machine::parse(blob) {
        Ok(machine) => machine,
        Err(error) => return one_line(error),
    };
    let manifest = match Manifest::parse(blob, &machine, IMAGE, TREE) {
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
        if let Err(error) = Layout::make(domain, &[0; 64], memory.banks()[0]) {
            one_line(error);
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

fn good() -> Vec<u8> {
    let hog = PLAYER.replace("player", "hog").replace("49000000", "4a000000");
    with_chosen(&format!("stdout-path = \"serial0:115200n8\"; xen,xen-bootargs = \"log=plain x\"; {PLAYER} {hog}"))
}

#[test]
fn twenty_thousand_damaged_trees() {
    let good = good();
    assert!(boot(&good));
    let mut random = Random(0x6d61_6b75_6861_7269);
    let mut survivors = 0;
    for _ in 0..20_000 {
        let mut blob = good.clone();
        for _ in 0..=random.below(8) {
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
