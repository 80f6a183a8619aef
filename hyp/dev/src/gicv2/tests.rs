use std::sync::atomic::{AtomicU32, Ordering};

use super::GicV2;
use crate::gic::{Acknowledged, GicError, Trigger};

/// Plain memory in place of the registers: shows what is written where, and does nothing on its own.
#[repr(C, align(4096))]
struct Fake {
    distributor: [AtomicU32; 1024],
    interface: [AtomicU32; 2048],
}

impl Fake {
    fn at(&self, offset: usize) -> u32 {
        self.distributor[offset / 4].load(Ordering::Relaxed)
    }
}

fn fake() -> (&'static Fake, GicV2) {
    let fake: &'static Fake = Box::leak(Box::new(Fake {
        distributor: [const { AtomicU32::new(0) }; 1024],
        interface: [const { AtomicU32::new(0) }; 2048],
    }));
    // ITLinesNumber 2: 96 interrupts.
    fake.distributor[1].store(2, Ordering::Relaxed);
    // SAFETY: both arrays are leaked, aligned to 4 KiB, large enough, and made of cells that allow shared writes.
    let gic = unsafe { GicV2::new(fake.distributor.as_ptr() as usize, fake.interface.as_ptr() as usize) };
    (fake, gic.unwrap())
}

#[test]
fn init_disables_shared_interrupts_only() {
    let (fake, gic) = fake();
    gic.init();
    assert_eq!([fake.at(0x180), fake.at(0x184), fake.at(0x188), fake.at(0x18c)], [0, u32::MAX, u32::MAX, 0]);
    assert_eq!([fake.at(0x41c), fake.at(0x420), fake.at(0x45c), fake.at(0x460)], [0, 0x8080_8080, 0x8080_8080, 0]);
    assert_eq!(fake.at(0), 1);
}

#[test]
fn cpus_are_found_by_the_number_of_their_interface() {
    let (fake, gic) = fake();
    fake.distributor[0x800 / 4].store(0x0404_0404, Ordering::Relaxed);
    fake.interface[0].store(0x1e0 | 2, Ordering::Relaxed);
    assert_eq!(gic.init_cpu(0x8000_0102), Ok(()));
    assert_eq!(fake.interface[0].load(Ordering::Relaxed), 0x1e0 | 0x201, "bypass bits kept, two-step end on");
    assert_eq!(gic.send_sgi(0x102, 5), Ok(()));
    assert_eq!(fake.at(0xf00), 0x0004_0005);
    assert_eq!(gic.send_sgi(0x103, 5), Err(GicError::NoSuchCpu(0x103)));
    assert_eq!(gic.send_sgi(0x102, 16), Err(GicError::BadInterrupt(16)));
    assert_eq!(gic.route(33, 0x8000_0102), Ok(()));
    assert_eq!(fake.at(0x820), 0x0400);
}

#[test]
fn a_mask_of_two_cpus_is_refused() {
    let (fake, gic) = fake();
    fake.distributor[0x800 / 4].store(0x0300, Ordering::Relaxed);
    assert_eq!(gic.init_cpu(0), Err(GicError::UnknownLayout));
}

#[test]
fn settings_touch_their_interrupt_only() {
    let (fake, gic) = fake();
    fake.distributor[0xc08 / 4].store(0x5555_5555, Ordering::Relaxed);
    assert_eq!(gic.set_trigger(33, Trigger::Edge), Ok(()));
    assert_eq!(fake.at(0xc08), 0x5555_555d);
    assert_eq!(gic.set_trigger(33, Trigger::Level), Ok(()));
    assert_eq!(fake.at(0xc08), 0x5555_5555);
    assert_eq!(gic.set_priority(34, 0x40), Ok(()));
    assert_eq!(fake.at(0x420), 0x0040_0000);
    assert_eq!(gic.enable(65, true), Ok(()));
    assert_eq!(fake.at(0x108), 2);
    for result in [gic.enable(1020, true), gic.set_priority(1020, 0), gic.route(1020, 0)] {
        assert_eq!(result, Err(GicError::BadInterrupt(1020)));
    }
    assert_eq!(gic.set_trigger(3, Trigger::Edge), Err(GicError::BadInterrupt(3)), "SGIs are what they are");
}

#[test]
fn the_sender_of_an_sgi_survives_until_its_end() {
    let (fake, gic) = fake();
    fake.interface[3].store(1023, Ordering::Relaxed);
    assert_eq!(gic.acknowledge(), None);
    fake.interface[3].store(1 << 10 | 7, Ordering::Relaxed);
    let interrupt = gic.acknowledge().unwrap();
    assert_eq!((interrupt, interrupt.intid()), (Acknowledged(1 << 10 | 7), 7));
    gic.drop_priority(interrupt);
    gic.deactivate(interrupt);
    assert_eq!(fake.interface[4].load(Ordering::Relaxed), 1 << 10 | 7);
    assert_eq!(fake.interface[0x1000 / 4].load(Ordering::Relaxed), 1 << 10 | 7);
}
