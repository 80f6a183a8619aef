//! The tables that an x86 guest reads: ACPI's, of a PC without legacy hardware.
//!
//! A kernel takes from them how many processors there are, where the interrupt controller for devices is, that there is a
//! serial port and by which interrupt it speaks, and how the machine is switched off and started again. They lie where a
//! PC's firmware has them, below 1 MiB, so that a kernel which is not told finds them by searching.
//!
//! Source: ACPI Specification 6.4, chapter 5 (tables), 4.8.3.7 (sleep registers), 19 and 20 (the one table of code).

use heapless::Vec;

use crate::Region;

/// What a guest is not told to be RAM: the area of a PC's adapters and firmware, which ends with the tables' place.
pub const LEGACY: Region = Region::new(0xa_0000, 0x6_0000);
/// Where the tables lie, guest-physical.
pub const TABLES: Region = Region::new(0xe_0000, 0x2_0000);
/// Where a guest finds its local interrupt controller and the one for devices, and bytes of each.
pub const LOCAL_APIC: Region = Region::new(0xfee0_0000, 0x1000);
/// See [`LOCAL_APIC`].
pub const IO_APIC: Region = Region::new(0xfec0_0000, 0x1000);
/// The serial port's first port, how many it has, and its interrupt.
pub const SERIAL: (u16, u8, u8) = (0x3f8, 8, 4);
/// The port of the sleep control register; the status register follows.
pub const SLEEP_CONTROL: u16 = 0x600;
/// See [`SLEEP_CONTROL`].
pub const SLEEP_STATUS: u16 = SLEEP_CONTROL + 1;
/// What a guest writes there to switch itself off: sleep type 5, sleep enable.
pub const SLEEP: u8 = SLEEP_TYPE << 2 | 1 << 5;
const SLEEP_TYPE: u8 = 5;
/// The port by which a guest starts itself again, and what it writes there.
pub const RESET: (u16, u8) = (0xcf9, 6);

/// Bytes of all tables at most.
const MOST: usize = 1024;
/// Bytes of the first table, of a table's header, and of the fixed description.
const POINTER: usize = 36;
const HEADER: usize = 36;
const FIXED: usize = 276;
/// Where a table has its length and its checksum; where the first has its two checksums, and what the first of them covers.
const LENGTH_AT: usize = 4;
const CHECKSUM_AT: usize = 9;
const POINTER_CHECKSUMS_AT: [usize; 2] = [8, 32];
const OLD_POINTER: usize = 20;
/// Fixed description: offsets of its fields; a reference to a register has 12 bytes.
const CODE_AT: [usize; 2] = [40, 140];
const BOOT_FLAGS_AT: usize = 109;
const FLAGS_AT: usize = 112;
const RESET_AT: usize = 116;
const RESET_VALUE_AT: usize = 128;
const MINOR_AT: usize = 131;
const SLEEP_AT: [usize; 2] = [244, 256];
/// Boot flags: there is no VGA, no message interrupts, no clock in CMOS.
const BOOT_FLAGS: u16 = 1 << 2 | 1 << 3 | 1 << 5;
/// Flags: caches are written back by an instruction; no buttons; there is a reset register; the hardware is reduced.
const FLAGS: u32 = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20;

/// Code: `Name (_S5, Package () { 5, 0 })`, then in `\_SB` a device `COM1` with its names `_HID` (PNP0501), `_UID` and `_CRS`:
/// [`SERIAL`]'s ports, and its interrupt as an edge that is active high (6.4.2.5, 6.4.3.6). Operators and the lengths of
/// packages, which count themselves, are those of chapter 20.
const CODE: &[u8; 69] = b"\x08_S5_\x12\x05\x02\x0a\x05\0\x10\x39\\_SB_\x5b\x82\x31COM1\
    \x08_HID\x0c\x41\xd0\x05\x01\x08_UID\x01\x08_CRS\x11\x16\x0a\x13\
    \x47\x01\xf8\x03\xf8\x03\x01\x08\x89\x06\0\x03\x01\x04\0\0\0\x79\0";

/// The tables while they are written.
pub struct Tables(Vec<u8, MOST>);

