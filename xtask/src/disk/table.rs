//! Partition tables (GPT), with nothing random in them, as runs are to be the same.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::{GptConfig, partition_types};
use uuid::Uuid;

const BLOCK: u64 = 512;
/// Where partitions begin, and what is left free at the disk's end for the copy of the table.
const ALIGN: u64 = 1 << 20;
/// Names the disk, and with their numbers its partitions.
const DISK: Uuid = Uuid::from_u128(0x6d61_6b75_6861_7269_8000_0000_0000_0010);

/// Bytes of a disk of partitions of these sizes.
pub(super) fn size(partitions: &[u64]) -> u64 {
    partitions.iter().map(|bytes| bytes.next_multiple_of(ALIGN)).sum::<u64>() + 2 * ALIGN
}

/// Writes the table of partitions of these sizes onto an image that is as large as [`size`] says; where each is, bytes.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(image: &Path, partitions: &[u64]) -> Result<Vec<Range<u64>>> {
    let mut places = Vec::new();
    let mut free = ALIGN;
    for bytes in partitions {
        places.push(free..free + bytes);
        free += bytes.next_multiple_of(ALIGN);
    }
    let mut file = OpenOptions::new().read(true).write(true).open(image)?;
    let blocks = size(partitions) / BLOCK - 1;
    ProtectiveMBR::with_lb_size(u32::try_from(blocks).unwrap_or(u32::MAX)).overwrite_lba0(&mut file)?;
    let entries: BTreeMap<u32, Partition> =
        (1..).zip(&places).map(|(number, place)| (number, entry(number, place))).collect();
    let mut table =
        GptConfig::new().writable(true).change_partition_count(true).create_from_device(file, Some(DISK))?;
    table.update_partitions(entries)?;
    table.write()?.flush()?;
    Ok(places)
}

fn entry(number: u32, place: &Range<u64>) -> Partition {
    Partition {
        part_type_guid: partition_types::LINUX_FS,
        part_guid: Uuid::from_u128(DISK.as_u128() + u128::from(number)),
        first_lba: place.start / BLOCK,
        last_lba: place.end.div_ceil(BLOCK) - 1,
        flags: 0,
        name: format!("part{number}"),
    }
}

/// Where a partition of an image is, bytes.
///
/// # Errors
/// The image has no such partition.
pub(super) fn partition(image: &Path, number: u32) -> Result<Range<u64>> {
    let table = GptConfig::new().open(image).with_context(|| format!("{} has no partition table", image.display()))?;
    let found = table.partitions().get(&number).filter(|partition| partition.is_used());
    let found = found.with_context(|| format!("the disk has no partition {number}"))?;
    Ok(found.first_lba * BLOCK..(found.last_lba + 1) * BLOCK)
}
