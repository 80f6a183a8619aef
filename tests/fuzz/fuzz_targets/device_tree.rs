//! A loader's device tree: all that boot does with it until the first guest would start.
//!
//! `cargo +nightly fuzz run device_tree` in `tests/fuzz`. Seeds: `dtc -O dtb` of any machine's tree with guests in
//! `/chosen`, put into `corpus/device_tree`.
#![no_main]

use hyp_boot::devices::{Devices, Recipient};
use hyp_boot::guest_tree::{GuestTree, VirtualGic};
use hyp_boot::image::Layout;
use hyp_boot::machine::Machine;
use hyp_boot::manifest::Manifest;
use hyp_boot::partial::Partial;
use hyp_boot::plan::Plan;
use hyp_boot::{BootError, Region};

const IMAGE: Region = Region::new(0x4020_0000, 0x4_0000);
const TREE: Region = Region::new(0x4800_0000, 0x1_0000);

libfuzzer_sys::fuzz_target!(|blob: &[u8]| {
    if let Err(error) = boot(blob) {
        let line = error.to_string();
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
    }
});

fn boot(blob: &[u8]) -> Result<(), BootError<'_>> {
    let machine = Machine::parse(blob)?;
    let manifest = Manifest::parse(&machine, IMAGE, TREE)?;
    for warning in &manifest.warnings {
        assert!(!warning.to_string().contains('\n'));
    }
    let plan = Plan::make(&machine, &manifest, IMAGE, TREE, 512 << 10)?;
    for (index, (domain, memory)) in manifest.domains.iter().zip(&plan.guests).enumerate() {
        let banks = memory.banks();
        assert_eq!(banks.iter().map(|bank| bank.size).sum::<u64>(), domain.memory);
        let Some(first) = banks.first() else { continue };
        // The blob's own bytes stand in for the kernel's header.
        let layout = Layout::make(domain, blob, domain.kernel.place.size, *first);
        // And for a tree that comes with the guest.
        let partial = Partial::parse(domain.kernel.path, blob).ok();
        let to = Recipient { machine: &machine, spec: domain, domain: index, memory, fixed: &manifest.fixed };
        let _ = partial.as_ref().map(|partial| Devices::default().read(partial, &to));
        let ramdisk = layout.ok().and_then(|layout| layout.ramdisk);
        let guest = GuestTree {
            banks: &banks,
            cpus: domain.cpus,
            gic: VirtualGic::V3,
            bootargs: domain.bootargs,
            ramdisk,
            vpl011: domain.vpl011,
            enhanced: domain.enhanced,
            seeded: true,
            extended: &memory.extended(&manifest.fixed, &Devices::default(), index),
            shared: (&manifest.fixed, index),
            partial: partial.as_ref(),
        };
        let mut buffer = vec![0; guest.room()];
        // A partial tree may have more names than there is room for, and nothing else may go wrong.
        let Ok((size, _)) = guest.write(&mut buffer) else {
            assert!(partial.is_some());
            continue;
        };
        assert_eq!(hyp_boot::blob_size(&buffer), Some(size));
    }
    Ok(())
}
