//! Heap: the largest gap in RAM between the image, what the loader tells and the RAM disk.

use talc::TalcLock;
use talc::source::Manual;

use crate::Machine;
use crate::cpu::Relax;
use crate::memory;

#[global_allocator]
static HEAP: TalcLock<spin::mutex::SpinMutex<(), Relax>, Manual> = TalcLock::new(Manual);

const PAGE: usize = 4096;

/// Give the heap its memory. The last page of RAM stays out of it, for [`memory::mailbox`].
pub(crate) fn init(machine: &Machine) {
    let (start, end) = machine.memory;
    let end = end.min(memory::MAPPED_END as usize).saturating_sub(PAGE);
    let mut taken = [memory::image(), machine.told(), machine.initrd_range()];
    taken.sort_unstable();
    let mut gap = (0, 0);
    let mut from = start;
    for (first, after) in taken.into_iter().chain([(end, end)]) {
        let first = first.min(end);
        if first > from && first - from > gap.1 - gap.0 {
            gap = (from, first);
        }
        from = from.max(after);
    }
    let (from, to) = (gap.0.next_multiple_of(PAGE), gap.1 & !(PAGE - 1));
    if to <= from {
        crate::println!("no memory for a heap: RAM is {start:#x} to {end:#x}; give the guest more memory");
        return;
    }
    // SAFETY: the range is RAM as the loader says, mapped, and disjoint from image, loader's words and RAM disk as
    // computed above; it is claimed once, here.
    let claimed = unsafe { HEAP.lock().claim(from as *mut u8, to - from) };
    if claimed.is_none() {
        crate::println!("no memory for a heap: {from:#x} to {to:#x} is too small");
    }
}
