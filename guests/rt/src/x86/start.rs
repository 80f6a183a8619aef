//! What the loader tells: `hvm_start_info`, read once into a [`Machine`].

use core::ffi::CStr;
use core::slice;

use spin::Once;
use xen_abi::start_info::{
    HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_START_MAGIC_VALUE,
};
use xen_abi::vcpu::VCPUOP_IS_UP;

use crate::arch::{hypercall as page, serial};
use crate::{console, cpu, hypercall, image, memory, println};

/// Longest command line that is kept.
const LINE: usize = 1024;
/// Most modules, and most pieces of the memory map, that are looked at.
const MOST: usize = 128;

/// What the loader says of this machine.
#[derive(Debug)]
pub struct Machine {
    /// The piece of RAM that the image is in: first address, first address behind.
    pub memory: (usize, usize),
    /// The command line, empty where absent.
    pub bootargs: &'static str,
    /// The first module.
    pub initrd: Option<&'static [u8]>,
    /// Is there a hypervisor that offers Xen's interface?
    pub hypervisor: bool,
    /// The serial port.
    pub uart: Option<usize>,
    /// Its interrupt.
    pub uart_intid: u32,
    numbers: [u64; cpu::MAX],
    cpu_count: usize,
}

static MACHINE: Once<Machine> = Once::new();
static COMMAND_LINE: Once<[u8; LINE]> = Once::new();

impl Machine {
    /// Numbers of the vCPUs.
    pub fn cpus(&self) -> &[u64] {
        self.numbers.get(..self.cpu_count).unwrap_or_default()
    }

    /// Where this machine's RAM begins: what is told of it leaves out the place of a PC's adapters and firmware.
    pub const fn ram_start(&self) -> usize {
        0
    }

    /// Where what the loader tells has to stay: nowhere, since all of it is copied.
    pub(crate) fn told(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// Read what is at `address`. Without it there is nobody to tell but a hypervisor.
pub(crate) fn read(address: usize) -> &'static Machine {
    let hypervisor = page::find();
    // SAFETY: the boot protocol puts the address of this structure into EBX; it lies in RAM, below 4 GiB, and nothing here
    // writes it.
    let start = unsafe { (address as *const HvmStartInfo).read_unaligned() };
    if start.magic != XEN_HVM_START_MAGIC_VALUE {
        console::assume_hypervisor();
        println!("no hvm_start_info at {address:#x} (EBX at entry): its magic is {:#x}", start.magic);
        crate::power::crash()
    }
    MACHINE.call_once(|| describe(&start, hypervisor))
}

/// The machine; [`crate::entry!`]'s function has been given it before anybody can ask.
pub fn machine() -> Option<&'static Machine> {
    MACHINE.get()
}

fn describe(start: &HvmStartInfo, hypervisor: bool) -> Machine {
    let mut machine = Machine {
        memory: ram(start),
        bootargs: command_line(start.cmdline_paddr),
        initrd: None,
        hypervisor,
        uart: Some(serial::FIRST),
        uart_intid: 4,
        numbers: core::array::from_fn(|number| number as u64),
        cpu_count: 1,
    };
    machine.initrd = initrd(start, machine.memory);
    if hypervisor {
        console::assume_hypervisor();
        let exists = |&number: &u32| hypercall::vcpu_op(VCPUOP_IS_UP, number, &mut 0u64).is_ok();
        machine.cpu_count = (1..cpu::MAX as u32).take_while(exists).count() + 1;
    }
    machine
}

/// A list of the loader's; empty where it is none.
fn list<T: Copy>(address: u64, count: u32) -> &'static [T] {
    if address == 0 || address >= memory::MAPPED_END || !(address as usize).is_multiple_of(align_of::<T>()) {
        return &[];
    }
    // SAFETY: mapped, aligned, written by the loader before the start, and not touched before the heap is made, behind
    // which nobody asks.
    unsafe { slice::from_raw_parts(address as *const T, (count as usize).min(MOST)) }
}

/// The piece of RAM that we are in; without a memory map our own image.
fn ram(start: &HvmStartInfo) -> (usize, usize) {
    let own = image::image();
    let pieces = list::<HvmMemmapTableEntry>(start.memmap_paddr, start.memmap_entries);
    let range = |piece: &HvmMemmapTableEntry| (piece.addr as usize, piece.addr.saturating_add(piece.size) as usize);
    let ram = pieces.iter().filter(|piece| piece.kind == XEN_HVM_MEMMAP_TYPE_RAM);
    ram.map(range).find(|range| range.0 <= own.0 && own.1 <= range.1).unwrap_or(own)
}

/// A copy of the command line.
fn command_line(address: u64) -> &'static str {
    if address == 0 || address >= memory::MAPPED_END {
        return "";
    }
    let copy = COMMAND_LINE.call_once(|| {
        let mut copy = [0; LINE];
        for (byte, place) in copy.iter_mut().take(LINE - 1).zip(address..memory::MAPPED_END) {
            // SAFETY: mapped, and the loader's until the line's end.
            *byte = unsafe { (place as *const u8).read() };
            if *byte == 0 {
                break;
            }
        }
        copy
    });
    CStr::from_bytes_until_nul(copy).ok().and_then(|line| line.to_str().ok()).unwrap_or_default()
}

fn initrd(start: &HvmStartInfo, memory: (usize, usize)) -> Option<&'static [u8]> {
    let module = list::<HvmModlistEntry>(start.modlist_paddr, start.nr_modules).first()?;
    let (first, behind) = (module.paddr as usize, module.paddr.checked_add(module.size)? as usize);
    if first < memory.0 || behind > memory.1 || first >= behind {
        return None;
    }
    // SAFETY: inside RAM as just checked, written by the loader before the start, and left alone by the heap; the image
    // does not overlap it, or the loader would have destroyed one of them.
    Some(unsafe { slice::from_raw_parts(first as *const u8, behind - first) })
}