impl Tables {
    /// Those of a guest with so many vCPUs; what lies at [`TABLES`].
    pub fn new(vcpus: u8) -> Self {
        let mut tables = Self(Vec::new());
        tables.zeros(POINTER);
        let code = tables.table(b"DSDT", 2, |tables| tables.put(CODE));
        let fixed = tables.table(b"FACP", 6, |tables| tables.zeros(FIXED - HEADER));
        tables.describe(fixed, code);
        let interrupts = tables.table(b"APIC", 5, |tables| tables.interrupts(vcpus));
        let list = tables.table(b"XSDT", 1, |tables| {
            for table in [fixed, interrupts] {
                tables.put(&address(table).to_le_bytes());
            }
        });
        tables.set(0, b"RSD PTR \0MKHARI\x02");
        tables.set(20, &(POINTER as u32).to_le_bytes());
        tables.set(24, &address(list).to_le_bytes());
        for (at, end) in POINTER_CHECKSUMS_AT.into_iter().zip([OLD_POINTER, POINTER]) {
            tables.balance(0, end, at);
        }
        tables
    }

    /// Their bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds bytes. There is room: the tests make the largest of all.
    fn put(&mut self, bytes: &[u8]) {
        let _ = self.0.extend_from_slice(bytes);
    }

    fn zeros(&mut self, bytes: usize) {
        let _ = self.0.resize(self.0.len().saturating_add(bytes), 0);
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    /// Lets the bytes from `start` to `end` sum up to 0, by the one at `at`.
    fn balance(&mut self, start: usize, end: usize, at: usize) {
        self.set(at, &[0]);
        let bytes = self.0.get(start..end).unwrap_or_default();
        let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        self.set(at, &[sum.wrapping_neg()]);
    }

    /// Adds a table at a multiple of 16 bytes; returns its offset.
    fn table(&mut self, signature: &[u8; 4], revision: u8, body: impl FnOnce(&mut Self)) -> usize {
        self.zeros(self.0.len().next_multiple_of(16).saturating_sub(self.0.len()));
        let start = self.0.len();
        self.put(signature);
        self.put(&[0, 0, 0, 0, revision, 0]);
        self.put(b"MKHARIMAKUHARI\x01\0\0\0MKHR\x01\0\0\0");
        body(self);
        let end = self.0.len();
        let length = end.saturating_sub(start) as u32;
        self.set(start.saturating_add(LENGTH_AT), &length.to_le_bytes());
        self.balance(start, end, start.saturating_add(CHECKSUM_AT));
        start
    }

    /// Fills the fixed description in.
    fn describe(&mut self, start: usize, code: usize) {
        let mut set = |at: usize, bytes: &[u8]| self.set(start.saturating_add(at), bytes);
        let code = address(code).to_le_bytes();
        for (at, bytes) in CODE_AT.into_iter().zip([4, 8]) {
            set(at, code.get(..bytes).unwrap_or_default());
        }
        set(BOOT_FLAGS_AT, &BOOT_FLAGS.to_le_bytes());
        set(FLAGS_AT, &FLAGS.to_le_bytes());
        set(RESET_AT, &register(RESET.0));
        set(RESET_VALUE_AT, &[RESET.1]);
        set(MINOR_AT, &[4]);
        for (at, port) in SLEEP_AT.into_iter().zip(SLEEP_CONTROL..) {
            set(at, &register(port));
        }
        self.balance(start, start.saturating_add(FIXED), start.saturating_add(CHECKSUM_AT));
    }

    /// What follows the header of the table of interrupt controllers (5.2.12): the local ones, whose numbers are the vCPUs',
    /// and the one for devices, whose first interrupt is 0.
    fn interrupts(&mut self, vcpus: u8) {
        self.put(&(LOCAL_APIC.start as u32).to_le_bytes());
        self.put(&[0; 4]);
        for vcpu in 0..vcpus {
            self.put(&[0, 8, vcpu, vcpu, 1, 0, 0, 0]);
        }
        self.put(&[1, 12, vcpus, 0]);
        self.put(&(IO_APIC.start as u32).to_le_bytes());
        self.put(&[0; 4]);
    }
}

/// Guest-physical address of an offset.
fn address(offset: usize) -> u64 {
    TABLES.start.saturating_add(offset as u64)
}

/// A reference to a register of 8 bits among the ports (5.2.3.2).
fn register(port: u16) -> [u8; 12] {
    let [low, high] = port.to_le_bytes();
    [1, 8, 0, 1, low, high, 0, 0, 0, 0, 0, 0]
}
