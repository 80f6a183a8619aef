//! Where a partition of a disk is: its table is a GPT, or an MBR's four entries.
//!
//! A table is read once, when a guest is to have a partition, and what it says is checked against the disk.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use gpt_disk_types::{GptHeader, GptPartitionEntry, MasterBootRecord};
use rt::virtio::block::SECTOR;

use super::disks::Physical;

/// Entries of a GPT at most: what everybody writes.
const ENTRIES: u32 = 128;
/// The protective MBR's only entry, by its type.
const PROTECTIVE: u8 = 0xee;
/// Types of extended partitions, whose chains are not followed.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// The sectors of a disk's partition, counted from 1.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn find(disk: &mut Physical, number: u32) -> Result<Range<u64>, String> {
    let sectors = disk.sectors();
    let first = read::<MasterBootRecord>(disk, 0)?;
    if first.signature != [0x55, 0xaa] {
        return Err("it has no table of partitions".into());
    }
    let range = if first.partitions.iter().any(|entry| entry.os_indicator == PROTECTIVE) {
        of_gpt(disk, number)?
    } else {
        of_mbr(&first, number)?
    };
    if range.is_empty() || range.end > sectors {
        return Err(format!("its table says that partition {number} is at {range:?}, of {sectors} sectors"));
    }
    Ok(range)
}

fn of_mbr(first: &MasterBootRecord, number: u32) -> Result<Range<u64>, String> {
    let entry = (number as usize).checked_sub(1).and_then(|at| first.partitions.get(at));
    let entry = entry.filter(|entry| entry.os_indicator != 0).ok_or_else(|| missing(number))?;
    if EXTENDED.contains(&entry.os_indicator) {
        return Err(format!("partition {number} is an extended one, which is not served"));
    }
    let start = u64::from(entry.starting_lba.to_u32());
    Ok(start..start + u64::from(entry.size_in_lba.to_u32()))
}

fn of_gpt(disk: &mut Physical, number: u32) -> Result<Range<u64>, String> {
    let header = read::<GptHeader>(disk, 1)?;
    if !header.is_signature_valid() || header.calculate_header_crc32() != header.header_crc32 {
        return Err("its table of partitions (GPT) is damaged".into());
    }
    let (count, bytes) = (header.number_of_partition_entries.to_u32(), header.size_of_partition_entry.to_u32());
    if bytes as usize != size_of::<GptPartitionEntry>() {
        return Err(format!("its table of partitions (GPT) has entries of {bytes} bytes"));
    }
    let at = number.checked_sub(1).filter(|at| *at < count.min(ENTRIES)).ok_or_else(|| missing(number))?;
    let at = u64::from(at * bytes);
    let sector = header.partition_entry_lba.to_u64().saturating_add(at / SECTOR);
    let data = disk.read(sector)?;
    let entry = data.get((at % SECTOR) as usize..).and_then(|data| data.get(..size_of::<GptPartitionEntry>()));
    let entry: GptPartitionEntry = bytemuck::pod_read_unaligned(entry.ok_or_else(|| missing(number))?);
    if !entry.is_used() {
        return Err(missing(number));
    }
    Ok(entry.starting_lba.to_u64()..entry.ending_lba.to_u64().saturating_add(1))
}

fn missing(number: u32) -> String {
    format!("it has no partition {number}")
}

/// What a sector begins with.
fn read<T: bytemuck::AnyBitPattern>(disk: &mut Physical, sector: u64) -> Result<T, String> {
    let data = disk.read(sector)?;
    data.get(..size_of::<T>()).map(bytemuck::pod_read_unaligned).ok_or_else(|| "its sectors are short".into())
}
