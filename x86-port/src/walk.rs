//! A guest's own page tables, walked as its processor walks them.
//!
//! A hypercall passes guest-virtual addresses, and this processor has no instruction that translates them. So the tables are
//! read here, with the privilege that the guest has: long mode with four levels, PAE, two levels of 32-bit entries, or none.
//! Source: Intel SDM 3A, chapter 4. Not looked at: protection keys and SMAP, which keep a kernel from accidents with its
//! users' memory and no user from a kernel.

use hyp_core::arch::BadAddress;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const BLOCK: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Control register bits: paging and write protection of CR0; 4 MiB pages, PAE and five levels of CR4; long mode of EFER.
const CR0_WP: u64 = 1 << 16;
const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_LA57: u64 = 1 << 12;
const EFER_LMA: u64 = 1 << 10;

/// The registers that say how a vCPU translates, and for whom.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paging {
    /// Control registers.
    pub cr0: u64,
    /// The root of the tables.
    pub cr3: u64,
    /// More control.
    pub cr4: u64,
    /// Extended features.
    pub efer: u64,
    /// It runs a user's code.
    pub user: bool,
}

/// A way of dividing an address.
struct Mode {
    /// Bytes of an entry.
    entry: u64,
    /// Levels, and bits of the address that each takes.
    levels: u32,
    bits: u32,
    /// The root is not a whole page (PAE), and its entries carry no rights.
    short_root: bool,
    /// The highest level at which a block may stand; the lowest is 0.
    largest: u32,
}

const LONG: Mode = Mode { entry: 8, levels: 4, bits: 9, short_root: false, largest: 2 };
const FIVE_LEVELS: Mode = Mode { entry: 8, levels: 5, bits: 9, short_root: false, largest: 2 };
const PAE: Mode = Mode { entry: 8, levels: 3, bits: 9, short_root: true, largest: 1 };
const LEGACY: Mode = Mode { entry: 4, levels: 2, bits: 10, short_root: false, largest: 1 };

impl Paging {
    /// Translates a guest-virtual address. `read` reads 4 or 8 bytes of guest-physical memory, at a multiple of as many.
    ///
    /// # Errors
    /// The guest's own access would fault.
    #[inline(always)]
    pub fn translate(
        &self,
        address: u64,
        write: bool,
        read: impl FnMut(u64, u64) -> Result<u64, BadAddress>,
    ) -> Result<u64, BadAddress> {
        if self.cr0 & CR0_PG != 0 && self.efer & EFER_LMA != 0 && self.cr4 & CR4_LA57 == 0 {
            return self.walk(&LONG, address, write, read);
        }
        self.translate_rare(address, write, read)
    }

    /// The same in the modes that kernels leave soon, or are rarely in.
    #[cold]
    #[inline(never)]
    fn translate_rare(
        &self,
        address: u64,
        write: bool,
        read: impl FnMut(u64, u64) -> Result<u64, BadAddress>,
    ) -> Result<u64, BadAddress> {
        if self.cr0 & CR0_PG == 0 {
            return if address <= u64::from(u32::MAX) { Ok(address) } else { Err(BadAddress) };
        }
        let mode = match (self.efer & EFER_LMA != 0, self.cr4 & CR4_PAE != 0) {
            (true, _) => &FIVE_LEVELS,
            (false, true) => &PAE,
            (false, false) => &LEGACY,
        };
        self.walk(mode, address, write, read)
    }

    #[inline(always)]
    fn walk(
        &self,
        mode: &Mode,
        address: u64,
        write: bool,
        mut read: impl FnMut(u64, u64) -> Result<u64, BadAddress>,
    ) -> Result<u64, BadAddress> {
        mode.check(address)?;
        let mut table = if mode.short_root { self.cr3 & 0xffff_ffe0 } else { self.cr3 & ADDRESS };
        let mut rights = WRITABLE | USER;
        for level in (0..mode.levels).rev() {
            let shift = 12 + mode.bits * level;
            let index = address >> shift & ((1 << mode.bits) - 1);
            let entry = read(table.wrapping_add(index * mode.entry), mode.entry)?;
            if entry & PRESENT == 0 {
                return Err(BadAddress);
            }
            if !(mode.short_root && level == mode.levels - 1) {
                rights &= entry;
            }
            let block = level > 0 && entry & BLOCK != 0 && (mode.entry == 8 || self.cr4 & CR4_PSE != 0);
            if block && level > mode.largest {
                return Err(BadAddress);
            }
            if block || level == 0 {
                self.check_rights(rights, write)?;
                let span = (1u64 << shift) - 1;
                // Blocks of 4 MiB have bits 39 to 32 of their address in bits 20 to 13 (Intel SDM 3A, table 4-4).
                let high = if block && mode.entry == 4 { (entry >> 13 & 0xff) << 32 } else { 0 };
                return Ok(high | entry & ADDRESS & !span | address & span);
            }
            table = entry & ADDRESS;
        }
        Err(BadAddress)
    }

    #[inline(always)]
    fn check_rights(&self, rights: u64, write: bool) -> Result<(), BadAddress> {
        let may_write = rights & WRITABLE != 0 || !self.user && self.cr0 & CR0_WP == 0;
        let may_read = rights & USER != 0 || !self.user;
        if may_read && (may_write || !write) { Ok(()) } else { Err(BadAddress) }
    }
}

impl Mode {
    /// The bits that no level takes must be a sign (long mode) or zero.
    #[inline(always)]
    fn check(&self, address: u64) -> Result<(), BadAddress> {
        let fine = if self.levels > 3 {
            let unused = 64 - 12 - self.bits * self.levels;
            ((address as i64) << unused >> unused) as u64 == address
        } else {
            address <= u64::from(u32::MAX)
        };
        if fine { Ok(()) } else { Err(BadAddress) }
    }
}

#[cfg(test)]
mod tests;
